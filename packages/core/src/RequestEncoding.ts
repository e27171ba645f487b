/**
 * A request as the bytes that go over the wire, and back.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ChatCompletionRequest } from "./ChatCompletion.ts"
import { fieldsOf, join } from "./internal/schemaIssue.ts"
import { InvalidRequest } from "./ParadigmError.ts"

const decodeRequest = Schema.decodeUnknownResult(ChatCompletionRequest, { errors: "all" })

/**
 * A value as a request: unknown fields are kept, and everything that is wrong is named by its path.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (value: unknown): Result.Result<ChatCompletionRequest, InvalidRequest> =>
  Result.mapError(
    decodeRequest(value),
    (error) => new InvalidRequest({ detail: "it is not a chat completion request", fields: fieldsOf(error) })
  )

// JSON has no NaN, Infinity, bigint or function: JSON.stringify would write null, leave the field out, or throw an error without a path.
const findUnwritable = (value: unknown, path: string, ancestors: ReadonlyArray<object>): InvalidRequest | undefined => {
  const unwritable = (problem: string) => new InvalidRequest({ detail: "JSON cannot hold it", fields: { [path]: [problem] } })
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? undefined : unwritable(`Unexpected ${value}`)
    case "function":
    case "symbol":
    case "bigint":
      return unwritable(`Unexpected ${typeof value}`)
    case "object": {
      if (value === null) return undefined
      if (ancestors.includes(value)) return unwritable("Unexpected reference to itself")
      const below = [...ancestors, value]
      for (const [key, child] of Object.entries(value)) {
        const found = findUnwritable(child, join(path, key), below)
        if (found !== undefined) return found
      }
    }
  }
  return undefined
}

/**
 * The request as a JSON text: fields that are `undefined` are left out, unknown ones are kept. A request that is not one, or that JSON
 * cannot hold, is an `InvalidRequest`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeJson = (request: ChatCompletionRequest): Result.Result<string, InvalidRequest> => {
  const unwritable = findUnwritable(request, "", [])
  if (unwritable !== undefined) return Result.fail(unwritable)
  return Result.map(decode(request), () => JSON.stringify(request))
}
