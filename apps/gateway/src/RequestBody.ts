/**
 * The body of a request, checked once. JSON is forwarded as it came, except for the members that the gateway sets or removes: writing the parsed
 * JSON again would change what JavaScript does not represent. Forms become the JSON that model servers take.
 */
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import type { InvalidRequest } from "@paradigm-effect/core/ParadigmError"
import * as RequestEncoding from "@paradigm-effect/core/RequestEncoding"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { isUtf8 } from "node:buffer"
import { GatewayFailure } from "./GatewayFailure.ts"
import { JsonScanner, type Member } from "./JsonScanner.ts"

/** Changes of the top level of a JSON object. */
export interface Edits {
  /** The JSON text of each member to set. */
  readonly set: ReadonlyMap<string, string>
  readonly remove: ReadonlySet<string>
}

/** A valid request. In `request`, strings of more than 4096 bytes have only their beginning. */
export interface RequestBody {
  readonly request: ChatCompletionRequest
  /** Names of the top-level members. */
  readonly names: ReadonlySet<string>
  /** The JSON text of a top-level member; `undefined` when the member is absent. */
  readonly text: (name: string) => string | undefined
  /** The body with some members changed, as UTF-8. */
  readonly edit: (edits: Edits) => Uint8Array
}

const maxMessages = 10_000
const maxFields = 1000
/** Maximum size of a form, in bytes. Larger requests are sent as JSON. */
export const maxFormBytes = 4 * 1024 * 1024
// Bytes that are scanned before other requests get a turn: about 2 ms.
const sliceBytes = 512 * 1024

const refuse = (status: 400 | 413 | 422, detail: string) => Result.fail(new GatewayFailure({ status, detail }))

const invalid = ({ fields }: InvalidRequest) =>
  new GatewayFailure({ status: 422, detail: "The body is not a chat completion request.", fields })

const notUtf8 = refuse(400, "The body is not UTF-8.")

const turn = Effect.callback<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

const scan = Effect.fnUntraced(function* (bytes: Uint8Array): Effect.fn.Return<JsonScanner> {
  const scanner = new JsonScanner(bytes)
  while (!scanner.step(sliceBytes)) yield* turn
  return scanner
})

// Line and column from 1, the column in characters. Far into a body the lines are not counted.
const placeOf = (bytes: Uint8Array, at: number) => {
  if (at > sliceBytes) return `byte ${at}`
  const before = Buffer.from(bytes.buffer, bytes.byteOffset, at)
  const lineStart = before.lastIndexOf(10) + 1
  let line = 1
  for (let next = before.indexOf(10); next !== -1; next = before.indexOf(10, next + 1)) line++
  return `line ${line}, column ${before.toString("utf8", lineStart).length + 1}`
}

const isBlank = (byte: number | undefined) => byte === 32 || byte === 10 || byte === 13 || byte === 9

class JsonBody implements RequestBody {
  readonly request: ChatCompletionRequest
  readonly names: ReadonlySet<string>
  readonly #bytes: Buffer
  readonly #members: ReadonlyArray<Member>

  constructor(request: ChatCompletionRequest, bytes: Buffer, members: ReadonlyArray<Member>) {
    this.request = request
    this.names = new Set(members.map(({ key }) => key))
    this.#bytes = bytes
    this.#members = members
  }

  text(name: string): string | undefined {
    const member = this.#members.find(({ key }) => key === name)
    return member && this.#bytes.toString("utf8", member.valueStart, member.valueEnd)
  }

  edit({ remove, set }: Edits): Uint8Array {
    if (set.size === 0 && remove.size === 0) return this.#bytes
    const left = new Map(set)
    const parts: Array<Buffer> = []
    // Past what was copied.
    let from = 0
    let isFirst = true
    for (const { key, keyStart, valueEnd, valueStart } of this.#members) {
      if (remove.has(key) && !set.has(key)) {
        parts.push(this.#bytes.subarray(from, isFirst ? keyStart : this.#beforeComma(keyStart)))
        from = isFirst ? this.#afterComma(valueEnd) : valueEnd
        continue
      }
      isFirst = false
      const text = left.get(key)
      if (text === undefined) continue
      left.delete(key)
      parts.push(this.#bytes.subarray(from, valueStart), Buffer.from(text))
      from = valueEnd
    }
    if (left.size > 0) {
      const end = this.#bytes.lastIndexOf(125)
      const members = [...left].map(([name, text]) => `${JSON.stringify(name)}:${text}`)
      parts.push(this.#bytes.subarray(from, end), Buffer.from(`${isFirst ? "" : ","}${members.join(",")}`))
      from = end
    }
    parts.push(this.#bytes.subarray(from))
    return Buffer.concat(parts)
  }

  // The place of the comma before a member.
  #beforeComma(keyStart: number) {
    let at = keyStart - 1
    while (isBlank(this.#bytes[at])) at--
    return at
  }

  // Past the comma after a member, if there is one.
  #afterComma(valueEnd: number) {
    let at = valueEnd
    while (isBlank(this.#bytes[at])) at++
    return this.#bytes[at] === 44 ? at + 1 : valueEnd
  }
}

const checked = (body: JsonBody): Result.Result<RequestBody, GatewayFailure> => {
  const { messages } = body.request
  return messages.length <= maxMessages
    ? Result.succeed(body)
    : Result.fail(
        new GatewayFailure({
          status: 422,
          detail: "The body is not a chat completion request.",
          fields: { messages: [`Expected at most ${maxMessages} messages, got ${messages.length}`] }
        })
      )
}

const readJson = Effect.fnUntraced(function* (bytes: Uint8Array): Effect.fn.Return<RequestBody, GatewayFailure> {
  const isMarked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  const utf8 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(isMarked ? 3 : 0)
  if (!isUtf8(utf8)) return yield* Effect.fromResult(notUtf8)
  const scanner = yield* scan(utf8)
  const { problem } = scanner
  if (problem !== undefined) {
    const place = utf8.length === 0 ? "" : ` (${placeOf(utf8, problem.at)})`
    const detail = `${problem.kind === "limit" ? "The body is refused" : "The body is not JSON"}: ${problem.detail}${place}.`
    return yield* Effect.fromResult(refuse(problem.kind === "limit" ? 413 : 400, detail))
  }
  const seen = new Set<string>()
  for (const { key } of scanner.members) {
    if (seen.has(key)) return yield* Effect.fromResult(refuse(400, `The body has the field "${key.slice(0, 200)}" twice.`))
    seen.add(key)
  }
  const decoded = RequestEncoding.decode(JSON.parse(scanner.outline))
  if (Result.isFailure(decoded)) return yield* invalid(decoded.failure)
  return yield* Effect.fromResult(checked(new JsonBody(decoded.success, utf8, scanner.members)))
})

// A form becomes JSON, and is read as such: the same limits apply to it.
const readForm = (decoded: Result.Result<ChatCompletionRequest, InvalidRequest>) =>
  Result.match(
    Result.flatMap(decoded, (request) => RequestEncoding.encodeJson(request)),
    {
      onFailure: (error) => Effect.fail(invalid(error)),
      onSuccess: (json) => readJson(Buffer.from(json))
    }
  )

// JSON in a field is parsed whole, so that its shape is checked before.
const checkFields = Effect.fnUntraced(function* (entries: ReadonlyArray<readonly [string, string | object]>) {
  for (const [name, value] of entries) {
    if (typeof value !== "string" || value.length < sliceBytes / 64 || !/^\s*[[{]/.test(value)) continue
    const { problem } = yield* scan(Buffer.from(value))
    if (problem?.kind === "limit") {
      yield* Effect.fromResult(refuse(413, `The body is refused: the field "${name.slice(0, 200)}": ${problem.detail}.`))
    }
  }
})

const tooManyFields = refuse(413, `The form has more than ${maxFields} fields. Send the request as application/json.`)
const tooLargeForm = refuse(413, `The form is larger than ${maxFormBytes} bytes. Send the request as application/json.`)

const count = (bytes: Buffer, what: string, from: number, most: number) => {
  let found = 0
  for (let at = bytes.indexOf(what, from); at !== -1 && found <= most; at = bytes.indexOf(what, at + what.length)) found++
  return found
}

const readUrlEncoded = Effect.fnUntraced(function* (bytes: Uint8Array): Effect.fn.Return<RequestBody, GatewayFailure> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length > maxFormBytes) return yield* Effect.fromResult(tooLargeForm)
  if (count(buffer, "&", 0, maxFields) >= maxFields) return yield* Effect.fromResult(tooManyFields)
  if (!isUtf8(buffer)) return yield* Effect.fromResult(notUtf8)
  if (/^\s*\{/.test(buffer.toString("latin1", 0, 100)) && !buffer.subarray(0, 1000).includes("=")) {
    return yield* Effect.fromResult(
      refuse(400, "The body is JSON, but its content type says application/x-www-form-urlencoded. Send it as application/json.")
    )
  }
  const text = buffer.toString("utf8")
  yield* checkFields([...new URLSearchParams(text)])
  return yield* readForm(RequestEncoding.decodeUrlEncoded(text))
})

const readMultipart = (contentType: string) =>
  Effect.fnUntraced(function* (bytes: Uint8Array): Effect.fn.Return<RequestBody, GatewayFailure> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (buffer.length > maxFormBytes) return yield* Effect.fromResult(tooLargeForm)
    const boundary = /;\s*boundary=(?:"([^"]{1,200})"|([^;\s]{1,200}))/i.exec(contentType)
    const delimiter = boundary?.[1] ?? boundary?.[2]
    const notMultipart = refuse(400, "The body is not a multipart form with the boundary that its content type names.")
    if (delimiter === undefined) return yield* Effect.fromResult(notMultipart)
    if (count(buffer, `--${delimiter}`, 0, maxFields) > maxFields) return yield* Effect.fromResult(tooManyFields)
    const form = yield* Effect.promise(() =>
      new Response(bytes as Uint8Array<ArrayBuffer>, { headers: { "content-type": contentType } }).formData().catch(() => undefined)
    )
    if (form === undefined) return yield* Effect.fromResult(notMultipart)
    const entries = [...form]
    // Only a file may have bytes that are not UTF-8, and the parser replaces them.
    if (entries.every(([, value]) => typeof value === "string") && !isUtf8(buffer)) return yield* Effect.fromResult(notUtf8)
    yield* checkFields(entries)
    return yield* readForm(RequestEncoding.decodeForm(entries))
  })

/** Reads a body. Fails with 400 (syntax), 413 (beyond a limit) or 422 (fields). */
export type Reader = (bytes: Uint8Array) => Effect.Effect<RequestBody, GatewayFailure>

/** The reader of a content type; `undefined` when the endpoint does not take it. */
export const readerOf = (contentType: string): Reader | undefined => {
  switch (contentType.split(";", 1)[0]?.trim().toLowerCase()) {
    case "application/json":
      return readJson
    case "application/x-www-form-urlencoded":
      return readUrlEncoded
    case "multipart/form-data":
      return readMultipart(contentType)
    default:
      return undefined
  }
}
