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

/** Where the string that begins at `start` ends, past its closing quote. The text is valid JSON. */
const endOfString = (text: string, start: number) => {
  let end = text.indexOf('"', start + 1)
  for (;;) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === 92) backslashes++
    if (backslashes % 2 === 0) return end + 1
    end = text.indexOf('"', end + 1)
  }
}

// The places of the values of every `model` at the top level of a valid JSON object.
const findModels = (text: string): ReadonlyArray<readonly [start: number, end: number]> => {
  const found: Array<readonly [number, number]> = []
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
        if (isKey) key = JSON.parse(text.slice(match.index, end))
        else if (key === "model") found.push([match.index, end])
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
    const where = /position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1]
    return malformed(`The body is not JSON${where === undefined ? "" : `: it goes wrong at character ${where}`}.`)
  }
  const decoded = RequestEncoding.decode(value)
  if (Result.isFailure(decoded)) {
    return Result.fail(
      new GatewayFailure({ status: 422, detail: "The body is not a chat completion request.", fields: decoded.failure.fields })
    )
  }
  const [model, ...others] = findModels(text)
  if (model === undefined || others.length > 0) return malformed("The body names more than one model.")
  return Result.succeed({ request: decoded.success, text, modelStart: model[0], modelEnd: model[1] })
}

/** The body with another model's name. */
export const withModel = ({ modelEnd, modelStart, request, text }: RequestBody, model: string): string =>
  model === request.model ? text : text.slice(0, modelStart) + JSON.stringify(model) + text.slice(modelEnd)
