import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Fetch } from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as FetchHttpClient from "../src/FetchHttpClient.ts"
import { begin, breakOff, json, nowhere, serve } from "./Loopback.ts"

const provided = Effect.provide(FetchHttpClient.layer({ redirect: "manual" }))

const post = (url: string, text = "Hello") => HttpClientRequest.post(url).pipe(HttpClientRequest.bodyText(text, "text/plain"))

describe("a request", () => {
  it.effect("is sent with its method, headers and body, and its length once", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json({ a: 1 }))
      const response = yield* HttpClient.execute(HttpClientRequest.setHeader(post(`${baseUrl}/p?q=1`, "é"), "x-a", "b"))
      assert.deepStrictEqual(yield* response.json, { a: 1 })
      const { body, headers, method, path, rawHeaders } = yield* Queue.take(requests)
      assert.deepStrictEqual([method, path, body], ["POST", "/p?q=1", "é"])
      assert.deepStrictEqual([headers["content-type"], headers["content-length"], headers["x-a"]], ["text/plain", "2", "b"])
      assert.strictEqual(rawHeaders.filter((name) => name.toLowerCase() === "content-length").length, 1)
    }).pipe(provided)
  )

  it.effect("without a body has none", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json({}))
      assert.strictEqual((yield* HttpClient.get(baseUrl)).status, 200)
      const { body, method } = yield* Queue.take(requests)
      assert.deepStrictEqual([method, body], ["GET", ""])
    }).pipe(provided)
  )

  it.effect("takes the options of the layer: a redirect is not followed", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(json("", 302, { location: "/elsewhere" }))
      assert.strictEqual((yield* HttpClient.execute(post(baseUrl))).status, 302)
    }).pipe(provided)
  )

  it.effect("goes through the fetch that Effect's reference gives", () =>
    Effect.gen(function* () {
      const response = yield* HttpClient.execute(post("http://127.0.0.1:9")).pipe(
        Effect.provideService(Fetch, () => Promise.resolve(new Response("given")))
      )
      assert.strictEqual(yield* response.text, "given")
    }).pipe(provided)
  )

  it.effect("with a stream for a body fails before it is sent", () =>
    Effect.gen(function* () {
      const request = HttpClientRequest.post("http://127.0.0.1:9").pipe(HttpClientRequest.bodyStream(Stream.make(new Uint8Array(1))))
      const error = yield* Effect.flip(HttpClient.execute(request))
      assert.strictEqual(error.reason._tag, "EncodeError")
    }).pipe(provided)
  )
})

describe("a connection", () => {
  it.effect("that is refused is a TransportError with its cause", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(HttpClient.execute(post(yield* nowhere)))
      assert.strictEqual(error.reason._tag, "TransportError")
      assert.instanceOf(error.reason.cause, TypeError)
    }).pipe(provided)
  )

  it.effect("that breaks in the body is a DecodeError", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* serve(breakOff(200, {}, "Hel"))
      const response = yield* HttpClient.execute(post(baseUrl))
      const error = yield* Effect.flip(Stream.runDrain(response.stream))
      assert.strictEqual(error.reason._tag, "DecodeError")
    }).pipe(provided)
  )

  it.effect("is closed when the call is interrupted before its headers", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(() => {})
      const call = yield* Effect.forkChild(HttpClient.execute(post(baseUrl)))
      const { closed } = yield* Queue.take(requests)
      yield* Fiber.interrupt(call)
      yield* closed
    }).pipe(provided)
  )

  it.effect("is closed when the body is left before its end", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(begin("text/plain", "Hello"))
      const response = yield* HttpClient.execute(post(baseUrl))
      const { closed } = yield* Queue.take(requests)
      yield* Stream.runDrain(Stream.take(response.stream, 1))
      yield* closed
    }).pipe(provided)
  )
})
