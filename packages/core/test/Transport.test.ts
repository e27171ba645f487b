import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Fetch } from "effect/http/FetchHttpClient"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { ServerResponse } from "node:http"
import * as ParadigmClient from "../src/ParadigmClient.ts"
import * as Transport from "../src/Transport.ts"
import { begin, breakOff, chunk, completion, event, failure, json, key, nowhere, request, serve } from "./Loopback.ts"

const clientAt = (baseUrl: string) =>
  ParadigmClient.makeWith(Transport.fromFetch({ redirect: "manual" }), { apiKey: key, baseUrl, retry: false })

describe("a request over fetch", () => {
  it.effect("is a POST with its headers, its body and one content-length", () =>
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

  it.effect("passes its init on: a redirect is not followed", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(json("", 302, { location: "/elsewhere" }))
      const client = yield* clientAt(baseUrl)
      const { reason } = yield* failure(client.createChatCompletion(request), "RedirectRefused")
      assert.strictEqual(reason.status, 302)
    })
  )

  it.effect("uses the fetch of Effect's Fetch reference", () =>
    Effect.gen(function* () {
      const client = yield* clientAt("http://127.0.0.1:9")
      const answer = client.createChatCompletion(request)
      assert.deepStrictEqual(yield* Effect.provideService(answer, Fetch, () => Promise.resolve(Response.json(completion))), completion)
    })
  )
})

describe("a response over fetch", () => {
  it.effect.each([201, 202, 203, 204, 206, 226])("with the status %s is not a completion", (status) =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(json(completion, status, { "x-request-id": "r-1" }))
      const { error } = yield* failure((yield* clientAt(baseUrl)).createChatCompletion(request), "UnexpectedResponse")
      assert.strictEqual(error.status, status)
      assert.strictEqual(error.requestId, "r-1")
    })
  )

  it.effect("has its status and headers in ResponseInfo", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(json(completion, 200, { "x-request-id": "r-1" }))
      const { response } = yield* (yield* clientAt(baseUrl)).createWithResponse(request)
      assert.deepInclude(response, { status: 200, requestId: "r-1" })
      assert.strictEqual(response.headers["x-request-id"], "r-1")
    })
  )
})

describe("a connection over fetch", () => {
  it.effect("fails with ConnectFailed when it is refused", () =>
    Effect.gen(function* () {
      const baseUrl = yield* nowhere
      const { reason } = yield* failure((yield* clientAt(baseUrl)).createChatCompletion(request), "ConnectFailed")
      assert.strictEqual(reason.origin, baseUrl)
    })
  )

  it.effect("fails with ConnectionLost when it breaks in the body", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(breakOff(200, { "content-type": "application/json" }, "{"))
      const { reason } = yield* failure((yield* clientAt(baseUrl)).createChatCompletion(request), "ConnectionLost")
      assert.strictEqual(reason.phase, "body")
    })
  )

  it.effect("closes when the call is interrupted before the headers", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(() => {})
      const call = yield* Effect.forkChild((yield* clientAt(baseUrl)).createChatCompletion(request))
      const { closed } = yield* Queue.take(requests)
      yield* Fiber.interrupt(call)
      yield* closed
    })
  )

  it.effect("closes when the stream is not read to its end", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/event-stream", event(chunk("Hello"))))
      const chunks = (yield* clientAt(baseUrl)).streamChatCompletion(request)
      assert.lengthOf(yield* Stream.runCollect(Stream.take(chunks, 1)), 1)
      yield* (yield* Queue.take(requests)).closed
    })
  )

  const streamOf = (body: ReadableStream<string>) =>
    new Response(body.pipeThrough(new TextEncoderStream()), { headers: { "content-type": "text/event-stream" } })

  it.effect("cancels and releases the body of a fetch that ignores the signal", () =>
    Effect.gen(function* () {
      const isCancelled = Promise.withResolvers<void>()
      const response = streamOf(
        new ReadableStream({
          start: (controller) => controller.enqueue(event(chunk("Hello"))),
          cancel: () => isCancelled.resolve()
        })
      )
      const chunks = (yield* clientAt("http://127.0.0.1:9")).streamChatCompletion(request)
      const first = Stream.runCollect(Stream.take(chunks, 1))
      assert.lengthOf(yield* Effect.provideService(first, Fetch, () => Promise.resolve(response)), 1)
      yield* Effect.promise(() => isCancelled.promise)
      assert.isFalse(response.body?.locked)
    })
  )

  it.effect("cancels and releases the body while a read is in flight", () =>
    Effect.gen(function* () {
      const isCancelled = Promise.withResolvers<void>()
      const response = streamOf(new ReadableStream({ cancel: () => isCancelled.resolve() }))
      const chunks = (yield* clientAt("http://127.0.0.1:9")).streamChatCompletion(request)
      const call = yield* Effect.forkChild(
        Effect.provideService(Stream.runDrain(chunks), Fetch, () => Promise.resolve(response)),
        { startImmediately: true }
      )
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))
      assert.isTrue(response.body?.locked)
      yield* Fiber.interrupt(call)
      yield* Effect.promise(() => isCancelled.promise)
      assert.isFalse(response.body?.locked)
    })
  )
})

describe("a stream without an event-stream content type", () => {
  const streamed = [event(chunk("Hello")), event(chunk("", "stop")), event("[DONE]")].join("")
  const labels = [undefined, "text/plain; charset=utf-8", "application/json", "application/octet-stream"]
  const heads = ["", "\uFEFF", "\n\n", ": ping\n\n", "id: 1\n", "retry: 10\n", "event: message\n"]
  const send = (contentType: string | undefined, body: string, split: number) => (response: ServerResponse) => {
    response.writeHead(200, contentType === undefined ? {} : { "content-type": contentType })
    response.write(body.slice(0, split))
    setTimeout(() => response.end(body.slice(split)), 5)
  }

  it.effect.each(labels.flatMap((label) => heads.map((head): [string | undefined, string] => [label, head])))(
    "is recognised by its bytes: content type %s, beginning %j",
    ([contentType, head]) =>
      Effect.gen(function* () {
        for (const split of [1, 3, 5, 6, 7, 30]) {
          const { baseUrl } = yield* serve(send(contentType, head + streamed, split))
          const chunks = yield* Stream.runCollect((yield* clientAt(baseUrl)).streamChatCompletion(request))
          assert.deepStrictEqual(
            chunks.map(({ choices }) => choices[0]?.delta.content),
            ["Hello", ""]
          )
        }
      })
  )

  it.effect.each([
    ["{}", "UnexpectedResponse"],
    ["", "UnexpectedResponse"],
    ["  ", "UnexpectedResponse"],
    ["<html>data: no</html>", "UnexpectedResponse"],
    ["database", "UnexpectedResponse"],
    [JSON.stringify(completion), "UnexpectedResponse"],
    ['{"error":{"message":"the model is overloaded"}}', "StreamFault"]
  ] as const)("is refused if its bytes are no event stream: %s", ([body, reason]) =>
    Effect.gen(function* () {
      for (const label of labels) {
        const { baseUrl } = yield* serve(send(label, body, 2))
        const { error } = yield* failure(Stream.runDrain((yield* clientAt(baseUrl)).streamChatCompletion(request)), reason)
        const quoted: unknown = "excerpt" in error.reason ? error.reason.excerpt : undefined
        assert.strictEqual(quoted, body)
      }
    })
  )
})
