import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ControlStore } from "../src/control/ControlStore.ts"
import { migrate } from "../src/control/Migrations.ts"
import * as Sql from "../src/control/Sql.ts"
import { databases } from "./Databases.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const actor = { id: "a1", name: "root", via: "api" }
const completion = JSON.stringify({
  object: "chat.completion",
  choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "hi" } }],
  usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 }
})

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "stored-limits-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const eventually = (what: string, isSo: Effect.Effect<boolean, unknown>) =>
  Effect.gen(function* () {
    const began = performance.now()
    while (!(yield* isSo)) {
      if (performance.now() - began > 20_000) return yield* Effect.fail(new Error(`not within 20 seconds: ${what}`))
      yield* Effect.sleep(25)
    }
  })

describe.each(databases)("limits and prices in $name", (database) => {
  it.live("bind a key of the database, its team and a model, and change while the gateway runs", () =>
    Effect.gen(function* () {
      const target = yield* Effect.promise(() => database.target())
      const path = yield* folder
      const upstream = yield* Upstream.start((exchange) => exchange.answer(200, completion))
      yield* Effect.gen(function* () {
        yield* migrate()
        const sql = yield* SqlClient.SqlClient
        const store = yield* ControlStore.make()
        const model = yield* store.models.create(actor, {
          name: "alfred",
          settings: { health: { path: null } },
          replicas: [{ baseUrl: `${upstream.origin}/v1`, remoteName: "org/alfred" }]
        })
        const team = yield* store.teams.create(actor, { name: "red" })
        const { key, secret } = yield* store.keys.create(actor, { name: "one", teamId: team.id })
        yield* store.limits.setPrice(actor, { modelId: "alfred", validFrom: 0, input: 1_000_000, cached: 1_000_000, output: 2_000_000 })
        const gateway = yield* Gateway.startWith(
          [upstream.origin],
          { models: {}, keys: {}, usage: { spool: join(path, "spool") } },
          { sql: Sql.layer(target), stateFile: join(path, "state") }
        )
        const headers = { authorization: `Bearer ${secret ?? ""}` }
        const own = Effect.map(
          Gateway.ask(gateway, { method: "GET", path: "/v1/usage", body: "", headers }),
          ({ text }) =>
            JSON.parse(text) as { limits: ReadonlyArray<{ scope: string; used: number }>; month: { models: ReadonlyArray<object> } | null }
        )
        const ask = (secret: string | null) =>
          Effect.map(Gateway.ask(gateway, { headers: { authorization: `Bearer ${secret ?? ""}` } }), ({ status }) => status)
        const status = ask(secret)
        const hasLimits = (count: number) =>
          eventually(
            `${count} limits`,
            Effect.map(own, ({ limits }) => limits.length === count)
          )
        assert.strictEqual(yield* status, 200)
        const limit = yield* store.limits.create(actor, { scope: "team", scopeId: team.id, kind: "requests_per_minute", amount: 1 })
        yield* store.limits.create(actor, { scope: "key", scopeId: key.id, modelId: "alfred", kind: "budget_per_month", amount: 1_000_000 })
        yield* hasLimits(2)
        assert.strictEqual(yield* status, 200)
        assert.strictEqual(yield* status, 429)
        // Report 27: a new secret of the key has the same limits.
        const rotated = yield* store.keys.rotate(actor, key.id, 60_000)
        yield* eventually(
          "the new secret is known",
          Effect.map(ask(rotated.secret), (status) => status === 429)
        )
        assert.strictEqual(yield* status, 429)
        yield* store.limits.remove(actor, limit.id)
        yield* store.limits.create(actor, { scope: "model", scopeId: "alfred", kind: "tokens_per_day", amount: 0 })
        yield* hasLimits(1)
        assert.strictEqual(yield* status, 429)
        // The counter began before the first request was in the ledger, from which it is refreshed.
        yield* eventually(
          "the counter has both requests, of 10 + 40 micro-units",
          Effect.map(own, ({ limits, month }) => month !== null && limits[0]?.used === 100)
        )
        const { limits, month } = yield* own
        assert.deepInclude(limits[0], { scope: "key", used: 100 })
        assert.deepInclude(month?.models[0], { model: model.id, cost: "0.0001" })
        const rows = yield* sql<Readonly<Record<string, unknown>>>`SELECT key_id, team_id, model_id, outcome FROM usage_event ORDER BY id`
        assert.deepInclude(rows[0], { key_id: key.id, team_id: team.id, model_id: model.id, outcome: "ok" })
      }).pipe(Effect.provide(Sql.layer(target)))
    })
  )
})
