import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "../src/ChatCompletion.ts"
import * as decoding from "../src/contract/decode.ts"
import * as validators from "../src/contract/validators.generated.ts"
import type { Fields } from "../src/errors/FieldErrors.ts"
import { fieldsOf } from "../src/tools/schemaIssue.ts"

type Decode = (value: unknown) => Result.Result<unknown, Fields>

const bySchema = <A>(schema: Schema.Codec<A, unknown>): Decode => {
  const decode = Schema.decodeUnknownResult(schema, { errors: "all" })
  return (value) => Result.mapError(decode(value), fieldsOf)
}

// The schema that people use and the check that the client uses.
const ways = (schema: Schema.Codec<unknown, unknown>, decode: Decode): ReadonlyArray<Decode> => [bySchema(schema), decode]
const request = ways(ChatCompletionRequest, decoding.decodeRequest)
// Responses are repaired before they are refused (contract/repair.test.ts): what the contract refuses is what the validators refuse.
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
const completion = ways(ChatCompletion, byValidator(validators.ChatCompletion))
const chunk = ways(ChatCompletionChunk, byValidator(validators.ChatCompletionChunk))

const assertKept = (ways: ReadonlyArray<Decode>, value: unknown) => {
  for (const decode of ways) assert.deepStrictEqual(Result.getOrThrow(decode(value)), value)
}

const assertRefused = (ways: ReadonlyArray<Decode>, value: unknown, path: string) => {
  for (const decode of ways) {
    const result = decode(value)
    assert.isTrue(Result.isFailure(result), `${path} was not refused`)
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

// A value that each field takes, and one that it refuses.
const requestFields: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  max_tokens: int,
  temperature: number,
  top_p: number,
  n: int,
  stream: boolean,
  stop: strings,
  presence_penalty: number,
  frequency_penalty: number,
  logit_bias: [{ "50256": -100 }, { "50256": "x" }],
  user: string,
  functions: [[{ name: "f" }], {}],
  function_call: string,
  max_completion_tokens: int,
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
  it("has every field of the contract", () => {
    const properties = Object.keys(ChatCompletionRequest.schema.fields)
    assert.deepStrictEqual(properties.sort(), ["model", "messages", ...Object.keys(requestFields)].sort())
  })

  it.each(Object.entries(requestFields))("has %s: a value, or nothing, but no null", (name, [good, bad]) => {
    assertKept(request, { ...minimal, [name]: good })
    assertRefused(request, { ...minimal, [name]: bad }, name)
    assertRefused(request, { ...minimal, [name]: null }, name)
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
  ])("whose seed is %s: %s", (seed, isTaken) => {
    if (isTaken) assertKept(request, { ...minimal, seed })
    else assertRefused(request, { ...minimal, seed }, "seed")
  })

  it.each<[string, unknown, string | undefined]>([
    ["an unknown role", { role: "critic", content: "a" }, undefined],
    ["no content", { role: "assistant" }, undefined],
    ["a null content", { role: "assistant", content: null }, undefined],
    ["an unknown field", { role: "user", content: "a", cache: null }, undefined],
    ["a null name", { role: "user", content: "a", name: null }, "messages[0].name"],
    ["null calls", { role: "assistant", content: "a", tool_calls: null }, "messages[0].tool_calls"],
    ["a null call", { role: "assistant", content: "a", function_call: null }, "messages[0].function_call"],
    ["a null id", { role: "tool", content: "a", tool_call_id: null }, "messages[0].tool_call_id"],
    ["what it thought", { role: "assistant", content: "a", reasoning: "b", reasoning_content: "c" }, undefined],
    ["a call", { role: "assistant", tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{" } }] }, undefined],
    ["a call without name", { role: "assistant", tool_calls: [{ function: { arguments: "" } }] }, "messages[0].tool_calls[0].function.name"]
  ])("has a message with %s", (_, message, path) => {
    const value = { model: "alfred", messages: [message] }
    if (path === undefined) assertKept(request, value)
    else assertRefused(request, value, path)
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
    [{ type: "text", text: 5 }, "messages[0].content"],
    [{ type: "image_url", image_url: {} }, "messages[0].content"],
    [{ type: "input_audio", input_audio: { data: "AA==" } }, "messages[0].content"],
    ["a text", "messages[0].content"]
  ])("has a message of the part %j", (part, path) => {
    const value = { model: "alfred", messages: [{ role: "user", content: [part] }] }
    if (path === undefined) assertKept(request, value)
    else assertRefused(request, value, path)
  })
})

const tokenLogprob = { token: "a", logprob: -0.5, bytes: [97], top_logprobs: [{ token: "b", logprob: -9999, bytes: null }] }

// As vLLM answers: what it has not is null.
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

// The value with another one in it. `undefined` removes what is there.
const put = (value: unknown, [key, ...path]: ReadonlyArray<string | number>, leaf: unknown): unknown => {
  if (key === undefined) return leaf
  if (Array.isArray(value)) return value.map((item: unknown, i) => (i === key ? put(item, path, leaf) : item))
  const record = value as Readonly<Record<string, unknown>>
  const { [key]: child, ...rest } = record
  const changed = put(child, path, leaf)
  return changed === undefined ? rest : { ...rest, [key]: changed }
}

describe("an answer", () => {
  it("is kept as it is, with what is not known", () => {
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
  ])("has %j: %j", (path, value) => {
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
  ])("is refused with %j: %j", (path, value, where) => {
    assertRefused(completion, put(answer, path, value), where)
  })

  it.each<[ReadonlyArray<string | number>, unknown, string]>([
    [["choices"], undefined, "choices"],
    [["choices", 0, "index"], -1, "choices[0].index"],
    [["choices", 0, "delta"], "a", "choices[0].delta"],
    [["choices", 0, "delta", "content"], ["a"], "choices[0].delta.content"],
    [["choices", 0, "delta", "tool_calls", 0, "index"], undefined, "choices[0].delta.tool_calls"],
    [["choices", 0, "delta", "tool_calls", 0, "index"], -1, "choices[0].delta.tool_calls"],
    [["choices", 0, "finish_reason"], {}, "choices[0].finish_reason"]
  ])("has no chunk with %j: %j", (path, value, where) => {
    assertRefused(chunk, put(delta, path, value), where)
  })

  it.each([undefined, null, 5, "text", [], [answer]])("is not %j", (value) => {
    for (const decode of [...completion, ...chunk]) assert.isTrue(Result.isFailure(decode(value)))
  })
})
