import { assert, describe, it, vi } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { migrate } from "../src/control/Migrations.ts"
import { Calendar } from "../src/limits/Period.ts"
import type { UsageEvent } from "../src/usage/UsageEvent.ts"
import { UsageLedger } from "../src/usage/UsageLedger.ts"
import { toCsv, unitsOf, UsageQueries } from "../src/usage/UsageQueries.ts"
import { databases, fresh } from "./Databases.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const calendar = new Calendar(DateTime.zoneMakeNamedUnsafe("Europe/Paris"))
const noon = Date.parse("2026-11-28T11:00:00Z")
const day = 86_400_000
let number = 0

/** An event; what is left out is that of a small request. */
export const eventOf = (more: Partial<UsageEvent> = {}): UsageEvent => ({
  id: `event-${++number}`,
  startedAt: noon,
  endedAt: noon + 5,
  keyId: "key",
  teamId: "team",
  modelId: "model",
  replicaId: "http://replica",
  gatewayId: "gateway",
  endUser: "",
  clientId: "client",
  upstreamId: "chatcmpl-1",
  status: 200,
  outcome: "ok",
  attempts: 1,
  prompt: 10,
  cached: 4,
  completion: 20,
  reasoning: 3,
  usageSource: "reported",
  costPico: 7n,
  ...more
})

describe.each(databases)("the ledger in $name", (database) => {
  const test = (
    title: string,
    run: (ledger: UsageLedger, queries: UsageQueries, sql: SqlClient.SqlClient) => Effect.Effect<void, unknown>
  ) =>
    it.live(title, () =>
      Effect.flatMap(
        Effect.promise(() => fresh(database)),
        (layer) =>
          Effect.gen(function* () {
            yield* migrate()
            const sql = yield* SqlClient.SqlClient
            yield* run(new UsageLedger(sql, calendar), new UsageQueries(sql, calendar), sql)
          }).pipe(Effect.provide(layer))
      )
    )
  const whole = { from: noon - 400 * day, to: noon + 400 * day }
  const monthOf = (scope: string, scopeId: string, modelId?: string) => ({
    scope,
    scopeId,
    modelId,
    unit: "month" as const,
    start: calendar.periodOf("month", noon).start
  })

  test("has an event once, however often it is written", (ledger, queries) =>
    Effect.gen(function* () {
      const events = Array.from({ length: 600 }, () => eventOf())
      assert.strictEqual(yield* ledger.write(events.slice(0, 400)), 400)
      assert.strictEqual(yield* ledger.write(events.slice(300)), 200)
      assert.strictEqual(yield* ledger.write(events), 0)
      assert.strictEqual(yield* ledger.write([events[0] ?? eventOf(), events[0] ?? eventOf()]), 0)
      const [sum] = yield* queries.sum({ ...whole, by: [] })
      assert.deepEqual(sum, { group: {}, requests: 600n, prompt: 6000n, cached: 2400n, completion: 12_000n, costPico: 4200n })
      assert.deepEqual(yield* ledger.use([monthOf("key", "key"), monthOf("key", "nobody")]), [
        { tokens: 18_000, cost: 4200n },
        { tokens: 0, cost: 0n }
      ])
    }))

  test("knows the use of every scope that may have a limit, and tells the first day of a month from the month", (ledger) =>
    Effect.gen(function* () {
      const first = Date.parse("2026-11-01T09:00:00Z")
      yield* ledger.write([eventOf({ startedAt: first }), eventOf({ modelId: "other" })])
      const { start } = calendar.periodOf("month", noon)
      const counters = [
        { scope: "key", scopeId: "key", modelId: undefined, unit: "month" as const, start },
        { scope: "key", scopeId: "key", modelId: undefined, unit: "day" as const, start },
        { scope: "key", scopeId: "key", modelId: "other", unit: "month" as const, start },
        { scope: "team", scopeId: "team", modelId: undefined, unit: "month" as const, start },
        { scope: "model", scopeId: "model", modelId: undefined, unit: "month" as const, start }
      ]
      assert.deepEqual(
        (yield* ledger.use(counters)).map(({ tokens }) => tokens),
        [60, 30, 30, 60, 30]
      )
    }))

  // Report 18.
  test("sums 1,000 pairs of keys and models in one flush", (ledger, queries, sql) =>
    Effect.gen(function* () {
      const events = Array.from({ length: 1000 }, (_, i) =>
        eventOf({ keyId: `key-${i % 40}`, modelId: `model-${Math.floor(i / 40)}`, prompt: i })
      )
      yield* ledger.write(events)
      const rows = yield* queries.sum({ ...whole, by: ["key", "model"] })
      assert.lengthOf(rows, 1000)
      const [all] = yield* sql<{ n: bigint }>`SELECT COUNT(*) AS n FROM usage_event`
      assert.strictEqual(Number(all?.n), 1000)
      assert.strictEqual(
        rows.reduce((sum, { prompt }) => sum + prompt, 0n),
        BigInt(events.reduce((sum, { prompt }) => sum + prompt, 0))
      )
    }))

  // Report 20.
  test("has a row for each of many requests with the same ids of clients and model servers", (ledger, queries) =>
    Effect.gen(function* () {
      yield* ledger.write(Array.from({ length: 50 }, () => eventOf({ clientId: "same", upstreamId: "chatcmpl-1" })))
      assert.strictEqual((yield* queries.sum({ ...whole, by: ["key"] }))[0]?.requests, 50n)
    }))

  // Report 22.
  test("takes 10,000 events of one team from 4 writers at once", (ledger, queries) =>
    Effect.gen(function* () {
      const writer = (name: number) =>
        Effect.forEach(
          Array.from({ length: 10 }),
          () =>
            // Each writer has its own order, and meets the others in the same rows.
            ledger.write(Array.from({ length: 250 }, (_, i) => eventOf({ keyId: `key-${(i * (2 * name + 1)) % 16}` }))),
          { discard: true }
        )
      yield* Effect.forEach([0, 1, 2, 3], writer, { concurrency: "unbounded", discard: true })
      const sums = yield* queries.sum({ ...whole, by: ["key"] })
      assert.strictEqual(
        sums.reduce((sum, { requests }) => sum + requests, 0n),
        10_000n
      )
      const [used] = yield* ledger.use([monthOf("team", "team")])
      assert.deepEqual(used, { tokens: 300_000, cost: 70_000n })
    }))

  // Report 23: a tenth of a unit is 10^11 pico-units, and 10^6 of them exceed what a number holds.
  test("sums money exactly, beyond the integers of a number", (ledger, queries) =>
    Effect.gen(function* () {
      const tenth = 100_000_000_000n
      for (let i = 0; i < 4; i++) yield* ledger.write(Array.from({ length: 250 }, () => eventOf({ costPico: 1000n * tenth + 1n })))
      const sums = yield* queries.sum({ ...whole, by: ["day"] })
      assert.deepEqual(
        sums.map(({ costPico, group }) => [group.day, unitsOf(costPico)]),
        [["2026-11-28", "100000.000000001"]]
      )
      assert.strictEqual(
        toCsv(["day"], sums),
        "day,requests,prompt_tokens,cached_tokens,completion_tokens,cost\r\n2026-11-28,1000,10000,4000,20000,100000.000000001\r\n"
      )
      assert.deepEqual((yield* ledger.use([monthOf("key", "key")]))[0]?.cost, 1_000_000n * tenth + 1000n)
    }))

  test("groups by the days of its zone and filters by key, team and model", (ledger, queries) =>
    Effect.gen(function* () {
      yield* ledger.write([
        eventOf({ startedAt: Date.parse("2026-11-28T22:30:00Z") }),
        eventOf({ startedAt: Date.parse("2026-11-28T23:30:00Z") }),
        eventOf({ keyId: "other", teamId: "", modelId: "small" })
      ])
      const days = yield* queries.sum({ ...whole, by: ["day"], keyId: "key" })
      assert.deepEqual(
        days.map(({ group, requests }) => [group.day, requests]),
        [
          ["2026-11-28", 1n],
          ["2026-11-29", 1n]
        ]
      )
      assert.strictEqual((yield* queries.sum({ ...whole, by: [], teamId: "team" }))[0]?.requests, 2n)
      assert.strictEqual((yield* queries.sum({ ...whole, by: [], modelId: "small" }))[0]?.requests, 1n)
      assert.deepEqual(yield* queries.sum({ from: 0, to: 1, by: [] }), [])
    }))

  // Report 38.
  test("forgets old events slice by slice, and keeps the sums", (ledger, queries, sql) =>
    Effect.gen(function* () {
      const old = noon - 91 * day
      yield* ledger.write(Array.from({ length: 1200 }, (_, i) => eventOf({ startedAt: old, endedAt: old + i })))
      yield* ledger.write([eventOf()])
      assert.strictEqual(yield* ledger.prune(noon, { events: 90 * day, sums: 1096 * day }), 1200)
      const [left] = yield* sql<{ n: bigint }>`SELECT COUNT(*) AS n FROM usage_event`
      assert.strictEqual(Number(left?.n), 1)
      assert.strictEqual((yield* queries.sum({ ...whole, by: [] }))[0]?.requests, 1201n)
      yield* ledger.prune(noon, { events: 90 * day, sums: 30 * day })
      assert.strictEqual((yield* queries.sum({ ...whole, by: [] }))[0]?.requests, 1n)
    }))
})

describe("money as a decimal number", () => {
  it.each([
    [0n, "0"],
    [1n, "0.000000000001"],
    [1_500_000_000_000n, "1.5"],
    [9_300_000_000_000_000_000n, "9300000"]
  ])("is exact for %s pico-units", (pico, text) => {
    assert.strictEqual(unitsOf(pico), text)
  })
})

describe("CSV", () => {
  it("quotes names, and runs no formula of one in a spreadsheet", () => {
    const sums = { requests: 1n, prompt: 0n, cached: 0n, completion: 0n, costPico: 0n }
    const csv = toCsv(["key"], [{ group: { key: '=cmd("x"),1' }, ...sums }])
    assert.strictEqual(csv.split("\r\n")[1], `"'=cmd(""x""),1",1,0,0,0,0`)
  })
})
