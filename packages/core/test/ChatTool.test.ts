import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import type { ChatCompletion, ChatMessage } from "../src/ChatCompletion.ts"
import * as ChatTool from "../src/ChatTool.ts"
import { ParadigmClient } from "../src/ParadigmClient.ts"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import { isParadigmError, type ParadigmError } from "../src/ParadigmError.ts"

const weather = ChatTool.make({
  name: "get_weather",
  description: "The weather in a city, now",
  parameters: Schema.Struct({
    city: Schema.String.annotateKey({ description: "Its English name" }),
    unit: Schema.optional(Schema.Literals(["celsius", "fahrenheit"])),
    at: Schema.optional(Schema.DateTimeUtc)
  })
})

const clock = ChatTool.make({ name: "get_time", parameters: Schema.Struct({}) })

const usage = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }

// With the nulls that vLLM sends.
const calling = (
  calls: ReadonlyArray<readonly [name: string, text: string, id?: string]>,
  finish_reason = "tool_calls"
): ChatCompletion => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "alfred",
  choices: [
    {
      index: 0,
      message: {
        role: "assistant",
        content: null,
        refusal: null,
        function_call: null,
        reasoning: "It needs the weather",
        tool_calls: calls.map(([name, text, id]) => ({
          ...(id === undefined ? {} : { id }),
          type: "function",
          function: { name, arguments: text }
        }))
      },
      finish_reason
    }
  ],
  usage
})

const saying = (content: string): ChatCompletion => {
  const completion = calling([])
  return { ...completion, choices: [{ index: 0, message: { role: "assistant", content, tool_calls: null }, finish_reason: "stop" }] }
}

const mismatchOf = <A, R>(effect: Effect.Effect<A, ParadigmError, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    if (error.reason._tag !== "AnswerMismatch") return assert.fail(`it failed with ${error.message}`)
    return { detail: error.reason.detail, text: error.reason.text, error }
  })

const reasonOf = (make: () => unknown) => {
  try {
    make()
  } catch (error) {
    if (isParadigmError(error)) return error.reason
  }
  return assert.fail("it was not refused")
}

describe("make", () => {
  it("defines the tool of a request", () => {
    assert.deepStrictEqual(weather.definition, {
      type: "function",
      function: {
        name: "get_weather",
        description: "The weather in a city, now",
        parameters: {
          type: "object",
          properties: {
            city: { type: "string", description: "Its English name" },
            unit: { anyOf: [{ type: "string", enum: ["celsius", "fahrenheit"] }, { type: "null" }] },
            at: { anyOf: [{ type: "string" }, { type: "null" }] }
          },
          required: ["city"],
          additionalProperties: false
        }
      }
    })
    assert.deepStrictEqual(clock.definition, {
      type: "function",
      function: { name: "get_time", parameters: { type: "object", properties: {}, additionalProperties: false } }
    })
  })

  it("accepts classes and unions of objects as parameters", () => {
    class Place extends Schema.Class<Place>("Place")({ city: Schema.String }) {}
    assert.strictEqual(ChatTool.make({ name: "f", parameters: Place }).definition.function?.parameters?.["type"], "object")
    const either = Schema.Union([Schema.Struct({ city: Schema.String }), Schema.Struct({ zip: Schema.String })])
    const { parameters } = ChatTool.make({ name: "f", parameters: either }).definition.function ?? {}
    assert.isArray(parameters?.["anyOf"])
  })

  it("rejects parameters that are not an object or have no JSON Schema, by the tool", () => {
    const listed = reasonOf(() => ChatTool.make({ name: "sum", parameters: Schema.Array(Schema.Int) }))
    assert.strictEqual(listed._tag, "InvalidRequest")
    assert.include(listed.message, "[tools.sum.parameters: Expected object]")
    const symbolic = reasonOf(() => ChatTool.make({ name: "sum", parameters: Schema.Struct({ [Symbol.for("key")]: Schema.String }) }))
    assert.strictEqual(symbolic._tag, "InvalidRequest")
    assert.include(symbolic.message, "tools.sum.parameters: ")
  })

  it("has the name and the parameters in its type", () => {
    expectTypeOf(clock.name).toEqualTypeOf<"get_time">()
    expectTypeOf<ChatTool.Call<typeof clock>["arguments"]>().toEqualTypeOf<(typeof clock.parameters)["Type"]>()
    expectTypeOf(Schema.String).not.toExtend<Parameters<typeof ChatTool.make>[0]["parameters"]>()
  })
})

describe("decodeCalls", () => {
  it.effect("returns the calls in order, as a union discriminated by name", () =>
    Effect.gen(function* () {
      const calls = yield* ChatTool.decodeCalls(
        calling([
          ["get_time", "{}", "call-1"],
          ["get_weather", '{"city":"Paris","unit":null,"at":"2025-01-02T03:04:05Z"}', "call-2"]
        ]),
        [weather, clock]
      )
      expectTypeOf(calls).toEqualTypeOf<ReadonlyArray<ChatTool.Call<typeof weather> | ChatTool.Call<typeof clock>>>()
      const seen = calls.map((call) => {
        expectTypeOf(call.name).toEqualTypeOf<"get_weather" | "get_time">()
        expectTypeOf(call.id).toEqualTypeOf<string | undefined>()
        if (call.name === "get_time") {
          expectTypeOf(call).toEqualTypeOf<ChatTool.Call<typeof clock>>()
          return [call.id, "the time"]
        }
        expectTypeOf(call.arguments).toEqualTypeOf<(typeof weather.parameters)["Type"]>()
        expectTypeOf(call.arguments.unit).toEqualTypeOf<"celsius" | "fahrenheit" | undefined>()
        return [call.id, call.arguments.city, call.arguments.unit, call.arguments.at?.epochMilliseconds]
      })
      assert.deepStrictEqual(seen, [
        ["call-1", "the time"],
        ["call-2", "Paris", undefined, Date.UTC(2025, 0, 2, 3, 4, 5)]
      ])
    })
  )

  it.effect("returns an empty array if no tool was called", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ChatTool.decodeCalls(saying("Hello"), [weather, clock]), [])
      assert.deepStrictEqual(yield* ChatTool.decodeCalls({ ...saying(""), choices: [] }, [weather, clock]), [])
    })
  )

  it.effect("decodes an empty text as no arguments, and accepts a call without an id", () =>
    Effect.gen(function* () {
      const calls = yield* ChatTool.decodeCalls(calling([["get_time", " "]]), [clock])
      assert.deepStrictEqual(calls, [{ id: undefined, name: "get_time", arguments: {} }])
      const { detail } = yield* mismatchOf(ChatTool.decodeCalls(calling([["get_weather", ""]]), [weather]))
      assert.match(detail, /^arguments of get_weather: city: Missing key/)
    })
  )

  const refused: ReadonlyArray<readonly [title: string, name: string, text: string, detail: RegExp]> = [
    ["arguments that are not JSON", "get_weather", '{"city":', /^arguments of get_weather: it is not JSON$/],
    ["arguments in a fence", "get_weather", '```json\n{"city":"Paris"}\n```', /^arguments of get_weather: it is not JSON$/],
    ["arguments that do not fit", "get_weather", '{"city":"Paris","unit":"kelvin"}', /^arguments of get_weather: unit: Expected/],
    ["arguments that are no object", "get_weather", "[]", /^arguments of get_weather: Expected object/],
    ["an unknown tool", "get_stock", "{}", /^there is no tool get_stock; known are get_weather, get_time$/]
  ]
  for (const [title, name, text, detail] of refused) {
    it.effect(`rejects ${title}`, () =>
      Effect.gen(function* () {
        const completion = calling([
          ["get_time", "{}", "call-1"],
          [name, text, "call-2"]
        ])
        const { error, ...mismatch } = yield* mismatchOf(ChatTool.decodeCalls(completion, [weather, clock]))
        assert.match(mismatch.detail, detail)
        assert.strictEqual(mismatch.text, text)
        assert.deepStrictEqual(error.partial, completion)
        assert.deepStrictEqual(error.usage, usage)
        assert.isFalse(error.isRetryable)
      })
    )
  }

  it.effect("rejects every call if there are no tools", () =>
    Effect.map(mismatchOf(ChatTool.decodeCalls(calling([["get_time", "{}"]]), [])), ({ detail }) =>
      assert.strictEqual(detail, "there is no tool get_time")
    )
  )

  it.effect("reports arguments that are truncated", () =>
    Effect.gen(function* () {
      const cut = calling([["get_weather", '{"city":"Pa']], "length")
      const { detail } = yield* mismatchOf(ChatTool.decodeCalls(cut, [weather]))
      assert.strictEqual(detail, "it was cut off at the token limit (finish_reason length); arguments of get_weather: it is not JSON")
      const whole = calling([["get_weather", '{"city":"Paris"}', "call-1"]], "length")
      assert.lengthOf(yield* ChatTool.decodeCalls(whole, [weather]), 1)
    })
  )

  it.effect("requires the services of the parameters", () =>
    Effect.gen(function* () {
      class Country extends Context.Service<Country, string>()("test/Country") {}
      const City = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transformEffect((city: string) => Effect.map(Country, (country) => `${city}, ${country}`)),
          encode: SchemaGetter.passthrough()
        })
      )
      const located = ChatTool.make({ name: "locate", parameters: Schema.Struct({ city: City }) })
      const calls = ChatTool.decodeCalls(calling([["locate", '{"city":"Paris"}']]), [located, clock])
      expectTypeOf<Effect.Services<typeof calls>>().toEqualTypeOf<Country>()
      const [call] = yield* Effect.provideService(calls, Country, "France")
      assert.deepStrictEqual(call?.arguments, { city: "Paris, France" })
    })
  )
})

describe("decodeCall", () => {
  it.effect("fails for a single call", () =>
    Effect.gen(function* () {
      const completion = calling([
        ["get_weather", "{}", "call-1"],
        ["get_weather", '{"city":"Paris"}', "call-2"]
      ])
      const messages = yield* Effect.forEach(completion.choices[0]?.message.tool_calls ?? [], (toolCall) =>
        ChatTool.decodeCall(toolCall, [weather]).pipe(
          Effect.map((call) => ChatTool.toolMessage(call, `Sunny in ${call.arguments.city}`)),
          Effect.catchReason("ParadigmError", "AnswerMismatch", ({ detail }) => Effect.succeed(ChatTool.toolMessage(toolCall, detail)))
        )
      )
      assert.deepStrictEqual(messages, [
        { role: "tool", tool_call_id: "call-1", content: "arguments of get_weather: city: Missing key" },
        { role: "tool", tool_call_id: "call-2", content: "Sunny in Paris" }
      ])
    })
  )
})

describe("messages", () => {
  it("writes a result that is not a string as JSON, with the id of the call", () => {
    assert.deepStrictEqual(ChatTool.toolMessage({ id: "call-1" }, { celsius: 21 }), {
      role: "tool",
      tool_call_id: "call-1",
      content: '{"celsius":21}'
    })
    assert.deepStrictEqual(ChatTool.toolMessage({ id: undefined }, "21"), { role: "tool", content: "21" })
    assert.deepStrictEqual(ChatTool.toolMessage({}, null), { role: "tool", content: "null" })
  })

  it("omits the nulls of the model's message", () => {
    const completion = calling([["get_time", "{}", "call-1"]])
    assert.deepStrictEqual(ChatTool.assistantMessage(completion), {
      role: "assistant",
      content: null,
      reasoning: "It needs the weather",
      tool_calls: [{ id: "call-1", type: "function", function: { name: "get_time", arguments: "{}" } }]
    })
    assert.deepStrictEqual(ChatTool.assistantMessage(saying("Hello")), { role: "assistant", content: "Hello" })
    expectTypeOf(ChatTool.assistantMessage).returns.toExtend<ChatMessage>()
  })
})

it.live("form a conversation with a tool, over a socket", () =>
  Effect.gen(function* () {
    const bodies: Array<unknown> = []
    const answers = [calling([["get_weather", '{"city":"Paris"}', "call-1"]]), saying("It is sunny in Paris.")]
    const server = yield* Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const server = createServer((incoming, response) => {
          const parts: Array<Buffer> = []
          incoming.on("data", (part: Buffer) => parts.push(part))
          incoming.on("end", () => {
            bodies.push(JSON.parse(Buffer.concat(parts).toString()))
            response.setHeader("content-type", "application/json").end(JSON.stringify(answers[bodies.length - 1]))
          })
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
    )
    const { port } = server.address() as AddressInfo
    const layer = HttpClientTransport.layer({ apiKey: "key", baseUrl: `http://127.0.0.1:${port}` }).pipe(
      Layer.provide(FetchHttpClient.layer)
    )

    const tools = [weather, clock]
    const request = { model: "alfred", tools: tools.map((tool) => tool.definition) }
    const question: ChatMessage = { role: "user", content: "Is it sunny in Paris?" }
    const completion = yield* Effect.gen(function* () {
      const client = yield* ParadigmClient
      const first = yield* client.createChatCompletion({ ...request, messages: [question] })
      const calls = yield* ChatTool.decodeCalls(first, tools)
      const results = calls.map((call) =>
        ChatTool.toolMessage(call, call.name === "get_weather" ? { city: call.arguments.city, sky: "clear" } : "noon")
      )
      return yield* client.createChatCompletion({ ...request, messages: [question, ChatTool.assistantMessage(first), ...results] })
    }).pipe(Effect.provide(layer))

    assert.strictEqual(completion.choices[0]?.message.content, "It is sunny in Paris.")
    assert.deepStrictEqual(bodies, [
      { model: "alfred", tools: [weather.definition, clock.definition], messages: [question] },
      {
        model: "alfred",
        tools: [weather.definition, clock.definition],
        messages: [
          question,
          {
            role: "assistant",
            content: null,
            reasoning: "It needs the weather",
            tool_calls: [{ id: "call-1", type: "function", function: { name: "get_weather", arguments: '{"city":"Paris"}' } }]
          },
          { role: "tool", tool_call_id: "call-1", content: '{"city":"Paris","sky":"clear"}' }
        ]
      }
    ])
  })
)
