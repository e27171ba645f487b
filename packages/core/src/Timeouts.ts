/**
 * How long each stage of a call may take.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * Limits by stage; `"Infinity"` is none. A call that exceeds one fails with the reason `Timeout`, which names the stage.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timeouts {
  /** To connect. Node only: elsewhere it is part of `headers`. 10 seconds by default. */
  readonly connect?: Duration.Input | undefined
  /** From the request to the response's headers, for each attempt. Without streaming this is the whole generation. 10 minutes by default. */
  readonly headers?: Duration.Input | undefined
  /** From a stream's headers to its first chunk. 10 minutes by default. */
  readonly firstChunk?: Duration.Input | undefined
  /** From one chunk to the next, while somebody waits for it. Comments that keep the connection alive are no chunks. 2 minutes by default. */
  readonly idle?: Duration.Input | undefined
  /** The whole call, with its retries. Unlimited by default. */
  readonly total?: Duration.Input | undefined
}

/** The limits in milliseconds. */
export type Limits = { readonly [Stage in keyof Required<Timeouts>]: number }

const defaults: Limits = { connect: 10_000, headers: 600_000, firstChunk: 600_000, idle: 120_000, total: Number.POSITIVE_INFINITY }

/**
 * The limits that result from several sources, the later ones before the earlier ones, and the defaults for the rest.
 *
 * @category constructors
 * @since 0.1.0
 */
export const limits = (...sources: ReadonlyArray<Timeouts | undefined>): Limits => {
  const of = (stage: keyof Timeouts) => {
    const given = sources.findLast((source) => source?.[stage] !== undefined)?.[stage]
    return given === undefined ? defaults[stage] : Duration.toMillis(Duration.fromInputUnsafe(given))
  }
  return { connect: of("connect"), headers: of("headers"), firstChunk: of("firstChunk"), idle: of("idle"), total: of("total") }
}
