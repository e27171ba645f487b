/**
 * The body of a request, read once. JSON is forwarded as it came: only the model's name is replaced, in place, since writing the parsed JSON
 * again would change what JavaScript cannot hold. Forms become the JSON that model servers take.
 */
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import type { InvalidRequest } from "@paradigm-effect/core/ParadigmError"
import * as RequestEncoding from "@paradigm-effect/core/RequestEncoding"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { GatewayFailure } from "./GatewayFailure.ts"

/** A request, and the JSON text that is forwarded, with the model's name there. */
export interface RequestBody {
  readonly request: ChatCompletionRequest
  readonly withModel: (model: string) => string
}

type Reading = Result.Result<RequestBody, GatewayFailure>

const malformed = (detail: string) => Result.fail(new GatewayFailure({ status: 400, detail }))

const invalid = ({ fields }: InvalidRequest) =>
  new GatewayFailure({ status: 422, detail: "The body is not a chat completion request.", fields })

const decodeUtf8 = (bytes: Uint8Array): Result.Result<string, GatewayFailure> => {
  try {
    return Result.succeed(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    return malformed("The body is not UTF-8.")
  }
}

// Where the string that begins at `start` ends, past its closing quote.
const endOfString = (text: string, start: number) => {
  let end = text.indexOf('"', start + 1)
  while (end !== -1) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === 92) backslashes++
    if (backslashes % 2 === 0) return end + 1
    end = text.indexOf('"', end + 1)
  }
  return text.length
}

// Where a string has a backslash before what may not follow one: past it.
const badEscape = (string: string): number | undefined => {
  for (const match of string.matchAll(/\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|())/g)) if (match[1] !== undefined) return match.index + 1
  return undefined
}

// V8 tells where JSON goes wrong, but for a token that may not be where it is and for an early end: there it quotes the text instead.
const placeOfError = (text: string, message: string): number => {
  const told = / JSON at position (\d+)( \(line \d+ column \d+\))?$/.exec(message)?.[1]
  if (told !== undefined) return Number(told)
  const token = /[[\]{},:"]|[^ \t\n\r[\]{},:"]+/g
  let before = ","
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [found] = match
    const isValue = /^(?:["{[]|true$|false$|null$|-?\d)/.test(found) || (found === "]" && before === "[")
    if (/[:,[]/.test(before) && !isValue) return match.index
    if (found === '"') {
      token.lastIndex = endOfString(text, match.index)
      const bad = badEscape(text.slice(match.index, token.lastIndex))
      if (bad !== undefined) return match.index + bad
    }
    before = found
  }
  return text.length
}

// How many `model` keys a valid JSON object has at its top level, and the place of the last one's value, a string.
const findModel = (text: string): { readonly keys: number; readonly start: number; readonly end: number } => {
  const found = { keys: 0, start: 0, end: 0 }
  const structural = /["{}[\]:,]/g
  let depth = 0
  let key: string | undefined
  let isKey = false
  for (let match = structural.exec(text); match !== null; match = structural.exec(text)) {
    switch (match[0]) {
      case '"': {
        const end = endOfString(text, match.index)
        structural.lastIndex = end
        if (depth !== 1) break
        if (isKey) {
          key = JSON.parse(text.slice(match.index, end))
          if (key === "model") found.keys++
        } else if (key === "model") {
          found.start = match.index
          found.end = end
        }
        break
      }
      case "{":
      case "[":
        depth++
        isKey = depth === 1
        break
      case "}":
      case "]":
        depth--
        break
      case ":":
        if (depth === 1) isKey = false
        break
      case ",":
        if (depth === 1) isKey = true
    }
  }
  return found
}

const readJson = (text: string): Reading => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const place = placeOfError(text, error instanceof Error ? error.message : "")
    return malformed(`The body is not JSON: it goes wrong at character ${place}.`)
  }
  const decoded = RequestEncoding.decode(value)
  if (Result.isFailure(decoded)) return Result.fail(invalid(decoded.failure))
  const found = findModel(text)
  if (found.keys !== 1) return malformed("The body names more than one model.")
  const request = decoded.success
  return Result.succeed({
    request,
    withModel: (model) => (model === request.model ? text : text.slice(0, found.start) + JSON.stringify(model) + text.slice(found.end))
  })
}

const fromForm = (decoded: Result.Result<ChatCompletionRequest, InvalidRequest>): Reading =>
  Result.mapBoth(decoded, {
    onFailure: invalid,
    onSuccess: (request) => ({ request, withModel: (model) => Result.getOrThrow(RequestEncoding.encodeJson({ ...request, model })) })
  })

const readMultipart = async (bytes: Uint8Array<ArrayBuffer>, contentType: string): Promise<Reading> => {
  let form: FormData
  try {
    form = await new Response(bytes, { headers: { "content-type": contentType } }).formData()
  } catch {
    return malformed("The body is not a multipart form with the boundary that its content type names.")
  }
  const entries = [...form]
  // Only a file may be anything; the parser replaces what is not UTF-8.
  const text = entries.some(([, value]) => typeof value !== "string") ? Result.succeed("") : decodeUtf8(bytes)
  return Result.flatMap(text, () => fromForm(RequestEncoding.decodeForm(entries)))
}

/** Reads a body. Fails with 400 (not UTF-8, not what its content type says, two models) or 422 (wrong fields). */
export type Reader = (bytes: Uint8Array<ArrayBuffer>) => Effect.Effect<RequestBody, GatewayFailure>

/** How a body of this content type is read; `undefined` where the endpoint does not take it. */
export const readerOf = (contentType: string): Reader | undefined => {
  switch (contentType.split(";", 1)[0]?.trim().toLowerCase()) {
    case "application/json":
      return (bytes) => Effect.fromResult(Result.flatMap(decodeUtf8(bytes), readJson))
    case "application/x-www-form-urlencoded":
      return (bytes) => Effect.fromResult(Result.flatMap(decodeUtf8(bytes), (text) => fromForm(RequestEncoding.decodeUrlEncoded(text))))
    case "multipart/form-data":
      return (bytes) =>
        Effect.flatMap(
          Effect.promise(() => readMultipart(bytes, contentType)),
          Effect.fromResult
        )
    default:
      return undefined
  }
}
