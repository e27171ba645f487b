import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Contract from "../../src/ContractSchema.ts"
import type { Validator } from "../../src/contract/validator.ts"
import { fieldsOf } from "../../src/tools/schemaIssue.ts"
import * as Validators from "../../src/contract/validators.generated.ts"

const contract = new Map<string, unknown>(Object.entries(Contract))

const schemaOf = (name: string) => {
  const schema = contract.get(name)
  assert.isTrue(Schema.isSchema(schema), name)
  return schema as Schema.Codec<unknown>
}

// Models without an exported schema are parts of others.
const all = Object.entries(Validators).flatMap(([name, validator]) =>
  "accepts" in validator && contract.has(name) ? [{ name, validator, schema: schemaOf(name) }] : []
)

type Subject = (typeof all)[number]

const pathsOf = (validator: Validator, value: unknown) => {
  const problems = new Map<string, Array<string>>()
  validator.explain(value, "", problems)
  for (const problem of [...problems.values()].flat()) assert.match(problem, /^(Expected |Missing key$)/)
  return [...problems.keys()]
}

const print = (value: unknown) =>
  JSON.stringify(value, (_, child) => (typeof child === "bigint" ? `${child}n` : child))?.slice(0, 300) ?? String(value)

const assertAgreement = ({ name, schema, validator }: Subject, value: unknown) => {
  const decoded = Schema.decodeUnknownResult(schema, { errors: "all" })(value)
  assert.strictEqual(validator.accepts(value), Result.isSuccess(decoded), `${name} ${print(value)}`)
  if (Result.isSuccess(decoded)) assert.deepStrictEqual(decoded.success, value)
  // A schema checks that one of several fields is present only if the fields are valid.
  else assert.includeMembers(pathsOf(validator, value), Object.keys(fieldsOf(decoded.failure)), `${name} ${print(value)}`)
}

const strangers: ReadonlyArray<unknown> = [
  undefined,
  null,
  true,
  "",
  "text",
  0,
  -0,
  1,
  -1,
  1.5,
  1e300,
  2 ** 53,
  -(2 ** 53),
  2 ** 63,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  5n,
  2n ** 63n - 1n,
  2n ** 63n,
  [],
  [null],
  [undefined],
  ["text"],
  [1],
  [1.5],
  [[]],
  [{}],
  {},
  { a: 1 },
  { type: "text" },
  { type: 1 },
  { url: "u" },
  { url: 1 },
  { name: "n" },
  { name: 1 },
  { token: "t", logprob: 0 },
  { begin: "b", end: "e" },
  () => 1,
  Symbol("s")
]

/** Every value that differs in one member, which has another value or is missing. */
function* variants(value: unknown): Generator {
  yield* strangers
  if (Array.isArray(value)) {
    for (const [at, child] of value.entries()) for (const variant of variants(child)) yield value.toSpliced(at, 1, variant)
    for (const stranger of strangers) yield [...value, stranger]
  } else if (typeof value === "object" && value !== null) {
    for (const [key, child] of Object.entries(value)) {
      const { [key]: _, ...rest } = value as Record<string, unknown>
      yield rest
      for (const variant of variants(child)) yield { ...value, [key]: variant }
    }
    for (const stranger of strangers) yield { ...value, unknown: stranger }
  }
}

const logprob = { token: "a", logprob: -0.5, bytes: [97], top_logprobs: [{ token: "b", logprob: -1, bytes: null }] }
const logprobs = { content: [logprob], refusal: [logprob] }
const toolCall = { id: "a", type: "function", function: { name: "f", arguments: "{" }, custom: { name: "g", input: "text" } }
const annotations = [{ type: "url_citation", url_citation: { url: "u" } }]
const audio = { id: "a", data: "AA==", transcript: "t", expires_at: 1.5 }
const usage = {
  prompt_tokens: 1,
  completion_tokens: 2,
  total_tokens: 3,
  prompt_tokens_details: { cached_tokens: 1, created_cache_tokens: 1, audio_tokens: 0, multimodal_tokens: { image: 1 } },
  completion_tokens_details: { reasoning_tokens: 1, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 }
}
const envelope = {
  id: "c",
  created: 1700000000,
  model: "alfred",
  usage,
  system_fingerprint: "fp",
  service_tier: "t",
  prompt_token_ids: [1],
  prompt_text: "p",
  metrics: {
    time_to_first_token_ms: 1.5,
    generation_time_ms: 1.5,
    queue_time_ms: 1.5,
    mean_itl_ms: 1.5,
    tokens_per_second: 1.5,
    speculative_decoding: {}
  }
}

const contentPart = {
  type: "text",
  text: "a",
  image_url: { url: "u", detail: "low" },
  audio_url: { url: "u", detail: "low" },
  video_url: { url: "u", detail: "low" },
  input_audio: { data: "AA==", format: "wav" },
  file: { file_id: "f", file_data: "AA==", filename: "n" },
  image_embeds: { a: "AA==" },
  audio_embeds: "AA==",
  refusal: "no",
  uuid: "u",
  thinking: "hm",
  closed: true,
  name: "n"
}
const message = {
  role: "assistant",
  content: [contentPart],
  name: "n",
  function_call: { name: "f", arguments: "{" },
  annotations,
  audio,
  tool_calls: [toolCall],
  tool_call_id: "a",
  refusal: "no",
  reasoning: "hm",
  reasoning_content: "hm"
}
const responseFormat = {
  type: "json_schema",
  json_schema: { name: "n", description: "d", schema: {}, strict: true },
  structures: [{}],
  triggers: ["<"],
  format: {}
}
const tool = {
  type: "function",
  function: { name: "f", description: "d", parameters: {}, strict: true, defer_loading: true },
  defer_loading: true,
  custom: { name: "g", description: "d", format: { type: "grammar", grammar: { definition: "a", syntax: "lark" } } }
}
const structuredOutputs = {
  json: {},
  regex: "a",
  choice: ["a"],
  grammar: "g",
  json_object: true,
  structural_tag: "t",
  disable_fallback: true,
  disable_any_whitespace: true,
  disable_additional_properties: true,
  whitespace_pattern: "w"
}
const request = {
  model: "alfred",
  messages: [message, { role: "user", content: "a" }],
  max_tokens: 1,
  temperature: 0.5,
  top_p: 1,
  n: 1,
  stream: true,
  stop: ["a"],
  presence_penalty: 0,
  frequency_penalty: 0,
  logit_bias: { "1": 1 },
  user: "u",
  functions: [{}],
  function_call: "auto",
  max_completion_tokens: 1,
  response_format: responseFormat,
  seed: 2n ** 60n,
  tools: [tool],
  parallel_tool_calls: true,
  stream_options: { include_usage: true, continuous_usage_stats: true },
  tool_choice: { type: "function", function: { name: "f" } },
  reasoning_effort: "low",
  include_reasoning: true,
  thinking_token_budget: 1,
  logprobs: true,
  top_logprobs: 1,
  prompt_logprobs: 1,
  top_k: 1,
  min_p: 0,
  repetition_penalty: 1,
  length_penalty: 1,
  use_beam_search: true,
  stop_token_ids: [1],
  ignore_eos: true,
  include_stop_str_in_output: true,
  min_tokens: 1,
  allowed_token_ids: [1],
  bad_words: ["a"],
  skip_special_tokens: true,
  spaces_between_special_tokens: true,
  truncate_prompt_tokens: 1,
  echo: true,
  add_generation_prompt: true,
  add_special_tokens: true,
  continue_final_message: true,
  documents: [{}],
  chat_template: "t",
  chat_template_kwargs: {},
  mm_processor_kwargs: {},
  structured_outputs: structuredOutputs,
  guided_json: {},
  guided_regex: "r",
  guided_choice: ["a"],
  guided_grammar: "g",
  guided_decoding_backend: "b",
  guided_whitespace_pattern: "w",
  priority: 1,
  request_id: "r",
  return_tokens_as_token_ids: true,
  return_token_ids: true,
  cache_salt: "s",
  kv_transfer_params: {},
  vllm_xargs: {},
  logprob_token_ids: [1],
  watermarking: true,
  truncation_side: "left",
  repetition_detection: { max_pattern_size: 1, min_pattern_size: 1, min_count: 2 },
  stream_interval: 1,
  media_io_kwargs: {},
  session_id: "s",
  return_prompt_text: true,
  routed_experts_prompt_start: 0,
  ec_transfer_params: {}
}
const response = {
  role: "assistant",
  content: "a",
  refusal: "no",
  reasoning: "hm",
  reasoning_content: "hm",
  annotations,
  audio,
  tool_calls: [toolCall],
  function_call: { name: "f", arguments: "{" }
}
const choiceEnd = { finish_reason: "stop", stop_reason: 1, logprobs, token_ids: [1] }
const choice = { index: 0, message: response, ...choiceEnd, routed_experts: "AA==" }
const toolCallDelta = { index: 0, ...toolCall }
const delta = { ...response, tool_calls: [toolCallDelta], function_call: { name: "f", arguments: "{" } }

const examples: Readonly<Record<string, object>> = {
  ContentPart: contentPart,
  FunctionCallDelta: { name: "f", arguments: "{" },
  ToolCall: toolCall,
  ChatMessage: message,
  ResponseFormat: responseFormat,
  Tool: tool,
  StructuredOutputs: structuredOutputs,
  ChatCompletionRequest: request,
  ChatMessageResponse: response,
  TokenLogprob: logprob,
  Logprobs: logprobs,
  ChatCompletionChoice: choice,
  CompletionUsage: usage,
  ChatCompletion: {
    ...envelope,
    object: "chat.completion",
    choices: [choice],
    prompt_logprobs: [{}, null],
    kv_transfer_params: {},
    ec_transfer_params: {}
  },
  ToolCallDelta: toolCallDelta,
  ChatCompletionDelta: delta,
  ChatCompletionChunk: { ...envelope, object: "chat.completion.chunk", choices: [{ index: 0, delta, ...choiceEnd }] }
}

const exampleOf = ({ name }: Subject) => new Map(Object.entries(examples)).get(name)

const propertiesOf = ({ name, schema }: Subject): ReadonlyArray<string> => {
  const document = Schema.toJsonSchemaDocument(schema)
  const described = document.definitions[name] ?? document.schema
  return Object.keys(described["properties"] ?? {})
}

describe("a validator", () => {
  it.each(all)("has an example with every field: $name", (subject) => {
    assert.sameMembers(Object.keys(exampleOf(subject) ?? {}), [...propertiesOf(subject)])
    assert.isTrue(subject.validator.accepts(exampleOf(subject)))
  })

  it.each(all)("agrees with its schema on every value that differs from the example in one place: $name", (subject) => {
    for (const variant of variants(exampleOf(subject))) assertAgreement(subject, variant)
  })

  // The generator of values does not support a model that requires one of several fields.
  for (const subject of all.filter(({ name }) => name !== "ToolCall")) {
    it.prop(`accepts values that its schema generates: ${subject.name}`, { value: Arbitrary.schema(subject.schema) }, ({ value }) => {
      assert.isTrue(subject.validator.accepts(value))
      assertAgreement(subject, value)
    })
  }
})
