/** The ledger of usage, and its sums by hour and by calendar period. */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

const statements: ReadonlyArray<string> = [
  // Rows are never updated, and refer to nothing: the history of a key outlives it.
  `CREATE TABLE usage_event (
    id TEXT NOT NULL, ended_at BIGINT NOT NULL, started_at BIGINT NOT NULL, key_id TEXT NOT NULL, team_id TEXT NOT NULL, model_id TEXT NOT NULL,
    replica_id TEXT NOT NULL, gateway_id TEXT NOT NULL, end_user TEXT NOT NULL, client_id TEXT NOT NULL, upstream_id TEXT NOT NULL,
    status BIGINT NOT NULL, outcome TEXT NOT NULL, attempts BIGINT NOT NULL, prompt BIGINT NOT NULL, cached BIGINT NOT NULL,
    completion BIGINT NOT NULL, reasoning BIGINT NOT NULL,
    usage_source TEXT NOT NULL CHECK (usage_source IN ('reported', 'counted', 'none')), cost_pico BIGINT NOT NULL, PRIMARY KEY (ended_at, id)
  )`,
  "CREATE INDEX usage_event_key ON usage_event (key_id, ended_at)",
  "CREATE INDEX usage_event_team ON usage_event (team_id, ended_at)",
  `CREATE TABLE usage_hour (
    hour BIGINT NOT NULL, key_id TEXT NOT NULL, team_id TEXT NOT NULL, model_id TEXT NOT NULL, outcome TEXT NOT NULL, requests BIGINT NOT NULL,
    prompt BIGINT NOT NULL, cached BIGINT NOT NULL, completion BIGINT NOT NULL, cost_pico BIGINT NOT NULL,
    PRIMARY KEY (hour, key_id, team_id, model_id, outcome)
  )`,
  "CREATE INDEX usage_hour_key ON usage_hour (key_id, hour)",
  // The first day of a month begins when the month does: `period` tells them apart.
  `CREATE TABLE budget_used (
    scope TEXT NOT NULL, scope_id TEXT NOT NULL, model_id TEXT NOT NULL, period TEXT NOT NULL CHECK (period IN ('day', 'month')),
    period_start BIGINT NOT NULL, tokens BIGINT NOT NULL, cost_pico BIGINT NOT NULL, PRIMARY KEY (scope, scope_id, model_id, period, period_start)
  )`,
  "CREATE INDEX budget_used_start ON budget_used (period_start)"
]

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
})
