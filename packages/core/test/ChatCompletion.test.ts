import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type ChatCompletion, type ChatMessage, unknownFields } from "../src/ChatCompletion.ts"
import * as ContractSchema from "../src/ContractSchema.ts"
import * as decoding from "../src/contract/decode.ts"
import * as validators from "../src/contract/validators.generated.ts"
import type { Fields } from "../src/errors/FieldErrors.ts"
import type { ParadigmClient } from "../src/ParadigmClient.ts"
import type { ParadigmError } from "../src/ParadigmError.ts"
import * as RequestEncoding from "../src/RequestEncoding.ts"
import { fieldsOf } from "../src/tools/schemaIssue.ts"
import { type Answer, clientOf, json, serve, sse } from "./Loopback.ts"

type Decode = (value: unknown) => Result.Result<unknown, Fields>

const bySchema = (schema: Schema.Codec<unknown, unknown>): Decode => {
  const decode = Schema.decodeUnknownResult(schema, { errors: "all" })
  return (value) => Result.mapError(decode(value), fieldsOf)
}

// The exported schema, and the validator of the client.
const ways = (schema: Schema.Codec<unknown, unknown>, decode: Decode): ReadonlyArray<Decode> => [bySchema(schema), decode]
const request = ways(ContractSchema.ChatCompletionRequest, decoding.decodeRequest)
// By the validators, because the client repairs a response before it rejects it (contract/repair.test.ts).
const byValidator =
  (validator: {
    accepts(value: unknown): boolean
    explain(value: unknown, path: string, problems: Map<string, Array<string>>): void
  }): Decode =>
  (value) => {
    if (validator.accepts(value)) return Result.succeed(value)
    const problems = new Map<string, Array<string>>()
    validator.explain(value, "", problems)
    return Result.fail(Object.fromEntries(problems))
  }
const completion = ways(ContractSchema.ChatCompletion, byValidator(validators.ChatCompletion))
const chunk = ways(ContractSchema.ChatCompletionChunk, byValidator(validators.ChatCompletionChunk))

const assertKept = (ways: ReadonlyArray<Decode>, value: unknown) => {
  for (const decode of ways) assert.deepStrictEqual(Result.getOrThrow(decode(value)), value)
}

const assertRejected = (ways: ReadonlyArray<Decode>, value: unknown, path: string) => {
  for (const decode of ways) {
    const result = decode(value)
    assert.isTrue(Result.isFailure(result), `${path} was not rejected`)
    if (Result.isFailure(result)) {
      assert.isTrue(
        Object.keys(result.failure).some((name) => name.startsWith(path)),
        `${path} is not among ${Object.keys(result.failure).join()}`
      )
    }
  }
}

const minimal = { model: "alfred", messages: [{ role: "user", content: "Hello" }] }

const number = [0.5, "0.5"]
const int = [5, 0.5]
const boolean = [true, "true"]
const string = ["a", 5]
const strings = [["a", "b"], "a"]
const ints = [[1, 2], [0.5]]
const object = [{ a: [null, { b: 1 }] }, []]

// A valid and an invalid value of each field.
const requestFields: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  max_tokens: int,
  temperature: number,
  top_p: number,
  n: int,
  stream: boolean,
  stop: [["a", "b"], 5],
  presence_penalty: number,
  frequency_penalty: number,
  logit_bias: [{ "50256": -100 }, { "50256": "x" }],
  user: string,
  functions: [[{ name: "f" }], {}],
  function_call: string,
  max_completion_tokens: int,
  logprob_token_ids: ints,
  watermarking: boolean,
  truncation_side: string,
  repetition_detection: [{ max_pattern_size: 8, min_pattern_size: 1, min_count: 3 }, { min_count: 0.5 }],
  stream_interval: [1, 0],
  media_io_kwargs: object,
  session_id: string,
  return_prompt_text: boolean,
  routed_experts_prompt_start: int,
  ec_transfer_params: object,
  response_format: [{ type: "json_schema", json_schema: { name: "a", schema: {}, strict: true } }, { json_schema: {} }],
  seed: [2 ** 53 - 1, "1"],
  stream_options: [{ include_usage: true, continuous_usage_stats: false }, { include_usage: 1 }],
  tools: [[{ type: "function", function: { name: "f", parameters: {}, strict: true } }], [{ function: {} }]],
  tool_choice: [{ type: "function", function: { name: "f" } }, { type: "function" }],
  parallel_tool_calls: boolean,
  reasoning_effort: string,
  include_reasoning: boolean,
  thinking_token_budget: int,
  logprobs: boolean,
  top_logprobs: [-1, "5"],
  prompt_logprobs: int,
  top_k: int,
  min_p: number,
  repetition_penalty: number,
  length_penalty: number,
  use_beam_search: boolean,
  stop_token_ids: ints,
  include_stop_str_in_output: boolean,
  ignore_eos: boolean,
  min_tokens: int,
  allowed_token_ids: ints,
  bad_words: strings,
  skip_special_tokens: boolean,
  spaces_between_special_tokens: boolean,
  truncate_prompt_tokens: int,
  echo: boolean,
  add_generation_prompt: boolean,
  continue_final_message: boolean,
  add_special_tokens: boolean,
  documents: [[{ title: "a", text: "b" }], [{ title: 1 }]],
  chat_template: string,
  chat_template_kwargs: object,
  mm_processor_kwargs: object,
  structured_outputs: [{ choice: ["a"], whitespace_pattern: " " }, { choice: "a" }],
  guided_json: [{ type: "object" }, 5],
  guided_regex: string,
  guided_choice: strings,
  guided_grammar: string,
  guided_decoding_backend: string,
  guided_whitespace_pattern: string,
  priority: int,
  request_id: string,
  return_tokens_as_token_ids: boolean,
  return_token_ids: boolean,
  cache_salt: string,
  kv_transfer_params: object,
  vllm_xargs: [{ a: "b", c: 1, d: ["e", 2] }, { a: {} }]
}

describe("a request", () => {
  it("models these fields", () => {
    const properties = Object.keys(validators.ChatCompletionRequest.fields)
    assert.deepStrictEqual(properties.sort(), ["model", "messages", ...Object.keys(requestFields)].sort())
  })

  it.each(Object.entries(requestFields))("accepts a value, null and undefined for %s", (name, [good, bad]) => {
    assertKept(request, { ...minimal, [name]: good })
    assertRejected(request, { ...minimal, [name]: bad }, name)
    assertKept(request, { ...minimal, [name]: null })
    for (const decode of request) assert.isTrue(Result.isSuccess(decode({ ...minimal, [name]: undefined })))
  })

  it.each<[unknown, boolean]>([
    [0, true],
    [2 ** 53, true],
    [9223372036854775807n, true],
    [-9223372036854775808n, true],
    [9223372036854775808n, false],
    [-9223372036854775809n, false],
    [1.5, false],
    [1e300, false],
    [Number.NaN, false]
  ])("with the seed %s is valid: %s", (seed, isTaken) => {
    if (isTaken) assertKept(request, { ...minimal, seed })
    else assertRejected(request, { ...minimal, seed }, "seed")
  })

  it.each<[string, unknown, string | undefined]>([
    ["an unknown role", { role: "critic", content: "a" }, undefined],
    ["no content", { role: "assistant" }, undefined],
    ["a null content", { role: "assistant", content: null }, undefined],
    ["an unknown field", { role: "user", content: "a", cache: null }, undefined],
    ["a null name", { role: "user", content: "a", name: null }, undefined],
    ["null calls", { role: "assistant", content: "a", tool_calls: null }, undefined],
    ["a null call", { role: "assistant", content: "a", function_call: null }, undefined],
    ["a null id", { role: "tool", content: "a", tool_call_id: null }, undefined],
    ["reasoning", { role: "assistant", content: "a", reasoning: "b", reasoning_content: "c" }, undefined],
    ["a call", { role: "assistant", tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{" } }] }, undefined],
    ["a custom call", { role: "assistant", tool_calls: [{ id: "1", type: "custom", custom: { name: "f", input: "a" } }] }, undefined],
    ["a call without a function", { role: "assistant", tool_calls: [{ id: "1" }] }, "messages[0].tool_calls[0].function"],
    ["a call of null", { role: "assistant", tool_calls: [{ function: null, custom: null }] }, "messages[0].tool_calls[0].function"],
    ["a call without name", { role: "assistant", tool_calls: [{ function: { arguments: "" } }] }, "messages[0].tool_calls[0].function.name"]
  ])("validates a message with %s", (_, message, path) => {
    const value = { model: "alfred", messages: [message] }
    if (path === undefined) assertKept(request, value)
    else assertRejected(request, value, path)
  })

  it.each<[unknown, string | undefined]>([
    [{ type: "text", text: "a" }, undefined],
    [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" }, uuid: "u" }, undefined],
    [{ type: "image_url", image_url: "https://example.com/a.png" }, undefined],
    [{ image_url: { url: "u", more: 1 } }, undefined],
    [{ type: "input_audio", input_audio: { data: "AA==", format: "wav" } }, undefined],
    [{ type: "audio_url", audio_url: { url: "u" } }, undefined],
    [{ type: "video_url", video_url: { url: "u", fps: 2 } }, undefined],
    [{ type: "file", file: { file_data: "AA==", filename: "a.pdf" } }, undefined],
    [{ type: "image_embeds", image_embeds: { a: "AA==" } }, undefined],
    [{ type: "of another model", anything: { else: null } }, undefined],
    [{ type: "thinking", thinking: "a", closed: true }, undefined],
    [{ type: "thinking", thinking: 5 }, "messages[0].content"],
    [{ type: "text", text: 5 }, "messages[0].content"],
    [{ type: "image_url", image_url: {} }, "messages[0].content"],
    [{ type: "input_audio", input_audio: { data: "AA==" } }, "messages[0].content"],
    ["a text", "messages[0].content"]
  ])("validates the part %j", (part, path) => {
    const value = { model: "alfred", messages: [{ role: "user", content: [part] }] }
    if (path === undefined) assertKept(request, value)
    else assertRejected(request, value, path)
  })
})

const tokenLogprob = { token: "a", logprob: -0.5, bytes: [97], top_logprobs: [{ token: "b", logprob: -9999, bytes: null }] }

// A response of vLLM: absent fields are null.
const answer = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1700000000,
  model: "alfred",
  choices: [
    {
      index: 0,
      message: {
        role: "assistant",
        content: "a",
        refusal: null,
        annotations: null,
        audio: null,
        function_call: null,
        tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{" } }],
        reasoning: null,
        reasoning_content: null,
        citations: [1]
      },
      logprobs: { content: [tokenLogprob], refusal: null },
      finish_reason: "stop",
      stop_reason: 128001,
      token_ids: [1, 2],
      routed_experts: null
    }
  ],
  service_tier: null,
  system_fingerprint: null,
  usage: {
    prompt_tokens: 1,
    completion_tokens: 2,
    total_tokens: 3,
    prompt_tokens_details: { cached_tokens: 1, audio_tokens: null },
    completion_tokens_details: { reasoning_tokens: 1, accepted_prediction_tokens: 0 },
    cost: 0.1
  },
  prompt_logprobs: [null, { "42": { logprob: -1, rank: 1, decoded_token: "a" } }],
  prompt_token_ids: [1],
  kv_transfer_params: { remote_engine_id: null },
  metrics: null
}

const delta = {
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices: [
    {
      index: 1,
      delta: {
        role: "assistant",
        content: "a",
        reasoning: "b",
        tool_calls: [{ index: 0, id: "1", type: "function", function: { name: "f", arguments: "{" } }],
        function_call: { arguments: "" },
        citations: []
      },
      logprobs: { content: [tokenLogprob] },
      finish_reason: null,
      token_ids: [1]
    }
  ],
  usage: null,
  prompt_token_ids: null
}

// Returns a copy with one member replaced. `undefined` removes the member.
const put = (value: unknown, [key, ...path]: ReadonlyArray<string | number>, leaf: unknown): unknown => {
  if (key === undefined) return leaf
  if (Array.isArray(value)) return value.map((item: unknown, i) => (i === key ? put(item, path, leaf) : item))
  const record = value as Readonly<Record<string, unknown>>
  const { [key]: child, ...rest } = record
  const changed = put(child, path, leaf)
  return changed === undefined ? rest : { ...rest, [key]: changed }
}

describe("a response", () => {
  it("keeps unknown fields", () => {
    assertKept(completion, answer)
    assertKept(chunk, delta)
    assertKept(chunk, { ...delta, choices: [], usage: answer.usage })
  })

  it.each<[ReadonlyArray<string | number>, unknown]>([
    [["choices", 0, "finish_reason"], "a reason of tomorrow"],
    [["choices", 0, "finish_reason"], undefined],
    [["choices", 0, "finish_reason"], null],
    [["choices", 0, "stop_reason"], "\n"],
    [["choices", 0, "message", "role"], "critic"],
    [["choices", 0, "message", "content"], null],
    [["choices", 0, "message", "content"], undefined],
    [["choices", 0, "message", "tool_calls"], null],
    [["choices", 0, "message", "annotations"], [{ type: "url_citation", url_citation: { url: "u" } }]],
    [["choices", 0, "message", "annotations"], { type: "url_citation", url_citation: { url: "u" } }],
    [["choices", 0, "message", "audio"], { id: "1", data: "AA==", transcript: "a", expires_at: 1.5 }],
    [["choices", 0, "logprobs"], null],
    [["choices", 0, "logprobs"], { content: null }],
    [["choices"], []],
    [["usage"], undefined],
    [["usage"], null],
    [["service_tier"], "a tier of tomorrow"]
  ])("accepts %j: %j", (path, value) => {
    const changed = put(answer, path, value)
    for (const decode of completion) assert.deepStrictEqual(Result.getOrThrow(decode(changed)), changed)
  })

  it.each<[ReadonlyArray<string | number>, unknown, string]>([
    [["id"], 1, "id"],
    [["created"], "now", "created"],
    [["choices"], undefined, "choices"],
    [["choices"], {}, "choices"],
    [["choices", 0], null, "choices[0]"],
    [["choices", 0, "index"], -1, "choices[0].index"],
    [["choices", 0, "index"], 0.5, "choices[0].index"],
    [["choices", 0, "message"], undefined, "choices[0].message"],
    [["choices", 0, "message", "content"], 5, "choices[0].message.content"],
    [["choices", 0, "message", "tool_calls", 0, "function", "arguments"], {}, "choices[0].message.tool_calls"],
    [["choices", 0, "logprobs", "content", 0, "logprob"], "x", "choices[0].logprobs"],
    [["choices", 0, "finish_reason"], 1, "choices[0].finish_reason"],
    [["choices", 0, "stop_reason"], {}, "choices[0].stop_reason"],
    [["usage", "total_tokens"], undefined, "usage"],
    [["usage", "prompt_tokens"], 0.5, "usage"],
    [["prompt_logprobs"], [{ "42": {} }], "prompt_logprobs"]
  ])("is rejected with %j: %j", (path, value, where) => {
    assertRejected(completion, put(answer, path, value), where)
  })

  it.each<[ReadonlyArray<string | number>, unknown, string]>([
    [["choices"], undefined, "choices"],
    [["choices", 0, "index"], -1, "choices[0].index"],
    [["choices", 0, "delta"], "a", "choices[0].delta"],
    [["choices", 0, "delta", "content"], ["a"], "choices[0].delta.content"],
    [["choices", 0, "delta", "tool_calls", 0, "index"], undefined, "choices[0].delta.tool_calls"],
    [["choices", 0, "delta", "tool_calls", 0, "index"], -1, "choices[0].delta.tool_calls"],
    [["choices", 0, "finish_reason"], {}, "choices[0].finish_reason"]
  ])("is rejected as a chunk with %j: %j", (path, value, where) => {
    assertRejected(chunk, put(delta, path, value), where)
  })

  it.each([undefined, null, 5, "text", [], [answer]])("rejects %j", (value) => {
    for (const decode of [...completion, ...chunk]) assert.isTrue(Result.isFailure(decode(value)))
  })
})

describe("unknownFields", () => {
  it.each<[string, object, object]>([
    ["a request", { ...minimal, vendor: 1, temperature: null }, { vendor: 1 }],
    ["a message of a request", { role: "user", content: "a", cache: true }, { cache: true }],
    ["a content part", { type: "image_url", image_url: { url: "u" }, fps: 2 }, { fps: 2 }],
    ["a tool", { type: "function", function: { name: "f" }, vendor: {} }, { vendor: {} }],
    ["a completion", { ...answer, provider: { name: "p" } }, { provider: { name: "p" } }],
    ["a choice", { ...answer.choices[0], vendor: null }, { vendor: null }],
    ["a message of a response", answer.choices[0]?.message ?? {}, { citations: [1] }],
    ["usage", answer.usage, { cost: 0.1 }],
    ["a chunk", { ...delta, x_groq: {} }, { x_groq: {} }],
    ["a choice of a chunk", { ...delta.choices[0], vendor: "v" }, { vendor: "v" }],
    ["a delta", delta.choices[0]?.delta ?? {}, { citations: [] }],
    ["a fragment of a call", { index: 0, function: { arguments: "" }, vendor: 1 }, { vendor: 1 }],
    ["an object without unknown fields", { ...minimal, temperature: 1 }, {}],
    ["an object of no type", { a: 1 }, { a: 1 }],
    ["an empty object", {}, {}]
  ])("returns the fields that are not modelled of %s", (_, value, expected) => {
    assert.deepStrictEqual(unknownFields(value), expected)
  })

  it("returns a member named __proto__ as data", () => {
    const fields = unknownFields(JSON.parse('{"model":"m","messages":[{"role":"user"}],"__proto__":{"a":1}}'))
    assert.deepStrictEqual(Object.entries(fields), [["__proto__", { a: 1 }]])
  })
})

describe("members of Object.prototype", () => {
  it("are not read by validators", () => {
    const shared: object = Object.prototype
    Object.assign(shared, { id: "inherited", usage: 5 })
    try {
      const { id: _, ...anonymous } = delta
      assert.isFalse(validators.ChatCompletionChunk.accepts(anonymous))
      const { usage: _usage, ...unmeasured } = delta
      assert.isTrue(validators.ChatCompletionChunk.accepts(unmeasured))
      assert.isTrue(validators.ChatCompletionRequest.accepts(minimal))
    } finally {
      for (const name of ["id", "usage"]) Reflect.deleteProperty(shared, name)
    }
  })
})

describe("a message of a response, in the next request", () => {
  const toolCall = { id: "call-1", type: "function", function: { name: "f", arguments: "{}" } } as const
  const called = { refusal: null, annotations: null, audio: null, function_call: null, tool_calls: [toolCall], reasoning: null }
  const envelope = { id: "chatcmpl-1", created: 1700000000, model: "alfred" }
  const question = { role: "user", content: "Is it sunny?" } as const
  const whole = (message: object) => ({ ...envelope, object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }] })
  const part = (delta: object, finish_reason: string | null = null) => ({
    ...envelope,
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason, logprobs: null, token_ids: null }]
  })

  // Each round sends the messages so far and pushes the message of the response, until it has no calls.
  const converse = (
    answers: ReadonlyArray<Answer>,
    ask: (
      client: ParadigmClient["Service"],
      messages: ReadonlyArray<ChatMessage>
    ) => Effect.Effect<ChatCompletion | undefined, ParadigmError>
  ) =>
    Effect.gen(function* () {
      let round = 0
      const { baseUrl, requests } = yield* serve((response, seen) => answers[round++]?.(response, seen))
      const client = yield* clientOf({ baseUrl })
      const messages: Array<ChatMessage> = [question]
      for (const _ of answers) {
        const message = (yield* ask(client, messages))?.choices[0]?.message
        if (message === undefined) return assert.fail("no message")
        messages.push(message)
        for (const call of message.tool_calls ?? []) messages.push({ role: "tool", tool_call_id: call.id, content: "Yes" })
      }
      const bodies = yield* Queue.takeN(requests, answers.length)
      return bodies.map(({ body }) => JSON.parse(body).messages)
    })

  const sent = [
    [question],
    [question, { role: "assistant", content: null, tool_calls: [toolCall] }, { role: "tool", tool_call_id: "call-1", content: "Yes" }]
  ]

  it.live("is sent without its nulls, from a whole response", () =>
    Effect.gen(function* () {
      const answers = [json(whole({ role: "assistant", content: null, ...called })), json(whole({ role: "assistant", content: "Yes" }))]
      const bodies = yield* converse(answers, (client, messages) => client.createChatCompletion({ model: "alfred", messages }))
      assert.deepStrictEqual(bodies, sent)
    })
  )

  it.live("is sent without its nulls, from a stream", () =>
    Effect.gen(function* () {
      const { function: piece, ...call } = toolCall
      const answers = [
        sse(
          part({ role: "assistant", content: null, refusal: null }),
          part({ content: null, tool_calls: [{ index: 0, ...call, function: { name: piece.name } }] }),
          part({ content: null, tool_calls: [{ index: 0, function: { arguments: piece.arguments } }], reasoning: null }),
          part({}, "tool_calls"),
          "[DONE]"
        ),
        sse(part({ role: "assistant", content: "Yes" }, "stop"), "[DONE]")
      ]
      const bodies = yield* converse(answers, (client, messages) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { chunks, completion } = yield* client.streamWithResponse({ model: "alfred", messages })
            yield* Stream.runDrain(chunks)
            return yield* completion
          })
        )
      )
      assert.deepStrictEqual(bodies, sent)
    })
  )

  it("is valid with a null in every field", () => {
    const nulls = Object.fromEntries(Object.keys(validators.ChatMessageResponse.fields).map((name) => [name, null]))
    const message = { ...nulls, role: "assistant" }
    assertKept(completion, whole(message))
    const encoded = RequestEncoding.encodeJson({ model: "alfred", messages: [message as ChatMessage] })
    assert.deepStrictEqual(JSON.parse(Result.getOrThrow(encoded)).messages, [{ role: "assistant", content: null }])
  })
})
