import { assert, describe, it } from "@effect/vitest"
import { match, type Pattern } from "../src/case/Pattern.ts"

const matches = (pattern: Pattern, actual: unknown) => match("value", pattern, actual).length === 0

describe("match", () => {
  it("lets objects have more keys, and lists not more items", () => {
    assert.isTrue(matches({ a: 1 }, { a: 1, b: 2 }))
    assert.isFalse(matches({ a: 1, b: 2 }, { a: 1 }))
    assert.isTrue(matches([{}, { a: [1] }], [{ b: 1 }, { a: [1] }]))
    assert.isFalse(matches([{}], [{}, {}]))
    assert.isFalse(matches([], {}))
  })

  it("tells null, undefined, 0 and the empty string apart", () => {
    const values = [null, 0, "", false] as const
    for (const pattern of values)
      for (const actual of [...values, undefined]) assert.strictEqual(matches(pattern, actual), pattern === actual)
  })

  it("knows its operators, also below other patterns", () => {
    assert.isTrue(matches({ a: { $absent: true } }, { a: undefined, b: 1 }))
    assert.isFalse(matches({ a: { $absent: true } }, { a: null }))
    assert.isTrue(matches({ $contains: "b" }, "abc"))
    assert.isFalse(matches({ $contains: "b" }, ["b"]))
    assert.isTrue(matches({ $oneOf: [1, { a: 1 }] }, { a: 1, b: 2 }))
    assert.isFalse(matches({ $oneOf: [] }, 1))
    assert.isFalse(matches({ $exact: { a: { b: 1 } } }, { a: { b: 1, c: 2 } }))
    assert.isTrue(matches({ $exact: { a: { b: 1 } } }, { a: { b: 1, c: undefined } }))
  })

  it("knows what a value has to be like, where it cannot know the value", () => {
    const fitting = { string: "", integer: 0, number: 0.5, boolean: false, object: {}, array: [] }
    for (const type of Object.keys(fitting)) {
      for (const [other, value] of Object.entries(fitting)) {
        assert.strictEqual(
          matches({ $type: type }, value),
          type === other || (type === "number" && other === "integer"),
          `${type} ${other}`
        )
      }
    }
    assert.isFalse(matches({ $type: "object" }, null))
    assert.isTrue(matches({ $matches: "^a.c" }, "Abcd"))
    assert.isFalse(matches({ $matches: "1" }, 1))
    assert.isTrue(matches({ $each: { a: { $type: "string" } } }, [{ a: "" }, { a: "b", c: 1 }]))
    assert.isFalse(matches({ $each: 1 }, [1, 2]))
    assert.isTrue(matches({ $each: 1 }, []))
    assert.isFalse(matches({ $each: 1 }, {}))
  })

  it("says where and what", () => {
    assert.deepStrictEqual(match("value", { a: [{ b: "x" }] }, { a: [{ b: 1 }] }), ['value.a[0].b: expected "x", got 1'])
    assert.deepStrictEqual(match("value", { $exact: {} }, { a: "y".repeat(400) }).length, 1)
    assert.isBelow(match("value", 1, "y".repeat(4000))[0]?.length ?? 0, 400)
  })
})
