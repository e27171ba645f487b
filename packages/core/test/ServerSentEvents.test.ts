import { assert, describe, it, vi } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { encode, EventTooLarge, Parser, type ParserOptions } from "../src/ServerSentEvents.ts"

interface Vector {
  readonly id: string
  readonly input: string | ReadonlyArray<string | ReadonlyArray<number>>
  readonly events: ReadonlyArray<{ readonly data: string; readonly event?: string; readonly id?: string }>
  readonly lastEventId?: string
  readonly retry?: number
}

const { vectors }: { readonly vectors: ReadonlyArray<Vector> } = JSON.parse(
  readFileSync(new URL("data/sse-vectors.json", import.meta.url), "utf8")
)

const utf8 = (text: string) => new TextEncoder().encode(text)

const bytesOf = (input: Vector["input"]): Uint8Array =>
  Uint8Array.from((typeof input === "string" ? [input] : input).flatMap((part) => [...(typeof part === "string" ? utf8(part) : part)]))

const read = (reads: Iterable<Uint8Array>, options: Partial<ParserOptions> = {}) => {
  const events: Array<{ data: string; event: string; id: string }> = []
  const parser = new Parser({ ...options, onEvent: (data, event) => events.push({ data, event, id: parser.lastEventId }) })
  for (const bytes of reads) parser.push(bytes)
  return { events, lastEventId: parser.lastEventId, retry: parser.retry }
}

const dataOf = (reads: Iterable<Uint8Array>, options?: Partial<ParserOptions>) => read(reads, options).events.map(({ data }) => data)

const megabyte = 1024 * 1024

const byteByByte = (bytes: Uint8Array) => [...bytes].map((byte) => Uint8Array.of(byte))

const readText = (text: string) => read([utf8(text)])

const splits = (bytes: Uint8Array): ReadonlyArray<ReadonlyArray<Uint8Array>> => [
  [bytes],
  byteByByte(bytes),
  byteByByte(bytes).flatMap((byte) => [new Uint8Array(0), byte, new Uint8Array(0)]),
  ...Array.from(bytes, (_, at) => [bytes.subarray(0, at), bytes.subarray(at)])
]

function* repeat(bytes: Uint8Array, times: number) {
  for (let time = 0; time < times; time++) yield bytes
}

// The standard's own steps, on the whole text at once.
const readWhole = (bytes: Uint8Array) => {
  const events: Array<{ data: string; event: string; id: string }> = []
  let [data, event, id, lastEventId] = ["", "", "", ""]
  const lines = new TextDecoder().decode(bytes).split(/\r\n|\n|\r/)
  for (const line of lines.slice(0, -1)) {
    if (line === "") {
      lastEventId = id
      if (data !== "") events.push({ data: data.slice(0, -1), event: event === "" ? "message" : event, id: lastEventId })
      data = event = ""
      continue
    }
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/su.exec(line) ?? []
    if (field === "data") data += `${value}\n`
    else if (field === "event") event = value
    else if (field === "id" && !value.includes("\0")) id = value
  }
  return { events, lastEventId }
}

describe("Parser", () => {
  it.each(vectors)("$id", ({ events, id, input, lastEventId = "", retry }) => {
    const expected = {
      events: events.map((event) => ({ data: event.data, event: event.event ?? "message", id: event.id ?? "" })),
      lastEventId,
      retry
    }
    for (const reads of splits(bytesOf(input))) assert.deepStrictEqual(read(reads), expected, id)
  })

  const pieces = [
    "\r",
    "\n",
    ":",
    " ",
    "a",
    "\r\n",
    "\n\n",
    "data",
    "data:",
    "data: ",
    "event: x",
    "id: 1",
    "id",
    "retry: 1",
    "\0",
    "\ufeff",
    "é",
    "水",
    "😀"
  ]
  it.prop(
    "emits the events of the standard's own steps, however the bytes are split",
    {
      text: Arbitrary.map(Arbitrary.array(Arbitrary.schema(Schema.Literals(pieces)), { maxLength: 24 }), (parts) => parts.join("")),
      broken: Schema.Boolean
    },
    ({ broken, text }) => {
      const bytes = utf8(text)
      if (broken && bytes.length > 0) bytes[bytes.length >> 1] = 0xe2
      const expected = readWhole(bytes)
      for (const reads of splits(bytes)) {
        const { events, lastEventId } = read(reads)
        assert.deepStrictEqual({ events, lastEventId }, expected)
      }
    }
  )

  it("emits an event at its blank line, without waiting for more bytes", () => {
    const events: Array<string> = []
    const parser = new Parser({ onEvent: (data) => events.push(data) })
    for (const [bytes, count] of [
      ["data: a\n\n", 1],
      ["data: b\r\r", 2],
      ["data: c\r\n\r", 3],
      ["\ndata: d\r\n\r\n", 4]
    ] as const) {
      parser.push(utf8(bytes))
      assert.strictEqual(events.length, count)
    }
    assert.deepStrictEqual(events, ["a", "b", "c", "d"])
  })

  it("reports fields that the standard does not define", () => {
    const fields: Array<[string, string]> = []
    const events: Array<string> = []
    const parser = new Parser({ onEvent: (data) => events.push(data), onUnknownField: (name, value) => fields.push([name, value]) })
    parser.push(new TextEncoder().encode('error: {"code":400}\nid: 1\nretry: 1\n: comment\nDATA: x\nflag\nevent: e\ndata: a\n\n'))
    assert.deepStrictEqual(fields, [
      ["error", '{"code":400}'],
      ["DATA", "x"],
      ["flag", ""]
    ])
    assert.deepStrictEqual(events, ["a"])
  })

  it("starts with the last event id of an earlier connection", () => {
    const { events, lastEventId } = read([utf8("data: a\n\nid: 8\ndata: b\n\n")], { lastEventId: "7" })
    assert.deepStrictEqual(
      events.map(({ id }) => id),
      ["7", "8"]
    )
    assert.strictEqual(lastEventId, "8")
  })

  it("sets the last event id at a blank line, also after a block without data", () => {
    const parser = new Parser({ onEvent: () => {} })
    parser.push(utf8("id: 1\n"))
    assert.strictEqual(parser.lastEventId, "")
    parser.push(utf8("\n"))
    assert.strictEqual(parser.lastEventId, "1")
  })

  it("emits thousands of events of one read in order", () => {
    const numbers = Array.from({ length: 10_000 }, (_, number) => String(number))
    assert.deepStrictEqual(dataOf([utf8(numbers.map((number) => `data: ${number}\n\n`).join(""))]), numbers)
  })

  it("copies the reads that it keeps", () => {
    const bytes = utf8("data: abc")
    const { events } = read(
      (function* () {
        yield bytes
        bytes.fill(0x78)
        yield utf8("\n\n")
      })()
    )
    assert.deepStrictEqual(events, [{ data: "abc", event: "message", id: "" }])
  })
})

// Characters that a parser searches, per character of a single read.
const searched = (text: string) => {
  const bytes = utf8(text)
  const spy = vi.spyOn(String.prototype, "indexOf")
  try {
    read([bytes])
    const { calls, contexts, results } = spy.mock
    const characters = calls.map(([, from = 0], call) => {
      const found: unknown = results[call]?.value
      return (typeof found === "number" && found !== -1 ? found : String(contexts[call]).length) - from
    })
    return characters.reduce((sum, count) => sum + count, 0) / text.length
  } finally {
    spy.mockRestore()
  }
}

describe("the cost of the parser", () => {
  it("reads a line of 8 MiB in reads of 1 KiB", () => {
    const reads = [utf8("data: "), ...repeat(utf8("x".repeat(1024)), 8 * 1024), utf8("\n\n")]
    assert.deepStrictEqual(
      dataOf(reads).map((data) => data.length),
      [8 * megabyte]
    )
  })

  it("reads an event of a million lines in reads of 1 KiB", () => {
    const reads = [...repeat(utf8("data: x\n".repeat(128)), 8 * 1024), utf8("\n")]
    assert.deepStrictEqual(
      dataOf(reads).map((data) => data.length),
      [2 * megabyte - 1]
    )
  })

  it.each([
    ["line feeds", "\n"],
    ["carriage returns", "\r"],
    ["both", "\r\n"],
    ["data lines ended by line feeds", "data: x\n"],
    ["data lines ended by carriage returns", "data: x\r"],
    ["events ended by carriage returns", "data: x\r\r"],
    ["lines without colon", "data\n"],
    ["unknown lines without colon", "a\n"],
    ["comments", ":\n"]
  ])("is linear in the characters of %s in one read", (_, line) => {
    assert.isBelow(searched(line.repeat(Math.ceil(65536 / line.length))), 8)
  })

  it.each([
    ["carriage returns, then a line feed", "\r".repeat(65536) + "\n"],
    ["line feeds, then a carriage return", "\n".repeat(65536) + "\r"],
    ["lines without colon, then a colon", "a\n".repeat(32768) + "a: b\n"]
  ])("is linear in the characters, with %s in one read", (_, text) => {
    assert.isBelow(searched(text), 8)
  })

  it("does not keep an endless comment", () => {
    setFlagsFromString("--expose-gc")
    const collect: () => void = runInNewContext("gc")
    const parser = new Parser({ onEvent: () => assert.fail("a comment was emitted"), maxEventSize: 1024 })
    parser.push(utf8(": "))
    collect()
    const before = process.memoryUsage().heapUsed
    for (const bytes of repeat(utf8("x".repeat(65536)), 512)) parser.push(bytes)
    collect()
    assert.isBelow(process.memoryUsage().heapUsed - before, 4 * megabyte)
  })

  it("skips an endless comment that arrives byte by byte", () => {
    read(repeat(utf8(":"), 100_000), { maxEventSize: 10 })
  })
})

const limited = (reads: Iterable<Uint8Array>, maxEventSize: number) => {
  try {
    return dataOf(reads, { maxEventSize })
  } catch (error) {
    assert.instanceOf(error, EventTooLarge)
    return error
  }
}

const assertTooLarge = (reads: Iterable<Uint8Array>, limit: number) => {
  const error = limited(reads, limit)
  assert.instanceOf(error, EventTooLarge)
  assert.strictEqual(error.limit, limit)
  assert.strictEqual(error._tag, "EventTooLarge")
  assert.include(error.message, String(limit))
  return error
}

describe("the size limit", () => {
  it("applies to one line in one read", () => {
    assertTooLarge([utf8(`data: ${"x".repeat(2000)}\n\n`)], 1000)
  })

  it("applies to an endless line", () => {
    let reads = 0
    const endless = (function* () {
      for (;;) {
        reads++
        yield utf8("x".repeat(100))
      }
    })()
    assertTooLarge(endless, 1000)
    assert.isAtMost(reads, 12)
  })

  it("applies to many data lines", () => {
    assertTooLarge(repeat(utf8("data: 1234567\n"), 1000), 1000)
    assertTooLarge([utf8("data: 1234567\n".repeat(1000))], 1000)
  })

  it("applies to many empty data lines", () => {
    assertTooLarge(repeat(utf8("data\n"), 5000), 1000)
  })

  it("applies to an endless event name or id", () => {
    assertTooLarge([utf8("event: "), ...repeat(utf8("x".repeat(100)), 20)], 1000)
    assertTooLarge([utf8("id: "), ...repeat(utf8("x".repeat(100)), 20)], 1000)
  })

  it("applies to each event, not to their sum", () => {
    assert.strictEqual(dataOf(repeat(utf8(`data: ${"x".repeat(900)}\n\n`), 100), { maxEventSize: 1000 }).length, 100)
  })

  it("does not count comments", () => {
    assert.deepStrictEqual(limited([utf8(`: ${"x".repeat(5000)}`), utf8("x\ndata: a\n\n")], 1000), ["a"])
  })

  it("does not depend on how the bytes are split", () => {
    for (const size of [8, 9, 10, 11, 15, 16, 17]) {
      const bytes = utf8(`data: ${"x".repeat(size)}\n\n`)
      const [whole, ...others] = splits(bytes).map((reads) => limited(reads, 10) instanceof EventTooLarge)
      for (const other of others) assert.strictEqual(other, whole, `${size} characters`)
    }
  })

  it("accepts an event of exactly the limit", () => {
    for (const reads of splits(utf8("data: 0123456789\n\n"))) assert.deepStrictEqual(limited(reads, 10), ["0123456789"])
  })

  it("defaults to 64 Mi characters", () => {
    const error = assertTooLarge([utf8("data: "), ...repeat(utf8("x".repeat(megabyte)), 66)], 64 * megabyte)
    assert.isAtMost(error.text.length, 4096)
  })

  it("quotes the beginning of the event", () => {
    for (const reads of splits(utf8("data: 0123456789abcdef\n\n"))) assert.include(assertTooLarge(reads, 8).text, "0123")
    assert.isAtMost(assertTooLarge([utf8(`data: ${"x".repeat(20_000)}\n\n`)], 10_000).text.length, 4096)
  })
})

describe("encode", () => {
  it("writes each field on a line and ends with a blank line", () => {
    assert.strictEqual(encode({ data: "a" }), "data: a\n\n")
    assert.strictEqual(encode({ data: "" }), "data: \n\n")
    assert.strictEqual(encode({ data: "a\nb", event: "x", id: "1", retry: 5 }), "event: x\nid: 1\nretry: 5\ndata: a\ndata: b\n\n")
  })

  it.each(["a\n\ndata: forged", "a\r\rdata: forged", "a\r\n\r\nevent: forged\r\ndata: b", "\n\n", "\r", "a\n", "\nid: 1\nretry: 1\n: c"])(
    "keeps %j one event",
    (data) => {
      const { events, lastEventId, retry } = readText(encode({ data }))
      assert.deepStrictEqual(events, [{ data: data.replaceAll(/\r\n|\r/g, "\n"), event: "message", id: "" }])
      assert.deepStrictEqual([lastEventId, retry], ["", undefined])
    }
  )

  it.each(["a\ndata: forged", "a\rdata: forged", "a\r\nb", "\n", "\r", "a\0"])("refuses %j as a name and as an id", (text) => {
    assert.throws(() => encode({ data: "a", event: text }), TypeError, /event/)
    assert.throws(() => encode({ data: "a", id: text }), TypeError, /\bid\b/)
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, -1, 1.5, 2 ** 60])("refuses %s as a reconnection time", (retry) => {
    assert.throws(() => encode({ data: "a", retry }), TypeError, /retry/)
  })

  const parts = ["\r", "\n", "\r\n", " ", "  ", ":", "\t", "a", "data: x", "id: 1", "\0", "\ufeff", "\u2028", "é", "水", "😀", "\ud83d"]
  const text = Arbitrary.map(Arbitrary.array(Arbitrary.schema(Schema.Literals(parts)), { maxLength: 12 }), (parts) => parts.join(""))
  const line = Arbitrary.map(text, (text) => text.replaceAll(/[\r\n\0]/g, ""))

  it.prop(
    "is parsed back unchanged, except for the kind of its line ends",
    {
      data: text,
      event: line,
      id: line,
      retry: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })))
    },
    (event) => {
      const { events, lastEventId, retry } = readText(encode(event))
      const data = event.data.replaceAll(/\r\n|\r/g, "\n").toWellFormed()
      const id = event.id.toWellFormed()
      assert.deepStrictEqual(events, [{ data, event: event.event === "" ? "message" : event.event.toWellFormed(), id }])
      assert.deepStrictEqual([lastEventId, retry], [id, event.retry])
    }
  )

  it.prop("is read back from any two events in a row", { first: Schema.String, second: Schema.String }, ({ first, second }) => {
    assert.deepStrictEqual(
      readText(encode({ data: first }) + encode({ data: second })).events.map(({ data }) => data),
      [first, second].map((data) => data.replaceAll(/\r\n|\r/g, "\n").toWellFormed())
    )
  })
})
