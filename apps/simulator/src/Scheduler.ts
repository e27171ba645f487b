/**
 * When each token of each request is made: as many requests as fit run at once, the others wait, and one timer serves all of them.
 *
 * @since 0.1.0
 */
import * as SeededRandom from "./SeededRandom.ts"

/**
 * The clock of a scheduler. Times are in milliseconds, with fractions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timer {
  readonly now: () => number
  /** Calls `run` after the delay; at 0 after the events that are due already. Returns the cancellation. */
  readonly after: (delay: number, run: () => void) => () => void
}

/**
 * How long tokens take. Times are in milliseconds; a spread of 0.2 varies a time evenly by 20 % in both directions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timing {
  /** From the start of a request to its first token, without its prompt's share. */
  readonly timeToFirstToken: number
  readonly timeToFirstTokenSpread: number
  /** Added to the first token for each token of the prompt. */
  readonly prefillPerToken: number
  readonly prefillSpread: number
  /** From one token to the next. All choices of a request advance together. */
  readonly interTokenLatency: number
  readonly interTokenSpread: number
  /** How many times longer everything takes while `maxRunning` requests run; in between in proportion. 1 is no slowdown. */
  readonly slowdown: number
}

/**
 * How many requests there may be. A request of several choices counts several times.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  /** Requests that run at once (vLLM's `max_num_seqs`). */
  readonly maxRunning: number
  /** Requests that run or wait (vLLM's `max_num_queued_reqs`). */
  readonly maxUnfinished: number
  /** Seed of the spreads. */
  readonly seed: number
}

/**
 * What the scheduler drives. No member may throw.
 *
 * @category models
 * @since 0.1.0
 */
export interface Work {
  readonly promptTokens: number
  /** Choices: each takes a place of `maxRunning`. */
  readonly choices: number
  /** The request leaves the queue. */
  readonly started: () => void
  /**
   * Up to `most` more tokens of each choice are made, which are due together: `more` asks for the next, `pause` waits for
   * {@link Scheduler.resume}.
   */
  readonly step: (most: number) => "more" | "pause" | "done"
}

/**
 * A request in the scheduler's hands.
 *
 * @category models
 * @since 0.1.0
 */
export class Ticket {
  /** When the next token is due. */
  due = 0
  /** Place in the heap, -1 outside of it. */
  place = -1
  state: "waiting" | "running" | "paused" | "over" = "waiting"
  readonly work: Work
  readonly random: SeededRandom.SeededRandom
  constructor(work: Work, random: SeededRandom.SeededRandom) {
    this.work = work
    this.random = random
  }
}

/** The requests by the time of their next token: a binary heap. */
class DueTickets {
  readonly #tickets: Array<Ticket> = []

  get first(): Ticket | undefined {
    return this.#tickets[0]
  }

  add(ticket: Ticket): void {
    this.#tickets.push(ticket)
    this.#up(ticket, this.#tickets.length - 1)
  }

  remove(ticket: Ticket): void {
    const place = ticket.place
    if (place === -1) return
    ticket.place = -1
    const last = this.#tickets.pop()
    if (last === undefined || last === ticket) return
    this.#up(last, place)
    if (last.place === place) this.#down(last, place)
  }

  #put(ticket: Ticket, place: number): void {
    this.#tickets[place] = ticket
    ticket.place = place
  }

  #up(ticket: Ticket, from: number): void {
    let place = from
    while (place > 0) {
      const above = this.#tickets[(place - 1) >> 1]
      if (above === undefined || above.due <= ticket.due) break
      const next = above.place
      this.#put(above, place)
      place = next
    }
    this.#put(ticket, place)
  }

  #down(ticket: Ticket, from: number): void {
    let place = from
    for (;;) {
      const left = this.#tickets[2 * place + 1]
      const right = this.#tickets[2 * place + 2]
      const below = right !== undefined && left !== undefined && right.due < left.due ? right : left
      if (below === undefined || below.due >= ticket.due) break
      const next = below.place
      this.#put(below, place)
      place = next
    }
    this.#put(ticket, place)
  }
}

// Timers fire up to a millisecond late and never early: what is due within half of it is done now, so that the mean is right.
const early = 0.5

// Without a latency, so many tokens of a stream are made in one turn: enough for one system call to be a small part of their cost, and
// few enough for others to have their turn soon.
const burst = 16

// A stream that is later than this goes on from now: what a busy machine missed is not made up for.
const late = 50

/**
 * Runs {@link Work} in order of arrival.
 *
 * @category models
 * @since 0.1.0
 */
export class Scheduler {
  readonly #timer: Timer
  readonly #settings: () => Timing & Limits
  readonly #waiting = new Set<Ticket>()
  readonly #due = new DueTickets()
  #running = 0
  #runningRequests = 0
  #waitingChoices = 0
  #submitted = 0
  #cancel: (() => void) | undefined
  #wakesAt = Infinity
  #ticking = false

  /** `settings` is asked again for each request and each token. */
  constructor(timer: Timer, settings: () => Timing & Limits) {
    this.#timer = timer
    this.#settings = settings
  }

  /** Requests that are making tokens. */
  get running(): number {
    return this.#runningRequests
  }

  /** Requests in the queue. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Takes a request, or returns `undefined` if there is no place for it. */
  submit(work: Work): Ticket | undefined {
    const { maxUnfinished, seed } = this.#settings()
    if (this.#running + this.#waitingChoices + work.choices > maxUnfinished) return undefined
    const ticket = new Ticket(work, SeededRandom.make(Math.imul(seed + 1, 0x85ebca6b) + this.#submitted++))
    this.#waiting.add(ticket)
    this.#waitingChoices += work.choices
    this.#admit()
    this.#wake()
    return ticket
  }

  /** Ends a request whose client left or whose answer is over early. */
  leave(ticket: Ticket): void {
    if (ticket.state === "over") return
    this.#end(ticket)
    this.#admit()
    this.#wake()
  }

  /** Goes on with a request that paused. The next token is due now, or when it would have been. */
  resume(ticket: Ticket): void {
    if (ticket.state !== "paused") return
    ticket.state = "running"
    ticket.due = Math.max(ticket.due, this.#timer.now())
    this.#due.add(ticket)
    this.#wake()
  }

  /** Lets requests start for which a change of the settings made room. */
  settingsChanged(): void {
    this.#admit()
    this.#wake()
  }

  #end(ticket: Ticket): void {
    if (ticket.state === "waiting") {
      this.#waiting.delete(ticket)
      this.#waitingChoices -= ticket.work.choices
    } else {
      this.#running -= ticket.work.choices
      this.#runningRequests--
    }
    ticket.state = "over"
    this.#due.remove(ticket)
  }

  // More choices than `maxRunning` run alone.
  #admit(): void {
    const settings = this.#settings()
    for (const ticket of this.#waiting) {
      const { choices, promptTokens } = ticket.work
      if (this.#running > 0 && this.#running + choices > settings.maxRunning) return
      this.#waiting.delete(ticket)
      this.#waitingChoices -= choices
      this.#running += choices
      this.#runningRequests++
      ticket.state = "running"
      const first = vary(settings.timeToFirstToken, settings.timeToFirstTokenSpread, ticket.random)
      const prefill = vary(settings.prefillPerToken * promptTokens, settings.prefillSpread, ticket.random)
      ticket.due = this.#timer.now() + (first + prefill) * this.#slowdown(settings)
      this.#due.add(ticket)
      ticket.work.started()
    }
  }

  #slowdown(settings: Timing & Limits): number {
    if (settings.slowdown === 1 || settings.maxRunning <= 1) return 1
    return 1 + ((settings.slowdown - 1) * Math.min(this.#running - 1, settings.maxRunning - 1)) / (settings.maxRunning - 1)
  }

  // What a step makes due at once waits for the next turn, so that bytes leave and arrive in between.
  readonly #tick = (): void => {
    this.#cancel = undefined
    this.#wakesAt = Infinity
    this.#ticking = true
    const now = this.#timer.now()
    const settings = this.#settings()
    const batch: Array<Ticket> = []
    for (let ticket = this.#due.first; ticket !== undefined && ticket.due <= now + early; ticket = this.#due.first) {
      this.#due.remove(ticket)
      batch.push(ticket)
    }
    for (const ticket of batch) if (ticket.state === "running") this.#step(ticket, now, settings)
    this.#ticking = false
    this.#admit()
    this.#wake()
  }

  #step(ticket: Ticket, now: number, settings: Timing & Limits): void {
    const next = ticket.work.step(settings.interTokenLatency === 0 ? burst : 1)
    if (ticket.state !== "running") return
    if (next === "done") return this.#end(ticket)
    const pause = vary(settings.interTokenLatency, settings.interTokenSpread, ticket.random) * this.#slowdown(settings)
    ticket.due = (now - ticket.due > late ? now : ticket.due) + pause
    if (next === "more") return this.#due.add(ticket)
    ticket.state = "paused"
  }

  #wake(): void {
    const next = this.#due.first?.due ?? Infinity
    if (this.#ticking || next >= this.#wakesAt) return
    this.#cancel?.()
    this.#wakesAt = next
    const delay = next - this.#timer.now()
    this.#cancel = this.#timer.after(delay <= early ? 0 : delay, this.#tick)
  }
}

const vary = (time: number, spread: number, random: SeededRandom.SeededRandom): number =>
  spread === 0 ? time : time * (1 + spread * (2 * random() - 1))

/**
 * The timer of the machine.
 *
 * @category models
 * @since 0.1.0
 */
export const machineTimer: Timer = {
  now: () => performance.now(),
  after: (delay, run) => {
    if (delay > 0) {
      const timeout = setTimeout(run, delay)
      return () => clearTimeout(timeout)
    }
    const immediate = setImmediate(run)
    return () => clearImmediate(immediate)
  }
}
