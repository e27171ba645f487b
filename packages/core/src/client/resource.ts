// Requests for other resources of the endpoint than completions.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as ErrorBody from "../ErrorBody.ts"
import { parseJson } from "../json/jsonText.ts"
import type { CallOptions, Service } from "../ParadigmClient.ts"
import { ParadigmError } from "../ParadigmError.ts"
import { accept, readText, unexpected } from "../transport/accept.ts"
import { type OpenResponse, send, timed } from "../transport/attempt.ts"
import { resolveCall } from "./options.ts"
import { partsOf } from "./parts.ts"
import { Retries } from "./Retries.ts"

/** A decoded body and its response. */
export interface Resource<A> {
  readonly data: A
  readonly response: OpenResponse
}

const decodeBody = <A>(
  response: OpenResponse,
  body: string,
  decode: (value: unknown) => A | undefined
): Effect.Effect<A, ParadigmError> => {
  let value: unknown
  try {
    value = parseJson(body)
  } catch {
    return Effect.fail(unexpected(response, "it is not JSON", body))
  }
  const reason = ErrorBody.fromEvent(value, body)
  if (reason !== undefined) return Effect.fail(new ParadigmError({ reason, requestId: response.requestId }))
  const data = decode(value)
  return data === undefined ? Effect.fail(unexpected(response, "it has no models", body)) : Effect.succeed(data)
}

/** Requests the resource whose path takes the place of `chat/completions`. */
export const getResource = Effect.fnUntraced(function* <A>(
  client: Service,
  path: string,
  decode: (value: unknown) => A | undefined,
  options: CallOptions | undefined
): Effect.fn.Return<Resource<A>, ParadigmError> {
  const own = yield* partsOf(client)
  const settings = yield* Effect.fromResult(resolveCall(own.settings, options))
  const { timeouts: limits } = settings
  const url = new URL(settings.baseUrl)
  url.pathname = url.pathname.replace(/chat\/completions$/, path)
  const retries = new Retries(yield* Clock.Clock, settings)
  const attempt = (key: Redacted.Redacted) =>
    Effect.scoped(
      Effect.gen(function* (): Effect.fn.Return<Resource<A>, ParadigmError, Scope.Scope> {
        const headers = { ...settings.headers, authorization: `Bearer ${Redacted.value(key)}`, accept: "application/json" }
        const sent = yield* send(own.transport, { url, headers, body: undefined }, settings)
        const response = yield* accept(sent, { url, model: path, stream: false, firstChunk: limits.firstChunk })
        retries.accepted(response)
        const text = yield* timed(readText(response), "idle", limits.idle)
        return { data: yield* decodeBody(response, text, decode), response }
      })
    )
  const resource = timed(retries.run(attempt), "total", limits.total)
  return yield* Effect.mapError(resource, (error) => settings.secrets.error(retries.settle(error)))
})
