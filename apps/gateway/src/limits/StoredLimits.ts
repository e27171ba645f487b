/**
 * The limits and prices of the database.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { kinds } from "./LimitRule.ts"

/** All limits and prices. */
export const StoredLimits = Schema.Struct({
  rules: Schema.Array(
    Schema.Struct({
      scope: Schema.Literals(["key", "team", "model"]),
      scopeId: Schema.String,
      modelId: Schema.UndefinedOr(Schema.String),
      kind: Schema.Literals(kinds),
      amount: Schema.Int,
      mode: Schema.Literals(["enforce", "report"])
    })
  ),
  prices: Schema.Array(
    Schema.Struct({ modelId: Schema.String, validFrom: Schema.Int, input: Schema.Int, cached: Schema.Int, output: Schema.Int })
  )
})
export type StoredLimits = typeof StoredLimits.Type

type Rule = StoredLimits["rules"][number]

/** Reads all of them: they are few, and change seldom. */
export const readLimits = (sql: SqlClient.SqlClient): Effect.Effect<StoredLimits, SqlError> =>
  Effect.gen(function* () {
    const rules = yield* sql<{
      readonly scope: Rule["scope"]
      readonly scope_id: string
      readonly model_id: string
      readonly kind: Rule["kind"]
      readonly amount: bigint
      readonly mode: Rule["mode"]
    }>`SELECT scope, scope_id, model_id, kind, amount, mode FROM limit_rule ORDER BY id`
    const prices = yield* sql<{
      readonly model_id: string
      readonly valid_from: bigint
      readonly input: bigint
      readonly cached: bigint
      readonly output: bigint
    }>`SELECT model_id, valid_from, input, cached, output FROM price ORDER BY model_id, valid_from`
    return {
      rules: rules.map(({ amount, kind, mode, model_id, scope, scope_id }) => ({
        scope,
        scopeId: scope_id,
        modelId: model_id === "" ? undefined : model_id,
        kind,
        amount: Number(amount),
        mode
      })),
      prices: prices.map(({ cached, input, model_id, output, valid_from }) => ({
        modelId: model_id,
        validFrom: Number(valid_from),
        input: Number(input),
        cached: Number(cached),
        output: Number(output)
      }))
    }
  })
