/**
 * The database of the control plane: SQLite in a file (over `node:sqlite`), or PostgreSQL. Integers of 64 bits are `bigint` in both.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, SqlError } from "effect/sql/SqlError"
import { makeCompilerSqlite } from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { existsSync, writeFileSync } from "node:fs"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"
import { Unavailable } from "./ControlError.ts"

// Longer than any migration: processes that start at once wait for the one that migrates.
const busyTimeout = 60_000

// The classifier reads `errno`, node:sqlite writes `errcode`.
const sqlErrorOf = (error: unknown): SqlError => {
  const cause = error instanceof Error && "errcode" in error ? Object.assign(error, { errno: error.errcode }) : error
  return new SqlError({ reason: classifySqliteError(cause, { operation: "execute" }) })
}

type Row = Readonly<Record<string, unknown>>

class SqliteConnection implements Connection {
  readonly database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync) {
    this.database = database
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.database.prepare(sql)
      statement.setReadBigInts(true)
      // Statements with lists of values are many.
      if (this.#statements.size >= 200) this.#statements.clear()
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #run(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return Effect.try({ try: () => this.#prepare(sql).all(...(params as ReadonlyArray<SQLInputValue>)), catch: sqlErrorOf })
  }

  readonly execute: Connection["execute"] = (sql, params, transform) =>
    transform === undefined ? this.#run(sql, params) : Effect.map(this.#run(sql, params), transform)
  readonly executeRaw: Connection["executeRaw"] = (sql, params) => this.#run(sql, params)
  readonly executeUnprepared: Connection["executeUnprepared"] = (sql, params, transform) => this.execute(sql, params, transform)
  readonly executeValues: Connection["executeValues"] = (sql, params) =>
    Effect.map(this.#run(sql, params), (rows) => rows.map((row) => Object.values(row)))
  readonly executeValuesUnprepared: Connection["executeValuesUnprepared"] = (sql, params) => this.executeValues(sql, params)
  readonly executeStream: Connection["executeStream"] = (sql, params, transform) =>
    Stream.fromIterableEffect(this.execute(sql, params, transform))
}

const openSqlite = (filename: string): Effect.Effect<DatabaseSync, SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        // It has the digests of keys: nobody but its owner reads it, nor the files that SQLite puts beside it.
        if (filename !== ":memory:" && !existsSync(filename)) writeFileSync(filename, "", { mode: 0o600 })
        const database = new DatabaseSync(filename, { timeout: busyTimeout })
        // An acknowledged commit survives the death of the process. A power failure may cost the last ones, but not the database.
        database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
        return database
      },
      catch: sqlErrorOf
    }),
    (database) => Effect.sync(() => database.close())
  )

const makeSqlite = Effect.fnUntraced(function* (filename: string) {
  const connection = new SqliteConnection(yield* openSqlite(filename))
  const acquirers = SqlClient.makeSqliteAcquirers({
    connection: Effect.succeed(connection),
    semaphore: yield* Semaphore.make(1),
    isTransaction: ({ database }: SqliteConnection) => database.isTransaction
  })
  return yield* SqlClient.make({
    ...acquirers,
    compiler: makeCompilerSqlite(),
    driver: "node:sqlite",
    spanAttributes: [["db.system.name", "sqlite"]],
    // A transaction that begins as a reader cannot wait for a writer: it fails at once.
    beginTransaction: "BEGIN IMMEDIATE"
  })
})

/** SQLite in a file; `:memory:` for a database that ends with the scope. */
export const sqlite = (filename: string): Layer.Layer<SqlClient.SqlClient, SqlError> =>
  Layer.effect(SqlClient.SqlClient, makeSqlite(filename)).pipe(Layer.provide(Reactivity.layer))

/** PostgreSQL by its URL. Connects when it is used first, and again after a failure. */
export const postgres = (url: Redacted.Redacted): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError> =>
  PgClient.layer({ url, applicationName: "paradigm-gateway", connectTimeout: "5 seconds", maxConnections: 8 })

/**
 * Fails after a time. Does not wait for the end of what it interrupts, unlike `Effect.timeout`: a server that hangs does not confirm a cancellation
 * either.
 */
export const within = <A, E, R>(effect: Effect.Effect<A, E, R>, time: Duration.Input): Effect.Effect<A, E | Cause.TimeoutError, R> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Fiber.join(fiber).pipe(Effect.timeout(time), Effect.ensuring(Effect.sync(() => fiber.interruptUnsafe())))
  )

/** A failure of the database as one that an operator reads. */
export const toUnavailable = ({ reason }: SqlError): Unavailable => {
  const why = reason.cause instanceof Error ? reason.cause.message : reason.message
  return new Unavailable({ detail: `The database cannot be used: ${why}` })
}

/** Whether the text is a `postgres:` URL, and not the path of a file. */
export const isPostgres = (data: string): boolean => /^postgres(ql)?:/.test(data)

/** The database of a `postgres:` URL, or of the path of a file. */
export const layer = (data: string): Layer.Layer<SqlClient.SqlClient, SqlError> =>
  isPostgres(data) ? postgres(Redacted.make(data)) : sqlite(data)
