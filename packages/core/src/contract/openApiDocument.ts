// Adapts the generated OpenAPI document to the wire. Effect's generator describes its own encodings of forms and streams, one error schema per
// status, and no headers.
import { deprecatedFields } from "./schema.ts"

type JsonValue = null | boolean | number | string | ReadonlyArray<JsonValue> | JsonObject
type JsonObject = { readonly [key: string]: JsonValue }

const isObject = (value: JsonValue | undefined): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value)

const isNull = (schema: JsonValue) => isObject(schema) && schema["type"] === "null"

// The members of nested unions, once each. An optional field may be null and `undefined`, which the generator writes as two nulls.
const membersOf = (schema: JsonValue): ReadonlyArray<JsonValue> =>
  isObject(schema) && Array.isArray(schema["anyOf"]) && !("properties" in schema) ? schema["anyOf"].flatMap(membersOf) : [schema]

const toUnion = (schema: JsonObject): JsonObject => {
  const { anyOf: _, ...rest } = schema
  const all = membersOf(schema)
  const members = all.filter((member) => !isNull(member))
  const [only] = members
  const none = all.find(isNull)
  if (members.length > 1 || !isObject(only)) return { anyOf: none === undefined ? members : [...members, none], ...rest }
  if (none === undefined) return { ...only, ...rest }
  return typeof only["type"] === "string" ? { ...only, type: [only["type"], "null"], ...rest } : { anyOf: [only, none], ...rest }
}

// One plain schema instead of several that differ in an annotation.
const tidy = (value: JsonValue): JsonValue => {
  if (Array.isArray(value)) return value.map(tidy)
  if (!isObject(value)) return value
  const { allOf, ...tidied } = Object.fromEntries(Object.entries(value).map(([key, child]) => [key, tidy(child)]))
  if (tidied["maximum"] === Number.MAX_SAFE_INTEGER) delete tidied["maximum"]
  const merged: JsonObject = { ...tidied, ...(Array.isArray(allOf) && allOf.every(isObject) ? Object.assign({}, ...allOf) : {}) }
  return Array.isArray(merged["anyOf"]) && !("properties" in merged) ? toUnion(merged) : merged
}

const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` })

// Effect numbers the variants of a schema and names the encoded side of one.
const isVariant = (name: string) => /_\d+$|Encoded$/.test(name)

const markDeprecated = (name: string, schema: JsonObject): JsonObject => {
  const names = deprecatedFields(name)
  const properties = schema["properties"]
  if (names.length === 0 || !isObject(properties)) return schema
  const marked = names.map((field) => [field, { ...(properties[field] as JsonObject), deprecated: true }] as const)
  return { ...schema, properties: { ...properties, ...Object.fromEntries(marked) } }
}

const hasType = (schema: JsonValue | undefined, type: string) => isObject(schema) && [schema["type"]].flat().includes(type)

const isScalar = (schema: JsonValue | undefined) =>
  isObject(schema) && schema["$ref"] === undefined && !hasType(schema, "object") && !hasType(schema, "array")

// A list of scalars repeats its field. What is not scalar is JSON.
const toEncoding = (request: JsonObject): JsonObject => {
  const properties = Object.entries(isObject(request["properties"]) ? request["properties"] : {})
  return Object.fromEntries(
    properties.flatMap(([name, schema]): Array<[string, JsonValue]> => {
      const members = membersOf(schema)
      const lists = members.filter((member) => hasType(member, "array"))
      if (lists.some((list) => isObject(list) && isScalar(list["items"]))) return [[name, { style: "form", explode: true }]]
      return members.every(isScalar) ? [] : [[name, { contentType: "application/json" }]]
    })
  )
}

const event = {
  type: "object",
  description: "A server-sent event.",
  properties: {
    data: {
      description: "A chunk as JSON text. `[DONE]` in the last event.",
      anyOf: [
        { type: "string", contentMediaType: "application/json", contentSchema: reference("ChatCompletionChunk") },
        { type: "string", const: "[DONE]" }
      ]
    }
  },
  required: ["data"]
}

const header = (description: string) => ({ description, schema: { type: "string" } })

const headers: Readonly<Record<string, Readonly<Record<string, JsonObject>>>> = {
  "401": { "WWW-Authenticate": header("The challenge, `Bearer`.") },
  "405": { Allow: header("The permitted method, `POST`.") },
  "429": { "Retry-After": header("Seconds to wait before the next request.") },
  "503": { "Retry-After": header("Seconds to wait before the next request.") }
}

const example = { model: "alfred-4.2", messages: [{ role: "user", content: "Hello!" }] }
const formExample = { model: "alfred-4.2", "messages[0]role": "user", "messages[0]content": "Hello!" }

/** Makes the document of the endpoint at a path from the one that Effect generates. */
export const toWireDocument =
  (path: string) =>
  (generated: object): Record<string, unknown> => {
    const document = JSON.parse(JSON.stringify(generated).replace(/(#\/components\/schemas\/\w+?)_\d+"/g, '$1"'))
    const schemas = Object.entries<JsonObject>(document.components.schemas).filter(([name]) => !isVariant(name))
    document.components.schemas = {
      ...Object.fromEntries(schemas.map(([name, schema]) => [name, markDeprecated(name, tidy(schema) as JsonObject)])),
      ChatCompletionEvent: event
    }
    delete document.components.schemas.ErrorEnvelope.description
    const operation = document.paths[path].post
    const encoding = toEncoding(document.components.schemas.ChatCompletionRequest)
    const schema = reference("ChatCompletionRequest")
    operation.requestBody.description =
      "A form has the fields `messages[0]role`, `messages[0]content` and so on, or JSON in `messages`. Objects are JSON."
    operation.requestBody.content = {
      "application/json": { schema, example },
      "application/x-www-form-urlencoded": { schema, encoding, example: formExample },
      "multipart/form-data": { schema, encoding, example: formExample }
    }
    operation.responses["200"].description = "The completion, or its stream."
    operation.responses["200"].content["text/event-stream"] = { schema: reference("ChatCompletionEvent") }
    for (const [status, response] of Object.entries<Record<string, unknown>>(operation.responses)) {
      response["headers"] = { "X-Request-Id": header("Identifier of the request."), ...headers[status] }
    }
    return document
  }
