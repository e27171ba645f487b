/**
 * Keys, teams, models, limits and prices in the database. Every change is one transaction with its audit entry; nothing is deleted that usage names.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { AuditLog } from "./AuditLog.ts"
import { KeyStore } from "./KeyStore.ts"
import { LimitStore } from "./LimitStore.ts"
import { type FileModels, ModelNames } from "./ModelNames.ts"
import { ModelStore } from "./ModelStore.ts"
import { TeamStore } from "./TeamStore.ts"

export class ControlStore {
  readonly names: ModelNames
  readonly teams: TeamStore
  readonly keys: KeyStore
  readonly models: ModelStore
  readonly limits: LimitStore
  readonly audit: AuditLog

  constructor(sql: SqlClient.SqlClient, file: FileModels = new Map()) {
    this.names = new ModelNames(sql, file)
    this.teams = new TeamStore(sql, this.names)
    this.keys = new KeyStore(sql, this.names)
    this.models = new ModelStore(sql, this.names)
    this.limits = new LimitStore(sql, this.names)
    this.audit = new AuditLog(sql)
  }

  static readonly make = (file?: FileModels): Effect.Effect<ControlStore, never, SqlClient.SqlClient> =>
    Effect.map(SqlClient.SqlClient, (sql) => new ControlStore(sql, file))
}
