/**
 * Encodings of a request: JSON, `application/x-www-form-urlencoded` and `multipart/form-data`.
 *
 * **Nulls**
 *
 * An optional field that is null counts as absent. Decoders accept it, and encoders omit it. Nulls in JSON Schemas, in other free objects and in
 * fields that are not modelled are kept.
 *
 * **Forms**
 *
 * A form has the fields that Django REST framework reads: `messages[0]role`, `messages[0]content` and so on. A value without such a spelling is
 * written as JSON: objects (`response_format={"type":"json_object"}`), tools, content parts, and a whole message
 * (`messages[1]={"role":"assistant","content":null}`) if its content is null or would be read as another value.
 *
 * Decoders read three spellings: the one above, `messages[0][role]`, and JSON in `messages`. A list is `stop=A&stop=B`, `stop[0]=A` or
 * `stop=["A","B"]`. The schema determines the type of a text: `max_tokens=12` is a number and `stream=true` a boolean. An unknown field is JSON if
 * its text is valid JSON, else text. A number, boolean or object with an empty text is absent. A field that is not a list must not be repeated,
 * and no field may have two spellings.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { ChatCompletionRequest } from "./ChatCompletion.ts"
import { decodeRequest } from "./contract/decode.ts"
import { ChatCompletionRequest as validator } from "./contract/validators.generated.ts"
import { type Entry, pathOf, readForm, writeForm } from "./forms/form.ts"
import { parseJsonExactly, stringifyExactly } from "./json/lossless.ts"
import { snapshot } from "./json/serializable.ts"
import { InvalidRequest } from "./ParadigmError.ts"

/**
 * Decodes a JSON value as a request. Keeps unknown fields. Fails with an `InvalidRequest` that lists every problem by its path.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const result = RequestEncoding.decode({ model: "alfred-4.2", messages: [{ content: "Hi" }] })
 * if (Result.isFailure(result)) console.log(result.failure.fields) // => { 'messages[0].role': [ 'Missing key' ] }
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (value: unknown): Result.Result<ChatCompletionRequest, InvalidRequest> =>
  Result.mapError(decodeRequest(value), (fields) => new InvalidRequest({ detail: "it is not a chat completion request", fields }))

/**
 * Decodes a JSON text as a request. Reads a 64-bit `seed` exactly, as a bigint when a number does not represent it. Fails with an
 * `InvalidRequest` without fields when the text is not JSON.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const text = '{"model":"alfred-4.2","messages":[{"role":"user","content":"Hi"}],"seed":9223372036854775807}'
 * console.log(Result.getOrThrow(RequestEncoding.decodeJson(text)).seed) // => 9223372036854775807n
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeJson = (text: string): Result.Result<ChatCompletionRequest, InvalidRequest> =>
  Result.flatMap(
    Result.try({
      try: () => parseJsonExactly(text, "seed"),
      catch: () => new InvalidRequest({ detail: "it is not JSON", fields: {} })
    }),
    decode
  )

/**
 * Decodes the fields of a form as a request: of a `FormData`, of a `URLSearchParams`, or of any parser. A value that is not a string is a file,
 * which no field accepts. Fails with an `InvalidRequest` that lists every problem by its path, with the indices of the form.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const form = new URLSearchParams("model=alfred-4.2&messages[0]role=user&messages[0]content=Hi&max_tokens=12")
 * console.log(Result.getOrThrow(RequestEncoding.decodeForm(form)).max_tokens) // => 12
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeForm = (
  entries: Iterable<readonly [name: string, value: string | object]>
): Result.Result<ChatCompletionRequest, InvalidRequest> => {
  const { pathInForm, problems, value } = readForm(entries)
  if (problems.size > 0) {
    return Result.fail(new InvalidRequest({ detail: "the form cannot be read", fields: Object.fromEntries(problems) }))
  }
  return Result.mapError(decode(value), ({ detail, fields }) => {
    const inForm = Object.entries(fields).map(([path, found]): [string, ReadonlyArray<string>] => [pathInForm(path), found])
    return new InvalidRequest({ detail, fields: Object.fromEntries(inForm) })
  })
}

// As in browsers, a percent sign that begins no escape is a percent sign.
const unescape = (text: string) => text.replaceAll("+", " ").replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => decodeURIComponent(escapes))

/**
 * Decodes an `application/x-www-form-urlencoded` text as a request. Fails as {@link decodeForm} does, and with an `InvalidRequest` that names
 * the field when an escape is not UTF-8.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const text = "model=alfred-4.2&messages=%5B%7B%22role%22%3A%22user%22%2C%22content%22%3A%22Hi%22%7D%5D"
 * console.log(Result.getOrThrow(RequestEncoding.decodeUrlEncoded(text)).messages) // => [ { role: 'user', content: 'Hi' } ]
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeUrlEncoded = (text: string): Result.Result<ChatCompletionRequest, InvalidRequest> => {
  const entries: Array<Entry> = []
  for (const pair of text.split("&")) {
    if (pair === "") continue
    const equals = pair.indexOf("=")
    let name = equals === -1 ? pair : pair.slice(0, equals)
    try {
      name = unescape(name)
      entries.push([name, equals === -1 ? "" : unescape(pair.slice(equals + 1))])
    } catch {
      return Result.fail(new InvalidRequest({ detail: "the form cannot be read", fields: { [pathOf(name)]: ["Expected UTF-8"] } }))
    }
  }
  return decodeForm(entries)
}

/**
 * Additional fields of a request's body. They take precedence over the fields of the request.
 *
 * @category models
 * @since 0.1.0
 */
export type ExtraBody = Readonly<Record<string, unknown>>

const invalid = (detail: string, path: string, problem: string) =>
  Result.fail(new InvalidRequest({ detail, fields: { [path]: [problem] } }))

const isSeed = (path: string, value: unknown) => path === "seed" && typeof value === "bigint"

// A plain copy of a request, validated, without its nulls. Members are read once, so that the validated value is the written one.
const prepare = (request: ChatCompletionRequest, extraBody: ExtraBody = {}): Result.Result<ChatCompletionRequest, InvalidRequest> => {
  const plain = Result.flatMap(snapshot(request, isSeed), (plain) =>
    Result.map(snapshot(extraBody, isSeed), (extra) =>
      Predicate.isObject(plain) && Predicate.isObject(extra) ? { ...plain, ...extra } : plain
    )
  )
  if (Result.isFailure(plain)) return invalid("it has no JSON form", plain.failure.path, plain.failure.problem)
  const decoded = decode(plain.success)
  if (Result.isFailure(decoded)) return decoded
  const { seed } = decoded.success
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    return invalid("it would be sent with another seed", "seed", "Expected a bigint")
  }
  validator.removeNulls(decoded.success)
  return decoded
}

/**
 * Encodes a request as JSON. Omits fields that are `undefined`, and optional fields that are null. Writes a `seed` that is a bigint as a bare
 * integer. Fails with `InvalidRequest` when the request is invalid or has no JSON form.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const request = { model: "alfred-4.2", messages: [{ role: "user", content: "Hi" }], temperature: null } as const
 * console.log(Result.getOrThrow(RequestEncoding.encodeJson(request)))
 * // => {"model":"alfred-4.2","messages":[{"role":"user","content":"Hi"}]}
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeJson = (request: ChatCompletionRequest, extraBody?: ExtraBody): Result.Result<string, InvalidRequest> =>
  Result.map(json(request, extraBody), ({ body }) => body)

/**
 * An encoded request. The body is sent as UTF-8.
 *
 * @category models
 * @since 0.1.0
 */
export interface Encoded {
  /** The header `content-type`. */
  readonly contentType: string
  readonly body: string
  /** The request that the body holds: validated, with the additional fields and without nulls. */
  readonly request: ChatCompletionRequest
}

// Not with FormData, which writes every line end of a field as CR LF.
const writeMultipart = (entries: ReadonlyArray<readonly [string, string]>) => {
  const random = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")
  const boundary = `paradigm-${random}`
  const parts = entries.map(([name, text]) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`)
  return { contentType: `multipart/form-data; boundary=${boundary}`, body: `${parts.join("")}--${boundary}--\r\n` }
}

/**
 * An encoding of requests: {@link json}, {@link urlEncoded} or {@link multipart}.
 *
 * @category models
 * @since 0.1.0
 */
export type Encoder = (request: ChatCompletionRequest, extraBody?: ExtraBody) => Result.Result<Encoded, InvalidRequest>

/**
 * Encodes a request as JSON. Fails as {@link encodeJson} does.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const request = { model: "alfred-4.2", messages: [{ role: "user", content: "Hi" }] } as const
 * console.log(Result.getOrThrow(RequestEncoding.json(request)).contentType) // => application/json
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const json: Encoder = (request, extraBody) =>
  Result.map(prepare(request, extraBody), (request) => ({
    contentType: "application/json",
    body: stringifyExactly(request, "seed"),
    request
  }))

const form =
  (write: (entries: Array<[string, string]>) => Omit<Encoded, "request">): Encoder =>
  (request, extraBody) =>
    Result.flatMap(prepare(request, extraBody), (request) => Result.map(writeForm(request), (entries) => ({ ...write(entries), request })))

/**
 * Encodes a request as `application/x-www-form-urlencoded`. Fails as {@link encodeJson} does, and with `InvalidRequest` when the name of a field
 * contains a bracket, quote, percent sign or control character, or when a text contains an unpaired surrogate.
 *
 * Django REST framework reads such a form except for a message that is written as JSON. {@link decodeForm} reads all of it.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const request = { model: "alfred-4.2", messages: [{ role: "user", content: "Hi" }] } as const
 * console.log(Result.getOrThrow(RequestEncoding.urlEncoded(request)).body)
 * // => model=alfred-4.2&messages%5B0%5Drole=user&messages%5B0%5Dcontent=Hi
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const urlEncoded: Encoder = /* @__PURE__ */ form((entries) => ({
  contentType: "application/x-www-form-urlencoded",
  body: new URLSearchParams(entries).toString()
}))

/**
 * Encodes a request as `multipart/form-data`. Fails as {@link urlEncoded} does.
 *
 * @example
 * ```ts
 * import { RequestEncoding } from "@paradigm-effect/core"
 * import * as Result from "effect/Result"
 *
 * const request = { model: "alfred-4.2", messages: [{ role: "user", content: "Hi" }] } as const
 * console.log(Result.getOrThrow(RequestEncoding.multipart(request)).body.split("\r\n")[3]) // => alfred-4.2
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const multipart: Encoder = /* @__PURE__ */ form(writeMultipart)
