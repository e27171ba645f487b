/**
 * The way of usage from requests to the database: a request's event goes to the spool on the disk, and from there, in batches, to the ledger. While
 * the database is away events wait in the spool.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError } from "effect/sql/SqlError"
import { migrate, SchemaMismatch } from "../control/Migrations.ts"
import * as Sql from "../control/Sql.ts"
import type { GatewayMetrics } from "../GatewayMetrics.ts"
import type { Calendar } from "../limits/Period.ts"
import type { UsageEvent } from "./UsageEvent.ts"
import { UsageLedger, type Retention } from "./UsageLedger.ts"
import { UsageQueries } from "./UsageQueries.ts"
import { SpoolError, UsageSpool } from "./UsageSpool.ts"

/** Settings of the ledger. */
export interface UsageConfig {
  /** Path of a SQLite file, or URL of PostgreSQL; `undefined` for the database of the control plane. */
  readonly database: Redacted.Redacted | undefined
  readonly folder: string
  readonly maxBytes: number
  /** What holds when the spool is full: `open` loses events, `closed` refuses requests. */
  readonly whenFull: "open" | "closed"
  readonly retention: Retention
  /** Header in which flagged keys name their end users, in lower case. */
  readonly endUserHeader: string
}

/** The database cannot be used for the ledger. */
export type UsageError = SpoolError | SchemaMismatch

const flushing = 1000
const maxDelay = 10_000
// Events of one transaction.
const batch = 500
const pruning = 3_600_000
// What a gateway that stops gives to the last events. What is left is written by the next one.
const lastFlush = 5000

const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return isSqlError(error) ? error.reason._tag : error instanceof Error ? error.name : "unknown"
}

/** Records usage. */
export class UsageRecorder {
  readonly queries: UsageQueries
  readonly #config: UsageConfig
  readonly #spool: UsageSpool
  readonly #ledger: UsageLedger
  readonly #sql: SqlClient.SqlClient
  readonly #metrics: GatewayMetrics
  #isMigrated = false
  #delay = flushing

  constructor(config: UsageConfig, spool: UsageSpool, sql: SqlClient.SqlClient, calendar: Calendar, metrics: GatewayMetrics) {
    this.#config = config
    this.#spool = spool
    this.#sql = sql
    this.#ledger = new UsageLedger(sql, calendar)
    this.#metrics = metrics
    this.queries = new UsageQueries(sql, calendar)
  }

  get endUserHeader(): string {
    return this.#config.endUserHeader
  }

  /** Whether requests are taken. */
  get isAccepting(): boolean {
    return this.#config.whenFull === "open" || !this.#spool.isFull
  }

  /** Bytes of events that are not in the database. */
  get waiting(): number {
    return this.#spool.bytes
  }

  /** Whether the database failed last. */
  get isDegraded(): boolean {
    return this.#delay > flushing
  }

  /** Takes an event. When this returns, it outlives the process. */
  record(event: UsageEvent): void {
    const isDropped = this.#config.whenFull === "open" && this.#spool.isFull
    if (isDropped) this.#metrics.lostUsage("spool full")
    else if (!this.#spool.append(event)) this.#metrics.lostUsage("disk")
  }

  /** Reads what was used in calendar periods. */
  readonly readUse = (counters: Parameters<UsageLedger["use"]>[0]) => Effect.runPromise(this.#ledger.use(counters))

  /** Writes what waits to the database. */
  readonly flush: Effect.Effect<void, unknown> = Effect.gen({ self: this }, function* () {
    yield* this.#prepare
    for (let segment = this.#spool.take(); segment !== undefined; segment = this.#spool.take()) {
      const { damaged, done, events } = segment
      for (let i = 0; i < events.length; i += batch) {
        yield* this.#ledger.write(events.slice(i, i + batch))
        // SQLite writes in this thread: requests go on between two batches.
        yield* Effect.sleep(0)
      }
      if (damaged > 0) this.#metrics.lostUsage("damaged")
      done()
    }
  })

  get #prepare(): Effect.Effect<void, unknown> {
    if (this.#isMigrated) return Effect.void
    return Effect.map(Effect.provideService(migrate(), SqlClient.SqlClient, this.#sql), () => {
      this.#isMigrated = true
    })
  }

  /** Flushes for ever, at first every second, and less often while the database fails. */
  readonly run: Effect.Effect<never> = Effect.gen({ self: this }, function* () {
    let pruned = 0
    for (;;) {
      yield* Effect.sleep(this.#delay)
      const wasDegraded = this.isDegraded
      const exit = yield* Effect.exit(this.flush)
      if (wasDegraded && Exit.isSuccess(exit)) yield* Effect.logInfo("The usage ledger is written again")
      if (Exit.isSuccess(exit)) this.#delay = flushing
      else {
        this.#delay = Math.min(this.#delay * 2, maxDelay)
        // Neither a statement nor the URL of the database, which a log would keep.
        if (!wasDegraded)
          yield* Effect.logWarning(`The usage ledger cannot be written (${reasonOf(exit.cause)}): its events wait in the spool`)
        continue
      }
      if (Date.now() - pruned < pruning) continue
      pruned = Date.now()
      yield* Effect.ignore(this.#ledger.prune(pruned, this.#config.retention))
    }
  })
}

/** Opens the database of a configuration. */
export const openDatabase = (database: Redacted.Redacted): Effect.Effect<SqlClient.SqlClient, SchemaMismatch, Scope.Scope> =>
  Layer.build(Sql.layer(Redacted.value(database))).pipe(
    Effect.flatMap((context) => Effect.provideContext(SqlClient.SqlClient, context)),
    Effect.mapError(() => new SchemaMismatch({ detail: "the database of the usage ledger cannot be opened." }))
  )

/** Starts recording. The events that a gateway before it left in the spool are written too. */
export const make = Effect.fnUntraced(function* (
  config: UsageConfig,
  sql: SqlClient.SqlClient,
  calendar: Calendar,
  metrics: GatewayMetrics
): Effect.fn.Return<UsageRecorder, UsageError, Scope.Scope> {
  const spool = yield* Effect.acquireRelease(
    Effect.try({
      try: () => UsageSpool.open(config),
      catch: (error) => (error instanceof SpoolError ? error : new SpoolError({ folder: config.folder, problem: String(error) }))
    }),
    (spool) => Effect.sync(() => spool.close())
  )
  const recorder = new UsageRecorder(config, spool, sql, calendar, metrics)
  // A database that is away comes back. One that another version uses does not.
  const first = yield* Effect.exit(Effect.timeoutOption(recorder.flush, lastFlush))
  if (Exit.isFailure(first)) {
    for (const reason of first.cause.reasons)
      if (reason._tag === "Fail" && reason.error instanceof SchemaMismatch) return yield* reason.error
  }
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(recorder.flush, lastFlush)))
  yield* Effect.forkScoped(recorder.run)
  return recorder
})
