import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import * as ParadigmClient from "../src/ParadigmClient.ts"
import { ConnectionLost, type ParadigmError, type ParadigmErrorReason } from "../src/ParadigmError.ts"
import { ChunkDecoder } from "../src/stream/ChunkDecoder.ts"
import { resolveOptions } from "../src/client/options.ts"
import { ChunkReader } from "../src/stream/ChunkReader.ts"
import * as Timeouts from "../src/Timeouts.ts"

const request = { model: "alfred", messages: [{ role: "user" as const, content: "Hello" }] }

const event = (content: string) =>
  new TextEncoder().encode(
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "alfred", choices: [{ index: 0, delta: { content } }] })}\n\n`
  )
const comment = new TextEncoder().encode(": keep-alive\n\n")

// A stream of bytes from a queue. Fails when its connection is closed.
const open = Effect.fnUntraced(function* (
  timeouts: Timeouts.Timeouts,
  onChunk: Effect.Effect<void> = Effect.void,
  keepAliveCounts = false
) {
  const { timeouts: limits } = yield* Effect.fromResult(resolveOptions({ apiKey: "a-key", timeouts }))
  const reads = yield* Queue.unbounded<Uint8Array>()
  const closed = yield* Deferred.make<never, ParadigmErrorReason>()
  const isClosed = { value: false }
  const close = Effect.andThen(
    Effect.sync(() => (isClosed.value = true)),
    Deferred.fail(closed, new ConnectionLost({ phase: "body", code: undefined }))
  ).pipe(Effect.asVoid)
  const bytes = yield* Stream.toPull(Stream.merge(Stream.fromQueue(reads), Stream.fromEffect(Deferred.await(closed))))
  const timing = { clock: yield* Clock.Clock, limits, deadline: limits.total, keepAliveCounts }
  const reader = new ChunkReader({ reads: bytes, decoder: new ChunkDecoder(), close }, { timing })
  if (reader.watch !== undefined) yield* Effect.forkScoped(reader.watch)
  const fiber = yield* Stream.fromPull(Effect.succeed(reader.next)).pipe(
    Stream.runForEach(() => onChunk),
    Effect.flip,
    Effect.forkChild
  )
  yield* TestClock.adjust(0)
  return { fiber, isClosed, send: (read: Uint8Array) => Effect.andThen(Queue.offer(reads, read), TestClock.adjust(0)) }
})

const assertTimeout = (error: ParadigmError | void, stage: string, limit: Duration.Input) => {
  assert(error !== undefined && error.reason._tag === "Timeout")
  assert.strictEqual(error.reason.stage, stage)
  assert.strictEqual(Duration.toMillis(error.reason.limit), Duration.toMillis(Duration.fromInputUnsafe(limit)))
}

describe("the stages of a stream", () => {
  it.effect("firstChunk: runs from the headers; comments do not restart it", () =>
    Effect.gen(function* () {
      const { fiber, isClosed, send } = yield* open({ firstChunk: "30 seconds" })
      yield* TestClock.adjust("20 seconds")
      yield* send(comment)
      yield* TestClock.adjust("9 seconds")
      assert.isFalse(isClosed.value)
      yield* TestClock.adjust("1 second")
      assertTimeout(yield* Fiber.join(fiber), "firstChunk", "30 seconds")
      assert.isTrue(isClosed.value)
    })
  )

  it.effect("idle: restarts with each chunk, not with a comment, and keeps the partial completion", () =>
    Effect.gen(function* () {
      const { fiber, isClosed, send } = yield* open({ idle: "10 seconds" })
      yield* send(event("Hel"))
      yield* TestClock.adjust("9 seconds")
      yield* send(event("lo"))
      yield* TestClock.adjust("9 seconds")
      yield* send(comment)
      assert.isFalse(isClosed.value)
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assertTimeout(error, "idle", "10 seconds")
      assert.strictEqual(error?.partial?.choices[0]?.message.content, "Hello")
      assert.isFalse(error?.isRetryable)
    })
  )

  it.effect.each(["firstChunk", "idle"] as const)("%s: a comment restarts it if keep-alives count", (stage) =>
    Effect.gen(function* () {
      const { fiber, send } = yield* open({ [stage]: "10 seconds" }, Effect.void, true)
      if (stage === "idle") yield* send(event("Hello"))
      for (let i = 0; i < 3; i++) {
        yield* TestClock.adjust("9 seconds")
        yield* send(comment)
      }
      yield* TestClock.adjust("10 seconds")
      assertTimeout(yield* Fiber.join(fiber), stage, "10 seconds")
    })
  )

  it.effect("idle: does not count the time of the consumer", () =>
    Effect.gen(function* () {
      const { fiber, isClosed, send } = yield* open({ idle: "10 seconds" }, Effect.sleep("1 hour"))
      yield* send(event("Hello"))
      yield* TestClock.adjust("1 hour")
      assert.isFalse(isClosed.value)
      yield* TestClock.adjust("10 seconds")
      assertTimeout(yield* Fiber.join(fiber), "idle", "10 seconds")
    })
  )

  it.effect("total: ends a stream that still emits", () =>
    Effect.gen(function* () {
      const { fiber, send } = yield* open({ total: "1 minute" })
      for (let i = 0; i < 6; i++) {
        yield* send(event("a"))
        yield* TestClock.adjust("10 seconds")
      }
      assertTimeout(yield* Fiber.join(fiber), "total", "1 minute")
    })
  )
})

const clientOn = (execute: (signal: AbortSignal) => Effect.Effect<Response>, options: Partial<ParadigmClient.Options>) =>
  HttpClientTransport.makeClient({ apiKey: "a-key", baseUrl: "http://127.0.0.1", ...options }).pipe(
    Effect.provideService(
      HttpClient.HttpClient,
      HttpClient.make((request, _, signal) => Effect.map(execute(signal), (response) => HttpClientResponse.fromWeb(request, response)))
    )
  )

describe("the stages of a call", () => {
  it.effect("headers: applies to each attempt and closes the connection of a late one", () =>
    Effect.gen(function* () {
      const signals: Array<AbortSignal> = []
      const client = yield* clientOn(
        (signal) =>
          Effect.andThen(
            Effect.sync(() => signals.push(signal)),
            Effect.never
          ),
        {
          timeouts: { headers: "5 seconds" }
        }
      )
      const fiber = yield* Effect.forkChild(Effect.flip(client.createChatCompletion(request)))
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual(
        signals.map((signal) => signal.aborted),
        [false]
      )
      yield* TestClock.adjust("1 millis")
      assertTimeout(yield* Fiber.join(fiber), "headers", "5 seconds")
      assert.deepStrictEqual(
        signals.map((signal) => signal.aborted),
        [true]
      )
    })
  )

  it.effect("total: covers all attempts and the delays between them", () =>
    Effect.gen(function* () {
      const attempts = { count: 0 }
      const client = yield* clientOn(
        () => Effect.sync(() => new Response(`${++attempts.count}`, { status: 503, headers: { "retry-after": "30" } })),
        { timeouts: { total: "40 seconds" }, retry: { maxAttempts: 9 } }
      )
      const fiber = yield* Effect.forkChild(Effect.flip(client.createChatCompletion(request)))
      yield* TestClock.adjust("40 seconds")
      assertTimeout(yield* Fiber.join(fiber), "total", "40 seconds")
      assert.strictEqual(attempts.count, 2)
    })
  )

  it.effect("idle: ends the wait for a body that stalls", () =>
    Effect.gen(function* () {
      const client = yield* clientOn(() => Effect.sync(() => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))), {
        timeouts: { idle: "7 seconds" }
      })
      const fiber = yield* Effect.forkChild(Effect.flip(client.createChatCompletion(request)))
      yield* TestClock.adjust("7 seconds")
      assertTimeout(yield* Fiber.join(fiber), "idle", "7 seconds")
    })
  )

  it.effect("per-request limits override the client's", () =>
    Effect.gen(function* () {
      const client = yield* clientOn(() => Effect.never, { timeouts: { headers: "1 hour" } })
      const fiber = yield* Effect.forkChild(Effect.flip(client.createChatCompletion(request, { timeouts: { headers: "1 second" } })))
      yield* TestClock.adjust("1 second")
      assertTimeout(yield* Fiber.join(fiber), "headers", "1 second")
    })
  )
})

describe("Timeouts.toMillis", () => {
  it.each<[unknown, number]>([
    [0, 0],
    [1500, 1500],
    [0.5, 0.5],
    ["30 seconds", 30_000],
    ["1 second", 1000],
    ["30s", 30_000],
    ["1.5s", 1500],
    ["500ms", 500],
    ["500 millis", 500],
    ["2m", 120_000],
    ["2 minutes", 120_000],
    ["1h", 3_600_000],
    ["1d", 86_400_000],
    [Duration.seconds(3), 3000],
    ["Infinity", Infinity],
    [Infinity, Infinity],
    [Duration.infinity, Infinity]
  ])("converts %s to %s ms", (input, millis) => {
    assert.strictEqual(Timeouts.toMillis(input), millis)
  })

  it.each([
    [Number.NaN],
    [-1],
    [-Infinity],
    ["-1 seconds"],
    ["-Infinity"],
    [Duration.negativeInfinity],
    [Duration.millis(-1)],
    ["soon"],
    [""],
    ["30"],
    ["30 parsecs"],
    ["s"],
    [".s"],
    ["1.2.3s"],
    ["NaN"],
    [null],
    [undefined],
    [true],
    [10n],
    [[1, 2]],
    [{ seconds: 1 }],
    [{}],
    [new Date()]
  ])("refuses %s", (input) => {
    assert.isUndefined(Timeouts.toMillis(input))
  })
})
