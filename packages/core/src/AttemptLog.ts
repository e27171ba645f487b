// Log lines of attempts.
import type { Attempt } from "./options.ts"

/**
 * A logger, for example `console`.
 *
 * @category options
 * @since 0.1.0
 */
export interface Logger {
  readonly error: (message: string, attempt: Attempt) => void
  readonly warn: (message: string, attempt: Attempt) => void
  readonly debug: (message: string, attempt: Attempt) => void
}

/**
 * The least severe lines that a logger receives.
 *
 * @category options
 * @since 0.1.0
 */
export type LogLevel = "error" | "warn" | "debug"

const severity = { debug: 0, warn: 1, error: 2 }

const lineOf = ({ delayMillis, durationMillis, number, reason, requestId, status }: Attempt) => {
  const outcome = [reason, status].filter((part) => part !== undefined).join(" ")
  const id = requestId === undefined ? "" : `, request ${requestId}`
  const next = delayMillis === undefined ? "" : `, next in ${Math.round(delayMillis)} ms`
  return `paradigm: ${outcome} after ${Math.round(durationMillis)} ms (attempt ${number}${id})${next}`
}

export const attemptLog =
  (logger: Logger, level: LogLevel) =>
  (attempt: Attempt): void => {
    const own = attempt.reason === undefined ? "debug" : attempt.delayMillis === undefined ? "error" : "warn"
    if (severity[own] >= severity[level]) logger[own](lineOf(attempt), attempt)
  }
