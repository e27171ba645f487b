import { assert, describe, it } from "@effect/vitest"
import * as JsonLines from "../src/client/JsonLines.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

describe("JSON lines", () => {
  it("are written without U+2028 and U+2029, and read with them", () => {
    const value = { text: "a\u2028b\u2029c\nd" }
    const line = JsonLines.encode(value)
    assert.notMatch(line, /[\u2028\u2029]/)
    assert.deepStrictEqual(JSON.parse(line), value)
    assert.deepStrictEqual(new JsonLines.LineReader().read(bytes(`${JSON.stringify(value)}\n`)), [JSON.stringify(value)])
  })

  it("are read the same however their bytes are split", () => {
    const text = 'one "é"\r\n\ntwo \u2028 \u{1F600}\nrest'
    const reader = new JsonLines.LineReader()
    const lines = [...bytes(text)].flatMap((byte) => reader.read(Uint8Array.of(byte)))
    assert.deepStrictEqual([...lines, reader.rest()], ['one "é"\r', "", "two \u2028 \u{1F600}", "rest"])
  })

  it("are refused when one has too many bytes", () => {
    const reader = new JsonLines.LineReader(4)
    assert.deepStrictEqual(reader.read(bytes("1234\n")), ["1234"])
    assert.throws(() => reader.read(bytes("12345")), JsonLines.LineTooLong)
  })
})
