/**
 * What goes over the wire of `POST /api/v3/chat/completions`: the request, its messages, the completion, the chunk of a stream, and usage.
 *
 * Every schema is open: a field that is not modelled here is kept as it came and sent as it was given. An optional field that is `undefined`
 * is left out of the request, and no field but `content` is ever sent as `null`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const open = <const Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.StructWithRest(Schema.Struct(fields), [Schema.Record(Schema.String, Schema.Unknown)])

const JsonObject = Schema.Record(Schema.String, Schema.Unknown)

/** A string whose known values are completed by the editor, and whose unknown ones are kept. */
export type OpenString<Known extends string> = Known | (string & {})

const openString = <const Known extends string>(known: ReadonlyArray<Known>): Schema.Codec<OpenString<Known>, string> =>
  Schema.Union([Schema.Literals(known), Schema.String]).annotate({ expected: "string" })

/** Present on the wire as a value, as `null`, or not at all: model servers do all three. */
const nullish = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))

/**
 * Who a message is from.
 *
 * @category messages
 * @since 0.1.0
 */
export const Role = openString(["system", "user", "assistant", "function", "tool"])
/** @since 0.1.0 */
export type Role = typeof Role.Type

/**
 * A call that the model makes to a tool. `arguments` is the JSON text exactly as the model wrote it: it may be invalid JSON.
 *
 * @category messages
 * @since 0.1.0
 */
export const ToolCall = open({
  id: Schema.optional(Schema.String),
  type: Schema.optional(Schema.String),
  function: open({ name: Schema.String, arguments: Schema.String })
}).annotate({ identifier: "ToolCall" })
/** @since 0.1.0 */
export type ToolCall = typeof ToolCall.Type

/**
 * One part of a message's content: text, an image by URL, or what else the model takes.
 *
 * @category messages
 * @since 0.1.0
 */
export const ContentPart = open({
  type: Schema.optional(openString(["text", "image_url", "input_audio", "video_url", "refusal"])),
  text: Schema.optional(Schema.String),
  image_url: Schema.optional(Schema.Union([open({ url: Schema.String, detail: Schema.optional(Schema.String) }), Schema.String]))
}).annotate({ identifier: "ContentPart" })
/** @since 0.1.0 */
export type ContentPart = typeof ContentPart.Type

/**
 * A message of the conversation, as it is sent.
 *
 * @category messages
 * @since 0.1.0
 */
export const ChatMessage = open({
  role: Role.annotateKey({ description: "Who the message is from" }),
  content: Schema.optional(Schema.NullOr(Schema.Union([Schema.String, Schema.Array(ContentPart)]))).annotateKey({
    description: "The text, or a list of parts; null where an assistant only called tools"
  }),
  name: Schema.optional(Schema.String).annotateKey({ description: "The author's name" }),
  function_call: Schema.optional(JsonObject).annotateKey({ description: "The function an assistant called (superseded by tool_calls)" }),
  tool_calls: Schema.optional(Schema.Array(ToolCall)).annotateKey({ description: "The tools an assistant called" }),
  tool_call_id: Schema.optional(Schema.String).annotateKey({ description: "The call a tool message answers" })
}).annotate({ identifier: "ChatMessage" })
/** @since 0.1.0 */
export type ChatMessage = typeof ChatMessage.Type

/**
 * A tool the model may call: its name, what it does, and its parameters as a JSON Schema.
 *
 * @category requests
 * @since 0.1.0
 */
export const Tool = open({
  type: Schema.String,
  function: Schema.optional(
    open({ name: Schema.String, description: Schema.optional(Schema.String), parameters: Schema.optional(JsonObject) })
  )
}).annotate({ identifier: "Tool" })
/** @since 0.1.0 */
export type Tool = typeof Tool.Type

const int = (description: string) => Schema.optional(Schema.Int).annotateKey({ description })
const number = (description: string) => Schema.optional(Schema.Finite).annotateKey({ description })
const boolean = (description: string) => Schema.optional(Schema.Boolean).annotateKey({ description })
const string = (description: string) => Schema.optional(Schema.String).annotateKey({ description })
const object = (description: string) => Schema.optional(JsonObject).annotateKey({ description })

/**
 * What is asked of the endpoint. `model` and `messages` are required; everything else has the model server's default.
 *
 * The first group is the endpoint's specification, the second what its vLLM-based images take beyond it.
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
  stop: Schema.optional(Schema.Array(Schema.String)).annotateKey({ description: "Up to 4 strings at which generation ends" }),
  presence_penalty: number("Penalty for tokens that appeared at all, -2 to 2"),
  frequency_penalty: number("Penalty for tokens by how often they appeared, -2 to 2"),
  logit_bias: object("Token id to bias, -100 to 100"),
  user: string("An identifier of the end user"),
  functions: Schema.optional(Schema.Array(JsonObject)).annotateKey({ description: "Functions the model may call (superseded by tools)" }),
  function_call: string("Which function to call (superseded by tool_choice)"),

  max_completion_tokens: int("The most tokens to generate; wins over max_tokens"),
  stream_options: Schema.optional(
    open({ include_usage: Schema.optional(Schema.Boolean), continuous_usage_stats: Schema.optional(Schema.Boolean) })
  ).annotateKey({ description: "What a stream says beyond its tokens; only with stream" }),
  response_format: Schema.optional(
    open({
      type: openString(["text", "json_object", "json_schema", "structural_tag"]),
      json_schema: Schema.optional(open({ name: Schema.String, schema: Schema.optional(JsonObject) }))
    })
  ).annotateKey({ description: "The shape the answer must have" }),
  tools: Schema.optional(Schema.Array(Tool)).annotateKey({ description: "Tools the model may call" }),
  tool_choice: Schema.optional(
    Schema.Union([openString(["none", "auto", "required"]), open({ type: Schema.String, function: open({ name: Schema.String }) })])
  ).annotateKey({ description: "Whether and which tool to call" }),
  parallel_tool_calls: boolean("Whether several tools may be called at once"),
  reasoning_effort: Schema.optional(openString(["none", "minimal", "low", "medium", "high"])),
  logprobs: boolean("Whether to return log probabilities"),
  top_logprobs: int("How many alternatives a position, -1 for all; only with logprobs"),
  top_k: int("Sample among the k likeliest tokens"),
  min_p: number("The least probability, relative to the likeliest token"),
  repetition_penalty: number("Penalty for repetition, above 0; 1 is none")
}).annotate({ identifier: "ChatCompletionRequest" })
/** @since 0.1.0 */
export type ChatCompletionRequest = typeof ChatCompletionRequest.Type

/**
 * Tokens counted by the model server.
 *
 * @category responses
 * @since 0.1.0
 */
export const CompletionUsage = open({
  prompt_tokens: Schema.Int.annotateKey({ description: "Tokens of the prompt" }),
  completion_tokens: Schema.Int.annotateKey({ description: "Tokens generated" }),
  total_tokens: Schema.Int.annotateKey({ description: "Both together" }),
  prompt_tokens_details: nullish(open({ cached_tokens: nullish(Schema.Int) })),
  completion_tokens_details: nullish(open({ reasoning_tokens: nullish(Schema.Int) }))
}).annotate({ identifier: "CompletionUsage" })
/** @since 0.1.0 */
export type CompletionUsage = typeof CompletionUsage.Type

/**
 * Why generation of a choice ended.
 *
 * @category responses
 * @since 0.1.0
 */
export const FinishReason = openString(["stop", "length", "tool_calls", "function_call", "content_filter"])
/** @since 0.1.0 */
export type FinishReason = typeof FinishReason.Type

/**
 * The message of a choice, as the model wrote it.
 *
 * @category responses
 * @since 0.1.0
 */
export const ChatMessageResponse = open({
  role: Schema.String.annotateKey({ description: "Who the message is from, usually assistant" }),
  content: nullish(Schema.String).annotateKey({ description: "The text; null where only tools were called" }),
  function_call: nullish(JsonObject),
  tool_calls: nullish(Schema.Array(ToolCall)),
  refusal: nullish(Schema.String),
  reasoning: nullish(Schema.String).annotateKey({ description: "What a reasoning model thought before it answered" }),
  reasoning_content: nullish(Schema.String).annotateKey({ description: "The same, as older images name it" })
}).annotate({ identifier: "ChatMessageResponse" })
/** @since 0.1.0 */
export type ChatMessageResponse = typeof ChatMessageResponse.Type

const choiceEnd = {
  finish_reason: nullish(FinishReason).annotateKey({ description: "Why generation ended" }),
  stop_reason: nullish(Schema.Union([Schema.String, Schema.Int])).annotateKey({
    description: "The stop string or token id that ended it"
  }),
  logprobs: nullish(JsonObject)
}

/**
 * One answer of a completion.
 *
 * @category responses
 * @since 0.1.0
 */
export const ChatCompletionChoice = open({
  index: Schema.Int.annotateKey({ description: "Which of the n choices this is, from 0" }),
  message: ChatMessageResponse,
  ...choiceEnd
}).annotate({ identifier: "ChatCompletionChoice" })
/** @since 0.1.0 */
export type ChatCompletionChoice = typeof ChatCompletionChoice.Type

const envelope = {
  id: Schema.String.annotateKey({ description: "Identifies the completion" }),
  object: Schema.String,
  created: Schema.Int.annotateKey({ description: "When it was made, in Unix seconds" }),
  model: Schema.String.annotateKey({ description: "The model that answered" })
}

/**
 * A whole completion, the answer when nothing is streamed.
 *
 * @category responses
 * @since 0.1.0
 */
export const ChatCompletion = open({
  ...envelope,
  choices: Schema.Array(ChatCompletionChoice),
  usage: Schema.optional(Schema.NullOr(CompletionUsage)),
  system_fingerprint: nullish(Schema.String),
  service_tier: nullish(Schema.String)
}).annotate({ identifier: "ChatCompletion" })
/** @since 0.1.0 */
export type ChatCompletion = typeof ChatCompletion.Type

/**
 * A piece of a tool call in a stream: pieces with one `index` belong together, their `arguments` are to be joined.
 *
 * @category streams
 * @since 0.1.0
 */
export const ToolCallDelta = open({
  index: Schema.Int,
  id: nullish(Schema.String),
  type: nullish(Schema.String),
  function: nullish(open({ name: nullish(Schema.String), arguments: nullish(Schema.String) }))
}).annotate({ identifier: "ToolCallDelta" })
/** @since 0.1.0 */
export type ToolCallDelta = typeof ToolCallDelta.Type

/**
 * What a chunk adds to one choice.
 *
 * @category streams
 * @since 0.1.0
 */
export const ChatCompletionDelta = open({
  role: nullish(Schema.String),
  content: nullish(Schema.String),
  function_call: nullish(open({ name: nullish(Schema.String), arguments: nullish(Schema.String) })),
  tool_calls: nullish(Schema.Array(ToolCallDelta)),
  refusal: nullish(Schema.String),
  reasoning: nullish(Schema.String),
  reasoning_content: nullish(Schema.String)
}).annotate({ identifier: "ChatCompletionDelta" })
/** @since 0.1.0 */
export type ChatCompletionDelta = typeof ChatCompletionDelta.Type

/**
 * One event of a stream. `choices` is empty in the chunk that carries the final `usage`.
 *
 * @category streams
 * @since 0.1.0
 */
export const ChatCompletionChunk = open({
  ...envelope,
  choices: Schema.Array(open({ index: Schema.Int, delta: ChatCompletionDelta, ...choiceEnd })),
  usage: Schema.optional(Schema.NullOr(CompletionUsage)),
  system_fingerprint: nullish(Schema.String),
  service_tier: nullish(Schema.String)
}).annotate({ identifier: "ChatCompletionChunk" })
/** @since 0.1.0 */
export type ChatCompletionChunk = typeof ChatCompletionChunk.Type
