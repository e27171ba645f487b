/**
 * What a simulator did, exactly: requests, the tokens it made for them, and where clients left.
 *
 * @since 0.1.0
 */

import type { ExchangeEnd } from "./Exchange.ts"
import { machineTimer } from "./Scheduler.ts"

/**
 * How a request ended.
 *
 * - `finished`: the operating system had the last byte of the answer before the simulator knew that the client had left.
 * - `left`: the client closed the connection before that. Which of the two it is for a client that leaves while the last bytes are on
 *   their way, no server can know; the tokens are those that were made, either way.
 * - `aborted`: it ended with `abort`: the simulator was told to stop, or a fault did as much.
 * - `failed`: a fault or the death of the engine ended it.
 * - `rejected`: an error was the answer, and no token was made.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "finished" | "left" | "aborted" | "failed" | "rejected"

/**
 * A request that is over.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  /** Number of the request, from 1. */
  readonly number: number
  readonly id: string
  readonly path: string
  readonly model: string | null
  readonly stream: boolean
  readonly outcome: Outcome
  /** Status of the response; 0 if there was none. */
  readonly status: number
  readonly promptTokens: number
  /** Tokens that were made, of all choices: at this token the client left, if it left. */
  readonly completionTokens: number
  /** Tokens that the whole answer has. */
  readonly plannedTokens: number
  /** Why each choice ended, as `stop`; empty if no token was to be made. */
  readonly finishReasons: ReadonlyArray<string>
  /** Kind of the fault that the request met, or null. */
  readonly fault: string | null
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** Milliseconds to the first token, or null if there was none. */
  readonly timeToFirstToken: number | null
  /** Milliseconds. */
  readonly duration: number
}

/**
 * Sums over requests of one outcome.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  readonly requests: number
  readonly promptTokens: number
  readonly completionTokens: number
}

/**
 * The state of a {@link Ledger}: what `GET /__ledger` answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface LedgerReport {
  /** Requests that run or wait. */
  readonly open: number
  readonly requests: number
  readonly promptTokens: number
  readonly completionTokens: number
  readonly outcomes: Readonly<Record<Outcome, Totals>>
  /** Requests by the kind of the fault that they met. */
  readonly faults: Readonly<Record<string, number>>
  /** The newest requests that are over, oldest first; at most 1000. */
  readonly newest: ReadonlyArray<Entry>
}

const kept = 1000

const noTotals = (): Record<Outcome, Totals> => {
  const none = { requests: 0, promptTokens: 0, completionTokens: 0 }
  return { finished: none, left: none, aborted: none, failed: none, rejected: none }
}

/**
 * Counts requests. Sums are exact for ever; single requests are kept for the newest thousand.
 *
 * @category models
 * @since 0.1.0
 */
export class Ledger {
  #open = 0
  #number = 0
  #outcomes = noTotals()
  #faults: Record<string, number> = {}
  readonly #newest: Array<Entry> = []

  /** A request arrives. Returns its number. */
  begin(): number {
    this.#open++
    return ++this.#number
  }

  /** A request is over. */
  end(entry: Entry): void {
    this.#open--
    const { completionTokens, promptTokens, requests } = this.#outcomes[entry.outcome]
    this.#outcomes[entry.outcome] = {
      requests: requests + 1,
      promptTokens: promptTokens + entry.promptTokens,
      completionTokens: completionTokens + entry.completionTokens
    }
    if (entry.fault !== null) this.#faults[entry.fault] = (this.#faults[entry.fault] ?? 0) + 1
    // Twice the room, halved now and then, costs less than to shift each time.
    if (this.#newest.push(entry) >= 2 * kept) this.#newest.splice(0, kept)
  }

  /** Forgets requests that are over. The open ones will be counted. */
  clear(): void {
    this.#outcomes = noTotals()
    this.#faults = {}
    this.#newest.length = 0
  }

  /** A copy of the state. */
  report(): LedgerReport {
    const sum = (of: (totals: Totals) => number) => Object.values(this.#outcomes).reduce((sum, totals) => sum + of(totals), 0)
    return {
      open: this.#open,
      requests: sum((totals) => totals.requests),
      promptTokens: sum((totals) => totals.promptTokens),
      completionTokens: sum((totals) => totals.completionTokens),
      outcomes: { ...this.#outcomes },
      faults: { ...this.#faults },
      newest: this.#newest.slice(-kept)
    }
  }
}

type Answered = Pick<Entry, "id" | "model" | "stream" | "promptTokens" | "plannedTokens">

/**
 * A request on its way into the ledger.
 *
 * @category models
 * @since 0.1.0
 */
export class Recording {
  /** Time of the scheduler's clock. */
  readonly begunAt = machineTimer.now()
  readonly #ledger: Ledger
  readonly #onRequest: ((entry: Entry) => void) | undefined
  readonly #about: Pick<Entry, "path" | "startedAt" | "id">
  readonly #number: number

  constructor(ledger: Ledger, onRequest: ((entry: Entry) => void) | undefined, about: Pick<Entry, "path" | "startedAt" | "id">) {
    this.#ledger = ledger
    this.#onRequest = onRequest
    this.#about = about
    this.#number = ledger.begin()
  }

  /** The request is over. */
  end(end: ExchangeEnd, fault: string | null, answer: Partial<Answered> = {}): void {
    const entry = {
      number: this.#number,
      id: this.#about.id,
      path: this.#about.path,
      model: null,
      stream: false,
      promptTokens: 0,
      plannedTokens: 0,
      ...answer,
      outcome: end.outcome,
      status: end.status,
      completionTokens: end.completionTokens,
      finishReasons: end.finishes,
      fault,
      startedAt: this.#about.startedAt,
      timeToFirstToken: end.timeToFirstToken,
      duration: machineTimer.now() - this.begunAt
    }
    this.#ledger.end(entry)
    this.#onRequest?.(entry)
  }
}
