import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { ChatCompletionRequest } from "../src/ChatCompletion.ts"
import { InvalidRequest } from "../src/ParadigmError.ts"
import * as RequestEncoding from "../src/RequestEncoding.ts"

const encoders = { json: RequestEncoding.json, urlEncoded: RequestEncoding.urlEncoded, multipart: RequestEncoding.multipart }

const minimal = { model: "alfred", messages: [{ role: "user", content: "Hello" }] } satisfies ChatCompletionRequest

const encoded = (request: unknown, encoding: "json" | "urlEncoded" | "multipart") =>
  Result.getOrThrow(encoders[encoding](request as ChatCompletionRequest))

const fields = (request: unknown) => [...new URLSearchParams(encoded(request, "urlEncoded").body)]

const read = (entries: Iterable<readonly [string, string | object]>) => Result.getOrThrow(RequestEncoding.decodeForm(entries))

const refused = (result: Result.Result<unknown, InvalidRequest>) => {
  if (Result.isSuccess(result)) return assert.fail(`it was not refused: ${JSON.stringify(result.success)}`)
  assert.instanceOf(result.failure, InvalidRequest)
  return result.failure.fields
}

// A form with the required fields.
const form = (...more: ReadonlyArray<readonly [string, string | object]>) =>
  RequestEncoding.decodeForm([["model", "alfred"], ["messages[0]role", "user"], ["messages[0]content", "Hello"], ...more])

const withField = (...more: ReadonlyArray<readonly [string, string | object]>) => Result.getOrThrow(form(...more))

// A JSON round trip, which omits undefined members.
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (_, item) => (typeof item === "bigint" ? `${item}n` : item)))

const parseMultipart = ({ body, contentType }: RequestEncoding.Encoded) =>
  new Response(body, { headers: { "content-type": contentType } }).formData()

describe("an encoded form", () => {
  it("has the names of Django REST framework", () => {
    const request = {
      model: "alfred",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Hello", name: "Ann" }
      ],
      temperature: 0.5,
      max_tokens: 12,
      stream: true,
      stop: ["A", "B"],
      user: "someone"
    }
    assert.deepStrictEqual(fields(request), [
      ["model", "alfred"],
      ["messages[0]role", "system"],
      ["messages[0]content", "Be brief."],
      ["messages[1]role", "user"],
      ["messages[1]content", "Hello"],
      ["messages[1]name", "Ann"],
      ["temperature", "0.5"],
      ["max_tokens", "12"],
      ["stream", "true"],
      ["stop", "A"],
      ["stop", "B"],
      ["user", "someone"]
    ])
  })

  it.each<[string, unknown, ReadonlyArray<readonly [string, string]>]>([
    ["an object", { response_format: { type: "text" } }, [["response_format", '{"type":"text"}']]],
    ["a list of objects", { tools: [{ type: "function" }] }, [["tools", '[{"type":"function"}]']]],
    ["an empty list", { stop: [] }, [["stop", "[]"]]],
    ["a text that looks like a list", { stop: ['["A"]'] }, [["stop[0]", '["A"]']]],
    ["numbers", { stop_token_ids: [1, 2] }, [1, 2].map((id) => ["stop_token_ids", String(id)] as const)],
    ["a seed of 64 bits", { seed: -(2n ** 63n) }, [["seed", "-9223372036854775808"]]],
    ["a choice by name", { tool_choice: "auto" }, [["tool_choice", "auto"]]],
    ["a schema that is a text", { guided_json: '{"type":"object"}' }, [["guided_json", '"{\\"type\\":\\"object\\"}"']]],
    ["an unknown text", { foo: "bar" }, [["foo", "bar"]]],
    ["an unknown text that is JSON", { foo: "5" }, [["foo", '"5"']]],
    ["an unknown number", { foo: 5 }, [["foo", "5"]]],
    ["an unknown null", { foo: null }, [["foo", "null"]]],
    ["no field for undefined", { foo: undefined, temperature: undefined }, []]
  ])("has %s", (_, more, expected) => {
    const request = { ...minimal, ...(more as object) }
    assert.deepStrictEqual(fields(request).slice(3), expected)
    assert.deepStrictEqual(plain(read(fields(request))), plain(request))
  })

  it.each<[string, object, string]>([
    ["several parts", { role: "user", content: [{ type: "text", text: "a" }] }, "messages[0]content"],
    ["calls", { role: "assistant", tool_calls: [{ function: { name: "f", arguments: "{}" } }] }, "messages[0]tool_calls"],
    ["a null content", { role: "assistant", content: null }, "messages[0]"],
    ["no parts", { role: "user", content: [] }, "messages[0]"],
    ["a part without type", { role: "user", content: [{ text: "a" }] }, "messages[0]"],
    ["a text that looks like parts", { role: "user", content: '[{"type":"text","text":"a"}]' }, "messages[0]"],
    ["an unpaired surrogate", { role: "user", content: "a\ud83d" }, "messages[0]"],
    ["a field with a bracket", { role: "user", "a[b]": 1 }, "messages[0]"],
    ["a field with a dot in front", { role: "user", ".a": 1 }, "messages[0]"]
  ])("contains a message with %s", (_, message, name) => {
    const request = { model: "m", messages: [message] }
    assert.strictEqual(fields(request).at(-1)?.[0], name)
    assert.deepStrictEqual(plain(read(fields(request))), plain(request))
  })

  it.each(["é水😀", "a=b&c+d %20", "a\nb\r\nc\rd\u2028", "null", "5", '"x"', "", " ", "--paradigm", "\0"])(
    "keeps a message of %j",
    async (content) => {
      const request = { model: "m", messages: [{ role: "user" as const, content }] }
      assert.deepStrictEqual(read(fields(request)), request)
      assert.deepStrictEqual(read(await parseMultipart(encoded(request, "multipart"))), request)
    }
  )

  it.each<[string, unknown, string]>([
    ["an unpaired surrogate", { ...minimal, user: "\ud83d" }, "user"],
    ["a name with a bracket", { ...minimal, "a[b": 1 }, "a[b"],
    ["a name with a line end", { ...minimal, "a\r\nb": 1 }, "a\r\nb"],
    ["a value without a JSON form", { ...minimal, foo: Number.NaN }, "foo"],
    ["an invalid request", { model: "m" }, "messages"],
    ["a seed that is not exact", { ...minimal, seed: 2 ** 60 }, "seed"]
  ])("rejects %s by its path", (_, request, path) => {
    for (const encoding of ["urlEncoded", "multipart"] as const) {
      assert.deepStrictEqual(Object.keys(refused(encoders[encoding](request as ChatCompletionRequest))), [path])
    }
  })

  it("has its content type, with a random boundary", () => {
    assert.strictEqual(encoded(minimal, "json").contentType, "application/json")
    assert.strictEqual(encoded(minimal, "urlEncoded").contentType, "application/x-www-form-urlencoded")
    const boundaries = [1, 2].map(() => encoded(minimal, "multipart").contentType)
    for (const type of boundaries) assert.match(type, /^multipart\/form-data; boundary=[\w-]{20,70}$/)
    assert.notStrictEqual(boundaries[0], boundaries[1])
  })
})

const conversation = {
  model: "alfred",
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: [{ type: "text", text: "a" }], name: "Ann" }
  ],
  stop: ["A", "B"],
  temperature: 0.5,
  stream: true,
  response_format: { type: "json_object" },
  foo: { bar: [1, "x"] }
} as const

const spellings: Readonly<Record<string, ReadonlyArray<readonly [string, string]>>> = {
  "Django's": [
    ["messages[0]role", "system"],
    ["messages[0]content", "Be brief."],
    ["messages[1]role", "user"],
    ["messages[1]content", '[{"type":"text","text":"a"}]'],
    ["messages[1]name", "Ann"],
    ["stop", "A"],
    ["stop", "B"],
    ["response_format", '{"type":"json_object"}'],
    ["foo", '{"bar":[1,"x"]}']
  ],
  "with brackets": [
    ["messages[0][role]", "system"],
    ["messages[0][content]", "Be brief."],
    ["messages[1][role]", "user"],
    ["messages[1][content][0][type]", "text"],
    ["messages[1][content][0][text]", "a"],
    ["messages[1][name]", "Ann"],
    ["stop[0]", "A"],
    ["stop[1]", "B"],
    ["response_format[type]", "json_object"],
    ["foo[bar][0]", "1"],
    ["foo[bar][1]", "x"]
  ],
  "with dots, and out of order": [
    ["messages[1].name", "Ann"],
    ["messages[1].content[0].text", "a"],
    ["messages[1].content[0].type", "text"],
    ["messages[1].role", "user"],
    ["messages[0].content", "Be brief."],
    ["messages[0].role", "system"],
    ["stop[1]", "B"],
    ["stop[0]", "A"],
    ["response_format[type]", "json_object"],
    ["foo[bar]", '[1,"x"]']
  ],
  "JSON texts": [
    ["messages", JSON.stringify(conversation.messages)],
    ["stop", '["A","B"]'],
    ["response_format", ' {"type": "json_object"} '],
    ["foo", '{"bar":[1,"x"]}']
  ],
  "a JSON text a message": [
    ["messages[0]", JSON.stringify(conversation.messages[0])],
    ["messages[1]", JSON.stringify(conversation.messages[1])],
    ["stop[]", "A"],
    ["stop[]", "B"],
    ["response_format", '{"type":"json_object"}'],
    ["foo", '{"bar":[1,"x"]}']
  ],
  "JSON texts of messages, repeated": [
    ["messages", JSON.stringify(conversation.messages[0])],
    ["messages", JSON.stringify(conversation.messages[1])],
    ["stop", "A"],
    ["stop[]", "B"],
    ["response_format", '{"type":"json_object"}'],
    ["foo", '{"bar":[1,"x"]}']
  ],
  "indices with gaps": [
    ["messages[2]role", "system"],
    ["messages[2]content", "Be brief."],
    ["messages[10]role", "user"],
    ["messages[10]content", '[{"type":"text","text":"a"}]'],
    ["messages[10]name", "Ann"],
    ["stop[1]", "A"],
    ["stop[3]", "B"],
    ["response_format", '{"type":"json_object"}'],
    ["foo", '{"bar":[1,"x"]}']
  ]
}

describe("a decoded form", () => {
  it.each(Object.entries(spellings))("is read alike in the spelling %s", async (_, entries) => {
    const all: ReadonlyArray<readonly [string, string]> = [["model", "alfred"], ["temperature", "0.5"], ["stream", "true"], ...entries]
    assert.deepStrictEqual(read(all), conversation)
    const urlencoded = new URLSearchParams(all.map(([name, text]): [string, string] => [name, text]))
    assert.deepStrictEqual(read(urlencoded), conversation)
    assert.deepStrictEqual(Result.getOrThrow(RequestEncoding.decodeUrlEncoded(urlencoded.toString())), conversation)
    const data = new FormData()
    for (const [name, text] of all) data.append(name, text)
    assert.deepStrictEqual(read(await new Response(data).formData()), conversation)
  })

  it.each<[string, string, unknown]>([
    ["n", "12", 12],
    ["n", " 12 ", 12],
    ["n", "+3", 3],
    ["n", "1e2", 100],
    ["temperature", "0.10", 0.1],
    ["temperature", ".5", 0.5],
    ["temperature", "-1", -1],
    ["stream", "true", true],
    ["stream", "True", true],
    ["stream", "1", true],
    ["stream", "on", true],
    ["stream", "FALSE", false],
    ["stream", "0", false],
    ["user", "12", "12"],
    ["user", "true", "true"],
    ["user", "", ""],
    ["user", "null", "null"],
    ["seed", "42", 42],
    ["seed", "9223372036854775807", 9223372036854775807n],
    ["seed", "-9223372036854775808", -9223372036854775808n],
    ["tool_choice", "auto", "auto"],
    ["tool_choice", '{"type":"function","function":{"name":"f"}}', { type: "function", function: { name: "f" } }],
    ["logit_bias[50256]", "-100", { "50256": -100 }],
    ["vllm_xargs[a]", "5", { a: 5 }],
    ["vllm_xargs[a]", "b", { a: "b" }],
    ["vllm_xargs[a]", "[1,2]", { a: [1, 2] }],
    ["stop_token_ids", "5", [5]],
    ["stop_token_ids", "[5,6]", [5, 6]],
    ["stop", "[1]", ["[1]"]],
    ["stop", "[", ["["]],
    ["stop", "", [""]],
    ["foo", "5", 5],
    ["foo", "5.0", 5],
    ["foo", "12345678901234567890", "12345678901234567890"],
    ["foo", "true", true],
    ["foo", "truely", "truely"],
    ["foo", "{", "{"],
    ["foo", '"5"', "5"]
  ])("reads %s=%s", (name, text, expected) => {
    assert.deepStrictEqual(Reflect.get(withField([name, text]), name.replace(/\[.*/, "")), expected)
  })

  it.each(["n", "temperature", "stream", "seed", "response_format", "stop_token_ids", "logit_bias"])(
    "reads an empty %s as absent",
    (name) => {
      assert.deepStrictEqual(withField([name, ""]), minimal)
    }
  )

  it.each<[string, ReadonlyArray<readonly [string, string | object]>, string]>([
    ["a text in place of a number", [["temperature", "hot"]], "temperature"],
    ["a number with a fraction", [["n", "1.5"]], "n"],
    ["a number without end", [["temperature", "1e999"]], "temperature"],
    ["NaN", [["temperature", "NaN"]], "temperature"],
    ["a text in place of a boolean", [["stream", "maybe"]], "stream"],
    ["a seed of 65 bits", [["seed", "9223372036854775808"]], "seed"],
    ["a seed with a million digits", [["seed", "9".repeat(1_000_000)]], "seed"],
    ["a text in place of an object", [["response_format", "text"]], "response_format"],
    ["an object that is broken", [["response_format", "{"]], "response_format"],
    ["an object without a required field", [["response_format[json_schema]", '{"name":"a"}']], "response_format.type"],
    ["a wrong number in a list", [["stop_token_ids[0]", "a"]], "stop_token_ids[0]"],
    ["a file", [["file", new File(["x"], "x.txt")]], "file"],
    ["a file in a message", [["messages[0]image", new Blob(["x"])]], "messages[0].image"],
    ["a repeated scalar", [["n", "1"], ["n", "2"]], "n"], // prettier-ignore
    ["two models", [["model", "other"]], "model"],
    ["a repeated field of a message", [["messages[0]role", "system"]], "messages[0].role"],
    ["a field of a message in two spellings", [["messages[0][role]", "system"]], "messages[0].role"],
    ["messages in two spellings", [["messages", "[]"]], "messages"],
    ["a message in two spellings", [["messages[0]", "{}"]], "messages[0]"],
    ["a field below a number", [["n[a]", "1"]], "n"],
    ["a huge index", [["messages[1000000000]role", "user"]], "messages[1000000000]"],
    ["an index with a zero in front", [["messages[00]role", "user"]], "messages[00]"],
    ["a negative index", [["messages[-1]role", "user"]], "messages.-1"],
    ["a name for an index", [["stop[a]", "A"]], "stop.a"],
    ["an open bracket", [["messages[1", "x"]], "messages[1"],
    ["a list of lists without indices", [["messages[][role]", "x"]], "messages[][role]"],
    ["no name", [["", "x"]], ""],
    ["a problem at an index of the form", [["messages[7]content", "x"]], "messages[7].role"]
  ])("rejects %s by its path", (_, entries, path) => {
    const fields = refused(form(...entries))
    assert.deepStrictEqual(Object.keys(fields), [path])
    assert.isNotEmpty(fields[path])
  })

  it("rejects an empty form by its missing fields", () => {
    assert.deepStrictEqual(Object.keys(refused(RequestEncoding.decodeForm([]))).sort(), ["messages", "model"])
    assert.deepStrictEqual(Object.keys(refused(RequestEncoding.decodeUrlEncoded(""))).sort(), ["messages", "model"])
    assert.deepStrictEqual(Object.keys(refused(RequestEncoding.decodeUrlEncoded("messages=&model="))), ["messages"])
  })

  it("reports no content", () => {
    const secret = "my diary"
    const entries: ReadonlyArray<readonly [string, string]> = ["temperature", "stream", "response_format", "seed"].map((name) => [
      name,
      secret
    ])
    assert.notInclude(JSON.stringify(refused(form(...entries))), secret)
  })

  it.each(["__proto__", "constructor", "prototype", "toString"])("reads a field named %s", (name) => {
    for (const path of [name, `foo[${name}]`, `messages[0]${name}`, `logit_bias[${name}]`, `messages[0][${name}][polluted]`]) {
      const result = form([path, '{"polluted":1}'])
      assert.notProperty({}, "polluted")
      if (Result.isFailure(result)) continue
      for (const object of [result.success, result.success.messages[0]]) {
        assert.strictEqual(Object.getPrototypeOf(object), Object.prototype)
        assert.notProperty(object, "polluted")
      }
    }
    const request = withField([name, '{"a":1}'])
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(request, name)?.value, { a: 1 })
    assert.deepStrictEqual(read(fields(request)), request)
  })

  it("is read in linear time", () => {
    const many = 100_000
    for (const entries of [
      Array.from({ length: many }, (_, i): [string, string] => [`messages[${i % 10_000}]f${i}`, "x"]),
      Array.from({ length: many }, (): [string, string] => ["stop", "x"]),
      Array.from({ length: many }, (_, i): [string, string] => [`stop[${1e9 - i}]`, "x"]),
      Array.from({ length: many }, (_, i): [string, string] => ["a[0]".repeat(i % 200), "x"]),
      [["foo", "[".repeat(1_000_000)] as const, ["temperature", `${"1".repeat(1_000_000)}x`] as const, ["[".repeat(1_000_000), ""] as const]
    ]) {
      form(...entries)
    }
    for (const text of ["&".repeat(1_000_000), "=".repeat(1_000_000), "%".repeat(1_000_000), `foo=${"%41".repeat(500_000)}`]) {
      RequestEncoding.decodeUrlEncoded(text)
    }
  }, 20_000)
})

describe("decodeUrlEncoded", () => {
  const contentOf = (text: string) => {
    const request = Result.getOrThrow(RequestEncoding.decodeUrlEncoded(`model=m&messages%5B0%5Drole=user&messages[0]content=${text}`))
    return request.messages[0]?.content
  }

  it.each([
    ["a+b%20c", "a b c"],
    ["%C3%A9%F0%9F%98%80", "é😀"],
    ["é😀", "é😀"],
    ["a=b=c", "a=b=c"],
    ["100%", "100%"],
    ["%zz%4", "%zz%4"],
    ["%2B%26%3d", "+&="],
    ["%0D%0a", "\r\n"]
  ])("reads %s", (text, expected) => {
    assert.strictEqual(contentOf(text), expected)
    assert.strictEqual(contentOf(text), new URLSearchParams(`a=${text}`).get("a"))
  })

  it.each(["%FF", "%C3", "a%ED%A0%80b", "%C0%80"])("rejects %s, which is not UTF-8, by its field", (text) => {
    const fields = refused(RequestEncoding.decodeUrlEncoded(`model=m&messages%5B0%5Dcontent=${text}`))
    assert.deepStrictEqual(Object.keys(fields), ["messages[0].content"])
  })
})
