/**
 * The policy by which failed attempts are repeated.
 *
 * An attempt is repeated only before the first byte of the response body: after a refused connection, after a connection lost before the
 * headers, and after the statuses 408, 409, 429, 502, 503 (except maintenance) and 504. An aborted generation (`Aborted`) is repeated if
 * nothing of it was delivered.
 *
 * @since 0.1.0
 */
import type { DurationInput } from "./Timeouts.ts"

/**
 * Options for retries. `false` in place of the policy makes one attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy {
  /** Maximum number of attempts, the first included. Defaults to 3. */
  readonly maxAttempts?: number | undefined
  /** Delay before the second attempt. It doubles for each further attempt, less up to half at random. Defaults to 500 milliseconds. */
  readonly baseDelay?: DurationInput | undefined
  /** Maximum backoff delay. Defaults to 8 seconds. */
  readonly maxDelay?: DurationInput | undefined
  /**
   * Maximum delay that a server may ask for with `Retry-After`. The call fails at once if the server asks for more; the error has the delay in
   * `retryAfter`. Defaults to 1 minute.
   */
  readonly maxRetryAfter?: DurationInput | undefined
}
