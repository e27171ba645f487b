/**
 * The life of a server: it runs, drains, is told to stop, loses its engine, or is killed, with the answers that were recorded of vLLM.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { type Failure, ofStatus, type OwnRefusal } from "./ErrorReply.ts"
import type { Timer } from "./Scheduler.ts"

/**
 * The phase of a server.
 *
 * - `running`: it answers.
 * - `draining`: told to stop, with time to end what runs. New requests get a 500 while `/health` is still 200; then it is gone.
 * - `stopping`: told to stop. Answers end with `abort`, and it is gone.
 * - `engineDead`: what runs ends with an error, new requests get a 500, and soon it is gone.
 * - `killed`: gone at once, in the middle of what it said.
 *
 * A server that is gone refuses connections. `running` brings it back on the same port.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Phase = Schema.Literals(["running", "draining", "stopping", "engineDead", "killed"])
/** @since 0.1.0 */
export type Phase = typeof Phase.Type

/** What a draining server says to a new request. */
const drained = "cannot schedule new futures after shutdown"

/**
 * An answer on its way, as a server that ends sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Running {
  /** Tokens that it holds in the cache. */
  readonly cached: number
  /** The server is told to stop. */
  readonly abort: () => void
  /** The engine dies. */
  readonly fail: (failure: Failure) => void
  /** The process is gone. */
  readonly kill: () => void
  /** Sends a comment if nothing was sent for `interval` milliseconds. */
  readonly keepAlive: (now: number, interval: number) => void
}

/**
 * The listening side of a server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Door {
  readonly timer: Timer
  readonly open: () => Promise<void>
  /** Refuses new connections. Connections close when their response is over. */
  readonly close: () => void
  /** Closes all connections as they are. */
  readonly sever: () => void
  /** What is said of a dead engine. */
  readonly engineDeath: Failure
  /** Milliseconds that a server with a dead engine still answers. */
  readonly deathDelay: () => number
}

/**
 * Leads a server through its phases.
 *
 * @category models
 * @since 0.1.0
 */
export class Lifecycle {
  readonly #door: Door
  readonly #exchanges = new Set<Running>()
  #phase: Phase = "running"
  #cancel: (() => void) | undefined

  constructor(door: Door) {
    this.#door = door
  }

  get phase(): Phase {
    return this.#phase
  }

  /** What a new generation is refused with, if it is refused. */
  get refusal(): OwnRefusal | undefined {
    if (this.#phase === "running") return undefined
    return this.#phase === "engineDead" ? this.#door.engineDeath.whole : ofStatus(500, drained)
  }

  /** Exchanges that are open. */
  get exchanges(): ReadonlySet<Running> {
    return this.#exchanges
  }

  entered(exchange: Running): void {
    this.#exchanges.add(exchange)
  }

  left(exchange: Running): void {
    this.#exchanges.delete(exchange)
    if (this.#phase === "draining" && this.#exchanges.size === 0) this.#door.close()
  }

  /** Goes to a phase. Settles when a server that is to run listens again, and at once otherwise. */
  async to(phase: Phase): Promise<void> {
    if (phase === this.#phase) return
    this.#cancel?.()
    this.#cancel = undefined
    this.#phase = phase
    const open = [...this.#exchanges]
    switch (phase) {
      case "running":
        return this.#door.open()
      case "draining":
        if (open.length === 0) this.#door.close()
        return
      case "stopping":
        this.#door.close()
        for (const exchange of open) exchange.abort()
        return
      case "engineDead":
        for (const exchange of open) exchange.fail(this.#door.engineDeath)
        if (Number.isFinite(this.#door.deathDelay())) this.#cancel = this.#door.timer.after(this.#door.deathDelay(), () => this.#kill())
        return
      case "killed":
        this.#kill()
    }
  }

  #kill(): void {
    this.#door.close()
    for (const exchange of this.#exchanges) exchange.kill()
    this.#door.sever()
  }
}
