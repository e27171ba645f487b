/**
 * What is tried again, when, and how often.
 *
 * An attempt is repeated only before the first byte of the response's body: when the connection was refused or lost before the headers, and
 * after the statuses 408, 409, 429, 502, 503 (maintenance excepted) and 504. What has begun to arrive is never asked for twice.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

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
