// One HTTP request and the head of its response.
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Settings } from "../client/options.ts"
import * as ErrorBody from "../ErrorBody.ts"
import { ParadigmError, type ParadigmErrorReason, Timeout } from "../ParadigmError.ts"
import type { Transport, TransportRequest } from "../Transport.ts"
import { type Failing, fromTransport } from "./mapError.ts"

/** The bytes of a body, one network read after the other. */
export type Reads = Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, ParadigmErrorReason>

/** A response whose body has not been read. */
export interface OpenResponse {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly requestId: string | undefined
  readonly reads: Reads
  /** Closes the connection unless the body was read to its end. */
  readonly close: Effect.Effect<void>
}

/** Sends a request and waits for the head of its response. The connection lives as long as the scope. */
export const send = Effect.fnUntraced(function* (
  transport: Transport,
  request: TransportRequest,
  { secrets, telemetry, timeouts: limits }: Settings
): Effect.fn.Return<OpenResponse, ParadigmError, Scope.Scope> {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const close = Scope.close(scope, Exit.void)
  const { headers, url } = request
  const failing: Failing = { origin: url.origin, limits, secrets }
  const answered = telemetry.httpSpan(url, (trace) =>
    transport({ ...request, headers: { ...headers, ...trace } }).pipe(
      Effect.provideService(Scope.Scope, scope),
      // Inside the span, which must not record the quotes in a platform's exception.
      Effect.catch((error) => Effect.fail(new ParadigmError({ reason: fromTransport(error, "headers", failing) })))
    )
  )
  const response = yield* timed(answered, "headers", limits.headers).pipe(
    Effect.onExit((exit) => (Exit.isFailure(exit) ? close : Effect.void))
  )
  const pull = yield* Channel.toPullScoped(Stream.toChannel(response.stream), scope)
  return {
    status: response.status,
    headers: response.headers,
    requestId: ErrorBody.requestId(response.headers),
    close,
    reads: Effect.catch(pull, (error): Reads => {
      // Effect fails for a response that has no body, for example a 204.
      if (Cause.isDone(error) || error.reason._tag === "EmptyBodyError") return Cause.done()
      return Effect.fail(fromTransport(error, "body", failing))
    })
  }
})

/** Fails with `Timeout` when the effect takes longer than the limit of its stage, or than what is `left` of it. */
export const timed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  stage: Timeout["stage"],
  limit: number,
  left = limit
): Effect.Effect<A, E | ParadigmError, R> =>
  Number.isFinite(left)
    ? Effect.raceFirst(
        effect,
        Effect.flatMap(Effect.sleep(left), () =>
          Effect.fail(new ParadigmError({ reason: new Timeout({ stage, limit: Duration.millis(limit) }) }))
        )
      )
    : effect
