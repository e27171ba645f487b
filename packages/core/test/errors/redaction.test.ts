import { describe, assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import type { ChatCompletion } from "../../src/ChatCompletion.ts"
import { Secrets } from "../../src/errors/redaction.ts"
import {
  Aborted,
  excerpt,
  MalformedChunk,
  ParadigmError,
  RateLimited,
  RedirectRefused,
  RequestRejected,
  TransportFailed
} from "../../src/ParadigmError.ts"
import {
  type Answer,
  breakOff,
  chunk,
  clientOf,
  completion,
  create,
  event,
  failure,
  json,
  key,
  nowhere,
  request,
  serve,
  serveBytes,
  sse,
  stream
} from "../Loopback.ts"
import { assertSecret } from "../Secret.ts"

describe("the key", () => {
  const php = JSON.stringify(key).slice(1, -1).replaceAll("/", "\\/")
  const escaped = Array.from(key, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")

  it.live.each<[string, Answer]>([
    ["an error's detail", json({ detail: `Bad key ${key}` }, 401)],
    ["an error's message", json({ error: { message: `Bad key ${key}`, type: key, param: key, code: key } }, 400)],
    ["an error's text", json(`Bad key ${key}`, 403, { "content-type": "text/plain" })],
    ["an error's page", json(`<html>Authorization: Bearer ${key}</html>`, 502, { "content-type": "text/html" })],
    ["an error's fields", json({ [key]: ["Unknown."], model: [`Not for ${key}.`] }, 400)],
    ["an error of FastAPI", json({ detail: [{ loc: ["header", key], msg: key }] }, 422)],
    ["an error's detail, with escaped slashes", json(`{"detail":"Bad key ${php}"}`, 401)],
    ["an error's message, with every letter escaped", json(`{"error":{"message":"Bad key ${escaped}"}}`, 400)],
    ["an error's fields, with escaped slashes", json(`{"${php}":["Unknown ${php}."]}`, 400)],
    ["maintenance", json({ error: "service_maintenance", detail: key, reason: key, mode: key, started_at: key }, 503)],
    ["a request id", json({ detail: "no" }, 400, { "x-request-id": key })],
    ["a redirect", json("", 302, { location: `https://${key.replaceAll(/[^a-z0-9-]/g, "")}.example.com/${key}` })],
    ["a success that is an error", json({ error: { message: `Bad key ${key}` } })],
    ["a success that is an error, with escaped slashes", json(`{"error":{"message":"Bad key ${php}"}}`)],
    ["a page", json(`<html>${key}</html>`, 200, { "content-type": "text/html" })],
    ["a text", json(`not JSON, ${key}`)],
    ["a content type", json("x", 200, { "content-type": `text/plain; key="${key}"` })],
    ["a completion of the wrong shape", json({ ...completion, id: key, choices: key })],
    ["an event", sse(chunk("a"), { error: { message: `Bad key ${key}`, type: key } })],
    ["an event, with escaped slashes", sse(chunk("a"), `{"error":{"message":"Bad key ${php}","type":"${escaped}"}}`)],
    ["an event that is no JSON", sse(chunk("a"), `Bad key ${key}`)],
    ["an event that is no chunk", sse(chunk("a"), { key, [key]: [key] })],
    ["a named event", json(`event: error\n${event(`Bad key ${key}`)}`, 200, { "content-type": "text/event-stream" })],
    ["an error's message, percent-encoded", json({ detail: `Bad key ${encodeURIComponent(key)}` }, 401)],
    ["an error's message, percent-encoded in lower case", json({ detail: encodeURIComponent(key).toLowerCase() }, 401)],
    ["an error's message, in base64", json({ detail: `Bad key ${btoa(key)}` }, 401)],
    ["an error's page, as basic credentials", json(`<html>Basic ${btoa(`me:${key}`)}</html>`, 502, { "content-type": "text/html" })],
    ["an error's code, type, param and address", json({ error: key, code: key, type: key, param: key, doc_url: `https://x/${key}` }, 418)],
    ["a request id of LiteLLM", json({ detail: "no" }, 400, { "x-litellm-call-id": key })]
  ])("is in no error when the server echoes it: %s", ([, answer]) =>
    Effect.gen(function* () {
      assertSecret(yield* Effect.flip(create(answer)), key)
      assertSecret(yield* Effect.flip(stream(answer)), key)
    })
  )

  it.live("is in no error when the response breaks off inside it", () =>
    Effect.gen(function* () {
      const most = key.slice(0, -2)
      const cut = breakOff(401, { "content-length": "1000" }, `Bad key ${most}`)
      assertSecret((yield* failure(create(cut), "Unauthorized")).error, most)
      assertSecret((yield* failure(create(json("x".repeat(64 * 1024 - 9) + key, 400)), "RequestRejected")).error, key.slice(0, 9))
    })
  )

  it.live("is in no error of a connection", () =>
    Effect.gen(function* () {
      const refused = yield* nowhere
      const reset = yield* serveBytes((socket) => socket.resetAndDestroy())
      const garbage = yield* serveBytes((socket) => socket.end(`HTTP/1.1 ${key}\r\n\r\n`))
      for (const baseUrl of [refused, reset, garbage]) {
        assertSecret(yield* Effect.flip((yield* clientOf({ baseUrl })).createChatCompletion(request)), key)
      }
    })
  )

  it.live("is in no span and no log", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.NativeSpan> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const logs: Array<unknown> = []
      const logger = Logger.make((entry) => logs.push({ ...entry, fiber: undefined }))
      for (const answer of [json(completion), json({ detail: `Bad key ${key}` }, 401), json({ detail: key }, 500)]) {
        yield* create(answer).pipe(
          Effect.tapError((error) => Effect.logError("It failed", error)),
          Effect.exit,
          Effect.withTracer(tracer),
          Effect.provide(Logger.layer([logger])),
          Effect.provideService(References.MinimumLogLevel, "All")
        )
      }
      assert.isAtLeast(spans.length, 3)
      assert.isAtLeast(logs.length, 2)
      for (const { attributes, events, links, name, status } of spans) {
        assertSecret({ name, attributes: [...attributes], events: [...events], links }, key)
        assertSecret(inspect(status, { depth: 10 }), key)
      }
      assertSecret(logs, key)
    })
  )

  it.live("is in no printed form of a client", () =>
    Effect.gen(function* () {
      assertSecret(yield* clientOf(), key)
    })
  )
})

const redactOf = (key: string) => {
  const secrets = new Secrets()
  secrets.add(key)
  return secrets.error
}

describe("the model's text", () => {
  it.live("is not changed, even if it contains the key", () =>
    Effect.gen(function* () {
      for (const answer of [sse(chunk(`Your key is ${key}.`), { error: "boom" }), sse(chunk(`Your key is ${key}.`))]) {
        const error = yield* Effect.flip(stream(answer))
        assert.strictEqual(error.partial?.choices[0]?.message.content, `Your key is ${key}.`)
        assertSecret(error.with({ partial: undefined }), key)
      }
    })
  )
})

describe("a key of less than 12 characters", () => {
  it.live.each(["token", "EMPTY", "ollama", "test", "chat", "11-letters-"])("is not masked in texts and names: %s", (apiKey) =>
    Effect.gen(function* () {
      const words = `The ${apiKey} of total_tokens, prompt_tokens: ${apiKey}.`
      const usage = { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4, [apiKey]: 1 }
      const error = yield* Effect.flip(stream(sse({ ...chunk("Hel"), usage }, { error: { message: words } }), { apiKey }))
      assert.deepStrictEqual<unknown>(error.usage, usage)
      assert.include(error.message, words)
      const rejected = yield* failure(create(json({ detail: words, fields: { [apiKey]: ["Odd"] } }, 400), { apiKey }), "RequestRejected")
      assert.strictEqual(rejected.reason.detail, words)
      assert.deepStrictEqual(rejected.reason.fields, { [apiKey]: ["Odd"] })
    })
  )

  it.live.each([
    ["Bearer token", "Bearer <redacted>"],
    ["bearer  token.", "bearer  <redacted>."],
    ["Bearer%20token", "Bearer%20<redacted>"],
    ['{"authorization":"token"}', '{"authorization":"<redacted>"}'],
    ['{\\"Authorization\\": \\"token\\"}', '{\\"Authorization\\": \\"<redacted>\\"}'],
    ["Authorization: Bearer token", "Authorization: Bearer <redacted>"],
    ["authorization=token", "authorization=<redacted>"]
  ])("is masked as a credential: %s", ([text = "", masked = ""]) =>
    Effect.gen(function* () {
      const { reason } = yield* failure(create(json(text, 400, { "content-type": "text/plain" }), { apiKey: "token" }), "RequestRejected")
      assert.strictEqual(reason.excerpt, masked)
    })
  )

  it.live.each(["Bearer tokens are needed", "bearer of token", "authorization: tokenless", "The token: bearer"])(
    "is not masked in another text: %s",
    (text) =>
      Effect.gen(function* () {
        const { reason } = yield* failure(create(json(text, 400, { "content-type": "text/plain" }), { apiKey: "token" }), "RequestRejected")
        assert.strictEqual(reason.excerpt, text)
      })
  )
})

describe("several keys", () => {
  it.live("are masked: of the client, of the call, and of every attempt", () =>
    Effect.gen(function* () {
      const keys = ["first-long-key-1", "second-long-key-2", "third-long-key-3"]
      const { baseUrl } = yield* serve(json(`no: ${keys.join(" ")}`, 401, { "content-type": "text/plain" }))
      let asked = 0
      const apiKey = () => keys[asked++] ?? "none"
      const client = yield* clientOf({ baseUrl, apiKey: keys[2] ?? "" })
      const { error, reason } = yield* failure(client.createChatCompletion(request, { apiKey }), "Unauthorized")
      assert.strictEqual(reason.excerpt, "no: <redacted> <redacted> <redacted>")
      for (const key of keys) assertSecret(error, key)
    })
  )

  it("of a call are masked in its errors alone", () => {
    const client = new Secrets()
    client.add("first-long-key-1")
    const call = new Secrets(client)
    call.add("second-long-key-2")
    assert.strictEqual(call.text("first-long-key-1 second-long-key-2"), "<redacted> <redacted>")
    assert.strictEqual(client.text("first-long-key-1 second-long-key-2"), "<redacted> second-long-key-2")
  })

  it("are the last 16, so that a client with a new key for each attempt stays small", () => {
    const secrets = new Secrets()
    for (let i = 0; i < 40; i++) secrets.add(`a-long-key-number-${i}.`)
    assert.strictEqual(secrets.text("a-long-key-number-39."), "<redacted>")
    assert.strictEqual(secrets.text("a-long-key-number-24."), "<redacted>")
    assert.strictEqual(secrets.text("of key-number-23."), "of key-number-23.")
  })

  it.live("include the secret parameters of the base URL", () =>
    Effect.gen(function* () {
      const query = "sig=a-long-signature-1&api-version=2026-01-01-preview"
      const echo = json(`no ${query}`, 400, { "content-type": "text/plain" })
      const { baseUrl } = yield* serve(echo)
      const client = yield* clientOf({ baseUrl: `${baseUrl}/v1?${query}` })
      const { reason } = yield* failure(client.createChatCompletion(request), "RequestRejected")
      assert.strictEqual(reason.excerpt, "no sig=<redacted>&api-version=2026-01-01-preview")
    })
  )

  it.live("include the values of secret headers", () =>
    Effect.gen(function* () {
      const headers = { "api-key": "an-azure-api-key-1", "x-tenant": "an-ordinary-tenant" }
      const echo = "an-azure-api-key-1 an-ordinary-tenant"
      const { reason } = yield* failure(create(json(echo, 400, { "content-type": "text/plain" }), { headers }), "RequestRejected")
      assert.strictEqual(reason.excerpt, "<redacted> an-ordinary-tenant")
    })
  )
})

describe("an exception", () => {
  const secrets = new Secrets()
  secrets.add(key)

  it("is copied without the key, with its name, code, stack and causes", () => {
    const inner = Object.assign(new RangeError(`inner ${key}`), { headers: { authorization: `Bearer ${key}` } })
    const outer = Object.assign(new TypeError(`outer ${key}`, { cause: inner }), { code: "E_X", request: { key } })
    const copy = secrets.cause(outer)
    assertSecret(copy, key)
    assert.deepStrictEqual([copy.name, copy.message, Reflect.get(copy, "code")], ["TypeError", "outer <redacted>", "E_X"])
    assert.match(copy.stack ?? "", /^TypeError: outer <redacted>\n\s+at /)
    assert.strictEqual((copy.cause as Error).message, "inner <redacted>")
  })

  it.each<[unknown, string]>([
    ["a text", "a text"],
    [undefined, "undefined"],
    [null, "an object"],
    [{ toString: "x" }, "an object"],
    [Symbol("x"), "Symbol(x)"]
  ])("may be any value: %s", (value, message) => {
    assert.strictEqual(secrets.cause(value).message, message)
  })

  it("has a bounded chain of causes", () => {
    const looping = new Error("loop")
    looping.cause = looping
    assert.strictEqual(secrets.cause(looping).message, "loop")
  })
})

describe("an error without the key", () => {
  const attempts = [{ reason: "RateLimited", status: 429, requestId: "r-0", durationMillis: 5, delayMillis: undefined }] as const
  const partial = { ...completion, choices: [{ index: 0, message: { role: "assistant" as const, content: "Hel" }, finish_reason: null }] }
  const limited = (detail: string) =>
    new RateLimited({ status: 429, detail, excerpt: `{"detail":"${detail}"}`, retryAfter: Duration.seconds(3) })
  const redact = redactOf(key)

  it("equals the error if the key is not in it", () => {
    const error = new ParadigmError({ reason: limited("Slow"), requestId: "r-1", attempts, partial, usage: completion.usage })
    const redacted = redact(error)
    assert.deepStrictEqual(JSON.stringify(redacted), JSON.stringify(error))
    assert.strictEqual(redacted.message, error.message)
    assert.instanceOf(redacted.reason, RateLimited)
    assert.deepStrictEqual(redacted.reason.retryAfter, Duration.seconds(3))
    assert.isTrue(redacted.isRetryable)
  })

  it("has the key masked in every member of its reason", () => {
    const fields = { [`a.${key}`]: ["Odd", `${key}!`], b: ["Bad"] }
    const rejected = new RequestRejected({ status: 422, detail: `It is ${key}.`, excerpt: `<${key}|${key}>`, fields })
    const { reason } = redact(new ParadigmError({ reason: rejected }))
    assert.deepStrictEqual(JSON.parse(JSON.stringify(reason)), {
      ...JSON.parse(JSON.stringify(rejected)),
      detail: "It is <redacted>.",
      excerpt: "<<redacted>|<redacted>>",
      fields: { "a.<redacted>": ["Odd", "<redacted>!"], b: ["Bad"] }
    })
  })

  it("masks the key in another case, and in usage and completion except for names and the model's text", () => {
    const extended = { ...completion.usage, billed: [{ to: key }], [key]: 1 }
    const masked = { ...completion.usage, billed: [{ to: "<redacted>" }], [key]: 1 }
    const refused = new RedirectRefused({ status: 307, url: `https://${key.toUpperCase()}.example.com/` })
    const error = redact(new ParadigmError({ reason: refused, usage: extended, partial: Object.assign({}, partial, { account: { key } }) }))
    assert.include(error.message, "https://<redacted>.example.com")
    assert.deepStrictEqual<unknown>(error.usage, masked)
    assert.deepStrictEqual<unknown>(error.partial, { ...partial, account: { key: "<redacted>" } })
  })

  it("keeps every text of the model", () => {
    const message = {
      role: "assistant" as const,
      content: key,
      reasoning: key,
      reasoning_content: key,
      refusal: key,
      tool_calls: [{ id: "a", type: "function" as const, function: { name: "f", arguments: JSON.stringify({ key }) } }]
    }
    const said = { ...completion, choices: [{ index: 0, message, finish_reason: null, logprobs: { content: [{ token: key }] } }] }
    const error = redact(new ParadigmError({ reason: new Aborted({ choices: [0] }), partial: said as unknown as ChatCompletion }))
    assert.deepStrictEqual<unknown>(error.partial, said)
  })

  it.live("has no key that the server writes into the chunks before an error", () =>
    Effect.gen(function* () {
      const echoed = { ...chunk("Hel"), id: key, model: key, system_fingerprint: key, vendor: { to: [key] }, usage: { plan: key } }
      for (const answer of [sse(echoed, { error: "boom" }), sse(echoed), sse(echoed, "no chunk")]) {
        const error = yield* Effect.flip(stream(answer))
        assertSecret(error, key)
        assert.strictEqual(error.partial?.choices[0]?.message.content, "Hel")
      }
    })
  )

  it.live.each([
    ["paradigm-prod-key-0001", "not a valid key for paradigm"],
    ["alfred-4.2-team-key-1", "The server does not know alfred-4.2"]
  ])("keeps a text that ends with the beginning of the key but was not cut: %s", ([apiKey = "", detail = ""]) =>
    Effect.gen(function* () {
      const { reason } = yield* failure(create(json({ detail }, 400), { apiKey }), "RequestRejected")
      assert.strictEqual(reason.detail, detail)
    })
  )

  it("masks a key of which the middle was cut out", () => {
    for (let length = 6; length < key.length - 6; length++) {
      const path = `headers.${key.slice(0, length)}…${key.slice(-length)}.x`
      const rejected = new RequestRejected({ status: 422, detail: path, excerpt: "", fields: { [path]: ["Odd"] } })
      const { reason } = redact(new ParadigmError({ reason: rejected }))
      assert.deepStrictEqual(JSON.parse(JSON.stringify(reason)).fields, { "headers.<redacted>…<redacted>.x": ["Odd"] })
    }
  })

  it("keeps the cause, cleaned, and the anomalies, cleaned", () => {
    const cause = new TypeError(`bad ${key}`)
    const failed = new TransportFailed({ phase: "headers", exception: "TypeError", cause })
    const anomalies = [{ repair: "removed" as const, path: key, expected: "object", raw: `"${key}"`, count: 1 }]
    const error = redact(new ParadigmError({ reason: failed, anomalies }))
    assertSecret(error, key)
    assert.strictEqual((error.cause as Error).message, "bad <redacted>")
    assert.include(error.message, "TypeError: bad <redacted>")
    assert.deepStrictEqual(error.anomalies, [{ repair: "removed", path: "<redacted>", expected: "object", raw: '"<redacted>"', count: 1 }])
  })

  it("is not changed if it ends with a few letters of the key", () => {
    assert.include(redact(new ParadigmError({ reason: limited("Keys begin with sk-") })).message, "begin with sk-")
  })

  it("masks the beginning of a key at the end of a text that was cut, wherever it was cut", () => {
    for (let length = 6; length < key.length; length++) {
      const cut = key.slice(0, length)
      const text = `Bad key ${cut}…`
      assertSecret(redact(new ParadigmError({ reason: new MalformedChunk({ detail: text, text }) })), cut)
      assertSecret(
        redact(new ParadigmError({ reason: new MalformedChunk({ detail: "", text: excerpt("x".repeat(4095 - length) + key) }) })),
        cut
      )
    }
  })

  it.each(["a.b*c+d?(e)[f]{g}^$|", 'q"u\\o/t-q"u\\o/t', "-]^[-----]^[-", "$&$1$`$&$1$`$", "(?:(?:(?:(?:(?:", "\\\\\\\\\\\\\\\\\\\\\\\\"])(
    "has no key of special characters: %s",
    (key) => {
      for (const text of [key, JSON.stringify(key).slice(1, -1), encodeURIComponent(key), btoa(key)]) {
        const redacted = redactOf(key)(new ParadigmError({ reason: limited(`<${text}>`) }))
        assertSecret(redacted, text)
        assert.include(redacted.message, "<<redacted>")
      }
    }
  )

  it("may nest at any depth", () => {
    let deep: unknown = key
    for (let depth = 0; depth < 20_000; depth++) deep = [deep]
    const reason = new Aborted({ choices: deep as ReadonlyArray<number> })
    assert.strictEqual(redact(new ParadigmError({ reason })).reason._tag, "Aborted")
  })
})
