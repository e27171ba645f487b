import { assert, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import * as Cases from "../src/case/Cases.ts"
import * as FaultServer from "../src/fault/FaultServer.ts"
import * as Plan from "../src/plan/Plan.ts"
import * as Runner from "../src/client/Runner.ts"
import type { Subject, SubjectClient } from "../src/client/Subject.ts"
import { makeReference } from "./reference.ts"

const server = await FaultServer.start()
afterAll(() => server.close())

const instance = (id: string) => {
  const found = Cases.plan.find((item) => item.id === id)
  assert(found !== undefined)
  return found
}
const echoed = instance("security/server-echoes-key")
const known = [{ pattern: "security/*", reason: "not done yet", until: "2999-12-31" }]

const answering = (call: SubjectClient["call"]): Subject => ({
  ...makeReference(),
  open: () => ({ close: async () => undefined, call })
})

describe("run", () => {
  it("knows a failure that is known, and one that is no more", async () => {
    const leaking = await Runner.run(echoed, makeReference("key-in-the-message"), { ...server, known })
    assert.strictEqual(leaking.verdict, "known-fail")
    assert.isTrue(Runner.isFine(leaking))
    const mended = await Runner.run(echoed, makeReference(), { ...server, known })
    assert.strictEqual(mended.verdict, "stale")
    assert.isFalse(Runner.isFine(mended))
  })

  it("fails a subject that throws, that never ends, and that does not even start", async () => {
    const crashed = await Runner.run(
      echoed,
      answering(() => Promise.reject(new Error("boom"))),
      server
    )
    assert.strictEqual(crashed.verdict, "fail")
    assert.include(crashed.problems.join(), "boom")
    const hung = await Runner.run(
      echoed,
      answering(() => new Promise(() => undefined)),
      { ...server, timeLimitMs: 50 }
    )
    assert.strictEqual(hung.verdict, "fail")
    assert.include(hung.problems.join(), "nothing came of the call within 50 ms")
    const throwing = (() => {
      throw new Error("no promise")
    }) as unknown as SubjectClient["call"]
    assert.strictEqual((await Runner.run(echoed, answering(throwing), server)).verdict, "fail")
  })

  it("closes a client only when the case is judged, also after a crash", async () => {
    const order: Array<string> = []
    const subject: Subject = {
      ...makeReference(),
      open: () => ({
        call: () => {
          order.push("call")
          return Promise.reject(new Error("boom"))
        },
        close: async () => void order.push("close")
      })
    }
    await Runner.run(echoed, subject, server)
    assert.deepStrictEqual(order, ["call", "close"])
  })

  it("keeps the key out of what it says", async () => {
    const subject = makeReference("key-in-the-message")
    let key = ""
    const spying: Subject = {
      ...subject,
      open: (options) => {
        key = options.apiKey
        return subject.open(options)
      }
    }
    const result = await Runner.run(echoed, spying, server)
    assert.strictEqual(result.verdict, "fail")
    assert.isAbove(key.length, 20)
    assert.notInclude(Runner.format(result), key)
    assert.include(Runner.format(result), "{{key}}")
  })

  it("fails a client that asks for an encoding it does not declare", async () => {
    const result = await Runner.run(instance("request-json/minimal-body"), { ...makeReference(), capabilities: ["abort"] }, server)
    assert.deepStrictEqual(result.problems, ["wire: gzip is asked for, but is not among the subject's capabilities"])
  })
})

describe("conclude", () => {
  it("prints what was planned, and finds what did not run or is another list", async () => {
    const plan = Plan.make(Cases.all.slice(0, 2))
    const results: Array<Runner.Result> = []
    for await (const result of Runner.runConformance(makeReference(), server, plan)) results.push(result)
    const summary = await Plan.summarize(plan)
    const whole = await Runner.conclude(plan, results, { summary })
    assert.deepStrictEqual(whole, { line: `conformance: 2 cases, hash ${summary.hash}: 2 pass`, problems: [] })
    const half = await Runner.conclude(plan, results.slice(1), { summary: Cases.summary, known })
    assert.deepStrictEqual(half.problems, [
      "known failure security/* names no case",
      "2 cases planned, 1 ran",
      `not the published list, which has ${Cases.plan.length} cases and hash ${Cases.summary.hash}`
    ])
  })
})
