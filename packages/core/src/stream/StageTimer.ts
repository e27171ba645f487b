// The limits of a stream's stages.
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Options } from "../ChatCompletionStream.ts"
import { Timeout } from "../ParadigmError.ts"

type Timed = NonNullable<Options["timed"]>

// Times the waits for a chunk. One fiber watches the whole stream, since a race at each read would cost more than decoding it; it ends the
// bytes, and the wait with them. The time somebody takes to handle a chunk does not count.
export class StageTimer {
  expired: Timeout | undefined = undefined
  #waitingSince: number | undefined = undefined
  #isFirst = true
  readonly #clock: Clock.Clock
  readonly #timed: Timed

  constructor(clock: Clock.Clock, timed: Timed) {
    this.#clock = clock
    this.#timed = timed
  }

  begin(): void {
    this.#waitingSince ??= this.#clock.currentTimeMillisUnsafe()
  }

  end(): void {
    this.#waitingSince = undefined
    this.#isFirst = false
  }

  run(): Effect.Effect<void> {
    const { close, deadline, limits } = this.#timed
    return Effect.suspend(() => {
      const now = this.#clock.currentTimeMillisUnsafe()
      const stage = this.#isFirst ? "firstChunk" : "idle"
      const until = this.#waitingSince === undefined ? Number.POSITIVE_INFINITY : this.#waitingSince + limits[stage]
      if (now >= deadline) this.expired = new Timeout({ stage: "total", limit: Duration.millis(limits.total) })
      else if (now >= until) this.expired = new Timeout({ stage, limit: Duration.millis(limits[stage]) })
      else return Effect.andThen(Effect.sleep(Math.min(until - now, deadline - now, limits.firstChunk, limits.idle)), this.run())
      return close
    })
  }

  get isNeeded(): boolean {
    return Number.isFinite(Math.min(this.#timed.deadline, this.#timed.limits.firstChunk, this.#timed.limits.idle))
  }
}
