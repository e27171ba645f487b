import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import {
  Aborted,
  ConnectFailed,
  ConnectionLost,
  Maintenance,
  NotFound,
  ParadigmError,
  type ParadigmErrorReason,
  QuotaExceeded,
  RateLimited,
  RequestRejected,
  ServerFault,
  StreamTruncated,
  TransportFailed,
  Unauthorized
} from "../../src/ParadigmError.ts"
import type { Attempt } from "../../src/client/options.ts"
import { Secrets } from "../../src/errors/redaction.ts"
import { Retries, type RetrySettings } from "../../src/client/Retries.ts"

const about = (status: number) => ({ status, detail: undefined, excerpt: "" })
const fault = (status: number, retryAfter?: Duration.Duration) => new ServerFault({ ...about(status), retryAfter })
const rateLimited = (retryAfter?: Duration.Duration) => new RateLimited({ ...about(429), retryAfter })
const rejected = (status: number) => new RequestRejected({ ...about(status), fields: {} })

const defaults: RetrySettings = { maxAttempts: 3, baseDelay: 500, maxDelay: 8000, maxRetryAfter: 60_000 }

const settingsOf = (
  retry: RetrySettings,
  apiKey: Effect.Effect<Redacted.Redacted, ParadigmError>,
  onAttempt?: (attempt: Attempt) => void
) => ({
  retry,
  apiKey,
  onAttempt,
  secrets: new Secrets()
})

// Runs attempts that fail with these reasons in turn, and then succeed.
const start = Effect.fnUntraced(function* (reasons: ReadonlyArray<ParadigmErrorReason>, settings: Partial<RetrySettings> = {}) {
  const seen = { attempts: 0 }
  const retries = new Retries(yield* Clock.Clock, settingsOf({ ...defaults, ...settings }, key))
  const attempt = Effect.suspend(() => {
    const reason = reasons[seen.attempts++]
    return reason === undefined ? Effect.succeed("answer") : Effect.fail(new ParadigmError({ reason }))
  })
  const fiber = yield* Effect.forkChild(Effect.result(retries.run(() => attempt)))
  yield* TestClock.adjust(0)
  return { retries, seen, fiber }
})

const key = Effect.succeed(Redacted.make("a-key"))

describe("Retries.run", () => {
  // The jitter subtracts nothing from the delay if the random number is 0, and half of it if it is nearly 1.
  it.effect.each<[string, number, number, number]>([
    ["all", 0, 1000, 2000],
    ["half", 0.999999, 501, 1001]
  ])("waits for %s of the delay, which doubles", ([, random, first, second]) =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([fault(503), fault(502)], { baseDelay: 1000 })
      assert.strictEqual(seen.attempts, 1)
      yield* TestClock.adjust(first - 1)
      assert.strictEqual(seen.attempts, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(seen.attempts, 2)
      // The second wait begins at the end of the first one, up to a millisecond before the test reads the clock.
      yield* TestClock.adjust(second - 2)
      assert.strictEqual(seen.attempts, 2)
      yield* TestClock.adjust(2)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Success")
      assert.strictEqual(seen.attempts, 3)
    }).pipe(Effect.provideService(Random.Random, { nextDoubleUnsafe: () => random, nextIntUnsafe: () => 0 }))
  )

  it.effect("waits no longer than the maximum delay", () =>
    Effect.gen(function* () {
      const { seen } = yield* start([fault(503), fault(503), fault(503)], { baseDelay: 1000, maxDelay: 1000, maxAttempts: 4 })
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(seen.attempts, 4)
    })
  )

  it.effect("stops after 3 attempts and records each", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([fault(503), rateLimited(), fault(504), fault(502)])
      yield* TestClock.adjust("1 minute")
      const result = yield* Fiber.join(fiber)
      assert.strictEqual(seen.attempts, 3)
      assert(result._tag === "Failure")
      assert.strictEqual(result.failure.status, 504)
      const attempts = result.failure.attempts
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
    ["504", fault(504)],
    ["an aborted generation", new Aborted({ choices: [0] })]
  ])("retries after %s", ([, reason]) =>
    Effect.gen(function* () {
      const { seen } = yield* start([reason])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(seen.attempts, 2)
    })
  )

  it.effect.each<[string, ParadigmErrorReason]>([
    ["a connection lost in the body", new ConnectionLost({ phase: "body", code: undefined })],
    ["a truncated stream", new StreamTruncated({ chunks: 1 })],
    ["400", rejected(400)],
    ["401", new Unauthorized(about(401))],
    ["a used-up quota (402)", new QuotaExceeded(about(402))],
    ["a used-up quota (429)", new QuotaExceeded(about(429))],
    ["404", new NotFound({ ...about(404), url: "http://a" })],
    ["an unknown exception of the transport", new TransportFailed({ phase: "headers", exception: "Error" })],
    ["422", rejected(422)],
    ["500", fault(500)],
    ["maintenance", new Maintenance({ ...about(503), mode: undefined, startedAt: undefined })]
  ])("does not retry after %s", ([, reason]) =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([reason])
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Failure")
      assert.strictEqual(seen.attempts, 1)
    })
  )

  it.effect("makes one attempt if the policy allows one", () =>
    Effect.gen(function* () {
      const { seen } = yield* start([fault(503)], { maxAttempts: 1 })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(seen.attempts, 1)
    })
  )

  it.effect("waits at least as long as retry-after", () =>
    Effect.gen(function* () {
      const { seen } = yield* start([rateLimited(Duration.seconds(20))])
      yield* TestClock.adjust("19999 millis")
      assert.strictEqual(seen.attempts, 1)
      yield* TestClock.adjust("1001 millis")
      assert.strictEqual(seen.attempts, 2)
    })
  )

  it.effect("fails at once with the delay when retry-after exceeds the maximum", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([rateLimited(Duration.hours(24))])
      yield* TestClock.adjust(0)
      const result = yield* Fiber.join(fiber)
      assert.strictEqual(seen.attempts, 1)
      assert(result._tag === "Failure" && result.failure.reason._tag === "RateLimited")
      assert.deepStrictEqual(result.failure.reason.retryAfter, Duration.hours(24))
    })
  )

  it.effect("makes no further attempt after an interruption", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* start([fault(503), fault(503)])
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(seen.attempts, 1)
    })
  )
})

describe("Retries.settle", () => {
  const lost = new ParadigmError({ reason: new ConnectionLost({ phase: "body", code: undefined }) })

  it.effect("adds the failed attempts, and the one that runs now", () =>
    Effect.gen(function* () {
      const { retries, fiber } = yield* start([fault(503)])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      yield* TestClock.adjust("3 seconds")
      const { attempts: records } = retries.settle(lost)
      assert.deepStrictEqual(
        records.map(({ reason }) => reason),
        ["ServerFault", "ConnectionLost"]
      )
      assert.isUndefined(records[1]?.delayMillis)
      assert.isAtLeast(records[1]?.durationMillis ?? 0, 3000)
      assert.deepStrictEqual(retries.settle(lost).attempts, records)
    })
  )

  it.effect("adds no attempt during a delay, and no attempt to an error that has attempts", () =>
    Effect.gen(function* () {
      const { retries, fiber } = yield* start([fault(503)], { baseDelay: 10_000 })
      const settled = retries.settle(lost)
      assert.deepStrictEqual(
        settled.attempts.map(({ reason }) => reason),
        ["ServerFault"]
      )
      assert.strictEqual(retries.settle(settled), settled)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("leaves the list empty when nothing was sent", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(new Retries(yield* Clock.Clock, settingsOf(defaults, key)).settle(lost).attempts, [])
    })
  )

  it.effect("continues the count of attempts in a second run", () =>
    Effect.gen(function* () {
      const retries = new Retries(yield* Clock.Clock, settingsOf({ ...defaults, maxAttempts: 2 }, key))
      const error = new ParadigmError({ reason: fault(503) })
      const first = yield* Effect.forkChild(retries.wait(error))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(first)
      assert.lengthOf((yield* Effect.flip(retries.run(() => Effect.fail(error)))).attempts, 2)
    })
  )

  it.effect("records the failure of an attempt whose response had begun", () =>
    Effect.gen(function* () {
      const retries = new Retries(yield* Clock.Clock, settingsOf(defaults, key))
      assert.strictEqual(yield* retries.run(() => Effect.succeed("head")), "head")
      yield* TestClock.adjust("3 seconds")
      const { attempts } = retries.settle(new ParadigmError({ reason: new StreamTruncated({ chunks: 1 }) }))
      assert.deepStrictEqual(attempts, [
        { reason: "StreamTruncated", status: undefined, requestId: undefined, durationMillis: 3000, delayMillis: undefined }
      ])
    })
  )
})

describe("the key of an attempt", () => {
  const refused = new Unauthorized(about(401))

  // Attempts that fail with 401 for every key but `right`, with a function that returns these keys in turn.
  const withKeys = Effect.fnUntraced(function* (keys: ReadonlyArray<string>, right: string, settings: Partial<RetrySettings> = {}) {
    const clock = yield* Clock.Clock
    const used: Array<string> = []
    let asked = 0
    const key = Effect.sync(() => Redacted.make(keys[Math.min(asked++, keys.length - 1)] ?? ""))
    const attempt = (key: Redacted.Redacted) =>
      Effect.suspend(() => {
        used.push(Redacted.value(key))
        return Redacted.value(key) === right ? Effect.succeed("answer") : Effect.fail(new ParadigmError({ reason: refused }))
      })
    const fiber = yield* Effect.forkChild(Effect.result(new Retries(clock, settingsOf({ ...defaults, ...settings }, key)).run(attempt)))
    yield* TestClock.adjust("1 minute")
    return { result: yield* Fiber.join(fiber), used, asked }
  })

  it.effect("is requested once more after a 401, and another key gets one more attempt", () =>
    Effect.gen(function* () {
      for (const settings of [{}, { maxAttempts: 1 }]) {
        const { asked, result, used } = yield* withKeys(["old", "new"], "new", settings)
        assert.deepStrictEqual([result._tag, used, asked], ["Success", ["old", "new"], 2])
      }
    })
  )

  it.effect("gets no further attempt if it is the same", () =>
    Effect.gen(function* () {
      const { asked, result, used } = yield* withKeys(["old"], "new")
      assert.deepStrictEqual([result._tag, used, asked], ["Failure", ["old"], 2])
    })
  )

  it.effect("is replaced at most once in a call", () =>
    Effect.gen(function* () {
      const { result, used } = yield* withKeys(["a", "b", "c"], "c")
      assert(result._tag === "Failure")
      assert.deepStrictEqual(used, ["a", "b"])
      assert.deepStrictEqual(
        result.failure.attempts.map(({ delayMillis, reason }) => [reason, delayMillis]),
        [
          ["Unauthorized", 0],
          ["Unauthorized", undefined]
        ]
      )
    })
  )
})
