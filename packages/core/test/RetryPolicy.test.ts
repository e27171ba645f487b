import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import { TestClock } from "effect/testing"
import {
  ConnectFailed,
  ConnectionLost,
  Maintenance,
  ParadigmError,
  type ParadigmErrorReason,
  RateLimited,
  RequestRejected,
  ServerFault,
  StreamTruncated,
  Unauthorized
} from "../src/ParadigmError.ts"
import * as RetryPolicy from "../src/RetryPolicy.ts"

const about = (status: number) => ({ status, detail: undefined, excerpt: "" })
const fault = (status: number, retryAfter?: Duration.Duration) => new ServerFault({ ...about(status), retryAfter })
const rateLimited = (retryAfter?: Duration.Duration) => new RateLimited({ ...about(429), retryAfter })
const rejected = (status: number) => new RequestRejected({ ...about(status), fields: {} })

// Runs attempts that fail with these reasons in turn, and then succeed.
const start = Effect.fnUntraced(function* (reasons: ReadonlyArray<ParadigmErrorReason>, policy?: RetryPolicy.RetryPolicy | false) {
  const seen = { attempts: 0 }
  const attempt = Effect.suspend(() => {
    const reason = reasons[seen.attempts++]
    return reason === undefined ? Effect.succeed("answer") : Effect.fail(new ParadigmError({ reason }))
  })
  const fiber = yield* Effect.forkChild(Effect.result(RetryPolicy.run(attempt, policy)))
  yield* TestClock.adjust(0)
  return { seen, fiber }
})

describe("RetryPolicy.run", () => {
  // The wait is all of the delay where chance gives 0, and half of it where it gives nearly 1.
  it.effect.each<[string, number, number, number]>([
    ["all", 0, 1000, 2000],
    ["half", 0.999999, 501, 1001]
  ])("waits %s of the delay, which doubles", ([, random, first, second]) =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([fault(503), fault(502)], { baseDelay: "1 second" })
      assert.strictEqual(seen.attempts, 1)
      yield* TestClock.adjust(first - 1)
      assert.strictEqual(seen.attempts, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(seen.attempts, 2)
      // The second wait begins when the first one ended, up to a millisecond earlier than it was looked at.
      yield* TestClock.adjust(second - 2)
      assert.strictEqual(seen.attempts, 2)
      yield* TestClock.adjust(2)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Success")
      assert.strictEqual(seen.attempts, 3)
    }).pipe(Effect.provideService(Random.Random, { nextDoubleUnsafe: () => random, nextIntUnsafe: () => 0 }))
  )

  it.effect("waits no longer than the longest delay", () =>
    Effect.gen(function* () {
      const { seen } = yield* start([fault(503), fault(503), fault(503)], { baseDelay: "1 second", maxDelay: "1 second", maxAttempts: 4 })
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(seen.attempts, 4)
    })
  )

  it.effect("stops after 3 attempts, and tells of each", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([fault(503), rateLimited(), fault(504), fault(502)])
      yield* TestClock.adjust("1 minute")
      const result = yield* Fiber.join(fiber)
      assert.strictEqual(seen.attempts, 3)
      assert(result._tag === "Failure")
      assert.strictEqual(result.failure.status, 504)
      const attempts = result.failure.attempts ?? []
      assert.deepStrictEqual(
        attempts.map(({ reason, status }) => [reason, status]),
        [
          ["ServerFault", 503],
          ["RateLimited", 429],
          ["ServerFault", 504]
        ]
      )
      assert.isUndefined(attempts[2]?.delayMillis)
      assert.isAtLeast(attempts[0]?.delayMillis ?? 0, 250)
    })
  )

  it.effect.each<[string, ParadigmErrorReason]>([
    ["a refused connection", new ConnectFailed({ origin: "http://a", code: undefined })],
    ["a connection lost before the headers", new ConnectionLost({ phase: "headers", code: undefined })],
    ["408", rejected(408)],
    ["409", rejected(409)],
    ["429", rateLimited()],
    ["502", fault(502)],
    ["503", fault(503)],
    ["504", fault(504)]
  ])("repeats after %s", ([, reason]) =>
    Effect.gen(function* () {
      const { seen } = yield* start([reason])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(seen.attempts, 2)
    })
  )

  it.effect.each<[string, ParadigmErrorReason]>([
    ["a connection lost in the body", new ConnectionLost({ phase: "body", code: undefined })],
    ["a truncated stream", new StreamTruncated({ chunks: 1, done: false, excerpt: "" })],
    ["400", rejected(400)],
    ["401", new Unauthorized(about(401))],
    ["422", rejected(422)],
    ["500", fault(500)],
    ["maintenance", new Maintenance({ ...about(503), mode: undefined, startedAt: undefined })]
  ])("never repeats after %s", ([, reason]) =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([reason])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Failure")
      assert.strictEqual(seen.attempts, 1)
    })
  )

  it.effect("makes one attempt where it is told to", () =>
    Effect.gen(function* () {
      const { seen } = yield* start([fault(503)], false)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(seen.attempts, 1)
    })
  )

  it.effect("waits at least as long as the server asks", () =>
    Effect.gen(function* () {
      const { seen } = yield* start([rateLimited(Duration.seconds(20))])
      yield* TestClock.adjust("19999 millis")
      assert.strictEqual(seen.attempts, 1)
      yield* TestClock.adjust("1001 millis")
      assert.strictEqual(seen.attempts, 2)
    })
  )

  it.effect("gives up at once where the server asks for more than the limit, and says for how much", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([rateLimited(Duration.hours(24))])
      yield* TestClock.adjust(0)
      const result = yield* Fiber.join(fiber)
      assert.strictEqual(seen.attempts, 1)
      assert(result._tag === "Failure" && result.failure.reason._tag === "RateLimited")
      assert.deepStrictEqual(result.failure.reason.retryAfter, Duration.hours(24))
    })
  )

  it.effect("makes no further attempt once it is interrupted", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([fault(503), fault(503)])
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(seen.attempts, 1)
    })
  )
})
