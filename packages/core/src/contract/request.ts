/**
 * What is asked of the endpoint: the fields of its specification, and what its vLLM-based images take beyond them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ChatMessage } from "./message.ts"
import { Int64, boolean, int, ints, JsonObject, number, object, open, openString, optional, string, strings } from "./schema.ts"

/**
 * A tool the model may call: its name, what it does, and its parameters as a JSON Schema.
 *
 * @category requests
 * @since 0.1.0
 */
export const Tool = open({
  type: openString(["function"]).annotateKey({ description: "The kind of tool" }),
  function: optional(
    open({
      name: Schema.String.annotateKey({ description: "What the model calls it by: letters, digits, _ and -" }),
      description: string("What it does and when to call it, for the model"),
      parameters: object("Its parameters, a JSON Schema of an object"),
      strict: boolean("Whether the arguments must fit the schema exactly")
    }),
    "The function"
  )
}).annotate({ identifier: "Tool" })
/** @since 0.1.0 */
export type Tool = typeof Tool.Type

/**
 * Whether the model calls tools: as it likes, never, at least one, or the one that is named.
 *
 * @category requests
 * @since 0.1.0
 */
export const ToolChoice = Schema.Union([
  open({
    type: openString(["function"]).annotateKey({ description: "The kind of tool" }),
    function: open({ name: Schema.String.annotateKey({ description: "The tool's name" }) }).annotateKey({
      description: "The tool that must be called"
    })
  }),
  openString(["none", "auto", "required"])
])
/** @since 0.1.0 */
export type ToolChoice = typeof ToolChoice.Type

/**
 * The shape the answer must have: free text, any JSON object, JSON that fits a schema, or text with structured spans.
 *
 * @category requests
 * @since 0.1.0
 */
export const ResponseFormat = open({
  type: openString(["text", "json_object", "json_schema", "structural_tag"]).annotateKey({ description: "The kind of answer" }),
  json_schema: optional(
    open({
      name: Schema.String.annotateKey({ description: "A name for the shape" }),
      description: string("What the shape is for, for the model"),
      schema: object("The JSON Schema"),
      strict: boolean("Whether the answer must fit it exactly")
    }),
    "With json_schema: the schema"
  ),
  structures: optional(
    Schema.Array(
      open({
        begin: Schema.String.annotateKey({ description: "The text that opens the span" }),
        schema: object("The JSON Schema of what stands in it"),
        end: Schema.String.annotateKey({ description: "The text that closes it" })
      })
    ),
    "With structural_tag: the spans"
  ),
  triggers: strings("With structural_tag: the texts after which a span must follow"),
  format: object("With structural_tag: the whole structure, as newer images take it")
}).annotate({ identifier: "ResponseFormat" })
/** @since 0.1.0 */
export type ResponseFormat = typeof ResponseFormat.Type

/** A JSON Schema, or its text. */
const schemaOrText = (description: string) => optional(Schema.Union([JsonObject, Schema.String]), description)

/**
 * What the answer is held to while it is generated. One of `json`, `regex`, `choice`, `grammar`, `json_object` and `structural_tag`.
 *
 * @category requests
 * @since 0.1.0
 */
export const StructuredOutputs = open({
  json: schemaOrText("A JSON Schema"),
  regex: string("A regular expression"),
  choice: strings("The answers to choose from"),
  grammar: string("A context-free grammar"),
  json_object: boolean("Any JSON object"),
  structural_tag: string("Structured spans in free text, as a JSON text"),
  disable_fallback: boolean("Whether another backend must not be tried"),
  disable_any_whitespace: boolean("Whether JSON is written without white space"),
  disable_additional_properties: boolean("Whether a schema that does not say so forbids further properties"),
  whitespace_pattern: string("A regular expression of the white space between JSON's tokens")
}).annotate({ identifier: "StructuredOutputs" })
/** @since 0.1.0 */
export type StructuredOutputs = typeof StructuredOutputs.Type

const XArg = Schema.Union([Schema.String, Schema.Finite])

/**
 * What is asked of the endpoint. `model` and `messages` are required; everything else has the model server's default.
 *
 * The first group is the endpoint's specification, the second what its vLLM-based images take beyond it. Any other field is kept.
 *
 * @category requests
 * @since 0.1.0
 */
export const ChatCompletionRequest = open({
  model: Schema.String.annotateKey({ description: "The model that answers; it must be configured by the endpoint's administrator" }),
  messages: Schema.Array(ChatMessage).annotateKey({ description: "The conversation so far, oldest first" }),
  max_tokens: int("The most tokens to generate"),
  temperature: number("Sampling temperature, 0 to 2"),
  top_p: number("Nucleus sampling: the probability mass to sample from, 0 to 1"),
  n: int("How many choices to generate"),
  stream: boolean("Whether to answer with server-sent events"),
  stop: strings("Up to 4 strings at which generation ends"),
  presence_penalty: number("Penalty for tokens that appeared at all, -2 to 2"),
  frequency_penalty: number("Penalty for tokens by how often they appeared, -2 to 2"),
  logit_bias: optional(Schema.Record(Schema.String, Schema.Finite), "Token id to bias, -100 to 100"),
  user: string("An identifier of the end user"),
  functions: optional(Schema.Array(JsonObject), "Functions the model may call (superseded by tools)"),
  function_call: string("Which function to call (superseded by tool_choice)"),

  max_completion_tokens: int("The most tokens to generate; wins over max_tokens"),
  response_format: optional(ResponseFormat, "The shape the answer must have"),
  seed: optional(Int64, "Makes sampling repeatable. In JavaScript a bigint where a number does not hold it exactly"),
  stream_options: optional(
    open({
      include_usage: boolean("Whether a last chunk tells the usage"),
      continuous_usage_stats: boolean("Whether every chunk tells the usage so far")
    }),
    "What a stream says beyond its tokens; only with stream"
  ),
  tools: optional(Schema.Array(Tool), "Tools the model may call, at least one"),
  tool_choice: optional(ToolChoice, "Whether and which tool to call; only with tools"),
  parallel_tool_calls: boolean("Whether several tools may be called at once"),
  reasoning_effort: optional(
    openString(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    "How much a reasoning model thinks before it answers"
  ),
  include_reasoning: boolean("Whether the answer tells what the model thought"),
  thinking_token_budget: int("The most tokens to think with"),
  logprobs: boolean("Whether to return log probabilities"),
  top_logprobs: int("How many alternatives a position, -1 for all; only with logprobs"),
  prompt_logprobs: int("How many alternatives for each token of the prompt, -1 for all; not in a stream"),
  top_k: int("Sample among the k likeliest tokens"),
  min_p: number("The least probability, relative to the likeliest token"),
  repetition_penalty: number("Penalty for repetition, above 0; 1 is none"),
  length_penalty: number("With beam search: above 1 prefers longer answers"),
  use_beam_search: boolean("Whether to search with n beams instead of sampling"),
  stop_token_ids: ints("Tokens at which generation ends"),
  include_stop_str_in_output: boolean("Whether the stop string is part of the answer"),
  ignore_eos: boolean("Whether to go on after the model's end token"),
  min_tokens: int("The fewest tokens to generate before a stop counts"),
  allowed_token_ids: ints("The only tokens that may be generated"),
  bad_words: strings("Words that must not be generated"),
  skip_special_tokens: boolean("Whether special tokens are left out of the text"),
  spaces_between_special_tokens: boolean("Whether special tokens in the text have spaces between them"),
  truncate_prompt_tokens: int("Keep this many tokens of the prompt, -1 for what the model can hold"),
  echo: boolean("Whether the answer begins with the last message, where both have one role"),
  add_generation_prompt: boolean("Whether the template opens an assistant's message"),
  continue_final_message: boolean("Whether to go on in the last message instead of answering it"),
  add_special_tokens: boolean("Whether special tokens are added to what the template makes"),
  documents: optional(
    Schema.Array(Schema.Record(Schema.String, Schema.String)),
    "Documents for templates that take them, as title and text"
  ),
  chat_template: string("The Jinja template that makes the prompt"),
  chat_template_kwargs: object("More arguments of the template"),
  mm_processor_kwargs: object("More arguments of the media processor"),
  structured_outputs: optional(StructuredOutputs, "What the answer is held to"),
  guided_json: schemaOrText("A JSON Schema the answer must fit, as older images take it"),
  guided_regex: string("A regular expression the answer must match, as older images take it"),
  guided_choice: strings("The answers to choose from, as older images take them"),
  guided_grammar: string("A grammar of the answer, as older images take it"),
  guided_decoding_backend: string("What holds the answer to it, in older images"),
  guided_whitespace_pattern: string("A regular expression of the white space in JSON, as older images take it"),
  priority: int("Where in the queue: lower goes first, 0 is the default"),
  request_id: string("An id for the request; the completion's is made of it"),
  return_tokens_as_token_ids: boolean("Whether logprobs name tokens as token_id:<id>"),
  return_token_ids: boolean("Whether to return the ids of the prompt's and the answer's tokens"),
  cache_salt: string("Keeps the prompt's cache apart from those with another salt"),
  kv_transfer_params: object("For serving prefill and decode apart"),
  vllm_xargs: optional(
    Schema.Record(Schema.String, Schema.Union([XArg, Schema.Array(XArg)])),
    "Arguments for extensions of the model server: strings, numbers, and lists of them"
  )
}).annotate({ identifier: "ChatCompletionRequest" })
/** @since 0.1.0 */
export type ChatCompletionRequest = typeof ChatCompletionRequest.Type
