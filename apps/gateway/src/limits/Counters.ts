/**
 * Counters of limits: all of a request are checked, then all are charged, or none. An amount is held when a request begins and settled with what it
 * really used. A hold has an expiry, so that those of a gateway that was killed end.
 */

/** One counter and what a request takes of it. */
export interface Charge {
  /** Name of the counter. That of a calendar period has its start. */
  readonly counter: string
  readonly limit: number
  /** Whether the request is refused beyond the limit. */
  readonly isEnforced: boolean
  /** Length of the window in milliseconds, which begins with the first charge in it; 0 for a counter without one. */
  readonly window: number
  /** End of the calendar period, in milliseconds of the epoch; 0 for a counter without one. */
  readonly end: number
  /** What is held. */
  readonly hold: number
  /** What is known to have been used, for a counter that was lost. */
  readonly seed: number
}

/** The state of a counter. */
export interface Standing {
  readonly used: number
  /** Held by running requests. */
  readonly held: number
  /** Milliseconds until the window ends; 0 if there is none. */
  readonly reset: number
}

/** The decision on all charges of a request. */
export interface Decision {
  /** Index of the charge that refused the request; -1 if it was admitted. */
  readonly refusedBy: number
  /** In the order of the charges: after them if the request was admitted, as they are if it was refused. */
  readonly standings: ReadonlyArray<Standing>
}

/** What a request really used of a counter. */
export interface Settlement {
  readonly charge: Charge
  /** What was held: the hold, or the limit if that is less. */
  readonly held: number
  readonly actual: number
}

/** The amount that is held: a hold that exceeds its limit could never be admitted. */
export const heldOf = ({ hold, limit }: Charge): number => Math.min(hold, limit)

/** Whether a standing leaves no room for a charge. */
export const isBeyond = (charge: Charge, { held, used }: Standing): boolean =>
  used + held >= charge.limit || used + held + heldOf(charge) > charge.limit

interface Hold {
  readonly amount: number
  expires: number
}

class Counter {
  used = 0
  held = 0
  readonly holds = new Map<string, Hold>()
  begin = 0
  /** No hold expires before this: renewals only move an expiry further. */
  firstExpiry = Number.POSITIVE_INFINITY
  /** When nothing is left to know. */
  expires = 0

  take(id: string, amount: number, expires: number): void {
    this.held += amount
    this.holds.set(id, { amount, expires })
    this.firstExpiry = Math.min(this.firstExpiry, expires)
  }

  expire(now: number): void {
    if (now < this.firstExpiry) return
    this.firstExpiry = Number.POSITIVE_INFINITY
    for (const [id, hold] of this.holds) {
      if (hold.expires <= now) this.release(id, hold)
      else this.firstExpiry = Math.min(this.firstExpiry, hold.expires)
    }
  }

  release(id: string, hold: Hold): void {
    this.held -= hold.amount
    this.holds.delete(id)
  }
}

// Between two looks for counters that have expired.
const sweeping = 60_000
// What is known of a calendar period is kept for settlements that come after its end.
const afterEnd = 3_600_000

/** Counters in the memory of the process. */
export class MemoryCounters {
  readonly #counters = new Map<string, Counter>()
  readonly #lease: number
  readonly #now: () => number
  #swept = 0

  constructor(lease: number, now: () => number) {
    this.#lease = lease
    this.#now = now
  }

  /** Number of counters that are kept. */
  get size(): number {
    return this.#counters.size
  }

  /** Checks all charges, then takes all of them, or none. Takes nothing for an empty id. */
  admit(id: string, charges: ReadonlyArray<Charge>): Decision {
    const now = this.#now()
    this.#sweep(now)
    const counters = charges.map((charge) => this.#find(charge, now))
    const refusedBy = charges.findIndex((charge, i) => charge.isEnforced && isBeyond(charge, standingOf(charge, counters[i], now)))
    if (refusedBy === -1 && id !== "") {
      for (const [i, charge] of charges.entries()) {
        const counter = counters[i] ?? this.#make(charge, now)
        counters[i] = counter
        counter.take(id, heldOf(charge), now + this.#lease)
      }
    }
    return { refusedBy, standings: charges.map((charge, i) => standingOf(charge, counters[i], now)) }
  }

  /** Replaces holds by what was used. A refund never exceeds what was held. */
  settle(id: string, settlements: ReadonlyArray<Settlement>): void {
    const now = this.#now()
    for (const { actual, charge, held } of settlements) {
      const counter = this.#find(charge, now)
      const hold = counter?.holds.get(id)
      if (counter !== undefined && hold !== undefined) {
        counter.release(id, hold)
        counter.used += actual
        continue
      }
      // The window in which the hold was taken is over: what exceeds the hold is charged to the current one.
      const owed = charge.window > 0 ? Math.max(0, actual - held) : actual
      if (owed > 0) (counter ?? this.#make(charge, now)).used += owed
    }
  }

  /** Extends the holds of a request that still runs. */
  renew(id: string, charges: ReadonlyArray<Charge>): void {
    const now = this.#now()
    for (const { counter } of charges) {
      const hold = this.#counters.get(counter)?.holds.get(id)
      if (hold !== undefined) hold.expires = now + this.#lease
    }
  }

  #find(charge: Charge, now: number): Counter | undefined {
    const counter = this.#counters.get(charge.counter)
    if (counter === undefined) return charge.seed > 0 ? this.#make(charge, now) : undefined
    if (charge.window > 0 && now >= counter.begin + charge.window) {
      this.#counters.delete(charge.counter)
      return undefined
    }
    if (charge.seed > counter.used) counter.used = charge.seed
    counter.expire(now)
    return counter
  }

  #make({ counter: name, end, seed, window }: Charge, now: number): Counter {
    const counter = new Counter()
    counter.begin = now
    counter.used = seed
    counter.expires = end > 0 ? end + afterEnd : window > 0 ? now + window : Number.POSITIVE_INFINITY
    this.#counters.set(name, counter)
    return counter
  }

  #sweep(now: number): void {
    if (now - this.#swept < sweeping) return
    this.#swept = now
    for (const [name, counter] of this.#counters) {
      const isIdle = counter.expires === Number.POSITIVE_INFINITY && counter.holds.size === 0
      if (isIdle || counter.expires <= now) this.#counters.delete(name)
    }
  }
}

const standingOf = (charge: Charge, counter: Counter | undefined, now: number): Standing => ({
  used: counter?.used ?? charge.seed,
  held: counter?.held ?? 0,
  reset: resetOf(charge, counter?.begin, now)
})

/** Milliseconds until the counter of a charge begins again. A window that has not begun is whole. */
export const resetOf = ({ end, window }: Charge, begin: number | undefined, now: number): number =>
  end > 0 ? Math.max(0, end - now) : window === 0 ? 0 : begin === undefined ? window : Math.max(0, begin + window - now)
