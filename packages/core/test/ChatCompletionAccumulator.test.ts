import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { type ChatCompletionChunk, unknownFields } from "../src/ChatCompletion.ts"
import * as ContractSchema from "../src/ContractSchema.ts"
import { ChatCompletionAccumulator } from "../src/ChatCompletionAccumulator.ts"

// Choices and deltas may have fields that are not modelled.
const chunkOf = (choices: ReadonlyArray<object>, more: object = {}): ChatCompletionChunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices: choices as ChatCompletionChunk["choices"],
  ...more
})

const delta = (delta: object, more: object = {}) => chunkOf([{ index: 0, delta, ...more }])

const finish = (reason: string, more: object = {}) => delta({}, { finish_reason: reason, ...more })

const usage = (completion: number) => ({ prompt_tokens: 7, completion_tokens: completion, total_tokens: 7 + completion })

const accumulate = (chunks: Iterable<ChatCompletionChunk>) => {
  const accumulator = new ChatCompletionAccumulator()
  for (const chunk of chunks) accumulator.add(chunk)
  return accumulator
}

const completionOf = (...chunks: ReadonlyArray<ChatCompletionChunk>) => {
  const { completion } = accumulate(chunks)
  assert.isDefined(completion)
  return completion
}

const messageOf = (...chunks: ReadonlyArray<ChatCompletionChunk>) => completionOf(...chunks).choices[0]?.message

const call = (index: number, more: { id?: string | null; type?: string | null; name?: string | null; arguments?: string | null }) => ({
  tool_calls: [{ index, id: more.id, type: more.type, function: { name: more.name, arguments: more.arguments } }]
})

describe("a completion", () => {
  it("is folded from its chunks", () => {
    const completion = completionOf(
      delta({ role: "assistant", content: "" }),
      delta({ content: "Hel" }),
      delta({ content: "lo" }),
      finish("stop", { stop_reason: null }),
      chunkOf([], { usage: usage(2) })
    )
    assert.deepStrictEqual(completion, {
      id: "chatcmpl-1",
      object: "chat.completion",
      created: 1700000000,
      model: "alfred",
      choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop", stop_reason: null }],
      usage: usage(2)
    })
    assert.deepStrictEqual(Schema.decodeUnknownSync(ContractSchema.ChatCompletion)(JSON.parse(JSON.stringify(completion))), completion)
  })

  // The same numbers for the same seed.
  const below = (seed: number) => {
    let state = seed
    return (limit: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
      return (state >>> 8) % limit
    }
  }

  const cut = (text: string, next: (limit: number) => number): ReadonlyArray<string> => {
    const pieces: Array<string> = []
    for (let at = 0; at < text.length;) {
      const end = at + 1 + next(4)
      pieces.push(text.slice(at, end))
      at = end
    }
    return pieces
  }

  it.prop(
    "equals the completion without streaming, however it is split and its choices interleave",
    {
      answers: Arbitrary.array(
        Arbitrary.schema(
          Schema.Struct({
            content: Schema.NullOr(Schema.String),
            reasoning: Schema.optionalKey(Schema.String),
            refusal: Schema.optionalKey(Schema.String),
            calls: Schema.Array(Schema.Struct({ id: Schema.NonEmptyString, name: Schema.NonEmptyString, arguments: Schema.String })),
            finishReason: Schema.Literals(["stop", "length", "tool_calls", "another"]),
            stopReason: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Int]))),
            tokens: Schema.Array(Schema.Struct({ token: Schema.String, logprob: Schema.Finite })),
            extra: Schema.optionalKey(Schema.String)
          })
        ),
        { minLength: 1, maxLength: 3 }
      ),
      seed: Arbitrary.schema(Schema.Int)
    },
    ({ answers, seed }) => {
      const next = below(seed)
      const choices = answers.map(({ calls, content, extra, finishReason, reasoning, refusal, stopReason, tokens }, index) => ({
        index,
        message: {
          role: "assistant",
          // Model servers send null content for a message that only calls tools or reasons.
          content: (calls.length > 0 || reasoning) && content === "" ? null : content,
          ...(reasoning === undefined ? {} : { reasoning }),
          ...(refusal === undefined ? {} : { refusal }),
          ...(calls.length === 0
            ? {}
            : {
                tool_calls: calls.map(({ arguments: text, id, name }) => ({ id, type: "function", function: { name, arguments: text } }))
              }),
          ...(extra === undefined ? {} : { extra })
        },
        finish_reason: finishReason,
        ...(stopReason === undefined ? {} : { stop_reason: stopReason }),
        ...(tokens.length === 0 ? {} : { logprobs: { content: tokens }, token_ids: tokens.map((_, at) => at) })
      }))
      const streams = answers.map(({ calls, content, extra, finishReason, reasoning, refusal, stopReason, tokens }, index) => {
        const texts = (field: string, text: string | null | undefined) =>
          text === null || text === undefined ? [] : ["", ...cut(text, next)].map((piece) => ({ delta: { [field]: piece } }))
        return [
          { delta: { role: "assistant" } },
          ...texts("reasoning", reasoning),
          ...texts("content", content),
          ...texts("refusal", refusal),
          ...texts("extra", extra),
          ...calls.flatMap(({ arguments: text, id, name }, at) => [
            { delta: { tool_calls: [{ index: at, id, type: "function", function: { name, arguments: "" } }] } },
            ...cut(text, next).map((piece) => ({ delta: { tool_calls: [{ index: at, function: { arguments: piece } }] } }))
          ]),
          ...tokens.map((token, at) => ({ delta: {}, logprobs: { content: [token] }, token_ids: [at] })),
          { delta: {}, finish_reason: finishReason, ...(stopReason === undefined ? {} : { stop_reason: stopReason }) }
        ].map((part) => chunkOf([{ index, ...part }]))
      })
      const chunks: Array<ChatCompletionChunk> = []
      for (let left = streams.filter((stream) => stream.length > 0); left.length > 0; left = left.filter((stream) => stream.length > 0)) {
        const chunk = left[next(left.length)]?.shift()
        if (chunk !== undefined) chunks.push(chunk)
      }
      const streamed = completionOf(...chunks, chunkOf([], { usage: usage(2) }))
      assert.deepStrictEqual<unknown>(streamed, {
        id: "chatcmpl-1",
        object: "chat.completion",
        created: 1700000000,
        model: "alfred",
        choices,
        usage: usage(2)
      })
    }
  )

  it("is undefined before the first chunk", () => {
    const accumulator = new ChatCompletionAccumulator()
    assert.isUndefined(accumulator.completion)
    assert.isUndefined(accumulator.usage)
    assert.isFalse(accumulator.isFinished)
    assert.strictEqual(accumulator.chunks, 0)
  })

  it("counts its chunks", () => {
    assert.strictEqual(accumulate([delta({}), chunkOf([]), finish("stop")]).chunks, 3)
  })

  it("has the first id, time and model that are not empty", () => {
    const placeholder = chunkOf([], { id: "", created: 0, model: "" })
    const completion = completionOf(placeholder, delta({ content: "a" }), chunkOf([], { id: "other", created: 1, model: "other" }))
    assert.deepStrictEqual([completion.id, completion.created, completion.model], ["chatcmpl-1", 1700000000, "alfred"])
  })

  it("has the id, time and model of the first chunk", () => {
    const completion = completionOf(delta({ content: "a" }), chunkOf([], { id: "other", created: 1, model: "other" }))
    assert.deepStrictEqual([completion.id, completion.created, completion.model], ["chatcmpl-1", 1700000000, "alfred"])
  })

  it("has the fingerprint and the tier of any chunk", () => {
    const about = { system_fingerprint: "fp", service_tier: "default" }
    for (const chunks of [
      [chunkOf([], about), finish("stop")],
      [chunkOf([], { system_fingerprint: null, service_tier: null }), chunkOf([], about)],
      [delta({ content: "a" }), chunkOf([], about)]
    ]) {
      const completion = completionOf(...chunks)
      assert.deepStrictEqual([completion.system_fingerprint, completion.service_tier], ["fp", "default"])
    }
  })
})

describe("a message", () => {
  it("defaults to the role assistant and null content", () => {
    assert.deepStrictEqual(messageOf(finish("stop")), { role: "assistant", content: null })
  })

  it("keeps another role, also when it is repeated", () => {
    assert.strictEqual(messageOf(delta({ role: "critic" }), delta({ role: "critic", content: "a" }), delta({ role: null }))?.role, "critic")
    assert.strictEqual(messageOf(delta({ content: "a" }), delta({ role: "critic" }))?.role, "critic")
  })

  it("ignores null content", () => {
    assert.strictEqual(messageOf(delta({ content: null }), delta({ content: "a" }), delta({ content: null }))?.content, "a")
  })

  it("omits a field that is null in every delta", () => {
    const message = messageOf(
      delta({ content: null, reasoning: null, reasoning_content: null, refusal: null, annotations: null, audio: null })
    )
    assert.deepStrictEqual(message, { role: "assistant", content: null })
  })

  it("is folded from the deltas, also when a choice has a message, too", () => {
    assert.strictEqual(messageOf(delta({ content: "a" }, { message: { role: "assistant", content: "b" } }))?.content, "a")
  })

  it("has null content when it has reasoning and empty content", () => {
    for (const name of ["reasoning", "reasoning_content"]) {
      const chunks = [delta({ role: "assistant", content: "" }), delta({ [name]: "Hm" }), finish("length")]
      assert.deepStrictEqual(messageOf(...chunks), { role: "assistant", content: null, [name]: "Hm" })
    }
  })

  it("keeps empty content", () => {
    assert.strictEqual(messageOf(delta({ role: "assistant", content: "" }), finish("stop"))?.content, "")
  })

  it("includes the content of the finish chunk", () => {
    assert.strictEqual(messageOf(delta({ content: "a" }), delta({ content: "b" }, { finish_reason: "stop" }))?.content, "ab")
  })

  it("includes content that arrives after the finish reason", () => {
    const [choice] = completionOf(delta({ content: "a" }), finish("stop"), delta({ content: "b" }), chunkOf([])).choices
    assert.deepStrictEqual([choice?.message.content, choice?.finish_reason], ["ab", "stop"])
  })

  it("joins halves of a character", () => {
    assert.strictEqual(messageOf(delta({ content: "\ud83d" }), delta({ content: "\ude00" }))?.content, "😀")
  })

  it("separates reasoning from content, by both names", () => {
    assert.deepStrictEqual(
      messageOf(delta({ reasoning: "Let " }), delta({ reasoning: "me see." }), delta({ reasoning: null, content: "42" })),
      { role: "assistant", content: "42", reasoning: "Let me see." }
    )
    assert.deepStrictEqual(messageOf(delta({ reasoning_content: "Hm" }), delta({ reasoning_content: "m." }), delta({ content: "42" })), {
      role: "assistant",
      content: "42",
      reasoning_content: "Hmm."
    })
  })

  it("does not double reasoning that has both names", () => {
    const message = messageOf(...["a", "b"].map((text) => delta({ reasoning: text, reasoning_content: text })))
    assert.deepStrictEqual([message?.reasoning, message?.reasoning_content], ["ab", "ab"])
  })

  it("has a refusal", () => {
    assert.deepStrictEqual(messageOf(delta({ role: "assistant", refusal: "I " }), delta({ refusal: "cannot." })), {
      role: "assistant",
      content: null,
      refusal: "I cannot."
    })
  })
})

describe("tool calls", () => {
  it("are joined by index, their arguments as text", () => {
    const message = messageOf(
      delta({ role: "assistant", content: "" }),
      delta(call(0, { id: "a", type: "function", name: "weather", arguments: "" })),
      delta(call(0, { arguments: '{"city": "S' })),
      delta(call(1, { id: "b", type: "function", name: "time", arguments: "{" })),
      delta(call(0, { arguments: "\\u00" })),
      delta(call(1, { arguments: "}" })),
      delta(call(0, { arguments: 'e9te"}' })),
      finish("tool_calls")
    )
    assert.deepStrictEqual(message, {
      role: "assistant",
      content: null,
      tool_calls: [
        { id: "a", type: "function", function: { name: "weather", arguments: '{"city": "S\\u00e9te"}' } },
        { id: "b", type: "function", function: { name: "time", arguments: "{}" } }
      ]
    })
  })

  it("are in the order of their indices, without holes", () => {
    const message = messageOf(
      delta(call(5, { id: "f", name: "f", arguments: "5" })),
      delta(call(2, { id: "c", name: "c", arguments: "2" }))
    )
    assert.deepStrictEqual(
      message?.tool_calls?.map(({ id }) => id),
      ["c", "f"]
    )
  })

  it("may arrive together in one chunk", () => {
    const message = messageOf(
      delta({
        tool_calls: [
          { index: 0, id: "a", type: "function", function: { name: "f", arguments: "{}" } },
          { index: 1, id: "b", type: "function", function: { name: "g", arguments: "[]" } }
        ]
      })
    )
    assert.deepStrictEqual(message?.tool_calls, [
      { id: "a", type: "function", function: { name: "f", arguments: "{}" } },
      { id: "b", type: "function", function: { name: "g", arguments: "[]" } }
    ])
  })

  const only = (...pieces: ReadonlyArray<Parameters<typeof call>[1]>) =>
    messageOf(...pieces.map((piece) => delta(call(0, piece))))?.tool_calls?.[0]

  it.each<[string, ReadonlyArray<Parameters<typeof call>[1]>]>([
    ["first", [{ id: "a", name: "f", arguments: "{" }, { arguments: "}" }]],
    ["late", [{ name: "f" }, { arguments: "{" }, { id: "a", arguments: "}" }]],
    [
      "late, after nulls",
      [
        { id: null, name: "f" },
        { id: "a", name: null, arguments: "{}" }
      ]
    ],
    [
      "late, after an empty one",
      [
        { id: "", name: "f" },
        { id: "a", arguments: "{}" }
      ]
    ],
    [
      "twice",
      [
        { id: "a", name: "f" },
        { id: "a", arguments: "{}" }
      ]
    ],
    [
      "once, then empty",
      [
        { id: "a", name: "f" },
        { id: "", name: "", arguments: "{}" }
      ]
    ],
    [
      "once, then null",
      [
        { id: "a", name: "f" },
        { id: null, type: null, name: null, arguments: "{}" }
      ]
    ]
  ])("have the id that arrives %s", (_, pieces) => {
    assert.deepStrictEqual(only(...pieces), { id: "a", type: "function", function: { name: "f", arguments: "{}" } })
  })

  it.each<[string, ReadonlyArray<string | undefined>]>([
    ["whole", ["get_weather", undefined, undefined]],
    ["in pieces", ["get", "_", "weather"]],
    ["whole in every piece", ["get_weather", "get_weather", "get_weather"]],
    ["late", [undefined, undefined, "get_weather"]]
  ])("have a name that arrives %s", (_, names) => {
    const pieces = names.map((name, at) => ({ ...(name === undefined ? {} : { name }), arguments: at === 2 ? "{}" : "" }))
    assert.deepStrictEqual<unknown>(only({ id: "a" }, ...pieces), {
      id: "a",
      type: "function",
      function: { name: "get_weather", arguments: "{}" }
    })
  })

  it("keep their type, and have no id before the end when the server sent none", () => {
    assert.deepStrictEqual<unknown>(only({ type: "other", name: "f", arguments: "" }), {
      type: "other",
      function: { name: "f", arguments: "" }
    })
  })

  it("get a generated id at the end when the server sent none, in the chunk and in the completion", () => {
    const accumulator = new ChatCompletionAccumulator()
    accumulator.add(delta(call(0, { name: "f", arguments: "{}" })))
    const last = accumulator.add(finish("tool_calls"))
    const [made] = last.choices[0]?.delta.tool_calls ?? []
    assert.deepStrictEqual<unknown>(made, { index: 0, id: "call_0_0_chatcmpl-1" })
    assert.strictEqual(accumulator.completion?.choices[0]?.message.tool_calls?.[0]?.id, made?.id)
    assert.deepStrictEqual(
      accumulator.anomalies.list.map(({ path, repair }) => [repair, path]),
      [["tool-call-id", "choices[0].delta.tool_calls[0].id"]]
    )
  })

  it("get different generated ids when the completion has none", () => {
    const made = [0, 1].map(() => {
      const { completion } = accumulate([
        { ...delta(call(0, { name: "f" })), id: "" },
        { ...finish("stop"), id: "" }
      ])
      return completion?.choices[0]?.message.tool_calls?.[0]?.id
    })
    assert.match(made[0] ?? "", /^call_0_0_\w{6,}$/)
    assert.notStrictEqual(made[0], made[1])
  })

  const indicesOf = (...chunks: ReadonlyArray<ChatCompletionChunk>) => {
    const accumulator = new ChatCompletionAccumulator()
    const added = chunks.map((chunk) => accumulator.add(chunk))
    return {
      indices: added.flatMap(({ choices }) => choices.flatMap(({ delta }) => (delta.tool_calls ?? []).map(({ index }) => index))),
      calls: (accumulator.completion?.choices ?? []).flatMap(({ message }) =>
        (message.tool_calls ?? []).map((call) => {
          const { function: called, id } = call as {
            readonly id?: string
            readonly function?: { readonly name: string; readonly arguments: string }
          }
          return [id, called?.name, called?.arguments]
        })
      ),
      isSame: added.every((chunk, at) => chunk === chunks[at])
    }
  }

  it("are two when another id has the same index", () => {
    const { calls, indices } = indicesOf(
      delta(call(0, { id: "a", name: "f", arguments: "{}" })),
      delta(call(0, { id: "b", name: "f", arguments: "[" })),
      delta(call(0, { arguments: "]" })),
      delta(call(1, { id: "c", name: "g", arguments: "" })),
      delta(call(1, { arguments: "1" })),
      delta(call(0, { id: "a", arguments: " " }))
    )
    assert.deepStrictEqual(indices, [0, 1, 1, 2, 2, 0])
    assert.deepStrictEqual(calls, [
      ["a", "f", "{} "],
      ["b", "f", "[]"],
      ["c", "g", "1"]
    ])
  })

  it("are one when their id is repeated, and two when equal ids have different indices", () => {
    const repeated = indicesOf(delta(call(3, { id: "a", name: "f" })), delta(call(3, { id: "a", arguments: "{}" })))
    assert.deepStrictEqual([repeated.indices, repeated.isSame], [[3, 3], true])
    const equal = indicesOf(delta(call(0, { id: "0", name: "f" })), delta(call(1, { id: "0", name: "g" })))
    assert.deepStrictEqual([equal.indices, equal.isSame], [[0, 1], true])
  })

  it("without an index are found by their id", () => {
    const part = (id: string, text: string) => ({ tool_calls: [{ id, function: { name: "f", arguments: text } }] }) as object
    const { calls, indices } = indicesOf(delta(part("a", "{")), delta(part("b", "[")), delta(part("a", "}")))
    assert.deepStrictEqual(indices, [0, 1, 0])
    assert.deepStrictEqual(calls, [
      ["a", "f", "{}"],
      ["b", "f", "["]
    ])
  })

  it("take time in proportion to their number, also in one chunk without indices, without ids, or in many choices", () => {
    const count = 40_000
    const numbers = Array.from({ length: count }, (_, at) => at)
    const unplaced = Number.MAX_SAFE_INTEGER
    const many = (choices: ReadonlyArray<object>) => {
      const start = performance.now()
      const accumulator = new ChatCompletionAccumulator()
      const chunk = accumulator.add(chunkOf(choices))
      assert.isBelow(performance.now() - start, 3000)
      return { chunk, completion: accumulator.completion }
    }
    const withIds = numbers.map((at) => ({ index: unplaced, id: `c${at}`, function: { name: "f", arguments: "{}" } }))
    const one = many([{ index: 0, delta: { tool_calls: withIds } }])
    assert.deepStrictEqual(
      one.chunk.choices[0]?.delta.tool_calls?.map(({ id, index }) => [index, id]),
      numbers.map((at) => [at, `c${at}`])
    )
    const withoutIds = numbers.map((index) => ({ index, function: { name: "f", arguments: "{}" } }))
    const two = many([{ index: 0, delta: { tool_calls: withoutIds }, finish_reason: "tool_calls" }])
    assert.strictEqual(two.chunk.choices[0]?.delta.tool_calls?.length, 2 * count)
    const calls = [{ index: unplaced, id: "a", function: { name: "f", arguments: "{}" } }]
    const three = many(numbers.map((index) => ({ index, delta: { tool_calls: calls } })))
    assert.isTrue(three.chunk.choices.every(({ delta }) => delta.tool_calls?.[0]?.index === 0))
    assert.strictEqual(three.completion?.choices.length, count)
  })

  it("replace a placeholder of arguments, and ignore complete arguments that are repeated", () => {
    const fold = (...parts: ReadonlyArray<string>) => {
      const message = messageOf(...parts.map((part) => delta(call(0, { id: "a", name: "f", arguments: part }))))
      return (message?.tool_calls?.[0] as { readonly function?: { readonly arguments: string } } | undefined)?.function?.arguments
    }
    assert.strictEqual(fold("{}", '{"x"', ":1}"), '{"x":1}')
    assert.strictEqual(fold('{"x":1}', '{"x":1}'), '{"x":1}')
    assert.strictEqual(fold("{}", "{}"), "{}")
    assert.strictEqual(fold('{"x":', '{"x":', "1}}"), '{"x":{"x":1}}')
  })

  it("of different choices do not share their indices", () => {
    const at = (index: number, id: string) => chunkOf([{ index, delta: call(0, { id, name: "f", arguments: " " }) }])
    const { indices, isSame } = indicesOf(at(0, "a"), at(1, "b"), at(0, "a"), at(1, "b"))
    assert.deepStrictEqual([indices, isSame], [[0, 0, 0, 0], true])
  })

  it("do not replace the content", () => {
    const message = messageOf(delta({ content: "One moment." }), delta(call(0, { id: "a", name: "f", arguments: "{}" })))
    assert.strictEqual(message?.content, "One moment.")
    assert.strictEqual(message?.tool_calls?.length, 1)
  })

  it("are absent when the list is null or empty", () => {
    assert.deepStrictEqual(messageOf(delta({ content: "a", tool_calls: null }), delta({ tool_calls: [] })), {
      role: "assistant",
      content: "a"
    })
  })

  it.each([
    ["whole", ["f", undefined]],
    ["repeated", ["f", "f"]]
  ])("of function_call are joined, their name %s", (_, names) => {
    const message = messageOf(
      delta({ role: "assistant", content: "" }),
      delta({ function_call: null }),
      ...names.map((name, at) => delta({ function_call: { ...(name === undefined ? {} : { name }), arguments: at === 0 ? "{" : "}" } })),
      finish("function_call")
    )
    assert.deepStrictEqual(message, { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } })
  })
})

describe("choices", () => {
  it("are separate and ordered by index, however they interleave", () => {
    const at = (index: number, content: string, more: object = {}) => chunkOf([{ index, delta: { content }, ...more }])
    const completion = completionOf(
      at(1, "b"),
      at(0, "a"),
      chunkOf([
        { index: 2, delta: { content: "c" } },
        { index: 0, delta: { content: "A" } }
      ]),
      at(1, "B", { finish_reason: "length" }),
      at(0, "", { finish_reason: "stop", stop_reason: "END" }),
      at(2, "C", { finish_reason: "content_filter", stop_reason: 151643 })
    )
    assert.deepStrictEqual(completion.choices, [
      { index: 0, message: { role: "assistant", content: "aA" }, finish_reason: "stop", stop_reason: "END" },
      { index: 1, message: { role: "assistant", content: "bB" }, finish_reason: "length" },
      { index: 2, message: { role: "assistant", content: "cC" }, finish_reason: "content_filter", stop_reason: 151643 }
    ])
  })

  it("may have any index, without holes in the list", () => {
    const { choices } = completionOf(chunkOf([{ index: 1e9, delta: { content: "a" } }]), chunkOf([{ index: 5, delta: { content: "b" } }]))
    assert.deepStrictEqual(
      choices.map(({ index }) => index),
      [5, 1e9]
    )
  })

  it("stay aborted when another finish reason follows", () => {
    assert.strictEqual(completionOf(delta({ content: "a" }), finish("abort"), finish("stop")).choices[0]?.finish_reason, "abort")
  })

  it("keep an unknown finish reason", () => {
    assert.strictEqual(completionOf(finish("moon")).choices[0]?.finish_reason, "moon")
  })

  it("join their logprobs", () => {
    const tokens = ["a", "b", "c"].map((token) => ({ token, logprob: -0.5, bytes: null, top_logprobs: [] }))
    const { choices } = completionOf(
      delta({ content: "a" }, { logprobs: { content: tokens.slice(0, 1) } }),
      delta({ content: "bc" }, { logprobs: { content: tokens.slice(1) } }),
      finish("stop", { logprobs: null })
    )
    assert.deepStrictEqual(choices[0]?.logprobs, { content: tokens })
  })

  it("join the ids of their tokens", () => {
    const { choices } = completionOf(
      delta({ content: "a" }, { token_ids: [1] }),
      delta({ content: "bc" }, { token_ids: [2, 3] }),
      finish("stop", { token_ids: null })
    )
    assert.deepStrictEqual(choices[0]?.token_ids, [1, 2, 3])
  })

  it("are finished when every choice that began is finished", () => {
    const accumulator = new ChatCompletionAccumulator()
    const steps: ReadonlyArray<[ChatCompletionChunk, boolean]> = [
      [chunkOf([]), false],
      [chunkOf([{ index: 1, delta: { content: "a" } }]), false],
      [chunkOf([{ index: 1, delta: {}, finish_reason: "stop" }]), true],
      [chunkOf([{ index: 0, delta: {}, finish_reason: null }]), false],
      [chunkOf([{ index: 0, delta: {}, finish_reason: "length" }]), true],
      [chunkOf([{ index: 0, delta: { content: "b" }, finish_reason: null }]), true],
      [chunkOf([], { usage: usage(1) }), true]
    ]
    for (const [chunk, isFinished] of steps) {
      accumulator.add(chunk)
      assert.strictEqual(accumulator.isFinished, isFinished)
    }
  })
})

describe("a field without a rule of its own", () => {
  it("of a delta is joined: texts and lists as a whole, objects member by member", () => {
    const message = messageOf(
      delta({ thinking: "Hm", marks: [1], vendor: { id: "v", note: "a", at: { x: [1] }, score: 1 }, kind: "k", odd: "text" }),
      delta({ thinking: null, marks: null, odd: 1 }),
      delta({ thinking: "!", marks: [2, 3], vendor: { id: "v", note: "b", at: { x: [2] }, score: 2 }, flag: false })
    )
    assert.deepStrictEqual<unknown>(message, {
      role: "assistant",
      content: null,
      thinking: "Hm!",
      marks: [1, 2, 3],
      vendor: { id: "v", note: "ab", at: { x: [1, 2] }, score: 2 },
      kind: "k",
      odd: 1,
      flag: false
    })
  })

  it("may be audio or annotations, one or several", () => {
    const cite = (title: string) => ({ type: "url_citation", url_citation: { title } })
    const message = messageOf(
      delta({ audio: { id: "audio-1", transcript: "Hel" }, annotations: [cite("a")] }),
      delta({ audio: { id: "audio-1", transcript: "lo", data: "AA" }, annotations: cite("b") }),
      delta({ audio: { id: "audio-1", data: "BB", expires_at: 9 } })
    )
    assert.deepStrictEqual(message?.audio, { id: "audio-1", transcript: "Hello", data: "AABB", expires_at: 9 })
    assert.deepStrictEqual(message?.annotations, [cite("a"), cite("b")])
  })

  it("may be a custom tool call", () => {
    const message = messageOf(
      delta({ tool_calls: [{ index: 0, id: "a", type: "custom", custom: { name: "f", input: "1 +" } }] }),
      delta({ tool_calls: [{ index: 0, custom: { input: " 1" } }] })
    )
    const [call] = message?.tool_calls ?? []
    assert.deepStrictEqual<unknown>(call, { id: "a", type: "custom", custom: { name: "f", input: "1 + 1" } })
  })

  it("of a chunk or choice has its last value", () => {
    const completion = completionOf(
      chunkOf([{ index: 0, delta: {}, vendor: "a" }], { prompt_token_ids: [7], vendor: "a" }),
      chunkOf([{ index: 0, delta: {}, vendor: "b" }], { prompt_token_ids: null, vendor: "b" }),
      finish("stop")
    )
    assert.deepStrictEqual([unknownFields(completion)["vendor"], completion.prompt_token_ids], ["b", [7]])
    assert.deepStrictEqual(unknownFields(completion.choices[0] ?? {}), { vendor: "b" })
  })

  it("may have the name of an inherited member, and may nest deeply", () => {
    const deep = (depth: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`)
    const named = JSON.parse('{"__proto__":{"polluted":true},"constructor":"c"}') as Record<string, unknown>
    const message = messageOf(delta({ ...named, deep: deep(5000) }), delta({ ...named, deep: deep(5000) }))
    assert.deepStrictEqual(Object.keys(message ?? {}).sort(), ["__proto__", "constructor", "content", "deep", "role"])
    assert.notProperty({}, "polluted")
    // A member that only some fragments have is not read from the prototype of the others.
    const nested = JSON.parse('{"constructor":"c","toString":"t","__proto__":"p"}') as unknown
    const deltas: ReadonlyArray<object> = [{ vendor: nested }, { vendor: {} }]
    const { vendor } = (messageOf(...deltas.map((part) => delta(part))) ?? {}) as Record<string, unknown>
    assert.strictEqual(JSON.stringify(vendor), '{"constructor":"c","toString":"t","__proto__":"p"}')
  })
})

describe("usage", () => {
  it("is the one of the last chunk that has usage", () => {
    const accumulator = accumulate([
      chunkOf([], { usage: usage(0) }),
      chunkOf([], { usage: usage(1) }),
      chunkOf([], { usage: null }),
      chunkOf([], { usage: usage(2) }),
      chunkOf([]),
      chunkOf([], { usage: null })
    ])
    assert.deepStrictEqual(accumulator.usage, usage(2))
    assert.deepStrictEqual(accumulator.completion?.usage, usage(2))
  })

  it("is absent when no chunk has usage", () => {
    assert.notProperty(completionOf(finish("stop"), chunkOf([], { usage: null })), "usage")
  })

  it("keeps its details", () => {
    const detailed = {
      ...usage(2),
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { reasoning_tokens: 1 },
      extra: 1
    }
    assert.deepStrictEqual(completionOf(chunkOf([], { usage: detailed })).usage, detailed)
  })
})

describe("a partial completion", () => {
  const chunks = [
    delta({ role: "assistant", content: "" }),
    delta({ reasoning: "Hm" }),
    delta({ content: "a" }),
    delta({ content: "b" }),
    delta(call(0, { id: "x", type: "function", name: "f", arguments: '{"a' })),
    delta(call(0, { arguments: '":1}' })),
    chunkOf([{ index: 1, delta: { content: "other" } }], { usage: usage(1) }),
    finish("tool_calls"),
    chunkOf([{ index: 1, delta: {}, finish_reason: "stop" }]),
    chunkOf([], { usage: usage(9) })
  ]

  it("can be read at any time, and does not change afterwards", () => {
    const accumulator = new ChatCompletionAccumulator()
    const moments = chunks.map((chunk, at) => {
      accumulator.add(chunk)
      const { completion } = accumulator
      assert.isDefined(completion)
      assert.deepStrictEqual(completion, accumulate(chunks.slice(0, at + 1)).completion)
      assert.doesNotThrow(() => Schema.decodeUnknownSync(ContractSchema.ChatCompletion)(completion))
      return [completion, structuredClone(completion)] as const
    })
    for (const [completion, copy] of moments) assert.deepStrictEqual(completion, copy)
  })

  it("has null for the finish reason of an unfinished choice", () => {
    const { choices } = completionOf(...chunks.slice(0, 8))
    assert.deepStrictEqual(
      choices.map((choice) => choice.finish_reason),
      ["tool_calls", null]
    )
  })

  it("does not change the chunks", () => {
    const copy = structuredClone(chunks)
    void accumulate(chunks).completion
    assert.deepStrictEqual(chunks, copy)
  })

  it.prop(
    "has the text of each choice, however it is split and mixed",
    {
      pieces: Arbitrary.array(
        Arbitrary.all({
          index: Arbitrary.schema(Schema.Literals([0, 1, 2, 7])),
          field: Arbitrary.schema(Schema.Literals(["content", "reasoning", "refusal"])),
          text: Arbitrary.schema(Schema.String)
        }),
        { minLength: 1, maxLength: 20 }
      )
    },
    ({ pieces }) => {
      const { choices } = completionOf(...pieces.map(({ field, index, text }) => chunkOf([{ index, delta: { [field]: text } }])))
      assert.deepStrictEqual(
        choices.map(({ index }) => index),
        [...new Set(pieces.map(({ index }) => index))].sort((a, b) => a - b)
      )
      for (const { index, message } of choices) {
        for (const name of ["content", "reasoning", "refusal"] as const) {
          const mine = pieces.filter((piece) => piece.index === index && piece.field === name)
          const text = mine.length === 0 ? undefined : mine.map(({ text }) => text).join("")
          const isNull = name === "content" && text === "" && message.reasoning
          assert.strictEqual(message[name] ?? undefined, isNull ? undefined : text)
        }
      }
    }
  )
})
