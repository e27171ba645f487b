// The attempts of one call: when the next one starts, and the record of those that failed.
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Attempt, ParadigmError } from "../ParadigmError.ts"

/** The retry policy with every default filled in, in milliseconds. */
export interface RetrySettings {
  readonly maxAttempts: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly maxRetryAfter: number
}

export class Retries {
  readonly #clock: Clock.Clock
  readonly #settings: RetrySettings
  readonly #failed: Array<Attempt> = []
  #startedAt = 0

  constructor(clock: Clock.Clock, settings: RetrySettings) {
    this.#clock = clock
    this.#settings = settings
  }

  /** Runs an attempt, and runs it again after each failure that the policy retries. */
  run<A, R>(attempt: Effect.Effect<A, ParadigmError, R>): Effect.Effect<A, ParadigmError, R> {
    const next: Effect.Effect<A, ParadigmError, R> = Effect.suspend(() => {
      this.#startedAt = this.#clock.currentTimeMillisUnsafe()
      return Effect.catch(attempt, (error) => Effect.flatMap(this.wait(error), () => next))
    })
    return next
  }

  /** Waits until the next attempt may start. Fails with the error if no further attempt is made. */
  wait(error: ParadigmError): Effect.Effect<void, ParadigmError> {
    return Effect.flatMap(Random.next, (random) => {
      const delay = this.#delayAfter(error, random)
      this.#record(error, delay)
      return delay === undefined ? Effect.fail(this.withAttempts(error)) : Effect.sleep(delay)
    })
  }

  /** The error of an attempt that failed after its response began, with the record of all attempts. */
  fail(error: ParadigmError): ParadigmError {
    this.#record(error, undefined)
    return this.withAttempts(error)
  }

  /** The error with the record of the attempts so far. */
  withAttempts(error: ParadigmError): ParadigmError {
    return error.with({ attempts: [...this.#failed] })
  }

  #record(error: ParadigmError, delayMillis: number | undefined) {
    this.#failed.push({
      reason: error.reason._tag,
      status: error.status,
      requestId: error.requestId,
      durationMillis: this.#clock.currentTimeMillisUnsafe() - this.#startedAt,
      delayMillis
    })
  }

  // In milliseconds; `undefined` if no further attempt is made.
  #delayAfter(error: ParadigmError, random: number): number | undefined {
    const { baseDelay, maxAttempts, maxDelay, maxRetryAfter } = this.#settings
    const attempt = this.#failed.length + 1
    if (!error.isRetryable || attempt >= maxAttempts) return undefined
    const backoff = Math.min(maxDelay, baseDelay * 2 ** (attempt - 1)) * (1 - random / 2)
    const { reason } = error
    if (!("retryAfter" in reason) || reason.retryAfter === undefined) return backoff
    const asked = Duration.toMillis(reason.retryAfter)
    // A server gives many clients the same time: jitter keeps them from returning at the same moment.
    return asked > maxRetryAfter ? undefined : Math.max(asked + random * Math.min(asked / 10, 1000), backoff)
  }
}
