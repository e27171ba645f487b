// One attempt: a request sent, and its answer up to the headers. Whatever is not a success fails here, with its body read to explain it.
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Duration from "effect/Duration"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ErrorBody from "../ErrorBody.ts"
import { ParadigmError, type ParadigmErrorReason, RedirectRefused, Timeout } from "../ParadigmError.ts"
import type { Encoded } from "../RequestEncoding.ts"
import type { Telemetry } from "../Telemetry.ts"
import type { Limits } from "../Timeouts.ts"
import type { Endpoint } from "../client/options.ts"
import { fromTransport, type TransportFailure } from "./mapError.ts"

/** A request as it is sent. */
export interface Request {
  readonly url: URL
  /** By lower-case name, with the key. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What is read of an `HttpClientResponse`. */
export interface Response {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly stream: Stream.Stream<Uint8Array, TransportFailure>
}

/**
 * All that the client asks of an `HttpClient`: a POST, on a connection that lives as long as the scope. Every `HttpClient` can do it, and fetch can
 * in some lines, which spares a page the rest of `HttpClient`.
 */
export type Post = (request: Request) => Effect.Effect<Response, TransportFailure, Scope.Scope>

/** An answer whose body is still to come. */
export interface Exchange {
  readonly response: Response
  readonly requestId: string | undefined
  /** Ends the connection, unless the body was read to its end. */
  readonly close: Effect.Effect<void>
  /** The body's bytes, failing with reasons. */
  readonly bytes: Stream.Stream<Uint8Array, ParadigmErrorReason>
}

/** What is sent. */
export interface Outgoing {
  readonly body: Encoded
  readonly accept: string
  readonly model: string
  readonly headers: Readonly<Record<string, string>>
  readonly telemetry: Telemetry
}

const errorBodyLimit = 64 * 1024

/** As much of a body as comes in 2 seconds, at most 64 KiB: it may never end, break off, or be a whole page. */
export const readBeginning = (exchange: Exchange): Effect.Effect<string> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let text = ""
    return exchange.bytes.pipe(
      Stream.takeWhile((bytes) => {
        text += decoder.decode(bytes, { stream: true })
        return text.length < errorBodyLimit
      }),
      Stream.runDrain,
      Effect.timeoutOption("2 seconds"),
      // As `Effect.ignore` does, which brings the whole of logging along.
      Effect.result,
      Effect.map(() => text)
    )
  })

const refuse = Effect.fnUntraced(function* (exchange: Exchange, endpoint: Endpoint, model: string): Effect.fn.Return<never, ParadigmError> {
  const { requestId, response } = exchange
  const { headers, status } = response
  const body = yield* readBeginning(exchange)
  if (status < 400) {
    const origin = headers["location"] === undefined ? undefined : URL.parse(headers["location"], endpoint.url)?.origin
    return yield* new ParadigmError({ reason: new RedirectRefused({ status, origin }), requestId })
  }
  const now = yield* Clock.currentTimeMillis
  return yield* new ParadigmError({ reason: ErrorBody.toReason({ status, headers, body, model, now }), requestId })
})

/** Sends, and succeeds when the server answers with success. The connection lives as long as the scope. */
export const send = Effect.fnUntraced(function* (
  post: Post,
  endpoint: Endpoint,
  outgoing: Outgoing,
  limits: Limits
): Effect.fn.Return<Exchange, ParadigmError, Scope.Scope> {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const close = Scope.close(scope, Exit.void)
  const { origin } = endpoint.url
  const { body, contentType } = outgoing.body
  const headers = { ...endpoint.headers, ...outgoing.headers, accept: outgoing.accept, "content-type": contentType }
  const answered = outgoing.telemetry.httpSpan(endpoint.url, (trace) =>
    post({ url: endpoint.url, headers: { ...headers, ...trace }, body }).pipe(
      Effect.provideService(Scope.Scope, scope),
      // Before the span ends: what a platform's error quotes must not get there.
      Effect.mapError((error) => new ParadigmError({ reason: fromTransport(error, "headers", origin, limits) }))
    )
  )
  const response = yield* timed(answered, "headers", limits.headers).pipe(Effect.onError(() => close))
  const exchange: Exchange = {
    response,
    requestId: response.headers["x-request-id"],
    close,
    bytes: Stream.transformPull(response.stream, (pull) =>
      Effect.succeed(
        Effect.catch(pull, (error): Pull.Pull<never, ParadigmErrorReason> => {
          // A 204 has no body, and Effect calls that a failure of it.
          if (Cause.isDone(error) || error.reason._tag === "EmptyBodyError") return Cause.done()
          return Effect.fail(fromTransport(error, "body", origin, limits))
        })
      )
    )
  }
  if (response.status >= 200 && response.status < 300) return exchange
  return yield* Effect.ensuring(refuse(exchange, endpoint, outgoing.model), close)
})

/** Fails with `Timeout` when an effect takes longer than a stage may. */
export const timed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  stage: Timeout["stage"],
  limit: number
): Effect.Effect<A, E | ParadigmError, R> =>
  Number.isFinite(limit)
    ? Effect.timeoutOrElse(effect, {
        duration: limit,
        orElse: () => Effect.fail(new ParadigmError({ reason: new Timeout({ stage, limit: Duration.millis(limit) }) }))
      })
    : effect
