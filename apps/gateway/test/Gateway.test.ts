import { assert, describe, it } from "@effect/vitest"
import * as Paradigm from "@paradigm-effect/node/Paradigm"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { connect } from "node:net"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

const completion = '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"org/alfred","choices":[]}'

const complete = (exchange: Upstream.Exchange) => exchange.answer(200, completion)

describe("who asks", () => {
  it.live.each<[string, string | undefined, string]>([
    ["nobody", undefined, "Bearer"],
    ["an empty header", "", "Bearer"],
    ["another scheme", `Basic ${Gateway.key}`, "Bearer"],
    ["a key without its scheme", Gateway.key, "Bearer"],
    ["a scheme without its key", "Bearer ", "Bearer"],
    ["two keys", `Bearer ${Gateway.key} ${Gateway.key}`, "Bearer"],
    ["a wrong key", "Bearer pk-test-wrong", 'Bearer error="invalid_token"'],
    ["the beginning of a key", `Bearer ${Gateway.key.slice(0, -1)}`, 'Bearer error="invalid_token"'],
    ["the model server's key", `Bearer ${Gateway.upstreamKey}`, 'Bearer error="invalid_token"']
  ])("is not known: %s", ([, authorization, challenge]) =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(complete)
      const answer = yield* Gateway.ask(gateway, { headers: { authorization } })
      Gateway.errorOf(answer, 401, "unauthorized")
      assert.strictEqual(answer.headers["www-authenticate"], challenge)
      assert.lengthOf(upstream.exchanges, 0)
      assert.notInclude(gateway.log.join(), "pk-test")
    })
  )

  it.live.each([`Bearer ${Gateway.key}`, `bearer ${Gateway.limitedKey}`, `BEARER   ${Gateway.key}`])("is known: %s", (authorization) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      const { status, text } = yield* Gateway.ask(gateway, { headers: { authorization } })
      assert.strictEqual(status, 200)
      assert.strictEqual(text, completion.replace("org/alfred", "alfred"))
    })
  )

  it.live("is asked before anything of the body is looked at", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete, { maxBodyBytes: 100 })
      for (const headers of [{ "content-type": "text/plain" }, {}]) {
        const call = { headers: { ...headers, authorization: undefined }, body: "x".repeat(1000) }
        Gateway.errorOf(yield* Gateway.ask(gateway, call), 401, "unauthorized")
      }
    })
  )
})

const withoutNames = ({ headers, status, text }: Gateway.Answer, model: string) => ({
  status,
  headers: { ...headers, date: "", "x-request-id": "" },
  text: text.replace(String(headers["x-request-id"]), "ID").replace(model, "MODEL")
})

describe("the model", () => {
  it.live("that is unknown and the one that is not for this key get the same answer", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(complete)
      const limited = (model: string) =>
        Gateway.ask(gateway, { body: Gateway.chat({ model }), headers: { authorization: `Bearer ${Gateway.limitedKey}` } })
      const unknown = yield* limited("ghost")
      const hidden = yield* limited("other")
      assert.include(Gateway.errorOf(unknown, 404, "not_found").detail, "ghost")
      Gateway.errorOf(hidden, 404, "not_found")
      assert.deepStrictEqual(withoutNames(unknown, "ghost"), withoutNames(hidden, "other"))
      assert.lengthOf(upstream.exchanges, 0)
      const allowed = yield* Gateway.ask(gateway, { body: Gateway.chat({ model: "other" }) })
      assert.strictEqual(allowed.status, 200)
    })
  )

  it.live.each(["__proto__", "constructor", "", "ALFRED"])("%j is unknown", (model) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      Gateway.errorOf(yield* Gateway.ask(gateway, { body: Gateway.chat({ model }) }), 404, "not_found")
    })
  )
})

describe("the request", () => {
  it.live.each(["GET", "PUT", "PATCH", "DELETE"])("with the method %s is a 405", (method) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      const answer = yield* Gateway.ask(gateway, { method, headers: { "x-request-id": "mine" } })
      assert.strictEqual(Gateway.errorOf(answer, 405, "method_not_allowed").id, "mine")
      assert.strictEqual(answer.headers["allow"], "POST, OPTIONS")
    })
  )

  it.live("with the method HEAD is a 405 without a body", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      const { headers, status, text } = yield* Gateway.ask(gateway, { method: "HEAD", body: "" })
      assert.deepStrictEqual([status, headers["allow"], text], [405, "POST, OPTIONS", ""])
    })
  )

  it.live.each([
    "/",
    "/api/v3/chat/completion",
    "/api/v3/chat/completions/x",
    "/API/v3/chat/completions",
    "/api/v3/chat/completions/",
    "//api/v3/chat/completions",
    "/api/v3/chat/%63ompletions",
    "/api/v3/chat/completions;x"
  ])("to %s is a 404", (path) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      const answer = yield* Gateway.ask(gateway, { path, headers: { "x-request-id": "mine" } })
      assert.strictEqual(Gateway.errorOf(answer, 404, "not_found").id, "mine")
    })
  )

  it.live("is found with a query behind the path", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      assert.strictEqual((yield* Gateway.ask(gateway, { path: "/api/v3/chat/completions?x=1" })).status, 200)
    })
  )

  it.live.each(["text/html", "image/*", "application/xml, text/plain", "text/event-stream;q=0", "application/jsonx"])(
    "that accepts only %s is a 406",
    (accept) =>
      Effect.gen(function* () {
        const { gateway } = yield* Gateway.inFrontOf(complete)
        Gateway.errorOf(yield* Gateway.ask(gateway, { headers: { accept } }), 406, "not_acceptable")
      })
  )

  it.live.each(["*/*", "application/json", "text/event-stream", "text/html, application/json;q=0.1", "application/*", "", undefined])(
    "that accepts %s is answered",
    (accept) =>
      Effect.gen(function* () {
        const { gateway } = yield* Gateway.inFrontOf(complete)
        assert.strictEqual((yield* Gateway.ask(gateway, { headers: { accept } })).status, 200)
      })
  )

  it.live.each(["text/plain", "multipart/mixed", "application/jsonl", undefined])("of the type %s is a 415", (type) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      Gateway.errorOf(yield* Gateway.ask(gateway, { headers: { "content-type": type } }), 415, "unsupported_media_type")
    })
  )

  it.live.each(["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"])("of the type %s is read", (type) =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      assert.strictEqual((yield* Gateway.ask(gateway, { headers: { "content-type": type } })).status, 200)
    })
  )

  it.live.each<[string, Record<string, string | undefined>]>([
    ["said beforehand", {}],
    ["in chunks", { "content-length": undefined, "transfer-encoding": "chunked" }],
    ["that waits to be asked for its body", { expect: "100-continue" }]
  ])("that is too large is a 413: %s", ([, headers]) =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(complete, { maxBodyBytes: 1000 })
      const fits = Gateway.chat({ user: "x".repeat(1000 - Gateway.chat({ user: "" }).length) })
      assert.strictEqual((yield* Gateway.ask(gateway, { headers, body: fits })).status, 200)
      Gateway.errorOf(yield* Gateway.ask(gateway, { headers, body: `${fits} ` }), 413, "payload_too_large")
      Gateway.errorOf(yield* Gateway.ask(gateway, { headers, body: "x".repeat(3_000_000) }), 413, "payload_too_large")
      assert.lengthOf(upstream.exchanges, 1)
    })
  )

  it.live("that is not JSON is a 400 that says where", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      const { detail } = Gateway.errorOf(yield* Gateway.ask(gateway, { body: '{"model": alfred}' }), 400, "bad_request")
      assert.include(detail, "line 1, column 11")
    })
  )

  it.live("with wrong fields is a 422 that names them", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(complete)
      const body = '{"messages":[{"content":"secret"}],"n":"two"}'
      const { fields } = Gateway.errorOf(yield* Gateway.ask(gateway, { body }), 422, "validation_error")
      assert.hasAllKeys(fields, ["model", "messages[0].role", "n"])
      assert.strictEqual(fields?.["model"]?.[0]?.error, "required")
      assert.strictEqual(fields?.["n"]?.[0]?.error, "invalid")
      assert.notInclude(JSON.stringify(fields), "secret")
      const { fields: whole } = Gateway.errorOf(yield* Gateway.ask(gateway, { body: "[]" }), 422, "validation_error")
      assert.hasAllKeys(whole, ["non_field_errors"])
    })
  )

  it.live("that breaks off leaves the gateway as it was", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(complete)
      const { hostname, port } = new URL(gateway.origin)
      yield* Effect.callback<void>((resume) => {
        const head = `POST /api/v3/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${Gateway.key}\r\n`
        const socket = connect(Number(port), hostname, () => {
          socket.write(`${head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"model"`, () => socket.resetAndDestroy())
        })
        socket.once("close", () => resume(Effect.void))
      })
      assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      assert.lengthOf(upstream.exchanges, 1)
    })
  )

  it.live.each(["req-1", "a.b:c_D-9", "x".repeat(128)])("keeps its id %s", (id) =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(complete)
      const answer = yield* Gateway.ask(gateway, { headers: { "x-request-id": id } })
      assert.strictEqual(answer.headers["x-request-id"], id)
      // Two callers may choose the same id, which breaks older engines.
      assert.match(String(upstream.exchanges[0]?.headers["x-request-id"]), /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
      const error = Gateway.errorOf(yield* Gateway.ask(gateway, { headers: { "x-request-id": id }, body: "" }), 400, "bad_request")
      assert.strictEqual(error.id, id)
      assert.include(gateway.log.join(), id)
    })
  )

  it.live.each([undefined, "", "a b", 'a"b', "x".repeat(129), "\u00e9", "a/../b", "\u001b[31m"])("gets a new id for %j", (id) =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(complete)
      const { hostname, port } = new URL(gateway.origin)
      const body = Gateway.chat()
      // A bare socket, since Node's client refuses some of these headers.
      const answer = yield* Effect.callback<string>((resume) => {
        const head = `POST /api/v3/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${Gateway.key}\r\n`
        const line = id === undefined ? "" : `x-request-id: ${id}\r\n`
        const type = `content-type: application/json\r\ncontent-length: ${body.length}\r\n`
        const socket = connect(Number(port), hostname, () => socket.write(`${head}${line}${type}\r\n${body}`))
        let text = ""
        socket.on("data", (bytes) => (text += bytes.toString("latin1")))
        socket.once("close", () => resume(Effect.succeed(text)))
      })
      // Some are no HTTP: Node itself refuses them.
      if (answer.startsWith("HTTP/1.1 400")) return
      const given = /\r\nx-request-id: (.*)\r\n/i.exec(answer)?.[1]
      assert.match(String(given), /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
      assert.lengthOf(upstream.exchanges, 1)
      if (id !== undefined && id !== "") assert.notInclude(gateway.log.join(), id)
    })
  )
})

describe("without a key", () => {
  it.live("health, the OpenAPI document and, for the operator, its page are served", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.start(yield* Upstream.refused)
      const get = (path: string) => Gateway.ask(gateway, { method: "GET", path, body: "", headers: { authorization: undefined } })
      assert.deepStrictEqual(JSON.parse((yield* get("/health")).text), { status: "ok" })
      const document = yield* get("/openapi.json")
      assert.strictEqual(document.headers["content-type"], "application/json")
      assert.property(JSON.parse(document.text).paths, "/api/v3/chat/completions")
      assert.strictEqual((yield* get("/docs")).status, 404)
      const docs = yield* Effect.promise(() => fetch(new URL("/docs", gateway.operatorUrl)))
      assert.match(String(docs.headers.get("content-type")), /^text\/html/)
      assert.strictEqual(docs.status, 200)
    })
  )
})

const timeless = (answer: Gateway.Answer) =>
  answer.text
    .replaceAll(/"created":\d+/g, '"created":0')
    .replaceAll(/"chatcmpl-[^"]+"/g, '"ID"')
    .replaceAll("org/alfred", "alfred")

describe("in front of the simulator", () => {
  const startSimulator = Effect.fnUntraced(function* (options: Simulator.Options = {}) {
    const { ledger, url } = yield* Simulator.scoped({ models: ["org/alfred"], apiKey: Gateway.upstreamKey, ...options })
    return { ledger, origin: url, gateway: yield* Gateway.start(url) }
  })

  it.live("its bytes pass unchanged", () =>
    Effect.gen(function* () {
      const { gateway, origin } = yield* startSimulator({ mode: "random", seed: 7 })
      for (const more of [{}, { stream: true, n: 2, stream_options: { include_usage: true }, user: "x" }]) {
        const headers = { "x-request-id": "same" }
        const through = yield* Gateway.ask(gateway, { body: Gateway.chat(more), headers })
        const direct = yield* Gateway.ask(
          { origin },
          {
            path: "/v1/chat/completions",
            body: Gateway.chat({ ...more, model: "org/alfred" }),
            headers: { ...headers, authorization: `Bearer ${Gateway.upstreamKey}` }
          }
        )
        assert.strictEqual(through.status, 200)
        assert.isAbove(through.text.length, 200)
        assert.strictEqual(timeless(through), timeless(direct))
      }
    })
  )

  it.live("the Node client completes, streams, and leaves", () =>
    Effect.gen(function* () {
      const { gateway, ledger } = yield* startSimulator({ interTokenLatency: "5 millis" })
      const content = "one two three four five six seven eight nine ten eleven twelve 🌊"
      const request = { model: "alfred", messages: [{ role: "user" as const, content }] }
      yield* Effect.gen(function* () {
        const client = yield* Paradigm.Client
        assert.strictEqual((yield* client.createChatCompletion(request)).choices[0]?.message.content, content)
        const chunks = yield* Stream.runCollect(client.streamChatCompletion(request))
        assert.strictEqual(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), content)
        const few = yield* Stream.runCollect(Stream.take(client.streamChatCompletion(request), 3))
        assert.lengthOf(few, 3)
        const error = yield* Effect.flip(client.createChatCompletion({ ...request, model: "none" }))
        assert.strictEqual(error.reason._tag, "ModelNotFound")
      }).pipe(Effect.provide(Paradigm.layer({ apiKey: Gateway.key, baseUrl: gateway.origin })))
      const deadline = performance.now() + 10_000
      while (ledger().open > 0 && performance.now() < deadline) yield* Effect.sleep("5 millis")
      assert.deepStrictEqual(
        ledger().newest.map(({ outcome }) => outcome),
        ["finished", "finished", "left"]
      )
    })
  )

  it.live("a wrong key for it stays between the two", () =>
    Effect.gen(function* () {
      const { gateway } = yield* startSimulator({ apiKey: "another" })
      Gateway.errorOf(yield* Gateway.ask(gateway), 502, "bad_gateway")
      assert.include(gateway.log.join(), "answered 401")
    })
  )
})
