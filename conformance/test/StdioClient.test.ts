import { assert, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import * as Cases from "../src/case/Cases.ts"
import * as FaultServer from "../src/fault/FaultServer.ts"
import * as Runner from "../src/client/Runner.ts"
import * as StdioClient from "../src/client/StdioClient.ts"

const server = await FaultServer.start()
afterAll(() => server.close())

const [instance] = Cases.plan

/** A program that greets, closes what it is told to, and does something of its own when it is to make a call. */
const program = (onCall: string) => {
  const source = `
    const say = (message) => console.log(JSON.stringify(message))
    require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
      const message = JSON.parse(line)
      if (message.type === "hello") say({ type: "hello", name: "program", capabilities: ["abort"] })
      if (message.type === "open") console.error("the key is " + message.apiKey)
      if (message.type === "close") say({ type: "closed", client: message.client })
      if (message.type === "call") { ${onCall} }
    })`
  return `${JSON.stringify(process.execPath)} -e ${JSON.stringify(source.replaceAll(/\n\s*/g, ";"))}`
}

const twice = async (onCall: string, timeLimitMs: number) => {
  assert(instance !== undefined)
  const client = await StdioClient.start(program(onCall))
  try {
    const results = []
    for (let i = 0; i < 2; i++) results.push(await Runner.run(instance, client.subject, { ...server, timeLimitMs }))
    return { results, restarts: client.restarts() }
  } finally {
    await client.close()
  }
}

describe("a program as a subject", () => {
  it.each<[string, string, number, RegExp]>([
    ["hangs", "for (;;);", 500, /crash: nothing came of the call within 500 ms/],
    ["crashes", "process.exit(7)", 10_000, /crash: the subject ended by itself \(exit code 7\)/],
    ["prints garbage", 'console.log("hello, world")', 10_000, /said what is no message, "hello, world": it is not JSON/],
    ["speaks out of turn", 'say({ type: "outcome", call: 99, outcome: "chunks" })', 10_000, /spoke of call 99/],
    ["says what is none of its words", 'say({ type: "outcome", call: message.call, outcome: "fine" })', 10_000, /said what is no message/]
  ])("that %s fails its case, with what was said and without the key, and is started anew", async (_, onCall, limit, expected) => {
    const { restarts, results } = await twice(onCall, limit)
    assert.strictEqual(restarts, 2)
    for (const result of results) {
      assert.strictEqual(result.verdict, "fail")
      assert.match(Runner.format(result), expected)
      assert.match(Runner.format(result), /\d+ ms to the subject: \{"type":"call"/)
      assert.notMatch(Runner.format(result), /sk-[0-9a-f]{8}/)
    }
  })

  it("that does not greet cannot be tested, and it is said why", async () => {
    const failure = await StdioClient.start("echo first words >&2; sleep 60", { greetMs: 300 }).catch((error: unknown) => error)
    assert.instanceOf(failure, StdioClient.SubjectFailure)
    assert.match(failure.message, /did not greet within 300 ms[^]*stderr: first words/)
  })
})
