import { ParadigmLanguageModel } from "@paradigm-effect/ai"
import { isParadigmError } from "@paradigm-effect/core/ParadigmError"
import { Paradigm } from "@paradigm-effect/node"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Chat from "effect/ai/Chat"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import * as GenAI from "effect/ai/Telemetry"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import {
  apiKey,
  call,
  chunk,
  collect,
  event,
  hang,
  lastUsage,
  modelOf,
  play,
  raw,
  refusal,
  serve,
  streamed,
  typesOf,
  whole
} from "./ModelServer.ts"

const Weather = Tool.make("weather", {
  description: "Current weather of a city",
  parameters: Schema.Struct({ city: Schema.String, days: Schema.optional(Schema.Int) }),
  success: Schema.Struct({ celsius: Schema.Number })
})
const Now = Tool.make("now", { success: Schema.String })
const toolkit = Toolkit.make(Weather, Now)
const handlers = toolkit.toLayer({ weather: () => Effect.succeed({ celsius: 18 }), now: () => Effect.succeed("12:00") })

const hello = whole({ content: "Hello!" })
const calls = (...tool_calls: ReadonlyArray<object>) => whole({ tool_calls }, "tool_calls")

describe("generateText", () => {
  it.effect("returns text, usage, metadata and the finish reason", () =>
    Effect.gen(function* () {
      const usage = {
        prompt_tokens: 30,
        completion_tokens: 12,
        total_tokens: 42,
        prompt_tokens_details: { cached_tokens: 16, created_cache_tokens: 8 },
        completion_tokens_details: { reasoning_tokens: 5 }
      }
      const answer = whole({ content: "Hello!", reasoning: "greet" }, "stop", { usage })
      const { requests, value } = yield* play([answer], LanguageModel.generateText({ prompt: "Say hello" }))
      assert.strictEqual(value.text, "Hello!")
      assert.strictEqual(value.reasoningText, "greet")
      assert.strictEqual(value.finishReason, "stop")
      assert.deepStrictEqual(
        { ...value.usage },
        {
          inputTokens: { total: 30, uncached: 14, cacheRead: 16, cacheWrite: 8 },
          outputTokens: { total: 12, text: 7, reasoning: 5 }
        }
      )
      const metadata = value.content.find((part) => part.type === "response-metadata")
      assert.strictEqual(metadata?.id, "chatcmpl-1")
      assert.strictEqual(metadata?.modelId, "alfred-4.2-fp8")
      assert.strictEqual(metadata?.timestamp && DateTime.toEpochMillis(metadata.timestamp), 1_700_000_000_000)
      assert.deepStrictEqual(requests[0]?.body, { model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
      assert.strictEqual(requests[0]?.headers.authorization, `Bearer ${apiKey}`)
    })
  )

  it.effect("leaves token counts out that the server does not send", () =>
    Effect.gen(function* () {
      const details = { prompt_tokens_details: null, completion_tokens_details: { reasoning_tokens: null } }
      const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, ...details }
      const { value } = yield* play([whole({ content: "ok" }, "stop", { usage })], LanguageModel.generateText({ prompt: "x" }))
      assert.deepStrictEqual({ ...value.usage }, { inputTokens: { total: 3 }, outputTokens: { total: 4 } })
      const without = yield* play([whole({ content: "ok" }, "stop", { usage: null })], LanguageModel.generateText({ prompt: "x" }))
      assert.deepStrictEqual({ ...without.value.usage }, { inputTokens: {}, outputTokens: {} })
    })
  )

  it.effect("keeps the whole completion, the status and the headers in the last part", () =>
    Effect.gen(function* () {
      const answer = {
        headers: { "content-type": "application/json", "x-request-id": "r-7", "set-cookie": "session=1" },
        body: whole({ content: "ok" }, "stop", { metrics: { queue_time_ms: 2 } }).body
      }
      const { value } = yield* play([answer], LanguageModel.generateText({ prompt: "x" }))
      const finish = value.content.find((part) => part.type === "finish")
      assert.strictEqual(finish?.response?.status, 200)
      assert.strictEqual(finish?.response?.headers["x-request-id"], "r-7")
      assert.notProperty(finish?.response?.headers, "set-cookie")
      assert.deepInclude(finish?.metadata["paradigm"], { requestId: "r-7" })
      assert.strictEqual(ParadigmLanguageModel.completion(value.content)?.metrics?.queue_time_ms, 2)
      assert.isUndefined(ParadigmLanguageModel.completion([]))
    })
  )
})

describe("streamText", () => {
  it.effect("streams reasoning, text and the last part, in blocks", () =>
    Effect.gen(function* () {
      const answer = streamed([{ reasoning: "hm" }, { reasoning: "m" }, { content: "Hel" }, { content: "lo" }])
      const { requests, value } = yield* play([answer], collect(LanguageModel.streamText({ prompt: "x" })))
      assert.strictEqual(
        typesOf(value.parts),
        "response-metadata reasoning-start reasoning-delta reasoning-end text-start text-delta text-end finish"
      )
      assert.strictEqual(value.parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join(""), "Hello")
      assert.strictEqual(value.parts.map((part) => (part.type === "reasoning-delta" ? part.delta : "")).join(""), "hmm")
      const finish = value.parts.at(-1)
      assert(finish?.type === "finish")
      assert.strictEqual(finish.usage.outputTokens.total, 4)
      assert.strictEqual(ParadigmLanguageModel.completion(value.parts)?.choices[0]?.message.content, "Hello")
      assert.deepStrictEqual(requests[0]?.body["stream_options"], { include_usage: true })
      assert.strictEqual(requests[0]?.body["stream"], true)
    })
  )

  it.effect("emits parts while the server still generates, and aborts the request when it is left", () =>
    Effect.gen(function* () {
      const { baseUrl, closed } = yield* hang(event(chunk({ content: "first" })))
      const parts = yield* LanguageModel.streamText({ prompt: "x" }).pipe(
        Stream.filter((part) => part.type === "text-delta"),
        Stream.take(1),
        Stream.runCollect,
        Effect.provide(modelOf(baseUrl))
      )
      assert.strictEqual(parts[0]?.delta, "first")
      yield* closed
    })
  )

  it.effect("ends the open block before an error in the stream", () =>
    Effect.gen(function* () {
      const fault = { error: { message: "CUDA out of memory", code: 500 } }
      const { value } = yield* play([raw(chunk({ content: "Hel" }), fault)], collect(LanguageModel.streamText({ prompt: "x" })))
      assert.strictEqual(typesOf(value.parts), "response-metadata text-start text-delta text-end")
      assert.strictEqual(value.error?.reason._tag, "InternalProviderError")
      const cause = value.error?.reason.cause
      assert(isParadigmError(cause))
      assert.strictEqual(cause.partial?.choices[0]?.message.content, "Hel")
    })
  )

  it.effect("fails when the stream breaks off, and runs no tool of it", () =>
    Effect.gen(function* () {
      let runs = 0
      const counting = toolkit.toLayer({
        weather: () => Effect.succeed({ celsius: 18 }),
        now: () => Effect.sync(() => `${runs++}`)
      })
      const answer = raw(chunk({ tool_calls: [call("now", "{}")] }))
      const program = collect(LanguageModel.streamText({ prompt: "x", toolkit })).pipe(Effect.provide(counting))
      for (const broken of [answer, { ...answer, isCut: true }]) {
        const { value } = yield* play([broken], program)
        assert.strictEqual(typesOf(value.parts), "response-metadata tool-params-start tool-params-delta")
        assert.strictEqual(value.error?._tag, "AiError")
        assert.include(["InvalidResponseError", "NetworkError"], value.error?.reason._tag)
      }
      assert.strictEqual(runs, 0)
    })
  )

  it.effect("streams the choice that begins, and keeps further ones in the completion", () =>
    Effect.gen(function* () {
      const of = (index: number, delta: object, finish_reason: string | null = null) => ({
        ...lastUsage,
        choices: [{ index, delta, finish_reason }]
      })
      const answer = raw(of(1, { content: "b" }), of(0, { content: "a" }), of(0, {}, "stop"), of(1, { content: "c" }, "length"), "[DONE]")
      const { value } = yield* play([answer], collect(LanguageModel.streamText({ prompt: "x" })), { call: { extraBody: { n: 2 } } })
      assert.strictEqual(value.parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join(""), "bc")
      const finish = value.parts.at(-1)
      assert.strictEqual(finish?.type === "finish" && finish.reason, "length")
      assert.deepStrictEqual(
        ParadigmLanguageModel.completion(value.parts)?.choices.map(({ message }) => message.content),
        ["a", "bc"]
      )
    })
  )

  it.effect("gives every block an id that no other answer has", () =>
    Effect.gen(function* () {
      const answer = streamed([{ content: "a" }, { reasoning: "b" }, { content: "c" }])
      const twice = Effect.all([collect(LanguageModel.streamText({ prompt: "x" })), collect(LanguageModel.streamText({ prompt: "y" }))])
      const { value } = yield* play([answer], twice)
      const ids = value.flatMap(({ parts }) =>
        parts.flatMap((part) => (part.type === "text-start" || part.type === "reasoning-start" ? [part.id] : []))
      )
      assert.lengthOf(ids, 6)
      assert.strictEqual(new Set(ids).size, 6)
    })
  )
})

describe("generateObject", () => {
  const City = Schema.Struct({
    name: Schema.String,
    founded: Schema.Date,
    mayor: Schema.optional(Schema.String),
    twins: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Null]))
  }).annotate({ identifier: "City", description: "A city of France" })

  it.effect("sends the JSON Schema with its name and description, and decodes the answer", () =>
    Effect.gen(function* () {
      const answers = [
        whole({ content: '{"name":"Paris","founded":"1970-01-01T00:00:00.000Z","twins":{"it":"Rome","x":null}}' }),
        whole({ content: '```json\n{"name":"Lyon","founded":"1970-01-01T00:00:00.000Z","mayor":null,"twins":{}}\n```' })
      ]
      const ask = LanguageModel.generateObject({ prompt: "The largest city?", schema: City })
      const { requests, value } = yield* play(answers, Effect.all([ask, ask]))
      assert.deepStrictEqual(
        value.map(({ value }) => value),
        [
          { name: "Paris", founded: new Date(0), twins: { it: "Rome", x: null } },
          { name: "Lyon", founded: new Date(0), mayor: undefined, twins: {} }
        ]
      )
      const format = requests[0]?.body["response_format"] as {
        readonly type: string
        readonly json_schema: Readonly<Record<string, unknown>> & { readonly schema: { readonly required: ReadonlyArray<string> } }
      }
      assert.strictEqual(format.type, "json_schema")
      assert.strictEqual(format.json_schema["name"], "City")
      assert.strictEqual(format.json_schema["description"], "A city of France")
      assert.strictEqual(format.json_schema["strict"], true)
      assert.deepStrictEqual(format.json_schema.schema.required, ["name", "founded", "twins"])
      assert.notProperty(requests[0]?.body, "tool_choice")
    })
  )

  const A = Schema.Struct({ a: Schema.Int })
  it.effect.each([
    ["only reasoning came", whole({ reasoning: '{"a":1}' }), /no text, only reasoning/],
    ["the answer was cut off", whole({ content: '{"a":1' }, "length"), /cut off at the token limit/],
    ["the number may have been cut off", whole({ content: '{"a":1}' }, "length"), /cut off at the token limit/],
    ["the model refused", whole({ refusal: "I must not" }), /refusal/],
    ["the text is not JSON", whole({ content: "Sure! a is 1" }), /not JSON/],
    ["the text does not match the schema", whole({ content: '{"a":"1"}' }), /"a"|a:/],
    ["the answer has no choices", { ...hello, body: JSON.stringify({ id: "c", choices: [], usage: null }) }, /./]
  ] as const)("fails when %s", ([, answer, description]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(play([answer], LanguageModel.generateObject({ prompt: "x", schema: A })))
      assert.strictEqual(error._tag, "AiError")
      assert.strictEqual(error.reason._tag, "StructuredOutputError")
      assert.match(error.message, description)
    })
  )

  it.effect("refuses a schema without a JSON Schema before sending", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve([hello])
      const schema = Schema.Struct({ [Symbol.for("key")]: Schema.String })
      const error = yield* LanguageModel.generateObject({ prompt: "x", schema: schema as never }).pipe(
        Effect.flip,
        Effect.provide(modelOf(baseUrl))
      )
      assert.strictEqual((error as { readonly reason: { readonly _tag: string } }).reason._tag, "UnsupportedSchemaError")
      assert.lengthOf(requests, 0)
    })
  )
})

describe("tools", () => {
  it.effect("are sent with descriptions, schemas and strictness, and run", () =>
    Effect.gen(function* () {
      const kit = Toolkit.make(Weather.annotate(Tool.Strict, true), Now)
      const program = LanguageModel.generateText({ prompt: "x", toolkit: kit }).pipe(
        Effect.provide(kit.toLayer({ weather: ({ city }) => Effect.succeed({ celsius: city.length }), now: () => Effect.succeed("12:00") }))
      )
      const answer = calls(call("weather", '{"city":"Paris","days":null}'), call("now", "", { id: "c2" }))
      const { requests, value } = yield* play([answer], program)
      assert.deepStrictEqual(
        value.toolResults.map(({ id, result }) => [id, result]),
        [
          ["c1", { celsius: 5 }],
          ["c2", "12:00"]
        ]
      )
      assert.strictEqual(value.finishReason, "tool-calls")
      const [weather, now] = requests[0]?.body.tools ?? []
      assert.strictEqual(weather?.type, "function")
      assert.strictEqual(weather?.function["description"], "Current weather of a city")
      assert.strictEqual(weather?.function["strict"], true)
      assert.deepInclude(weather?.function["parameters"], { type: "object", required: ["city"], additionalProperties: false })
      assert.deepStrictEqual(now?.function, { name: "now", parameters: { type: "object", properties: {}, additionalProperties: false } })
      assert.strictEqual(requests[0]?.body["tool_choice"], "auto")
    })
  )

  it.effect("run over several steps until the model answers", () =>
    Effect.gen(function* () {
      const answers = [
        calls(call("now", "{}")),
        calls(call("weather", '{"city":"Paris"}', { id: "c2" })),
        whole({ content: "18 degrees at 12:00" })
      ]
      const agent = Effect.gen(function* () {
        const chat = yield* Chat.fromPrompt("Weather in Paris now?")
        for (let step = 0; step < 5; step++) {
          const response = yield* chat.generateText({ prompt: [], toolkit })
          if (response.toolCalls.length === 0) return response.text
        }
        return "no answer"
      }).pipe(Effect.provide(handlers))
      const { requests, value } = yield* play(answers, agent)
      assert.strictEqual(value, "18 degrees at 12:00")
      assert.deepStrictEqual(requests[2]?.body.messages, [
        { role: "user", content: "Weather in Paris now?" },
        { role: "assistant", content: null, tool_calls: [{ id: "c1", type: "function", function: { name: "now", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "c1", content: "12:00" },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c2", type: "function", function: { name: "weather", arguments: '{"city":"Paris"}' } }]
        },
        { role: "tool", tool_call_id: "c2", content: '{"celsius":18}' }
      ])
    })
  )

  it.effect("stream over several steps", () =>
    Effect.gen(function* () {
      const answers = [
        streamed(
          [
            { content: "Let me look." },
            { tool_calls: [call("weather", '{"ci')] },
            { tool_calls: [{ index: 0, function: { arguments: 'ty":"Paris"}' } }] }
          ],
          "tool_calls"
        ),
        streamed([{ content: "18 degrees" }])
      ]
      const program = Effect.gen(function* () {
        const chat = yield* Chat.empty
        const first = yield* collect(chat.streamText({ prompt: "Weather?", toolkit }))
        const second = yield* collect(chat.streamText({ prompt: [], toolkit }))
        return [first, second] as const
      }).pipe(Effect.provide(handlers))
      const { requests, value } = yield* play(answers, program)
      assert.strictEqual(
        typesOf(value[0].parts),
        "response-metadata text-start text-delta text-end tool-params-start tool-params-delta tool-params-end tool-call tool-result finish"
      )
      assert.strictEqual(value[1].parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join(""), "18 degrees")
      assert.deepStrictEqual(
        requests[1]?.body.messages.map(({ role }) => role),
        ["user", "assistant", "tool"]
      )
      assert.strictEqual(requests[1]?.body.messages[1]?.content, "Let me look.")
      assert.strictEqual(requests[1]?.body.messages[2]?.content, '{"celsius":18}')
    })
  )

  it.effect.each([
    ["auto", "auto", ["weather", "now"]],
    ["none", "none", ["weather", "now"]],
    ["required", "required", ["weather", "now"]],
    [{ tool: "now" }, { type: "function", function: { name: "now" } }, ["weather", "now"]],
    [{ oneOf: ["now"] }, "auto", ["now"]],
    [{ mode: "required", oneOf: ["now"] }, "required", ["now"]]
  ] satisfies ReadonlyArray<readonly [LanguageModel.ToolChoice<"weather" | "now">, unknown, Array<string>]>)(
    "are chosen by %j",
    ([toolChoice, sent, names]) =>
      Effect.gen(function* () {
        const program = LanguageModel.generateText({ prompt: "x", toolkit, toolChoice }).pipe(Effect.provide(handlers))
        const { requests } = yield* play([hello], program)
        assert.deepStrictEqual(requests[0]?.body["tool_choice"], sent)
        assert.deepStrictEqual(
          requests[0]?.body.tools?.map((tool) => tool.function["name"]),
          names
        )
      })
  )

  it.effect.each([[{ mode: "required", oneOf: [] }], [{ tool: "other" }]] as const)(
    "are refused before sending when the choice %j has no tool",
    ([toolChoice]) =>
      Effect.gen(function* () {
        const { baseUrl, requests } = yield* serve([hello])
        const error = yield* LanguageModel.generateText({
          prompt: "x",
          toolkit,
          toolChoice: toolChoice as LanguageModel.ToolChoice<never>
        }).pipe(Effect.flip, Effect.provide(handlers), Effect.provide(modelOf(baseUrl)))
        assert.strictEqual(error.reason._tag, "InvalidRequestError")
        assert.match(error.message, /toolChoice/)
        assert.lengthOf(requests, 0)
      })
  )

  it.effect("fail when the model calls a tool that was not offered", () =>
    Effect.gen(function* () {
      const program = LanguageModel.generateText({ prompt: "x", toolkit, toolChoice: { oneOf: ["now"] } }).pipe(Effect.provide(handlers))
      const error = yield* Effect.flip(play([calls(call("weather", "{}"))], program))
      assert(error.reason._tag === "ToolNotFoundError")
      assert.deepStrictEqual(error.reason.availableTools, ["now"])
    })
  )

  it.effect("return calls as the model wrote them when validation is deferred", () =>
    Effect.gen(function* () {
      const program = LanguageModel.generateText({
        prompt: "x",
        toolkit,
        disableToolCallResolution: true,
        toolCallValidation: "deferred"
      })
      const answer = calls(call("other", '{"a":1}'), call("weather", '{"ci', { id: "c2" }))
      const { value } = yield* play([answer], program)
      assert.deepStrictEqual(
        value.toolCalls.map(({ name, params }) => [name, params]),
        [
          ["other", { a: 1 }],
          ["weather", '{"ci']
        ]
      )
    })
  )

  it.effect("of an MCP server are sent with their JSON Schema", () =>
    Effect.gen(function* () {
      const parameters = { type: "object", properties: { q: { type: "string" } }, required: ["q"] } as const
      const kit = Toolkit.make(Tool.dynamic("search", { description: "Searches", parameters }))
      const program = LanguageModel.generateText({ prompt: "x", toolkit: kit }).pipe(
        Effect.provide(kit.toLayer({ search: (params) => Effect.succeed(params) }))
      )
      const { requests, value } = yield* play([calls(call("search", '{"q":"Paris","more":1}'))], program)
      assert.deepStrictEqual(requests[0]?.body.tools?.[0]?.function, { name: "search", description: "Searches", parameters })
      assert.deepStrictEqual(value.toolResults[0]?.result, { q: "Paris", more: 1 })
    })
  )

  it.effect("that a provider defines are refused before sending", () =>
    Effect.gen(function* () {
      const Search = Tool.providerDefined({ id: "acme.web_search", customName: "Search", providerName: "web_search" })
      const kit = Toolkit.make(Search())
      const error = yield* Effect.flip(play([hello], LanguageModel.generateText({ prompt: "x", toolkit: kit as never })))
      assert.strictEqual((error as { readonly reason: { readonly _tag: string } }).reason._tag, "ToolConfigurationError")
    })
  )
})

describe("a chat", () => {
  it.effect.each([
    ["reasoning", undefined],
    ["reasoning_content", { reasoningField: "reasoning_content" }]
  ] as const)("sends the reasoning back as %s, streamed or not", ([field, config]) =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const chat = yield* Chat.empty
        yield* chat.generateText({ prompt: "x", toolkit })
        yield* collect(chat.streamText({ prompt: "y" }))
        return (yield* chat.generateText({ prompt: "z" })).text
      }).pipe(Effect.provide(handlers))
      const answers = [
        whole({ reasoning: "look", tool_calls: [call("now", "{}")] }, "tool_calls"),
        streamed([{ reasoning: "thi" }, { reasoning: "nk" }, { content: "ok" }]),
        hello
      ]
      const { requests, value } = yield* play(answers, program, config)
      assert.strictEqual(value, "Hello!")
      const sent = requests[2]?.body.messages ?? []
      assert.deepStrictEqual(
        sent.map(({ role }) => role),
        ["user", "assistant", "tool", "user", "assistant", "user"]
      )
      assert.strictEqual(sent[1]?.[field], "look")
      assert.deepStrictEqual(sent[4], { role: "assistant", content: "ok", [field]: "think" })
    })
  )
})

describe("the configuration", () => {
  it.effect("has the fields of the request, and is overridden in a scope, field by field", () =>
    Effect.gen(function* () {
      const ask = LanguageModel.generateText({ prompt: "x" })
      const program = Effect.all([
        ask,
        ask.pipe(
          ParadigmLanguageModel.withConfigOverride({ seed: 7, call: { headers: { "x-tenant": "b" } } }),
          ParadigmLanguageModel.withConfigOverride({ seed: 1, top_k: 40, model: "other" })
        ),
        ParadigmLanguageModel.withConfigOverride(LanguageModel.streamText({ prompt: "x" }), { temperature: 1 }).pipe(Stream.runDrain)
      ])
      const { requests } = yield* play([hello, hello, streamed([{ content: "ok" }])], program, {
        temperature: 0,
        chat_template_kwargs: { enable_thinking: false },
        structured_outputs: { choice: ["yes", "no"] },
        stream_options: { continuous_usage_stats: true },
        call: { headers: { "x-tenant": "a" }, extraBody: { future_field: 1 } }
      })
      const [first, second, third] = requests
      assert.deepInclude(first?.body, {
        model: "alfred-4.2",
        temperature: 0,
        chat_template_kwargs: { enable_thinking: false },
        structured_outputs: { choice: ["yes", "no"] },
        future_field: 1
      })
      assert.strictEqual(first?.headers["x-tenant"], "a")
      for (const name of ["call", "stream_options", "reasoningField"]) assert.notProperty(first?.body, name)
      assert.deepInclude(second?.body, { model: "other", temperature: 0, seed: 7, top_k: 40, future_field: 1 })
      assert.strictEqual(second?.headers["x-tenant"], "b")
      assert.deepInclude(third?.body, { temperature: 1, stream_options: { continuous_usage_stats: true, include_usage: true } })
    })
  )

  it("compiles with the fields of a request only", () => {
    const configs: ReadonlyArray<ParadigmLanguageModel.ModelConfig> = [
      { temperature: 0, chat_template_kwargs: { enable_thinking: false }, priority: 1, top_p: null, seed: undefined },
      // @ts-expect-error a misspelled field
      { temprature: 0 },
      // @ts-expect-error the prompt determines the messages
      { messages: [] },
      // @ts-expect-error an unknown option of the client
      { call: { timeout: 1 } }
    ]
    assert.lengthOf(configs, 4)
  })

  it.effect.each(["messages", "tools", "tool_choice", "functions", "function_call", "stream", "n"])(
    "fails before sending with %s, which the call determines",
    (name) =>
      Effect.gen(function* () {
        const { baseUrl, requests } = yield* serve([hello])
        const config = { [name]: [] } as object
        const error = yield* Effect.flip(Effect.provide(LanguageModel.generateText({ prompt: "x" }), modelOf(baseUrl, config)))
        assert(error.reason._tag === "InvalidRequestError")
        assert.strictEqual(error.reason.parameter, name)
        assert.lengthOf(requests, 0)
      })
  )

  it.effect("fails with the name of an option that the client does not know", () =>
    Effect.gen(function* () {
      const config = { call: { timeout: 5 } } as object
      const error = yield* Effect.flip(play([hello], LanguageModel.generateText({ prompt: "x" }), config))
      assert(error.reason._tag === "InvalidRequestError")
      assert.match(error.message, /timeouts\.total/)
    })
  )
})

describe("the spans", () => {
  it.effect("have the GenAI attributes, and the client's span is below them", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const transformed: Array<number> = []
      const program = Effect.all([
        LanguageModel.generateText({ prompt: "x" }),
        Stream.runDrain(LanguageModel.streamText({ prompt: "x" }))
      ]).pipe(
        Effect.provideService(GenAI.CurrentSpanTransformer, ({ response }) => void transformed.push(response.length)),
        Effect.withTracer(tracer)
      )
      yield* play([hello, streamed([{ content: "ok" }])], program, { temperature: 0, max_tokens: 9, stop: "end" })
      for (const name of ["LanguageModel.generateText", "LanguageModel.streamText"]) {
        const span = spans.find((span) => span.name === name)
        assert.deepInclude(Object.fromEntries(span?.attributes ?? []), {
          "gen_ai.provider.name": "paradigm",
          "gen_ai.operation.name": "chat",
          "gen_ai.request.model": "alfred-4.2",
          "gen_ai.request.temperature": 0,
          "gen_ai.request.max_tokens": 9,
          "gen_ai.response.id": "chatcmpl-1",
          "gen_ai.response.model": "alfred-4.2-fp8",
          "gen_ai.usage.input_tokens": 3,
          "gen_ai.usage.output_tokens": 4
        })
        assert.deepStrictEqual(span?.attributes.get("gen_ai.request.stop_sequences"), ["end"])
        assert.deepStrictEqual(span?.attributes.get("gen_ai.response.finish_reasons"), ["stop"])
        const below = spans.filter(({ parent }) => parent._tag === "Some" && parent.value.spanId === span?.spanId)
        assert.deepStrictEqual(
          below.map(({ name }) => name),
          ["chat alfred-4.2"]
        )
      }
      assert.lengthOf(transformed, 2)
    })
  )
})

describe("a model", () => {
  it.effect("provides its name and that of the provider", () =>
    Effect.gen(function* () {
      const names = Effect.all([Model.ProviderName, Model.ModelName])
      const layer = ParadigmLanguageModel.model("alfred-4.2").pipe(Layer.provide(Paradigm.layer({ apiKey, baseUrl: "http://127.0.0.1:1" })))
      assert.deepStrictEqual(yield* Effect.provide(names, layer), ["paradigm", "alfred-4.2"])
    })
  )

  it.effect("fails with an AiError that has no secret and the client's error as its cause", () =>
    Effect.gen(function* () {
      const answer = refusal(429, { error: { message: `slow down, ${apiKey}`, type: "rate", code: 429 } }, { "retry-after": "2" })
      const error = yield* Effect.flip(play([answer], LanguageModel.generateText({ prompt: "x" })))
      assert(error.reason._tag === "RateLimitError")
      assert.strictEqual(error.isRetryable, true)
      assert.strictEqual(String(error.retryAfter), "2000 millis")
      assert(isParadigmError(error.reason.cause))
      for (const text of [JSON.stringify(error), String(error.stack), error.reason.cause.message]) assert.notInclude(text, apiKey)
    })
  )

  it.effect("aborts the request when its fiber is interrupted", () =>
    Effect.gen(function* () {
      const { asked, baseUrl, closed } = yield* hang(" ")
      const fiber = yield* Effect.forkChild(Effect.provide(LanguageModel.generateText({ prompt: "x" }), modelOf(baseUrl)))
      yield* asked
      yield* Fiber.interrupt(fiber)
      yield* closed
    })
  )
})
