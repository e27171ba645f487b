import { assert, describe, it } from "@effect/vitest"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ErrorEnvelope, ParadigmApi, path } from "../src/ParadigmApi.ts"

interface Media {
  readonly schema: { readonly $ref: string }
  readonly encoding?: Readonly<Record<string, object>>
}

interface Operation {
  readonly operationId: string
  readonly security: unknown
  readonly requestBody: { readonly required: boolean; readonly content: Readonly<Record<string, Media>> }
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string
        readonly content: Readonly<Record<string, Media>>
        readonly headers: Readonly<Record<string, object>>
      }
    >
  >
}

interface ObjectSchema {
  readonly properties: Readonly<
    Record<
      string,
      {
        readonly type?: string | ReadonlyArray<string>
        readonly minimum?: number
        readonly minItems?: number
        readonly deprecated?: boolean
      }
    >
  >
  readonly required: ReadonlyArray<string>
}

interface Document {
  readonly openapi: string
  readonly servers: ReadonlyArray<{ readonly url: string }>
  readonly paths: Readonly<Record<string, { readonly post: Operation }>>
  readonly components: {
    readonly schemas: Readonly<Record<string, ObjectSchema>>
    readonly securitySchemes: Readonly<Record<string, { readonly type: string; readonly scheme: string }>>
  }
}

const document: Document = JSON.parse(JSON.stringify(OpenApi.fromApi(ParadigmApi)))

const operation = (): Operation => {
  const post = document.paths[path]?.post
  assert.isDefined(post)
  return post
}

const schema = (name: string): ObjectSchema => {
  const found = document.components.schemas[name]
  assert.isDefined(found)
  return found
}

const reference = (name: string) => ({ schema: { $ref: `#/components/schemas/${name}` } })

const requestFields = [
  "frequency_penalty",
  "function_call",
  "functions",
  "logit_bias",
  "max_tokens",
  "messages",
  "model",
  "n",
  "presence_penalty",
  "stop",
  "stream",
  "temperature",
  "top_p",
  "user"
]

describe("the OpenAPI document", () => {
  it("has one path with one method", () => {
    assert.strictEqual(path, "/api/v3/chat/completions")
    assert.deepStrictEqual(Object.keys(document.paths), [path])
    assert.deepStrictEqual(Object.keys(document.paths[path] ?? {}), ["post"])
    assert.match(document.openapi, /^3\.1\./)
    assert.strictEqual(operation().operationId, "createChatCompletion")
  })

  it("has one request schema in three encodings", () => {
    const { content, required } = operation().requestBody
    assert.isTrue(required)
    assert.sameMembers(Object.keys(content), ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"])
    for (const media of Object.values(content)) assert.deepInclude(media, reference("ChatCompletionRequest"))
  })

  it.each(["application/x-www-form-urlencoded", "multipart/form-data"])("describes the fields of %s that are not scalars", (type) => {
    const encoding = operation().requestBody.content[type]?.encoding
    assert.deepInclude(encoding, { messages: { contentType: "application/json" }, stop: { style: "form", explode: true } })
    assert.notProperty(encoding, "temperature")
  })

  it("has a completion or events of chunks as response", () => {
    assert.deepStrictEqual(operation().responses["200"]?.content, {
      "application/json": reference("ChatCompletion"),
      "text/event-stream": reference("ChatCompletionEvent")
    })
    assert.include(JSON.stringify(schema("ChatCompletionEvent")), "#/components/schemas/ChatCompletionChunk")
  })

  it("has the headers of each response", () => {
    const { responses } = operation()
    for (const { headers } of Object.values(responses)) assert.property(headers, "X-Request-Id")
    assert.property(responses["401"]?.headers, "WWW-Authenticate")
    assert.property(responses["405"]?.headers, "Allow")
    assert.property(responses["429"]?.headers, "Retry-After")
  })

  it("has the endpoint itself as first server", () => {
    assert.deepStrictEqual(
      document.servers.map(({ url }) => url),
      ["/", "https://paradigm.lighton.ai"]
    )
  })

  it("requires a bearer token", () => {
    const { bearerAuth, ...others } = document.components.securitySchemes
    assert.deepStrictEqual([bearerAuth?.type, bearerAuth?.scheme.toLowerCase()], ["http", "bearer"])
    assert.deepStrictEqual(others, {})
    assert.deepStrictEqual(operation().security, [{ bearerAuth: [] }])
  })

  it("describes the body of every error status", () => {
    const { responses } = operation()
    const statuses = [400, 401, 403, 404, 405, 406, 408, 413, 415, 422, 429, 500, 502, 503, 504].map(String)
    assert.deepStrictEqual(Object.keys(responses).sort(), ["200", ...statuses])
    for (const status of statuses) {
      assert.deepStrictEqual(responses[status]?.content, { "application/json": reference("ErrorEnvelope") })
    }
    const descriptions = Object.values(responses).map(({ description }) => description)
    for (const description of descriptions) assert.isAbove(description.length, 10)
    assert.strictEqual(new Set(descriptions).size, descriptions.length)
  })

  it.each<[string, ReadonlyArray<string>, ReadonlyArray<string>]>([
    ["ChatCompletionRequest", ["model", "messages"], requestFields],
    ["ChatMessage", ["role"], ["role", "content", "name", "function_call"]],
    ["ChatCompletion", ["id", "object", "created", "model", "choices"], ["usage"]],
    ["ChatCompletionChoice", ["index", "message"], ["finish_reason"]],
    ["ChatMessageResponse", ["role"], ["content", "function_call"]],
    ["CompletionUsage", ["prompt_tokens", "completion_tokens", "total_tokens"], []],
    ["ErrorEnvelope", ["id", "code", "error", "detail"], ["fields"]]
  ])("has %s with its required and optional fields", (name, required, fields) => {
    assert.sameMembers([...schema(name).required], [...required])
    assert.includeMembers(Object.keys(schema(name).properties), [...required, ...fields])
  })

  it.each([
    ["max_tokens", "integer"],
    ["n", "integer"],
    ["temperature", "number"],
    ["top_p", "number"],
    ["presence_penalty", "number"],
    ["frequency_penalty", "number"],
    ["stream", "boolean"],
    ["functions", "array"],
    ["logit_bias", "object"],
    ["user", "string"],
    ["function_call", "string"],
    ["model", "string"],
    ["messages", "array"]
  ])("declares %s as %s, and as nullable if it is optional", (name, type) => {
    const { properties, required } = schema("ChatCompletionRequest")
    assert.deepStrictEqual(properties[name]?.type, required.includes(name) ? type : [type, "null"])
  })

  it("has the minima of a request", () => {
    const { max_completion_tokens, max_tokens, messages, n } = schema("ChatCompletionRequest").properties
    assert.deepStrictEqual([messages?.minItems, max_tokens?.minimum, max_completion_tokens?.minimum, n?.minimum], [1, 1, 1, 1])
  })

  it.each(["functions", "function_call", "guided_json"])("marks %s as deprecated", (name) => {
    assert.isTrue(schema("ChatCompletionRequest").properties[name]?.deprecated)
    assert.notProperty(schema("ChatCompletionRequest").properties["max_tokens"], "deprecated")
  })

  it("describes every field", () => {
    for (const [name, { properties }] of Object.entries(document.components.schemas)) {
      for (const [field, property] of Object.entries(properties)) {
        if (name !== "ErrorEnvelope") assert.property(property, "description", `${name}.${field}`)
      }
    }
  })

  it("defines every schema that it references, and references every schema", () => {
    const text = JSON.stringify(document)
    const wanted = new Set(Array.from(text.matchAll(/"#\/components\/schemas\/([^"]+)"/g), ([, name]) => name))
    assert.sameMembers([...wanted], Object.keys(document.components.schemas))
  })

  it("has no names of the generator", () => {
    assert.notMatch(JSON.stringify(document), /_\d+"|Encoded"/)
  })
})

describe("ErrorEnvelope", () => {
  it.each([
    { id: null, code: 404, error: "not_found", detail: "No such model" },
    {
      id: "r-1",
      code: 422,
      error: "validation_error",
      detail: "Invalid",
      fields: { "messages[0].role": [{ error: "required", detail: "Missing" }] }
    }
  ])("decodes an error body: $error", (body) => {
    assert.deepStrictEqual(Schema.decodeUnknownSync(ErrorEnvelope)(body), body)
  })

  it.each([
    { code: 404, error: "x", detail: "x" },
    { id: null, code: 404.5, error: "x", detail: "x" },
    { id: null, code: 404, error: "x" }
  ])("rejects %j", (body) => {
    assert.throws(() => Schema.decodeUnknownSync(ErrorEnvelope)(body))
  })
})
