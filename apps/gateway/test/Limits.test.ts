import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { OpenAI } from "openai"
import { setTimeout as sleep } from "node:timers/promises"
import { sha256 } from "../src/Authentication.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as RedisServer from "./RedisServer.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 60_000 })

const usage = (prompt: number, completion: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion
})
const completion = JSON.stringify({
  id: "c",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }],
  usage: usage(10, 20)
})
const event = (value: object) => `data: ${JSON.stringify({ id: "c", ...value })}\n\n`
const text = (content: string, counts?: object) =>
  event({ choices: [{ index: 0, delta: { content }, finish_reason: null }], ...(counts === undefined ? {} : { usage: counts }) })
const finish = event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })
const ending = `${finish}${event({ choices: [], usage: usage(10, 20) })}data: [DONE]\n\n`

const isStream = (exchange: Upstream.Exchange) => JSON.parse(exchange.body).stream === true
const good = (exchange: Upstream.Exchange) => {
  if (!isStream(exchange)) return exchange.answer(200, completion)
  exchange.head()
  exchange.chunk(text("hi") + ending)
  exchange.end()
}

const eventually = async (condition: () => Promise<boolean> | boolean) => {
  const deadline = performance.now() + 10_000
  while (!(await condition()) && performance.now() < deadline) await sleep(5)
  assert.isTrue(await condition())
}

/** Settings of a gateway whose key `all` has limits. */
const limited = (limits: ReadonlyArray<object>, more: object = {}, settings: object = {}): Gateway.Settings => ({
  keys: { all: { sha256: sha256(Gateway.key), limits, ...more }, other: { sha256: sha256(Gateway.limitedKey) } },
  ...settings
})
const one = (kind: string, amount: number, more: object = {}) => ({ kind, amount, ...more })

interface OwnUsage {
  readonly limits: ReadonlyArray<{ readonly kind: string; readonly used: number; readonly held: number; readonly remaining: number }>
}
const own = (gateway: Pick<Gateway.GatewayUnderTest, "origin">) =>
  Effect.map(Gateway.ask(gateway, { method: "GET", path: "/v1/usage", body: "" }), ({ text }) => JSON.parse(text) as OwnUsage)

describe("a request beyond a limit", () => {
  it.live("is refused with 429 in the dialect of its path, with the wait and the limits in its headers", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(good, limited([one("requests_per_minute", 1)]))
      const first = yield* Gateway.ask(gateway)
      assert.strictEqual(first.status, 200)
      assert.strictEqual(first.headers["ratelimit-policy"], '"key-requests-per-minute";q=1;w=60')
      assert.strictEqual(first.headers["ratelimit"], '"key-requests-per-minute";r=0;t=60')
      assert.strictEqual(first.headers["x-ratelimit-limit-requests"], "1")
      assert.strictEqual(first.headers["x-ratelimit-remaining-requests"], "0")
      assert.strictEqual(first.headers["x-ratelimit-reset-requests"], "1m0s")
      const refused = yield* Gateway.ask(gateway)
      const { detail } = Gateway.errorOf(refused, 429, "too_many_requests")
      assert.match(detail, /^The limit of 1 requests per minute of this key is reached: nothing is left\. Retry in (59|60) seconds\.$/)
      assert.isAtLeast(Number(refused.headers["retry-after"]), 59)
      assert.isAtLeast(Number(refused.headers["retry-after-ms"]), 58_000)
      const openai = yield* Gateway.ask(gateway, { path: "/v1/chat/completions" })
      const { error } = JSON.parse(openai.text)
      assert.deepInclude(error, { type: "rate_limit_error", code: "rate_limit_exceeded" })
      assert.lengthOf(upstream.exchanges, 1)
      const other = yield* Gateway.ask(gateway, { headers: { authorization: `Bearer ${Gateway.limitedKey}` } })
      assert.strictEqual(other.status, 200)
      assert.isUndefined(other.headers["ratelimit"])
    })
  )

  it.live("is a RateLimitError for OpenAI's client", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, limited([one("requests_per_minute", 0)]))
      const client = new OpenAI({ apiKey: Gateway.key, baseURL: `${gateway.origin}/v1`, maxRetries: 0 })
      const error = yield* Effect.promise(() =>
        client.chat.completions.create({ model: "alfred", messages: [{ role: "user", content: "hi" }] }).then(
          () => undefined,
          (error: unknown) => error
        )
      )
      assert.instanceOf(error, OpenAI.RateLimitError)
      assert.match(error instanceof Error ? error.message : "", /requests per minute of this key/)
    })
  )

  it.live("of a model or a team is refused for every key of it, and of a key and model for that pair alone", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, {
        keys: {
          all: { sha256: sha256(Gateway.key), team: "red", limits: [one("requests_per_minute", 1, { model: "other" })] },
          second: { sha256: sha256(Gateway.limitedKey), team: "red" }
        },
        teams: { red: { limits: [one("requests_per_minute", 3)] } }
      })
      const other = { body: Gateway.chat({ model: "other" }) }
      const second = { headers: { authorization: `Bearer ${Gateway.limitedKey}` } }
      assert.strictEqual((yield* Gateway.ask(gateway, other)).status, 200)
      assert.strictEqual((yield* Gateway.ask(gateway, other)).status, 429)
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      assert.strictEqual((yield* Gateway.ask(gateway, second)).status, 200)
      const refused = yield* Gateway.ask(gateway, second)
      assert.match(Gateway.errorOf(refused, 429, "too_many_requests").detail, /of this team/)
    })
  )

  it.live("is served, counted and reported by a limit of mode report", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, limited([one("requests_per_minute", 2, { mode: "report" })]))
      for (let i = 0; i < 4; i++) {
        const { headers, status } = yield* Gateway.ask(gateway)
        assert.strictEqual(status, 200)
        assert.isUndefined(headers["ratelimit"])
      }
      const metrics = yield* Effect.promise(() => fetch(`${gateway.operatorUrl}/metrics`).then((response) => response.text()))
      assert.match(metrics, /paradigm_gateway_limits_exceeded_total\{[^}]*limit_scope_id="all"[^}]*mode="report"[^}]*\} 2/)
      assert.match(metrics, /paradigm_gateway_limits_thresholds_total\{[^}]*percent="100"[^}]*\} 1/)
    })
  )

  // Report 25.
  it.live("of money binds models with a price alone", () =>
    Effect.gen(function* () {
      const upstream = yield* Upstream.start(good)
      const replicas = [{ baseUrl: `${upstream.origin}/v1` }]
      const gateway = yield* Gateway.start(upstream.origin, {
        ...limited([one("budget_per_month", 0)]),
        models: {
          alfred: { health: { path: null }, replicas, price: { input: 150_000, output: 600_000 } },
          other: { health: { path: null }, replicas }
        }
      })
      const refused = yield* Gateway.ask(gateway, { path: "/v1/chat/completions" })
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(JSON.parse(refused.text).error.code, "insufficient_quota")
      assert.isAbove(Number(refused.headers["retry-after"]), 0)
      assert.strictEqual((yield* Gateway.ask(gateway, { body: Gateway.chat({ model: "other" }) })).status, 200)
    })
  )
})

describe("the limits of a running request", () => {
  // Report 14.
  it.live("show what it holds, and what it used when it has ended", () =>
    Effect.gen(function* () {
      const running: Array<Upstream.Exchange> = []
      const { gateway } = yield* Gateway.inFrontOf(
        (exchange) => {
          exchange.head()
          exchange.chunk(text("hi"))
          running.push(exchange)
        },
        limited([one("tokens_per_minute", 1000)])
      )
      const body = Gateway.chat({ stream: true, max_tokens: 100 })
      const held = Math.ceil(Buffer.byteLength(body) / 4) + 100
      const first = yield* Gateway.open(gateway, { body })
      assert.strictEqual(first.headers["x-ratelimit-remaining-tokens"], String(1000 - held))
      const second = yield* Gateway.open(gateway, { body })
      assert.strictEqual(second.headers["x-ratelimit-remaining-tokens"], String(1000 - 2 * held))
      for (const exchange of running) {
        exchange.chunk(ending)
        exchange.end()
      }
      yield* Gateway.read(first)
      yield* Gateway.read(second)
      const [limit] = (yield* own(gateway)).limits
      assert.deepInclude(limit, { used: 60, held: 0, remaining: 940 })
    })
  )

  // Report 6: every way in which a request ends.
  type End = (exchange: Upstream.Exchange) => void
  const inStream =
    (then: End): End =>
    (exchange) => {
      exchange.head()
      exchange.chunk(text("hi"))
      then(exchange)
    }
  it.live.each<[string, boolean, End]>([
    ["whole", true, good],
    ["whole, not streamed", false, good],
    ["with 400", true, (exchange) => exchange.answer(400, '{"error":{"message":"no"}}')],
    ["with 500", false, (exchange) => exchange.answer(500, "{}")],
    ["reset before its answer", true, ({ socket }) => void socket.resetAndDestroy()],
    ["broken off", true, inStream((exchange) => exchange.end())],
    ["reset in its answer", true, inStream(({ socket }) => void socket.resetAndDestroy())],
    ["with an error event", true, inStream((exchange) => exchange.chunk(event({ error: { message: "dead", code: 500 } })))],
    ["without an answer in time", true, () => undefined],
    ["idle for too long", true, inStream(() => undefined)]
  ])("are free when it ended %s", ([, stream, end]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(end, {
        ...limited([one("concurrent_streams", 1), one("tokens_per_minute", 100_000)]),
        model: { timeouts: { response: 200, firstEvent: 200, idle: 200, failover: 300 } }
      })
      for (let i = 0; i < 3; i++) assert.notStrictEqual((yield* Gateway.ask(gateway, { body: Gateway.chat({ stream }) })).status, 429)
      const { limits } = yield* own(gateway)
      for (const { held } of limits) assert.strictEqual(held, 0)
    })
  )

  it.live("are free when its client left, and count what it used until then", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(
        inStream((exchange) => exchange.chunk(text("a", usage(10, 2)) + text("b", usage(10, 3)))),
        limited([one("concurrent_streams", 1), one("tokens_per_minute", 100_000)])
      )
      for (let i = 1; i <= 3; i++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const response = yield* Gateway.open(gateway, { body: Gateway.chat({ stream: true }) })
            assert.strictEqual(response.statusCode, 200)
            yield* Effect.promise(
              () =>
                new Promise<void>((resolve) => {
                  response.on("data", (bytes: Buffer) => {
                    if (bytes.includes('"b"')) resolve()
                  })
                })
            )
          })
        )
        yield* Effect.promise(() => eventually(async () => (await Effect.runPromise(own(gateway))).limits.every(({ held }) => held === 0)))
        assert.deepInclude((yield* own(gateway)).limits[1], { used: 13 * i })
      }
    })
  )

  // Must 22.
  it.live("are charged for a request that is wrong: one request, and no tokens", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, {
        ...limited([one("requests_per_minute", 100), one("tokens_per_minute", 1000)]),
        maxBodyBytes: 1000
      })
      const wrong = ["{", "{}", Gateway.chat({ temperature: "hot" }), Gateway.chat({ model: "unknown" }), "x".repeat(2000)]
      for (const body of wrong) assert.isAtLeast((yield* Gateway.ask(gateway, { body })).status, 400)
      const { limits } = yield* own(gateway)
      assert.deepInclude(limits[0], { used: wrong.length })
      assert.deepInclude(limits[1], { used: 0, held: 0 })
    })
  )

  // Report 27: a key that is rotated keeps its name.
  it.live("stay when the configuration is loaded again, with another secret of the key", () =>
    Effect.gen(function* () {
      const upstream = yield* Upstream.start(good)
      const settings = limited([one("requests_per_minute", 1)])
      const gateway = yield* Gateway.start(upstream.origin, settings)
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      const rotated = { keys: { all: { sha256: sha256("pk-rotated"), limits: [one("requests_per_minute", 1)] } } }
      yield* gateway.reload(yield* Gateway.configure([upstream.origin], rotated))
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 401)
      assert.strictEqual((yield* Gateway.ask(gateway, { headers: { authorization: "Bearer pk-rotated" } })).status, 429)
    })
  )
})

describe.skipIf(!RedisServer.isInstalled)("two gateways with one Redis", () => {
  const start = Effect.fnUntraced(function* (limits: ReadonlyArray<object>, redis: object = { timeout: 5000 }) {
    const server = yield* RedisServer.start
    const upstream = yield* Upstream.start(good)
    const settings = limited(limits, {}, { redis: { url: server.url, ...redis } })
    const gateways = [yield* Gateway.start(upstream.origin, settings), yield* Gateway.start(upstream.origin, settings)] as const
    yield* Effect.promise(() => eventually(() => areUp(gateways)))
    return { server, upstream, gateways }
  })
  const areUp = async (gateways: ReadonlyArray<Gateway.GatewayUnderTest>) => {
    const metrics = await Promise.all(
      gateways.map(({ operatorUrl }) => fetch(`${operatorUrl}/metrics`).then((response) => response.text()))
    )
    return metrics.every((text) => /paradigm_gateway_limits_degraded 0/.test(text))
  }
  const many = (gateways: ReadonlyArray<Gateway.GatewayUnderTest>, count: number, call: Gateway.Call = {}) =>
    Effect.map(
      Effect.forEach(Array.from({ length: count }), (_, i) => Gateway.ask(gateways[i % gateways.length] ?? gateways[0]!, call), {
        concurrency: "unbounded"
      }),
      (answers) => answers.filter(({ status }) => status === 200).length
    )

  it.live("admit exactly 100 of 300 requests at once", () =>
    Effect.gen(function* () {
      const { gateways, upstream } = yield* start([one("requests_per_minute", 100)])
      assert.strictEqual(yield* many(gateways, 300), 100)
      assert.lengthOf(upstream.exchanges, 100)
    })
  )

  // Report 1.
  it.live("never use more than a budget of one request, with 20 at once", () =>
    Effect.gen(function* () {
      const body = Gateway.chat({ max_tokens: 20 })
      const budget = Math.ceil(Buffer.byteLength(body) / 4) + 20
      const { gateways, upstream } = yield* start([one("tokens_per_day", budget)])
      assert.isAtLeast(budget, 30)
      assert.strictEqual(yield* many(gateways, 20, { body }), 1)
      assert.lengthOf(upstream.exchanges, 1)
    })
  )

  // Report 10.
  it.live("refuse what exceeds a budget also after Redis lost everything", () =>
    Effect.gen(function* () {
      const { gateways, server } = yield* start([one("tokens_per_day", 100)])
      const body = Gateway.chat({ max_tokens: 10 })
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* Gateway.ask(gateways[0], { body })).status, 200)
      yield* Effect.promise(() => eventually(async () => (await Effect.runPromise(own(gateways[0]))).limits[0]?.used === 90))
      yield* Effect.promise(() => server.run("FLUSHALL"))
      assert.strictEqual((yield* Gateway.ask(gateways[0], { body })).status, 429)
    })
  )

  // Reports 7 and 8.
  it.live("limit alone while Redis is frozen, without delay, and count nothing later", () =>
    Effect.gen(function* () {
      const { gateways, server } = yield* start([one("requests_per_minute", 30)], { timeout: 250 })
      assert.strictEqual((yield* Gateway.ask(gateways[0])).status, 200)
      server.signal("SIGSTOP")
      const begin = performance.now()
      assert.strictEqual((yield* Gateway.ask(gateways[0])).status, 200)
      // The timeout, and what a request costs on busy cores.
      assert.isBelow(performance.now() - begin, 1000)
      assert.isFalse(yield* Effect.promise(() => areUp(gateways)))
      assert.strictEqual(yield* many([gateways[0]], 50), 29)
      server.signal("SIGCONT")
      yield* Effect.promise(() => eventually(() => areUp(gateways)))
      assert.deepInclude((yield* own(gateways[1])).limits[0], { used: 1, held: 0 })
    })
  )

  it.live("refuse what has limits while Redis is away if the policy says so", () =>
    Effect.gen(function* () {
      const { gateways, server } = yield* start([one("requests_per_minute", 30)], { whenAway: "closed", timeout: 5000 })
      yield* Effect.promise(() => server.kill())
      const refused = yield* Gateway.ask(gateways[0])
      Gateway.errorOf(refused, 503, "service_unavailable")
      assert.strictEqual(refused.headers["retry-after"], "1")
      const other = yield* Gateway.ask(gateways[0], { headers: { authorization: `Bearer ${Gateway.limitedKey}` } })
      assert.strictEqual(other.status, 200)
      yield* Effect.promise(() => server.start())
      yield* Effect.promise(() => eventually(() => areUp(gateways)))
      assert.strictEqual((yield* Gateway.ask(gateways[0])).status, 200)
    })
  )
})
