import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionDelta } from "../src/ChatCompletion.ts"
import { ParadigmClient } from "../src/ParadigmClient.ts"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import type { ParadigmError } from "../src/ParadigmError.ts"
import * as StructuredOutput from "../src/StructuredOutput.ts"

const City = Schema.Struct({
  name: Schema.String,
  population: Schema.Int,
  nickname: Schema.optional(Schema.String)
})

const request = { model: "alfred", messages: [{ role: "user" as const, content: "The largest city of France?" }] }

const usage = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }

const completionOf = (message: object, finish_reason = "stop"): ChatCompletion => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "alfred",
  choices: [{ index: 0, message: { role: "assistant", content: null, ...message }, finish_reason }],
  usage
})

const chunkOf = (delta: ChatCompletionDelta, finish_reason: string | null): ChatCompletionChunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "alfred",
  choices: [{ index: 0, delta, finish_reason }]
})

const chunksOf = (pieces: ReadonlyArray<string>, finish_reason = "stop"): ReadonlyArray<ChatCompletionChunk> => [
  chunkOf({ role: "assistant", content: "" }, null),
  ...pieces.map((content) => chunkOf({ content }, null)),
  chunkOf({}, finish_reason)
]

interface Scripted {
  readonly client: Layer.Layer<ParadigmClient, ParadigmError>
  /** The requests' bodies. */
  readonly bodies: Array<unknown>
  /** Resolves when a connection was closed before the end of the response. */
  readonly left: Promise<void>
}

class Streamed {
  readonly chunks: ReadonlyArray<ChatCompletionChunk>
  readonly end: "done" | "cut" | "never"

  constructor(chunks: ReadonlyArray<ChatCompletionChunk>, end: Streamed["end"]) {
    this.chunks = chunks
    this.end = end
  }
}

/** A server that responds to every request with a completion or with chunks. The stream may stay open. */
const scripted = (answer: ChatCompletion | Streamed): Effect.Effect<Scripted, never, Scope.Scope> =>
  Effect.gen(function* () {
    const bodies: Array<unknown> = []
    const left = Promise.withResolvers<void>()
    const server = yield* Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const server = createServer((incoming, response) => {
          const parts: Array<Buffer> = []
          incoming.on("data", (part: Buffer) => parts.push(part))
          incoming.on("end", () => {
            bodies.push(JSON.parse(Buffer.concat(parts).toString()))
            response.setHeader("x-request-id", "req-7")
            if (!(answer instanceof Streamed)) {
              response.setHeader("content-type", "application/json").end(JSON.stringify(answer))
              return
            }
            response.on("close", () => response.writableFinished || left.resolve())
            response.setHeader("content-type", "text/event-stream")
            response.write(answer.chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join(""))
            if (answer.end === "done") response.end("data: [DONE]\n\n")
            if (answer.end === "cut") response.end()
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
    const client = HttpClientTransport.layer({ apiKey: "key", baseUrl: `http://127.0.0.1:${port}` }).pipe(
      Layer.provide(FetchHttpClient.layer)
    )
    return { client, bodies, left: left.promise }
  })

const mismatchOf = <A, R>(effect: Effect.Effect<A, ParadigmError, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    if (error.reason._tag !== "AnswerMismatch") return assert.fail(`it failed with ${error.message}`)
    assert.isFalse(error.isRetryable)
    return { detail: error.reason.detail, text: error.reason.text, error }
  })

const nameOf = (schema: Schema.Constraint, name?: string) => StructuredOutput.responseFormat(schema, { name }).json_schema.name

const schemaOf = (schema: Schema.Constraint) => StructuredOutput.responseFormat(schema).json_schema.schema

describe("createChatCompletion", () => {
  it.live("sends the schema, and returns the typed value with the completion", () =>
    Effect.gen(function* () {
      const completion = completionOf({ content: '{"name":"Paris","population":2102650}' })
      const { bodies, client } = yield* scripted(completion)
      const answer = yield* StructuredOutput.createChatCompletion({ ...request, temperature: 0 }, City).pipe(Effect.provide(client))
      expectTypeOf(answer.value).toEqualTypeOf<{
        readonly name: string
        readonly population: number
        readonly nickname?: string | undefined
      }>()
      assert.deepStrictEqual(answer.value, { name: "Paris", population: 2102650 })
      assert.deepStrictEqual(answer.completion, completion)
      assert.deepStrictEqual(bodies, [
        {
          ...request,
          temperature: 0,
          response_format: {
            type: "json_schema",
            json_schema: {
              name: "answer",
              schema: {
                type: "object",
                properties: {
                  name: { type: "string" },
                  population: { type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
                  nickname: { anyOf: [{ type: "string" }, { type: "null" }] }
                },
                required: ["name", "population"],
                additionalProperties: false
              },
              strict: true
            }
          }
        }
      ])
    })
  )

  it.live("fails with the problems by their paths, and with the completion", () =>
    Effect.gen(function* () {
      const completion = completionOf({ content: '{"name":"Paris","population":"two million"}' })
      const { client } = yield* scripted(completion)
      const { detail, error, text } = yield* mismatchOf(StructuredOutput.createChatCompletion(request, City).pipe(Effect.provide(client)))
      assert.match(detail, /^population: Expected/)
      assert.strictEqual(text, '{"name":"Paris","population":"two million"}')
      assert.deepStrictEqual(error.partial, completion)
      assert.deepStrictEqual(error.usage, usage)
      assert.strictEqual(error.requestId, "req-7")
      assert.match(error.message, /^AnswerMismatch: The model's answer does not fit: population: .*req-7/)
    })
  )

  it.live("rejects a request with a response format, or a schema without a JSON Schema, before sending", () =>
    Effect.gen(function* () {
      const { bodies, client } = yield* scripted(completionOf({ content: "{}" }))
      const own = { ...request, response_format: { type: "text" } } as unknown as StructuredOutput.Request
      const symbolic = Schema.Struct({ [Symbol.for("key")]: Schema.String })
      const failures = yield* Effect.all([
        Effect.flip(StructuredOutput.createChatCompletion(own, City)),
        Effect.flip(StructuredOutput.createChatCompletion(request, symbolic)),
        Effect.flip(Stream.runDrain(StructuredOutput.streamChatCompletion(own, City)))
      ]).pipe(Effect.provide(client))
      assert.deepStrictEqual(
        failures.map(({ reason }) => (reason._tag === "InvalidRequest" ? Object.keys(reason.fields) : reason._tag)),
        [["response_format"], ["response_format.json_schema.schema"], ["response_format"]]
      )
      assert.deepStrictEqual(bodies, [])
    })
  )

  it("accepts no response format, and requires the services of the schema", () => {
    expectTypeOf({ ...request, response_format: { type: "text" } }).not.toExtend<StructuredOutput.Request>()
    expectTypeOf(request).toExtend<StructuredOutput.Request>()
    expectTypeOf(StructuredOutput.createChatCompletion(request, City)).toExtend<
      Effect.Effect<StructuredOutput.Answer<typeof City.Type>, ParadigmError, ParadigmClient>
    >()
    expectTypeOf(StructuredOutput.createChatCompletion(request, Prefixed)).toExtend<
      Effect.Effect<StructuredOutput.Answer<string>, ParadigmError, ParadigmClient | Prefix>
    >()
    expectTypeOf(StructuredOutput.createChatCompletion(request, Prefixed)).not.toExtend<
      Effect.Effect<unknown, ParadigmError, ParadigmClient>
    >()
  })
})

class Prefix extends Context.Service<Prefix, string>()("test/Prefix") {}

const Prefixed = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transformEffect((text: string) => Effect.map(Prefix, (prefix) => prefix + text)),
    encode: SchemaGetter.passthrough()
  })
)

describe("streamChatCompletion", () => {
  it.live("emits the chunks, then the response", () =>
    Effect.gen(function* () {
      const chunks = chunksOf(['{"name":"Par', 'is","popu', 'lation":1}'])
      const { bodies, client } = yield* scripted(new Streamed(chunks, "done"))
      const parts = yield* StructuredOutput.streamChatCompletion(request, City, { name: "city" }).pipe(
        Stream.runCollect,
        Effect.provide(client)
      )
      assert.deepStrictEqual(
        parts.slice(0, -1),
        chunks.map((chunk) => ({ _tag: "Chunk", chunk }) as const)
      )
      const last = parts.at(-1)
      if (last?._tag !== "Answer") return assert.fail("there is no answer")
      expectTypeOf(last.value).toEqualTypeOf<typeof City.Type>()
      assert.deepStrictEqual(last.value, { name: "Paris", population: 1 })
      assert.strictEqual(last.completion.choices[0]?.message.content, '{"name":"Paris","population":1}')
      const body = bodies[0] as { stream: unknown; response_format: { json_schema: { name: unknown } } }
      assert.isTrue(body.stream)
      assert.strictEqual(body.response_format.json_schema.name, "city")
    })
  )

  it.live("fails after the chunks if the text does not match", () =>
    Effect.gen(function* () {
      const { client } = yield* scripted(new Streamed(chunksOf(['{"name":"Par'], "length"), "done"))
      const seen: Array<string> = []
      const { detail, error, text } = yield* mismatchOf(
        StructuredOutput.streamChatCompletion(request, City).pipe(
          Stream.runForEach((part) => Effect.sync(() => seen.push(part._tag))),
          Effect.provide(client)
        )
      )
      assert.deepStrictEqual(seen, ["Chunk", "Chunk", "Chunk"])
      assert.strictEqual(detail, "it was cut off at the token limit (finish_reason length)")
      assert.strictEqual(text, '{"name":"Par')
      assert.strictEqual(error.partial?.choices[0]?.message.content, '{"name":"Par')
      assert.strictEqual(error.requestId, "req-7")
    })
  )

  it.live("fails as the stream does if it is truncated", () =>
    Effect.gen(function* () {
      const { client } = yield* scripted(new Streamed(chunksOf(['{"name":"Paris","population":1}']).slice(0, -1), "cut"))
      const error = yield* StructuredOutput.streamChatCompletion(request, City).pipe(Stream.runDrain, Effect.flip, Effect.provide(client))
      assert.strictEqual(error.reason._tag, "StreamTruncated")
      assert.strictEqual(error.partial?.choices[0]?.message.content, '{"name":"Paris","population":1}')
    })
  )

  it.live("fails if the stream has no chunks", () =>
    Effect.gen(function* () {
      const { client } = yield* scripted(new Streamed([], "done"))
      const error = yield* StructuredOutput.streamChatCompletion(request, City).pipe(Stream.runDrain, Effect.flip, Effect.provide(client))
      assert.include(["AnswerMismatch", "StreamTruncated"], error.reason._tag)
    })
  )

  it.live("closes the connection when it is interrupted", () =>
    Effect.gen(function* () {
      const { client, left } = yield* scripted(new Streamed(chunksOf(["{"]).slice(0, -1), "never"))
      const parts = yield* StructuredOutput.streamChatCompletion(request, City).pipe(
        Stream.take(1),
        Stream.runCollect,
        Effect.provide(client)
      )
      assert.lengthOf(parts, 1)
      yield* Effect.promise(() => left)
    })
  )
})

const decode = (message: object, finishReason?: string) => StructuredOutput.decode(completionOf(message, finishReason), City)

describe("decode", () => {
  const fitting = '{"name":"Paris","population":1}'

  for (const content of [
    fitting,
    `\n  ${fitting}\n`,
    `\`\`\`json\n${fitting}\n\`\`\``,
    `\`\`\`\n${fitting}\`\`\``,
    `\n\`\`\`JSON \r\n${fitting}\r\n\`\`\`\n`,
    '{"name":"Paris","population":1,"nickname":null}',
    '{"name":"Paris","population":1,"country":"France"}'
  ]) {
    it.effect(`decodes ${JSON.stringify(content)}`, () =>
      Effect.map(decode({ content }), ({ value }) => {
        assert.strictEqual(value.name, "Paris")
        assert.strictEqual(value.population, 1)
        assert.isUndefined(value.nickname)
      })
    )
  }

  const refused: ReadonlyArray<readonly [title: string, message: object, finishReason: string, detail: RegExp, text: string]> = [
    ["text that is not JSON", { content: "Paris" }, "stop", /^it is not JSON$/, "Paris"],
    ["text before the JSON", { content: `Sure: ${fitting}` }, "stop", /^it is not JSON$/, `Sure: ${fitting}`],
    [
      "text around a fence",
      { content: `Sure:\n\`\`\`json\n${fitting}\n\`\`\`` },
      "stop",
      /^it is not JSON$/,
      `Sure:\n\`\`\`json\n${fitting}\n\`\`\``
    ],
    ["a fence that does not end", { content: `\`\`\`json\n${fitting}` }, "stop", /^it is not JSON$/, `\`\`\`json\n${fitting}`],
    [
      "a fence of another language",
      { content: `\`\`\`js\n${fitting}\n\`\`\`` },
      "stop",
      /^it is not JSON$/,
      `\`\`\`js\n${fitting}\n\`\`\``
    ],
    ["a fence alone", { content: "```json" }, "stop", /^it is not JSON$/, "```json"],
    ["the wrong kind", { content: "[]" }, "stop", /^Expected object/, "[]"],
    ["every problem at once", { content: '{"population":1.5}' }, "stop", /^name: Missing key; population: Expected/, '{"population":1.5}'],
    ["a text that was cut off", { content: '{"name":"Pa' }, "length", /cut off at the token limit \(finish_reason length\)/, '{"name":"Pa'],
    ["a text that may have been cut off", { content: fitting }, "length", /finish_reason length/, fitting],
    ["a text that was filtered", { content: fitting }, "content_filter", /finish_reason content_filter/, fitting],
    ["a refusal", { refusal: "I cannot help with that." }, "stop", /^it is a refusal$/, "I cannot help with that."],
    ["no text", { content: "" }, "stop", /^it has no text$/, ""],
    ["no text but reasoning", { reasoning: "Paris, I think" }, "stop", /^it has no text, only reasoning$/, "Paris, I think"],
    ["no text but reasoning of old", { reasoning_content: "Hm" }, "stop", /^it has no text, only reasoning$/, "Hm"],
    [
      "only calls",
      { tool_calls: [{ id: "1", function: { name: "f", arguments: "{}" } }] },
      "tool_calls",
      /^it has no text, only tool calls$/,
      ""
    ]
  ]
  for (const [title, message, finishReason, detail, text] of refused) {
    it.effect(`rejects ${title}`, () =>
      Effect.map(mismatchOf(decode(message, finishReason)), (mismatch) => {
        assert.match(mismatch.detail, detail)
        assert.strictEqual(mismatch.text, text)
        assert.deepStrictEqual(mismatch.error.partial, completionOf(message, finishReason))
      })
    )
  }

  it.effect("rejects a completion without choices", () =>
    Effect.map(mismatchOf(StructuredOutput.decode({ ...completionOf({}), choices: [] }, City)), ({ detail }) =>
      assert.strictEqual(detail, "the completion has no choices")
    )
  )

  it.effect("quotes the beginning of a long text", () =>
    Effect.map(mismatchOf(decode({ content: "x".repeat(100_000) })), ({ text }) => assert.lengthOf(text, 4096))
  )

  it.effect("lists the first of many problems", () =>
    Effect.map(
      mismatchOf(
        StructuredOutput.decode(
          completionOf({ content: JSON.stringify(Array.from({ length: 10_000 }, () => "x")) }),
          Schema.Array(Schema.Int)
        )
      ),
      ({ detail }) => {
        assert.match(detail, /^\[0\]: Expected .*; \[1\]: /)
        assert.isAtMost(detail.length, 4096)
      }
    )
  )

  it.effect("rejects text that is nested too deeply", () =>
    Effect.gen(function* () {
      interface Nest extends ReadonlyArray<Nest> {}
      const Nest: Schema.Codec<Nest> = Schema.Array(Schema.suspend((): Schema.Codec<Nest> => Nest))
      const completion = completionOf({ content: "[".repeat(50_000) + "]".repeat(50_000) })
      const { detail } = yield* mismatchOf(StructuredOutput.decode(completion, Nest))
      assert.strictEqual(detail, "it is nested too deeply")
    })
  )

  it.effect("decodes the first of several choices", () =>
    Effect.gen(function* () {
      const first = completionOf({ content: fitting })
      const completion = { ...first, choices: [...first.choices, { index: 1, message: { role: "assistant" as const, content: "no" } }] }
      assert.strictEqual((yield* StructuredOutput.decode(completion, City)).value.name, "Paris")
    })
  )

  it.effect("applies the schema's transformations and filters", () =>
    Effect.gen(function* () {
      class Event extends Schema.Class<Event>("Event")({
        at: Schema.Date,
        size: Schema.BigInt,
        tags: Schema.Array(Schema.String).check(Schema.isUnique())
      }) {}
      const content = '{"at":"2025-01-02T03:04:05.000Z","size":"12345678901234567890","tags":["a","b"]}'
      const { value } = yield* StructuredOutput.decode(completionOf({ content }), Event)
      expectTypeOf(value).toEqualTypeOf<Event>()
      assert.instanceOf(value, Event)
      assert.strictEqual(value.at.getTime(), Date.UTC(2025, 0, 2, 3, 4, 5))
      assert.strictEqual(value.size, 12345678901234567890n)
      const twice = content.replace('"b"', '"a"')
      const { detail } = yield* mismatchOf(StructuredOutput.decode(completionOf({ content: twice }), Event))
      assert.match(detail, /^tags: /)
    })
  )

  it.effect("decodes a schema that requires services", () =>
    StructuredOutput.decode(completionOf({ content: '"Paris"' }), Prefixed).pipe(
      Effect.map(({ value }) => assert.strictEqual(value, "city of Paris")),
      Effect.provideService(Prefix, "city of ")
    )
  )
})

describe("responseFormat", () => {
  it("names the schema", () => {
    class Town extends Schema.Class<Town>("Town")({ name: Schema.String }) {}
    assert.strictEqual(nameOf(City), "answer")
    assert.strictEqual(nameOf(Town), "Town")
    assert.strictEqual(nameOf(City.annotate({ identifier: "geo/City of é" })), "geo_City_of__")
    assert.strictEqual(nameOf(City, "city"), "city")
  })

  it("throws InvalidRequest if the schema has no JSON Schema", () => {
    assert.throws(() => StructuredOutput.responseFormat(Schema.Struct({ [Symbol.for("key")]: Schema.String })), /schema has no JSON Schema/)
  })

  it("keeps the type of a field with a description", () => {
    const Address = Schema.Struct({ street: Schema.String }).annotate({ identifier: "Address" })
    const Person = Schema.Struct({
      name: Schema.String.annotateKey({ description: "In full" }),
      age: Schema.Int.annotate({ description: "In years" })
        .check(Schema.isBetween({ minimum: 0, maximum: 150 }, { description: "of a human" }))
        .annotateKey({ description: "At their last birthday" }),
      kind: Schema.Literals(["a", "b"]).annotateKey({ description: "Of person" }),
      nickname: Schema.optional(Schema.String).annotateKey({ description: "What friends say" }),
      home: Address.annotateKey({ description: "Where they live" }),
      work: Address
    })
    assert.deepStrictEqual(schemaOf(Person), {
      type: "object",
      properties: {
        name: { type: "string", description: "In full" },
        age: { type: "integer", minimum: 0, maximum: 150, description: "At their last birthday" },
        kind: { type: "string", enum: ["a", "b"], description: "Of person" },
        nickname: { anyOf: [{ type: "string" }, { type: "null" }], description: "What friends say" },
        home: { $ref: "#/$defs/Address", description: "Where they live" },
        work: { $ref: "#/$defs/Address" }
      },
      required: ["name", "age", "kind", "home", "work"],
      additionalProperties: false,
      $defs: {
        Address: { type: "object", properties: { street: { type: "string" } }, required: ["street"], additionalProperties: false }
      }
    })
  })

  it("inlines definitions that are used once, and names recursive ones", () => {
    interface Node {
      readonly label: string
      readonly children: ReadonlyArray<Node>
    }
    const Tree: Schema.Codec<Node> = Schema.Struct({
      label: Schema.String.annotate({ identifier: "Label" }),
      children: Schema.Array(Schema.suspend((): Schema.Codec<Node> => Tree))
    }).annotate({ identifier: "my Tree/é" })
    const node = {
      type: "object",
      properties: { label: { type: "string" }, children: { type: "array", items: { $ref: "#/$defs/my_Tree__" } } },
      required: ["label", "children"],
      additionalProperties: false
    }
    assert.deepStrictEqual(schemaOf(Tree), { ...node, $defs: { my_Tree__: node } })
  })

  it("contains only keywords that grammar engines support", () => {
    const empty = { type: "object", properties: {}, additionalProperties: false }
    assert.deepStrictEqual(schemaOf(Schema.Struct({})), empty)
    assert.deepStrictEqual(schemaOf(Schema.Struct({}).annotate({ description: "Nothing" })), { ...empty, description: "Nothing" })
    assert.deepStrictEqual(schemaOf(Schema.UniqueArray(Schema.String)), { type: "array", items: { type: "string" } })
    assert.deepStrictEqual(schemaOf(Schema.Record(Schema.TemplateLiteral(["a-", Schema.Int]), Schema.String)), {
      type: "object",
      additionalProperties: { type: "string" }
    })
    assert.deepStrictEqual(schemaOf(Schema.Union([Schema.String, Schema.Boolean], { mode: "oneOf" })), {
      anyOf: [{ type: "string" }, { type: "boolean" }]
    })
  })

  it("does not change field names that are keywords", () => {
    const Keywords = Schema.Struct({ not: Schema.String, allOf: Schema.String, uniqueItems: Schema.Literal("oneOf") })
    assert.deepStrictEqual(schemaOf(Keywords)["properties"], {
      not: { type: "string" },
      allOf: { type: "string" },
      uniqueItems: { type: "string", enum: ["oneOf"] }
    })
  })
})

const Shape = Schema.TaggedUnion({
  Circle: { radius: Schema.Finite },
  Polygon: { corners: Schema.NonEmptyArray(Schema.Tuple([Schema.Finite, Schema.Finite])), label: Schema.NullOr(Schema.String) },
  Group: { sizes: Schema.Record(Schema.String, Schema.Int), at: Schema.optional(Schema.DateTimeUtc) }
})

it.effect.prop("decodes whatever the schema encodes", [Shape], ([shape]) =>
  Effect.gen(function* () {
    // Compared as JSON, which has no -0.
    const write = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(Shape)))
    const { value } = yield* StructuredOutput.decode(completionOf({ content: write(shape) }), Shape)
    assert.strictEqual(write(value), write(shape))
  })
)
