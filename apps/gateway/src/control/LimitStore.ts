/**
 * Limits and prices.
 */
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { type Actor, change, checkVersion, orUnavailable } from "./Changes.ts"
import { type ControlError, Invalid, NotFound, type Unavailable } from "./ControlError.ts"
import type { Limit, LimitPatch, NewLimit, Price } from "./Entity.ts"
import type { ModelNames } from "./ModelNames.ts"
import { type Page, type PageRequest, readPage, toNumber } from "./Rows.ts"

interface LimitRow {
  readonly id: string
  readonly scope: Limit["scope"]
  readonly scope_id: string
  readonly model_id: string
  readonly kind: Limit["kind"]
  readonly amount: bigint
  readonly mode: Limit["mode"]
  readonly version: bigint
}

interface PriceRow {
  readonly model_id: string
  readonly valid_from: bigint
  readonly input: bigint
  readonly cached: bigint
  readonly output: bigint
}

const toLimit = ({ amount, model_id, scope_id, version, ...row }: LimitRow): Limit => ({
  ...row,
  scopeId: scope_id,
  modelId: model_id,
  amount: toNumber(amount),
  version: toNumber(version)
})

const toPrice = (row: PriceRow): Price => ({
  modelId: row.model_id,
  validFrom: toNumber(row.valid_from),
  input: toNumber(row.input),
  cached: toNumber(row.cached),
  output: toNumber(row.output)
})

/** A list of limits may be that of one key, team or model. */
export interface LimitPageRequest extends PageRequest {
  readonly scopeId?: string | undefined
}

export class LimitStore {
  readonly #sql: SqlClient.SqlClient
  readonly #names: ModelNames

  constructor(sql: SqlClient.SqlClient, names: ModelNames) {
    this.#sql = sql
    this.#names = names
  }

  // The limits that a team's administrator may see: those of the team and of its keys.
  #within(team: string | undefined) {
    const sql = this.#sql
    return team === undefined
      ? sql`1 = 1`
      : sql.or([
          sql`(scope = 'team' AND scope_id = ${team})`,
          sql`(scope = 'key' AND scope_id IN (SELECT id FROM key WHERE team_id = ${team}))`
        ])
  }

  #find(id: string, within?: string): Effect.Effect<Limit, NotFound | SqlError> {
    const sql = this.#sql
    return Effect.flatMap(sql<LimitRow>`SELECT * FROM limit_rule WHERE id = ${id} AND ${this.#within(within)}`, ([row]) =>
      row === undefined ? Effect.fail(NotFound.of("limit", id)) : Effect.succeed(toLimit(row))
    )
  }

  get(id: string, within?: string): Effect.Effect<Limit, NotFound | Unavailable> {
    return orUnavailable(this.#find(id, within))
  }

  list(request: LimitPageRequest = {}, within?: string): Effect.Effect<Page<Limit>, Unavailable> {
    const sql = this.#sql
    const where = [this.#within(within), ...(request.scopeId === undefined ? [] : [sql`scope_id = ${request.scopeId}`])]
    return readPage<LimitRow, Limit>(sql, request, { table: "limit_rule", columns: "*", where }, (rows) =>
      Effect.succeed(rows.map(toLimit))
    )
  }

  // The id of the object that a limit is of.
  #scopeIdOf({ scope, scopeId }: typeof NewLimit.Type): Effect.Effect<string, Invalid | SqlError> {
    if (scope === "model") return this.#names.idOf(scopeId, "scopeId")
    const sql = this.#sql
    return Effect.flatMap(sql`SELECT 1 FROM ${sql(scope)} WHERE id = ${scopeId} AND archived_at IS NULL`, (rows) =>
      rows.length === 0 ? Effect.fail(new Invalid({ field: "scopeId", detail: `There is no such ${scope}.` })) : Effect.succeed(scopeId)
    )
  }

  create(actor: Actor, input: typeof NewLimit.Type): Effect.Effect<Limit, ControlError> {
    const sql = this.#sql
    return change<Limit>(sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const { amount, kind, mode = "enforce", modelId = "", scope } = input
        const scope_id = yield* this.#scopeIdOf(input)
        if (scope === "model" && modelId !== "") {
          return yield* new Invalid({ field: "modelId", detail: "A limit of a model is of its `scopeId`." })
        }
        const model_id = modelId === "" ? "" : yield* this.#names.idOf(modelId)
        const id = uuidV7Unsafe()
        yield* sql`INSERT INTO limit_rule ${sql.insert({ id, scope, scope_id, model_id, kind, amount, mode, version: 1 })}`
        const after = yield* this.#find(id)
        return [after, { action: "create", entity: "limit", id, after }] as const
      })
    )
  }

  update(actor: Actor, id: string, patch: typeof LimitPatch.Type, expected?: number): Effect.Effect<Limit, ControlError> {
    const sql = this.#sql
    return change<Limit>(sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#find(id)
        yield* checkVersion(expected, before.version)
        const { amount, mode } = { ...before, ...patch }
        yield* sql`UPDATE limit_rule SET ${sql.update({ amount, mode, version: before.version + 1 })} WHERE id = ${id}`
        const after = yield* this.#find(id)
        return [after, { action: "update", entity: "limit", id, before, after }] as const
      })
    )
  }

  remove(actor: Actor, id: string): Effect.Effect<Limit, ControlError> {
    const sql = this.#sql
    return change<Limit>(sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#find(id)
        yield* sql`DELETE FROM limit_rule WHERE id = ${id}`
        return [before, { action: "delete", entity: "limit", id, before }] as const
      })
    )
  }

  /** The prices of a model, the newest first; of all models without one. */
  prices(modelId?: string): Effect.Effect<ReadonlyArray<Price>, Invalid | Unavailable> {
    const sql = this.#sql
    const rows =
      modelId === undefined
        ? sql<PriceRow>`SELECT * FROM price ORDER BY model_id, valid_from DESC`
        : Effect.flatMap(
            this.#names.idOf(modelId),
            (id) => sql<PriceRow>`SELECT * FROM price WHERE model_id = ${id} ORDER BY valid_from DESC`
          )
    return orUnavailable(Effect.map(rows, (all) => all.map(toPrice)))
  }

  /** Sets the price of a model from a time on. A price of the past cannot change: usage was charged with it. */
  setPrice(actor: Actor, price: Price): Effect.Effect<Price, ControlError> {
    const sql = this.#sql
    return change<Price>(sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const modelId = yield* this.#names.idOf(price.modelId)
        const { cached, input, output, validFrom } = price
        const taken = yield* sql<PriceRow>`SELECT * FROM price WHERE model_id = ${modelId} AND valid_from = ${validFrom}`
        if (taken.length > 0 && validFrom <= now) {
          return yield* new Invalid({
            field: "validFrom",
            detail: "A price that was valid already cannot change. Set one from a later time on."
          })
        }
        yield* sql`DELETE FROM price WHERE model_id = ${modelId} AND valid_from = ${validFrom}`
        yield* sql`INSERT INTO price ${sql.insert({ model_id: modelId, valid_from: validFrom, input, cached, output })}`
        const after = { ...price, modelId }
        return [after, { action: "create", entity: "price", id: modelId, after }] as const
      })
    )
  }
}
