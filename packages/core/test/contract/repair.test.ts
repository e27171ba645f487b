import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Anomalies } from "../../src/Anomaly.ts"
import { ChatCompletionAccumulator } from "../../src/ChatCompletionAccumulator.ts"
import { decodeCompletion } from "../../src/contract/decode.ts"
import { isParadigmError } from "../../src/ParadigmError.ts"
import { ChunkDecoder } from "../../src/stream/ChunkDecoder.ts"

type Json = Record<string, unknown>

// Fields of chunks and completions in these tests.
interface Call extends Json {
  readonly index?: number
  readonly id?: string
  readonly function?: { readonly name: string; readonly arguments: string }
}
interface Message {
  readonly role?: string
  readonly content?: string | null
  readonly reasoning?: string
  readonly reasoning_content?: string
  readonly tool_calls?: ReadonlyArray<Call>
  readonly function_call?: unknown
}

interface Choice {
  readonly index: number
  readonly delta: Message
  readonly message: Message
  readonly finish_reason: string | null
  readonly logprobs?: { readonly content: ReadonlyArray<Json> }
}
interface Answer extends Json {
  readonly id: string
  readonly created: number
  readonly model: string
  readonly choices: ReadonlyArray<Choice>
  readonly usage?: Json
}

const chunkOf = (choices: unknown, more: object = {}): Json => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices,
  ...more
})
const delta = (delta: unknown, more: object = {}) => chunkOf([{ index: 0, delta, finish_reason: null, ...more }])
const finish = (more: object = {}) => chunkOf([{ index: 0, delta: {}, finish_reason: "stop", ...more }])
const usage = { prompt_tokens: 8, completion_tokens: 4, total_tokens: 12 }

const readEvents = (...events: ReadonlyArray<unknown>) => {
  const accumulator = new ChatCompletionAccumulator()
  const folded = new ChatCompletionAccumulator()
  const decoder = new ChunkDecoder({ accumulator })
  const text = events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join("")
  decoder.push(new TextEncoder().encode(`${text}data: [DONE]\n\n`))
  const emitted = decoder.take()
  for (const chunk of emitted) folded.add(chunk)
  // Folding the emitted chunks again gives the same.
  assert.deepStrictEqual(folded.completion, accumulator.completion)
  const end = Effect.runSync(Effect.result(decoder.eof()))
  const error = Result.isFailure(end) && isParadigmError(end.failure) ? end.failure : undefined
  const completion = accumulator.completion as unknown as Answer | undefined
  const choice = completion?.choices[0]
  return {
    chunks: emitted as unknown as ReadonlyArray<Answer>,
    completion,
    usage: completion?.usage,
    choice,
    message: choice?.message,
    calls: (choice?.message.tool_calls ?? []).map((call) => [call.id, call.function?.name, call.function?.arguments]),
    error,
    repairs: accumulator.anomalies.list.map(({ repair }) => repair) as ReadonlyArray<string>,
    anomalies: accumulator.anomalies.list
  }
}

const completionOf = (message: unknown, more: object = {}, choice: object = {}): Json => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1700000000,
  model: "alfred",
  choices: [{ index: 0, message, finish_reason: "stop", ...choice }],
  usage,
  ...more
})

const readCompletion = (value: unknown) => {
  const anomalies = new Anomalies()
  const completion = Result.getOrThrowWith(
    decodeCompletion(value, anomalies),
    (fields) => new Error(JSON.stringify(fields))
  ) as unknown as Answer
  const [choice] = completion.choices
  return {
    completion,
    choice,
    message: choice?.message ?? {},
    calls: choice?.message.tool_calls ?? [],
    repairs: anomalies.list.map(({ repair }) => repair) as ReadonlyArray<string>,
    anomalies: anomalies.list
  }
}

// Reads a deviating event at the beginning, in the middle and at the end of a stream.
const everywhere = (deviating: (content: string, isLast: boolean) => unknown, check: (read: ReturnType<typeof readEvents>) => void) => {
  check(readEvents(deviating("a", false), delta({ content: "b" }), finish()))
  check(readEvents(delta({ content: "a" }), delta({ content: "" }), deviating("b", false), delta({ content: "" }), finish()))
  check(readEvents(delta({ content: "a" }), deviating("b", true)))
}

const scalars: ReadonlyArray<unknown> = [null, true, false, 0, 7, -1, 0.5, "", "x", "7", [], [1], {}, { a: 1 }, { toString: 1, valueOf: 1 }]

describe("a field of a chunk or completion with another type", () => {
  // Secondary fields and their owners.
  const fields: ReadonlyArray<[field: string, owner: "chunk" | "choice" | "message"]> = [
    ...["id", "object", "created", "model", "usage", "system_fingerprint", "service_tier", "prompt_token_ids"].map(
      (field): [string, "chunk"] => [field, "chunk"]
    ),
    ...["logprobs", "token_ids", "stop_reason"].map((field): [string, "choice"] => [field, "choice"]),
    ...["role", "refusal", "reasoning", "reasoning_content", "annotations", "audio", "function_call"].map((field): [string, "message"] => [
      field,
      "message"
    ])
  ]

  it.each(fields)("%s of a %s does not affect the text and the end", (field, owner) => {
    for (const value of scalars) {
      const set = <A extends object>(object: A, name: string): A => (owner === name ? { ...object, [field]: value } : object)
      everywhere(
        (content, isLast) =>
          set(chunkOf([set({ index: 0, delta: set({ content }, "message"), finish_reason: isLast ? "stop" : null }, "choice")]), "chunk"),
        ({ choice, error, message }) => {
          assert.isUndefined(error, `${field}: ${JSON.stringify(value)} ${error?.message}`)
          assert.deepStrictEqual([message?.content, choice?.finish_reason], ["ab", "stop"])
        }
      )
      const message = set({ role: "assistant", content: "ab" }, "message")
      const whole = readCompletion(set(completionOf(message, {}, set({}, "choice")), "chunk"))
      assert.deepStrictEqual([whole.message.content, whole.choice?.finish_reason], ["ab", "stop"])
    }
  })

  it("is an anomaly when it is removed", () => {
    const { anomalies, chunks } = readEvents(
      delta({ content: "a" }, { token_ids: "none" }),
      delta({ content: "b" }, { token_ids: "none" }),
      finish()
    )
    assert.deepStrictEqual(anomalies, [{ repair: "removed", path: "choices[0].token_ids", expected: "array", raw: '"none"', count: 2 }])
    assert.notProperty(chunks[0]?.choices[0], "token_ids")
  })

  it("removes the innermost field that may be absent", () => {
    const details = { prompt_tokens_details: { cached_tokens: "many", audio_tokens: 1 } }
    const { completion, repairs } = readCompletion(completionOf({ role: "assistant", content: "a" }, { usage: { ...usage, ...details } }))
    assert.deepStrictEqual(completion.usage, { ...usage, prompt_tokens_details: { audio_tokens: 1 } })
    assert.deepStrictEqual(repairs, ["removed"])
  })

  it("is removed from every entry of a long list", () => {
    const content = Array.from({ length: 3000 }, () => ({ token: "a", logprob: -1, bytes: "none" }))
    const { anomalies, choice } = readCompletion(completionOf({ role: "assistant", content: "a" }, {}, { logprobs: { content } }))
    assert.strictEqual(choice?.finish_reason, "stop")
    assert.strictEqual(anomalies.length, 21)
    assert.deepStrictEqual(anomalies.at(-1), { repair: "more", path: "", expected: "", raw: "", count: 2980 })
  })

  it("has a bounded path and raw text", () => {
    const long = "x".repeat(10_000)
    const deep = JSON.parse(`${"[".repeat(50_000)}${"]".repeat(50_000)}`) as unknown
    const { anomalies } = readCompletion(
      completionOf({ role: "assistant", content: "a" }, { system_fingerprint: [long], service_tier: deep })
    )
    for (const { path, raw } of anomalies) assert.isAtMost(Math.max(path.length, raw.length), 200)
    assert.strictEqual(anomalies.length, 2)
  })
})

describe("an essential field that is unusable", () => {
  it.each<[string, unknown, string]>([
    ["a text that is a number", { content: 1 }, "choices[0].delta.content"],
    ["a text that is an object", { content: { a: 1 } }, "choices[0].delta.content"],
    ["a call whose function is a text", { tool_calls: [{ index: 0, function: "f" }] }, "choices[0].delta.tool_calls[0].function"],
    ["a call that is a number", { tool_calls: [5] }, "choices[0].delta.tool_calls[0]"]
  ])("fails with its path: %s", (_, part, path) => {
    const { error } = readEvents(delta({ content: "a" }), delta(part), finish())
    assert.strictEqual(error?.reason._tag, "MalformedChunk")
    assert.include(error?.message, path)
    const result = decodeCompletion(completionOf({ role: "assistant", ...(part as object) }))
    assert.isTrue(Result.isFailure(result))
    if (Result.isFailure(result)) assert.include(Object.keys(result.failure).join(), path.replace("delta", "message"))
  })

  it.each<unknown>([-1, 0.5, "x", {}, [], true, { toString: 1 }])("fails when the index of a choice is %j", (index) => {
    assert.strictEqual(readEvents(delta({ content: "a" }, { index }), finish()).error?.reason._tag, "MalformedChunk")
  })
})

describe("usage", () => {
  it.each<[string, unknown, unknown]>([
    ["without a total", { prompt_tokens: 8, completion_tokens: 4 }, usage],
    ["without completion tokens", { prompt_tokens: 8, total_tokens: 12 }, usage],
    ["without prompt tokens", { completion_tokens: 4, total_tokens: 12 }, usage],
    ["with a null", { prompt_tokens: 8, completion_tokens: null, total_tokens: 12 }, usage],
    ["of texts", { prompt_tokens: "8", completion_tokens: "4", total_tokens: "12" }, usage],
    ["without counts", {}, undefined],
    ["of nulls", { prompt_tokens: null, completion_tokens: null, total_tokens: null }, undefined],
    ["of details alone", { prompt_tokens_details: { cached_tokens: 0 } }, undefined],
    ["with one count", { total_tokens: 12 }, undefined],
    ["whose total is too small", { prompt_tokens: 8, total_tokens: 4 }, undefined],
    ["that is a list", [], undefined],
    ["that is a text", "12", undefined]
  ])("%s is derived or absent", (_, sent, expected) => {
    for (const events of [
      [delta({ content: "a" }), { ...delta({ content: "b" }), usage: sent }, finish()],
      [{ ...delta({ content: "ab" }), usage: sent }, finish()],
      [delta({ content: "ab" }), { ...finish(), usage: sent }],
      [delta({ content: "ab" }), finish(), chunkOf([], { usage: sent })]
    ]) {
      const { error, message, repairs, usage } = readEvents(...events)
      assert.isUndefined(error)
      assert.deepStrictEqual([message?.content, usage, repairs], ["ab", expected, ["usage"]])
    }
    const { completion, repairs } = readCompletion(completionOf({ role: "assistant", content: "a" }, { usage: sent }))
    assert.deepStrictEqual([completion.usage, repairs], [expected, ["usage"]])
  })

  it("is that of the last chunk with valid usage", () => {
    const { usage: last } = readEvents({ ...delta({ content: "a" }), usage }, { ...finish(), usage: {} }, chunkOf([], { usage: null }))
    assert.deepStrictEqual(last, usage)
  })
})

describe("an empty event", () => {
  it("adds nothing, and 100,000 take less than a second", () => {
    for (const blank of ["", " ", " ".repeat(40)]) {
      const decoder = new ChunkDecoder()
      const start = performance.now()
      decoder.push(new TextEncoder().encode(`data:${blank}\n\n`.repeat(100_000)))
      assert.isBelow(performance.now() - start, 1000)
      assert.deepStrictEqual([decoder.take(), decoder.anomalies], [[], []])
    }
  })

  it("of 16 KiB of spaces is a truncated stream within a second", () => {
    const decoder = new ChunkDecoder()
    const start = performance.now()
    decoder.push(new TextEncoder().encode(" ".repeat(16_384)))
    const end = Effect.runSync(Effect.result(decoder.eof()))
    assert.isBelow(performance.now() - start, 1000)
    assert.isTrue(Result.isFailure(end))
  })
})

describe("a completion without choices", () => {
  it("has an anomaly", () => {
    const anomalies = new Anomalies()
    assert.isTrue(Result.isSuccess(decodeCompletion({ ...completionOf({ role: "assistant" }), choices: [] }, anomalies)))
    assert.deepStrictEqual(anomalies.list, [{ repair: "choices", path: "choices", expected: "non-empty array", raw: "[]", count: 1 }])
  })
})

describe("an event without choices", () => {
  it.each<[string, unknown]>([
    ["missing", { id: "x", object: "ping" }],
    ["null", { ...chunkOf(null) }],
    ["of an empty object", {}],
    ["of null", null]
  ])("is not emitted: choices %s", (_, event) => {
    for (const at of [0, 1, 2, 3]) {
      const events: Array<unknown> = [delta({ content: "a" }), delta({ content: "b" }), finish()]
      events.splice(at, 0, event)
      const { chunks, error, message, repairs } = readEvents(...events)
      assert.isUndefined(error)
      assert.deepStrictEqual([chunks.length, message?.content, repairs], [3, "ab", ["choices"]])
    }
  })

  it("is a chunk without choices when it has usage", () => {
    for (const choices of [undefined, null]) {
      const { chunks, usage: read } = readEvents(delta({ content: "a" }), finish(), {
        id: "usage-1",
        model: "m",
        choices,
        usage,
        request_id: "r"
      })
      assert.deepStrictEqual(read, usage)
      assert.deepStrictEqual(chunks[2], {
        id: "usage-1",
        object: "chat.completion.chunk",
        created: 0,
        model: "m",
        choices: [],
        usage,
        request_id: "r"
      })
    }
  })

  it.each(["", " ", "\t"])("is a heartbeat when its data is %j", (data) => {
    const { chunks, error, repairs } = readEvents(data, delta({ content: "a" }), data, finish(), data)
    assert.isUndefined(error)
    assert.deepStrictEqual([chunks.length, repairs], [2, []])
  })

  it("is an error without streaming", () => {
    for (const choices of [undefined, null, {}]) {
      assert.isTrue(Result.isFailure(decodeCompletion({ ...completionOf({ role: "assistant" }), choices })))
    }
  })
})

describe("a message in place of a delta", () => {
  const frame = (message: object, more: object = {}) => ({
    ...chunkOf([{ index: 0, finish_reason: "stop", message, ...more }]),
    object: "chat.completion",
    usage
  })

  it("at the end does not double the text, the reasoning or the calls", () => {
    const call = { id: "a", type: "function", function: { name: "f", arguments: "{}" } }
    for (const finished of [[], [finish()]]) {
      const {
        calls,
        chunks,
        error,
        message,
        repairs,
        usage: last
      } = readEvents(
        delta({ role: "assistant", reasoning: "Hm" }),
        delta({ content: "Hel" }),
        delta({ content: "lo" }),
        delta({ tool_calls: [{ index: 0, ...call }] }),
        ...finished,
        frame({ role: "assistant", content: "Hello", reasoning: "Hm", tool_calls: [call] })
      )
      assert.isUndefined(error)
      assert.deepStrictEqual([message?.content, message?.reasoning, calls, last], ["Hello", "Hm", [["a", "f", "{}"]], usage])
      assert.deepStrictEqual(repairs, ["message-frame"])
      assert.notProperty(chunks.at(-1)?.choices[0], "message")
    }
  })

  it("at the end adds the part that did not arrive before", () => {
    const call = { id: "a", type: "function", function: { name: "f", arguments: { city: "Paris" } } }
    const whole = frame({ role: "assistant", content: [{ type: "text", text: "Hello" }], tool_calls: [call] })
    const { calls, error, message } = readEvents(whole)
    assert.isUndefined(error)
    assert.deepStrictEqual([message?.content, calls], ["Hello", [["a", "f", '{"city":"Paris"}']]])
    const rest = readEvents(delta({ content: "Hel" }), frame({ content: "Hello" }))
    assert.deepStrictEqual([rest.message?.content, rest.chunks[1]?.choices[0]?.delta], ["Hello", { content: "lo" }])
  })

  it("at the end with another text is not added", () => {
    const { message, repairs } = readEvents(delta({ content: "Hello " }), frame({ content: "Hello" }))
    assert.deepStrictEqual([message?.content, repairs], ["Hello ", ["message-frame"]])
  })

  it("at the end adds the calls whose id did not arrive", () => {
    const call = (id: string | undefined, name: string, index?: number) => ({
      index,
      id,
      type: "function",
      function: { name, arguments: "{}" }
    })
    const fold = (sent: object, ...calls: ReadonlyArray<object>) =>
      readEvents(delta({ tool_calls: [sent] }), frame({ content: null, tool_calls: calls }, { finish_reason: "tool_calls" })).calls
    for (const index of [undefined, 0, 1]) {
      const both = [
        ["A", "f", "{}"],
        ["B", "g", "{}"]
      ]
      assert.deepStrictEqual(fold(call("A", "f", 0), call("A", "f", 0), call("B", "g", index)), both)
      assert.deepStrictEqual(fold(call("A", "f", 0), call("B", "g", index), call("A", "f", 0)), both)
      assert.deepStrictEqual(fold(call("A", "f", 0), call("B", "g", index)), both)
      assert.deepStrictEqual(fold(call(undefined, "f", 0), call("A", "f", 0), call("B", "g", index))[1], ["B", "g", "{}"])
      assert.strictEqual(fold(call(undefined, "f", 0), call("A", "f", index)).length, 1)
    }
  })

  it("before the end is a delta", () => {
    const { message } = readEvents(
      frame({ content: "Hel" }, { finish_reason: null }),
      frame({ content: "lo" }, { finish_reason: null }),
      finish()
    )
    assert.strictEqual(message?.content, "Hello")
  })
})

describe("a message beside a delta", () => {
  const both = (delta: unknown, message: unknown, more: object = {}) =>
    chunkOf([{ index: 0, delta, message, finish_reason: "stop", ...more }])

  it.each<[string, unknown]>([
    ["an empty delta", {}],
    ["an empty list", []],
    ["a delta with empty content", { role: "assistant", content: "" }],
    ["a delta with null", { content: null }],
    ["a delta with the next fragment", { content: "l" }],
    ["a delta with the rest", { content: "lo" }]
  ])("adds the part that did not arrive before: %s", (_, delta_) => {
    const message = { role: "assistant", content: "Hello" }
    const { anomalies, error, message: folded } = readEvents(delta({ content: "Hel" }), both(delta_, message))
    assert.isUndefined(error)
    assert.strictEqual(folded?.content, "Hello")
    assert.deepStrictEqual(
      anomalies.map(({ raw, repair }) => [repair, raw]),
      [["message-frame", JSON.stringify(message)]]
    )
  })

  it("alone adds its text, reasoning and calls", () => {
    const message = {
      content: "Hello",
      reasoning: "Hm",
      tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }]
    }
    const { calls, message: folded } = readEvents(both({}, message))
    assert.deepStrictEqual([folded?.content, folded?.reasoning, calls], ["Hello", "Hm", [["a", "f", "{}"]]])
  })

  it("with another text than the delta is an anomaly, and null is none", () => {
    const other = readEvents(both({ content: "a" }, { content: "b" }))
    assert.deepStrictEqual([other.message?.content, other.repairs], ["a", ["message-frame"]])
    assert.deepStrictEqual(readEvents(both({ content: "a" }, null)).repairs, [])
  })

  it("of a long stream takes time in proportion to its events", () => {
    const logprobs = { content: [{ token: "x", logprob: -1, bytes: [1], top_logprobs: [] }] }
    const frames = Array.from({ length: 8000 }, (_, at) =>
      chunkOf([{ index: 0, message: { content: `tok${at}` }, logprobs, finish_reason: null }])
    )
    const start = performance.now()
    const { choice, message } = readEvents(...frames, finish())
    assert.isBelow(performance.now() - start, 3000)
    assert.deepStrictEqual([choice?.logprobs?.content.length, message?.content?.length], [8000, 8000 * 3 + 30_890])
  })
})

describe("a text beside content", () => {
  it.each<[string, unknown]>([
    ["missing", {}],
    ["null", { content: null }],
    ["empty", { role: "assistant", content: "" }]
  ])("is the content when that is %s", (_, said) => {
    const fragment = (text: string) => delta(said, { text })
    const { error, message, repairs } = readEvents(fragment("ha"), fragment("ha"), finish({ text: "" }))
    assert.isUndefined(error)
    assert.deepStrictEqual([message?.content, repairs], ["haha", ["text"]])
    const whole = readCompletion(completionOf({ role: "assistant", ...(said as object) }, {}, { text: "Hi" }))
    assert.deepStrictEqual([whole.message.content, whole.repairs], ["Hi", ["text"]])
  })

  it("is ignored otherwise", () => {
    assert.strictEqual(readEvents(delta({ content: "a" }, { text: "a" }), finish()).message?.content, "a")
    assert.strictEqual(readCompletion(completionOf({ role: "assistant", content: "a" }, {}, { text: "b" })).message.content, "a")
  })
})

describe("a text", () => {
  const thinking = { type: "thinking", thinking: [{ type: "text", text: "Hm" }] }

  it.each<[string, unknown, string | null, string | undefined]>([
    [
      "of parts",
      [
        { type: "text", text: "a" },
        { type: "text", text: "b" }
      ],
      "ab",
      undefined
    ],
    ["of a thinking part", [thinking], null, "Hm"],
    [
      "of both",
      [
        { type: "thinking", thinking: "Hm" },
        { type: "text", text: "ab" }
      ],
      "ab",
      "Hm"
    ],
    ["of texts", ["a", "b"], "ab", undefined],
    ["of no parts", [], null, undefined],
    [
      "of an empty thinking part",
      [
        { type: "thinking", thinking: [] },
        { type: "text", text: "ab" }
      ],
      "ab",
      undefined
    ],
    ["of a part and an image", [{ type: "text", text: "ab" }, { type: "image_url", image_url: { url: "data:" } }, null], "ab", undefined],
    ["of one part without a list", { type: "text", text: "ab" }, "ab", undefined]
  ])("%s is joined", (_, content, text, reasoning) => {
    const streamed = readEvents(delta({ role: "assistant", content }), finish())
    assert.isUndefined(streamed.error)
    assert.deepStrictEqual([streamed.message?.content, streamed.message?.reasoning], [text, reasoning])
    assert.deepStrictEqual(streamed.repairs, ["text-parts"])
    const whole = readCompletion(completionOf({ role: "assistant", content: structuredClone(content) }))
    assert.deepStrictEqual([whole.message.content, whole.message.reasoning], [text, reasoning])
  })

  it("of parts may be any event of a stream", () => {
    everywhere(
      (content, isLast) => delta({ content: [{ type: "text", text: content }] }, isLast ? { finish_reason: "stop" } : {}),
      ({ message }) => assert.strictEqual(message?.content, "ab")
    )
  })

  it("is not joined deeper than parts nest", () => {
    const deep = `[{"text":${'[{"text":'.repeat(50_000)}"a"${"}]".repeat(50_000)}},{"text":"ab"}]`
    const event = JSON.stringify(delta({ content: "@" })).replace('"@"', deep)
    assert.strictEqual(readEvents(event, finish()).message?.content, "ab")
  })

  it("of reasoning may be parts, too", () => {
    const { message } = readEvents(delta({ reasoning: [{ type: "text", text: "Hm" }] }), delta({ content: "a" }), finish())
    assert.deepStrictEqual([message?.reasoning, message?.content], ["Hm", "a"])
  })

  it("of reasoning_content may be parts, too", () => {
    const { message } = readEvents(delta({ reasoning_content: [{ type: "text", text: "Hm" }], content: "a" }), finish())
    assert.deepStrictEqual([message?.reasoning_content, message?.content], ["Hm", "a"])
  })

  it("of reasoning under both names is kept once", () => {
    const both = (text: string) => ({ reasoning: text, reasoning_content: text })
    const { chunks, message, repairs } = readEvents(
      delta(both("H")),
      delta(both("m")),
      delta({ content: "a", reasoning_content: null }),
      finish()
    )
    assert.deepStrictEqual([message?.reasoning, message?.reasoning_content, repairs], ["Hm", undefined, ["reasoning-twice"]])
    assert.deepStrictEqual(chunks[0]?.choices[0]?.delta, { reasoning: "H" })
    const whole = readCompletion(completionOf({ role: "assistant", content: "a", ...both("Hm") }))
    assert.deepStrictEqual(
      [whole.message.reasoning, whole.message.reasoning_content, whole.repairs],
      ["Hm", undefined, ["reasoning-twice"]]
    )
    const different = readCompletion(completionOf({ role: "assistant", content: "a", reasoning: "Hm", reasoning_content: "So" }))
    assert.deepStrictEqual([different.message.reasoning_content, different.repairs], ["So", []])
  })
})

describe("a finish reason", () => {
  it.each(["", "null", "None"])("%j is null, and does not overwrite another", (blank) => {
    const unfinished = readEvents(delta({ content: "a" }, { finish_reason: blank }), delta({ content: "b" }, { finish_reason: blank }))
    assert.strictEqual(unfinished.error?.reason._tag, "StreamTruncated")
    assert.strictEqual(unfinished.chunks[0]?.choices[0]?.finish_reason, null)
    const finished = readEvents(
      delta({ content: "a" }, { finish_reason: blank }),
      finish(),
      delta({ content: "b" }, { finish_reason: blank })
    )
    assert.isUndefined(finished.error)
    assert.deepStrictEqual([finished.choice?.finish_reason, finished.message?.content], ["stop", "ab"])
    const { choice, repairs } = readCompletion(completionOf({ role: "assistant", content: "a" }, {}, { finish_reason: blank }))
    assert.deepStrictEqual([choice?.finish_reason, repairs], [null, ["finish-reason", "unfinished"]])
  })

  it.each([null, undefined])("%j of a completion is an anomaly", (finish_reason) => {
    const { repairs } = readCompletion(completionOf({ role: "assistant", content: "a" }, {}, { finish_reason }))
    assert.deepStrictEqual(repairs, ["unfinished"])
  })

  it("of another type does not affect the text", () => {
    const { error, message } = readEvents(delta({ content: "ab" }, { finish_reason: 5 }), finish())
    assert.isUndefined(error)
    assert.strictEqual(message?.content, "ab")
  })
})

describe("tool calls", () => {
  const piece = (more: object, args = "{}", name: string | null = "f") => ({
    type: "function",
    function: { name, arguments: args },
    ...more
  })
  const calling = (...pieces: ReadonlyArray<unknown>) => delta({ tool_calls: pieces })

  it.each<[string, unknown]>([
    ["missing", undefined],
    ["null", null],
    ["negative", -1],
    ["a text", "first"],
    ["a fraction", 0.5],
    ["an object", {}]
  ])("without a usable index are found by id: index %s", (_, index) => {
    const apart = readEvents(
      calling(piece({ index, id: "a" }, '{"x"')),
      calling(piece({ index, id: "b" }, "[")),
      calling({ index, id: "a", function: { arguments: ":1}" } }),
      calling({ index, id: "b", function: { arguments: "]" } }),
      finish({ finish_reason: "tool_calls" })
    )
    assert.isUndefined(apart.error)
    assert.deepStrictEqual(apart.calls, [
      ["a", "f", '{"x":1}'],
      ["b", "f", "[]"]
    ])
    assert.deepStrictEqual(
      apart.chunks.slice(0, 4).map(({ choices }) => choices[0]?.delta.tool_calls?.[0]?.index),
      [0, 1, 0, 1]
    )
    assert.deepStrictEqual(apart.repairs, ["tool-call-index"])
    const together = readEvents(calling(piece({ index, id: "a" }), piece({ index, id: "b" })), finish())
    assert.deepStrictEqual(together.calls, [
      ["a", "f", "{}"],
      ["b", "f", "{}"]
    ])
  })

  it("without index and id are found by order", () => {
    const { calls, repairs } = readEvents(
      calling(piece({}, '{"a"'), piece({}, "{}", "g")),
      calling({ function: { arguments: " " } }),
      calling(piece({}, "[", "f")),
      calling({ function: { arguments: "]" } }),
      finish()
    )
    assert.deepStrictEqual(
      calls.map(([, ...call]) => call),
      [
        ["f", '{"a"'],
        ["g", "{} "],
        ["f", "[]"]
      ]
    )
    assert.deepStrictEqual(repairs, ["tool-call-index", "tool-call-index", "tool-call-id", "tool-call-id", "tool-call-id"])
  })

  it("whose index is the text of a number keep it", () => {
    const { calls } = readEvents(
      calling(piece({ index: "0", id: "a" }, "{")),
      calling(piece({ index: "1", id: "b" }, "[")),
      calling({ index: "0", function: { arguments: "}" } }),
      calling({ index: "1", function: { arguments: "]" } }),
      finish()
    )
    assert.deepStrictEqual(calls, [
      ["a", "f", "{}"],
      ["b", "f", "[]"]
    ])
  })

  it("that share an index are two when their ids differ, also for templates", () => {
    const args = (text: string) => calling({ index: 0, function: { arguments: text } })
    const letters = Array.from("abcdefghijkl")
    const { calls, chunks, repairs } = readEvents(
      calling(piece({ index: 0, id: "a" }, "")),
      ...letters.map(args),
      calling(piece({ index: 0, id: "b" }, "")),
      ...letters.map(args),
      calling(piece({ index: 0, id: "a" }, "!")),
      ...letters.map(args),
      finish()
    )
    const text = letters.join("")
    assert.deepStrictEqual(calls, [
      ["a", "f", `${text}!${text}`],
      ["b", "f", text]
    ])
    const indices = chunks.slice(0, -1).map(({ choices }) => choices[0]?.delta.tool_calls?.[0]?.index)
    assert.deepStrictEqual(indices, [...Array(13).fill(0), ...Array(13).fill(1), ...Array(13).fill(0)])
    assert.deepStrictEqual(repairs, ["tool-call-index"])
  })

  const made = [0, 1].map((call) => `call_0_${call}_chatcmpl-1`)

  it("that share an index without ids are two when another name or other arguments follow", () => {
    const one = piece({ index: 0 }, '{"a":1}')
    for (const [name, args] of [
      ["g", '{"b":2}'],
      ["g", ""],
      ["f", '{"a":1}']
    ] as const) {
      const two = piece({ index: 0 }, args, name)
      for (const chunks of [[calling(one), calling(two)], [calling(one, two)]]) {
        const { calls, repairs } = readEvents(...chunks, calling({ index: 0, function: { arguments: " " } }), finish())
        assert.deepStrictEqual(calls, [
          [made[0], "f", '{"a":1}'],
          [made[1], name, `${args} `]
        ])
        assert.include(repairs, "tool-call-index")
      }
    }
  })

  it("whose name is repeated, in pieces, or after complete arguments without others are one call", () => {
    const one = (...parts: ReadonlyArray<readonly [name: string | null, args: string]>) => {
      const pieces = parts.map(([name, args]) => calling(piece({ index: 0 }, args, name)))
      return readEvents(...pieces, finish()).calls
    }
    assert.deepStrictEqual(one(["f", '{"a":'], ["f", '{"b":1'], ["f", "}"], ["f", "}"], ["f", ""]), [[made[0], "f", '{"a":{"b":1}}']])
    assert.deepStrictEqual(one(["get_", ""], ["weather", ""], [null, "{}"], ["get_weather", ""]), [[made[0], "get_weather", "{}"]])
    assert.deepStrictEqual(one(["get", ""], ["get_weather", "{}"]), [[made[0], "get_weather", "{}"]])
  })

  it.each<[string, unknown, string]>([
    ["an object", { city: "Paris" }, '{"city":"Paris"}'],
    ["a list", [1], "[1]"],
    ["a number", 5, "5"]
  ])("whose arguments are %s have their JSON text", (_, args, text) => {
    const call = { index: 0, id: "a", type: "function", function: { name: "f", arguments: args } }
    const streamed = readEvents(calling(call), finish())
    assert.isUndefined(streamed.error)
    assert.deepStrictEqual([streamed.calls, streamed.repairs], [[["a", "f", text]], ["arguments"]])
    const { calls, repairs } = readCompletion(completionOf({ role: "assistant", content: null, tool_calls: [call] }))
    assert.deepStrictEqual([calls[0]?.function?.arguments, repairs], [text, ["arguments"]])
    const legacy = readEvents(delta({ function_call: { name: "f", arguments: args } }), finish({ finish_reason: "function_call" }))
    assert.deepStrictEqual(legacy.message?.function_call, { name: "f", arguments: text })
  })

  it.each([null, undefined])("whose arguments are %j: a stream adds no text, and a completion has {}", (args) => {
    const call = { index: 0, id: "a", type: "function", function: { name: "f", arguments: args } }
    assert.deepStrictEqual(readEvents(calling(call), finish()).calls, [["a", "f", ""]])
    const { calls } = readCompletion(completionOf({ role: "assistant", content: null, tool_calls: [call] }))
    assert.strictEqual(calls[0]?.function?.arguments, "{}")
  })

  it("that are one object are a list", () => {
    const call = piece({ index: 0, id: "a" })
    const streamed = readEvents(delta({ role: "assistant", tool_calls: call }), finish())
    assert.deepStrictEqual([streamed.calls, streamed.repairs], [[["a", "f", "{}"]], ["tool-calls"]])
    const { calls, repairs } = readCompletion(completionOf({ role: "assistant", content: null, tool_calls: call }))
    assert.deepStrictEqual([calls[0]?.id, repairs], ["a", ["tool-calls"]])
  })

  it.each([false, 0, "", null, []])("are absent when they are %j", (tool_calls) => {
    const { calls, error, message } = readEvents(delta({ content: "ab", tool_calls }), finish())
    assert.isUndefined(error)
    assert.deepStrictEqual([message?.content, calls], ["ab", []])
    assert.strictEqual(readCompletion(completionOf({ role: "assistant", content: "ab", tool_calls })).message.content, "ab")
  })

  it.each<[string, unknown]>([
    ["missing", undefined],
    ["null", null],
    ["empty", ""],
    ["an object", {}]
  ])("without an id get one at the end: id %s", (_, id) => {
    const { anomalies, calls, chunks } = readEvents(calling(piece({ index: 0, id })), finish({ finish_reason: "tool_calls" }))
    const made = chunks[1]?.choices[0]?.delta.tool_calls
    assert.deepStrictEqual(made, [{ index: 0, id: "call_0_0_chatcmpl-1" }])
    assert.deepStrictEqual(calls, [["call_0_0_chatcmpl-1", "f", "{}"]])
    assert.include(
      anomalies.map(({ repair }) => repair as string),
      "tool-call-id"
    )
    const call = { id, type: "function", function: { name: "f", arguments: "{}" } }
    const { calls: whole, repairs } = readCompletion(completionOf({ role: "assistant", content: null, tool_calls: [call, { ...call }] }))
    assert.deepStrictEqual(
      whole.map(({ id }) => id),
      ["call_0_0_chatcmpl-1", "call_0_1_chatcmpl-1"]
    )
    assert.deepStrictEqual(repairs, ["tool-call-id", "tool-call-id"])
  })

  it("have the text of an id that is a number", () => {
    assert.deepStrictEqual(readEvents(calling(piece({ index: 0, id: 12 })), finish()).calls, [["12", "f", "{}"]])
  })

  it("of custom tools are typed", () => {
    const { message, repairs } = readEvents(
      calling({ index: 0, id: "a", type: "custom", custom: { name: "sql", input: "" } }),
      calling({ index: 0, custom: { input: "select " } }),
      calling({ index: 0, custom: { input: "1" } }),
      finish({ finish_reason: "tool_calls" })
    )
    assert.deepStrictEqual(message?.tool_calls, [{ id: "a", type: "custom", custom: { name: "sql", input: "select 1" } }])
    assert.deepStrictEqual(repairs, [])
  })

  it("whose name, id and type are repeated are one call", () => {
    const pieces = ["{", '"a":', "1}"].map((text) => calling(piece({ index: 0, id: "a" }, text)))
    const nulls = calling({ index: 0, id: null, type: null, function: { name: null, arguments: " " } })
    assert.deepStrictEqual(readEvents(...pieces, nulls, finish()).calls, [["a", "f", '{"a":1} ']])
  })
})

describe("a tool call without a name", () => {
  it("has an empty one, which is an anomaly, streamed and whole", () => {
    const streamed = readEvents(
      delta({ tool_calls: [{ index: 0, id: "a", function: { arguments: "{}" } }] }),
      finish({ finish_reason: "tool_calls" })
    )
    assert.deepStrictEqual([streamed.calls, streamed.repairs], [[["a", "", "{}"]], ["tool-call-name"]])
    for (const name of ["", null, undefined]) {
      const call = { id: "a", type: "function", function: { name, arguments: "{}" } }
      const { message, repairs } = readCompletion(completionOf({ role: "assistant", content: null, tool_calls: [call] }))
      assert.deepStrictEqual(message?.tool_calls, [{ id: "a", type: "function", function: { name: "", arguments: "{}" } }])
      assert.deepStrictEqual(repairs, ["tool-call-name"])
    }
  })
})

describe("arguments that arrive whole a second time", () => {
  it("are removed from the chunk and the call, which is an anomaly", () => {
    const pieces = ['{"a":', "1}", '{"a":1}'].map((text) =>
      delta({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: text } }] })
    )
    const { calls, repairs } = readEvents(...pieces, finish({ finish_reason: "tool_calls" }))
    assert.deepStrictEqual([calls, repairs], [[["a", "f", '{"a":1}']], ["arguments"]])
  })
})

describe("log probabilities", () => {
  it("of the prompt that are not finite are -9999, which is an anomaly", () => {
    const tokens = (logprob: number | null) => [null, { 7: { logprob, rank: 3, decoded_token: "a" } }]
    const { completion, repairs } = readCompletion(completionOf({ role: "assistant", content: "a" }, { prompt_logprobs: tokens(null) }))
    assert.deepStrictEqual([Reflect.get(completion, "prompt_logprobs"), repairs], [tokens(-9999), ["logprobs"]])
  })

  const logprobsOf = (entry: unknown) => {
    const logprobs = { content: [entry] }
    const streamed = readEvents(delta({ content: "ab" }, { logprobs }), finish())
    assert.isUndefined(streamed.error)
    assert.deepStrictEqual([streamed.message?.content, streamed.repairs], ["ab", ["logprobs"]])
    const { choice } = readCompletion(completionOf({ role: "assistant", content: "ab" }, {}, { logprobs: structuredClone(logprobs) }))
    assert.deepStrictEqual(choice?.logprobs, streamed.choice?.logprobs)
    return choice?.logprobs?.content[0] ?? {}
  }

  it("without a token have its id", () => {
    assert.deepStrictEqual(logprobsOf({ id: 304, logprob: 0 }), { id: 304, logprob: 0, token: "token_id:304" })
  })

  it("of null are -9999", () => {
    const top = { token: "b", logprob: null }
    assert.deepStrictEqual(logprobsOf({ token: "a", logprob: null, bytes: [97], top_logprobs: [top] }), {
      token: "a",
      logprob: -9999,
      bytes: [97],
      top_logprobs: [{ token: "b", logprob: -9999 }]
    })
  })

  it("are those of probabilities", () => {
    const { logprob, top_logprobs } = logprobsOf({ token: "a", prob: 0.5, top_probs: [{ token: "b", prob: 0 }] })
    assert.closeTo(Number(logprob), Math.log(0.5), 1e-12)
    assert.deepInclude((top_logprobs as ReadonlyArray<object>)[0], { token: "b", logprob: -9999 })
  })

  it("of -Infinity and NaN, which are not JSON, are -9999", () => {
    const chunk = JSON.stringify(delta({ content: 'say "NaN" \\ Infinity' }, { logprobs: { content: [{ token: "NaN", logprob: "@" }] } }))
    for (const number of ["NaN", "-Infinity", "Infinity"]) {
      const { choice, error, message } = readEvents(chunk.replace('"@"', number), finish())
      assert.isUndefined(error)
      assert.strictEqual(message?.content, 'say "NaN" \\ Infinity')
      assert.deepStrictEqual(choice?.logprobs?.content, [{ token: "NaN", logprob: -9999 }])
    }
  })
})

describe("the envelope", () => {
  it("is that of the first chunk that names it", () => {
    const { completion } = readEvents(
      { choices: [], created: 0, id: "", model: "", object: "", prompt_filter_results: [{}] },
      delta({ content: "a" }),
      finish()
    )
    assert.deepStrictEqual([completion?.id, completion?.model, completion?.created], ["chatcmpl-1", "alfred", 1700000000])
  })

  it("has the nearest valid values", () => {
    const { completion } = readCompletion(
      completionOf({ role: "assistant", content: "a" }, { id: 12, created: "1763626633", model: null, object: 1 })
    )
    assert.deepInclude(completion, { id: "12", created: 1763626633, model: "", object: "chat.completion" })
  })

  it("may differ by choice", () => {
    const { completion } = readEvents(
      { ...delta({ content: "a" }), id: "x" },
      { ...chunkOf([{ index: 1, delta: { content: "b" }, finish_reason: "stop" }]), id: "y" },
      { ...finish(), id: "x" }
    )
    assert.deepStrictEqual([completion?.id, completion?.choices.length], ["x", 2])
  })
})

describe("any JSON in any secondary field", () => {
  const call = { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Paris"}' } }
  const token = { token: "Hel", logprob: -0.5, bytes: [72, 101], top_logprobs: [{ token: "Hel", logprob: -0.5, bytes: null }] }
  const envelope = {
    id: "chatcmpl-1",
    created: 1700000000,
    model: "alfred",
    usage: {
      ...usage,
      prompt_tokens_details: { cached_tokens: 1, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 1, audio_tokens: null }
    },
    system_fingerprint: "fp",
    service_tier: "default",
    prompt_token_ids: [1, 2],
    metrics: { time_to_first_token_ms: 1.5 }
  }
  const choice = { index: 0, logprobs: { content: [token], refusal: null }, token_ids: [1], stop_reason: null }
  const said = {
    annotations: [{ type: "url_citation", url_citation: {} }],
    audio: { id: "a", data: "AA" },
    refusal: null,
    function_call: null
  }
  const completion: Json = {
    ...envelope,
    object: "chat.completion",
    choices: [
      {
        ...choice,
        message: { role: "assistant", content: "Hello", reasoning: "Hm", tool_calls: [call], ...said },
        finish_reason: "tool_calls"
      }
    ],
    prompt_logprobs: [null, { "12": { logprob: -1, rank: 1, decoded_token: "a" } }],
    kv_transfer_params: {}
  }
  const events: ReadonlyArray<Json> = [
    { delta: { role: "assistant", content: "", ...said } },
    { delta: { reasoning: "Hm" } },
    { delta: { content: "Hel" } },
    { delta: { content: "lo" } },
    { delta: { content: null, tool_calls: [{ index: 0, ...call, function: { name: "weather", arguments: "" } }] } },
    { delta: { tool_calls: [{ index: 0, function: { arguments: '{"city":"Paris"}' } }] } },
    { delta: {}, finish_reason: "tool_calls" }
  ].map((part) => ({ ...envelope, object: "chat.completion.chunk", choices: [{ ...choice, ...part }] }))

  // Paths of all fields except the essential ones: the index of a choice, the text, the calls and the finish reason.
  const essential =
    /^choices(\.0(\.(index|finish_reason|(delta|message)(\.(content|reasoning|tool_calls(\.0(\.(index|id|function(\.\w+)?))?)?))?))?)?$/
  const pathsOf = (value: unknown, path = ""): ReadonlyArray<string> =>
    typeof value !== "object" || value === null
      ? []
      : Object.entries(value).flatMap(([key, child]) => {
          const place = path === "" ? key : `${path}.${key}`
          return [...(essential.test(place) ? [] : [place]), ...pathsOf(child, place)]
        })
  const setAt = (value: Json, path: string, json: unknown): Json => {
    const copy = structuredClone(value)
    const keys = path.split(".")
    const last = keys.pop() ?? ""
    let owner = copy
    for (const key of keys) owner = owner[key] as Json
    owner[last] = json
    return copy
  }

  const json = Arbitrary.schema(Schema.Json)
  const pathIn = (paths: ReadonlyArray<string>) =>
    Arbitrary.schema(Schema.Literals(paths as ReadonlyArray<string> & readonly [string, ...Array<string>]))
  const expected = [call.function.name, call.function.arguments]

  it.prop(
    "does not affect the text, reasoning, calls or end of a completion",
    { path: pathIn(pathsOf(completion)), value: json },
    ({ path, value }) => {
      const { calls, choice, message } = readCompletion(setAt(completion, path, value))
      const [read] = calls
      assert.deepStrictEqual(
        [message.content, message.reasoning, [read?.function?.name, read?.function?.arguments], choice?.finish_reason],
        ["Hello", "Hm", expected, "tool_calls"]
      )
    },
    { arbitrary: { runs: 2000 } }
  )

  const streamed = events.flatMap((event, at) => pathsOf(event).map((path) => `${at}.${path}`))

  it.prop(
    "does not cost a stream its text, reasoning, calls or end",
    { path: pathIn(streamed), value: json },
    ({ path, value }) => {
      const at = Number(path.slice(0, path.indexOf(".")))
      const { calls, choice, error, message } = readEvents(
        ...events.map((event, i) => (i === at ? setAt(event, path.slice(path.indexOf(".") + 1), value) : event))
      )
      assert.isUndefined(error)
      assert.deepStrictEqual(
        [message?.content, message?.reasoning, calls[0]?.slice(1), calls.length, choice?.finish_reason],
        ["Hello", "Hm", expected, 1, "tool_calls"]
      )
    },
    { arbitrary: { runs: 2000 } }
  )
})
