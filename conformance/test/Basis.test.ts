import { assert, describe, it } from "@effect/vitest"
import * as Basis from "../src/case/Basis.ts"
import * as Cases from "../src/case/Cases.ts"
import * as ServerCases from "../src/server/ServerCases.ts"

const clause = "https://www.rfc-editor.org/rfc/rfc9110#section-15"
const standard = { level: "MUST", basis: "standard", keyword: "MUST", source: [clause] } as const
const house = { level: "SHOULD", basis: "house", source: ["policy"] } as const

describe("the authority of a case", () => {
  it("is a clause with a keyword that is as firm as the level", () => {
    assert.deepStrictEqual(Basis.problems(standard), [])
    assert.deepStrictEqual(Basis.problems({ ...standard, level: "SHOULD" }), [])
    assert.deepStrictEqual(Basis.problems({ ...standard, keyword: "SHOULD" }), ["level MUST exceeds the clause, which says SHOULD"])
    assert.match(Basis.problems({ ...standard, keyword: "MAY" }).join(), /MAY asks for nothing/)
    const { keyword: _, ...without } = standard
    assert.deepStrictEqual(Basis.problems(without), ["a standard case names the keyword of its clause"])
  })

  it("is cited where it can be read", () => {
    const page = Basis.problems({ ...standard, source: ["https://www.rfc-editor.org/rfc/rfc9110"] })
    assert.match(page.join(), /rfc9110" does not lead to a clause/)
    assert.match(Basis.problems({ ...standard, source: ["policy"] }).join(), /"policy" does not lead/)
    assert.match(Basis.problems({ ...standard, source: ["recording:a/b"] }).join(), /"recording:a\/b" does not lead/)
    assert.deepStrictEqual(Basis.problems({ ...standard, basis: "contract", source: ["recording:a/b"] }), [])
  })

  it("is never a MUST of this project's own", () => {
    assert.deepStrictEqual(Basis.problems(house), [])
    assert.deepStrictEqual(Basis.problems({ ...house, source: ["policy", clause] }), [])
    assert.deepStrictEqual(Basis.problems({ ...house, level: "MUST" }), ["a house case is a SHOULD at most"])
    assert.match(Basis.problems({ ...house, keyword: "MUST" }).join(), /has no keyword/)
  })

  it("is held by the schema of both sides", () => {
    const group = (id = "") => id.slice(0, id.indexOf("/"))
    const [client] = Cases.all
    const [server] = ServerCases.all
    assert.throws(
      () => Cases.decode({ group: group(client?.id), cases: [{ ...client, level: "MUST" }] }),
      /a house case is a SHOULD at most/
    )
    assert.throws(
      () => ServerCases.decode({ group: group(server?.id), cases: [{ ...server, source: ["policy"] }] }),
      /does not lead to a clause/
    )
  })

  it("holds for every case", () => {
    const found = [...Cases.all, ...ServerCases.all].flatMap((item) => Basis.problems(item).map((problem) => `${item.id}: ${problem}`))
    assert.deepStrictEqual(found, [])
  })

  it("has terms of this project for errors alone", () => {
    const wrong = Cases.all.filter(({ expect }) => expect.house !== undefined && expect.outcome !== "error")
    assert.deepStrictEqual(
      wrong.map(({ id }) => id),
      []
    )
  })
})
