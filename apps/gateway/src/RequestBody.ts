/**
 * The body of a request, read once and forwarded as it came: only the model's name is replaced, in place. Writing the parsed JSON again
 * would change what JavaScript cannot hold, as a 64-bit `seed`.
 */
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import * as RequestEncoding from "@paradigm-effect/core/RequestEncoding"
import * as Result from "effect/Result"
import { GatewayFailure } from "./GatewayFailure.ts"

/** A request, and its text with the place of the model's name. */
export interface RequestBody {
  readonly request: ChatCompletionRequest
  readonly text: string
  readonly modelStart: number
  readonly modelEnd: number
}

const malformed = (detail: string) => Result.fail(new GatewayFailure({ status: 400, detail }))

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

// V8 tells where JSON goes wrong, but for a value that is none and for an early end: there it quotes the text instead.
const placeOfError = (text: string, message: string): number => {
  const told = / JSON at position (\d+)( \(line \d+ column \d+\))?$/.exec(message)?.[1]
  if (told !== undefined) return Number(told)
  const token = /[[\]{},:"]|[^ \t\n\r[\]{},:"]+/g
  let before = ","
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [found] = match
    const isValue = /^(?:["{[]|true$|false$|null$|-?\d)/.test(found) || (found === "]" && before === "[")
    if (/[:,[]/.test(before) && !isValue) return match.index
    if (found === '"') token.lastIndex = endOfString(text, match.index)
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

/** Reads a JSON body. Fails with 400 (not UTF-8, not JSON, two models) or 422 (wrong fields). */
export const parse = (bytes: Uint8Array): Result.Result<RequestBody, GatewayFailure> => {
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return malformed("The body is not UTF-8.")
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const place = placeOfError(text, error instanceof Error ? error.message : "")
    return malformed(`The body is not JSON: it goes wrong at character ${place}.`)
  }
  const decoded = RequestEncoding.decode(value)
  if (Result.isFailure(decoded)) {
    return Result.fail(
      new GatewayFailure({ status: 422, detail: "The body is not a chat completion request.", fields: decoded.failure.fields })
    )
  }
  const model = findModel(text)
  if (model.keys !== 1) return malformed("The body names more than one model.")
  return Result.succeed({ request: decoded.success, text, modelStart: model.start, modelEnd: model.end })
}

/** The body with another model's name. */
export const withModel = ({ modelEnd, modelStart, request, text }: RequestBody, model: string): string =>
  model === request.model ? text : text.slice(0, modelStart) + JSON.stringify(model) + text.slice(modelEnd)
