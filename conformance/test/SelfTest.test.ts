import { assert, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import * as Cases from "../src/Cases.ts"
import * as FaultServer from "../src/FaultServer.ts"
import * as Runner from "../src/Runner.ts"
import { describeConformance } from "../src/Vitest.ts"
import { mutants } from "./mutants.ts"
import { makeReference } from "./reference.ts"

const server = await FaultServer.start()
afterAll(() => server.close())

describeConformance(makeReference(), server)

// Many are caught by hanging: they may as well hang together.
describe.concurrent("mutants", () => {
  for (const [bug, caughtBy] of mutants) {
    it(`${bug} is caught by ${caughtBy}`, { timeout: 20_000 }, async () => {
      const instance = Cases.plan.find(({ id }) => id === caughtBy)
      assert(instance !== undefined, `there is no case ${caughtBy}`)
      const result = await Runner.run(instance, makeReference(bug), { ...server, timeLimitMs: 1500 })
      assert.strictEqual(result.verdict, "fail", Runner.format(result))
    })
  }
})
