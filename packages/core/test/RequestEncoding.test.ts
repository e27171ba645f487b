import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatCompletionRequest } from "../src/ChatCompletion.ts"
import { InvalidRequest } from "../src/ParadigmError.ts"
import * as RequestEncoding from "../src/RequestEncoding.ts"

const minimal = { model: "alfred", messages: [{ role: "user", content: "Hello" }] } satisfies ChatCompletionRequest

const textOf = (request: unknown): string => Result.getOrThrow(RequestEncoding.encodeJson(request as ChatCompletionRequest))

const written = (request: unknown): unknown => JSON.parse(textOf(request))

const refusal = (result: Result.Result<unknown, InvalidRequest>): InvalidRequest => {
  if (Result.isSuccess(result)) return assert.fail(`it was not refused: ${JSON.stringify(result.success)}`)
  assert.instanceOf(result.failure, InvalidRequest)
  assert.isFalse(result.failure.isRetryable)
  return result.failure
}

const refused = (request: unknown) => refusal(RequestEncoding.encodeJson(request as ChatCompletionRequest))

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
  it("writes the model and the messages, and nothing else", () => {
    assert.strictEqual(textOf(minimal), '{"model":"alfred","messages":[{"role":"user","content":"Hello"}]}')
  })

  it("writes every field as it was given", () => {
    assert.deepStrictEqual(written(everything), everything)
  })

  it("leaves out what is undefined, at any depth", () => {
    const request = {
      ...minimal,
      temperature: undefined,
      foo: undefined,
      messages: [{ role: "user", content: "Hello", name: undefined }],
      stream_options: { include_usage: undefined }
    }
    assert.deepStrictEqual(written(request), { ...minimal, stream_options: {} })
  })

  it("keeps what it does not know, at any depth", () => {
    const request = {
      ...minimal,
      messages: [{ role: "user", content: [{ type: "video_url", video_url: { url: "v", fps: 2 } }], cache: { a: null } }],
      structured_outputs: { regex: "[a-z]+" },
      chat_template_kwargs: { enable_thinking: false },
      nothing: null
    }
    assert.deepStrictEqual(written(request), request)
  })

  it("keeps a message's null content, its parts and its calls", () => {
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

  it("writes a lone surrogate so that it survives as UTF-8", () => {
    const text = textOf({ ...minimal, messages: [{ role: "user", content: "a\ud83db" }] })
    assert.isTrue(text.isWellFormed())
    assert.strictEqual(JSON.parse(text).messages[0].content, "a\ud83db")
  })

  it.each([0, 0.1, 1e21, 1e-7, 5e-324, Number.MAX_VALUE])("writes the number %s so that it is read back", (number) => {
    assert.deepEqual(written({ ...minimal, temperature: number, foo: number }), { ...minimal, temperature: number, foo: number })
  })

  it("takes one object in several places", () => {
    const part = { type: "text", text: "a" }
    const message = { role: "user", content: [part, part] }
    assert.deepStrictEqual(written({ model: "alfred", messages: [message, message] }), { model: "alfred", messages: [message, message] })
  })

  it("leaves the request as it was", () => {
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
    ["a method in a list", { ...minimal, stop: [{ toJSON: () => "x" }] }, "stop[0].toJSON"],
    ["a symbol", { ...minimal, user: Symbol("x") }, "user"],
    ["a cycle", { ...minimal, foo: circle }, "foo.self.again"],
    ["a function where a message should be", { ...minimal, messages: [minimal.messages[0], () => 1] }, "messages[1]"],
    ["undefined in a list", { ...minimal, foo: ["a", undefined] }, "foo[1]"]
  ])("refuses %s, by its path", (_, request, path) => {
    const { fields, message } = refused(request)
    assert.deepStrictEqual(Object.keys(fields), [path])
    assert.isNotEmpty(fields[path])
    assert.include(message, path)
  })

  it("refuses what nests too deep to be written", () => {
    let deep: unknown = 1
    for (let depth = 0; depth < 50_000; depth++) deep = [deep]
    const { fields, message } = refused({ ...minimal, foo: deep })
    assert.match(Object.keys(fields)[0] ?? "", /^foo\b/)
    assert.isAtMost(message.length, 10_000)
  })

  it.each<[string, unknown, ReadonlyArray<string>]>([
    ["nothing", {}, ["messages", "model"]],
    ["no messages", { model: "m" }, ["messages"]],
    ["no model", { messages: [] }, ["model"]],
    ["a model that is no text", { ...minimal, model: 1 }, ["model"]],
    ["a null model", { ...minimal, model: null }, ["model"]],
    ["messages that are a text", { ...minimal, messages: "Hello" }, ["messages"]],
    ["a message without role", { ...minimal, messages: [{ content: "Hello" }] }, ["messages[0].role"]],
    ["a message that is a text", { ...minimal, messages: [minimal.messages[0], "Hello"] }, ["messages[1]"]],
    ["a name that is no text", { ...minimal, messages: [{ role: "user", content: "a", name: 1 }] }, ["messages[0].name"]],
    ["a limit with a fraction", { ...minimal, max_tokens: 1.5 }, ["max_tokens"]],
    ["a number as a text", { ...minimal, temperature: "0.5" }, ["temperature"]],
    ["a null that is no content", { ...minimal, temperature: null }, ["temperature"]],
    ["a text for a list", { ...minimal, stop: "a" }, ["stop"]],
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
  ])("refuses %s, by its path", (_, request, paths) => {
    const { fields, message } = refused(request)
    assert.deepStrictEqual(Object.keys(fields).sort(), [...paths])
    for (const path of paths) {
      assert.isNotEmpty(fields[path])
      assert.include(message, path)
    }
  })

  it.each([undefined, null, 42, "text", true, [], [minimal]])("refuses %j, as a whole", (request) => {
    assert.deepStrictEqual(Object.keys(refused(request).fields), [""])
  })

  it("quotes nothing of the conversation", () => {
    const secret = "my diary"
    for (const request of [
      { ...minimal, messages: [{ role: "user", content: secret, name: 1 }] },
      { ...minimal, messages: [{ role: "user", content: secret }], temperature: Number.NaN },
      { ...minimal, messages: [{ role: 1, content: { secret } }] },
      { ...minimal, messages: secret }
    ]) {
      const refusal = refused(request)
      assert.notInclude(JSON.stringify(refusal) + refusal.message, secret)
    }
  })
})

describe("decode", () => {
  it("takes a request as it is, and keeps what it does not know", () => {
    const request = { ...everything, foo: { bar: [null, 1] } }
    assert.deepStrictEqual(Result.getOrThrow(RequestEncoding.decode(request)), request)
  })

  it("names everything that is wrong by its path", () => {
    const { fields } = refusal(RequestEncoding.decode({ messages: [{ role: "user" }, {}], temperature: "hot", seed: 1 }))
    assert.deepStrictEqual(Object.keys(fields).sort(), ["messages[1].role", "model", "temperature"])
  })

  it.each(["constructor", "__proto__", "toString"])("takes a field named %s", (name) => {
    const request = JSON.parse(`{"model":"m","messages":[],"${name}":{"${name}":1}}`)
    assert.strictEqual(textOf(Result.getOrThrow(RequestEncoding.decode(request))), JSON.stringify(request))
  })

  it.prop(
    "takes back what was encoded",
    {
      model: Schema.String,
      messages: Schema.Array(
        Schema.Struct({ role: Schema.String, content: Schema.NullOr(Schema.String), name: Schema.optionalKey(Schema.String) })
      ),
      temperature: Schema.Finite,
      n: Schema.Int,
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
