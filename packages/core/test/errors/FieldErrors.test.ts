import { assert, describe, it } from "@effect/vitest"
import { add, describeFields, join } from "../../src/errors/FieldErrors.ts"

describe("join", () => {
  it.each<[string, PropertyKey, string]>([
    ["", "model", "model"],
    ["messages", 0, "messages[0]"],
    ["messages", "0", "messages[0]"],
    ["messages[0]", "role", "messages[0].role"],
    ["", 0, "[0]"],
    ["a", "1b", "a.1b"],
    ["a", Symbol.for("s"), "a.Symbol(s)"]
  ])("%s and %s", (path, key, expected) => {
    assert.strictEqual(join(path, key), expected)
  })

  it("keeps both ends of a long name and of a long path", () => {
    assert.strictEqual(join("", `${"a".repeat(5000)}${"z".repeat(5000)}`), `${"a".repeat(39)}…${"z".repeat(40)}`)
    let path = ""
    for (let i = 0; i < 1000; i++) path = join(path, `name${i}`)
    assert.strictEqual(path.length, 200)
    assert.match(path, /^name0\.name1\..*….*\.name999$/)
    assert.strictEqual(join(path, 123_456).length, 200)
    assert.isTrue(join(path, 123_456).endsWith("[123456]"))
  })
})

describe("add", () => {
  it("lists the first 20 problems in order, over all fields, and counts the others", () => {
    const fields = new Map<string, Array<string>>()
    for (let i = 0; i < 50; i++) add(fields, i % 2 === 0 ? "even" : "odd", `problem ${i}`)
    assert.deepStrictEqual([...fields.keys()], ["even", "odd", "…"])
    assert.strictEqual(fields.get("even")?.length, 10)
    assert.strictEqual(fields.get("odd")?.length, 10)
    assert.deepStrictEqual(fields.get("…"), ["30 more"])
    assert.match(describeFields(Object.fromEntries(fields)), /^even: problem 0, .*; odd: problem 1, .*; …: 30 more$/)
  })

  it("bounds a path and a problem that were not made by join", () => {
    const fields = new Map<string, Array<string>>()
    for (let i = 0; i < 2; i++) add(fields, "p".repeat(1000), "x".repeat(1000))
    assert.deepStrictEqual(
      [...fields].map(([path, problems]) => [path.length, problems.map((problem) => problem.length)]),
      [[200, [300, 300]]]
    )
  })

  it("counts correctly next to a field named like the count", () => {
    const fields = new Map<string, Array<string>>()
    for (let i = 0; i < 25; i++) add(fields, "…", "problem")
    assert.strictEqual(fields.get('"…"')?.length, 20)
    assert.deepStrictEqual(fields.get("…"), ["5 more"])
  })
})
