import { assert, describe, it } from "@effect/vitest"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ErrorEnvelope, ParadigmApi, path } from "../src/ParadigmApi.ts"

interface Media {
  readonly schema: { readonly $ref: string }
}

interface Operation {
  readonly operationId: string
  readonly security: unknown
  readonly requestBody: { readonly required: boolean; readonly content: Readonly<Record<string, Media>> }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Readonly<Record<string, Media>> }>>
}

interface ObjectSchema {
  readonly properties: Readonly<Record<string, { readonly type?: string }>>
  readonly required: ReadonlyArray<string>
}

interface Document {
  readonly openapi: string
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
  it("has one endpoint, with one method", () => {
    assert.strictEqual(path, "/api/v3/chat/completions")
    assert.deepStrictEqual(Object.keys(document.paths), [path])
    assert.deepStrictEqual(Object.keys(document.paths[path] ?? {}), ["post"])
    assert.match(document.openapi, /^3\.1\./)
    assert.strictEqual(operation().operationId, "createChatCompletion")
  })

  it("takes one schema in three encodings", () => {
    const { content, required } = operation().requestBody
    assert.isTrue(required)
    assert.deepStrictEqual(content, {
      "application/json": reference("ChatCompletionRequest"),
      "application/x-www-form-urlencoded": reference("ChatCompletionRequest"),
      "multipart/form-data": reference("ChatCompletionRequest")
    })
  })

  it("answers with a completion or with events of chunks", () => {
    assert.deepStrictEqual(operation().responses["200"]?.content, {
      "application/json": reference("ChatCompletion"),
      "text/event-stream": reference("ChatCompletionChunk")
    })
  })

  it("asks for a bearer token", () => {
    const { bearerAuth, ...others } = document.components.securitySchemes
    assert.deepStrictEqual([bearerAuth?.type, bearerAuth?.scheme.toLowerCase()], ["http", "bearer"])
    assert.deepStrictEqual(others, {})
    assert.deepStrictEqual(operation().security, [{ bearerAuth: [] }])
  })

  it("describes every status, each in words of its own, and its body", () => {
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
  ])("has %s with its required and its other fields", (name, required, fields) => {
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
    ["stop", "array"],
    ["functions", "array"],
    ["logit_bias", "object"],
    ["user", "string"],
    ["function_call", "string"],
    ["model", "string"],
    ["messages", "array"]
  ])("says that %s is one thing (%s), and never null", (name, type) => {
    assert.strictEqual(schema("ChatCompletionRequest").properties[name]?.type, type)
  })

  it("has each reference it makes, and each schema is referred to", () => {
    const text = JSON.stringify(document)
    const wanted = new Set(Array.from(text.matchAll(/"#\/components\/schemas\/([^"]+)"/g), ([, name]) => name))
    assert.sameMembers([...wanted], Object.keys(document.components.schemas))
  })

  it("has no trace of how it was made", () => {
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
  ])("is what the endpoint answers: $error", (body) => {
    assert.deepStrictEqual(Schema.decodeUnknownSync(ErrorEnvelope)(body), body)
  })

  it.each([
    { code: 404, error: "x", detail: "x" },
    { id: null, code: 404.5, error: "x", detail: "x" },
    { id: null, code: 404, error: "x" }
  ])("is not: %j", (body) => {
    assert.throws(() => Schema.decodeUnknownSync(ErrorEnvelope)(body))
  })
})
