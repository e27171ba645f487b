/**
 * Rows and pages: integers of rows are `bigint`, ids are in the order of creation, and a page goes on after the id of the one before.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import { orUnavailable } from "./Changes.ts"
import type { Unavailable } from "./ControlError.ts"

export const toNumber = (value: bigint): number => Number(value)
export const toNumberOrNull = (value: bigint | null): number | null => (value === null ? null : Number(value))
export const toBoolean = (value: bigint): boolean => value === 1n
export const fromBoolean = (value: boolean): number => (value ? 1 : 0)

/** Which part of a list is asked for. */
export interface PageRequest {
  /** The cursor of the page before. */
  readonly after?: string | undefined
  /** At most 200; 50 by default. */
  readonly limit?: number | undefined
  /** Text that the name has, in any case. */
  readonly search?: string | undefined
  readonly archived?: boolean | undefined
}

/** A part of a list. */
export interface Page<Item> {
  readonly items: ReadonlyArray<Item>
  /** The cursor of the next page; `null` at the end. */
  readonly next: string | null
}

export const pageLimit = ({ limit = 50 }: PageRequest): number => Math.min(Math.max(Math.trunc(limit), 1), 200)

/** A page of rows of which one more than asked for was read. */
export const toPage = <Item>(items: ReadonlyArray<Item>, limit: number, cursor: (item: Item) => string): Page<Item> => {
  const shown = items.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown, next: items.length > limit && last !== undefined ? cursor(last) : null }
}

/** The items of all pages. */
export const readAll = <Item, E>(list: (request: PageRequest) => Effect.Effect<Page<Item>, E>): Effect.Effect<ReadonlyArray<Item>, E> =>
  Effect.gen(function* () {
    const items: Array<Item> = []
    for (let after: string | undefined; ;) {
      const page: Page<Item> = yield* list({ limit: 200, after })
      items.push(...page.items)
      if (page.next === null) return items
      after = page.next
    }
  })

/** A pattern of LIKE for text that is found anywhere, with `\` as the escape. */
const containing = (text: string): string => `%${text.toLowerCase().replace(/[\\%_]/g, "\\$&")}%`

/** Reads a page of the objects of a table that meet all conditions, in the order of their ids. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what a row has is known to who names the columns
export const readPage = <Row extends object, Item extends { readonly id: string }>(
  sql: SqlClient.SqlClient,
  request: PageRequest,
  from: { readonly table: string; readonly columns: string; readonly where: ReadonlyArray<Fragment> },
  toItems: (rows: ReadonlyArray<Row>) => Effect.Effect<ReadonlyArray<Item>, SqlError>
): Effect.Effect<Page<Item>, Unavailable> => {
  const limit = pageLimit(request)
  const where = sql.and([sql`id > ${request.after ?? ""}`, ...from.where])
  const rows = sql<Row>`SELECT ${sql.literal(from.columns)} FROM ${sql(from.table)} WHERE ${where} ORDER BY id LIMIT ${limit + 1}`
  return orUnavailable(Effect.map(Effect.flatMap(rows, toItems), (items) => toPage(items, limit, ({ id }) => id)))
}

/** The conditions of a request for the tables that keep archived objects. `name` is where the searched text is, in lower case. */
export const listed = (
  sql: SqlClient.SqlClient,
  { archived, search }: PageRequest,
  name: (pattern: string) => Fragment
): ReadonlyArray<Fragment> => [
  ...(archived === true ? [] : [sql`archived_at IS NULL`]),
  ...(search === undefined ? [] : [name(containing(search))])
]

type JsonObject = { readonly [name: string]: Schema.Json }

const isObject = (value: Schema.Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Applies a JSON merge patch (RFC 7396): `null` removes a member, objects are merged, everything else is replaced. */
export const mergePatch = (target: JsonObject, patch: JsonObject): JsonObject => {
  const merged = new Map(Object.entries(target))
  for (const [name, value] of Object.entries(patch)) {
    const before = merged.get(name)
    if (value === null) merged.delete(name)
    else merged.set(name, isObject(value) ? mergePatch(isObject(before) ? before : {}, value) : value)
  }
  return Object.fromEntries(merged)
}
