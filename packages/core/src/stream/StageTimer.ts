// The time limits of a stream's stages.
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Timeout } from "../ParadigmError.ts"
import type { Limits } from "../client/options.ts"

/** Limits of a timer. */
export interface Timing {
  readonly clock: Clock.Clock
  readonly limits: Limits
  /** Deadline of the whole call, in Unix milliseconds. */
  readonly deadline: number
  /** Whether comments and other reads without a chunk restart the stage. */
  readonly keepAliveCounts?: boolean | undefined
}

/**
 * Times the waits for a chunk. One fiber watches the whole stream: a race at each read would cost more than decoding it. It closes the
 * connection, which ends the wait. The time that the reader takes to handle a chunk does not count.
 */
export class StageTimer {
  expired: Timeout | undefined = undefined
  #waitingSince: number | undefined = undefined
  #isFirst = true
  readonly #clock: Clock.Clock
  readonly #timing: Timing
  readonly #close: Effect.Effect<void>

  /** `close` closes the connection; the wait for the next read then fails. */
  constructor(timing: Timing, close: Effect.Effect<void>) {
    this.#clock = timing.clock
    this.#timing = timing
    this.#close = close
  }

  /** The reader waits for a chunk. */
  begin(): void {
    this.#waitingSince ??= this.#clock.currentTimeMillisUnsafe()
  }

  /** A chunk arrived. */
  end(): void {
    this.#waitingSince = undefined
    this.#isFirst = false
  }

  /** The reader stops waiting until the next `begin`. */
  pause(): void {
    this.#waitingSince = undefined
  }

  /** Bytes arrived without a chunk. */
  keepAlive(): void {
    if (this.#timing.keepAliveCounts === true) this.#waitingSince = this.#clock.currentTimeMillisUnsafe()
  }

  run(): Effect.Effect<void> {
    const { deadline, limits } = this.#timing
    return Effect.suspend(() => {
      const now = this.#clock.currentTimeMillisUnsafe()
      const stage = this.#isFirst ? "firstChunk" : "idle"
      const until = this.#waitingSince === undefined ? Infinity : this.#waitingSince + limits[stage]
      if (now >= deadline) this.expired = new Timeout({ stage: "total", limit: Duration.millis(limits.total) })
      else if (now >= until) this.expired = new Timeout({ stage, limit: Duration.millis(limits[stage]) })
      else return Effect.flatMap(Effect.sleep(Math.min(until - now, deadline - now, limits.firstChunk, limits.idle)), () => this.run())
      return this.#close
    })
  }

  get isNeeded(): boolean {
    return Number.isFinite(Math.min(this.#timing.deadline, this.#timing.limits.firstChunk, this.#timing.limits.idle))
  }
}
