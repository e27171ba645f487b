import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Calendar } from "../src/limits/Period.ts"

const hour = 3_600_000
const calendar = (zone: string) => new Calendar(DateTime.zoneMakeNamedUnsafe(zone))

// Report 11.
describe("a calendar period", () => {
  it.effect.each([
    ["a day of 23 hours in Paris", "Europe/Paris", "day", "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", 23],
    ["a day of 25 hours in Paris", "Europe/Paris", "day", "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", 25],
    ["the last moment of that day", "Europe/Paris", "day", "2026-10-25T22:59:59.999Z", "2026-10-24T22:00:00Z", 25],
    [
      "the first of a month in Tokyo, while it is the last in UTC",
      "Asia/Tokyo",
      "month",
      "2026-11-30T16:00:00Z",
      "2026-11-30T15:00:00Z",
      744
    ],
    ["the leap day", "UTC", "day", "2028-02-29T23:59:59Z", "2028-02-29T00:00:00Z", 24],
    ["February of a leap year", "UTC", "month", "2028-02-10T00:00:00Z", "2028-02-01T00:00:00Z", 29 * 24],
    ["a day whose midnight does not exist in Cairo", "Africa/Cairo", "day", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", 23],
    ["October in Paris, which has an hour more", "Europe/Paris", "month", "2026-10-25T10:00:00Z", "2026-09-30T22:00:00Z", 31 * 24 + 1]
  ] as const)("is %s", ([, zone, unit, now, start, hours]) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse(now))
      const time = yield* Clock.currentTimeMillis
      const period = calendar(zone).periodOf(unit, time)
      assert.strictEqual(new Date(period.start).toISOString(), new Date(start).toISOString())
      assert.strictEqual((period.end - period.start) / hour, hours)
    })
  )

  it("follows the one before without a gap, for four years of days in four zones", () => {
    for (const zone of ["Europe/Paris", "Asia/Tokyo", "America/Sao_Paulo", "Africa/Cairo"]) {
      const days = calendar(zone)
      let { end } = days.periodOf("day", Date.parse("2026-01-01T12:00:00Z"))
      for (let i = 0; i < 4 * 366; i++) {
        const next = days.periodOf("day", end)
        assert.strictEqual(next.start, end)
        assert.oneOf((next.end - next.start) / hour, [23, 24, 25])
        end = next.end
      }
    }
  })

  it("has the day of its zone as its name", () => {
    assert.strictEqual(calendar("Asia/Tokyo").dayOf(Date.parse("2026-11-30T16:00:00Z")), "2026-12-01")
    assert.strictEqual(calendar("UTC").dayOf(Date.parse("2026-11-30T16:00:00Z")), "2026-11-30")
  })
})
