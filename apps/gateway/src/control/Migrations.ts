/**
 * Brings the database to the schema of this program. Migrations only add: the program before runs on the schema after.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { migration as usage } from "../usage/0002_usage.ts"
import { migration as control } from "./0001_control.ts"

/** A migration, its number and its name. */
export type Migration = readonly [id: number, name: string, run: Effect.Effect<void, unknown, SqlClient.SqlClient>]

/** Every migration, in order. One that was released never changes. */
export const migrations: ReadonlyArray<Migration> = [
  [1, "control", control],
  [2, "usage", usage]
]

/** The database has migrations that this program does not know: a newer program has used it. Or it is another program's. */
export class SchemaMismatch extends Schema.TaggedError<SchemaMismatch>("SchemaMismatch")("SchemaMismatch", { detail: Schema.String }) {
  override get message(): string {
    return `The database cannot be used: ${this.detail}`
  }
}

const table = "paradigm_migration"

// The migrator compares the newest number alone, and skips a lower one that came later.
const checkKnown = (known: ReadonlyArray<Migration>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const exists = sql.onDialectOrElse({
      pg: () => sql`SELECT 1 FROM pg_tables WHERE tablename = ${table} AND schemaname = ANY(current_schemas(false))`,
      orElse: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ${table}`
    })
    if ((yield* exists).length === 0) return
    const rows = yield* sql<{
      migration_id: number | bigint
      name: string
    }>`SELECT migration_id, name FROM ${sql(table)} ORDER BY migration_id`
    for (const [at, { migration_id, name }] of rows.entries()) {
      const expected = known[at]
      if (expected === undefined) {
        return yield* new SchemaMismatch({
          detail: `it has the migration ${migration_id} "${name}" of a newer version. Start that version.`
        })
      }
      if (Number(migration_id) !== expected[0] || name !== expected[1]) {
        const detail = `its migration ${migration_id} is "${name}", where this version has ${expected[0]} "${expected[1]}".`
        return yield* new SchemaMismatch({ detail })
      }
    }
  })

/** Runs the migrations that are missing. Several processes may start at once: one migrates, the others wait. */
export const migrate = (known: ReadonlyArray<Migration> = migrations) =>
  Effect.gen(function* () {
    yield* checkKnown(known)
    const ran = yield* Migrator.make({})({
      table,
      loader: Effect.succeed(known.map(([id, name, run]) => [id, name, Effect.succeed(run)] as const))
    })
    // Another version may have migrated meanwhile.
    yield* checkKnown(known)
    return ran
  })
