/**
 * Reads the state of the control plane, whole or only what changed. What changes while it is read is found by the next poll.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { readLimits } from "../limits/StoredLimits.ts"
import { toNumberOrNull } from "./Rows.ts"
import { type ChangedIds, StoredModel, type StoredObjects, type StoredState } from "./ServedState.ts"

interface Grant {
  readonly owner: string
  readonly model_id: string
}

const groupBy = <Row>(rows: ReadonlyArray<Row>, ownerOf: (row: Row) => string): ReadonlyMap<string, ReadonlyArray<Row>> => {
  const groups = new Map<string, Array<Row>>()
  for (const row of rows) {
    const group = groups.get(ownerOf(row))
    if (group === undefined) groups.set(ownerOf(row), [row])
    else group.push(row)
  }
  return groups
}

const decodeModel = Schema.decodeUnknownEffect(StoredModel)

/** What a poll found. */
export interface Changes {
  readonly revision: number
  readonly ids: ChangedIds
  readonly found: StoredObjects
}

// Ids in one statement: SQLite and PostgreSQL limit the number of parameters.
const maxIds = 500

export class ControlReader {
  readonly #sql: SqlClient.SqlClient

  constructor(sql: SqlClient.SqlClient) {
    this.#sql = sql
  }

  /** Everything. */
  readonly all: Effect.Effect<StoredState, SqlError> = Effect.suspend(() =>
    Effect.gen({ self: this }, function* () {
      const revision = yield* this.#revision
      const found = yield* this.#objects({ teams: undefined, keys: undefined, models: undefined })
      return { revision, ...found, limits: yield* readLimits(this.#sql) }
    })
  )

  /**
   * What changed after a revision: at most some hundred objects, of which the revision tells how far they reach. `restored` if the database is older.
   */
  changes(after: number): Effect.Effect<Changes | "restored" | undefined, SqlError> {
    const sql = this.#sql
    return Effect.gen({ self: this }, function* () {
      const revision = yield* this.#revision
      if (revision === after) return undefined
      const rows = yield* sql<{ n: bigint; entity: string; entity_id: string }>`SELECT n, entity, entity_id FROM change
        WHERE n > ${after} AND n <= ${revision} ORDER BY n LIMIT ${maxIds}`
      if (revision < after) return "restored"
      const idsOf = (entity: string) => new Set(rows.filter((row) => row.entity === entity).map(({ entity_id }) => entity_id))
      const replicas = [...idsOf("replica")]
      const ofReplicas =
        replicas.length === 0 ? [] : yield* sql<{ model_id: string }>`SELECT model_id FROM replica WHERE ${sql.in("id", replicas)}`
      // The model of a replica that was removed is not known any more: it may be any.
      const any = ofReplicas.length < replicas.length ? yield* sql<{ id: string }>`SELECT id FROM model WHERE archived_at IS NULL` : []
      const models = new Set([...idsOf("model"), ...ofReplicas.map(({ model_id }) => model_id), ...any.map(({ id }) => id)])
      const ids = { teams: idsOf("team"), keys: idsOf("key"), models }
      const isLimited = rows.some(({ entity }) => entity === "limit" || entity === "price")
      const limits = isLimited ? yield* readLimits(sql) : undefined
      // Each revision is one change.
      const reached = rows.length === maxIds ? Number(rows.at(-1)?.n) : revision
      return { revision: reached, ids, found: { ...(yield* this.#objects(ids)), limits } }
    })
  }

  get #revision(): Effect.Effect<number, SqlError> {
    const sql = this.#sql
    return Effect.map(sql<{ n: bigint }>`SELECT n FROM revision`, ([row]) => Number(row?.n ?? 0n))
  }

  #objects(ids: { readonly [Kind in keyof ChangedIds]: ReadonlySet<string> | undefined }): Effect.Effect<
    Omit<StoredObjects, "limits">,
    SqlError
  > {
    return Effect.gen({ self: this }, function* () {
      return { teams: yield* this.#teams(ids.teams), keys: yield* this.#keys(ids.keys), models: yield* this.#models(ids.models) }
    })
  }

  #among(column: string, ids: ReadonlySet<string> | undefined) {
    return ids === undefined ? this.#sql`1 = 1` : this.#sql.in(column, [...ids])
  }

  #teams(ids: ReadonlySet<string> | undefined): Effect.Effect<StoredObjects["teams"], SqlError> {
    const sql = this.#sql
    if (ids?.size === 0) return Effect.succeed([])
    return Effect.gen({ self: this }, function* () {
      const rows = yield* sql<{ id: string; name: string; enabled: bigint; all_models: bigint; archived_at: bigint | null }>`
        SELECT id, name, enabled, all_models, archived_at FROM team WHERE ${this.#among("id", ids)}`
      const grants = groupBy(
        yield* sql<Grant>`SELECT team_id AS owner, model_id FROM team_model WHERE ${this.#among("team_id", ids)}`,
        ({ owner }) => owner
      )
      return rows.map(({ all_models, archived_at, enabled, id, name }) => ({
        id,
        name,
        isValid: enabled === 1n && archived_at === null,
        allModels: all_models === 1n,
        models: (grants.get(id) ?? []).map(({ model_id }) => model_id)
      }))
    })
  }

  #keys(ids: ReadonlySet<string> | undefined): Effect.Effect<StoredObjects["keys"], SqlError> {
    const sql = this.#sql
    if (ids?.size === 0) return Effect.succeed([])
    return Effect.gen({ self: this }, function* () {
      const rows = yield* sql<{
        id: string
        team_id: string | null
        name: string
        enabled: bigint
        all_models: bigint
        expires_at: bigint | null
        end_user_header: bigint
      }>`SELECT id, team_id, name, enabled, all_models, expires_at, end_user_header FROM key
        WHERE archived_at IS NULL AND revoked_at IS NULL AND ${this.#among("id", ids)}`
      const grants = groupBy(
        yield* sql<Grant>`SELECT key_id AS owner, model_id FROM key_model WHERE ${this.#among("key_id", ids)}`,
        ({ owner }) => owner
      )
      const secrets = groupBy(
        yield* sql<{ digest: Uint8Array; key_id: string; valid_until: bigint | null }>`
          SELECT digest, key_id, valid_until FROM key_secret WHERE ${this.#among("key_id", ids)}`,
        ({ key_id }) => key_id
      )
      return rows.map((row) => ({
        id: row.id,
        teamId: row.team_id,
        name: row.name,
        isValid: row.enabled === 1n,
        expiresAt: toNumberOrNull(row.expires_at),
        endUserHeader: row.end_user_header === 1n,
        allModels: row.all_models === 1n,
        models: (grants.get(row.id) ?? []).map(({ model_id }) => model_id),
        secrets: (secrets.get(row.id) ?? []).map(({ digest, valid_until }) => ({
          digest: Buffer.from(digest).toString("hex"),
          validUntil: toNumberOrNull(valid_until)
        }))
      }))
    })
  }

  #models(ids: ReadonlySet<string> | undefined): Effect.Effect<StoredObjects["models"], SqlError> {
    const sql = this.#sql
    if (ids?.size === 0) return Effect.succeed([])
    return Effect.gen({ self: this }, function* () {
      const rows = yield* sql<{ id: string; enabled: bigint; settings: string }>`SELECT id, enabled, settings FROM model
        WHERE archived_at IS NULL AND ${this.#among("id", ids)}`
      const names = groupBy(
        yield* sql<{ name: string; model_id: string; kind: string }>`SELECT name, model_id, kind FROM model_name
          WHERE freed_at IS NULL AND ${this.#among("model_id", ids)} ORDER BY name`,
        ({ model_id }) => model_id
      )
      const replicas = groupBy(
        yield* sql<{
          model_id: string
          base_url: string
          remote_name: string
          weight: bigint
          max_concurrent: bigint | null
          credential_ref: string | null
        }>`SELECT model_id, base_url, remote_name, weight, max_concurrent, credential_ref FROM replica
          WHERE state = 'on' AND ${this.#among("model_id", ids)} ORDER BY id`,
        ({ model_id }) => model_id
      )
      const models: Array<StoredModel> = []
      for (const { enabled, id, settings } of rows) {
        const all = names.get(id) ?? []
        const model = Effect.try(() => ({
          id,
          name: all.find(({ kind }) => kind === "name")?.name ?? id,
          aliases: all.filter(({ kind }) => kind !== "name").map(({ name }) => name),
          isEnabled: enabled === 1n,
          settings: JSON.parse(settings) as unknown,
          replicas: (replicas.get(id) ?? []).map((replica) => ({
            baseUrl: replica.base_url,
            remoteName: replica.remote_name,
            weight: Number(replica.weight),
            maxConcurrent: toNumberOrNull(replica.max_concurrent),
            credential: replica.credential_ref === null ? null : (JSON.parse(replica.credential_ref) as unknown)
          }))
        }))
        // One model that cannot be read does not take the others away.
        yield* Effect.matchEffect(Effect.flatMap(model, decodeModel), {
          onSuccess: (model) => Effect.sync(() => models.push(model)),
          onFailure: () => Effect.logError(`The model ${id} of the database cannot be read, and is not served`)
        })
      }
      return models
    })
  }
}
