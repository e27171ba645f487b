/**
 * Keys, teams, models, limits and prices in the database. Every change is one transaction with its audit entry; nothing is deleted that usage names.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { AuditLog } from "./AuditLog.ts"
import { orUnavailable } from "./Changes.ts"
import type { ControlError } from "./ControlError.ts"
import type { Key, Limit, Model, Price, Team } from "./Entity.ts"
import { KeyStore } from "./KeyStore.ts"
import { LimitStore } from "./LimitStore.ts"
import { type FileModels, ModelNames } from "./ModelNames.ts"
import { ModelStore } from "./ModelStore.ts"
import { type Page, type PageRequest, toNumber } from "./Rows.ts"
import { TeamStore } from "./TeamStore.ts"

/** An object that changed. */
export interface ChangedObject {
  readonly entity: string
  readonly id: string
}

/** Everything that serving requests needs. It has digests, and no secret. */
export interface ControlState {
  readonly revision: number
  readonly teams: ReadonlyArray<Team>
  readonly keys: ReadonlyArray<Key>
  readonly digests: ReadonlyArray<{ readonly digest: string; readonly keyId: string; readonly validUntil: number | null }>
  readonly models: ReadonlyArray<Model>
  readonly limits: ReadonlyArray<Limit>
  readonly prices: ReadonlyArray<Price>
}

const readAll = <Item>(
  list: (request: PageRequest) => Effect.Effect<Page<Item>, ControlError>
): Effect.Effect<ReadonlyArray<Item>, ControlError> =>
  Effect.gen(function* () {
    const items: Array<Item> = []
    let after: string | undefined
    for (;;) {
      const page = yield* list({ limit: 200, after })
      items.push(...page.items)
      if (page.next === null) return items
      after = page.next
    }
  })

export class ControlStore {
  readonly names: ModelNames
  readonly teams: TeamStore
  readonly keys: KeyStore
  readonly models: ModelStore
  readonly limits: LimitStore
  readonly audit: AuditLog
  readonly #sql: SqlClient.SqlClient

  constructor(sql: SqlClient.SqlClient, file: FileModels = new Map()) {
    this.#sql = sql
    this.names = new ModelNames(sql, file)
    this.teams = new TeamStore(sql, this.names)
    this.keys = new KeyStore(sql, this.names)
    this.models = new ModelStore(sql, this.names)
    this.limits = new LimitStore(sql, this.names)
    this.audit = new AuditLog(sql)
  }

  static readonly make = (file?: FileModels): Effect.Effect<ControlStore, never, SqlClient.SqlClient> =>
    Effect.map(SqlClient.SqlClient, (sql) => new ControlStore(sql, file))

  get #revision(): Effect.Effect<number, SqlError> {
    const sql = this.#sql
    return Effect.map(sql<{ n: bigint }>`SELECT n FROM revision`, ([row]) => toNumber(row?.n ?? 0n))
  }

  /** The number of the last change. */
  get revision(): Effect.Effect<number, ControlError> {
    return orUnavailable(this.#revision)
  }

  /** What changed after a revision, and the revision now. */
  changesSince(
    revision: number
  ): Effect.Effect<{ readonly revision: number; readonly changed: ReadonlyArray<ChangedObject> }, ControlError> {
    const sql = this.#sql
    return sql<{
      n: bigint
      entity: string
      entity_id: string
    }>`SELECT n, entity, entity_id FROM change WHERE n > ${revision} ORDER BY n`.pipe(
      Effect.map((rows) => ({
        revision: toNumber(rows.at(-1)?.n ?? BigInt(revision)),
        changed: rows.map(({ entity, entity_id }) => ({ entity, id: entity_id }))
      })),
      orUnavailable
    )
  }

  /** Reads everything, as of one revision. */
  get state(): Effect.Effect<ControlState, ControlError> {
    const sql = this.#sql
    const read = Effect.gen({ self: this }, function* () {
      return {
        revision: yield* this.#revision,
        teams: yield* readAll((request) => this.teams.list(request)),
        keys: yield* readAll((request) => this.keys.list(request)),
        digests: yield* this.keys.digests,
        models: yield* readAll((request) => this.models.list(request)),
        limits: yield* readAll((request) => this.limits.list(request)),
        prices: yield* this.limits.prices()
      }
    })
    const isolated = sql.onDialectOrElse({
      pg: () =>
        Effect.provideService(sql.withTransaction(read), SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
      orElse: () => Effect.provideService(sql.withTransaction(read), SqlClient.BeginTransaction, "BEGIN DEFERRED")
    })
    return orUnavailable(isolated)
  }
}
