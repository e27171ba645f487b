import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

const completion = '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"org/alfred","choices":[]}'

// A refusal in vLLM's shape.
const vllm = (status: number, message: string) => JSON.stringify({ error: { message, type: "BadRequestError", param: null, code: status } })

describe("the model server", () => {
  const html = "<html><body>Bad Gateway at http://127.0.0.1:8000</body></html>"
  type Script = (exchange: Upstream.Exchange) => void
  const streams = [false, true]

  it.live.each<[string, number, string, Script]>([
    ["resets before it answers", 502, "bad_gateway", ({ socket }) => void socket.resetAndDestroy()],
    ["closes before it answers", 502, "bad_gateway", ({ socket }) => void socket.end()],
    ["breaks off in its head", 502, "bad_gateway", ({ socket }) => void socket.end("HTTP/1.1 200 OK\r\ncontent-type: app")],
    ["speaks no HTTP", 502, "bad_gateway", ({ socket }) => void socket.end("SSH-2.0-OpenSSH_9.2\r\n")],
    ["answers 200 with a page", 502, "bad_gateway", (exchange) => exchange.answer(200, html, { "content-type": "text/html" })],
    ["answers 200 with nothing", 502, "bad_gateway", (exchange) => exchange.answer(200, "", { "content-type": "application/json" })],
    [
      "answers 200 with half of it",
      502,
      "bad_gateway",
      (exchange) => exchange.answer(200, completion.slice(0, -3), { "content-type": "application/json" })
    ],
    ["answers 200 without a type", 502, "bad_gateway", (exchange) => exchange.answer(200, completion, {})],
    [
      "answers 200 with compression",
      502,
      "bad_gateway",
      (exchange) =>
        exchange.answer(200, "\u001f\u008b", {
          "content-type": /^[^,]*/.exec(exchange.headers["accept"] ?? "")?.[0] ?? "",
          "content-encoding": "gzip"
        })
    ],
    ["answers 204", 502, "bad_gateway", ({ socket }) => void socket.write("HTTP/1.1 204 No Content\r\n\r\n")],
    ["redirects", 502, "bad_gateway", (exchange) => exchange.answer(307, "", { location: "http://127.0.0.1:1/" })],
    ["answers 401", 502, "bad_gateway", (exchange) => exchange.answer(401, '{"error":"Unauthorized"}')],
    ["answers 403", 502, "bad_gateway", (exchange) => exchange.answer(403, '{"detail":"Unauthorized"}')],
    ["answers 404", 502, "bad_gateway", (exchange) => exchange.answer(404, vllm(404, "unauthorized: no model"))],
    ["answers 500", 502, "bad_gateway", (exchange) => exchange.answer(500, vllm(500, "CUDA at 127.0.0.1"))],
    ["answers 502 with a page", 502, "bad_gateway", (exchange) => exchange.answer(502, html, { "content-type": "text/html" })],
    ["answers 503", 503, "service_unavailable", (exchange) => exchange.answer(503, vllm(503, "full at 127.0.0.1"))],
    ["answers 504", 504, "gateway_timeout", (exchange) => exchange.answer(504, html, { "content-type": "text/html" })]
  ])("%s", ([, status, word, script]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(script)
      for (const stream of streams) {
        const { detail } = Gateway.errorOf(yield* Gateway.ask(gateway, { body: Gateway.chat({ stream }) }), status, word)
        assert.notMatch(detail, /unauthorized|CUDA|full|<html/i)
      }
      assert.lengthOf(gateway.log, 2)
      assert.include(gateway.log[0], String(status))
      assert.notInclude(gateway.log.join(), Gateway.upstreamKey)
    })
  )

  it.live("cannot be reached", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.start(yield* Upstream.refused)
      for (const stream of streams) Gateway.errorOf(yield* Gateway.ask(gateway, { body: Gateway.chat({ stream }) }), 502, "bad_gateway")
      assert.include(gateway.log[0], "ECONNREFUSED")
    })
  )

  it.live.each<[string, number, string, string, string]>([
    ["400", 400, "bad_request", vllm(400, "This model's maximum context length is 10."), "This model's maximum context length is 10."],
    ["400, flat", 400, "bad_request", '{"object":"error","message":"No such thing.","type":"x","code":400}', "No such thing."],
    ["400 in plain text", 400, "bad_request", "Something is wrong.", "Something is wrong."],
    ["400 without a word", 400, "bad_request", "", "The model server refused the request."],
    ["422", 422, "validation_error", vllm(422, "Wrong in itself."), "Wrong in itself."]
  ])("refuses with %s, and its words are passed on", ([, status, word, body, detail]) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => exchange.answer(status, body))
      for (const stream of streams) {
        const error = Gateway.errorOf(yield* Gateway.ask(gateway, { body: Gateway.chat({ stream }) }), status, word)
        assert.strictEqual(error.detail, detail)
        assert.isUndefined(error.fields)
      }
    })
  )

  it.live("names fields, which are passed on", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({ detail: [{ loc: ["body", "messages", 0, "role"], msg: "Field required", type: "missing" }] })
      const { gateway } = yield* Gateway.inFrontOf((exchange) => exchange.answer(422, body))
      const { fields } = Gateway.errorOf(yield* Gateway.ask(gateway), 422, "validation_error")
      assert.deepStrictEqual(fields, { "messages[0].role": [{ error: "invalid", detail: "Field required" }] })
    })
  )

  it.live("tells the gateway's own key in its words, which is taken out", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) =>
        exchange.answer(400, vllm(400, `Got the header ${exchange.headers["authorization"]}`))
      )
      assert.strictEqual(Gateway.errorOf(yield* Gateway.ask(gateway), 400, "bad_request").detail, "Got the header Bearer <redacted>")
    })
  )

  it.live.each(["7", "Wed, 21 Oct 2026 07:28:00 GMT", undefined])("asks to wait: retry-after %s", (after) =>
    Effect.gen(function* () {
      const headers = { "content-type": "application/json", ...(after === undefined ? {} : { "retry-after": after }) }
      const { gateway } = yield* Gateway.inFrontOf((exchange) => exchange.answer(429, vllm(429, "Slow down"), headers))
      const answer = yield* Gateway.ask(gateway)
      Gateway.errorOf(answer, 429, "too_many_requests")
      assert.strictEqual(answer.headers["retry-after"], after)
    })
  )

  it.live.each<[string, string, string]>([
    ["an error", "HTTP/1.1 500 Oops\r\ncontent-type: text/plain", "x".repeat(1024)],
    ["a page", "HTTP/1.1 200 OK\r\ncontent-type: text/html", "<p>".repeat(300)]
  ])("writes %s without an end, and is given up", ([, head, text]) =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => {
        exchange.socket.write(`${head}\r\ntransfer-encoding: chunked\r\n\r\n`)
        const timer = setInterval(() => exchange.chunk(text), 1)
        void exchange.closed.then(() => clearInterval(timer))
      })
      for (const stream of streams) Gateway.errorOf(yield* Gateway.ask(gateway, { body: Gateway.chat({ stream }) }), 502, "bad_gateway")
      yield* Effect.promise(() => Promise.all(upstream.exchanges.map((exchange) => exchange.closed)))
    })
  )

  it.live("breaks off after the head of a refusal, whose status is kept", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(({ socket }) => void socket.end("HTTP/1.1 400 No\r\ncontent-length: 100\r\n\r\n"))
      Gateway.errorOf(yield* Gateway.ask(gateway), 400, "bad_request")
    })
  )

  it.live("sends hints before it answers", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        exchange.socket.write("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        exchange.answer(200, completion)
      })
      assert.strictEqual((yield* Gateway.ask(gateway)).text, completion.replace("org/alfred", "alfred"))
    })
  )
})
