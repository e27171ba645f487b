import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { once } from "node:events"
import { setImmediate } from "node:timers/promises"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 20_000 })

const event = (text: string, end = "\n") =>
  `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: text } }] })}${end}${end}`
const done = (end = "\n") => `data: [DONE]${end}${end}`

const words = ["Hi", " — naïve", " 🌊", " data: [DONE]", "\n\n", ""]
const stream = (end = "\n") => words.map((word) => event(word, end)).join(": keep-alive" + end + end) + done(end)

// How the gateway tells of a stream that failed.
const errorThenDone = /^data: \{"error":\{"message":"[^"]+","type":"[a-z_]+","param":null,"code":50[24]\}\}\n\ndata: \[DONE\]\n\n$/

// A stream that is nobody else's.
const textOf = (id: string) => Array.from({ length: 40 }, (_, i) => event(`${id} ${i} ${"é".repeat(i)}`)).join("") + done()

const streaming = (exchange: Upstream.Exchange, ...chunks: ReadonlyArray<string>) => {
  exchange.head()
  for (const chunk of chunks) exchange.chunk(chunk)
  exchange.end()
}

const eventually = Effect.fnUntraced(function* (condition: () => boolean) {
  const deadline = performance.now() + 10_000
  while (!condition() && performance.now() < deadline) yield* Effect.promise(() => setImmediate())
})

describe("a request", () => {
  it.live("reaches the model server as it came, with its name for the model and the gateway's own key", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => exchange.answer(200, "{}"))
      const body = `{"seed":9223372036854775807, "model" : "alfred","messages":[{"role":"user","content":"\\u00e9é"}],"own":[1.0]}`
      yield* Gateway.ask(gateway, { body, headers: { "x-request-id": "mine-1", cookie: "a=b", "x-other": "c" } })
      yield* Gateway.ask(gateway, { body: body.replace("alfred", "other") })
      const [first, second] = upstream.exchanges
      assert.isDefined(first)
      assert.isDefined(second)
      assert.strictEqual(first.requestLine, "POST /v1/chat/completions HTTP/1.1")
      assert.strictEqual(first.body, body.replace("alfred", "org/alfred"))
      assert.deepStrictEqual(first.headers, {
        host: upstream.origin.slice("http://".length),
        connection: "keep-alive",
        accept: "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(first.body)),
        "endpoint-load-metrics-format": "TEXT",
        "x-request-id": String(first.headers["x-request-id"]),
        authorization: `Bearer ${Gateway.upstreamKey}`
      })
      assert.strictEqual(second.body, body.replace("alfred", "other"))
      assert.notProperty(second.headers, "authorization")
    })
  )
})

describe("a JSON answer", () => {
  it.live("passes unchanged", () =>
    Effect.gen(function* () {
      const answer = ` {"id":"chatcmpl-1","choices":[{"message":{"content":"é 🌊 \\u00e9"}}], "big":9223372036854775807 }\n`
      const headers = { "content-type": "application/json; charset=utf-8", "set-cookie": "inside=1", server: "inside" }
      const { gateway } = yield* Gateway.inFrontOf((exchange) => exchange.answer(200, answer, headers))
      const { headers: got, status, text } = yield* Gateway.ask(gateway, { headers: { "x-request-id": "mine-2" } })
      assert.strictEqual(status, 200)
      assert.strictEqual(text, answer)
      assert.strictEqual(got["content-type"], "application/json")
      assert.strictEqual(got["x-request-id"], "mine-2")
      assert.notProperty(got, "set-cookie")
      assert.notProperty(got, "server")
    })
  )

  it.live("that breaks off is a 502", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"id":')
        setTimeout(() => socket.destroy(), 20)
      })
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 502)
    })
  )
})

describe("a stream", () => {
  it.live.each<[string, string]>([
    ["LF", "\n"],
    ["CR LF", "\r\n"],
    ["CR", "\r"]
  ])("with %s passes unchanged, also when each byte comes alone", ([, end]) =>
    Effect.gen(function* () {
      const text = stream(end)
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        if (exchange.user === "whole") return streaming(exchange, text)
        void (async () => {
          exchange.head()
          for (const byte of Buffer.from(text)) {
            exchange.chunk(Uint8Array.of(byte))
            await setImmediate()
          }
          exchange.end()
        })()
      })
      for (const id of ["whole", "bytes"]) {
        const answer = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, user: id }), headers: { "x-request-id": id } })
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(answer.text, text)
        assert.isTrue(answer.whole)
        assert.strictEqual(answer.headers["content-type"], "text/event-stream")
        assert.strictEqual(answer.headers["cache-control"], "no-cache")
        assert.strictEqual(answer.headers["x-request-id"], id)
      }
    })
  )

  it.live("with line ends of several kinds passes event by event", () =>
    Effect.gen(function* () {
      const events = ["data: 1\n\r\n", "data: 2\r\n\n", "data: 3\r\r\n", "data: 4\n\n"]
      let exchange: Upstream.Exchange | undefined
      const { gateway } = yield* Gateway.inFrontOf((asked) => {
        exchange = asked
        asked.head()
      })
      const opening = yield* Effect.forkChild(Gateway.open(gateway, { body: Gateway.chat({ stream: true }) }))
      yield* eventually(() => exchange !== undefined)
      exchange?.chunk(event("first"))
      const response = yield* Fiber.join(opening)
      let got = ""
      response.setEncoding("utf8").on("data", (text: string) => (got += text))
      let sent = event("first")
      for (const event of events) {
        exchange?.chunk(event)
        sent += event
        yield* eventually(() => got === sent)
        assert.strictEqual(got, sent)
      }
    })
  )

  it.live("begins with its first event", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        exchange.head()
        exchange.chunk(": waiting\n\n")
        setTimeout(() => {
          exchange.chunk(event("now") + done())
          exchange.end()
        }, 50)
      })
      assert.strictEqual((yield* Gateway.askStream(gateway)).text, event("now") + done())
    })
  )

  it.live("begins before its first event when that takes long, and has heartbeats while it is idle", () =>
    Effect.gen(function* () {
      const settings = { stream: { commitAfter: 20, heartbeat: 20 } }
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => exchange.head(), settings)
      const response = yield* Gateway.open(gateway, { body: Gateway.chat({ stream: true }) })
      assert.strictEqual(response.statusCode, 200)
      let got = ""
      response.setEncoding("utf8").on("data", (text: string) => (got += text))
      yield* eventually(() => got.startsWith(": keep-alive\n\n: keep-alive\n\n"))
      upstream.exchanges[0]?.chunk(event("now") + done())
      yield* Effect.promise(() => once(response, "end"))
      assert.strictEqual(got.replaceAll(": keep-alive\n\n", ""), event("now") + done())
    })
  )

  it.live("without [DONE] is whole if every choice is finished, and gets its marker", () =>
    Effect.gen(function* () {
      const finish = (index: number) => `data: {"choices": [{"index": ${index}, "delta": {}, "finish_reason": "stop"}]}\n\n`
      for (const [n, events, isWhole] of [
        [1, [event("a"), finish(0)], true],
        [2, [event("a"), finish(0)], false],
        [2, [event("a"), finish(1), finish(0)], true],
        [1, [event("a")], false],
        [1, [event("a"), finish(0), "data: [DONE]\n"], true],
        [1, [event("a"), "data: [DONE]"], true]
      ] as const) {
        const { gateway } = yield* Gateway.inFrontOf((exchange) => streaming(exchange, ...events))
        const { text } = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, n }) })
        const forwarded = events.filter((piece) => !piece.includes("[DONE]")).join("")
        assert.strictEqual(text.slice(0, forwarded.length), forwarded)
        if (isWhole) assert.strictEqual(text.slice(forwarded.length), done())
        else assert.match(text.slice(forwarded.length), errorThenDone)
      }
    })
  )

  it.live.each<[string, string, number, string]>([
    ["nested", '{"error":{"message":"Too long.","type":"BadRequestError","param":null,"code":400}}', 400, "Too long."],
    ["flat", '{"object":"error","message":"boom","type":"x","code":500}', 502, "boom"],
    ["with Python's spaces", '{"error": {"object": "error", "message": "no", "code": 422}}', 422, "no"],
    ["of the engine", '{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","code":500}}', 502, "EngineCore"]
  ])("whose first event is an error has its status: %s", ([, error, status, words]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => streaming(exchange, `data: ${error}\n\n`, done()))
      const answer = yield* Gateway.askStream(gateway)
      assert.strictEqual(answer.status, status)
      assert.include(answer.text, words)
    })
  )

  it.live("with an error after its first event tells it, and the log has the outcome", () =>
    Effect.gen(function* () {
      const error = (key: string | undefined) => `data: {"error":{"message":"bad ${key?.replace("v", "\\u0076")}","code":500}}\n\n`
      const { gateway } = yield* Gateway.inFrontOf((exchange) =>
        streaming(exchange, event("a"), error(exchange.headers["authorization"]), event("b"), done())
      )
      const { text } = yield* Gateway.askStream(gateway)
      assert.strictEqual(text.slice(0, event("a").length), event("a"))
      assert.match(text.slice(event("a").length), errorThenDone)
      assert.include(text, "Bearer <redacted>")
      yield* eventually(() => gateway.log.length > 0)
      const line = JSON.parse(gateway.log[0] ?? "{}")
      assert.deepStrictEqual([line.outcome, line.status, line.level, line.key, line.model], ["in_band_error", 200, "WARN", "all", "alfred"])
      assert.notInclude(gateway.log.join(), Gateway.upstreamKey)
    })
  )

  it.live("that the model server aborts is told as an error, without the text of the abort", () =>
    Effect.gen(function* () {
      const abort = 'data: {"choices":[{"index":0,"delta":{"content":"held"},"finish_reason":"abort"}]}\n\n'
      const { gateway } = yield* Gateway.inFrontOf((exchange) => streaming(exchange, event("a"), abort, done()))
      const { text } = yield* Gateway.askStream(gateway)
      assert.match(text.slice(event("a").length), errorThenDone)
      assert.notInclude(text, "held")
    })
  )

  it.live("has the name that was asked for, and no usage that was not", () =>
    Effect.gen(function* () {
      const named = (model: string) =>
        `data: {"model":"${model}","choices":[{"index":0,"delta":{"content":"\\"model\\":\\"org/alfred\\""}}]}\n\n`
      const usage = 'data: {"model":"org/alfred","choices":[],"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}}\n\n'
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => streaming(exchange, named("org/alfred"), usage, done()))
      assert.strictEqual((yield* Gateway.askStream(gateway)).text, named("alfred") + done())
      assert.deepStrictEqual(JSON.parse(upstream.exchanges[0]?.body ?? "").stream_options, {
        include_usage: true,
        continuous_usage_stats: true
      })
      const asked = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, stream_options: { include_usage: true } }) })
      assert.strictEqual(asked.text, named("alfred") + usage.replace("org/alfred", "alfred") + done())
      yield* eventually(() => gateway.log.length > 1)
      assert.deepStrictEqual(JSON.parse(gateway.log[0] ?? "{}").usage, { prompt: 3, completion: 2, cached: 0, reasoning: 0 })
    })
  )

  it.live("with one event of 24 MB, in small pieces, takes about as long as with 24 MB of small events", () =>
    Effect.gen(function* () {
      const one = event("0123456789abcdef".repeat(1_572_864))
      const many = event("0123456789abcdef".repeat(1000)).repeat(1_572)
      let text = one
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        void (async () => {
          exchange.head()
          for (let at = 0; at < text.length; at += 16_384) {
            if (!exchange.chunk(text.slice(at, at + 16_384))) await once(exchange.socket, "drain")
          }
          exchange.chunk(done())
          exchange.end()
        })()
      })
      const millis = Effect.fnUntraced(function* (body: string) {
        text = body
        const startedAt = performance.now()
        const answer = yield* Gateway.askStream(gateway)
        assert.isTrue(answer.text === text + done())
        return performance.now() - startedAt
      })
      // Copying the event with each piece would take far longer. On a busy machine one ratio of several is enough.
      let ratio = Infinity
      for (let i = 0; i < 4 && ratio >= 4; i++) ratio = (yield* millis(one)) / (yield* millis(many))
      assert.isBelow(ratio, 4)
    })
  )

  it.live("of 32 at once is not mixed with the others", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => {
        const bytes = Buffer.from(textOf(exchange.user))
        void (async () => {
          exchange.head()
          for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 31) % 257) {
            exchange.chunk(bytes.subarray(at, at + size))
            await setImmediate()
          }
          exchange.end()
        })()
      })
      const ids = Array.from({ length: 32 }, (_, i) => `stream-${i}`)
      const answers = yield* Effect.forEach(
        ids,
        (id) => Gateway.ask(gateway, { body: Gateway.chat({ stream: true, user: id }), headers: { "x-request-id": id } }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        answers.map((answer) => answer.text),
        ids.map(textOf)
      )
      assert.strictEqual(upstream.connections(), 32)
    })
  )
})

describe("the end of a stream", () => {
  it.live("is [DONE]: nothing passes after it, in the same read or a later one", () =>
    Effect.gen(function* () {
      const late = event("late")
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        if (exchange.user === "same") return streaming(exchange, event("a") + done() + late + ": bye\n\n")
        if (exchange.user === "held") return streaming(exchange, event("a") + done() + "data: half")
        exchange.head()
        exchange.chunk(event("a") + done())
        setTimeout(() => {
          exchange.chunk(late)
          exchange.end()
        }, 20)
      })
      for (const id of ["same", "held", "later"]) {
        const answer = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, user: id }), headers: { "x-request-id": id } })
        assert.strictEqual(answer.text, event("a") + done())
        assert.isTrue(answer.whole)
      }
      assert.notInclude(gateway.log.join(), "truncated")
    })
  )

  it.live.each([
    "data:[DONE]\n\n",
    "data: [DONE]\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "event: message\ndata: [DONE]\nid: 1\n\n",
    "\n\ndata: [DONE]\r\n\r\n"
  ])("may be written as %j", (end) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => streaming(exchange, event("a"), end))
      const { text } = yield* Gateway.askStream(gateway)
      assert.isTrue(text.startsWith(event("a") + end.trimEnd()), text)
      assert.notInclude(text, "error")
    })
  )

  it.live("does not wait for the model server to end, whose connection is given up when it goes on", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => {
        exchange.head()
        exchange.chunk(stream())
        const timer = setInterval(() => exchange.chunk(event("more")), 20)
        void exchange.closed.then(() => clearInterval(timer))
      })
      assert.strictEqual((yield* Gateway.askStream(gateway)).text, stream())
      const answeredAt = performance.now()
      const closedAt = yield* Effect.promise(() => upstream.exchanges[0]?.closed ?? Promise.resolve(Infinity))
      assert.isBelow(closedAt - answeredAt, 5000)
    })
  )

  it.live("leaves the model server's connection free, also when the client was slow at last", () =>
    Effect.gen(function* () {
      const text = event("x".repeat(8_000_000)) + done()
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => streaming(exchange, text))
      const response = yield* Gateway.open(gateway, { body: Gateway.chat({ stream: true }) })
      yield* eventually(() => gateway.log.length > 0)
      assert.strictEqual((yield* Gateway.read(response)).text.length, text.length)
      yield* Gateway.askStream(gateway)
      assert.strictEqual(upstream.connections(), 1)
    })
  )
})

describe("a stream that breaks off", () => {
  const events = [event("naïve 🌊"), ": keep-alive\n\n", event("b"), done()]
  const whole = Buffer.from(events.join(""))
  // The events that stand whole in the first `length` bytes.
  const eventsWithin = (length: number) =>
    events.map((_, i) => events.slice(0, i).join("")).findLast((text) => Buffer.byteLength(text) <= length) ?? ""

  it.live("anywhere ends with its last whole event, the error, and [DONE]", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        exchange.head()
        exchange.chunk(whole.subarray(0, Number(exchange.user)))
        setTimeout(() => exchange.socket.destroy(), 2)
      })
      const lengths = Array.from({ length: whole.length - 1 }, (_, i) => i + 1)
      yield* Effect.forEach(
        lengths,
        Effect.fnUntraced(function* (length) {
          const {
            status,
            text,
            whole: isWhole
          } = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, user: String(length) }) })
          const before = eventsWithin(length)
          assert.strictEqual(status, before === "" ? 502 : 200)
          if (before === "") return
          assert.strictEqual(text.slice(0, before.length), before)
          assert.match(text.slice(before.length), errorThenDone)
          assert.isTrue(isWhole)
        }),
        { concurrency: 16 }
      )
    })
  )

  it.live.each<[string, (exchange: Upstream.Exchange) => void]>([
    ["by a reset", ({ socket }) => setTimeout(() => socket.resetAndDestroy(), 20)],
    ["by a regular end without [DONE]", (exchange) => exchange.end()],
    ["by an end in the middle of an event", (exchange) => (exchange.chunk("data: {"), exchange.end())],
    ["by chunks that are none", ({ socket }) => socket.write("no chunk\r\n")]
  ])("%s", ([, cut]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        exchange.head()
        exchange.chunk(event("a"))
        cut(exchange)
      })
      const { text } = yield* Gateway.askStream(gateway)
      assert.isTrue(text.startsWith(event("a")))
      assert.match(text.slice(event("a").length), errorThenDone)
      yield* eventually(() => gateway.log.length > 0)
      assert.include(gateway.log.join(), '"outcome":"truncated"')
    })
  )

  it.live("where the connection's end is the only one", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(({ socket }) => {
        socket.end(`HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n${event("a")}`)
      })
      const { text } = yield* Gateway.askStream(gateway)
      assert.match(text.slice(event("a").length), errorThenDone)
    })
  )

  it.live("before its first event is a 502", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => streaming(exchange))
      Gateway.errorOf(yield* Gateway.askStream(gateway), 502, "bad_gateway")
    })
  )
})
