import { describe, assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import * as Redaction from "../../src/errors/redaction.ts"
import { excerpt, MalformedChunk, ParadigmError, RateLimited, RedirectRefused, RequestRejected } from "../../src/ParadigmError.ts"
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
    ["a chunk before an error", sse(chunk(`Your key is ${key}.`), { error: "boom" })],
    ["two chunks before an error", sse(chunk(`Your key is ${key.slice(0, 9)}`), chunk(key.slice(9)), { error: "boom" })],
    ["a chunk before the end", sse(chunk(`Your key is ${key}.`))]
  ])("is in no error when the server tells it: %s", ([, answer]) =>
    Effect.gen(function* () {
      assertSecret(yield* Effect.flip(create(answer)), key)
      assertSecret(yield* Effect.flip(stream(answer)), key)
    })
  )

  it.live("is in no error when the server tells it and stops in the middle of it", () =>
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

  it.live("is in no span and in no log", () =>
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

  it.live("is in nothing that a client shows of itself", () =>
    Effect.gen(function* () {
      assertSecret(yield* clientOf(), key)
    })
  )
})

describe("an error without the key", () => {
  const attempts = [{ reason: "RateLimited", status: 429, requestId: "r-0", durationMillis: 5, delayMillis: undefined }] as const
  const partial = { ...completion, choices: [{ index: 0, message: { role: "assistant" as const, content: "Hel" }, finish_reason: null }] }
  const limited = (detail: string) =>
    new RateLimited({ status: 429, detail, excerpt: `{"detail":"${detail}"}`, retryAfter: Duration.seconds(3) })
  const redact = Redaction.make(Redacted.make(key))

  it("is as it was", () => {
    const error = new ParadigmError({ reason: limited("Slow"), requestId: "r-1", attempts, partial, usage: completion.usage })
    const redacted = redact(error)
    assert.deepStrictEqual(JSON.stringify(redacted), JSON.stringify(error))
    assert.strictEqual(redacted.message, error.message)
    assert.instanceOf(redacted.reason, RateLimited)
    assert.deepStrictEqual(redacted.reason.retryAfter, Duration.seconds(3))
    assert.isTrue(redacted.isRetryable)
  })

  it("is as it was, but for the key", () => {
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

  it("is without it in what nobody modelled, and in another case", () => {
    const extended = { ...completion.usage, billed: [{ to: key }] }
    const refused = new RedirectRefused({ status: 307, origin: `https://${key.toUpperCase()}.example.com` })
    const error = redact(new ParadigmError({ reason: refused, usage: extended, partial: Object.assign({}, partial, { account: { key } }) }))
    assertSecret(error, key)
    assert.include(error.message, "https://<redacted>.example.com")
    assert.deepStrictEqual<unknown>(error.usage, { ...completion.usage, billed: [{ to: "<redacted>" }] })
  })

  it("may end with a few of its letters", () => {
    assert.include(redact(new ParadigmError({ reason: limited("Keys begin with sk-") })).message, "begin with sk-")
  })

  it("ends before the most of its letters, wherever it was cut", () => {
    for (let length = 6; length < key.length; length++) {
      const cut = key.slice(0, length)
      const text = `Bad key ${cut}`
      assertSecret(redact(new ParadigmError({ reason: new MalformedChunk({ detail: text, text }) })), cut)
      assertSecret(
        redact(new ParadigmError({ reason: new MalformedChunk({ detail: "", text: excerpt("x".repeat(4095 - length) + key) }) })),
        cut
      )
    }
  })

  it.each(["a.b*c+d?(e)[f]{g}^$|", 'q"u\\o/t', "-]^[-", "$&$1$`", "sk-é".normalize("NFD").replaceAll(/[^!-~]/g, "_"), "(?:", "0"])(
    "is without any key: %s",
    (key) => {
      const error = new ParadigmError({ reason: limited(`<${key}>`), partial: { ...partial, model: JSON.stringify(key) } })
      const redacted = Redaction.make(Redacted.make(key))(error)
      if (key.length > 1) assertSecret(redacted, key)
      assert.include(redacted.message, "<<redacted>>")
    }
  )

  it("may nest as deep as it likes", () => {
    let deep: unknown = key
    for (let depth = 0; depth < 20_000; depth++) deep = [deep]
    const error = redact(new ParadigmError({ reason: limited("Slow"), usage: Object.assign({}, completion.usage, { deep }) }))
    assert.strictEqual(error.usage?.total_tokens, 3)
  })
})
