/** A clock that tests move. */
import type { Timer } from "../src/Scheduler.ts"

// Time that passes when it is told to. Timers fire in order, at their time.
export class HandTimer implements Timer {
  time = 0
  armed = 0
  #timers: Array<{ readonly at: number; readonly run: () => void }> = []
  readonly now = () => this.time
  readonly after = (delay: number, run: () => void) => {
    const timer = { at: this.time + delay, run }
    this.#timers.push(timer)
    this.armed = Math.max(this.armed, this.#timers.length)
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer))
  }
  pass(millis: number): void {
    const end = this.time + millis
    for (;;) {
      const next = this.#timers.toSorted((one, other) => one.at - other.at)[0]
      if (next === undefined || next.at > end) break
      this.#timers = this.#timers.filter((other) => other !== next)
      this.time = Math.max(this.time, next.at)
      next.run()
    }
    this.time = end
  }
}
