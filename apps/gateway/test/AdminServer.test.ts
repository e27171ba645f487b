import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { createServer } from "node:http"
import { AdminAccess } from "../src/control/AdminAccess.ts"
import { routes } from "../src/control/AdminServer.ts"
import { ControlStore } from "../src/control/ControlStore.ts"
import { weaknessOf } from "../src/control/KeyText.ts"
import { migrate } from "../src/control/Migrations.ts"
import { probeReplica } from "../src/control/ReplicaProbe.ts"
import * as Sql from "../src/control/Sql.ts"

const rootSecret = "a-long-secret-of-the-configuration"
// Never to be seen anywhere but in the answer that makes it, and in the requests that use it.
const canary = "canary-2f1b9c7e5d3a"

interface Answer {
  readonly status: number
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON of any shape
  readonly body: any
  readonly headers: Headers
  readonly text: string
}

interface Sent {
  readonly secret?: string | undefined
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

class Api {
  readonly url: string
  constructor(url: string) {
    this.url = url
  }
  send = (method: string, path: string, { body, headers = {}, secret = rootSecret }: Sent = {}): Effect.Effect<Answer> =>
    Effect.promise(async () => {
      const response = await fetch(`${this.url}${path.startsWith("/admin/") ? path : `/admin/v1${path}`}`, {
        method,
        redirect: "manual",
        headers: {
          ...(secret === "" ? {} : { authorization: `Bearer ${secret}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: /json/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : text
      }
    })
}

const test = (title: string, run: (api: Api) => Effect.Effect<void, unknown, SqlClient.SqlClient>) =>
  it.live(title, () =>
    Effect.gen(function* () {
      yield* migrate()
      const sql = yield* SqlClient.SqlClient
      const store = new ControlStore(sql, new Map([["filed", "filed"]]))
      const access = new AdminAccess(sql, rootSecret)
      const status = Effect.succeed({ revision: 0, degraded: false, activeRequests: 0, models: [], keys: 0 })
      const served = routes({
        store,
        access,
        hosts: new Set(["admin.example"]),
        status,
        refresh: Effect.void,
        test: ({ baseUrl, remoteName }) => probeReplica({ baseUrl, remoteName, apiKey: undefined })
      })
      const context = yield* Layer.build(
        HttpRouter.serve(served, { disableLogger: true, disableListenLog: true }).pipe(
          Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
        )
      )
      const url = yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), context)
      yield* run(new Api(url))
    }).pipe(Effect.scoped, Effect.provide(Sql.sqlite(":memory:")))
  )

const makeAdmin = (api: Api, role: string, teamId?: string) =>
  Effect.map(
    api.send("POST", "/admins", { body: { name: `${role} ${teamId ?? ""}`, role, ...(teamId === undefined ? {} : { teamId }) } }),
    ({ body }) => body.secret as string
  )

describe("the API of administrators", () => {
  test("makes, reads, changes and archives objects, with entity tags", (api) =>
    Effect.gen(function* () {
      const team = yield* api.send("POST", "/teams", { body: { name: "Physics" } })
      assert.strictEqual(team.status, 201)
      assert.strictEqual(team.headers.get("etag"), '"1"')
      const made = yield* api.send("POST", "/keys", { body: { name: "one", teamId: team.body.id }, headers: { "idempotency-key": "x" } })
      assert.strictEqual(made.status, 201)
      assert.match(made.body.secret, /^pdk_/)
      const again = yield* api.send("POST", "/keys", { body: { name: "one", teamId: team.body.id }, headers: { "idempotency-key": "x" } })
      assert.deepStrictEqual([again.body.key.id, again.body.secret], [made.body.key.id, null])
      const id = made.body.key.id as string
      const patched = yield* api.send("PATCH", `/keys/${id}`, {
        body: { metadata: { floor: 3 }, owner: null },
        headers: { "if-match": '"1"', "content-type": "application/merge-patch+json" }
      })
      assert.deepStrictEqual([patched.status, patched.body.metadata, patched.headers.get("etag")], [200, { floor: 3 }, '"2"'])
      const stale = yield* api.send("PATCH", `/keys/${id}`, { body: { enabled: false }, headers: { "if-match": '"1"' } })
      assert.deepStrictEqual([stale.status, stale.body.version], [412, 2])
      const removed = yield* api.send("PATCH", `/keys/${id}`, { body: { metadata: { floor: null } } })
      assert.deepStrictEqual(removed.body.metadata, {})
      const model = yield* api.send("POST", "/models", {
        body: { name: "m", settings: { queue: { size: 3, timeout: 1 } }, replicas: [{ baseUrl: "http://10.0.0.1/v1" }] }
      })
      const settings = yield* api.send("PATCH", `/models/${model.body.id}`, {
        body: { settings: { queue: { timeout: null }, affinity: "session" } }
      })
      assert.deepStrictEqual(settings.body.settings, { queue: { size: 3 }, affinity: "session" })
      const wrong = yield* api.send("PATCH", `/models/${model.body.id}`, { body: { settings: { affinity: 7 } } })
      assert.deepStrictEqual([wrong.status, wrong.body.field], [422, "settings"])
      assert.strictEqual((yield* api.send("DELETE", `/keys/${id}`)).status, 200)
      assert.strictEqual((yield* api.send("DELETE", `/teams/${team.body.id}`)).status, 200)
      assert.strictEqual((yield* api.send("GET", "/keys")).body.items.length, 0)
    }))

  test("says what is wrong with a request, and where", (api) =>
    Effect.gen(function* () {
      const wrong = yield* api.send("POST", "/keys", { body: { name: "", models: 7, budget: 1 } })
      assert.strictEqual(wrong.status, 400)
      assert.deepStrictEqual(wrong.body.problems.map(({ path }: { path: string }) => path).toSorted(), [
        "payload.budget",
        "payload.models",
        "payload.name"
      ])
      assert.strictEqual((yield* api.send("POST", "/keys", { body: "{" })).status, 400)
      assert.strictEqual(
        (yield* api.send("POST", "/keys", { body: '{"name":"x"}', headers: { "content-type": "text/plain" } })).status,
        415
      )
      assert.strictEqual((yield* api.send("GET", "/keys?limit=0")).status, 400)
      assert.strictEqual((yield* api.send("PATCH", "/keys/x", { body: {}, headers: { "if-match": "yesterday" } })).status, 422)
      assert.strictEqual((yield* api.send("GET", "/keys/nobody")).status, 404)
    }))

  test("lets nobody in without a secret, and tells nothing about the secrets it has", (api) =>
    Effect.gen(function* () {
      for (const secret of ["", "wrong", `${rootSecret}x`, canary]) {
        const answer = yield* api.send("GET", "/keys", { secret })
        assert.strictEqual(answer.status, 401)
        assert.notInclude(answer.text, canary)
      }
      const secret = yield* makeAdmin(api, "viewer")
      assert.strictEqual((yield* api.send("GET", "/keys", { secret })).status, 200)
      const admins = yield* api.send("GET", "/admins")
      const { id } = admins.body.find(({ role }: { role: string }) => role === "viewer")
      yield* api.send("DELETE", `/admins/${id}`)
      assert.strictEqual((yield* api.send("GET", "/keys", { secret })).status, 401)
    }))

  test("gives every role what it may do, and a team's administrator no object of another team", (api) =>
    Effect.gen(function* () {
      const teams = [
        (yield* api.send("POST", "/teams", { body: { name: "A" } })).body.id,
        (yield* api.send("POST", "/teams", { body: { name: "B" } })).body.id
      ]
      const key = (yield* api.send("POST", "/keys", { body: { name: "of b", teamId: teams[1] } })).body.key.id
      const limit = (yield* api.send("POST", "/limits", { body: { scope: "key", scopeId: key, kind: "tokens_per_day", amount: 1 } })).body
        .id
      const model = (yield* api.send("POST", "/models", { body: { name: "m", replicas: [{ baseUrl: "http://127.0.0.1:1/v1" }] } })).body
      const admin = (yield* api.send("POST", "/admins", { body: { name: "other", role: "viewer" } })).body.admin.id
      const foreign: Record<string, string> = {
        teams: teams[1],
        keys: key,
        limits: limit,
        models: model.id,
        replicas: model.replicas[0].id,
        admins: admin
      }
      const secrets = { viewer: yield* makeAdmin(api, "viewer"), team_admin: yield* makeAdmin(api, "team_admin", teams[0]) }
      const { paths } = (yield* api.send("GET", "/admin/v1/openapi.json")).body as { paths: Record<string, Record<string, unknown>> }
      assert.isAbove(Object.keys(paths).length, 15)
      let tried = 0
      const before = (yield* api.send("GET", "/audit?limit=200")).body.items.length
      for (const [path, operations] of Object.entries(paths)) {
        for (const method of Object.keys(operations).map((name) => name.toUpperCase())) {
          if (path.endsWith("/session")) continue
          const filled = path.replace(/\{id\}/, () => foreign[path.split("/")[3] ?? ""] ?? "x")
          for (const [role, secret] of Object.entries(secrets)) {
            const { status } = yield* api.send(method, filled, { secret, ...(method === "GET" || method === "DELETE" ? {} : { body: {} }) })
            tried++
            const isRead = method === "GET"
            const isForeign = path.includes("{id}")
            // A body is checked before or after the role, but neither lets the request in.
            if (role === "viewer") assert.oneOf(status, isRead ? [200, 403] : [400, 403], `${role} ${method} ${path}`)
            else assert.oneOf(status, isForeign ? [400, 403, 404] : isRead ? [200, 403] : [400, 403], `${role} ${method} ${path}`)
          }
          assert.strictEqual(
            (yield* api.send(method, filled, { secret: "", ...(method === "GET" || method === "DELETE" ? {} : { body: {} }) })).status,
            401
          )
        }
      }
      assert.isAbove(tried, 50)
      assert.lengthOf((yield* api.send("GET", "/audit?limit=200")).body.items, before)
      assert.deepStrictEqual((yield* api.send("GET", "/keys", { secret: secrets.team_admin })).body.items, [])
      const own = yield* api.send("POST", "/keys", { secret: secrets.team_admin, body: { name: "own" } })
      assert.strictEqual(own.body.key.teamId, teams[0])
      assert.strictEqual(
        (yield* api.send("POST", "/keys", { secret: secrets.team_admin, body: { name: "x", teamId: teams[1] } })).status,
        422
      )
    }))

  test("writes one audit entry for every change, and no secret into any table", (api) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const team = (yield* api.send("POST", "/teams", { body: { name: "A" } })).body.id
      const made = (yield* api.send("POST", "/keys", { body: { name: "k", teamId: team } })).body
      const model = (yield* api.send("POST", "/models", { body: { name: "m" } })).body.id
      const replica = (yield* api.send("POST", `/models/${model}/replicas`, {
        body: { baseUrl: "http://127.0.0.1:1/v1", credential: { env: "KEY" } }
      })).body.id
      const limit = (yield* api.send("POST", "/limits", { body: { scope: "team", scopeId: team, kind: "tokens_per_day", amount: 1 } })).body
        .id
      const admin = (yield* api.send("POST", "/admins", { body: { name: "v", role: "viewer" } })).body
      yield* api.send("POST", "/prices", { body: { modelId: "m", validFrom: 0, input: 1, cached: 1, output: 1 } })
      yield* api.send("PATCH", `/teams/${team}`, { body: { name: "B" } })
      yield* api.send("PATCH", `/keys/${made.key.id}`, { body: { name: "l" } })
      const rotated = (yield* api.send("POST", `/keys/${made.key.id}/rotate`, { body: {} })).body
      yield* api.send("PATCH", `/models/${model}`, { body: { enabled: false } })
      yield* api.send("PATCH", `/replicas/${replica}`, { body: { state: "draining" } })
      yield* api.send("PATCH", `/limits/${limit}`, { body: { mode: "report" } })
      yield* api.send("POST", `/keys/${made.key.id}/revoke`)
      for (const path of [
        `/replicas/${replica}`,
        `/limits/${limit}`,
        `/admins/${admin.admin.id}`,
        `/keys/${made.key.id}`,
        `/models/${model}`,
        `/teams/${team}`
      ]) {
        assert.strictEqual((yield* api.send("DELETE", path)).status, 200, path)
      }
      const { items } = (yield* api.send("GET", "/audit?limit=200")).body
      assert.lengthOf(items, 20)
      assert.isTrue(items.every((entry: { actor: string; via: string }) => entry.actor === "root" && entry.via === "api"))
      const tables = yield* sql<{ name: string }>`SELECT name FROM sqlite_master WHERE type = 'table'`
      for (const { name } of tables) {
        const text = JSON.stringify(yield* sql`SELECT * FROM ${sql(name)}`, (_, value: unknown) =>
          typeof value === "bigint" ? String(value) : value
        )
        for (const secret of [made.secret, rotated.secret, admin.secret, rootSecret]) assert.notInclude(text, secret)
      }
    }))

  test("signs a page in and out, and refuses what another site could send", (api) =>
    Effect.gen(function* () {
      const { host, origin } = new URL(api.url)
      const signIn = (headers: Record<string, string> = {}) =>
        api.send("POST", "/session", { secret: "", body: { secret: rootSecret }, headers })
      assert.strictEqual((yield* signIn({ origin: "https://evil.example" })).status, 403)
      assert.strictEqual((yield* api.send("POST", "/session", { secret: "", body: { secret: "wrong" } })).status, 401)
      const signedIn = yield* signIn({ origin })
      assert.strictEqual(signedIn.status, 201)
      const set = signedIn.headers.get("set-cookie") ?? ""
      assert.match(set, /HttpOnly/i)
      assert.match(set, /SameSite=Strict/i)
      assert.notInclude(set, rootSecret)
      const cookie = set.split(";")[0] ?? ""
      const asPage = (method: string, path: string, headers: Record<string, string> = {}, body?: unknown) =>
        api.send(method, path, { secret: "", body, headers: { cookie, ...headers } })
      assert.strictEqual((yield* asPage("GET", "/session")).body.name, "root")
      assert.strictEqual((yield* asPage("POST", "/teams", {}, { name: "T" })).status, 403)
      assert.strictEqual((yield* asPage("POST", "/teams", { origin: "https://evil.example" }, { name: "T" })).status, 403)
      assert.strictEqual((yield* asPage("POST", "/teams", { origin }, { name: "T" })).status, 201)
      assert.strictEqual((yield* api.send("GET", "/audit")).body.items[0].via, "page")
      assert.strictEqual((yield* asPage("DELETE", "/session", { origin })).status, 204)
      assert.strictEqual((yield* asPage("GET", "/session")).status, 401)
      assert.isNotEmpty(host)
    }))

  test("answers only to hosts that it was told", (api) =>
    Effect.gen(function* () {
      const { port } = new URL(api.url)
      const ask = (host: string) =>
        Effect.promise(async () => {
          const { request } = await import("node:http")
          return new Promise<number>((resolve, reject) => {
            request(
              { host: "127.0.0.1", port, path: "/admin/v1/keys", headers: { host, authorization: `Bearer ${rootSecret}` } },
              (response) => {
                response.resume()
                resolve(response.statusCode ?? 0)
              }
            )
              .on("error", reject)
              .end()
          })
        })
      assert.strictEqual(yield* ask(`localhost:${port}`), 200)
      assert.strictEqual(yield* ask("admin.example"), 200)
      assert.strictEqual(yield* ask("rebound.example"), 403)
    }))
})

describe("the test of a replica", () => {
  it.live("follows no redirect, asks no metadata service, and shows nothing of an answer", () =>
    Effect.gen(function* () {
      const server = createServer((request, response) => {
        if (request.url === "/moved/models") return response.writeHead(302, { location: "http://169.254.169.254/latest" }).end(canary)
        if (request.url === "/refused/models") return response.writeHead(401).end(canary)
        response.end(JSON.stringify({ data: [{ id: "m" }], canary }))
      })
      yield* Effect.acquireRelease(
        Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
        () => Effect.sync(() => void (server.closeAllConnections(), server.close()))
      )
      const address = server.address()
      const base = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`
      const probe = (baseUrl: string) => probeReplica({ baseUrl, remoteName: "m", apiKey: undefined })
      assert.deepInclude(yield* probe(`${base}/v1`), { isReachable: true })
      assert.deepInclude(yield* probe(`${base.replace("127.0.0.1", "localhost")}/v1`), { isReachable: true })
      for (const url of [
        `${base}/moved`,
        `${base}/refused`,
        "http://169.254.169.254/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://[fe80::1]/v1",
        "http://2852039166/v1",
        "http://127.0.0.1:1/v1"
      ]) {
        const finding = yield* probe(url)
        assert.isFalse(finding.isReachable, url)
        assert.notInclude(finding.detail, canary)
      }
    }).pipe(Effect.scoped)
  )
})

it("refuses secrets of the administrator that are short or that everybody guesses", () => {
  for (const secret of ["", "sk-1234", "admin", "changeme-changeme-changeme", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "password1234567890123456"]) {
    assert.isString(weaknessOf(secret), secret)
  }
  assert.isUndefined(weaknessOf(rootSecret))
})
