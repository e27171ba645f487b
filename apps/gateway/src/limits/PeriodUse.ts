/**
 * What the ledger knows of the use in calendar periods. Counters that were lost begin with it: those of Redis after a restart, those of a gateway that
 * starts.
 */
import type { LimitRule } from "./LimitRule.ts"
import { periodUnitOf } from "./LimitRule.ts"
import type { Period, PeriodUnit } from "./Period.ts"

/** A counter of a period, as the ledger finds it. */
export interface PeriodCounter {
  readonly scope: string
  readonly scopeId: string
  readonly modelId: string | undefined
  readonly unit: PeriodUnit
  readonly start: number
}

/** Tokens and pico-units that were used. */
export interface Used {
  readonly tokens: number
  readonly cost: bigint
}

/** Reads the use of counters, in their order. */
export type ReadUse = (counters: ReadonlyArray<PeriodCounter>) => Promise<ReadonlyArray<Used>>

interface Known {
  readonly counter: PeriodCounter
  readonly isBudget: boolean
  readonly end: number
  used: number
  /** When the ledger was asked last; 0 for never. */
  at: number
}

// Between two readings of a counter.
const refreshing = 10_000
// A counter that could not be read is tried again after this.
const retrying = 1000
const maxRead = 200

/** Rounds pico-units up to nano-units, which a number holds exactly up to 9 million units of the currency. */
export const nanoOf = (pico: bigint): number => Number((pico + 999n) / 1000n)

/** The known use of counters. */
export class PeriodUse {
  readonly #read: ReadUse | undefined
  readonly #now: () => number
  readonly #known = new Map<string, Known>()
  #reading: Promise<void> | undefined

  constructor(read: ReadUse | undefined, now: () => number) {
    this.#read = read
    this.#now = now
  }

  /** What is known of a counter. */
  seedOf(name: string, rule: LimitRule, period: Period): number {
    const unit = periodUnitOf(rule.kind)
    if (unit === undefined) return 0
    const known = this.#known.get(name)
    if (known !== undefined) return known.used
    const { modelId, scope, scopeId } = rule
    const counter = { scope, scopeId, modelId, unit, start: period.start }
    this.#known.set(name, { counter, isBudget: rule.kind.startsWith("budget_"), end: period.end, used: 0, at: 0 })
    return 0
  }

  /** Learns the use that a counter has. */
  saw(name: string, used: number): void {
    const known = this.#known.get(name)
    if (known !== undefined && used > known.used) known.used = used
  }

  /** Adds the use of a request that was settled. */
  add(name: string, used: number): void {
    const known = this.#known.get(name)
    if (known !== undefined) known.used += used
  }

  /** Whether a counter was never read. */
  isUnread(name: string): boolean {
    return this.#read !== undefined && this.#known.get(name)?.at === 0
  }

  /** Reads the counters that are due. Never fails: what cannot be read keeps its value. */
  refresh(): Promise<void> {
    this.#reading ??= this.#refresh().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #refresh(): Promise<void> {
    if (this.#read === undefined) return
    const now = this.#now()
    for (const [name, { end }] of this.#known) if (end < now) this.#known.delete(name)
    const due = [...this.#known.values()].filter(({ at }) => now - at >= refreshing)
    for (let i = 0; i < due.length; i += maxRead) {
      const part = due.slice(i, i + maxRead)
      try {
        const found = await this.#read(part.map(({ counter }) => counter))
        for (const [j, known] of part.entries()) {
          const { cost = 0n, tokens = 0 } = found[j] ?? {}
          known.used = Math.max(known.used, known.isBudget ? nanoOf(cost) : tokens)
          known.at = now
        }
      } catch {
        for (const known of part) known.at = now - refreshing + retrying
      }
    }
  }
}
