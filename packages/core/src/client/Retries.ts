// Runs the attempts of one call: decides on the next attempt, its delay and its key, and records the failed attempts.
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type { AttemptRecord, ParadigmError } from "../ParadigmError.ts"
import type { Attempt, Settings } from "./options.ts"

/** The retry policy with every default filled in, in milliseconds. */
export interface RetrySettings {
  readonly maxAttempts: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly maxRetryAfter: number
}

type Head = Pick<Attempt, "status" | "requestId">

export class Retries {
  readonly #clock: Clock.Clock
  readonly #settings: Pick<Settings, "apiKey" | "onAttempt" | "retry" | "secrets">
  readonly #failed: Array<AttemptRecord> = []
  // The last error with a partial completion.
  #received: ParadigmError | undefined
  // Start of the current attempt.
  #startedAt: number | undefined
  #key = Redacted.make("")
  // The key that replaces one that was refused. A call replaces its key once.
  #otherKey: Redacted.Redacted | undefined
  #hasOtherKey = false

  /** `apiKey` of the settings returns the key of each attempt, and is run once more after a 401. */
  constructor(clock: Clock.Clock, settings: Pick<Settings, "apiKey" | "onAttempt" | "retry" | "secrets">) {
    this.#clock = clock
    this.#settings = settings
  }

  /** Runs an attempt, and runs it again after each failure that the policy retries. */
  run<A, R>(attempt: (key: Redacted.Redacted) => Effect.Effect<A, ParadigmError, R>): Effect.Effect<A, ParadigmError, R> {
    const next: Effect.Effect<A, ParadigmError, R> = Effect.suspend(() =>
      Effect.flatMap(this.#otherKey === undefined ? this.#settings.apiKey : Effect.succeed(this.#otherKey), (key) => {
        this.#key = key
        this.#otherKey = undefined
        this.#startedAt = this.#clock.currentTimeMillisUnsafe()
        return Effect.catch(attempt(key), (error) => Effect.flatMap(this.wait(error), () => next))
      })
    )
    return next
  }

  /** Waits until the next attempt may start. Fails with the error if no further attempt is made. */
  wait(error: ParadigmError): Effect.Effect<void, ParadigmError> {
    const now = this.#clock.currentTimeMillisUnsafe()
    return Effect.flatMap(Random.next, (random) =>
      Effect.flatMap(this.#replaceKey(error), (isReplaced) => {
        const delay = isReplaced ? 0 : this.#delayAfter(error, random)
        this.#record(error, delay, now)
        return delay === undefined ? Effect.fail(this.settle(error)) : Effect.sleep(delay)
      })
    )
  }

  /** The error with the record of all attempts and the last partial completion of any. Ends the current attempt. */
  settle(error: ParadigmError): ParadigmError {
    if (error.attempts.length > 0) return error
    if (this.#startedAt !== undefined) this.#record(error, undefined, this.#clock.currentTimeMillisUnsafe())
    const { anomalies, partial, usage } = this.#received ?? error
    return error.with({ anomalies, partial, usage, attempts: [...this.#failed] })
  }

  // Whether the next attempt has another key, because the server refused the key of this one.
  #replaceKey(error: ParadigmError): Effect.Effect<boolean> {
    if (error.reason._tag !== "Unauthorized" || this.#hasOtherKey) return Effect.succeed(false)
    const replaced = Effect.map(this.#settings.apiKey, (key) => {
      if (Redacted.value(key) === Redacted.value(this.#key)) return false
      this.#otherKey = key
      return (this.#hasOtherKey = true)
    })
    return Effect.catch(replaced, () => Effect.succeed(false))
  }

  #record(error: ParadigmError, delayMillis: number | undefined, now: number) {
    const { partial, reason, requestId, status } = error
    if (partial !== undefined) this.#received = error
    this.#failed.push(this.#tell(reason._tag, { status, requestId }, delayMillis, now))
    this.#startedAt = undefined
  }

  /** Reports the head of a response that was accepted. */
  accepted<R extends Head>(response: R): R {
    this.#tell(undefined, response, undefined, this.#clock.currentTimeMillisUnsafe())
    return response
  }

  #tell<Tag extends Attempt["reason"]>(reason: Tag, { requestId, status }: Head, delayMillis: number | undefined, now: number) {
    const record = { reason, status, requestId, durationMillis: now - (this.#startedAt ?? now), delayMillis }
    try {
      this.#settings.onAttempt?.({
        number: this.#failed.length + 1,
        ...record,
        requestId: requestId && this.#settings.secrets.text(requestId)
      })
    } catch {
      // A fault of the application's function is not one of the call.
    }
    return record
  }

  // In milliseconds; `undefined` if no further attempt is made.
  #delayAfter(error: ParadigmError, random: number): number | undefined {
    const { baseDelay, maxAttempts, maxDelay, maxRetryAfter } = this.#settings.retry
    // An attempt with another key is one more than the policy allows.
    const attempt = this.#failed.length + (this.#hasOtherKey ? 0 : 1)
    if (!error.isRetryable || attempt >= maxAttempts) return undefined
    const backoff = Math.min(maxDelay, baseDelay * 2 ** (attempt - 1)) * (1 - random / 2)
    const { reason } = error
    if (!("retryAfter" in reason) || reason.retryAfter === undefined) return backoff
    const asked = Duration.toMillis(reason.retryAfter)
    // A server sends many clients the same delay. Jitter spreads their next attempts.
    return asked > maxRetryAfter ? undefined : Math.max(asked + random * Math.min(asked / 10, 1000), backoff)
  }
}
