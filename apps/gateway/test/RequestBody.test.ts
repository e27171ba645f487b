import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { GatewayFailure } from "../src/GatewayFailure.ts"
import { JsonScanner } from "../src/JsonScanner.ts"
import * as RequestBody from "../src/RequestBody.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const parse = (body: string | Uint8Array<ArrayBuffer>, contentType = "application/json") => {
  const read = RequestBody.readerOf(contentType)
  assert(read !== undefined)
  return read(typeof body === "string" ? bytes(body) : body)
}
const edit = (body: RequestBody.RequestBody, set: Readonly<Record<string, string>>, remove: ReadonlyArray<string> = []) =>
  Buffer.from(body.edit({ set: new Map(Object.entries(set)), remove: new Set(remove) })).toString("utf8")
const read = (text: string) => {
  const body = Effect.runSync(parse(text))
  return {
    request: body.request,
    withModel: (model: string) => edit(body, model === body.request.model ? {} : { model: JSON.stringify(model) })
  }
}

const refuse = (body: string | Uint8Array<ArrayBuffer>): GatewayFailure => Effect.runSync(Effect.flip(parse(body)))

const messages = `"messages":[{"role":"user","content":"hi"}]`

describe("the model's name", () => {
  it("is replaced in place, every other byte as it came", () => {
    const text = `\n{ ${messages} ,\t"model" : "alfred-4.2"\r\n, "temperature": 0.10, "x": 1e2 }\n`
    assert.strictEqual(read(text).withModel("alfred"), text.replace("alfred-4.2", "alfred"))
  })

  it("leaves a 64-bit seed as it was written", () => {
    const text = `{"seed":9223372036854775807,"model":"a",${messages}}`
    assert.strictEqual(read(text).withModel("b"), `{"seed":9223372036854775807,"model":"b",${messages}}`)
  })

  it("is quoted where the new one needs it", () => {
    assert.strictEqual(read(`{"model":"a",${messages}}`).withModel('b"\\\n'), `{"model":"b\\"\\\\\\n",${messages}}`)
  })

  it("is found where its key or itself is written with escapes", () => {
    const body = read(`{"mod\\u0065l":"\\u0061\\"b\\\\",${messages}}`)
    assert.strictEqual(body.request.model, 'a"b\\')
    assert.strictEqual(body.withModel("c"), `{"mod\\u0065l":"c",${messages}}`)
  })

  it("is not the text as it came, where both names are the same", () => {
    const text = `{"model":"\\u0061",${messages}}`
    assert.strictEqual(read(text).withModel("a"), text)
  })

  it("is not mistaken for another `model`, deeper, in a list, or in a text", () => {
    const text =
      `{"x":{"model":"no"},"y":[{"model":"no"},"model","no"],"model":"yes","z":"\\"model\\":\\"no\\"",` +
      `"messages":[{"role":"user","content":"{\\"model\\":\\"no\\"}","model":"no"}]}`
    assert.strictEqual(read(text).withModel("there"), text.replace(`"yes"`, `"there"`))
  })

  it("is found after a byte order mark", () => {
    assert.strictEqual(read(`\ufeff{"model":"a",${messages}}`).withModel("b"), `{"model":"b",${messages}}`)
  })

  const Json = Arbitrary.schema(Schema.Json)
  // Keys that the contract does not know; among the nested ones are `model`s.
  const Field = Schema.Tuple([Schema.String, Schema.Literals(["plain", "nested", "listed"])])

  it.prop(
    "alone changes, in any document",
    {
      fields: Schema.Array(Field),
      values: Arbitrary.array(Json, { maxLength: 8 }),
      name: Schema.String,
      model: Schema.String,
      place: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })),
      indent: Schema.Literals(["", " ", "\t", "\n  "]),
      escaped: Schema.Boolean
    },
    ({ escaped, fields, indent, model, name, place, values }) => {
      const entries: Array<readonly [string, unknown]> = fields.map(([key, kind], i) => {
        const value = values[i] ?? key
        return [
          `x-${i}${key}`,
          kind === "plain" ? value : kind === "nested" ? { model: value, [key]: { model: name } } : ["model", name, value]
        ]
      })
      entries.push(["messages", [{ role: "user", content: name, model: name }]])
      entries.splice(Math.min(place, entries.length), 0, ["model", name])
      const lines = entries.map(([key, value]) => {
        const written = key === "model" && escaped ? `"\\u006d\\u006fdel"` : JSON.stringify(key)
        return `${indent}${written}${indent}:${indent}${JSON.stringify(value, null, indent.trim() === "" ? indent.replace("\n", "") : 0)}`
      })
      const text = `{${lines.join(`${indent},`)}${indent}}`
      const forwarded = read(text).withModel(model)
      assert.deepStrictEqual(JSON.parse(forwarded), { ...JSON.parse(text), model })
    }
  )
})

describe("a body that is refused", () => {
  it.each([
    [`{"model":"a","model":"b",${messages}}`],
    [`{"model":"a",${messages},"model":"a"}`],
    [`{"model":"a","mod\\u0065l":"b",${messages}}`],
    [`{"model":{"model":"a"},"model":"b",${messages}}`],
    [`{"model":1,"model":"b",${messages}}`],
    [`{"model":["a"],${messages},"\\u006dodel":"b"}`]
  ])("names two models: %s", (text) => {
    const failure = refuse(text)
    assert.strictEqual(failure.status, 400)
    assert.include(failure.detail, "twice")
  })

  it.each([
    ["a byte that never occurs", [0x22, 0xff, 0x22]],
    ["a surrogate", [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ["an overlong form", [0x22, 0xc0, 0xaf, 0x22]],
    ["a character cut off", [0x22, 0xe2, 0x82]],
    ["UTF-16", [0xff, 0xfe, 0x7b, 0x00]]
  ])("is not UTF-8: %s", (_, body) => {
    const failure = refuse(Uint8Array.from(body))
    assert.strictEqual(failure.status, 400)
    assert.include(failure.detail, "UTF-8")
  })

  it.each([
    [`{"model":"a",}`, 14],
    [`{"model":"a"`, 13],
    [`{"model":"a`, 12],
    [`{"model":alfred}`, 10],
    [`{"a":1,"b":}`, 12],
    [`{"a":[1,]}`, 9],
    [`[1, , 2]`, 5],
    [`{"a":"\\"]","b":?}`, 16],
    [`{"a":tru }`, 6],
    [`{"a":'b'}`, 6],
    [`{"a":NaN}`, 6],
    [`["a\\x"]`, 4],
    [`["é\\東"]`, 4],
    [`{} {}`, 4],
    ["  ", 3],
    ["model=a", 1],
    ["[1,\u00a02]", 4],
    ["[01]", 3],
    ["[1.]", 2],
    ["[1e]", 2],
    [`["\u0001"]`, 3],
    [`["\\u12g4"]`, 3]
  ])("is not JSON, and says where: %s", (text, column) => {
    const failure = refuse(text)
    assert.strictEqual(failure.status, 400)
    assert.match(failure.detail, /^The body is not JSON: /)
    assert.include(failure.detail, `(line 1, column ${column})`)
  })

  it("is not JSON, and says in which line", () => {
    assert.include(refuse(`{\n  "model": "a",\n  "é": x\n}`).detail, "(line 3, column 8)")
    assert.strictEqual(refuse("").detail, "The body is not JSON: The body is empty.")
  })

  it.prop(
    "is not JSON exactly if the runtime's parser says so, after any change",
    {
      value: Arbitrary.schema(Schema.Json),
      at: Schema.Int,
      by: Schema.Literals(["", ",", "}", "]", "x", '"', "1", "\\", ":", "-", ".", "e", "\n", "\u0001"])
    },
    ({ at, by, value }) => {
      const text = JSON.stringify([value], undefined, 1)
      const place = Math.abs(at) % text.length
      // Half a surrogate pair has no bytes of its own.
      const broken = Buffer.from(text.slice(0, place) + by + text.slice(place + 1)).toString("utf8")
      const isJson = Result.isSuccess(Result.try(() => JSON.parse(broken)))
      const scanner = new JsonScanner(Buffer.from(broken))
      while (!scanner.step(3));
      assert.strictEqual(scanner.problem === undefined, isJson, `${broken} ${JSON.stringify(scanner.problem)}`)
      if (isJson) assert.deepStrictEqual(JSON.parse(scanner.outline), JSON.parse(broken))
    }
  )

  it("lacks fields, or has wrong ones: each is named by its path", () => {
    const failure = refuse(`{"messages":[{"role":"user"},{"content":"secret words"}],"temperature":"secret hot","max_tokens":1.5}`)
    assert.strictEqual(failure.status, 422)
    assert.hasAllKeys(failure.fields, ["model", "messages[1].role", "temperature", "max_tokens"])
    assert.deepStrictEqual(failure.fields?.["model"], ["Missing key"])
    assert.notInclude(JSON.stringify(failure), "secret")
  })

  it.each([["[]"], ["null"], ["1"], [`"model"`]])("is JSON, but no object: %s", (text) => {
    const failure = refuse(text)
    assert.strictEqual(failure.status, 422)
    assert.hasAllKeys(failure.fields, [""])
  })
})

describe("limits", () => {
  it.effect.each<[string, string, RegExp]>([
    ["values", `[${'"a",'.repeat(1_000_000)}"a"]`, /more than 100000 values/],
    ["depth", `{"model":"a",${messages},"x":${"[".repeat(64)}${"]".repeat(64)}}`, /more than 64 levels/],
    ["digits", `{"model":"a",${messages},"seed":${"1".repeat(2000)}}`, /more than 1000 characters/]
  ])("hold for %s", ([, text, expected]) =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(parse(text))
      assert.strictEqual(failure.status, 413)
      assert.match(failure.detail, expected)
      assert.isBelow(failure.detail.length, 300)
    })
  )

  it.effect("hold for messages", () =>
    Effect.gen(function* () {
      const many = (count: number) => `{"model":"a","messages":[${Array(count).fill('{"role":"user","content":"x"}').join(",")}]}`
      yield* parse(many(10_000))
      const failure = yield* Effect.flip(parse(many(10_001)))
      assert.deepStrictEqual([failure.status, Object.keys(failure.fields ?? {})], [422, ["messages"]])
    })
  )

  it.effect("hold for the fields of a form, and for JSON in a field", () =>
    Effect.gen(function* () {
      const form = "model=a&messages[0]role=user&messages[0]content=x"
      const fields = yield* Effect.flip(parse(form + "&f=1".repeat(1000), "application/x-www-form-urlencoded"))
      assert.strictEqual(fields.status, 413)
      const nested = yield* Effect.flip(
        parse(`model=a&messages=${"[".repeat(30_000)}${"]".repeat(30_000)}`, "application/x-www-form-urlencoded")
      )
      assert.strictEqual(nested.status, 413)
      const large = yield* Effect.flip(parse(`${form}${"x".repeat(RequestBody.maxFormBytes)}`, "application/x-www-form-urlencoded"))
      assert.include(large.detail, "application/json")
      const parts = "--b\r\ncontent-disposition: form-data; name=f\r\n\r\n1\r\n".repeat(2000)
      const multipart = yield* Effect.flip(parse(`${parts}--b--\r\n`, "multipart/form-data; boundary=b"))
      assert.strictEqual(multipart.status, 413)
    })
  )

  // 20 MB of one string: its content is neither copied into a value nor parsed.
  it.effect("let other work run while a large body is read", () =>
    Effect.gen(function* () {
      const content = JSON.stringify('\\"é'.repeat(3_000_000))
      const text = `{"x":[],"messages":[{"role":"user","content":${content}}],"model":"a"}`
      let turns = 0
      const timer = setInterval(() => turns++, 0)
      const body = yield* parse(text)
      clearInterval(timer)
      assert.isAbove(turns, 3)
      assert.strictEqual(edit(body, { model: '"b"' }), text.replace('"model":"a"', '"model":"b"'))
      const message = body.request.messages[0] as { readonly content: string }
      assert.isBelow(message.content.length, 1000)
    })
  )
})

describe("edit", () => {
  const text = `{ "a" : 1 , ${messages},"b":{"x":[1]},\n"model":"m","c":null }`
  it.each<[ReadonlyArray<string>, Readonly<Record<string, string>>]>([
    [["a"], {}],
    [["c"], {}],
    [["b"], {}],
    [["a", "b", "c"], {}],
    [["a", "b"], { d: "[1]" }],
    [["c"], { c: "2", a: "3", e: '"x"', f: "{}" }],
    [["z"], {}]
  ])("removes %j and sets %j", (remove, set) => {
    const body = Effect.runSync(parse(text))
    const expected = JSON.parse(text)
    for (const name of remove) delete expected[name]
    for (const [name, json] of Object.entries(set)) expected[name] = JSON.parse(json)
    assert.deepStrictEqual(JSON.parse(edit(body, set, remove)), expected)
  })

  it("keeps the bytes of the other members", () => {
    const body = Effect.runSync(parse(`{"seed":9223372036854775807,"model":"m",${messages},"x":1.00}`))
    assert.strictEqual(edit(body, { y: "2" }, ["model"]), `{"seed":9223372036854775807,${messages},"x":1.00,"y":2}`)
  })
})

describe("a form", () => {
  const urlEncoded = "application/x-www-form-urlencoded"
  const boundary = "multipart/form-data; boundary=b"
  const multipart = (...parts: ReadonlyArray<string>) => `${parts.map((part) => `--b\r\n${part}\r\n`).join("")}--b--\r\n`
  const field = (name: string, value: string) => `content-disposition: form-data; name="${name}"\r\n\r\n${value}`
  const request = [field("model", "a"), field("messages[0]role", "user"), field("messages[0]content", "hi\r\nthere, é")]

  it.effect("becomes JSON, a 64-bit seed as it was written", () =>
    Effect.gen(function* () {
      const form =
        "model=a&messages[0]role=user&messages[0]content=hi+%C3%A9&seed=9223372036854775807&stop=A&stop=B&x_extra=%5B1%5D&stream=true"
      const body = yield* parse(form, `${urlEncoded}; charset=UTF-8`)
      assert.isTrue(body.request.stream)
      const text = edit(body, { model: '"there"' })
      assert.include(text, '"seed":9223372036854775807')
      assert.deepStrictEqual(JSON.parse(text.replace(/,"seed":\d+/, "")), {
        model: "there",
        messages: [{ role: "user", content: "hi é" }],
        stop: ["A", "B"],
        x_extra: [1],
        stream: true
      })
    })
  )

  it.effect("of several parts keeps its texts as they are", () =>
    Effect.gen(function* () {
      const body = yield* parse(multipart(...request), boundary)
      assert.deepStrictEqual(JSON.parse(edit(body, {})), { model: "a", messages: [{ role: "user", content: "hi\r\nthere, é" }] })
    })
  )

  const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0))
  it.effect.each<[string, string | Uint8Array<ArrayBuffer>, string, number, RegExp]>([
    ["has a value that is none", "model=a&messages[0]role=user&messages[0]content=hi&temperature=hot", urlEncoded, 422, /"temperature"/],
    ["has no model", "messages[0]role=user&messages[0]content=hi", urlEncoded, 422, /"model"/],
    ["names a model twice", "model=a&model=b&messages[0]role=user&messages[0]content=hi", urlEncoded, 422, /"model"/],
    ["holds a file", multipart(...request, field("a", "x").replace("\r\n", '; filename="a.bin"\r\n')), boundary, 422, /"a"/],
    ["is not UTF-8", latin1("model=\xe9"), urlEncoded, 400, /UTF-8/],
    ["is not UTF-8, in parts", latin1(multipart(...request)), boundary, 400, /UTF-8/],
    ["is cut off", multipart(...request).slice(0, 60), boundary, 400, /multipart/],
    ["names no boundary", multipart(...request), "multipart/form-data", 400, /multipart/],
    ["is JSON", `{"model":"a",${messages}}`, urlEncoded, 400, /Send it as application\\?\/json/],
    ["has a number that JSON does not represent", `model=a&messages[0]role=user&messages[0]content=hi&seed=1e18`, urlEncoded, 422, /"seed"/]
  ])("is refused where it %s", ([, body, contentType, status, expected]) =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(parse(body, contentType))
      assert.strictEqual(failure.status, status)
      assert.match(JSON.stringify([failure.detail, failure.fields]), expected)
    })
  )
})
