/**
 * Questions to the ledger. They read the sums by hour, never single events, so that they stay fast, and the same for every surface.
 */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Calendar } from "../limits/Period.ts"

/** What sums are for. Hours are of UTC, days of the zone of the installation. */
export type Grouping = "key" | "team" | "model" | "outcome" | "hour" | "day"

/** A question: hours that begin from `from` and before `to`, milliseconds of the epoch. */
export interface UsageQuestion {
  readonly from: number
  readonly to: number
  readonly by: ReadonlyArray<Grouping>
  readonly keyId?: string | undefined
  readonly teamId?: string | undefined
  readonly modelId?: string | undefined
}

/** One sum. Only the names of its groups are there. */
export interface UsageSum {
  readonly group: Readonly<Partial<Record<Grouping, string>>>
  readonly requests: bigint
  readonly prompt: bigint
  readonly cached: bigint
  readonly completion: bigint
  readonly costPico: bigint
}

const columns = { key: "key_id", team: "team_id", model: "model_id", outcome: "outcome", hour: "hour", day: "hour" } as const

interface Row extends Readonly<Record<string, unknown>> {
  readonly requests: bigint
  readonly prompt: bigint
  readonly cached: bigint
  readonly completion: bigint
  readonly cost_pico: bigint
}

/** Pico-units as a decimal number of units of the currency, exact. */
export const unitsOf = (pico: bigint): string => {
  const digits = String(pico).padStart(13, "0")
  const fraction = digits.slice(-12).replace(/0+$/, "")
  return `${digits.slice(0, -12)}${fraction === "" ? "" : `.${fraction}`}`
}

// The sum of no rows is one row of nulls.
const isSum = ({ requests }: { readonly requests: bigint | null }) => requests !== null

/** Reads sums. */
export class UsageQueries {
  readonly #sql: SqlClient.SqlClient
  readonly #calendar: Calendar

  constructor(sql: SqlClient.SqlClient, calendar: Calendar) {
    this.#sql = sql
    this.#calendar = calendar
  }

  /** The sums of a question, in the order of their groups. */
  sum({ by, from, keyId, modelId, teamId, to }: UsageQuestion): Effect.Effect<ReadonlyArray<UsageSum>, SqlError> {
    const sql = this.#sql
    const names = [...new Set(by.map((grouping) => columns[grouping]))]
    const isBigInt = sql.onDialectOrElse({ pg: () => "::bigint", orElse: () => "" })
    const sums = ["requests", "prompt", "cached", "completion", "cost_pico"].map((name) => `SUM(${name})${isBigInt} AS ${name}`)
    const conditions = [
      sql`hour >= ${from}`,
      sql`hour < ${to}`,
      ...(keyId === undefined ? [] : [sql`key_id = ${keyId}`]),
      ...(teamId === undefined ? [] : [sql`team_id = ${teamId}`]),
      ...(modelId === undefined ? [] : [sql`model_id = ${modelId}`])
    ]
    const grouped = names.length === 0 ? "" : ` GROUP BY ${names.join(", ")}`
    const rows = sql<Row>`SELECT ${sql.literal([...names, ...sums].join(", "))} FROM usage_hour WHERE ${sql.and(conditions)}${sql.literal(grouped)}`
    return Effect.map(rows, (rows) => this.#merge(rows.filter(isSum), by))
  }

  // Hours become days of the zone here: neither database knows every zone.
  #merge(rows: ReadonlyArray<Row>, by: ReadonlyArray<Grouping>): ReadonlyArray<UsageSum> {
    const found = new Map<string, UsageSum>()
    for (const row of rows) {
      const group = Object.fromEntries(by.map((grouping) => [grouping, this.#nameOf(row, grouping)]))
      const name = JSON.stringify(group)
      const before = found.get(name)
      found.set(name, {
        group,
        requests: row.requests + (before?.requests ?? 0n),
        prompt: row.prompt + (before?.prompt ?? 0n),
        cached: row.cached + (before?.cached ?? 0n),
        completion: row.completion + (before?.completion ?? 0n),
        costPico: row.cost_pico + (before?.costPico ?? 0n)
      })
    }
    return [...found].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, sum]) => sum)
  }

  #nameOf(row: Row, grouping: Grouping): string {
    const value = row[columns[grouping]]
    if (grouping === "hour") return new Date(Number(value)).toISOString()
    return grouping === "day" ? this.#calendar.dayOf(Number(value)) : String(value)
  }
}

// A cell that a spreadsheet would run as a formula is text.
const cell = (value: string) => {
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Sums as CSV, with a line of names. */
export const toCsv = (by: ReadonlyArray<Grouping>, sums: ReadonlyArray<UsageSum>): string => {
  const head = [...by, "requests", "prompt_tokens", "cached_tokens", "completion_tokens", "cost"]
  const lines = sums.map(({ cached, completion, costPico, group, prompt, requests }) => [
    ...by.map((grouping) => cell(group[grouping] ?? "")),
    ...[requests, prompt, cached, completion].map(String),
    unitsOf(costPico)
  ])
  return [head, ...lines].map((line) => `${line.join(",")}\r\n`).join("")
}
