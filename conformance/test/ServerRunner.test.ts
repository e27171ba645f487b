import { assert, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import * as FaultServer from "../src/fault/FaultServer.ts"
import { open as openSocket } from "../src/server/NodeSocket.ts"
import * as Runner from "../src/client/Runner.ts"
import * as ServerCases from "../src/server/ServerCases.ts"
import * as ServerRunner from "../src/server/ServerRunner.ts"
import * as ServerSuite from "../src/server/ServerSuite.ts"
import { describeServerConformance } from "../src/bind/ServerVitest.ts"
import { serverMutants } from "./serverMutants.ts"
import { startReferenceServer } from "./serverReference.ts"

const faults = await FaultServer.start()
afterAll(() => faults.close())

/** Each server has a path of its own at the fault server: many run at once. */
let started = 0
const start = async (bug?: string) => {
  const path = `/runs/server/cases/${bug ?? "none"}-${started++}`
  const { close, target, upstreamKey } = await startReferenceServer(faults.a + path, bug)
  const upstream = { controlUrl: faults.controlUrl, path, model: "faulty", apiKey: upstreamKey }
  return { target: { ...target, upstream, openSocket } satisfies ServerRunner.Target, close }
}

describeServerConformance("the reference server", start)

const serverMutantsOf = (bug: string) => serverMutants.flatMap(([name, id]) => (name === bug ? [id] : []))

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

describe("the mutants", () => {
  it("name every case", () => {
    const caught = new Set(serverMutants.map(([, id]) => id))
    assert.deepStrictEqual(
      ServerCases.all.map(({ id }) => id).filter((id) => !caught.has(id)),
      []
    )
    const pairs = serverMutants.map((mutant) => mutant.join(" "))
    assert.strictEqual(new Set(pairs).size, pairs.length)
  })
})

describe("a gateway that passes the key of its caller on", () => {
  it("fails where it has a credential of its own, and passes where it lacks one", async () => {
    const { close, target } = await start("forwards-the-key")
    const [name = ""] = serverMutantsOf("forwards-the-key")
    const own = await ServerRunner.run(caseOf(name), target)
    const lacking = await ServerRunner.run(caseOf(name), { ...target, lacks: ["own-credential"] })
    await close()
    assert.deepStrictEqual([own.verdict, lacking.verdict], ["fail", "pass"])
  })
})

describe("runAll", () => {
  it("runs cases side by side, those that need the server for themselves last, and all of them once", async () => {
    const { close, target } = await start()
    const cases = ["server-relay/json-kept", "server-stream/ends-with-done", "server-relay/stream-kept", "server-stream/same-head"].map(
      caseOf
    )
    const ids: Array<string> = []
    for await (const result of ServerSuite.runAll(cases, target, { jobs: 4 })) {
      assert.strictEqual(result.verdict, "pass", Runner.format(result))
      ids.push(result.id)
    }
    await close()
    assert.sameMembers(
      ids,
      cases.map(({ id }) => id)
    )
    assert.deepStrictEqual(ids.slice(2), ["server-relay/json-kept", "server-relay/stream-kept"])
  })
})
