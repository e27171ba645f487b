import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { findValues } from "../../src/json/scan.ts"

const textsAt = (text: string, ...path: ReadonlyArray<string | number>) =>
  findValues(text, path).map(([start, end]) => text.slice(start, end))

describe("findValues", () => {
  it.each<[string, ReadonlyArray<string | number>, ReadonlyArray<string>]>([
    ['{"a":1}', ["a"], ["1"]],
    ['{"a":1}', ["b"], []],
    ['{"a":1}', [], ['{"a":1}']],
    [' { "a" : { "b" : [ 1 , "x" ] } } ', ["a", "b", 1], ['"x"']],
    ['{"a":1,"a":2}', ["a"], ["1", "2"]],
    ['{"a":{"b":1},"a":{"b":2}}', ["a", "b"], ["1", "2"]],
    ['{"a":"}","b":"]\\"{"}', ["b"], ['"]\\"{"']],
    ['{"a":"\\\\","b":2}', ["b"], ["2"]],
    ['{"\\u0061":1}', ["a"], ["1"]],
    ['{"x":{"a":0},"a":-1.5e3}', ["a"], ["-1.5e3"]],
    ["[[],{},[[1]]]", [2, 0, 0], ["1"]],
    ["{}", ["a"], []],
    ["[]", [0], []],
    ["5", [], ["5"]],
    ["5", ["a"], []],
    ['{"a":true\n}', ["a"], ["true"]],
    ['{"__proto__":1}', ["__proto__"], ["1"]]
  ])("of %s at %j returns %j", (text, path, expected) => {
    assert.deepStrictEqual(textsAt(text, ...path), expected)
  })

  it.prop(
    "finds the members of any object as JSON.parse does",
    { value: Arbitrary.schema(Schema.Record(Schema.String, Schema.Json)), space: Schema.Literals([0, 1, "\t"]) },
    ({ space, value }) => {
      const text = JSON.stringify(value, null, space)
      for (const [key, member] of Object.entries(value)) {
        const [found, ...more] = textsAt(text, key)
        assert.deepStrictEqual(JSON.parse(found ?? ""), JSON.parse(JSON.stringify(member)))
        assert.isEmpty(more)
      }
    }
  )

  it.each<[string, (size: number) => string]>([
    ["deep arrays", (size) => `{"a":${"[".repeat(size)}${"]".repeat(size)},"b":1}`],
    ["deep objects", (size) => `{"a":${'{"a":'.repeat(size)}1${"}".repeat(size)},"b":1}`],
    ["backslashes", (size) => `{"a":"${"\\\\".repeat(size)}","b":1}`],
    ["quotes", (size) => `{"a":"${'\\"'.repeat(size)}","b":1}`],
    ["many members", (size) => `{${'"a":0,'.repeat(size)}"b":1}`]
  ])("skips %s without recursion and in linear time", (_, textOf) => {
    const text = textOf(200_000)
    assert.deepStrictEqual(textsAt(text, "b"), ["1"])
  })
})
