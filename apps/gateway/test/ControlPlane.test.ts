import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sha256 } from "../src/Authentication.ts"
import type { Actor } from "../src/control/Changes.ts"
import { ControlStore } from "../src/control/ControlStore.ts"
import { migrate } from "../src/control/Migrations.ts"
import * as Sql from "../src/control/Sql.ts"
import { databases, type Database } from "./Databases.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"
import { TcpProxy } from "./TcpProxy.ts"

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const actor: Actor = { id: "a1", name: "root", via: "api" }
const event = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
const answer = '{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}]}'

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "control-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** Asks until the answer is as wanted. Returns the milliseconds that it took. */
const until = (what: string, isSo: Effect.Effect<boolean, unknown>): Effect.Effect<number, unknown> =>
  Effect.gen(function* () {
    const began = performance.now()
    while (!(yield* isSo)) {
      if (performance.now() - began > 10_000) return yield* Effect.fail(new Error(`not within 10 seconds: ${what}`))
      yield* Effect.sleep(25)
    }
    return performance.now() - began
  })

interface Setting {
  readonly store: ControlStore
  readonly sql: SqlClient.SqlClient
  readonly upstream: Upstream.ScriptedUpstream
  readonly gateways: readonly [Gateway.GatewayUnderTest, Gateway.GatewayUnderTest]
  readonly stateFile: string
}

// A database, and two gateways on it in front of one model server, whose streams do not end.
const onTwoGateways = (database: Database, run: (setting: Setting) => Effect.Effect<void, unknown, Scope.Scope>) =>
  Effect.gen(function* () {
    const target = yield* Effect.promise(() => database.target())
    const path = yield* folder
    const upstream = yield* Upstream.start((exchange) => {
      if (!exchange.body.includes('"stream":true')) return exchange.answer(200, answer)
      exchange.head()
      exchange.chunk(event)
    })
    yield* Effect.gen(function* () {
      yield* migrate()
      const sql = yield* SqlClient.SqlClient
      const start = (name: string) =>
        Gateway.startWith([upstream.origin], { models: {}, keys: {} }, { sql: Sql.layer(target), stateFile: join(path, name) })
      const store = yield* ControlStore.make()
      yield* run({ store, sql, upstream, gateways: [yield* start("a"), yield* start("b")], stateFile: join(path, "b") })
    }).pipe(Effect.provide(Sql.layer(target)))
  }).pipe(Effect.scoped)

const bearer = (secret: string | null) => ({ authorization: `Bearer ${secret ?? ""}` })
const statusOf = (gateway: Gateway.GatewayUnderTest, secret: string | null, model = "alfred") =>
  Effect.map(Gateway.ask(gateway, { headers: bearer(secret), body: Gateway.chat({ model }) }), ({ status }) => status)

const addModel = (store: ControlStore, origin: string, name = "alfred") =>
  store.models.create(actor, {
    name,
    settings: { health: { path: null } },
    replicas: [{ baseUrl: `${origin}/v1`, remoteName: "org/alfred" }]
  })

describe.each(databases)("gateways on one database in $name", (database) => {
  const test = (title: string, run: (setting: Setting) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.live(title, () => onTwoGateways(database, run))

  test("serve a model and a key that are added while they run, in both", ({ gateways, store, upstream }) =>
    Effect.gen(function* () {
      yield* addModel(store, upstream.origin)
      const { secret } = yield* store.keys.create(actor, { name: "one" })
      for (const gateway of gateways) {
        const took = yield* until(
          "status 200",
          Effect.map(statusOf(gateway, secret), (status) => status === 200)
        )
        assert.isBelow(took, 2000)
        const models = yield* Gateway.ask(gateway, { method: "GET", path: "/v1/models", body: "", headers: bearer(secret) })
        assert.deepStrictEqual(
          (JSON.parse(models.text) as { data: Array<{ id: string }> }).data.map(({ id }) => id),
          ["alfred"]
        )
        assert.strictEqual(yield* statusOf(gateway, "pdk_unknown"), 401)
      }
      assert.include(upstream.exchanges[0]?.body ?? "", '"model":"org/alfred"')
    }))

  test("end the streams of a key within two seconds, in band, whatever takes the key away", ({ gateways, store, upstream }) =>
    Effect.gen(function* () {
      yield* addModel(store, upstream.origin)
      const team = yield* store.teams.create(actor, { name: "team" })
      const ways: ReadonlyArray<readonly [string, (id: string) => Effect.Effect<unknown, unknown>]> = [
        ["revoked", (id) => store.keys.revoke(actor, id)],
        ["disabled", (id) => store.keys.update(actor, id, { enabled: false })],
        ["expired", (id) => store.keys.update(actor, id, { expiresAt: Date.now() })],
        ["archived", (id) => store.keys.archive(actor, id)],
        ["rotated without grace", (id) => store.keys.rotate(actor, id)],
        ["in a disabled team", () => store.teams.update(actor, team.id, { enabled: false })]
      ]
      const keys = yield* Effect.forEach(ways, ([name]) => store.keys.create(actor, { name, teamId: team.id }))
      const other = yield* store.keys.create(actor, { name: "other" })
      const [, gateway] = gateways
      yield* until(
        "the last key is known",
        Effect.map(statusOf(gateway, other.secret), (status) => status === 200)
      )
      const open = (secret: string | null) => Gateway.open(gateway, { headers: bearer(secret), body: Gateway.chat({ stream: true }) })
      const stays = yield* open(other.secret)
      for (const [i, [way, end]] of ways.entries()) {
        const response = yield* open(keys[i]?.secret ?? null)
        assert.strictEqual(response.statusCode, 200, way)
        const began = performance.now()
        yield* end(keys[i]?.key.id ?? "")
        const ended = yield* Gateway.read(response)
        assert.isBelow(performance.now() - began, 2000, way)
        assert.isTrue(ended.whole, way)
        assert.match(ended.text, /data: \{"error":\{"message":"The key is not valid any more[^]*data: \[DONE\]\n\n$/, way)
        assert.strictEqual(yield* statusOf(gateway, keys[i]?.secret ?? null), 401, way)
      }
      assert.isFalse(stays.complete)
      assert.strictEqual(yield* statusOf(gateway, other.secret), 200)
      assert.include(gateway.log.join("\n"), '"outcome":"revoked"')
    }))

  test("list for a key what it may ask for, and nothing else", ({ gateways: [gateway], store, upstream }) =>
    Effect.gen(function* () {
      const [a, b, c] = yield* Effect.forEach(["a", "b", "c"], (name) => addModel(store, upstream.origin, name))
      yield* store.models.update(actor, a?.id ?? "", { name: "renamed" })
      yield* store.models.update(actor, c?.id ?? "", { enabled: false })
      const team = yield* store.teams.create(actor, { name: "team", models: ["renamed", "c"] })
      const cases: ReadonlyArray<readonly [string, string | null, ReadonlyArray<string> | undefined, ReadonlyArray<string>]> = [
        ["all", null, undefined, ["a", "b", "renamed"]],
        ["one", null, ["b"], ["b"]],
        ["none", null, [], []],
        ["of the team", team.id, undefined, ["a", "renamed"]],
        ["of key and team", team.id, ["b", "a"], ["a", "renamed"]]
      ]
      const keys = yield* Effect.forEach(cases, ([name, teamId, models]) =>
        store.keys.create(actor, models === undefined ? { name, teamId } : { name, teamId, models })
      )
      yield* until(
        "the last key is known",
        Effect.map(statusOf(gateway, keys.at(-1)?.secret ?? null, "a"), (status) => status === 200)
      )
      for (const [i, [name, , , expected]] of cases.entries()) {
        const secret = keys[i]?.secret ?? null
        const listed = yield* Gateway.ask(gateway, { method: "GET", path: "/v1/models", body: "", headers: bearer(secret) })
        const ids = (JSON.parse(listed.text) as { data: Array<{ id: string }> }).data.map(({ id }) => id)
        assert.sameMembers(ids, [...expected], name)
        for (const model of ["a", "b", "c", "renamed", b?.id ?? ""]) {
          assert.strictEqual(yield* statusOf(gateway, secret, model), expected.includes(model) ? 200 : 404, `${name} asks for ${model}`)
        }
      }
    }))

  test("know each of many keys that are made at once", ({ gateways: [gateway], sql, store, upstream }) =>
    Effect.gen(function* () {
      yield* addModel(store, upstream.origin)
      const made = yield* sql.withTransaction(
        Effect.forEach(Array.from({ length: 1100 }), (_, i) => store.keys.create(actor, { name: `k${i}` }))
      )
      for (const at of [0, 499, 500, 999, 1000, 1099]) {
        yield* until(
          `key ${at}`,
          Effect.map(statusOf(gateway, made[at]?.secret ?? null), (status) => status === 200)
        )
      }
    }))

  test("drain a replica: its stream goes on, and it gets no new request", ({ gateways: [gateway], store, upstream }) =>
    Effect.gen(function* () {
      const { replicas } = yield* addModel(store, upstream.origin)
      const { secret } = yield* store.keys.create(actor, { name: "one" })
      yield* until(
        "status 200",
        Effect.map(statusOf(gateway, secret), (status) => status === 200)
      )
      const response = yield* Gateway.open(gateway, { headers: bearer(secret), body: Gateway.chat({ stream: true }) })
      yield* store.models.updateReplica(actor, replicas[0]?.id ?? "", { state: "draining" })
      yield* until(
        "status 503",
        Effect.map(statusOf(gateway, secret), (status) => status === 503)
      )
      const exchange = upstream.exchanges.find(({ body }) => body.includes('"stream":true'))
      exchange?.chunk("data: [DONE]\n\n")
      assert.include((yield* Gateway.read(response)).text, "data: [DONE]")
      yield* store.models.updateReplica(actor, replicas[0]?.id ?? "", { state: "on" })
      yield* until(
        "status 200",
        Effect.map(statusOf(gateway, secret), (status) => status === 200)
      )
      yield* store.models.removeReplica(actor, replicas[0]?.id ?? "")
      yield* until(
        "status 503",
        Effect.map(statusOf(gateway, secret), (status) => status === 503)
      )
    }))

  test("read everything again when the database is restored", ({ gateways: [gateway], sql, store, upstream }) =>
    Effect.gen(function* () {
      yield* addModel(store, upstream.origin)
      const [kept, lost] = [yield* store.keys.create(actor, { name: "kept" }), yield* store.keys.create(actor, { name: "lost" })]
      yield* until(
        "the last key is known",
        Effect.map(statusOf(gateway, lost.secret), (status) => status === 200)
      )
      yield* sql.withTransaction(Effect.andThen(sql`DELETE FROM key_secret WHERE key_id = ${lost.key.id}`, sql`UPDATE revision SET n = 2`))
      yield* until(
        "the lost key is refused",
        Effect.map(statusOf(gateway, lost.secret), (status) => status === 401)
      )
      assert.strictEqual(yield* statusOf(gateway, kept.secret), 200)
    }))

  test("keep their state in a file that only its owner reads and that has no secret", ({ gateways, stateFile, store, upstream }) =>
    Effect.gen(function* () {
      yield* addModel(store, upstream.origin)
      const { key, secret } = yield* store.keys.create(actor, { name: "one" })
      yield* until(
        "status 200",
        Effect.map(statusOf(gateways[1], secret), (status) => status === 200)
      )
      yield* until(
        "the file has the key",
        Effect.sync(() => readFileSync(stateFile, "utf8").includes(key.id))
      )
      assert.strictEqual(statSync(stateFile).mode & 0o777, 0o600)
      assert.notInclude(readFileSync(stateFile, "utf8"), secret ?? "")
    }))
})

describe.runIf(databases.length > 1)("a gateway whose PostgreSQL is away", () => {
  const [, database] = databases

  // A gateway that reaches its database through a proxy, and what a test needs to change the database without it.
  const setting = Effect.gen(function* () {
    const target = new URL(yield* Effect.promise(() => database?.target() ?? Promise.reject(new Error("no PostgreSQL"))))
    const direct = Sql.layer(target.href)
    const proxy = yield* TcpProxy.start(Number(target.port))
    target.port = String(proxy.port)
    const stateFile = join(yield* folder, "state.json")
    const upstream = yield* Upstream.start((exchange) => exchange.answer(200, answer))
    const change = <A>(run: (store: ControlStore) => Effect.Effect<A, unknown>) =>
      Effect.flatMap(Effect.andThen(migrate(), ControlStore.make()), run).pipe(Effect.provide(direct))
    const start = Gateway.startWith([upstream.origin], { models: {}, keys: {} }, { sql: Sql.layer(target.href), stateFile })
    const { secret, key } = yield* change((store) =>
      Effect.andThen(addModel(store, upstream.origin), store.keys.create(actor, { name: "one" }))
    )
    return { change, key, proxy, secret, start }
  })

  const readiness = ({ operatorUrl }: Gateway.GatewayUnderTest) =>
    Effect.promise(async () => {
      const response = await fetch(`${operatorUrl}/health/ready`)
      return `${response.status} ${((await response.json()) as { status: string }).status}`
    })

  it.live.each(["cut", "freeze"] as const)("serves on, says that it is degraded, and catches up: %s", (how) =>
    Effect.gen(function* () {
      const { change, key, proxy, secret, start } = yield* setting
      const gateway = yield* start
      assert.strictEqual(yield* statusOf(gateway, secret), 200)
      assert.strictEqual(yield* readiness(gateway), "200 ok")
      yield* Effect.promise(async () => (how === "cut" ? proxy.cut() : proxy.freeze()))
      yield* until(
        "degraded",
        Effect.map(readiness(gateway), (status) => status === "200 degraded")
      )
      assert.strictEqual(yield* statusOf(gateway, secret), 200)
      assert.match(yield* Effect.promise(async () => (await fetch(`${gateway.operatorUrl}/metrics`)).text()), /control_age_seconds \d/)
      if (how === "freeze") return
      yield* change((store) => store.keys.revoke(actor, key.id))
      yield* Effect.promise(() => proxy.open())
      yield* until(
        "the revocation is known",
        Effect.map(statusOf(gateway, secret), (status) => status === 401)
      )
      assert.strictEqual(yield* readiness(gateway), "200 ok")
    }).pipe(Effect.scoped)
  )

  it.live("starts from its saved state, and is not ready without one", () =>
    Effect.gen(function* () {
      const { change, proxy, secret, start } = yield* setting
      yield* Effect.promise(() => proxy.cut())
      yield* Effect.scoped(
        Effect.gen(function* () {
          const empty = yield* start
          assert.strictEqual(yield* readiness(empty), "503 starting")
          assert.strictEqual(yield* statusOf(empty, secret), 401)
          yield* Effect.promise(() => proxy.open())
          yield* until(
            "ready",
            Effect.map(readiness(empty), (status) => status === "200 ok")
          )
          assert.strictEqual(yield* statusOf(empty, secret), 200)
        })
      )
      yield* Effect.promise(() => proxy.cut())
      const again = yield* start
      assert.strictEqual(yield* readiness(again), "200 degraded")
      assert.strictEqual(yield* statusOf(again, secret), 200)
      yield* Effect.promise(() => proxy.open())
      const { secret: second } = yield* change((store) => store.keys.create(actor, { name: "two" }))
      yield* until(
        "the new key",
        Effect.map(statusOf(again, second), (status) => status === 200)
      )
    }).pipe(Effect.scoped)
  )
})

describe("a gateway with a file and a database", () => {
  const withFile = (models: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const target = join(yield* folder, "data.db")
      const upstream = yield* Upstream.start((exchange) => exchange.answer(200, answer))
      yield* Effect.gen(function* () {
        yield* migrate()
        const store = yield* ControlStore.make()
        yield* Effect.forEach(models, (name) => addModel(store, upstream.origin, name))
      }).pipe(Effect.provide(Sql.layer(target)))
      return yield* Gateway.startWith([upstream.origin], {}, { sql: Sql.layer(target), stateFile: `${target}.json` })
    })

  it.live("serves the models of both", () =>
    Effect.gen(function* () {
      const gateway = yield* withFile(["stored"])
      for (const model of ["alfred", "stored"]) assert.strictEqual(yield* statusOf(gateway, Gateway.key, model), 200)
    }).pipe(Effect.scoped)
  )

  it.live("serves a model of the database when the file gives up its name", () =>
    Effect.gen(function* () {
      const target = join(yield* folder, "data.db")
      const upstream = yield* Upstream.start((exchange) => exchange.answer(200, answer))
      const gateway = yield* Gateway.startWith([upstream.origin], {}, { sql: Sql.layer(target), stateFile: `${target}.json` })
      const { secret } = yield* Effect.gen(function* () {
        const store = yield* ControlStore.make()
        yield* addModel(store, upstream.origin, "other")
        return yield* store.keys.create(actor, { name: "last" })
      }).pipe(Effect.provide(Sql.layer(target)))
      yield* until(
        "the last key is known",
        Effect.map(statusOf(gateway, secret), (status) => status === 200)
      )
      const config = yield* Gateway.configure([upstream.origin], {
        models: { alfred: { health: { path: null }, replicas: [{ baseUrl: `${upstream.origin}/v1` }] } },
        keys: { all: { sha256: sha256(Gateway.key) } }
      })
      yield* gateway.reload(config)
      assert.strictEqual(yield* statusOf(gateway, Gateway.key, "other"), 200)
      assert.include(upstream.exchanges.at(-1)?.body ?? "", "org/alfred")
      assert.match(String(yield* Effect.flip(gateway.reload(yield* Gateway.configure([upstream.origin])))), /models → other/)
    }).pipe(Effect.scoped)
  )

  it.live("does not start when a model is in both", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(withFile(["stored", "alfred"]))
      assert.match(String(error), /models → alfred: the model .* of the database has this name, too/)
    }).pipe(Effect.scoped)
  )
})
