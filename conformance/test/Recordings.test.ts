import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { isCurrent } from "../choose-recordings.ts"
import { recordingPrefix } from "../src/case/Basis.ts"
import { Case } from "../src/case/Case.ts"
import * as Cases from "../src/case/Cases.ts"
import * as Recordings from "../src/case/Recordings.ts"
import { type Evidence, judge } from "../src/client/Judge.ts"
import { fold } from "../src/client/Fold.ts"
import type { Outcome } from "../src/client/Subject.ts"
import * as ServerCases from "../src/server/ServerCases.ts"

const names = new Set(Recordings.all.map(Recordings.nameOf))

/** The verdict on an outcome as if a subject had reported it. */
const problemsOf = ({ expect }: Case, outcome: Outcome): ReadonlyArray<string> => {
  const attempt = { connection: 1, method: "POST", path: "/", headers: [], body: "", at: 0, bytesWritten: 0, closed: undefined }
  return judge({
    expect,
    answered: [{ expect, outcome, outcomeMs: 0 }],
    runtime: "node",
    capabilities: [],
    secret: "secret",
    report: { attempts: [attempt], preflights: [] } as unknown as Evidence["report"],
    closedMs: 0
  })
}

const outcomeOf = (recording: Recordings.Recording, bodies: ReadonlyArray<unknown>): Outcome =>
  recording.headers["content-type"]?.startsWith("text/event-stream") === true
    ? { outcome: "chunks", chunks: bodies }
    : { outcome: "completion", chunks: [], completion: bodies[0] }

/** The bodies with one thing said differently: a text, a reasoning, an argument, a finish reason, or the usage. */
const misread = (bodies: ReadonlyArray<unknown>) => {
  const { choices, usage } = fold(bodies)
  const ways = [
    ...(choices.some(({ text }) => text !== "") ? ["content"] : []),
    ...(choices.some(({ reasoning }) => reasoning !== "") ? ["reasoning"] : []),
    ...(choices.some(({ calls }) => calls.some((call) => call.arguments !== "")) ? ["arguments"] : []),
    ...(choices.some(({ finish }) => finish !== undefined) ? ["finish_reason"] : []),
    ...(usage === undefined || usage === null ? [] : ["usage"])
  ]
  return ways.map((way) => {
    const spoil = (key: string, value: unknown) =>
      key !== way && key !== `${way}_content`
        ? value
        : typeof value === "string" && value !== ""
          ? `${value}?`
          : value === null || value === ""
            ? value
            : undefined
    return [way, JSON.parse(JSON.stringify(bodies, spoil)) as ReadonlyArray<unknown>] as const
  })
}

describe("the recordings", () => {
  it("are about three hundred that differ in shape, chosen from those of the core", () => {
    assert.isTrue(isCurrent(), "node choose-recordings.ts")
    assert.isAtLeast(names.size, 280)
  })

  it("have each citation", () => {
    const cited = [...Cases.written, ...ServerCases.all].flatMap(({ source }) => source.filter((item) => item.startsWith(recordingPrefix)))
    assert.deepStrictEqual(
      cited.filter((item) => !names.has(item.slice(recordingPrefix.length))),
      []
    )
    assert.isAbove(cited.length, 50)
  })

  it("are cases by the schema", () => {
    const decode = Schema.decodeUnknownSync(Case)
    for (const item of Recordings.cases) assert.deepStrictEqual(decode(item, { onExcessProperty: "error" }), item)
  })

  it("have their decisions listed, each about one of them, and different from the independent reading", () => {
    for (const { expect, recording, reason } of Recordings.decisions) {
      assert.isTrue(names.has(recording), recording)
      assert.isNotEmpty(reason)
      const entry = Recordings.all.find((item) => Recordings.nameOf(item) === recording)
      const item = Recordings.cases.find(({ source }) => source.includes(recordingPrefix + recording))
      assert(entry !== undefined && item !== undefined)
      if (expect !== undefined) assert.isNotEmpty(problemsOf(item, outcomeOf(entry, Recordings.bodiesOf(entry))), recording)
    }
  })

  it.each(Recordings.cases.map((item, i) => [item.id, i] as const))("%s fails when it is read otherwise", (_, i) => {
    const item = Recordings.cases[i]
    const recording = Recordings.all[i]
    assert(item !== undefined && recording !== undefined)
    const bodies = Recordings.bodiesOf(recording)
    if (item.expect.outcome === "error") {
      assert.isNotEmpty(problemsOf(item, outcomeOf(recording, bodies)))
      return
    }
    assert.deepStrictEqual(item.id.includes("bias-huge") ? [] : problemsOf(item, outcomeOf(recording, bodies)), [])
    assert.isNotEmpty(problemsOf(item, { outcome: "error", chunks: [] }))
    for (const [way, spoiled] of misread(bodies)) assert.isNotEmpty(problemsOf(item, outcomeOf(recording, spoiled)), way)
  })
})
