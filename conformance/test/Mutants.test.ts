import { assert, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import { Expectation } from "../src/case/Case.ts"
import * as Cases from "../src/case/Cases.ts"
import * as FaultServer from "../src/fault/FaultServer.ts"
import * as Runner from "../src/client/Runner.ts"
import { mutants } from "./mutants.ts"
import { makeReference } from "./reference.ts"

const server = await FaultServer.start()
afterAll(() => server.close())

/** The names of what was found wrong: `wire[0].headers.accept: expected …` is about `wire.headers`. */
const checksOf = (problems: ReadonlyArray<string>) =>
  problems.flatMap((problem) => /^(?:call \d+: )?((?:error|wire)(?:\[\d+\])?\.\w+|\w+)/.exec(problem)?.[1]?.replace(/\[\d+\]/, "") ?? [])

const groupOf = (id: string) => id.split("/")[0]

const found = new Set<string>()

const isCaughtWithin = (timeLimitMs: number) => async (bug: string, caughtBy: string) => {
  const instance = Cases.plan.find(({ id }) => id === caughtBy)
  assert(instance !== undefined, `there is no case ${caughtBy}`)
  const result = await Runner.run(instance, makeReference(bug), { ...server, timeLimitMs })
  assert.strictEqual(result.verdict, "fail", Runner.format(result))
  for (const check of checksOf(result.problems)) found.add(check)
}

// How much is read ahead is told of a mutant that has the process to itself, and all the time it needs: one that is cut short has not
// shown what it does.
const isAlone = ([, caughtBy]: (typeof mutants)[number]) => caughtBy.startsWith("backpressure/")

describe("a mutant that is busy", () => {
  it.each(mutants.filter(isAlone))("%s is caught by %s", { timeout: 60_000 }, isCaughtWithin(45_000))
})

// Many are caught by hanging: they may as well hang together.
describe.concurrent("mutants", () => {
  it.each(mutants.filter((mutant) => !isAlone(mutant)))("%s is caught by %s", { timeout: 30_000 }, isCaughtWithin(3000))
})

describe("the mutants", () => {
  it("are each another one, at least sixty, with one for each group", () => {
    assert.strictEqual(new Set(mutants.map(([bug]) => bug)).size, mutants.length)
    assert.isAtLeast(mutants.length, 60)
    const caught = new Set(mutants.map(([, id]) => groupOf(id)))
    const groups = [...new Set(Cases.all.map(({ id }) => groupOf(id)))]
    assert.deepStrictEqual(
      groups.filter((group) => !caught.has(group)),
      []
    )
  })

  it("fail every check there is, but for what only a browser does", () => {
    const { error, wire, ...rest } = Expectation.fields
    const checks = [
      ...Object.keys(rest),
      ...Object.keys(error.schema.fields).map((name) => `error.${name}`),
      ...Object.keys(wire.schema.value.fields).map((name) => `wire.${name}`),
      "secrets"
    ]
    assert.deepStrictEqual(
      checks.filter((check) => !found.has(check)),
      ["preflightHeaders"]
    )
  })
})
