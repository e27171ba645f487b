import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { setTimeout as sleep } from "node:timers/promises"
import { type Charge, type Decision, MemoryCounters, type Settlement } from "../src/limits/Counters.ts"
import { RedisCounters } from "../src/limits/RedisCounters.ts"
import * as RedisServer from "./RedisServer.ts"

interface Counters {
  readonly admit: (id: string, charges: ReadonlyArray<Charge>) => Decision | undefined | Promise<Decision | undefined>
  readonly settle: (id: string, settlements: ReadonlyArray<Settlement>) => void | Promise<void>
  readonly renew: (id: string, charges: ReadonlyArray<Charge>) => void | Promise<void>
}

const charge = (counter: string, limit: number, more: Partial<Charge> = {}): Charge => ({
  counter,
  limit,
  isEnforced: true,
  window: 0,
  end: 0,
  hold: 1,
  seed: 0,
  ...more
})

const up = async (counters: RedisCounters) => {
  const deadline = performance.now() + 10_000
  while (!counters.isUp && performance.now() < deadline) await sleep(2)
  assert.isTrue(counters.isUp)
}

const lease = 300

const redis: Effect.Effect<Counters, never, Scope.Scope> = Effect.gen(function* () {
  const server = yield* RedisServer.start
  const counters = yield* Effect.acquireRelease(
    Effect.sync(() => new RedisCounters({ url: server.url, timeout: 1000, lease, prefix: "test" })),
    (counters) => Effect.sync(() => counters.close())
  )
  yield* Effect.promise(() => up(counters))
  return counters
})

// Report 5, with a clock of the test's own.
describe("a limit of requests and a limit of tokens", () => {
  it("do not throttle a use below both, minute after minute", () => {
    const clock = { now: 1_000_000 }
    const counters = new MemoryCounters(60_000, () => clock.now)
    const charges = [charge("rpm", 500, { window: 60_000 }), charge("tpm", 200_000, { window: 60_000, hold: 2000 })]
    let tokens = 0
    for (let i = 0; tokens < 3 * 195_000; i++) {
      assert.strictEqual(counters.admit(`${i}`, charges).refusedBy, -1)
      counters.settle(
        `${i}`,
        charges.map((charge) => ({ charge, held: charge.hold, actual: charge.hold }))
      )
      tokens += 2000
      clock.now += Math.ceil((60_000 * 2000) / 195_000)
    }
  })

  it("keep no counter that is over", () => {
    const clock = { now: 1_000_000 }
    const counters = new MemoryCounters(60_000, () => clock.now)
    for (let i = 0; i < 1000; i++) {
      const streams = charge(`streams ${i}`, 1)
      counters.admit(`${i}`, [charge(`key ${i}`, 1, { window: 60_000 }), streams])
      counters.settle(`${i}`, [{ charge: streams, held: 1, actual: 0 }])
    }
    assert.strictEqual(counters.size, 2000)
    clock.now += 120_000
    counters.admit("last", [])
    assert.strictEqual(counters.size, 0)
  })
})

const implementations = [
  ["in memory", true, Effect.sync((): Counters => new MemoryCounters(lease, Date.now))],
  ["in Redis", RedisServer.isInstalled, redis]
] as const

describe.each(implementations)("counters %s", (_, isRun, make) => {
  const test = (title: string, run: (counters: Counters) => Promise<void>) =>
    it.live.skipIf(!isRun)(title, () => Effect.flatMap(make, (counters) => Effect.promise(() => run(counters))))
  const isAdmitted = (decision: Decision | undefined) => decision?.refusedBy === -1

  // Report 2.
  test("charge nothing when one of the limits refuses", async (counters) => {
    const requests = charge("rpm", 2, { window: 60_000 })
    const streams = charge("streams", 1)
    assert.isTrue(isAdmitted(await counters.admit("a", [requests, streams])))
    assert.strictEqual((await counters.admit("b", [requests, streams]))?.refusedBy, 1)
    await counters.settle("a", [
      { charge: requests, held: 1, actual: 1 },
      { charge: streams, held: 1, actual: 0 }
    ])
    assert.isTrue(isAdmitted(await counters.admit("c", [requests, streams])))
    assert.strictEqual((await counters.admit("d", [requests, streams]))?.refusedBy, 0)
  })

  // Report 3.
  test("are unchanged by 100 refusals", async (counters) => {
    const nothing = charge("never", 0, { window: 60_000 })
    const tokens = charge("tpm", 1000, { window: 60_000, hold: 10 })
    assert.isTrue(isAdmitted(await counters.admit("a", [tokens])))
    for (let i = 0; i < 100; i++) assert.strictEqual((await counters.admit(`r${i}`, [tokens, nothing]))?.refusedBy, 1)
    const [standing] = (await counters.admit("", [tokens]))?.standings ?? []
    assert.deepInclude(standing, { used: 0, held: 10 })
  })

  test("hold what a request may use, then have what it used", async (counters) => {
    const tokens = charge("tpm", 100, { window: 60_000, hold: 80 })
    assert.deepInclude((await counters.admit("a", [tokens]))?.standings[0], { used: 0, held: 80 })
    assert.isFalse(isAdmitted(await counters.admit("b", [tokens])))
    await counters.settle("a", [{ charge: tokens, held: 80, actual: 15 }])
    assert.deepInclude((await counters.admit("b", [tokens]))?.standings[0], { used: 15, held: 80 })
  })

  test("never refund more than was held, nor twice", async (counters) => {
    const tokens = charge("tpm", 100, { window: 60_000, hold: 60 })
    await counters.admit("a", [tokens])
    await counters.settle("a", [{ charge: tokens, held: 60, actual: 50 }])
    for (let i = 0; i < 3; i++) await counters.settle("a", [{ charge: tokens, held: 60, actual: 0 }])
    assert.deepInclude((await counters.admit("", [tokens]))?.standings[0], { used: 50, held: 0 })
  })

  test("admit a request that may use more than the limit when nothing is used", async (counters) => {
    const tokens = charge("tpm", 100, { window: 60_000, hold: 5000 })
    assert.isTrue(isAdmitted(await counters.admit("a", [tokens])))
    assert.isFalse(isAdmitted(await counters.admit("b", [tokens])))
    await counters.settle("a", [{ charge: tokens, held: 100, actual: 20 }])
    assert.isFalse(isAdmitted(await counters.admit("c", [tokens])))
  })

  // Report 5: one request begins the window of the first limit, another that of the second.
  test("begin a window of each limit with its own first charge, and end it after its length", async (counters) => {
    const one = charge("one", 1, { window: 200 })
    const two = charge("two", 1, { window: 400 })
    assert.isTrue(isAdmitted(await counters.admit("a", [one])))
    await sleep(100)
    assert.isTrue(isAdmitted(await counters.admit("b", [two])))
    const decision = await counters.admit("c", [one, two])
    assert.strictEqual(decision?.refusedBy, 0)
    assert.isBelow(decision?.standings[0]?.reset ?? 0, 110)
    assert.isAbove(decision?.standings[1]?.reset ?? 0, 300)
    await sleep((decision?.standings[0]?.reset ?? 0) + 5)
    assert.strictEqual((await counters.admit("d", [one, two]))?.refusedBy, 1)
    assert.isTrue(isAdmitted(await counters.admit("e", [one])))
  })

  test("charge what exceeds a hold to the current window when that of the hold is over", async (counters) => {
    const tokens = charge("tpm", 100, { window: 50, hold: 10 })
    await counters.admit("a", [tokens])
    await sleep(60)
    await counters.settle("a", [{ charge: tokens, held: 10, actual: 35 }])
    assert.deepInclude((await counters.admit("", [tokens]))?.standings[0], { used: 25, held: 0 })
  })

  // Report 6.
  test("free the holds of a gateway that was killed after the lease, and not while they are renewed", async (counters) => {
    const streams = charge("streams", 1)
    assert.isTrue(isAdmitted(await counters.admit("a", [streams])))
    for (let i = 0; i < 5; i++) {
      await sleep(lease / 3)
      await counters.renew("a", [streams])
      assert.isFalse(isAdmitted(await counters.admit("b", [streams])))
    }
    await sleep(lease + 20)
    assert.isTrue(isAdmitted(await counters.admit("b", [streams])))
  })

  test("count and never refuse by a limit that only reports", async (counters) => {
    const requests = charge("rpm", 1, { window: 60_000, isEnforced: false })
    for (let i = 0; i < 3; i++) assert.isTrue(isAdmitted(await counters.admit(`${i}`, [requests])))
    assert.deepInclude((await counters.admit("", [requests]))?.standings[0], { held: 3 })
  })

  test("begin with what is known to have been used", async (counters) => {
    const end = Date.now() + 60_000
    const budget = charge("budget", 1000, { end, hold: 200, seed: 900 })
    assert.isFalse(isAdmitted(await counters.admit("a", [budget])))
    assert.isTrue(isAdmitted(await counters.admit("b", [{ ...budget, hold: 100 }])))
  })

  test("admit exactly 100 of 300 at once", async (counters) => {
    const requests = charge("rpm", 100, { window: 60_000 })
    const decisions = await Promise.all(Array.from({ length: 300 }, async (_, i) => counters.admit(`${i}`, [requests])))
    assert.lengthOf(decisions.filter(isAdmitted), 100)
  })
})

describe.skipIf(!RedisServer.isInstalled)("Redis that fails", () => {
  const start = Effect.gen(function* () {
    const server = yield* RedisServer.start
    const counters = yield* Effect.acquireRelease(
      Effect.sync(() => new RedisCounters({ url: server.url, timeout: 250, lease: 60_000, prefix: "test" })),
      (counters) => Effect.sync(() => counters.close())
    )
    yield* Effect.promise(() => up(counters))
    return { server, counters }
  })
  const requests = charge("rpm", 1000, { window: 60_000 })
  const standing = async (counters: RedisCounters) => (await counters.admit("", [requests]))?.standings[0]
  const timed = async <A>(run: () => Promise<A>): Promise<readonly [A, number]> => {
    const begin = performance.now()
    const value = await run()
    return [value, performance.now() - begin]
  }

  // Reports 7 and 8.
  it.live("delays no call beyond its timeout when it is frozen, and charges nothing when it thaws", () =>
    Effect.flatMap(start, ({ counters, server }) =>
      Effect.promise(async () => {
        await counters.admit("a", [requests])
        server.signal("SIGSTOP")
        const [decisions, first] = await timed(() => Promise.all(Array.from({ length: 50 }, (_, i) => counters.admit(`f${i}`, [requests]))))
        assert.isTrue(decisions.every((decision) => decision === undefined))
        // The timeout, and what busy cores add.
        assert.isBelow(first, 600)
        const [, next] = await timed(() => counters.admit("g", [requests]))
        assert.isBelow(next, 100)
        assert.isFalse(counters.isUp)
        server.signal("SIGCONT")
        await up(counters)
        assert.deepInclude(await standing(counters), { used: 0, held: 1 })
      })
    )
  )

  it.live("settles after the thaw what could not be settled before, once", () =>
    Effect.flatMap(start, ({ counters, server }) =>
      Effect.promise(async () => {
        await counters.admit("a", [requests])
        server.signal("SIGSTOP")
        await counters.settle("a", [{ charge: requests, held: 1, actual: 7 }])
        server.signal("SIGCONT")
        await up(counters)
        const deadline = performance.now() + 5000
        while ((await standing(counters))?.used !== 7 && performance.now() < deadline) await sleep(5)
        assert.deepInclude(await standing(counters), { used: 7, held: 0 })
      })
    )
  )

  it.live("is used again after it was killed and started", () =>
    Effect.flatMap(start, ({ counters, server }) =>
      Effect.promise(async () => {
        await server.kill()
        const [decision, millis] = await timed(() => counters.admit("a", [requests]))
        assert.isUndefined(decision)
        assert.isBelow(millis, 600)
        await server.start()
        await up(counters)
        assert.strictEqual((await counters.admit("b", [requests]))?.refusedBy, -1)
      })
    )
  )

  it.live("begins with what was known when it was flushed", () =>
    Effect.flatMap(start, ({ counters, server }) =>
      Effect.promise(async () => {
        const budget = charge("budget", 100, { end: Date.now() + 60_000, hold: 90 })
        await counters.admit("a", [budget])
        await counters.settle("a", [{ charge: budget, held: 90, actual: 90 }])
        await server.run("FLUSHALL")
        await server.run("SCRIPT", "FLUSH")
        assert.strictEqual((await counters.admit("b", [{ ...budget, hold: 20, seed: 90 }]))?.refusedBy, 0)
      })
    )
  )

  // Report 13: the clock of a gateway is 10 seconds ahead.
  it.live("counts by its own clock, whatever that of a gateway is", () =>
    Effect.flatMap(start, ({ counters, server }) =>
      Effect.promise(async () => {
        const ahead = new RedisCounters({ url: server.url, timeout: 1000, lease: 60_000, prefix: "test" })
        await up(ahead)
        const ten = charge("ten", 10, { window: 60_000 })
        const date = vi.spyOn(Date, "now")
        const decisions: Array<Decision | undefined> = []
        for (let i = 0; i < 20; i++) {
          date.mockReturnValue(1_000_000_000_000 + (i % 2) * 10_000)
          decisions.push(await (i % 2 === 0 ? counters : ahead).admit(`${i}`, [ten]))
        }
        date.mockRestore()
        ahead.close()
        assert.deepEqual(
          decisions.map((decision) => decision?.refusedBy),
          Array.from({ length: 20 }, (_, i) => (i < 10 ? -1 : 0))
        )
        for (const decision of decisions) assert.isAtMost(decision?.standings[0]?.reset ?? 0, 60_000)
      })
    )
  )

  it.live("answers at once when nothing listens", () =>
    Effect.promise(async () => {
      const counters = new RedisCounters({ url: "redis://127.0.0.1:1", timeout: 50, lease: 60_000, prefix: "test" })
      const [decision, millis] = await timed(() => counters.admit("a", [requests]))
      assert.isUndefined(decision)
      assert.isBelow(millis, 100)
      counters.close()
    })
  )
})
