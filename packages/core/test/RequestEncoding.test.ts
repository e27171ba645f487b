import { assert, describe, it } from "@effect/vitest"
import { runInNewContext } from "node:vm"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatCompletionRequest } from "../src/ChatCompletion.ts"
import { InvalidRequest } from "../src/ParadigmError.ts"
import * as RequestEncoding from "../src/RequestEncoding.ts"

class City extends Schema.Class<City>("City")({ name: Schema.String }) {}

const minimal = { model: "alfred", messages: [{ role: "user", content: "Hello" }] } satisfies ChatCompletionRequest

const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

class Message {
  readonly role = "user"
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  get content() {
    return this.#text
  }
}

class Request {
  get model() {
    return "alfred"
  }
  get messages() {
    return minimal.messages
  }
}

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const textOf = (request: unknown): string => Result.getOrThrow(RequestEncoding.encodeJson(request as ChatCompletionRequest))

const written = (request: unknown): unknown => JSON.parse(textOf(request))

const rejection = (result: Result.Result<unknown, InvalidRequest>): InvalidRequest => {
  if (Result.isSuccess(result)) return assert.fail(`it was not rejected: ${JSON.stringify(result.success)}`)
  assert.instanceOf(result.failure, InvalidRequest)
  assert.isFalse(result.failure.isRetryable)
  return result.failure
}

const rejected = (request: unknown) => rejection(RequestEncoding.encodeJson(request as ChatCompletionRequest))

const everything = {
  ...minimal,
  max_tokens: 10,
  temperature: 0.1,
  top_p: 1,
  n: 2,
  stream: true,
  stop: ["a", "b"],
  presence_penalty: -0.5,
  frequency_penalty: 2,
  logit_bias: { "50256": -100 },
  user: "someone",
  functions: [{ name: "f", parameters: { type: "object" } }],
  function_call: "auto",
  max_completion_tokens: 11,
  stream_options: { include_usage: true },
  response_format: { type: "json_schema", json_schema: { name: "answer", schema: { type: "object" }, strict: true } },
  tools: [{ type: "function", function: { name: "f", description: "d", parameters: { type: "object" } } }],
  tool_choice: { type: "function", function: { name: "f" } },
  parallel_tool_calls: false,
  reasoning_effort: "low",
  logprobs: true,
  top_logprobs: -1,
  top_k: 5,
  min_p: 0,
  repetition_penalty: 1.1
} satisfies ChatCompletionRequest

describe("encodeJson", () => {
  it("writes model and messages alone for a minimal request", () => {
    assert.strictEqual(textOf(minimal), '{"model":"alfred","messages":[{"role":"user","content":"Hello"}]}')
  })

  it("writes every field unchanged", () => {
    assert.deepStrictEqual(written(everything), everything)
  })

  it("omits undefined members at any depth", () => {
    const request = {
      ...minimal,
      temperature: undefined,
      foo: undefined,
      messages: [{ role: "user", content: "Hello", name: undefined }],
      stream_options: { include_usage: undefined }
    }
    assert.deepStrictEqual(written(request), { ...minimal, stream_options: {} })
  })

  it("keeps unknown fields at any depth", () => {
    const request = {
      ...minimal,
      messages: [{ role: "user", content: [{ type: "video_url", video_url: { url: "v", fps: 2 } }], cache: { a: null } }],
      structured_outputs: { regex: "[a-z]+" },
      chat_template_kwargs: { enable_thinking: false },
      nothing: null
    }
    assert.deepStrictEqual(written(request), request)
  })

  it("keeps a null content, parts, calls and unknown roles of messages", () => {
    const messages = [
      { role: "system", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "What is it?" },
          { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } }
        ]
      },
      { role: "assistant", content: null, tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{" } }] },
      { role: "tool", content: "42", tool_call_id: "1" },
      { role: "critic", content: "" }
    ]
    assert.deepStrictEqual(written({ model: "alfred", messages }), { model: "alfred", messages })
  })

  it.each(["é水😀", "a\u2028b\u2029c", "\0\b\f\n\r\t\u001f\u007f", '"\\/', "\ufeff", "👩‍👩‍👧‍👦", "<script>&amp;", "\uffff"])(
    "keeps %j",
    (content) => {
      assert.deepStrictEqual(written({ ...minimal, messages: [{ role: "user", content }] }), {
        ...minimal,
        messages: [{ role: "user", content }]
      })
    }
  )

  it("escapes a lone surrogate", () => {
    const text = textOf({ ...minimal, messages: [{ role: "user", content: "a\ud83db" }] })
    assert.isTrue(text.isWellFormed())
    assert.strictEqual(JSON.parse(text).messages[0].content, "a\ud83db")
  })

  it.each([0, 0.1, 1e21, 1e-7, 5e-324, Number.MAX_VALUE])("writes the number %s exactly", (number) => {
    assert.deepEqual(written({ ...minimal, temperature: number, foo: number }), { ...minimal, temperature: number, foo: number })
  })

  it("accepts one object in several places", () => {
    const part = { type: "text", text: "a" }
    const message = { role: "user", content: [part, part] }
    assert.deepStrictEqual(written({ model: "alfred", messages: [message, message] }), { model: "alfred", messages: [message, message] })
  })

  it("does not change the request", () => {
    const request = Object.freeze({
      ...minimal,
      messages: Object.freeze([Object.freeze({ role: "user", content: "Hello" })]),
      foo: undefined
    })
    textOf(request)
    assert.deepStrictEqual(Object.keys(request), ["model", "messages", "foo"])
  })

  const circle: Record<string, unknown> = { a: 1 }
  circle["self"] = { again: circle }

  it.each<[string, unknown, string]>([
    ["NaN", { ...minimal, temperature: Number.NaN }, "temperature"],
    ["Infinity", { ...minimal, top_p: Number.POSITIVE_INFINITY }, "top_p"],
    ["-Infinity deep in an unknown field", { ...minimal, foo: [{ bar: Number.NEGATIVE_INFINITY }] }, "foo[0].bar"],
    ["NaN under a number's name", { ...minimal, logit_bias: { "50256": Number.NaN } }, "logit_bias[50256]"],
    ["a bigint", { ...minimal, max_tokens: 5n }, "max_tokens"],
    ["a bigint in an unknown field", { ...minimal, foo: { bar: 5n } }, "foo.bar"],
    ["a function", { ...minimal, foo: () => 1 }, "foo"],
    ["a symbol", { ...minimal, user: Symbol("x") }, "user"],
    ["a cycle", { ...minimal, foo: circle }, "foo.self.again"],
    ["a function in place of a message", { ...minimal, messages: [minimal.messages[0], () => 1] }, "messages[1]"],
    ["undefined in a list", { ...minimal, foo: ["a", undefined] }, "foo[1]"],
    ["a hole in a list", { ...minimal, foo: Object.assign(Array(2), { 0: "a" }) }, "foo[1]"],
    ["a member of a list", { ...minimal, foo: Object.assign(["a"], { bar: 1 }) }, "foo.bar"],
    ["an accessor of a class", { ...minimal, messages: [new Message("a")] }, "messages[0].content"],
    ["an accessor of a class, at the root", new Request(), "model"],
    ["an inherited member", { ...minimal, foo: Object.create({ bar: 1 }) }, "foo.bar"],
    ["inherited members, at the root", Object.create(minimal), "model"],
    ["a member of a prototype without prototype", Object.create(Object.assign(Object.create(null), minimal)), "model"],
    [
      "an instance without members",
      {
        ...minimal,
        foo: new (class {
          a() {
            return 1
          }
        })()
      },
      "foo"
    ],
    ["a Map", { ...minimal, logit_bias: new Map([["1", 1]]) }, "logit_bias"],
    ["a Set", { ...minimal, foo: new Set(["a"]) }, "foo"],
    ["bytes", { ...minimal, foo: new Uint8Array(2) }, "foo"],
    ["a boxed string", { ...minimal, user: new String("a") }, "user"],
    ["a boxed number", { ...minimal, n: new Number(1) }, "n"],
    ["an invalid Date", { ...minimal, foo: new Date(Number.NaN) }, "foo"],
    ["an error", { ...minimal, foo: new Error("a") }, "foo"],
    ["a promise", { ...minimal, foo: Promise.resolve(1) }, "foo"],
    [
      "an accessor that throws",
      {
        ...minimal,
        foo: {
          get bar() {
            throw new Error("a")
          }
        }
      },
      "foo.bar"
    ],
    [
      "a toJSON that throws",
      {
        ...minimal,
        foo: {
          toJSON() {
            throw new Error("a")
          }
        }
      },
      "foo"
    ],
    ["a revoked proxy", { ...minimal, foo: revoked() }, "foo"]
  ])("rejects %s by its path", (_, request, path) => {
    const { fields, message } = rejected(request)
    assert.deepStrictEqual(Object.keys(fields), [path])
    assert.isNotEmpty(fields[path])
    assert.include(message, path)
  })

  it("rejects a value that is nested too deeply", () => {
    let deep: unknown = 1
    for (let depth = 0; depth < 50_000; depth++) deep = [deep]
    const { fields, message } = rejected({ ...minimal, foo: deep })
    assert.match(Object.keys(fields)[0] ?? "", /^foo\b/)
    assert.isAtMost(message.length, 10_000)
  })

  it.each<[string, unknown, ReadonlyArray<string>]>([
    ["no fields", {}, ["messages", "model"]],
    ["no messages", { model: "m" }, ["messages"]],
    ["no model", { messages: minimal.messages }, ["model"]],
    ["an empty list of messages", { model: "m", messages: [] }, ["messages"]],
    ["no tokens", { ...minimal, max_tokens: 0, max_completion_tokens: 0, n: 0 }, ["max_completion_tokens", "max_tokens", "n"]],
    ["a model that is no text", { ...minimal, model: 1 }, ["model"]],
    ["a null model", { ...minimal, model: null }, ["model"]],
    ["messages that are a text", { ...minimal, messages: "Hello" }, ["messages"]],
    ["a message without role", { ...minimal, messages: [{ content: "Hello" }] }, ["messages[0].role"]],
    ["a message that is a text", { ...minimal, messages: [minimal.messages[0], "Hello"] }, ["messages[1]"]],
    ["a name that is no text", { ...minimal, messages: [{ role: "user", content: "a", name: 1 }] }, ["messages[0].name"]],
    ["a limit with a fraction", { ...minimal, max_tokens: 1.5 }, ["max_tokens"]],
    ["a number as a text", { ...minimal, temperature: "0.5" }, ["temperature"]],
    ["null messages", { model: "m", messages: null }, ["messages"]],
    ["a number for stop", { ...minimal, stop: 1 }, ["stop"]],
    ["a number in a list of texts", { ...minimal, stop: ["a", 1] }, ["stop[1]"]],
    ["stream as a text", { ...minimal, stream: "true" }, ["stream"]],
    ["a list for an object", { ...minimal, logit_bias: [] }, ["logit_bias"]],
    ["a tool without type", { ...minimal, tools: [{ function: { name: "f" } }] }, ["tools[0].type"]],
    ["a tool's function without name", { ...minimal, tools: [{ type: "function", function: {} }] }, ["tools[0].function.name"]],
    [
      "a tool call whose arguments are no text",
      { ...minimal, messages: [{ role: "assistant", tool_calls: [{ function: { name: "f", arguments: {} } }] }] },
      ["messages[0].tool_calls[0].function.arguments"]
    ],
    [
      "several at once",
      { model: 1, messages: [{ role: "user" }, { role: 2 }], n: "x", top_p: {} },
      ["messages[1].role", "model", "n", "top_p"]
    ]
  ])("rejects %s by its path", (_, request, paths) => {
    const { fields, message } = rejected(request)
    assert.deepStrictEqual(Object.keys(fields).sort(), [...paths])
    for (const path of paths) {
      assert.isNotEmpty(fields[path])
      assert.include(message, path)
    }
  })

  it.each([undefined, null, 42, "text", true, [], [minimal]])("rejects %j as a whole", (request) => {
    assert.deepStrictEqual(Object.keys(rejected(request).fields), [""])
  })

  it("reports no content of messages", () => {
    const secret = "my diary"
    for (const request of [
      { ...minimal, messages: [{ role: "user", content: secret, name: 1 }] },
      { ...minimal, messages: [{ role: "user", content: secret }], temperature: Number.NaN },
      { ...minimal, messages: [{ role: 1, content: { secret } }] },
      { ...minimal, messages: secret }
    ]) {
      const error = rejected(request)
      assert.notInclude(JSON.stringify(error) + error.message, secret)
    }
  })
})

describe("a value with a JSON form", () => {
  it.each<[string, unknown, unknown]>([
    [
      "an own accessor",
      {
        get a() {
          return 1
        }
      },
      { a: 1 }
    ],
    ["a Date", new Date(0), "1970-01-01T00:00:00.000Z"],
    ["a URL", new URL("https://example.com/a"), "https://example.com/a"],
    [
      "an instance with toJSON",
      new (class {
        toJSON() {
          return { a: 1 }
        }
      })(),
      { a: 1 }
    ],
    ["an own toJSON", { toJSON: () => ({ a: 1 }) }, { a: 1 }],
    [
      "an instance with own members",
      new (class {
        readonly a = 1
        b() {
          return 2
        }
      })(),
      { a: 1 }
    ],
    ["an instance of a schema's class", new City({ name: "Paris" }), { name: "Paris" }],
    ["an object of another realm", runInNewContext("({ a: [1, { b: 2 }] })"), { a: [1, { b: 2 }] }],
    ["an object without prototype", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ["a proxy", new Proxy({ a: [1] }, {}), { a: [1] }],
    ["a frozen array", Object.freeze([1, 2]), [1, 2]]
  ])("is written: %s", (_, value, expected) => {
    assert.deepStrictEqual(written({ ...minimal, foo: value }), { ...minimal, foo: expected })
    assert.deepStrictEqual(written({ ...minimal, messages: [{ role: "user", content: "a", foo: value }] }), {
      ...minimal,
      messages: [{ role: "user", content: "a", foo: expected }]
    })
  })

  it("is read once, and is written as it was validated", () => {
    let reads = 0
    const request = {
      ...minimal,
      get temperature() {
        return ++reads === 1 ? 0.5 : "hot"
      }
    }
    assert.deepStrictEqual(written(request), { ...minimal, temperature: 0.5 })
    assert.strictEqual(reads, 1)
  })

  it("may be the request itself", () => {
    assert.deepStrictEqual(written({ toJSON: () => minimal }), minimal)
    assert.deepStrictEqual(written(runInNewContext('({ model: "alfred", messages: [{ role: "user", content: "Hello" }] })')), minimal)
  })
})

describe("a null", () => {
  const call = { id: "1", type: "function", function: { name: "f", arguments: "{}" }, custom: null }
  const { custom: _, ...withoutNull } = call

  it.each<[string, object, object]>([
    ["a field of the request", { temperature: null, stop: null, tools: null, seed: null }, {}],
    ["a field of an object", { stream_options: { include_usage: null } }, { stream_options: {} }],
    [
      "a field of a tool",
      { tools: [{ type: "function", function: { name: "f", description: null }, defer_loading: null }] },
      { tools: [{ type: "function", function: { name: "f" } }] }
    ],
    [
      "fields of a message",
      { messages: [{ role: "assistant", content: "a", refusal: null, audio: null, tool_calls: [call] }] },
      { messages: [{ role: "assistant", content: "a", tool_calls: [withoutNull] }] }
    ],
    [
      "a field of a part",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "u", detail: null }, uuid: null }] }] },
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "u" } }] }] }
    ]
  ])("is omitted as %s", (_, fields, expected) => {
    assert.deepStrictEqual(written({ ...minimal, ...fields }), { ...minimal, ...expected })
  })

  it.each<[string, object]>([
    ["the content of a message", { messages: [{ role: "assistant", content: null }] }],
    ["a member of a JSON Schema", { guided_json: { enum: [null, 1], default: null } }],
    ["a parameter of a tool", { tools: [{ type: "function", function: { name: "f", parameters: { default: null } } }] }],
    ["a member of a free object", { chat_template_kwargs: { thinking: null } }],
    ["an unknown field", { vendor: null }],
    ["an unknown field of a message", { messages: [{ role: "user", content: "a", cache: null }] }]
  ])("is sent as %s", (_, fields) => {
    assert.deepStrictEqual(written({ ...minimal, ...fields }), { ...minimal, ...fields })
  })

  it("does not change the request", () => {
    const request = { ...minimal, temperature: null }
    textOf(request)
    assert.isNull(request.temperature)
  })

  it("is accepted by the decoder, and omitted when encoded again", () => {
    const request = { ...minimal, temperature: null, stop: "a" }
    const decoded = Result.getOrThrow(RequestEncoding.decodeJson(JSON.stringify(request)))
    assert.deepStrictEqual<unknown>(decoded, request)
    assert.deepStrictEqual(written(decoded), { ...minimal, stop: "a" })
  })

  it.each([RequestEncoding.urlEncoded, RequestEncoding.multipart])("is not a field of a form (%#)", (encode) => {
    const { body } = Result.getOrThrow(encode({ ...minimal, temperature: null, user: null }))
    assert.notMatch(body, /temperature|user"|user=|null/)
  })
})

describe("extra fields", () => {
  it("are added to the body and take precedence", () => {
    const text = Result.getOrThrow(RequestEncoding.encodeJson(minimal, { vendor: { a: null }, model: "other" }))
    assert.deepStrictEqual(JSON.parse(text), { ...minimal, model: "other", vendor: { a: null } })
  })

  it("are added to a form", () => {
    const { body } = Result.getOrThrow(RequestEncoding.urlEncoded(minimal, { vendor: { a: 1 } }))
    assert.strictEqual(new URLSearchParams(body).get("vendor"), '{"a":1}')
  })

  it("are validated", () => {
    const { fields } = rejection(RequestEncoding.encodeJson(minimal, { temperature: "hot" }))
    assert.deepStrictEqual(Object.keys(fields), ["temperature"])
    assert.deepStrictEqual(Object.keys(rejection(RequestEncoding.encodeJson(minimal, { foo: () => 1 })).fields), ["foo"])
  })
})

describe("decode", () => {
  it("keeps a request as it is, with unknown fields", () => {
    const request = { ...everything, foo: { bar: [null, 1] } }
    assert.deepStrictEqual(Result.getOrThrow(RequestEncoding.decode(request)), request)
  })

  it("reports every problem by its path", () => {
    const { fields } = rejection(RequestEncoding.decode({ messages: [{ role: "user" }, {}], temperature: "hot", seed: 1 }))
    assert.deepStrictEqual(Object.keys(fields).sort(), ["messages[1].role", "model", "temperature"])
  })

  it.each(["constructor", "__proto__", "toString"])("keeps a field named %s", (name) => {
    const request = JSON.parse(`{"model":"m","messages":[{"role":"user"}],"${name}":{"${name}":1}}`)
    assert.strictEqual(textOf(Result.getOrThrow(RequestEncoding.decode(request))), JSON.stringify(request))
  })

  it.prop(
    "decodes an encoded request",
    {
      model: Schema.String,
      messages: Schema.NonEmptyArray(
        Schema.Struct({ role: Schema.String, content: Schema.NullOr(Schema.String), name: Schema.optionalKey(Schema.String) })
      ),
      temperature: Schema.Finite,
      n: Positive,
      stop: Schema.Array(Schema.String),
      foo: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Boolean, Schema.Null, Schema.Finite]))
    },
    (request) => {
      const again = Result.getOrThrow(RequestEncoding.decode(written(request)))
      assert.strictEqual(textOf(again), textOf(request))
      assert.deepEqual(again, JSON.parse(JSON.stringify(request)))
    }
  )
})
