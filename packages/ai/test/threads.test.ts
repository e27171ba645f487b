// What users of such providers reported in public threads, each with its kind: streamed and whole, with the values that servers send.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Chat from "effect/ai/Chat"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import { type Answer, call, chunk, collect, lastUsage, play, raw, refusal, streamed, typesOf, usage, whole } from "./ModelServer.ts"

const kit = Toolkit.make(
  Tool.make("now", { success: Schema.String }),
  Tool.make("read", { parameters: Schema.Struct({ path: Schema.String }), success: Schema.String })
)

class Ran {
  readonly seen: Array<unknown> = []
  readonly layer = kit.toLayer({
    now: () => Effect.sync(() => `${this.seen.push(["now"])}`),
    read: ({ path }) => Effect.sync(() => `${this.seen.push(["read", path])}`)
  })
}

const text = LanguageModel.generateText({ prompt: "x", toolkit: kit })
const stream = collect(LanguageModel.streamText({ prompt: "x", toolkit: kit }))

/** What both forms of an answer come to. */
const both = Effect.fnUntraced(function* (inWhole: Answer, inStream: Answer) {
  const [first, second] = [new Ran(), new Ran()]
  const generated = yield* play([inWhole], Effect.provide(text, first.layer))
  const collected = yield* play([inStream], Effect.provide(stream, second.layer))
  assert.isUndefined(collected.value.error)
  const finish = collected.value.parts.find((part) => part.type === "finish")
  return [
    { seen: first.seen, reason: generated.value.finishReason, ids: generated.value.toolCalls.map(({ id }) => id) },
    {
      seen: second.seen,
      reason: finish?.reason,
      ids: collected.value.parts.flatMap((part) => (part.type === "tool-call" ? [part.id] : []))
    }
  ]
})

const callsOf = (...calls: ReadonlyArray<object>) => whole({ tool_calls: calls }, "tool_calls")
const streamOf = (...calls: ReadonlyArray<object>) =>
  streamed(
    calls.map((each) => ({ tool_calls: [each] })),
    "tool_calls"
  )

describe("a call", () => {
  // https://github.com/Effect-TS/effect-smol/issues/1857
  it.effect("of a tool without parameters has a schema with properties", () =>
    Effect.gen(function* () {
      const empty = Toolkit.make(
        Tool.make("a"),
        Tool.make("b", { parameters: Tool.EmptyParams }),
        Tool.make("c", { parameters: Schema.Struct({}) })
      )
      const program = LanguageModel.generateText({ prompt: "x", toolkit: empty, disableToolCallResolution: true })
      const { requests } = yield* play([whole({ content: "ok" })], program)
      for (const tool of requests[0]?.body.tools ?? []) {
        assert.deepStrictEqual(tool.function["parameters"], { type: "object", properties: {}, additionalProperties: false })
      }
    })
  )

  // https://github.com/vercel/ai/issues/6687, https://github.com/vllm-project/vllm/issues/28806
  it.effect.each([undefined, null, "", " ", "{}"])("with the arguments %j runs with {}", (sent) =>
    Effect.gen(function* () {
      const called = { index: 0, id: "c1", type: "function", function: { name: "now", ...(sent !== undefined && { arguments: sent }) } }
      for (const { reason, seen } of yield* both(callsOf(called), streamOf(called))) {
        assert.deepStrictEqual(seen, [["now"]])
        assert.strictEqual(reason, "tool-calls")
      }
    })
  )

  // https://github.com/ggml-org/llama.cpp/issues/20198
  it.effect("with an object as arguments runs", () =>
    Effect.gen(function* () {
      const called = { index: 0, id: "c1", type: "function", function: { name: "read", arguments: { path: "a" } } }
      for (const { seen } of yield* both(callsOf(called), streamOf(called))) assert.deepStrictEqual(seen, [["read", "a"]])
    })
  )

  // https://github.com/vllm-project/vllm/issues/18412, https://github.com/vercel/ai/pull/19319
  it.effect.each([{}, { id: "" }, { id: null }])("without an id (%j) gets one of the IdGenerator, another one in every step", (id) =>
    Effect.gen(function* () {
      const ran = new Ran()
      let made = 0
      const generator = { generateId: () => Effect.sync(() => `made_${made++}`) }
      const agent = Effect.gen(function* () {
        const chat = yield* Chat.empty
        yield* chat.generateText({ prompt: "x", toolkit: kit })
        yield* collect(chat.streamText({ prompt: [], toolkit: kit }))
        return yield* chat.generateText({ prompt: [] })
      }).pipe(Effect.provide(ran.layer))
      const answers = [
        callsOf(call("now", "{}", id), call("read", '{"path":"a"}', id)),
        streamOf(call("now", "{}", id), call("read", '{"path":"b"}', { ...id, index: 1 })),
        whole({ content: "ok" })
      ]
      const { requests } = yield* play(answers, agent).pipe(Effect.provideService(IdGenerator.IdGenerator, generator))
      assert.deepStrictEqual(ran.seen, [["now"], ["read", "a"], ["now"], ["read", "b"]])
      const sent = requests[2]?.body.messages ?? []
      const ids = sent.flatMap(({ tool_calls }) => tool_calls?.map(({ id }) => id) ?? [])
      assert.lengthOf(ids, 4)
      assert.strictEqual(new Set(ids).size, 4)
      for (const id of ids) assert.match(id, /^made_\d+$/)
      assert.deepStrictEqual(
        sent.flatMap(({ tool_call_id }) => tool_call_id ?? []),
        ids
      )
    })
  )

  it.effect("keeps an id that comes after an empty one, and a number as its text", () =>
    Effect.gen(function* () {
      const late = streamed([
        { tool_calls: [{ index: 0, id: "", function: { arguments: "" } }] },
        { tool_calls: [{ index: 0, id: "c9", function: { name: "now", arguments: "{}" } }] }
      ])
      const [first, second] = yield* both(callsOf(call("now", "{}", { id: 7 })), late)
      assert.deepStrictEqual(first?.ids, ["7"])
      assert.deepStrictEqual(second?.ids, ["c9"])
    })
  )

  // https://github.com/vercel/ai/pull/14277
  it.effect.each([
    ["two ids", [call("read", '{"path":"a"}'), call("read", '{"path":"b"}', { id: "c2" })]],
    ["new arguments after whole ones, without ids", [call("read", '{"path":"a"}', {}), call("read", '{"path":"b"}', {})]],
    ["two names, without ids", [call("read", '{"path":"a"}', {}), call("now", "{}", {}), call("read", '{"path":"b"}', {})]]
  ] as const)("that shares its index with another one is another call: %s", ([, calls]) =>
    Effect.gen(function* () {
      const ran = new Ran()
      const { value } = yield* play([streamOf(...calls)], Effect.provide(stream, ran.layer))
      assert.isUndefined(value.error)
      const reads = ran.seen.filter((each) => Array.isArray(each) && each.length === 2)
      assert.sameDeepMembers(reads, [
        ["read", "a"],
        ["read", "b"]
      ])
      assert.lengthOf(ran.seen, calls.length)
      const ids = value.parts.flatMap((part) => (part.type === "tool-call" ? [part.id] : []))
      const begun = value.parts.flatMap((part) => (part.type === "tool-params-start" ? [part.id] : []))
      assert.strictEqual(new Set(ids).size, calls.length)
      assert.deepStrictEqual(begun, ids)
    })
  )

  // https://github.com/vercel/ai/pull/14760
  it.effect("begins when its name is known, with the arguments that came before", () =>
    Effect.gen(function* () {
      const ran = new Ran()
      const fragments = [call(undefined, '{"pa'), { index: 0, function: { name: "read", arguments: 'th":"a"}' } }]
      const { value } = yield* play([streamOf(...fragments)], Effect.provide(stream, ran.layer))
      assert.deepStrictEqual(ran.seen, [["read", "a"]])
      assert.strictEqual(value.parts.map((part) => (part.type === "tool-params-delta" ? part.delta : "")).join(""), '{"path":"a"}')
      assert.strictEqual(
        typesOf(value.parts),
        "response-metadata tool-params-start tool-params-delta tool-params-end tool-call tool-result finish"
      )
    })
  )

  it.effect("without any name fails, and says so", () =>
    Effect.gen(function* () {
      const { value } = yield* play([streamOf(call(undefined, '{"path":"a"}'))], Effect.provide(stream, new Ran().layer))
      assert.strictEqual(value.error?.reason._tag, "InvalidOutputError")
      assert.match(value.error?.message ?? "", /has no name/)
    })
  )

  // https://github.com/vllm-project/vllm/pull/48922
  it.effect.each([
    ["cut off", '{"pa', "length", /cut off at the token limit/],
    ["wrong", '{path: "a"}', "tool_calls", /not JSON/],
    ["dangerous", '{"__proto__":{"x":1}}', "tool_calls", /forbidden prototype property/]
  ] as const)("with arguments that are %s fails after what came before it, and runs nothing", ([, wrong, reason, message]) =>
    Effect.gen(function* () {
      const ran = new Ran()
      const calls = [call("now", "{}"), call("read", wrong, { id: "c2", index: 1 })]
      const answer = streamed([{ content: "Let me look" }, ...calls.map((each) => ({ tool_calls: [each] }))], reason)
      const { value } = yield* play([answer], Effect.provide(stream, ran.layer))
      assert.strictEqual(
        typesOf(value.parts),
        "response-metadata text-start text-delta text-end tool-params-start tool-params-delta tool-params-start tool-params-delta tool-params-end tool-call"
      )
      const error = yield* Effect.flip(play([whole({ tool_calls: calls }, reason)], Effect.provide(text, ran.layer)))
      for (const found of [value.error, error]) {
        assert(found?._tag === "AiError" && found.reason._tag === "ToolParameterValidationError")
        assert.strictEqual(found.reason.toolName, "read")
        assert.match(found.message, message)
      }
      assert.deepStrictEqual(ran.seen, [])
    })
  )

  it.effect.each(["null", "[1]", "7", '{"path":1}'])(
    "with arguments that do not fit (%s) is the tool's failure, which the model reads",
    (sent) =>
      Effect.gen(function* () {
        const patient = Toolkit.make(
          Tool.make("read", { parameters: Schema.Struct({ path: Schema.String }), success: Schema.String, failureMode: "return" })
        )
        const agent = Effect.gen(function* () {
          const chat = yield* Chat.empty
          yield* chat.generateText({ prompt: "x", toolkit: patient })
          return (yield* chat.generateText({ prompt: [], toolkit: patient })).text
        }).pipe(Effect.provide(patient.toLayer({ read: () => Effect.succeed("never") })))
        const { requests, value } = yield* play([callsOf(call("read", sent)), whole({ content: "sorry" })], agent)
        assert.strictEqual(value, "sorry")
        const [, assistant, result] = requests[1]?.body.messages ?? []
        assert.match(assistant?.tool_calls?.[0]?.function.arguments ?? "", /^\{.*\}$/)
        assert.match(String(result?.content), /^\{"error":"Invalid parameters for tool 'read'/)
      })
  )

  // https://github.com/anomalyco/opencode/issues/20719
  it.effect.each([
    ["stop", "tool-calls", 1],
    ["tool_calls", "tool-calls", 1],
    ["length", "length", 0],
    ["content_filter", "content-filter", 0],
    ["repetition", "other", 0],
    ["constructor", "other", 0]
  ] as const)("in an answer that ends with %s has the reason %s", ([sent, expected, runs]) =>
    Effect.gen(function* () {
      const called = call("now", "{}")
      const found = yield* both(whole({ tool_calls: [called] }, sent), streamed([{ tool_calls: [called] }], sent))
      for (const { reason, seen } of found) {
        assert.strictEqual(reason, expected)
        assert.lengthOf(seen, runs)
      }
    })
  )

  // https://github.com/Effect-TS/effect/issues/6702
  it.effect("next to another one is in one message, which both results follow", () =>
    Effect.gen(function* () {
      const agent = Effect.gen(function* () {
        const chat = yield* Chat.empty
        yield* chat.generateText({ prompt: "x", toolkit: kit })
        return yield* chat.generateText({ prompt: "y", toolkit: kit })
      }).pipe(Effect.provide(new Ran().layer))
      const answers = [callsOf(call("now", "{}"), call("read", '{"path":"a"}', { id: "c2" })), whole({ content: "ok" })]
      const { requests } = yield* play(answers, agent)
      assert.deepStrictEqual(
        requests[1]?.body.messages.map(({ role, tool_call_id }) => [role, tool_call_id]),
        [
          ["user", undefined],
          ["assistant", undefined],
          ["tool", "c1"],
          ["tool", "c2"],
          ["user", undefined]
        ]
      )
    })
  )

  it.effect("of the old form, function_call, runs", () =>
    Effect.gen(function* () {
      const old = { function_call: { name: "read", arguments: '{"path":"a"}' } }
      for (const { ids, reason, seen } of yield* both(whole(old, "function_call"), streamed([old], "function_call"))) {
        assert.deepStrictEqual(seen, [["read", "a"]])
        assert.strictEqual(reason, "tool-calls")
        assert.match(ids[0] ?? "", /^id_/)
      }
    })
  )
})

describe("the text and the reasoning", () => {
  // https://github.com/Effect-TS/effect/issues/6059, https://github.com/vllm-project/vllm/pull/28531
  it.effect.each([
    { reasoning: "hm" },
    { reasoning_content: "hm" },
    { reasoning: "hm", reasoning_content: "hm" },
    { reasoning: "", reasoning_content: "hm" }
  ])("are read once from %j", (fields) =>
    Effect.gen(function* () {
      const generated = yield* play([whole({ ...fields, content: "ok" })], LanguageModel.generateText({ prompt: "x" }))
      assert.strictEqual(generated.value.reasoningText, "hm")
      const { value } = yield* play([streamed([fields, { content: "ok" }])], collect(LanguageModel.streamText({ prompt: "x" })))
      assert.strictEqual(value.parts.map((part) => (part.type === "reasoning-delta" ? part.delta : "")).join(""), "hm")
    })
  )

  it.effect("include a refusal, which ends the answer with content-filter", () =>
    Effect.gen(function* () {
      const generated = yield* play([whole({ refusal: "I must not" })], LanguageModel.generateText({ prompt: "x" }))
      assert.strictEqual(generated.value.text, "I must not")
      assert.strictEqual(generated.value.finishReason, "content-filter")
      const { value } = yield* play(
        [streamed([{ refusal: "I must" }, { refusal: " not" }])],
        collect(LanguageModel.streamText({ prompt: "x" }))
      )
      assert.strictEqual(value.parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join(""), "I must not")
      const finish = value.parts.at(-1)
      assert.strictEqual(finish?.type === "finish" && finish.reason, "content-filter")
    })
  )

  // https://github.com/Effect-TS/effect/issues/6128
  it.effect.each([
    ["has no choices", lastUsage],
    ["lacks the field choices", { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m", usage }],
    ["has null as choices", { ...lastUsage, choices: null }]
  ] as const)("survive a last event with usage that %s", ([, last]) =>
    Effect.gen(function* () {
      const answer = raw(chunk({ role: null, content: "ok" }), chunk({}, "stop"), last, "[DONE]")
      const { value } = yield* play([answer], collect(LanguageModel.streamText({ prompt: "x" })))
      assert.isUndefined(value.error)
      assert.strictEqual(typesOf(value.parts), "response-metadata text-start text-delta text-end finish")
      const finish = value.parts.at(-1)
      assert.strictEqual(finish?.type === "finish" && finish.usage.inputTokens.total, 3)
    })
  )
})

describe("an error", () => {
  // https://github.com/vercel/ai/issues/7247
  it.effect.each([
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after-ms": "1500" }, 1500],
    [{}, undefined]
  ] as const)("429 with the headers %j has the delay", ([headers, millis]) =>
    Effect.gen(function* () {
      const answer = refusal(429, { error: { message: "slow down", type: "rate", code: 429 } }, headers)
      const error = yield* Effect.flip(play([answer], LanguageModel.generateText({ prompt: "x" })))
      assert(error.reason._tag === "RateLimitError")
      assert.strictEqual(error.isRetryable, true)
      assert.strictEqual(error.retryAfter === undefined ? undefined : Number(String(error.retryAfter).replace(" millis", "")), millis)
    })
  )

  it.effect.each([
    [{ error: { message: "overloaded", code: 503 } }, "InternalProviderError", true],
    [{ error: { message: "slow down", code: 429 } }, "RateLimitError", true],
    [{ object: "error", message: "too long", code: 400 }, "InvalidRequestError", false]
  ] as const)("in a response with the status 200 is as retryable as its status: %j", ([body, tag, isRetryable]) =>
    Effect.gen(function* () {
      const generated = yield* Effect.flip(play([refusal(200, body)], LanguageModel.generateText({ prompt: "x" })))
      const { value } = yield* play([raw(body)], collect(LanguageModel.streamText({ prompt: "x" })))
      assert.deepStrictEqual(value.parts, [])
      for (const error of [generated, value.error]) {
        assert.strictEqual(error?.reason._tag, tag)
        assert.strictEqual(error?.isRetryable, isRetryable)
      }
    })
  )

  it.effect("of FastAPI names the field", () =>
    Effect.gen(function* () {
      const answer = refusal(422, { detail: [{ loc: ["body", "temperature"], msg: "must be at most 2", type: "value_error" }] })
      const error = yield* Effect.flip(play([answer], LanguageModel.generateText({ prompt: "x" })))
      assert(error.reason._tag === "InvalidRequestError")
      assert.strictEqual(error.reason.parameter, "temperature")
      assert.match(error.message, /must be at most 2/)
      assert.strictEqual(error.reason.http?.response?.status, 422)
      assert.include(error.reason.http?.body, '"loc"')
    })
  )

  it.effect("can be retried by its retryability", () =>
    Effect.gen(function* () {
      const ask = LanguageModel.generateText({ prompt: "x" })
      const answers = [refusal(200, { error: { message: "overloaded", code: 503 } }), whole({ content: "ok" })]
      const { requests, value } = yield* play(answers, Effect.retry(ask, { times: 2, while: (error) => error.isRetryable }))
      assert.strictEqual(value.text, "ok")
      assert.lengthOf(requests, 2)
    })
  )
})
