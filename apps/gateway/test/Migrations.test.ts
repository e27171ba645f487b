import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { migrate, migrations, type Migration } from "../src/control/Migrations.ts"
import { databases, fresh } from "./Databases.ts"

const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql.onDialectOrElse({
    pg: () =>
      sql<{ table_name: string; column_name: string }>`SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`,
    orElse: () =>
      sql<{ table_name: string; column_name: string }>`SELECT m.name AS table_name, c.name AS column_name
        FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid`
  })
  return rows.map(({ column_name, table_name }) => `${table_name}.${column_name}`).toSorted()
})

describe.each(databases)("the schema in $name", (database) => {
  const onFresh = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
    Effect.flatMap(
      Effect.promise(() => fresh(database)),
      (layer) => Effect.provide(effect, layer)
    )

  it.live("is made once, and knows itself", () =>
    Effect.gen(function* () {
      assert.lengthOf(yield* migrate(), migrations.length)
      assert.deepStrictEqual(yield* migrate(), [])
    }).pipe(onFresh)
  )

  it.live("is refused to a program that does not know its newest migration", () =>
    Effect.gen(function* () {
      const newer: ReadonlyArray<Migration> = [...migrations, [migrations.length + 1, "later", Effect.void]]
      yield* migrate(newer)
      const error = yield* Effect.flip(migrate())
      assert.match(error.message, /"later" of a newer version/)
    }).pipe(onFresh)
  )

  it.live("is refused to a program whose migrations have other names", () =>
    Effect.gen(function* () {
      yield* migrate()
      const others: ReadonlyArray<Migration> = migrations.map(([id, , run]) => [id, "other", run])
      const error = yield* Effect.flip(migrate(others))
      assert.match(error.message, /where this version has 1 "other"/)
    }).pipe(onFresh)
  )

  it.live("is not made in part by a migration that fails", () =>
    Effect.gen(function* () {
      const failing: ReadonlyArray<Migration> = [...migrations, [migrations.length + 1, "fails", Effect.fail("no")]]
      yield* Effect.flip(migrate(failing))
      assert.notInclude((yield* tables).join(), "key_secret")
      assert.lengthOf(yield* migrate(), migrations.length)
    }).pipe(onFresh)
  )

  it.live("keeps the audit log append-only", () =>
    Effect.gen(function* () {
      yield* migrate()
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO audit ${sql.insert({ seq: 1, at: 1, actor: "a", via: "test", action: "create", entity: "key", entity_id: "1", prev_hash: "", hash: "x" })}`
      yield* Effect.flip(sql`UPDATE audit SET actor = 'b'`)
      yield* Effect.flip(sql`DELETE FROM audit`)
      assert.lengthOf(yield* sql`SELECT * FROM audit WHERE actor = 'a'`, 1)
    }).pipe(onFresh)
  )

  it.live("reads integers of 64 bits exactly, and tells a taken name from other failures", () =>
    Effect.gen(function* () {
      yield* migrate()
      const sql = yield* SqlClient.SqlClient
      const team = { id: "1", name: "a", name_fold: "a", enabled: 1, all_models: 1, version: 9_007_199_254_740_993n }
      yield* sql`INSERT INTO team ${sql.insert(team)}`
      assert.deepStrictEqual(yield* sql`SELECT version FROM team`, [{ version: 9_007_199_254_740_993n }])
      const error = yield* Effect.flip(sql`INSERT INTO team ${sql.insert({ ...team, id: "2" })}`)
      assert.strictEqual(error.reason._tag, "UniqueViolation")
    }).pipe(onFresh)
  )

  it("is made by one of four processes that start at once", async () => {
    const target = await database.target()
    const program = fileURLToPath(new URL("MigratingProcess.ts", import.meta.url))
    const results = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const child = fork(program, [target], { stdio: "inherit" })
        const [[ran]] = (await Promise.all([once(child, "message"), once(child, "exit")])) as [[number], unknown]
        return ran
      })
    )
    assert.sameMembers(results, [0, 0, 0, migrations.length])
  })
})

it.live.runIf(databases.length > 1)("the schema has the same columns in SQLite and PostgreSQL", () =>
  Effect.gen(function* () {
    const columns = yield* Effect.forEach(databases, (database) =>
      Effect.flatMap(
        Effect.promise(() => fresh(database)),
        (layer) => Effect.provide(Effect.andThen(migrate(), tables), layer)
      )
    )
    assert.deepStrictEqual(columns[0], columns[1])
  })
)
