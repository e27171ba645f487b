/**
 * The names and the ids of models. Grants and limits refer to ids, people to names. The id of a model of the configuration file is its name.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Invalid } from "./ControlError.ts"

/** The models of the configuration file: every name and alias, with the name of the model. */
export type FileModels = ReadonlyMap<string, string>

export class ModelNames {
  readonly #sql: SqlClient.SqlClient
  /** Changes with a reload. */
  file: FileModels

  constructor(sql: SqlClient.SqlClient, file: FileModels) {
    this.#sql = sql
    this.file = file
  }

  /** The ids of models that a request names, each once. */
  idsOf(names: ReadonlyArray<string>, field = "models"): Effect.Effect<ReadonlyArray<string>, Invalid | SqlError> {
    return Effect.map(
      Effect.forEach(new Set(names), (name) => this.idOf(name, field)),
      (ids) => [...new Set(ids)].toSorted()
    )
  }

  idOf(name: string, field = "modelId"): Effect.Effect<string, Invalid | SqlError> {
    const owner = this.file.get(name)
    if (owner !== undefined) return Effect.succeed(owner)
    const sql = this.#sql
    return Effect.flatMap(
      sql<{ id: string }>`SELECT m.id FROM model m LEFT JOIN model_name n ON n.model_id = m.id AND n.freed_at IS NULL
        WHERE m.archived_at IS NULL AND (n.name = ${name} OR m.id = ${name}) LIMIT 1`,
      ([row]) =>
        row === undefined ? Effect.fail(new Invalid({ field, detail: `"${name.slice(0, 100)}" is not a model.` })) : Effect.succeed(row.id)
    )
  }

  /** The names of ids. A model that is gone keeps its id. */
  namesOf(ids: ReadonlyArray<string>): Effect.Effect<ReadonlyMap<string, string>, SqlError> {
    const names = new Map(ids.map((id) => [id, id]))
    if (ids.length === 0) return Effect.succeed(names)
    const sql = this.#sql
    return Effect.map(
      sql<{ model_id: string; name: string }>`SELECT model_id, name FROM model_name WHERE kind = 'name' AND ${sql.in("model_id", ids)}`,
      (rows) => {
        for (const { model_id, name } of rows) names.set(model_id, name)
        return names
      }
    )
  }

  /** The granted models of owners (keys or teams), by name. */
  grantsOf(kind: "key" | "team", owners: ReadonlyArray<string>): Effect.Effect<ReadonlyMap<string, ReadonlyArray<string>>, SqlError> {
    if (owners.length === 0) return Effect.succeed(new Map())
    const sql = this.#sql
    const column = sql(`${kind}_id`)
    return Effect.gen({ self: this }, function* () {
      const rows = yield* sql<{ owner: string; model_id: string }>`SELECT ${column} AS owner, model_id FROM ${sql(`${kind}_model`)}
        WHERE ${sql.in(`${kind}_id`, owners)} ORDER BY model_id`
      const names = yield* this.namesOf([...new Set(rows.map(({ model_id }) => model_id))])
      const grants = new Map<string, Array<string>>()
      for (const { model_id, owner } of rows) {
        const granted = grants.get(owner) ?? []
        granted.push(names.get(model_id) ?? model_id)
        grants.set(owner, granted)
      }
      return grants
    })
  }

  /** Replaces the grants of an owner. */
  grant(kind: "key" | "team", owner: string, ids: ReadonlyArray<string>): Effect.Effect<void, SqlError> {
    const sql = this.#sql
    const table = sql(`${kind}_model`)
    const remove = sql`DELETE FROM ${table} WHERE ${sql(`${kind}_id`)} = ${owner}`
    const rows = ids.map((model_id): Readonly<Record<string, string>> => ({ [`${kind}_id`]: owner, model_id }))
    return Arr.isReadonlyArrayNonEmpty(rows) ? Effect.andThen(remove, sql`INSERT INTO ${table} ${sql.insert(rows)}`) : Effect.asVoid(remove)
  }
}
