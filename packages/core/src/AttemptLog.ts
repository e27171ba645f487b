/**
 * Log lines of attempts.
 *
 * @since 0.1.0
 */
import type { Attempt } from "./client/options.ts"

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

/**
 * Returns a function for the option `onAttempt` that logs: failures that end a call as errors, failures that are retried as warnings, responses
 * for debugging. `level` is the least severe of these, and defaults to `warn`. No line contains the key or the conversation.
 *
 * @example
 * ```ts
 * import { ParadigmClient, Transport } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const layer = ParadigmClient.layerWith(Transport.fromFetch(), {
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL,
 *   onAttempt: ParadigmClient.logTo(console, "debug")
 * })
 * const program = Effect.flatMap(ParadigmClient.ParadigmClient, (client) =>
 *   client.createChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
 * )
 * await Effect.runPromise(Effect.provide(program, layer))
 * ```
 *
 * @category logging
 * @since 0.1.0
 */
export const logTo =
  (logger: Logger, level: LogLevel = "warn"): ((attempt: Attempt) => void) =>
  (attempt) => {
    const own = attempt.reason === undefined ? "debug" : attempt.delayMillis === undefined ? "error" : "warn"
    if (severity[own] >= severity[level]) logger[own](lineOf(attempt), attempt)
  }
