import { assert, describe, it } from "@effect/vitest"
import { type Limits, Scheduler, type Timing, type Work } from "../src/Scheduler.ts"
import { HandTimer } from "./HandTimer.ts"

const plain: Timing & Limits = {
  timeToFirstToken: 100,
  timeToFirstTokenSpread: 0,
  prefillPerToken: 0,
  prefillSpread: 0,
  interTokenLatency: 20,
  interTokenSpread: 0,
  slowdown: 1,
  maxRunning: Infinity,
  maxUnfinished: Infinity,
  seed: 0
}

const make = (settings: Partial<Timing & Limits> = {}) => {
  const timer = new HandTimer()
  let current = { ...plain, ...settings }
  const scheduler = new Scheduler(timer, () => current)
  const submit = (steps: number, more: Partial<Work> = {}) => {
    const at: Array<number> = []
    let started: number | undefined
    const work: Work = {
      promptTokens: 0,
      choices: 1,
      started: () => void (started = timer.time),
      step: () => (at.push(timer.time) < steps ? "more" : "done"),
      ...more
    }
    const ticket = scheduler.submit(work)
    return { at, ticket, started: () => started }
  }
  return { timer, scheduler, submit, change: (changes: Partial<Timing & Limits>) => void (current = { ...current, ...changes }) }
}

describe("the scheduler", () => {
  it("makes the first token after its time, and the others one latency apart", () => {
    const { scheduler, submit, timer } = make()
    const { at } = submit(3)
    timer.pass(99)
    assert.deepStrictEqual([at, scheduler.running], [[], 1])
    timer.pass(1000)
    assert.deepStrictEqual([at, scheduler.running], [[100, 120, 140], 0])
  })

  it("adds the prefill of each prompt token", () => {
    const { submit, timer } = make({ prefillPerToken: 0.5 })
    const { at } = submit(1, { promptTokens: 200 })
    timer.pass(1000)
    assert.deepStrictEqual(at, [200])
  })

  it("runs as many as fit and lets the others wait in order of arrival", () => {
    const { scheduler, submit, timer } = make({ maxRunning: 2 })
    const all = [1, 2, 3, 4].map(() => submit(1))
    assert.deepStrictEqual([scheduler.running, scheduler.waiting], [2, 2])
    timer.pass(1000)
    assert.deepStrictEqual(
      all.map(({ started }) => started()),
      [0, 0, 100, 100]
    )
  })

  it("counts each choice of a request, and runs one with too many of them alone", () => {
    const { submit, timer } = make({ maxRunning: 2 })
    const [one, many, last] = [submit(1), submit(1, { choices: 3 }), submit(1)]
    timer.pass(1000)
    assert.deepStrictEqual([one.started(), many.started(), last.started()], [0, 100, 200])
  })

  it("refuses what is more than its limit of unfinished requests", () => {
    const { scheduler, submit, timer } = make({ maxRunning: 1, maxUnfinished: 2 })
    const [first, second, third] = [submit(1), submit(1), submit(1)]
    assert.deepStrictEqual([first.ticket?.state, second.ticket?.state, third.ticket], ["running", "waiting", undefined])
    timer.pass(100)
    assert.isDefined(submit(1).ticket)
    assert.strictEqual(scheduler.waiting, 1)
  })

  it("gives the place of a request that leaves to the next one", () => {
    const { scheduler, submit, timer } = make({ maxRunning: 1 })
    const [first, second, third] = [submit(9), submit(9), submit(1)]
    scheduler.leave(second.ticket!)
    timer.pass(110)
    scheduler.leave(first.ticket!)
    scheduler.leave(first.ticket!)
    timer.pass(1000)
    assert.deepStrictEqual([first.at, second.at, third.at], [[100], [], [210]])
    assert.deepStrictEqual([scheduler.running, scheduler.waiting], [0, 0])
  })

  it("takes longer with load, in proportion", () => {
    const { submit, timer } = make({ maxRunning: 3, slowdown: 2, interTokenLatency: 100 })
    const alone = submit(2)
    timer.pass(1000)
    assert.deepStrictEqual(alone.at, [100, 200])
    const all = [submit(2), submit(2), submit(2)]
    timer.pass(1000)
    assert.deepStrictEqual(
      all.map(({ at }) => at[0]),
      [1100, 1150, 1200]
    )
  })

  it("pauses a request until it is resumed, and loses no time that has passed", () => {
    const { scheduler, submit, timer } = make()
    const at: Array<number> = []
    const { ticket } = submit(0, { step: () => (at.push(timer.time) === 2 ? "pause" : at.length < 4 ? "more" : "done") })
    timer.pass(500)
    assert.deepStrictEqual(at, [100, 120])
    scheduler.resume(ticket!)
    scheduler.resume(ticket!)
    timer.pass(500)
    assert.deepStrictEqual(at, [100, 120, 500, 520])
  })

  it("spreads times evenly around the mean, the same for the same seed", () => {
    const gaps = (seed: number) => {
      const { submit, timer } = make({ interTokenSpread: 0.5, seed })
      const { at } = submit(2000)
      timer.pass(100_000)
      return at.slice(1).map((time, index) => time - at[index]!)
    }
    const [one, same, other] = [gaps(1), gaps(1), gaps(2)]
    assert.deepStrictEqual(one, same)
    assert.notDeepEqual(one, other)
    assert.isAtLeast(Math.min(...one), 9)
    assert.isAtMost(Math.max(...one), 31)
    assert.closeTo(one.reduce((sum, gap) => sum + gap) / one.length, 20, 0.5)
  })

  it("serves thousands of requests with one timer", () => {
    const { submit, timer } = make()
    const all = Array.from({ length: 3000 }, (_, index) => {
      if (index % 100 === 0) timer.pass(1)
      return submit(5)
    })
    timer.pass(1000)
    assert.isTrue(all.every(({ at }) => at.length === 5))
    assert.isAtMost(timer.armed, 2)
  })

  it("takes new settings for the next token, and starts what they make room for", () => {
    const { change, scheduler, submit, timer } = make({ maxRunning: 1 })
    const [first, second] = [submit(3), submit(1)]
    timer.pass(100)
    change({ maxRunning: 2, interTokenLatency: 50 })
    scheduler.settingsChanged()
    timer.pass(1000)
    assert.deepStrictEqual([first.at, second.at], [[100, 120, 170], [200]])
  })

  it("goes on from now after a machine that stood still", () => {
    const { submit, timer } = make()
    const { at } = submit(4)
    timer.pass(100)
    timer.time += 1000
    timer.pass(100)
    assert.deepStrictEqual(at, [100, 1100, 1120, 1140])
  })
})
