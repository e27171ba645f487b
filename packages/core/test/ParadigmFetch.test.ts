import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Fetch } from "effect/http/FetchHttpClient"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as ParadigmFetch from "../src/ParadigmFetch.ts"
import { begin, breakOff, chunk, completion, event, failure, json, key, nowhere, request, serve } from "./Loopback.ts"

const clientAt = (baseUrl: string) => ParadigmFetch.make({ apiKey: key, baseUrl, retry: false }, { redirect: "manual" })

describe("a request", () => {
  it.effect("is a POST with its headers and body, and its length once", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientAt(`${baseUrl}?q=1`)
      assert.deepStrictEqual(yield* client.createChatCompletion({ ...request, user: "é" }, { headers: { "X-A": "b" } }), completion)
      const { body, headers, method, path, rawHeaders } = yield* Queue.take(requests)
      assert.deepStrictEqual([method, path, JSON.parse(body).user], ["POST", "/api/v3/chat/completions?q=1", "é"])
      assert.deepInclude(headers, {
        authorization: `Bearer ${key}`,
        accept: "application/json",
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        "x-a": "b"
      })
      assert.strictEqual(rawHeaders.filter((name) => name.toLowerCase() === "content-length").length, 1)
    })
  )

  it.effect("takes the options it was given: a redirect is not followed", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(json("", 302, { location: "/elsewhere" }))
      const client = yield* clientAt(baseUrl)
      const { reason } = yield* failure(client.createChatCompletion(request), "RedirectRefused")
      assert.strictEqual(reason.status, 302)
    })
  )

  it.effect("goes through the fetch that Effect's reference gives", () =>
    Effect.gen(function* () {
      const client = yield* clientAt("http://127.0.0.1:9")
      const answer = client.createChatCompletion(request)
      assert.deepStrictEqual(yield* Effect.provideService(answer, Fetch, () => Promise.resolve(Response.json(completion))), completion)
    })
  )
})

describe("an answer", () => {
  it.effect("without a body is empty", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve((response) => response.writeHead(204).end())
      const client = yield* clientAt(baseUrl)
      const { reason } = yield* failure(client.createChatCompletion(request), "UnexpectedResponse")
      assert.deepInclude(reason, { status: 204, detail: "it is empty" })
    })
  )

  it.effect("tells its status and headers", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(json(completion, 201, { "x-request-id": "r-1" }))
      const { response } = yield* (yield* clientAt(baseUrl)).createWithResponse(request)
      assert.deepInclude(response, { status: 201, requestId: "r-1" })
      assert.strictEqual(response.headers["x-request-id"], "r-1")
    })
  )
})

describe("a connection", () => {
  it.effect("that is refused is one that failed", () =>
    Effect.gen(function* () {
      const baseUrl = yield* nowhere
      const { reason } = yield* failure((yield* clientAt(baseUrl)).createChatCompletion(request), "ConnectFailed")
      assert.strictEqual(reason.origin, baseUrl)
    })
  )

  it.effect("that breaks in the body is lost there", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(breakOff(200, { "content-type": "application/json" }, "{"))
      const { reason } = yield* failure((yield* clientAt(baseUrl)).createChatCompletion(request), "ConnectionLost")
      assert.strictEqual(reason.phase, "body")
    })
  )

  it.effect("is closed when the call is interrupted before its headers", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(() => {})
      const call = yield* Effect.forkChild((yield* clientAt(baseUrl)).createChatCompletion(request))
      const { closed } = yield* Queue.take(requests)
      yield* Fiber.interrupt(call)
      yield* closed
    })
  )

  it.effect("is closed when the stream is left before its end", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/event-stream", event(chunk("Hello"))))
      const chunks = (yield* clientAt(baseUrl)).streamChatCompletion(request)
      assert.lengthOf(yield* Stream.runCollect(Stream.take(chunks, 1)), 1)
      yield* (yield* Queue.take(requests)).closed
    })
  )
})
