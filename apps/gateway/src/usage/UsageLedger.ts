/**
 * The ledger in the database: each event once, and in the same transaction its part of the sums by hour and by calendar period.
 */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Calendar, PeriodUnit } from "../limits/Period.ts"
import type { PeriodCounter, Used } from "../limits/PeriodUse.ts"
import * as Arr from "effect/Array"
import type { UsageEvent } from "./UsageEvent.ts"

const hourMillis = 3_600_000
const minorColumns = ["requests", "prompt", "cached", "completion", "cost_pico"] as const
// Rows of one deletion: between two, other work goes on.
const slice = 500

type Columns = Readonly<Record<string, unknown>>

const rowOf = (event: UsageEvent): Columns => ({
  id: event.id,
  ended_at: event.endedAt,
  started_at: event.startedAt,
  key_id: event.keyId,
  team_id: event.teamId,
  model_id: event.modelId,
  replica_id: event.replicaId,
  gateway_id: event.gatewayId,
  end_user: event.endUser,
  client_id: event.clientId,
  upstream_id: event.upstreamId,
  status: event.status,
  outcome: event.outcome,
  attempts: event.attempts,
  prompt: event.prompt,
  cached: event.cached,
  completion: event.completion,
  reasoning: event.reasoning,
  usage_source: event.usageSource,
  cost_pico: event.costPico
})

// A total order without the locale: transactions that lock rows in the same order do not wait for each other in a circle.
const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : a > b ? 1 : 0)

interface HourRow extends Record<string, unknown> {
  readonly hour: number
  readonly key_id: string
  readonly team_id: string
  readonly model_id: string
  readonly outcome: string
  requests: bigint
  prompt: bigint
  cached: bigint
  completion: bigint
  cost_pico: bigint
}

const hoursOf = (events: ReadonlyArray<UsageEvent>): Array<HourRow> => {
  const rows = new Map<string, HourRow>()
  for (const { cached, completion, costPico, keyId, modelId, outcome, prompt, startedAt, teamId } of events) {
    const hour = startedAt - (startedAt % hourMillis)
    const name = JSON.stringify([String(hour).padStart(16, "0"), keyId, teamId, modelId, outcome])
    let row = rows.get(name)
    if (row === undefined) {
      const sums = { requests: 0n, prompt: 0n, cached: 0n, completion: 0n, cost_pico: 0n }
      rows.set(name, (row = { hour, key_id: keyId, team_id: teamId, model_id: modelId, outcome, ...sums }))
    }
    row.requests += 1n
    row.prompt += BigInt(prompt)
    row.cached += BigInt(cached)
    row.completion += BigInt(completion)
    row.cost_pico += costPico
  }
  return [...rows].sort(byKey).map(([, row]) => row)
}

interface PeriodRow extends Record<string, unknown> {
  readonly scope: string
  readonly scope_id: string
  readonly model_id: string
  readonly period: PeriodUnit
  readonly period_start: number
  tokens: bigint
  cost_pico: bigint
}

const periodsOf = (events: ReadonlyArray<UsageEvent>, calendar: Calendar): Array<PeriodRow> => {
  const rows = new Map<string, PeriodRow>()
  for (const { completion, costPico, keyId, modelId, prompt, startedAt, teamId } of events) {
    if (prompt + completion === 0 && costPico === 0n) continue
    // Every scope that may have a limit, so that one that is made later knows what was used.
    const scopes = [
      ["key", keyId, ""],
      ["key", keyId, modelId],
      ["model", modelId, ""],
      ...(teamId === ""
        ? []
        : ([
            ["team", teamId, ""],
            ["team", teamId, modelId]
          ] as const))
    ] as const
    for (const period of ["day", "month"] as const) {
      const { start } = calendar.periodOf(period, startedAt)
      for (const [scope, scopeId, model] of scopes) {
        const name = JSON.stringify([scope, scopeId, model, period, String(start).padStart(16, "0")])
        let row = rows.get(name)
        if (row === undefined) {
          const owner = { scope, scope_id: scopeId, model_id: model, period, period_start: start }
          rows.set(name, (row = { ...owner, tokens: 0n, cost_pico: 0n }))
        }
        row.tokens += BigInt(prompt + completion)
        row.cost_pico += costPico
      }
    }
  }
  return [...rows].sort(byKey).map(([, row]) => row)
}

/** How long what is in the ledger is kept, in milliseconds. */
export interface Retention {
  readonly events: number
  readonly sums: number
}

/** The ledger of a database. */
export class UsageLedger {
  readonly #sql: SqlClient.SqlClient
  readonly #calendar: Calendar

  constructor(sql: SqlClient.SqlClient, calendar: Calendar) {
    this.#sql = sql
    this.#calendar = calendar
  }

  /** Writes events. Those that are there already change nothing. Returns the number of new ones. */
  write(events: ReadonlyArray<UsageEvent>): Effect.Effect<number, SqlError> {
    const sql = this.#sql
    const rows = events.map(rowOf)
    if (!Arr.isReadonlyArrayNonEmpty(rows)) return Effect.succeed(0)
    const add = (table: string) => sql.literal(minorColumns.map((name) => `${name} = ${table}.${name} + excluded.${name}`).join(", "))
    return Effect.gen({ self: this }, function* () {
      const inserted = yield* sql<{
        readonly id: string
      }>`INSERT INTO usage_event ${sql.insert(rows)} ON CONFLICT DO NOTHING RETURNING id`
      const ids = new Set(inserted.map(({ id }) => id))
      const fresh = events.filter(({ id }) => ids.delete(id))
      const hours = hoursOf(fresh)
      if (!Arr.isReadonlyArrayNonEmpty(hours)) return 0
      yield* sql`INSERT INTO usage_hour ${sql.insert(hours)} ON CONFLICT (hour, key_id, team_id, model_id, outcome) DO UPDATE SET ${add("usage_hour")}`
      const periods = periodsOf(fresh, this.#calendar)
      if (Arr.isReadonlyArrayNonEmpty(periods)) {
        yield* sql`INSERT INTO budget_used ${sql.insert(periods)} ON CONFLICT (scope, scope_id, model_id, period, period_start)
          DO UPDATE SET tokens = budget_used.tokens + excluded.tokens, cost_pico = budget_used.cost_pico + excluded.cost_pico`
      }
      return fresh.length
    }).pipe(sql.withTransaction)
  }

  /** What was used of counters, in their order. */
  use(counters: ReadonlyArray<PeriodCounter>): Effect.Effect<ReadonlyArray<Used>, SqlError> {
    const sql = this.#sql
    if (counters.length === 0) return Effect.succeed([])
    const conditions = counters.map(({ modelId = "", scope, scopeId, start, unit }) =>
      sql.and([
        sql`scope = ${scope}`,
        sql`scope_id = ${scopeId}`,
        sql`model_id = ${modelId}`,
        sql`period = ${unit}`,
        sql`period_start = ${start}`
      ])
    )
    const rows = sql<{
      readonly scope: string
      readonly scope_id: string
      readonly model_id: string
      readonly period: string
      readonly period_start: bigint
      readonly tokens: bigint
      readonly cost_pico: bigint
    }>`SELECT scope, scope_id, model_id, period, period_start, tokens, cost_pico FROM budget_used WHERE ${sql.or(conditions)}`
    return Effect.map(rows, (rows) => {
      const found = new Map(
        rows.map((row) => [
          JSON.stringify([row.scope, row.scope_id, row.model_id, row.period, Number(row.period_start)]),
          { tokens: Number(row.tokens), cost: row.cost_pico }
        ])
      )
      return counters.map(
        ({ modelId = "", scope, scopeId, start, unit }) =>
          found.get(JSON.stringify([scope, scopeId, modelId, unit, start])) ?? { tokens: 0, cost: 0n }
      )
    })
  }

  /** Deletes what is older, a slice at a time. Returns the number of deleted events. */
  prune(now: number, { events, sums }: Retention): Effect.Effect<number, SqlError> {
    const sql = this.#sql
    return Effect.gen(function* () {
      let deleted = 0
      for (;;) {
        const rows = yield* sql`DELETE FROM usage_event WHERE (ended_at, id) IN
          (SELECT ended_at, id FROM usage_event WHERE ended_at < ${now - events} ORDER BY ended_at, id LIMIT ${slice}) RETURNING id`
        deleted += rows.length
        if (rows.length < slice) break
        yield* Effect.sleep(1)
      }
      yield* sql`DELETE FROM usage_hour WHERE hour < ${now - sums}`
      yield* sql`DELETE FROM budget_used WHERE period_start < ${now - sums}`
      return deleted
    })
  }
}
