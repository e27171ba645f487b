/**
 * A request as the bytes that go over the wire, and back: as JSON, as `application/x-www-form-urlencoded`, or as `multipart/form-data`.
 *
 * In a form, a field is a text and a message's fields are `messages[0]role`, `messages[0]content` and so on, as Django REST framework has
 * it. What has no such spelling is a JSON text: objects (`response_format={"type":"json_object"}`), a content of several parts, tools, and
 * a whole message (`messages[1]={"role":"assistant","content":null}`) where its content is null or would read as something else.
 *
 * A form is read in three spellings: that one, `messages[0][role]`, and JSON in `messages`; a list of texts is `stop=A&stop=B`, `stop[0]=A`
 * or `stop=["A","B"]`. The schema decides what a text means: `max_tokens=12` is a number, `stream=true` a boolean, and a field that is not
 * known is JSON where it is valid JSON, else a text. A number, boolean or object that is empty was not filled in and counts as absent. A
 * field that is no list must not come twice, and no field may come in two spellings.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { ChatCompletionRequest } from "./ChatCompletion.ts"
import { decodeRequest } from "./contract/decode.ts"
import { type Entry, pathOf, readForm, writeForm } from "./forms/form.ts"
import { parseJsonExactly, stringifyExactly } from "./json/lossless.ts"
import { findUnwritable } from "./json/serializable.ts"
import { InvalidRequest } from "./ParadigmError.ts"

/**
 * A value as a request: unknown fields are kept, and everything that is wrong is named by its path.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (value: unknown): Result.Result<ChatCompletionRequest, InvalidRequest> =>
  Result.mapError(decodeRequest(value), (fields) => new InvalidRequest({ detail: "it is not a chat completion request", fields }))

/**
 * A JSON text as a request. A `seed` of 64 bits is read exactly, as a bigint where a number does not hold it. A text that is not JSON is an
 * `InvalidRequest` without fields.
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
 * The fields of a form as a request: of a `FormData`, of a `URLSearchParams`, or of any parser's. What is not a string is a file, which no
 * field takes. What is wrong is named by its path, with the indices that the form has.
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

// As browsers do: a percent sign that begins no escape stands for itself.
const unescape = (text: string) => text.replaceAll("+", " ").replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => decodeURIComponent(escapes))

/**
 * An `application/x-www-form-urlencoded` text as a request. Escapes that are not UTF-8 are an `InvalidRequest` that names the field.
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

// What is wrong with a request that cannot be sent as it is, in whatever encoding.
const validate = (request: ChatCompletionRequest): Result.Result<ChatCompletionRequest, InvalidRequest> => {
  const unwritable = findUnwritable(request, (path, value) => path === "seed" && typeof value === "bigint")
  if (unwritable !== undefined) {
    return Result.fail(new InvalidRequest({ detail: "JSON cannot hold it", fields: { [unwritable.path]: [unwritable.problem] } }))
  }
  return Result.flatMap(decode(request), () => {
    const { seed } = request
    if (typeof seed !== "number" || Number.isSafeInteger(seed)) return Result.succeed(request)
    const problem = "Expected a bigint, since a number this large is not exact"
    return Result.fail(new InvalidRequest({ detail: "it would not be sent as it was meant", fields: { seed: [problem] } }))
  })
}

/**
 * The request as a JSON text: fields that are `undefined` are left out, unknown ones are kept, and a `seed` that is a bigint is written as a
 * bare integer. A request that is not one, or that JSON cannot hold, is an `InvalidRequest`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeJson = (request: ChatCompletionRequest): Result.Result<string, InvalidRequest> =>
  Result.map(validate(request), (valid) => stringifyExactly(valid, "seed"))

/**
 * A request that is ready to be sent, as UTF-8.
 *
 * @category models
 * @since 0.1.0
 */
export interface Encoded {
  /** The header `content-type`. */
  readonly contentType: string
  readonly body: string
}

// Written here and not by FormData, which turns every line end in a field into CR LF.
const writeMultipart = (entries: ReadonlyArray<readonly [string, string]>): Encoded => {
  const random = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")
  const boundary = `paradigm-${random}`
  const parts = entries.map(([name, text]) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`)
  return { contentType: `multipart/form-data; boundary=${boundary}`, body: `${parts.join("")}--${boundary}--\r\n` }
}

/**
 * How a request is written: `json`, `urlEncoded` or `multipart`.
 *
 * @category models
 * @since 0.1.0
 */
export type Encoder = (request: ChatCompletionRequest) => Result.Result<Encoded, InvalidRequest>

/**
 * As JSON; see {@link encodeJson}.
 *
 * @category encoding
 * @since 0.1.0
 */
export const json: Encoder = (request) => Result.map(encodeJson(request), (body) => ({ contentType: "application/json", body }))

const entriesOf = (request: ChatCompletionRequest) => Result.flatMap(validate(request), writeForm)

/**
 * As `application/x-www-form-urlencoded`. Fails as {@link encodeJson} does, and also when a field's name holds a bracket, quote, percent
 * sign or control character, or a text an unpaired surrogate.
 *
 * Django REST framework takes such a form, but for what is a whole message in JSON; {@link decodeForm} takes all of it.
 *
 * @category encoding
 * @since 0.1.0
 */
export const urlEncoded: Encoder = (request) =>
  Result.map(entriesOf(request), (entries) => ({
    contentType: "application/x-www-form-urlencoded",
    body: new URLSearchParams(entries).toString()
  }))

/**
 * As `multipart/form-data`. Fails as {@link urlEncoded} does.
 *
 * @category encoding
 * @since 0.1.0
 */
export const multipart: Encoder = (request) => Result.map(entriesOf(request), writeMultipart)
