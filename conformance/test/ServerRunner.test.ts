import { assert, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import * as FaultServer from "../src/fault/FaultServer.ts"
import { open as openSocket } from "../src/server/NodeSocket.ts"
import * as Runner from "../src/client/Runner.ts"
import * as ServerCases from "../src/server/ServerCases.ts"
import * as ServerRunner from "../src/server/ServerRunner.ts"
import { describeServerConformance } from "../src/bind/ServerVitest.ts"
import { serverMutants } from "./serverMutants.ts"
import { startReferenceServer } from "./serverReference.ts"

const faults = await FaultServer.start()
afterAll(() => faults.close())

/** Each server has a path of its own at the fault server: many run at once. */
const start = async (bug?: string) => {
  const path = `/runs/server/cases/${bug ?? "none"}`
  const { close, target, upstreamKey } = await startReferenceServer(faults.a + path, bug)
  const upstream = { controlUrl: faults.controlUrl, path, model: "faulty", apiKey: upstreamKey }
  return { target: { ...target, upstream, openSocket } satisfies ServerRunner.Target, close }
}

describeServerConformance("the reference server", start)

const caseOf = (id: string) => {
  const found = ServerCases.all.find((item) => item.id === id)
  assert(found !== undefined, `there is no case ${id}`)
  return found
}

describe.concurrent("mutants", () => {
  for (const [bug, caughtBy] of serverMutants) {
    it(`${bug} is caught by ${caughtBy}`, async () => {
      const { close, target } = await start(bug)
      const result = await ServerRunner.run(caseOf(caughtBy), target, { timeLimitMs: 3000 })
      await close()
      assert.strictEqual(result.verdict, "fail", Runner.format(result))
      assert.notInclude(result.problems.join(), "crash")
    })
  }
})
