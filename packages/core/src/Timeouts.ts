/**
 * Time limits for the stages of a call.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * A duration: milliseconds, a text such as `"30 seconds"`, `"30s"`, `"500ms"` or `"2m"`, or an Effect `Duration`. `"Infinity"` is no limit.
 *
 * @category models
 * @since 0.1.0
 */
export type DurationInput =
  | Duration.Duration
  | number
  | `${number} ${Duration.Unit}`
  | `${number}${"ms" | "s" | "m" | "h" | "d"}`
  | "Infinity"

/**
 * Limits by stage. A call that exceeds one fails with the reason `Timeout`, which names the stage.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timeouts {
  /** Time to connect. Node only; other runtimes count it as part of `headers`. Defaults to 10 seconds. */
  readonly connect?: DurationInput | undefined
  /**
   * Time from sending a request to its response headers, for each attempt. Without streaming this is the whole generation. Defaults to 10
   * minutes.
   */
  readonly headers?: DurationInput | undefined
  /** Time from the response headers of a stream to its first chunk. Defaults to 10 minutes. */
  readonly firstChunk?: DurationInput | undefined
  /** Time between two chunks while the stream is being read. Defaults to 2 minutes. */
  readonly idle?: DurationInput | undefined
  /** Time for the whole call with its retries. Defaults to no limit. */
  readonly total?: DurationInput | undefined
  /**
   * Whether keep-alive comments restart `firstChunk` and `idle`. Set it for servers that queue calls and send comments meanwhile. Defaults to
   * `false`.
   */
  readonly keepAliveCounts?: boolean | undefined
}

const units: Readonly<Record<string, string>> = { ms: "millis", s: "seconds", m: "minutes", h: "hours", d: "days" }

/**
 * Converts a duration to milliseconds. Returns `undefined` for a negative duration and for any other value.
 *
 * @example
 * ```ts
 * import { Timeouts } from "@paradigm-effect/core"
 *
 * console.log(Timeouts.toMillis("30s"), Timeouts.toMillis("2 minutes"), Timeouts.toMillis("soon")) // => 30000 120000 undefined
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const toMillis = (input: unknown): number | undefined => {
  const text =
    typeof input === "string" ? input.replace(/^([\d.]+)(ms|[smhd])$/, (_, count, unit: string) => `${count} ${units[unit]}`) : input
  if (typeof text !== "number" && typeof text !== "string" && !Duration.isDuration(text)) return undefined
  try {
    const millis = Duration.toMillis(text as Duration.Input)
    // A comparison, since the duration of NaN is zero.
    return millis >= 0 && text === text ? millis : undefined
  } catch {
    return undefined
  }
}
