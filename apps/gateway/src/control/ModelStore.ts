/**
 * Models, their names and their replicas. A name that a model had goes on working until it is removed, and is not given to another model for 90 days.
 */
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { type Actor, change, checkVersion, orUnavailable } from "./Changes.ts"
import { Conflict, type ControlError, InUse, Invalid, NotFound, type Unavailable } from "./ControlError.ts"
import { type Model, type ModelPatch, ModelSettings, type NewModel, type NewReplica, type Replica, type ReplicaPatch } from "./Entity.ts"
import type { ModelNames } from "./ModelNames.ts"
import { fromBoolean, listed, mergePatch, type Page, type PageRequest, readPage, toBoolean, toNumber, toNumberOrNull } from "./Rows.ts"

interface ModelRow {
  readonly id: string
  readonly enabled: bigint
  readonly settings: string
  readonly archived_at: bigint | null
  readonly version: bigint
}

interface NameRow {
  readonly name: string
  readonly model_id: string
  readonly kind: "name" | "alias" | "former"
}

interface ReplicaRow {
  readonly id: string
  readonly model_id: string
  readonly base_url: string
  readonly remote_name: string
  readonly weight: bigint
  readonly state: Replica["state"]
  readonly credential_ref: string | null
  readonly max_concurrent: bigint | null
  readonly version: bigint
}

const decodeSettings = Schema.decodeUnknownEffect(ModelSettings, { onExcessProperty: "error" })

const columns = "id, enabled, settings, archived_at, version"

const reserved = 90 * 86_400_000

const toReplica = (row: ReplicaRow): Replica => ({
  id: row.id,
  modelId: row.model_id,
  baseUrl: row.base_url,
  remoteName: row.remote_name,
  weight: toNumber(row.weight),
  maxConcurrent: toNumberOrNull(row.max_concurrent),
  state: row.state,
  credential: row.credential_ref === null ? null : (JSON.parse(row.credential_ref) as Replica["credential"]),
  version: toNumber(row.version)
})

export class ModelStore {
  readonly #sql: SqlClient.SqlClient
  readonly #names: ModelNames

  constructor(sql: SqlClient.SqlClient, names: ModelNames) {
    this.#sql = sql
    this.#names = names
  }

  #toModels(rows: ReadonlyArray<ModelRow>): Effect.Effect<ReadonlyArray<Model>, SqlError> {
    const sql = this.#sql
    const ids = rows.map(({ id }) => id)
    if (ids.length === 0) return Effect.succeed([])
    return Effect.gen(function* () {
      const names =
        yield* sql<NameRow>`SELECT name, model_id, kind FROM model_name WHERE freed_at IS NULL AND ${sql.in("model_id", ids)} ORDER BY name`
      const replicas = yield* sql<ReplicaRow>`SELECT * FROM replica WHERE ${sql.in("model_id", ids)} ORDER BY id`
      return rows.map(({ archived_at, enabled, id, settings, version }) => {
        const named = (kind: NameRow["kind"]) => names.filter((row) => row.model_id === id && row.kind === kind).map(({ name }) => name)
        return {
          id,
          name: named("name")[0] ?? id,
          aliases: named("alias"),
          formerNames: named("former"),
          enabled: toBoolean(enabled),
          settings: JSON.parse(settings) as Model["settings"],
          replicas: replicas.filter(({ model_id }) => model_id === id).map(toReplica),
          archivedAt: toNumberOrNull(archived_at),
          version: toNumber(version)
        }
      })
    })
  }

  #find(id: string): Effect.Effect<Model, NotFound | SqlError> {
    const sql = this.#sql
    return sql<ModelRow>`SELECT ${sql.literal(columns)} FROM model WHERE id = ${id}`.pipe(
      Effect.flatMap((rows) => this.#toModels(rows)),
      Effect.flatMap(([model]) => (model === undefined ? Effect.fail(NotFound.of("model", id)) : Effect.succeed(model)))
    )
  }

  #findLive(id: string): Effect.Effect<Model, NotFound | SqlError> {
    return Effect.filterOrFail(
      this.#find(id),
      ({ archivedAt }) => archivedAt === null,
      () => NotFound.of("model", id)
    )
  }

  get(id: string): Effect.Effect<Model, NotFound | Unavailable> {
    return orUnavailable(this.#find(id))
  }

  list(request: PageRequest = {}): Effect.Effect<Page<Model>, Unavailable> {
    const sql = this.#sql
    const where = listed(
      sql,
      request,
      (pattern) => sql`id IN (SELECT model_id FROM model_name WHERE freed_at IS NULL AND LOWER(name) LIKE ${pattern} ESCAPE '\\')`
    )
    return readPage<ModelRow, Model>(sql, request, { table: "model", columns, where }, (rows) => this.#toModels(rows))
  }

  // Gives a model its names. A name of the file, of another model, or of one that lost it less than 90 days ago is refused.
  #setNames(id: string, wanted: Pick<Model, "aliases" | "formerNames" | "name">, now: number, isForced: boolean) {
    const sql = this.#sql
    return Effect.gen({ self: this }, function* () {
      const kinds = new Map<string, NameRow["kind"]>([
        ...wanted.formerNames.map((name) => [name, "former"] as const),
        ...wanted.aliases.map((name) => [name, "alias"] as const),
        [wanted.name, "name"]
      ])
      for (const name of kinds.keys()) {
        if (this.#names.file.has(name)) {
          return yield* new Conflict({ detail: `"${name}" is a model of the configuration file, which owns its name.` })
        }
      }
      const rows = yield* sql<NameRow & { freed_at: bigint | null }>`SELECT name, model_id, kind, freed_at FROM model_name
        WHERE ${sql.or([sql.in("name", [...kinds.keys()]), sql`model_id = ${id}`])}`
      for (const { freed_at, model_id, name } of rows) {
        if (model_id === id || (freed_at !== null && (isForced || toNumber(freed_at) + reserved < now))) continue
        const why = freed_at === null ? "belongs to another model" : "belonged to another model less than 90 days ago; force gives it away"
        return yield* new Conflict({ detail: `The name "${name}" ${why}.` })
      }
      yield* sql`UPDATE model_name SET freed_at = ${now} WHERE model_id = ${id} AND freed_at IS NULL`
      yield* sql`DELETE FROM model_name WHERE ${sql.in("name", [...kinds.keys()])}`
      yield* Effect.forEach(kinds, ([name, kind]) => sql`INSERT INTO model_name ${sql.insert({ name, model_id: id, kind })}`, {
        discard: true
      })
    })
  }

  #addReplica(model: Pick<Model, "id" | "name">, input: typeof NewReplica.Type) {
    const sql = this.#sql
    const { baseUrl, credential = null, maxConcurrent = null, remoteName = model.name, state = "on", weight = 1 } = input
    const id = uuidV7Unsafe()
    const row = {
      id,
      model_id: model.id,
      base_url: baseUrl,
      remote_name: remoteName,
      weight,
      state,
      credential_ref: credential === null ? null : JSON.stringify(credential),
      max_concurrent: maxConcurrent,
      version: 1
    }
    return Effect.as(sql`INSERT INTO replica ${sql.insert(row)}`, id)
  }

  #mergeSettings(settings: Model["settings"], patch: (typeof ModelPatch.Type)["settings"]): Effect.Effect<Model["settings"], Invalid> {
    if (patch === undefined) return Effect.succeed(settings)
    return Effect.mapError(
      decodeSettings(mergePatch(settings as Schema.JsonObject, patch)),
      ({ message }) => new Invalid({ field: "settings", detail: message })
    )
  }

  create(actor: Actor, input: typeof NewModel.Type, isForced = false): Effect.Effect<Model, ControlError> {
    const sql = this.#sql
    return change<Model>(sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const { aliases = [], enabled = true, formerNames = [], name, replicas = [], settings = {} } = input
        const id = uuidV7Unsafe()
        yield* sql`INSERT INTO model ${sql.insert({ id, enabled: fromBoolean(enabled), settings: JSON.stringify(settings), version: 1 })}`
        yield* this.#setNames(id, { name, aliases, formerNames }, now, isForced)
        yield* Effect.forEach(replicas, (replica) => this.#addReplica({ id, name }, replica), { discard: true })
        const after = yield* this.#find(id)
        return [after, { action: "create", entity: "model", id, after }] as const
      })
    )
  }

  /** Changes a model. A changed name stays as a former name. */
  update(actor: Actor, id: string, patch: typeof ModelPatch.Type, expected?: number, isForced = false): Effect.Effect<Model, ControlError> {
    const sql = this.#sql
    return change<Model>(sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#findLive(id)
        yield* checkVersion(expected, before.version)
        const { aliases, enabled, formerNames, name } = { ...before, ...patch }
        const settings = yield* this.#mergeSettings(before.settings, patch.settings)
        const former = name === before.name ? formerNames : [...formerNames, before.name]
        yield* this.#setNames(
          id,
          { name, aliases, formerNames: former.filter((one) => one !== name && !aliases.includes(one)) },
          now,
          isForced
        )
        yield* sql`UPDATE model SET ${sql.update({
          enabled: fromBoolean(enabled),
          settings: JSON.stringify(settings),
          version: before.version + 1
        })} WHERE id = ${id}`
        const after = yield* this.#find(id)
        return [after, { action: "update", entity: "model", id, before, after }] as const
      })
    )
  }

  /** Archives a model: callers cannot use it any more, its usage keeps its name. */
  archive(actor: Actor, id: string, isForced = false): Effect.Effect<Model, ControlError> {
    const sql = this.#sql
    return change<Model>(sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#find(id)
        if (before.archivedAt !== null) return [before, undefined] as const
        const [granted] = yield* sql<{ keys: bigint; teams: bigint }>`SELECT
          (SELECT COUNT(*) FROM key_model g JOIN key k ON k.id = g.key_id WHERE g.model_id = ${id} AND k.archived_at IS NULL) AS keys,
          (SELECT COUNT(*) FROM team_model g JOIN team t ON t.id = g.team_id WHERE g.model_id = ${id} AND t.archived_at IS NULL) AS teams`
        const dependents = { keys: toNumber(granted?.keys ?? 0n), teams: toNumber(granted?.teams ?? 0n) }
        if (dependents.keys + dependents.teams > 0 && !isForced) {
          const detail = `The model is granted to ${dependents.keys} keys and ${dependents.teams} teams. Use force to archive it nevertheless.`
          return yield* new InUse({ detail, dependents })
        }
        yield* sql`UPDATE model SET archived_at = ${now}, version = version + 1 WHERE id = ${id}`
        const after = yield* this.#find(id)
        // The name itself stays for the usage, but another model may have it later.
        yield* sql`UPDATE model_name SET freed_at = ${now} WHERE model_id = ${id} AND freed_at IS NULL`
        return [after, { action: "archive", entity: "model", id, before, after }] as const
      })
    )
  }

  #findReplica(id: string): Effect.Effect<Replica, NotFound | SqlError> {
    const sql = this.#sql
    return Effect.flatMap(sql<ReplicaRow>`SELECT * FROM replica WHERE id = ${id}`, ([row]) =>
      row === undefined ? Effect.fail(NotFound.of("replica", id)) : Effect.succeed(toReplica(row))
    )
  }

  getReplica(id: string): Effect.Effect<Replica, NotFound | Unavailable> {
    return orUnavailable(this.#findReplica(id))
  }

  addReplica(actor: Actor, modelId: string, input: typeof NewReplica.Type): Effect.Effect<Replica, ControlError> {
    return change<Replica>(this.#sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const model = yield* this.#findLive(modelId)
        const id = yield* this.#addReplica(model, input)
        const after = yield* this.#findReplica(id)
        return [after, { action: "create", entity: "replica", id, after }] as const
      })
    )
  }

  /** Changes a replica. One whose URL changes must name its credential again, or its key would be sent to another server. */
  updateReplica(actor: Actor, id: string, patch: typeof ReplicaPatch.Type, expected?: number): Effect.Effect<Replica, ControlError> {
    const sql = this.#sql
    return change<Replica>(sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#findReplica(id)
        yield* checkVersion(expected, before.version)
        const next = { ...before, ...patch }
        if (next.baseUrl !== before.baseUrl && before.credential !== null && patch.credential === undefined) {
          return yield* new Invalid({ field: "credential", detail: "The URL changes, so the credential must be named again (or be null)." })
        }
        yield* sql`UPDATE replica SET ${sql.update({
          base_url: next.baseUrl,
          remote_name: next.remoteName,
          weight: next.weight,
          state: next.state,
          credential_ref: next.credential === null ? null : JSON.stringify(next.credential),
          max_concurrent: next.maxConcurrent,
          version: before.version + 1
        })} WHERE id = ${id}`
        const after = yield* this.#findReplica(id)
        return [after, { action: "update", entity: "replica", id, before, after }] as const
      })
    )
  }

  removeReplica(actor: Actor, id: string): Effect.Effect<Replica, ControlError> {
    const sql = this.#sql
    return change<Replica>(sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#findReplica(id)
        yield* sql`DELETE FROM replica WHERE id = ${id}`
        return [before, { action: "delete", entity: "replica", id, before }] as const
      })
    )
  }
}
