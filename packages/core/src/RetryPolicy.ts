/**
 * What is tried again, when, and how often.
 *
 * An attempt is repeated only before the first byte of the response's body: when the connection was refused or lost before the headers, and
 * after the statuses 408, 409, 429, 502, 503 (maintenance excepted) and 504. What has begun to arrive is never asked for twice.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { type Attempt, ParadigmError } from "./ParadigmError.ts"

/**
 * How attempts are repeated.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy {
  /** The most attempts, the first included. 3 by default; 1 never repeats. */
  readonly maxAttempts?: number | undefined
  /** The wait before the second attempt, doubled for each further one, less up to a half at random. 500 milliseconds by default. */
  readonly baseDelay?: Duration.Input | undefined
  /** The longest wait of our own. 8 seconds by default. */
  readonly maxDelay?: Duration.Input | undefined
  /**
   * The longest wait that a server may ask for. One that asks for more gets no further attempt: the error says how long. 1 minute by
   * default.
   */
  readonly maxRetryAfter?: Duration.Input | undefined
}

interface Settings {
  readonly maxAttempts: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly maxRetryAfter: number
}

const millis = (input: Duration.Input | undefined, otherwise: number) =>
  input === undefined ? otherwise : Duration.toMillis(Duration.fromInputUnsafe(input))

const settings = (policy: RetryPolicy | false | undefined): Settings => {
  const { baseDelay, maxAttempts, maxDelay, maxRetryAfter } = policy === false ? ({ maxAttempts: 1 } as RetryPolicy) : (policy ?? {})
  return {
    maxAttempts: maxAttempts ?? 3,
    baseDelay: millis(baseDelay, 500),
    maxDelay: millis(maxDelay, 8000),
    maxRetryAfter: millis(maxRetryAfter, 60_000)
  }
}

// Milliseconds until the next attempt; `undefined` where there is none.
const delayAfter = (error: ParadigmError, attempt: number, policy: Settings, random: number): number | undefined => {
  if (!error.isRetryable || attempt >= policy.maxAttempts) return undefined
  const backoff = Math.min(policy.maxDelay, policy.baseDelay * 2 ** (attempt - 1)) * (1 - random / 2)
  const { reason } = error
  if (!("retryAfter" in reason) || reason.retryAfter === undefined) return backoff
  const asked = Duration.toMillis(reason.retryAfter)
  // Many clients are told the same time: without a little more at random they would all come back in the same moment.
  return asked > policy.maxRetryAfter ? undefined : Math.max(asked + random * Math.min(asked / 10, 1000), backoff)
}

/**
 * Runs an attempt until it succeeds or the policy says to stop. The error of the last attempt tells of all of them.
 *
 * @category running
 * @since 0.1.0
 */
export const run = Effect.fnUntraced(function* <A, R>(
  attempt: Effect.Effect<A, ParadigmError, R>,
  policy: RetryPolicy | false | undefined
): Effect.fn.Return<A, ParadigmError, R> {
  const resolved = settings(policy)
  const attempts: Array<Attempt> = []
  for (let number = 1; ; number++) {
    const startedAt = yield* Clock.currentTimeMillis
    const result = yield* Effect.result(attempt)
    if (result._tag === "Success") return result.success
    const error = result.failure
    const delay = delayAfter(error, number, resolved, yield* Random.next)
    const duration = (yield* Clock.currentTimeMillis) - startedAt
    attempts.push({
      reason: error.reason._tag,
      status: error.status,
      requestId: error.requestId,
      durationMillis: duration,
      delayMillis: delay
    })
    if (delay === undefined) return yield* error.with({ attempts })
    yield* Effect.sleep(delay)
  }
})
