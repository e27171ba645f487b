import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { once } from "node:events"
import { connect } from "node:net"
import { PassThrough } from "node:stream"
import { setTimeout as sleep } from "node:timers/promises"
import * as GatewayProgram from "../src/Gateway.ts"
import { LineWriter } from "../src/LineWriter.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 30_000 })

const event = (text: string) =>
  `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`
const done = "data: [DONE]\n\n"
const completion = JSON.stringify({
  id: "c",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 }
})

const isStream = (exchange: Upstream.Exchange) => JSON.parse(exchange.body).stream === true
const good = (exchange: Upstream.Exchange) => {
  if (!isStream(exchange)) return exchange.answer(200, completion)
  exchange.head()
  exchange.chunk(event("hi") + done)
  exchange.end()
}

const eventually = Effect.fnUntraced(function* (condition: () => boolean) {
  const deadline = performance.now() + 10_000
  while (!condition() && performance.now() < deadline) yield* Effect.promise(() => sleep(2))
  assert.isTrue(condition())
})

describe("failover", () => {
  type Script = (exchange: Upstream.Exchange) => void
  const vllm = (message: string, code: number) => JSON.stringify({ error: { message, type: "InternalServerError", param: null, code } })
  const inStream =
    (...pieces: ReadonlyArray<string>): Script =>
    (exchange) => {
      exchange.head()
      for (const piece of pieces) exchange.chunk(piece)
      exchange.end()
    }
  const abort = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}\n\n'

  it.live.each<[string, Script | undefined, boolean | undefined]>([
    ["refuses connections", undefined, undefined],
    ["resets before it answers", ({ socket }) => void socket.resetAndDestroy(), undefined],
    ["closes before it answers", ({ socket }) => void socket.end(), undefined],
    ["drains: 500 to new requests", (exchange) => exchange.answer(500, vllm("cannot schedule new futures after shutdown", 500)), undefined],
    ["has a full queue: 503", (exchange) => exchange.answer(503, vllm("queue full", 503)), undefined],
    ["does not know the model: 404", (exchange) => exchange.answer(404, vllm("no such model", 404)), undefined],
    ["does not know the key: 401", (exchange) => exchange.answer(401, '{"error":"Unauthorized"}'), undefined],
    ["answers a page", (exchange) => exchange.answer(200, "<html>", { "content-type": "text/html" }), undefined],
    ["aborts the answer", (exchange) => exchange.answer(200, completion.replace('"stop"', '"abort"')), false],
    ["answers an error with 200", (exchange) => exchange.answer(200, '{"object":"error","message":"OOM","type":"x","code":500}'), false],
    ["breaks off before the first event", inStream(), true],
    ["has an error as its first event", inStream(`data: ${vllm("dead", 500)}\n\n`, done), true],
    ["ends without an event", inStream(done), true],
    ["aborts before the first text", inStream(abort, done), true]
  ])("goes to another replica when one %s", ([, script, only]) =>
    Effect.gen(function* () {
      const bad = script === undefined ? yield* Upstream.refused : (yield* Upstream.start(script)).origin
      const { origin } = yield* Upstream.start(good)
      const gateway = yield* Gateway.startWith([bad, origin])
      for (let i = 0; i < 12; i++) {
        for (const stream of only === undefined ? [true, false] : [only]) {
          const answer = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream }) })
          assert.strictEqual(answer.status, 200, answer.text)
          assert.strictEqual(answer.text, stream ? event("hi") + done : completion)
        }
      }
    })
  )

  it.live("tells the last failure when every replica fails, and passes what a caller did wrong at once", () =>
    Effect.gen(function* () {
      const bad = yield* Upstream.start((exchange) => exchange.answer(503, vllm("full", 503)))
      const worse = yield* Upstream.start((exchange) => exchange.answer(400, vllm("The prompt is too long", 400)))
      const gateway = yield* Gateway.startWith([bad.origin, bad.origin.replace("127.0.0.1", "localhost")])
      const answer = yield* Gateway.ask(gateway)
      Gateway.errorOf(answer, 503, "service_unavailable")
      assert.strictEqual(answer.headers["retry-after"], "1")
      assert.lengthOf(bad.exchanges, 2)
      const strict = yield* Gateway.startWith([worse.origin, worse.origin.replace("127.0.0.1", "localhost")])
      assert.strictEqual(Gateway.errorOf(yield* Gateway.ask(strict), 400, "bad_request").detail, "The prompt is too long")
      assert.lengthOf(worse.exchanges, 1)
    })
  )

  it.live("sends nothing more to a replica that failed three times, until its ejection ends", () =>
    Effect.gen(function* () {
      const bad = yield* Upstream.start((exchange) => exchange.answer(500, vllm("dead", 500)))
      const { origin } = yield* Upstream.start(good)
      const gateway = yield* Gateway.startWith([bad.origin, origin])
      for (let i = 0; i < 40; i++) assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      assert.isAtMost(bad.exchanges.length, 4)
      const metrics = yield* Effect.promise(() => fetch(`${gateway.operatorUrl}/metrics`).then((response) => response.text()))
      assert.match(metrics, new RegExp(`paradigm_gateway_replica_healthy\\{server_address="${bad.origin}"\\} 0`))
      assert.match(metrics, new RegExp(`paradigm_gateway_replica_healthy\\{server_address="${origin}"\\} 1`))
    })
  )

  it.live("avoids a replica whose probes fail", () =>
    Effect.gen(function* () {
      let isAlive = true
      const one = yield* Upstream.start((exchange) =>
        exchange.requestLine.startsWith("GET /health") ? exchange.answer(isAlive ? 200 : 503, "") : good(exchange)
      )
      const two = yield* Upstream.start((exchange) =>
        exchange.requestLine.startsWith("GET /health") ? exchange.answer(200, "") : good(exchange)
      )
      const gateway = yield* Gateway.startWith([one.origin, two.origin], { model: { health: { path: "/health", interval: 10 } } })
      isAlive = false
      yield* eventually(() => one.exchanges.length > 5)
      const chats = (upstream: Upstream.ScriptedUpstream) => upstream.exchanges.filter(({ requestLine }) => requestLine.startsWith("POST"))
      for (let i = 0; i < 20; i++) assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      assert.lengthOf(chats(one), 0)
      assert.lengthOf(chats(two), 20)
      // The probe authenticates as requests do.
      assert.strictEqual(one.exchanges[0]?.headers["authorization"], `Bearer ${Gateway.upstreamKey}`)
    })
  )

  it.live("prefers the same replica for the same session", () =>
    Effect.gen(function* () {
      const upstreams = yield* Effect.forEach([1, 2, 3], () => Upstream.start(good))
      const gateway = yield* Gateway.startWith(
        upstreams.map(({ origin }) => origin),
        { model: { affinity: "session" } }
      )
      for (let i = 0; i < 9; i++) yield* Gateway.ask(gateway, { headers: { "x-session-id": "one" } })
      assert.deepStrictEqual(
        upstreams.map(({ exchanges }) => exchanges.length).toSorted((a, b) => a - b),
        [0, 0, 9]
      )
    })
  )
})

describe("the queue", () => {
  const limited = (maxConcurrent: number, queue: object) => ({ model: { queue }, maxConcurrent })
  const startLimited = (upstream: string, { maxConcurrent, model }: ReturnType<typeof limited>) =>
    Gateway.start(upstream, { model: { ...model, replicas: [{ baseUrl: `${upstream}/v1`, maxConcurrent }] } })

  it.live("holds requests beyond the limit of a replica, and takes turns between keys", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const waiting: Array<Upstream.Exchange> = []
      const upstream = yield* Upstream.start((exchange) => {
        order.push(exchange.user)
        waiting.push(exchange)
      })
      const gateway = yield* startLimited(upstream.origin, limited(1, { timeout: 20_000 }))
      const ask = (user: string, key: string) =>
        Effect.forkChild(Gateway.ask(gateway, { body: Gateway.chat({ user }), headers: { authorization: `Bearer ${key}` } }))
      const fibers = [yield* ask("first", Gateway.key)]
      yield* eventually(() => waiting.length === 1)
      for (const user of ["a1", "a2", "a3"]) {
        fibers.push(yield* ask(user, Gateway.key))
        yield* Effect.sleep("30 millis")
      }
      fibers.push(yield* ask("b1", Gateway.limitedKey))
      yield* Effect.sleep("50 millis")
      assert.deepStrictEqual(order, ["first"])
      for (let i = 0; i < 5; i++) {
        yield* eventually(() => waiting.length > 0)
        waiting.shift()?.answer(200, completion)
      }
      for (const fiber of fibers) assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      // The other key does not wait for the three that came before it.
      assert.deepStrictEqual(order, ["first", "a1", "b1", "a2", "a3"])
    })
  )

  it.live("is bounded in number and in time, and a client that leaves it frees its place", () =>
    Effect.gen(function* () {
      const upstream = yield* Upstream.start(() => undefined)
      const gateway = yield* startLimited(upstream.origin, limited(1, { size: 1, timeout: 200 }))
      yield* Effect.forkChild(Gateway.ask(gateway))
      yield* eventually(() => upstream.exchanges.length === 1)
      const queued = yield* Effect.forkChild(Gateway.ask(gateway))
      yield* Effect.sleep("50 millis")
      const refused = yield* Gateway.ask(gateway)
      Gateway.errorOf(refused, 503, "service_unavailable")
      assert.match(String(refused.headers["retry-after"]), /^\d+$/)
      Gateway.errorOf(yield* Fiber.join(queued), 503, "service_unavailable")
      const leaving = yield* Effect.forkChild(Gateway.ask(gateway))
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(leaving)
      yield* eventually(() => gateway.log.join().includes("client_left"))
      Gateway.errorOf(yield* Gateway.ask(gateway), 503, "service_unavailable")
      assert.include(gateway.log.at(-1), "waited too long")
    })
  )
})

describe("work", () => {
  const forms = "application/x-www-form-urlencoded"
  const bodies: ReadonlyArray<readonly [string, string, string, number]> = [
    ["a form of a million fields", `model=alfred&messages[0]role=user&messages[0]content=x${"&f=1".repeat(1_000_000)}`, forms, 413],
    ["a million wrong messages", `{"model":"alfred","messages":[${"1,".repeat(2_000_000)}1]}`, "application/json", 413],
    ["many wrong messages", `{"model":"alfred","messages":[${'{"role":5},'.repeat(9000)}{"role":5}]}`, "application/json", 422],
    ["deep nesting", `{"model":"alfred","messages":${"[".repeat(3_000_000)}`, "application/json", 413],
    [
      "one long string",
      `{"model":"alfred","messages":[{"role":"user","content":"${"\\u00e9".repeat(3_000_000)}"}]}`,
      "application/json",
      200
    ],
    [
      "a long name of a model",
      JSON.stringify({ model: "x".repeat(4_000_000), messages: [{ role: "user", content: "x" }] }),
      "application/json",
      404
    ],
    [
      "many keys",
      `{"model":"alfred",${Array.from({ length: 150_000 }, (_, i) => `"k${i}":1`).join(",")},"messages":[]}`,
      "application/json",
      413
    ]
  ]
  it.live.each(bodies)("is bounded for %s: the answer is small, and others are served meanwhile", ([, body, type, status]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good)
      const health = () => Gateway.ask(gateway, { method: "GET", path: "/health", body: "" })
      yield* health()
      const asked = yield* Effect.forkChild(Gateway.ask(gateway, { body, headers: { "content-type": type } }))
      let answers = 0
      while (asked.pollUnsafe() === undefined) {
        yield* health()
        answers++
      }
      const answer = yield* Fiber.join(asked)
      assert.strictEqual(answer.status, status, answer.text.slice(0, 500))
      assert.isBelow(answer.text.length, 10_000)
      assert.isAbove(answers, 1)
    })
  )

  it.live("is bounded by the bytes of all bodies in the process", () =>
    Effect.gen(function* () {
      const waiting: Array<Upstream.Exchange> = []
      const { gateway } = yield* Gateway.inFrontOf((exchange) => void waiting.push(exchange), { maxBytesInFlight: 100_000 })
      const body = Gateway.chat({ user: "x".repeat(80_000) })
      const first = yield* Effect.forkChild(Gateway.ask(gateway, { body }))
      yield* eventually(() => waiting.length === 1)
      const second = yield* Gateway.ask(gateway, { body })
      Gateway.errorOf(second, 503, "service_unavailable")
      assert.strictEqual(second.headers["retry-after"], "1")
      waiting[0]?.answer(200, completion)
      assert.strictEqual((yield* Fiber.join(first)).status, 200)
      const third = yield* Effect.forkChild(Gateway.ask(gateway, { body }))
      yield* eventually(() => waiting.length === 2)
      waiting[1]?.answer(200, completion)
      assert.strictEqual((yield* Fiber.join(third)).status, 200)
    })
  )
})

describe("dialects", () => {
  const at = (path: string, call: Gateway.Call = {}) => ({ path, ...call })
  it.live("answer errors at /v1 in OpenAI's shape, and at /api/v2 and /api/v3 in Paradigm's", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) =>
        exchange.answer(
          400,
          JSON.stringify({ error: { message: "It is too hot", type: "Bad Request", param: "body.temperature", code: 400 } })
        )
      )
      for (const path of ["/api/v2/chat/completions", "/api/v3/chat/completions"]) {
        const { detail, fields } = Gateway.errorOf(yield* Gateway.ask(gateway, at(path)), 400, "bad_request")
        assert.strictEqual(detail, "It is too hot")
        assert.deepStrictEqual(fields, { temperature: [{ error: "invalid", detail: "It is too hot" }] })
      }
      const error = Effect.fnUntraced(function* (call: Gateway.Call) {
        const { status, text } = yield* Gateway.ask(gateway, at("/v1/chat/completions", call))
        const { code, message, param, type } = JSON.parse(text).error
        return [status, type, code, param, message.slice(0, 11)]
      })
      assert.deepStrictEqual(yield* error({}), [400, "invalid_request_error", "bad_request", "temperature", "It is too h"])
      assert.deepStrictEqual(yield* error({ headers: { authorization: undefined } }), [
        401,
        "authentication_error",
        "invalid_api_key",
        null,
        "No key was "
      ])
      assert.deepStrictEqual(yield* error({ body: Gateway.chat({ model: "x" }) }), [
        404,
        "invalid_request_error",
        "model_not_found",
        null,
        'The model "'
      ])
      assert.deepStrictEqual(yield* error({ body: Gateway.chat({ n: "two" }) }), [
        400,
        "invalid_request_error",
        "validation_error",
        "n",
        "The body is"
      ])
      assert.deepStrictEqual(yield* error({ body: "{" }), [400, "invalid_request_error", "bad_request", null, "The body is"])
    })
  )

  it.live("list the models that a key may use", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, { model: {} })
      const get = (path: string, key: string) =>
        Gateway.ask(gateway, { method: "GET", path, body: "", headers: { authorization: `Bearer ${key}` } })
      for (const prefix of ["/v1", "/api/v3"]) {
        const all = JSON.parse((yield* get(`${prefix}/models`, Gateway.key)).text)
        assert.deepStrictEqual(
          all.data.map(({ id }: { readonly id: string }) => id),
          ["alfred", "other"]
        )
        const some = JSON.parse((yield* get(`${prefix}/models`, Gateway.limitedKey)).text)
        assert.lengthOf(some.data, 1)
        assert.strictEqual(JSON.parse((yield* get(`${prefix}/models/alfred`, Gateway.key)).text).id, "alfred")
        assert.strictEqual((yield* get(`${prefix}/models/other`, Gateway.limitedKey)).status, 404)
        assert.strictEqual((yield* get(`${prefix}/models`, "wrong")).status, 401)
      }
    })
  )
})

describe("a page", () => {
  const preflight = {
    origin: "https://page.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, x-custom"
  }
  it.live("may call the endpoint, and reads ids and waits", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good)
      const asked = yield* Gateway.ask(gateway, { method: "OPTIONS", body: "", headers: { ...preflight, authorization: undefined } })
      assert.strictEqual(asked.status, 204)
      assert.strictEqual(asked.headers["access-control-allow-origin"], "*")
      assert.strictEqual(asked.headers["access-control-allow-headers"], "authorization, x-custom")
      assert.include(asked.headers["access-control-allow-methods"], "POST")
      const answers = [
        yield* Gateway.ask(gateway, { headers: { origin: "https://page.example" } }),
        yield* Gateway.ask(gateway, { headers: { origin: "https://page.example", authorization: "no" } })
      ]
      for (const { headers } of answers) {
        assert.strictEqual(headers["access-control-allow-origin"], "*")
        assert.include(headers["access-control-expose-headers"], "x-request-id")
      }
    })
  )

  it.live("of another origin than the configured ones may not", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, { cors: { origins: ["https://mine.example"] } })
      const other = yield* Gateway.ask(gateway, { method: "OPTIONS", body: "", headers: preflight })
      assert.notProperty(other.headers, "access-control-allow-origin")
      const mine = yield* Gateway.ask(gateway, { headers: { origin: "https://mine.example" } })
      assert.deepStrictEqual([mine.headers["access-control-allow-origin"], mine.headers["vary"]], ["https://mine.example", "origin"])
    })
  )
})

describe("policies", () => {
  it.live("remove the fields that control the engine, apply defaults, and force fields", () =>
    Effect.gen(function* () {
      const model = { allow: ["cache_salt"], defaults: { temperature: 0.2, top_p: 1 }, forced: { max_tokens: 5 } }
      const { gateway, upstream } = yield* Gateway.inFrontOf(good, { model })
      const body = Gateway.chat({
        priority: -1,
        kv_transfer_params: { x: 1 },
        cache_salt: "s",
        temperature: null,
        top_p: 0.5,
        max_tokens: 9,
        seed: 1
      })
      assert.strictEqual((yield* Gateway.ask(gateway, { body })).status, 200)
      const sent = JSON.parse(upstream.exchanges[0]?.body ?? "{}")
      assert.deepStrictEqual(sent, {
        model: "org/alfred",
        messages: [{ role: "user", content: "hi" }],
        cache_salt: "s",
        temperature: 0.2,
        top_p: 0.5,
        max_tokens: 5,
        seed: 1
      })
      assert.deepStrictEqual(JSON.parse(gateway.log[0] ?? "{}").ignored, ["priority", "kv_transfer_params"])
    })
  )

  const image = (url: string) => Gateway.chat({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] })
  it.live.each<[string, unknown, number]>([
    ["data:image/png;base64,AAAA", "data", 200],
    ["https://cdn.example/a.png", "data", 422],
    ["http://169.254.169.254/latest/meta-data", "data", 422],
    ["file:///etc/passwd", "data", 422],
    ["https://cdn.example/a.png", ["cdn.example"], 200],
    ["https://cdn.example.evil/a.png", ["cdn.example"], 422],
    ["https://cdn.example/a.png", "any", 200]
  ])("decide on %s with media %j", ([url, media, status]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, { model: { media } })
      const answer = yield* Gateway.ask(gateway, { body: image(url) })
      assert.strictEqual(answer.status, status)
      if (status === 422) assert.property(JSON.parse(answer.text).fields, "messages[0].content[0].image_url.url")
    })
  )
})

describe("the listener", () => {
  // Sends bytes, and reads until the connection ends.
  const raw = (origin: string, bytes: string, half = false) =>
    Effect.callback<string>((resume) => {
      const { hostname, port } = new URL(origin)
      const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true }, () =>
        half ? socket.end(bytes) : socket.write(bytes)
      )
      let text = ""
      socket.on("data", (data) => (text += data.toString("latin1")))
      socket.on("error", () => undefined)
      socket.once("end", () => {
        socket.destroy()
        resume(Effect.succeed(text))
      })
      return Effect.sync(() => socket.destroy())
    })
  const post = (more: string, body = Gateway.chat()) =>
    `POST /api/v3/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${Gateway.key}\r\ncontent-type: application/json\r\nconnection: close\r\n${more}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

  it.live.each<[string, string, RegExp]>([
    ["bytes that are not HTTP", "SSH-2.0\r\n\r\n", /^HTTP\/1\.1 400 [^]*"error":"bad_request"/],
    ["Host twice", post("host: y\r\n"), /^HTTP\/1\.1 400 /],
    ["both lengths", post("transfer-encoding: chunked\r\n"), /^HTTP\/1\.1 400 /],
    ["headers that are too large", post(`x-a: ${"x".repeat(40_000)}\r\n`), /^HTTP\/1\.1 431 [^]*"error":"headers_too_large"/],
    ["a compressed body", post("content-encoding: gzip\r\n"), /^HTTP\/1\.1 415 /]
  ])("refuses %s, with a record", ([, bytes, expected]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good)
      assert.match(yield* raw(gateway.origin, bytes), expected)
      assert.include(gateway.log.join(), '"outcome":"refused"')
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
    })
  )

  it.live.each([true, false])("answers a client that ends its side after the request (stream: %s)", (stream) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => void setTimeout(() => good(exchange), 50))
      const answer = yield* raw(gateway.origin, post("", Gateway.chat({ stream })), true)
      assert.include(answer, "HTTP/1.1 200 OK")
      assert.include(answer, stream ? done : completion)
    })
  )

  it.live("lets a client that still sends a body that is too large read the refusal", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good, { maxBodyBytes: 1000 })
      assert.match(yield* raw(gateway.origin, post("", "x".repeat(2_000_000))), /^HTTP\/1\.1 413 /)
    })
  )

  it.live("disconnects a client that stops reading, and ends the model server's work", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(
        (exchange) => {
          exchange.head()
          const timer = setInterval(() => exchange.chunk(event("x".repeat(1_000_000))), 1)
          void exchange.closed.then(() => clearInterval(timer))
        },
        { stream: { writeStall: 100 } }
      )
      const { hostname, port } = new URL(gateway.origin)
      const socket = connect(Number(port), hostname, () => socket.write(post("", Gateway.chat({ stream: true }))))
      socket.on("error", () => undefined)
      yield* eventually(() => upstream.exchanges.length === 1)
      yield* Effect.promise(() => upstream.exchanges[0]?.closed ?? Promise.resolve(0))
      yield* eventually(() => gateway.log.join().includes("the client stopped reading"))
      socket.destroy()
    })
  )
})

describe("operation", () => {
  it.live("counts requests, tokens and failures in Prometheus' format", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(good)
      yield* Gateway.ask(gateway)
      yield* Gateway.ask(gateway, { body: Gateway.chat({ model: "secret-name" }) })
      const text = yield* Effect.promise(() => fetch(`${gateway.operatorUrl}/metrics`).then((response) => response.text()))
      const sample =
        /^[a-zA-Z_:][\w:]*(\{[a-zA-Z_]\w*="(?:[^"\\]|\\.)*"(,[a-zA-Z_]\w*="(?:[^"\\]|\\.)*")*\})? (-?\d+(\.\d+)?([eE][+-]?\d+)?|\+Inf|NaN)$/
      for (const line of text.trimEnd().split("\n")) assert.isTrue(/^# (HELP|TYPE) /.test(line) || sample.test(line), line)
      assert.match(text, /http_server_request_duration_seconds_count\{[^}]*gen_ai_request_model="alfred"[^}]*outcome="ok"[^}]*\} 1/)
      assert.match(text, /gen_ai_server_usage_tokens_total\{[^}]*gen_ai_token_type="output"[^}]*\} 1\n/)
      assert.notInclude(text, "secret-name")
    })
  )

  it.live("goes on when its log cannot be written", () =>
    Effect.gen(function* () {
      const upstream = yield* Upstream.start(good)
      const log = new PassThrough()
      const { url } = yield* GatewayProgram.start(yield* Gateway.configure([upstream.origin]), new LineWriter(log))
      assert.strictEqual((yield* Gateway.ask({ origin: url })).status, 200)
      log.destroy(new Error("EPIPE"))
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* Gateway.ask({ origin: url })).status, 200)
    })
  )

  it.live("reloads models and keys, while a stream goes on with what it had", () =>
    Effect.gen(function* () {
      const upstream = yield* Upstream.start((exchange) => {
        exchange.head()
        exchange.chunk(event("a"))
      })
      const other = yield* Upstream.start(good)
      const gateway = yield* Gateway.start(upstream.origin)
      const response = yield* Gateway.open(gateway, { body: Gateway.chat({ stream: true }) })
      yield* gateway.reload(yield* Gateway.configure([other.origin], { keys: { all: { sha256: "0".repeat(64) } } }))
      Gateway.errorOf(yield* Gateway.ask(gateway), 401, "unauthorized")
      yield* gateway.reload(yield* Gateway.configure([other.origin]))
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      upstream.exchanges[0]?.chunk(event("b") + done)
      assert.strictEqual((yield* Gateway.read(response)).text, event("a") + event("b") + done)
    })
  )

  it.live("drains: not ready, running streams finish, what is left is told", () =>
    Effect.gen(function* () {
      const upstream = yield* Upstream.start((exchange) => {
        exchange.head()
        exchange.chunk(event("a"))
      })
      const gateway = yield* Gateway.start(upstream.origin, { shutdown: { preStop: 100, grace: 300 } })
      const open = () => Gateway.open(gateway, { body: Gateway.chat({ stream: true }) })
      const [quick, slow] = [yield* open(), yield* open()]
      const draining = yield* Effect.forkChild(gateway.drain)
      yield* Effect.sleep("30 millis")
      const ready = yield* Effect.promise(() => fetch(`${gateway.operatorUrl}/health/ready`))
      assert.strictEqual(ready.status, 503)
      // Connections are accepted until the balancer has seen that.
      assert.strictEqual((yield* Gateway.ask(gateway, { method: "GET", path: "/health", body: "" })).status, 200)
      upstream.exchanges[0]?.chunk(event("b") + done)
      assert.strictEqual((yield* Gateway.read(quick)).text, event("a") + event("b") + done)
      const left = yield* Gateway.read(slow)
      assert.include(left.text, '"code":503')
      assert.isTrue(left.text.endsWith(done))
      yield* Fiber.join(draining)
      assert.strictEqual((yield* Effect.flip(Gateway.ask(gateway))).message.includes("ECONNREFUSED"), true)
      const [socket] = [slow.socket]
      if (!socket.destroyed) yield* Effect.promise(() => once(socket, "close"))
    })
  )
})
