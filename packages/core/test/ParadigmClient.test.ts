import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { ServerResponse } from "node:http"
import type { Anomaly } from "../src/Anomaly.ts"
import { Socket } from "node:net"
import type { ChatCompletionRequest } from "../src/ChatCompletion.ts"
import type { ParadigmErrorReason } from "../src/ParadigmError.ts"
import {
  type Answer,
  begin,
  breakOff,
  chunk,
  clientOf,
  completion,
  create,
  event,
  failure,
  json,
  key,
  request,
  type Seen,
  serve,
  sse,
  stream
} from "./Loopback.ts"

const endless: Answer = (response) => {
  response.writeHead(401, { "content-type": "application/json" })
  response.write('{"detail":"half')
}

const broken = breakOff(401, { "content-length": "1000" }, "half")

const huge = json(`<html>half${"x".repeat(1024 * 1024)}`, 401, { "content-type": "text/html" })

const flood: Answer = (response) => {
  response.writeHead(401)
  const write = () => {
    while (!response.destroyed && response.write("half".repeat(4096)));
  }
  response.on("drain", write)
  write()
}

const redirect =
  (location?: string): Answer =>
  (response) =>
    response.writeHead(302, location === undefined ? {} : { location }).end()

describe("a request", () => {
  it.live("is sent as JSON with the model and the messages", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      yield* (yield* clientOf({ baseUrl })).createChatCompletion(request)
      const { body, headers, method, path, rawHeaders } = yield* Queue.take(requests)
      assert.deepStrictEqual([method, path], ["POST", "/api/v3/chat/completions"])
      assert.strictEqual(body, '{"model":"alfred","messages":[{"role":"user","content":"Hello"}]}')
      assert.strictEqual(headers["content-type"], "application/json")
      assert.strictEqual(headers["content-length"], String(body.length))
      assert.strictEqual(headers.accept, "application/json")
      assert.strictEqual(headers.authorization, `Bearer ${key}`)
      assert.strictEqual(rawHeaders.filter((name) => name.toLowerCase() === "authorization").length, 1)
    })
  )

  it.live("for a stream sets stream, and accepts event streams and JSON", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(sse(chunk("a", "stop"), "[DONE]"))
      yield* Stream.runDrain((yield* clientOf({ baseUrl })).streamChatCompletion(request))
      const { body, headers } = yield* Queue.take(requests)
      assert.deepStrictEqual(JSON.parse(body), { ...request, stream: true })
      assert.strictEqual(headers.accept, "application/json, text/event-stream")
    })
  )

  it.live("has no trace headers within a span", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      yield* Effect.withSpan((yield* clientOf({ baseUrl })).createChatCompletion(request), "outside")
      const { headers } = yield* Queue.take(requests)
      for (const name of Object.keys(headers)) assert.notMatch(name, /trace|^b3$|^x-b3|baggage/)
    })
  )

  it.live("is encoded as UTF-8", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const messages = [{ role: "user" as const, content: "é水😀\u2028\0 \ud83d" }]
      yield* (yield* clientOf({ baseUrl })).createChatCompletion({ ...request, messages })
      const { body, headers } = yield* Queue.take(requests)
      assert.deepStrictEqual(JSON.parse(body), { ...request, messages })
      assert.strictEqual(headers["content-length"], String(Buffer.byteLength(body)))
    })
  )

  it.live("has the headers of the client, overridden by those of the call", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientOf({ baseUrl, headers: { "x-tenant": "a", "x-other": "b" } })
      yield* client.createChatCompletion(request, { headers: { "x-tenant": "c" } })
      const { headers } = yield* Queue.take(requests)
      assert.deepStrictEqual([headers["x-tenant"], headers["x-other"], headers.authorization], ["c", "b", `Bearer ${key}`])
    })
  )

  it.live("is rejected before sending if it is invalid", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientOf({ baseUrl })
      const wrong = [{ model: "alfred" }, { ...request, temperature: Number.NaN }, { ...request, n: "2" }, undefined, null, "Hello"]
      for (const value of wrong as ReadonlyArray<ChatCompletionRequest>) {
        for (const call of [client.createChatCompletion(value), Stream.runDrain(client.streamChatCompletion(value))]) {
          assert.isFalse((yield* failure(call, "InvalidRequest")).error.isRetryable)
        }
      }
      assert.strictEqual(yield* Queue.size(requests), 0)
    })
  )

  it.live("is rejected before sending if its stream field contradicts the method", () =>
    Effect.gen(function* () {
      const client = yield* clientOf({ baseUrl: "http://127.0.0.1:9" })
      const { reason } = yield* failure(client.createChatCompletion({ ...request, stream: true }), "InvalidRequest")
      assert.deepStrictEqual(Object.keys(reason.fields), ["stream"])
      yield* failure(Stream.runDrain(client.streamChatCompletion({ ...request, stream: false })), "InvalidRequest")
    })
  )
})

describe("a response", () => {
  it.live("resolves to the completion with its unknown fields", () =>
    Effect.gen(function* () {
      const extended = { ...completion, prompt_logprobs: null, provider: { name: "p" } }
      assert.deepStrictEqual(yield* create(json(extended)), extended)
    })
  )

  it.live.each([
    ["application/json; charset=utf-8", ""],
    ["application/vnd.paradigm+json", ""],
    ["text/plain", ""],
    ["application/json", "\ufeff"],
    ["application/json", " \r\n"]
  ])("may be %s (%#)", ([contentType = "", before]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* create(json(before + JSON.stringify(completion), 200, { "content-type": contentType })), completion)
    })
  )

  it.live("is accepted with 8 MiB", () =>
    Effect.gen(function* () {
      const content = "é".repeat(4 * 1024 * 1024)
      const large = { ...completion, choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }] }
      assert.strictEqual((yield* create(json(large))).choices[0]?.message.content, content)
    })
  )

  it.live("emits every chunk of a stream", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* stream(sse(chunk("Hel"), chunk("lo"), chunk("", "stop"), "[DONE]")), [
        chunk("Hel"),
        chunk("lo"),
        chunk("", "stop")
      ])
    })
  )

  it.live.each([
    "text/event-stream; charset=utf-8",
    "Text/Event-Stream",
    "text/event-stream ;x=y",
    "text/event-stream;charset=windows-1252"
  ])("that is streamed may be %s", (contentType) =>
    Effect.gen(function* () {
      const answer = json(event(chunk("é", "stop")) + event("[DONE]"), 200, { "content-type": contentType })
      assert.deepStrictEqual(yield* stream(answer), [chunk("é", "stop")])
    })
  )

  it.live("emits each chunk of a stream when it arrives", () =>
    Effect.gen(function* () {
      const sent = yield* Queue.unbounded<ServerResponse>()
      const { baseUrl } = yield* serve((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.flushHeaders()
        Queue.offerUnsafe(sent, response)
      })
      const emitted = yield* Queue.unbounded<unknown>()
      const client = yield* clientOf({ baseUrl })
      const fiber = yield* client.streamChatCompletion(request).pipe(
        Stream.runForEach((chunk) => Queue.offer(emitted, chunk)),
        Effect.forkChild
      )
      const response = yield* Queue.take(sent)
      for (const content of ["a", "b", "c"]) {
        response.write(event(chunk(content)))
        assert.deepStrictEqual(yield* Queue.take(emitted), chunk(content))
      }
      response.end(event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }) + event("[DONE]"))
      yield* Fiber.join(fiber)
    })
  )

  const finished = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }

  it.live("keeps the chunks of concurrent streams apart", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve((response, { body }) => {
        const content = JSON.parse(body).messages[0].content
        sse(...Array.from({ length: 50 }, (_, at) => chunk(`${content}-${at} `)), finished, "[DONE]")(response, {} as Seen)
      })
      const client = yield* clientOf({ baseUrl })
      const texts = yield* Effect.forEach(
        Array.from({ length: 30 }, (_, number) => `é${number}`),
        (content) =>
          client.streamChatCompletion({ ...request, messages: [{ role: "user", content }] }).pipe(
            Stream.runCollect,
            Effect.map((chunks) => [content, chunks.map(({ choices }) => choices[0]?.delta.content).join("")] as const)
          ),
        { concurrency: "unbounded" }
      )
      for (const [content, text] of texts) {
        assert.strictEqual(text, Array.from({ length: 50 }, (_, at) => `${content}-${at} `).join(""))
      }
    })
  )
})

describe("a response with an error status", () => {
  const cases: ReadonlyArray<[number, unknown, ParadigmErrorReason["_tag"], boolean]> = [
    [400, { id: null, code: 400, error: "bad_request", detail: "why" }, "RequestRejected", false],
    [401, { detail: "why" }, "Unauthorized", false],
    [403, { error: "why", code: 403 }, "Forbidden", false],
    [404, { error: { message: "why", type: "NotFoundError", param: "model", code: 404 } }, "ModelNotFound", false],
    [408, "why", "RequestRejected", true],
    [422, { error: "validation_error", detail: "why", fields: { n: [{ error: "x", detail: "X" }] } }, "RequestRejected", false],
    [429, { detail: "why" }, "RateLimited", true],
    [500, { object: "error", message: "why", type: "InternalServerError", code: 500 }, "ServerFault", false],
    [502, "why", "ServerFault", true],
    [503, { error: "service_maintenance", detail: "x", reason: "why", mode: "full_shutdown" }, "Maintenance", false],
    [504, "why", "ServerFault", true]
  ]

  it.live.each(cases)("fails completions and streams with its reason (%#)", ([status, body, tag, isRetryable]) =>
    Effect.gen(function* () {
      const answer = json(body, status, { "x-request-id": "r-1" })
      for (const call of [create(answer), stream(answer)]) {
        const { error } = yield* failure(call, tag)
        assert.strictEqual(error.status, status)
        assert.strictEqual(error.requestId, "r-1")
        assert.strictEqual(error.isRetryable, isRetryable)
        assert.include(error.message, "why")
        assert.include(error.message, "r-1")
        assert.isUndefined(error.partial)
      }
    })
  )

  it.live("has the delay of retry-after, in seconds or as a date", () =>
    Effect.gen(function* () {
      const date = new Date(Date.now() + 3600_000).toUTCString()
      for (const [header, least, most] of [
        ["7", 7000, 7000],
        [date, 3590_000, 3600_000]
      ] as const) {
        const { reason } = yield* failure(create(json("", 429, { "retry-after": header })), "RateLimited")
        const wait = reason.retryAfter === undefined ? Number.NaN : Duration.toMillis(reason.retryAfter)
        assert.isAtLeast(wait, least)
        assert.isAtMost(wait, most)
      }
    })
  )

  it.live("quotes the beginning of an endless, broken or huge body", () =>
    Effect.gen(function* () {
      const errors = yield* Effect.forEach([endless, broken, huge, flood], (answer) => failure(create(answer), "Unauthorized"), {
        concurrency: "unbounded"
      })
      for (const { reason } of errors) {
        assert.include(reason.excerpt, "half")
        assert.isAtMost(reason.excerpt.length, 4096)
      }
    })
  )

  it.live("closes the connection of an endless body", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve((response) => response.writeHead(500).write("half"))
      yield* failure((yield* clientOf({ baseUrl })).createChatCompletion(request), "ServerFault")
      yield* (yield* Queue.take(requests)).closed
    })
  )

  it.live("fails with RedirectRefused and does not follow the redirect", () =>
    Effect.gen(function* () {
      const elsewhere = yield* serve(json(completion))
      for (const status of [301, 302, 303, 307, 308]) {
        const { baseUrl, requests } = yield* serve((response) => {
          response.writeHead(status, { location: `${elsewhere.baseUrl}/there?token=x` }).end("moved")
        })
        const client = yield* clientOf({ baseUrl })
        for (const call of [client.createChatCompletion(request), Stream.runDrain(client.streamChatCompletion(request))]) {
          const { error, reason } = yield* failure(call, "RedirectRefused")
          assert.deepStrictEqual([reason.status, reason.url], [status, `${elsewhere.baseUrl}/there`])
          assert.isFalse(error.isRetryable)
        }
        assert.strictEqual(yield* Queue.size(requests), 2)
      }
      assert.strictEqual(yield* Queue.size(elsewhere.requests), 0)
    })
  )

  it.live("fails with RedirectRefused for a missing, invalid or relative location", () =>
    Effect.gen(function* () {
      assert.isUndefined((yield* failure(create(redirect()), "RedirectRefused")).reason.url)
      assert.isUndefined((yield* failure(create(redirect("http://[")), "RedirectRefused")).reason.url)
      assert.match((yield* failure(create(redirect("/login")), "RedirectRefused")).reason.url ?? "", /^http:\/\/127\.0\.0\.1:\d+\/login$/)
      yield* failure(
        create((response) => response.writeHead(304).end()),
        "RedirectRefused"
      )
    })
  )
})

describe("a response that is not a completion", () => {
  const html = "<!doctype html><html><title>Welcome</title></html>"

  it.live.each<[string, Answer, RegExp]>([
    [
      "HTML",
      json(html, 200, { "content-type": "text/html" }),
      /^http:\/\/127\.0\.0\.1:\d+\/api\/v3\/chat\/completions is a page: check baseUrl \(\/api\/v3\)$/
    ],
    ["HTML with the content type of JSON", json(html), /JSON/],
    ["empty", json(""), /empty/],
    ["no content", (response) => response.writeHead(204).end(), /status/],
    ["half a JSON text", json(JSON.stringify(completion).slice(0, 60)), /JSON/],
    ["two JSON texts", json(JSON.stringify(completion) + JSON.stringify(completion)), /JSON/],
    ["null", json("null"), /./],
    ["a list", json([completion]), /./],
    ["an empty object", json({}), /choices/],
    ["without choices", json({ ...completion, choices: undefined }), /choices/],
    [
      "of the wrong shape",
      json({ ...completion, choices: [{ index: 0, message: { role: "assistant", content: 1 } }] }),
      /choices\[0\]\.message\.content/
    ],
    ["an event stream", sse(chunk("a", "stop"), "[DONE]"), /JSON/]
  ])("fails with UnexpectedResponse: %s", ([, answer, detail]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(create(answer), "UnexpectedResponse")
      assert.match(reason.detail, detail)
      assert.include(error.message, String(reason.status))
      assert.isFalse(error.isRetryable)
    })
  )

  it.live.each<[string, Answer, RegExp]>([
    ["HTML", json(html, 200, { "content-type": "text/html" }), /chat\/completions is a page: check baseUrl/],
    ["a completion in JSON", json(completion), /event stream/],
    ["empty", json(""), /event stream/],
    ["half a completion", json(JSON.stringify(completion).slice(0, 60)), /event stream/]
  ])("fails with UnexpectedResponse for a stream: %s", ([, answer, detail]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(stream(answer), "UnexpectedResponse")
      assert.match(reason.detail, detail)
      assert.isFalse(error.isRetryable)
    })
  )

  it.live("has the beginning of its body in the error, but not in the message", () =>
    Effect.gen(function* () {
      const long = json(html + "x".repeat(200_000), 200, { "content-type": "text/html", "x-request-id": "r-1" })
      for (const call of [create(long), stream(long)]) {
        const { error, reason } = yield* failure(call, "UnexpectedResponse")
        assert.match(reason.excerpt, /^<!doctype html>/)
        assert.isAtMost(reason.excerpt.length, 4096)
        assert.strictEqual(reason.contentType, "text/html")
        assert.deepStrictEqual([error.status, error.requestId], [200, "r-1"])
        assert.notInclude(error.message, "doctype")
      }
    })
  )

  it.live.each<[string, Answer]>([
    ["nested", json({ error: { message: "boom", type: "InternalServerError", code: 500 } })],
    ["flat", json({ object: "error", message: "boom", code: 500 })],
    ["a string", json({ error: "boom" })]
  ])("fails with StreamFault if it is an error in JSON: %s", ([, answer]) =>
    Effect.gen(function* () {
      for (const call of [create(answer), stream(answer)]) assert.strictEqual((yield* failure(call, "StreamFault")).reason.detail, "boom")
    })
  )

  it.live("fails before the end of an endless body", () =>
    Effect.gen(function* () {
      const endless = [begin("text/event-stream", event(chunk("a"))), begin("text/html", html)]
      const page = begin("text/html", html)
      yield* Effect.all(
        [...endless.map((answer) => failure(create(answer), "UnexpectedResponse")), failure(stream(page), "UnexpectedResponse")],
        {
          concurrency: "unbounded"
        }
      )
    })
  )
})

describe("a failed stream", () => {
  it.live("has the partial completion after an error event", () =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(
        stream(sse(chunk("Hel"), chunk("lo"), { error: { message: "boom", code: 500 } }, "[DONE]")),
        "StreamFault"
      )
      assert.strictEqual(reason.detail, "boom")
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hello")
      assert.strictEqual(error.requestId, "r-1")
    })
  )

  it.live("has the partial completion after a truncation", () =>
    Effect.gen(function* () {
      const { error } = yield* failure(stream(sse(chunk("Hel"), chunk("lo"))), "StreamTruncated")
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hello")
      yield* failure(stream(sse()), "StreamTruncated")
    })
  )

  it.live("has the partial completion after a lost connection", () =>
    Effect.gen(function* () {
      const cut = breakOff(200, { "content-type": "text/event-stream" }, event(chunk("Hel")) + event(chunk("lo")))
      const { error, reason } = yield* failure(stream(cut), "ConnectionLost")
      assert.strictEqual(reason.phase, "body")
      assert.isFalse(error.isRetryable)
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hello")
    })
  )
})

describe("anomalies", () => {
  const usage = { prompt_tokens: 1, completion_tokens: 2 }
  const of = (anomalies: ReadonlyArray<Anomaly> = []) => anomalies.map(({ count, path, repair }) => [repair, path, count])
  const inUsage = ["usage", "usage", 1]
  const policy = { maxAttempts: 2, baseDelay: 1 }

  // Answers with one after the other, and with the last one from then on.
  const inTurn = (...answers: ReadonlyArray<Answer>): Answer => {
    let attempt = 0
    return (response, seen) => answers[Math.min(attempt++, answers.length - 1)]?.(response, seen)
  }

  it.live("of a completion are in its response", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(inTurn(json({ ...completion, usage }), json(completion)))
      const client = yield* clientOf({ baseUrl })
      const { completion: repaired, response } = yield* client.createWithResponse(request)
      assert.deepStrictEqual(repaired, completion)
      assert.deepStrictEqual(of(response.anomalies), [inUsage])
      assert.deepStrictEqual((yield* client.createWithResponse(request)).response.anomalies, [])
    })
  )

  it.live("of a stream grow while it is read", () =>
    Effect.gen(function* () {
      const open = Deferred.makeUnsafe<ServerResponse>()
      const { baseUrl } = yield* serve((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.write(event(chunk("Hel")))
        Deferred.doneUnsafe(open, Effect.succeed(response))
      })
      const { chunks, response } = yield* (yield* clientOf({ baseUrl })).streamWithResponse(request)
      assert.deepStrictEqual(response.anomalies, [])
      const seen: Array<ReadonlyArray<unknown>> = []
      const texts: ReadonlyArray<string> = [event({ ...chunk("lo"), usage }), event({ ...chunk("", "stop"), usage }) + event("[DONE]")]
      yield* Stream.runForEach(chunks, () =>
        Effect.gen(function* () {
          seen.push(of(response.anomalies))
          const text = texts[seen.length - 1]
          if (text !== undefined) (yield* Deferred.await(open)).write(text)
        })
      )
      assert.deepStrictEqual(seen, [[], [inUsage], [["usage", "usage", 2]]])
    })
  )

  it.live.each<[string, Answer]>([
    ["an early end", sse({ ...chunk("Hel"), usage })],
    ["an abort", sse({ ...chunk("Hel", "abort"), usage }, "[DONE]")],
    ["a reported error", sse({ ...chunk("Hel"), usage }, { error: { message: "boom" } })],
    ["an event that is no chunk", sse({ ...chunk("Hel"), usage }, "oops")],
    ["a lost connection", breakOff(200, { "content-type": "text/event-stream" }, event({ ...chunk("Hel"), usage }))]
  ])("are in the error of a stream with %s", ([, answer]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(stream(answer))
      assert.deepStrictEqual(of(error.anomalies), [inUsage], error.message)
      assert.strictEqual(error.partial?.usage?.total_tokens, 3)
    })
  )

  it.live("are in the error of a completion that was aborted or cannot be read", () =>
    Effect.gen(function* () {
      const [choice] = completion.choices
      const aborted = { ...completion, usage, choices: [{ ...choice, finish_reason: "abort" }] }
      assert.deepStrictEqual(of((yield* failure(create(json(aborted)), "Aborted")).error.anomalies), [inUsage])
      const { error } = yield* failure(create(json({ ...completion, usage, choices: "none" })), "UnexpectedResponse")
      assert.deepStrictEqual(of(error.anomalies).slice(0, 1), [inUsage])
    })
  )

  it.live("are those of the last attempt", () =>
    Effect.gen(function* () {
      const [choice] = completion.choices
      const aborted = json({ ...completion, usage, choices: [{ ...choice, finish_reason: "abort" }] })
      const { baseUrl } = yield* serve(inTurn(aborted, json(completion), aborted))
      const client = yield* clientOf({ baseUrl, retry: policy })
      assert.deepStrictEqual((yield* client.createWithResponse(request)).response.anomalies, [])
      const { error } = yield* failure(client.createChatCompletion(request), "Aborted")
      assert.strictEqual(error.attempts.length, 2)
      assert.deepStrictEqual(of(error.anomalies), [inUsage])
    })
  )

  it.live("and the head of a stream are those of the response that replaced an aborted one", () =>
    Effect.gen(function* () {
      const first = sse({ ...chunk("", "abort"), usage }, "[DONE]")
      const second: Answer = (response) => {
        response.writeHead(200, { "content-type": "text/event-stream", "x-request-id": "r-2" })
        response.end(event({ ...chunk("Hello", "stop") }) + event("[DONE]"))
      }
      const { baseUrl } = yield* serve(inTurn(first, second))
      const { chunks, response } = yield* (yield* clientOf({ baseUrl, retry: policy })).streamWithResponse(request)
      assert.strictEqual(response.requestId, "r-1")
      assert.deepStrictEqual(
        (yield* Stream.runCollect(chunks)).map((chunk) => chunk.choices[0]?.delta.content),
        ["Hello"]
      )
      assert.strictEqual(response.requestId, "r-2")
      assert.deepStrictEqual(response.anomalies, [])
    })
  )
})

describe("interrupting", () => {
  it.live("a call before its response closes the connection", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(() => {})
      const client = yield* clientOf({ baseUrl })
      for (const call of [client.createChatCompletion(request), Stream.runDrain(client.streamChatCompletion(request))]) {
        const fiber = yield* Effect.forkChild(call)
        const { closed } = yield* Queue.take(requests)
        yield* Fiber.interrupt(fiber)
        yield* closed
      }
    })
  )

  it.live("a call in the middle of its body closes the connection", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("application/json", '{"id":'))
      const fiber = yield* Effect.forkChild((yield* clientOf({ baseUrl })).createChatCompletion(request))
      const { closed } = yield* Queue.take(requests)
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(fiber)
      yield* closed
    })
  )

  it.live("a stream after its first chunk closes the connection", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/event-stream", event(chunk("a"))))
      const first = yield* Deferred.make<void>()
      const fiber = yield* (yield* clientOf({ baseUrl })).streamChatCompletion(request).pipe(
        Stream.runForEach(() => Deferred.succeed(first, undefined)),
        Effect.forkChild
      )
      const { closed } = yield* Queue.take(requests)
      yield* Deferred.await(first)
      yield* Fiber.interrupt(fiber)
      yield* closed
    })
  )

  it.live("a stream with Stream.take closes the connection", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/event-stream", event(chunk("a")) + event(chunk("b"))))
      const client = yield* clientOf({ baseUrl })
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(client.streamChatCompletion(request), 1)), [chunk("a")])
      yield* (yield* Queue.take(requests)).closed
    })
  )

  it.live("a stream by an error of its consumer closes the connection", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/event-stream", event(chunk("a"))))
      const client = yield* clientOf({ baseUrl })
      const error = yield* client.streamChatCompletion(request).pipe(
        Stream.runForEach(() => Effect.fail("enough")),
        Effect.flip
      )
      assert.strictEqual(error, "enough")
      yield* (yield* Queue.take(requests)).closed
    })
  )

  it.live("an open stream by closing its scope closes the connection", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/event-stream", event(chunk("a"))))
      const client = yield* clientOf({ baseUrl })
      const { response } = yield* Effect.scoped(client.streamWithResponse(request))
      assert.strictEqual(response.status, 200)
      yield* (yield* Queue.take(requests)).closed
    })
  )

  it.live.each<[string, string]>([
    ["an error event", event({ error: "boom" })],
    ["an event that is no chunk", event("nonsense")],
    ["its end although the body continues", event("[DONE]")]
  ])("a stream by %s closes the connection", ([, last]) =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/event-stream", event(chunk("a")) + last))
      yield* Effect.exit(Stream.runDrain((yield* clientOf({ baseUrl })).streamChatCompletion(request)))
      yield* (yield* Queue.take(requests)).closed
    })
  )

  it.live("one of several streams does not affect the others", () =>
    Effect.gen(function* () {
      const ends = yield* Queue.unbounded<ServerResponse>()
      const { baseUrl } = yield* serve((response) => {
        begin("text/event-stream", event(chunk("a")))(response, {} as Seen)
        Queue.offerUnsafe(ends, response)
      })
      const client = yield* clientOf({ baseUrl })
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(Stream.runCollect(client.streamChatCompletion(request))))
      const responses = yield* Queue.takeN(ends, 3)
      const [left, ...staying] = fibers
      if (left !== undefined) yield* Fiber.interrupt(left)
      for (const response of responses) if (!response.destroyed) response.end(event(chunk("b", "stop")) + event("[DONE]"))
      for (const fiber of staying) assert.deepStrictEqual(yield* Fiber.join(fiber), [chunk("a"), chunk("b", "stop")])
    })
  )
})

describe("an attempt that fails after an aborted one", () => {
  const half = { ...completion, choices: [{ index: 0, message: { role: "assistant", content: "half" }, finish_reason: "abort" }] }
  const { usage } = completion
  const wholeAbort = json(half)
  const streamAbort = sse({ ...chunk("half", "abort"), usage }, "[DONE]")
  const reset: Answer = ({ socket }) => {
    if (socket instanceof Socket) socket.resetAndDestroy()
  }

  it.live.each<[string, Answer, ParadigmErrorReason["_tag"]]>([
    ["a reset", reset, "ConnectionLost"],
    ["a 500", json({ detail: "no" }, 500), "ServerFault"],
    ["a page", json("<html>", 200, { "content-type": "text/html" }), "UnexpectedResponse"]
  ])("keeps the partial completion and the usage: %s", ([, next, tag]) =>
    Effect.gen(function* () {
      for (const [call, aborted] of [
        [create, wholeAbort],
        [stream, streamAbort]
      ] as const) {
        // prettier-ignore
        let requests = 0
        const answer: Answer = (response, seen) => (requests++ === 0 ? aborted : next)(response, seen)
        const { error } = yield* failure(call(answer, { retry: { maxAttempts: 2, baseDelay: 1 } }), tag)
        assert.deepStrictEqual(error.attempts.map(({ reason }) => reason), ["Aborted", tag]) // prettier-ignore
        assert.strictEqual(error.partial?.choices[0]?.message.content, "half")
        assert.deepStrictEqual<unknown>(error.usage, usage)
      }
    })
  )
})
