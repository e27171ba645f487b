/**
 * Days and months of the calendar in a time zone: a day has 23, 24 or 25 hours. A period is computed from the time of a request, so that no job
 * resets anything.
 */
import * as DateTime from "effect/DateTime"

export type PeriodUnit = "day" | "month"

/** A period: from `start`, before `end`. Milliseconds of the epoch. */
export interface Period {
  readonly start: number
  readonly end: number
}

const hour = 3_600_000
const inNext = { day: 36 * hour, month: 40 * 24 * hour } as const

/** The calendar of a zone. */
export class Calendar {
  readonly #zone: DateTime.TimeZone
  readonly #current = new Map<PeriodUnit, Period>()

  constructor(zone: DateTime.TimeZone) {
    this.#zone = zone
  }

  /** The period that a time is in. */
  periodOf(unit: PeriodUnit, time: number): Period {
    const current = this.#current.get(unit)
    if (current !== undefined && time >= current.start && time < current.end) return current
    const zoned = DateTime.setZone(DateTime.makeUnsafe(time), this.#zone)
    const start = DateTime.startOf(zoned, unit)
    // A time that is in the next period whatever the length of this one: a midnight may not exist.
    const end = DateTime.startOf(DateTime.setZone(DateTime.makeUnsafe(DateTime.toEpochMillis(start) + inNext[unit]), this.#zone), unit)
    const period = { start: DateTime.toEpochMillis(start), end: DateTime.toEpochMillis(end) }
    this.#current.set(unit, period)
    return period
  }

  /** The day of a time, as `2026-11-28`. */
  dayOf(time: number): string {
    return DateTime.formatIsoDate(DateTime.setZone(DateTime.makeUnsafe(time), this.#zone))
  }
}
