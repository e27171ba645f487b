import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { sha256 } from "../src/Authentication.ts"
import * as Sql from "../src/control/Sql.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as RedisServer from "./RedisServer.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 60_000 })

const good = (exchange: Upstream.Exchange) =>
  exchange.answer(
    200,
    JSON.stringify({
      id: "chatcmpl-1",
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30, prompt_tokens_details: { cached_tokens: 4 } }
    })
  )

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "paradigm-usage-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const start = Effect.fnUntraced(function* (path: string, upstream: string, usage: object = {}, settings: Gateway.Settings = {}) {
  return yield* Gateway.start(upstream, {
    keys: {
      all: { sha256: sha256(Gateway.key), endUserHeader: true, limits: [{ kind: "budget_per_month", amount: 1_000_000 }] },
      second: { sha256: sha256(Gateway.limitedKey) }
    },
    model: { price: { input: 1_000_000, cached: 500_000, output: 2_000_000 } },
    usage: { database: join(path, "usage.db"), spool: join(path, "spool"), ...usage },
    ...settings
  })
})

type Row = Readonly<Record<string, unknown>>
const rows = (path: string) =>
  Effect.provide(
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql<Row>`SELECT * FROM usage_event ORDER BY id`),
    Sql.layer(join(path, "usage.db"))
  )

const eventually = async (condition: () => Promise<boolean> | boolean) => {
  const deadline = performance.now() + 10_000
  while (!(await condition()) && performance.now() < deadline) await sleep(20)
  assert.isTrue(await condition())
}

interface Own {
  readonly key: string
  readonly month: { readonly models: ReadonlyArray<Readonly<Record<string, unknown>>> } | null
  readonly limits: ReadonlyArray<{ readonly used: number; readonly amount: number; readonly remaining: number }>
}
const ownOf = (gateway: Pick<Gateway.GatewayUnderTest, "origin">, key = Gateway.key, path = "/v1/usage") =>
  Effect.map(Gateway.ask(gateway, { method: "GET", path, body: "", headers: { authorization: `Bearer ${key}` } }), ({ status, text }) => {
    assert.strictEqual(status, 200, text)
    return JSON.parse(text) as Own
  })

describe("the usage of a request", () => {
  it.live("is a row with its tokens, its cost, its ids, and the end user of a key that may name one", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start(good)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const gateway = yield* start(path, upstream.origin)
          const named = { "x-end-user-id": "alice", "x-request-id": "mine" }
          yield* Gateway.ask(gateway, { headers: named })
          // Report 48: another key cannot name one.
          yield* Gateway.ask(gateway, { headers: { ...named, authorization: `Bearer ${Gateway.limitedKey}` } })
        })
      )
      const [first, second] = yield* rows(path)
      assert.deepInclude(first, {
        key_id: "all",
        team_id: "",
        model_id: "alfred",
        replica_id: upstream.origin,
        end_user: "alice",
        client_id: "mine",
        status: 200n,
        outcome: "ok",
        attempts: 1n,
        prompt: 10n,
        cached: 4n,
        completion: 20n,
        usage_source: "reported",
        // 6 tokens of a millionth, 4 of a half, 20 of two: in pico-units.
        cost_pico: 48_000_000n
      })
      assert.strictEqual(first?.["upstream_id"], upstream.exchanges[0]?.headers["x-request-id"])
      assert.notInclude(upstream.exchanges[0]?.body ?? "", "alice")
      assert.deepInclude(second, { key_id: "second", end_user: "" })
    })
  )

  // Report 20.
  it.live("is a row of its own, whatever ids the client and the model server repeat", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start(good)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const gateway = yield* start(path, upstream.origin)
          for (let i = 0; i < 5; i++) yield* Gateway.ask(gateway, { headers: { "x-request-id": "same" } })
        })
      )
      assert.lengthOf(yield* rows(path), 5)
    })
  )

  it.live("is not there for a request without a known key or model, and has no tokens for a refused one", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start((exchange) => exchange.answer(400, '{"error":{"message":"no"}}'))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const gateway = yield* start(path, upstream.origin)
          yield* Gateway.ask(gateway, { headers: { authorization: "Bearer unknown" } })
          yield* Gateway.ask(gateway, { body: Gateway.chat({ model: "unknown" }) })
          yield* Gateway.ask(gateway)
        })
      )
      const [only, ...others] = yield* rows(path)
      assert.lengthOf(others, 0)
      assert.deepInclude(only, { outcome: "refused", status: 400n, prompt: 0n, completion: 0n, usage_source: "none", cost_pico: 0n })
    })
  )

  // Report 17: a gateway that is killed after the commit, and before it has forgotten what it wrote.
  it.live("is written once, also if the spool has it again", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const spool = join(path, "spool")
      const upstream = yield* Upstream.start(good)
      const copies = new Map<string, Buffer>()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const gateway = yield* start(path, upstream.origin)
          for (let i = 0; i < 3; i++) yield* Gateway.ask(gateway)
          for (const name of readdirSync(spool)) if (name.endsWith(".jsonl")) copies.set(name, readFileSync(join(spool, name)))
        })
      )
      assert.lengthOf(yield* rows(path), 3)
      assert.isAbove(copies.size, 0)
      for (const [name, bytes] of copies) writeFileSync(join(spool, name), bytes)
      yield* Effect.scoped(start(path, upstream.origin))
      assert.deepEqual(readdirSync(spool), [])
      assert.lengthOf(yield* rows(path), 3)
    })
  )

  it.live("refuses requests when the spool is full, if its policy says so", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start(good)
      const gateway = yield* start(path, upstream.origin, {
        database: "postgres://127.0.0.1:1/none",
        maxSpoolBytes: 10,
        whenFull: "closed"
      })
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      const refused = yield* Gateway.ask(gateway)
      assert.match(Gateway.errorOf(refused, 503, "service_unavailable").detail, /cannot record usage/)
    })
  )

  // Report 32, for the ledger: no request fails because the database is away.
  it.live("costs no request when the database is away, and lost events are counted when the spool is full", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start(good)
      const gateway = yield* start(path, upstream.origin, { database: "postgres://127.0.0.1:1/none", maxSpoolBytes: 10 })
      for (let i = 0; i < 4; i++) assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      const metrics = yield* Effect.promise(() => fetch(`${gateway.operatorUrl}/metrics`).then((response) => response.text()))
      assert.match(metrics, /paradigm_gateway_usage_lost_total\{reason="spool full"\} 3/)
      assert.isNull((yield* ownOf(gateway)).month)
    })
  )
})

describe("GET usage", () => {
  // Report 48.
  it.live("tells the holder of a key its own use and limits, at every prefix, and nothing of others", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start(good)
      const gateway = yield* start(path, upstream.origin)
      for (let i = 0; i < 3; i++) yield* Gateway.ask(gateway)
      yield* Effect.promise(() => eventually(async () => (await Effect.runPromise(ownOf(gateway))).month?.models[0]?.["requests"] === 3))
      for (const prefix of ["/v1", "/api/v3", "/api/v2"]) {
        const { key, limits, month } = yield* ownOf(gateway, Gateway.key, `${prefix}/usage`)
        assert.strictEqual(key, "all")
        const model = { model: "alfred", requests: 3, prompt_tokens: 30, cached_tokens: 12, completion_tokens: 60, cost: "0.000144" }
        assert.deepEqual(month?.models, [model])
        assert.deepInclude(limits[0], { amount: 1_000_000, used: 144, remaining: 999_856 })
      }
      assert.deepInclude(yield* ownOf(gateway, Gateway.limitedKey), { key: "second", limits: [] })
      assert.deepEqual((yield* ownOf(gateway, Gateway.limitedKey)).month?.models, [])
      assert.strictEqual(
        (yield* Gateway.ask(gateway, { method: "GET", path: "/v1/usage", body: "", headers: { authorization: "Bearer x" } })).status,
        401
      )
    })
  )

  // Report 29.
  it.live("keeps the use of a key that is removed, under its name and team", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start(good)
      const withTeam = { keys: { gone: { sha256: sha256(Gateway.key), team: "red" } }, teams: { red: {} } }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const gateway = yield* start(path, upstream.origin, {}, withTeam)
          yield* Gateway.ask(gateway)
          yield* gateway.reload(yield* Gateway.configure([upstream.origin], { keys: { new: { sha256: sha256("pk-new") } } }))
          assert.strictEqual((yield* Gateway.ask(gateway)).status, 401)
        })
      )
      const [row] = yield* rows(path)
      assert.deepInclude(row, { key_id: "gone", team_id: "red", prompt: 10n })
    })
  )

  // Report 10.
  it.live.skipIf(!RedisServer.isInstalled)(
    "counts to the budget what was used before Redis lost everything and the gateway started again",
    () =>
      Effect.gen(function* () {
        const path = yield* folder
        const redis = yield* RedisServer.start
        const upstream = yield* Upstream.start(good)
        const limits = [{ kind: "tokens_per_month", amount: 100 }]
        const settings = { keys: { all: { sha256: sha256(Gateway.key), limits } }, redis: { url: redis.url } }
        const body = Gateway.chat({ max_tokens: 5 })
        const isUp = (gateway: Gateway.GatewayUnderTest) => async () =>
          (await fetch(`${gateway.operatorUrl}/health/ready`).then((response) => response.text())) === '{"status":"ok"}'
        for (const expected of [
          [200, 200, 200],
          [429, 429]
        ]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const gateway = yield* start(path, upstream.origin, {}, settings)
              yield* Effect.promise(() => eventually(isUp(gateway)))
              for (const status of expected) assert.strictEqual((yield* Gateway.ask(gateway, { body })).status, status)
            })
          )
          yield* Effect.promise(() => redis.run("FLUSHALL"))
        }
      })
  )

  // Must 3: the truth of a budget is in the database.
  it.live("shows what was used before the gateway started again, which counts to the budget", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const upstream = yield* Upstream.start(good)
      const limits = [{ kind: "tokens_per_month", amount: 100 }]
      const settings = { keys: { all: { sha256: sha256(Gateway.key), limits } } }
      const body = Gateway.chat({ max_tokens: 5 })
      for (const expected of [200, 200, 200, 429]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const gateway = yield* start(path, upstream.origin, {}, settings)
            assert.strictEqual((yield* Gateway.ask(gateway, { body })).status, expected)
          })
        )
      }
    })
  )
})
