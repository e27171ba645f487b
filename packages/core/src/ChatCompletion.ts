/**
 * What goes over the wire of `POST /api/v3/chat/completions`: the request, its messages, the completion, the chunk of a stream, and usage.
 *
 * Every schema is open: a field that is not modelled here is kept as it came and sent as it was given. An optional field that is `undefined`
 * is left out of the request, and no field but `content` is ever sent as `null`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ToolCall } from "./contract/message.ts"
import { JsonObject, nullable, open, openString } from "./contract/schema.ts"

export type { OpenString } from "./contract/schema.ts"
export * from "./contract/request.ts"
export * from "./contract/message.ts"

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
  prompt_tokens_details: nullable(
    open({
      cached_tokens: nullable(Schema.Int, "Of them, those found in the cache"),
      audio_tokens: nullable(Schema.Int, "Of them, those of recordings")
    }),
    "What the prompt's tokens are"
  ),
  completion_tokens_details: nullable(
    open({
      reasoning_tokens: nullable(Schema.Int, "Of them, those the model thought with"),
      audio_tokens: nullable(Schema.Int, "Of them, those of recordings"),
      accepted_prediction_tokens: nullable(Schema.Int, "Predicted tokens that were right"),
      rejected_prediction_tokens: nullable(Schema.Int, "Predicted tokens that were wrong")
    }),
    "What the generated tokens are"
  )
}).annotate({ identifier: "CompletionUsage" })
/** @since 0.1.0 */
export type CompletionUsage = typeof CompletionUsage.Type

/**
 * Why generation of a choice ended.
 *
 * @category responses
 * @since 0.1.0
 */
export const FinishReason = openString(["stop", "length", "tool_calls", "function_call", "content_filter", "abort", "error", "repetition"])
/** @since 0.1.0 */
export type FinishReason = typeof FinishReason.Type

const tokenLogprob = {
  token: Schema.String.annotateKey({ description: "The token's text, or token_id:<id> where that was asked" }),
  logprob: Schema.Finite.annotateKey({ description: "Its log probability; -9999 stands for none" }),
  bytes: nullable(Schema.Array(Schema.Int), "Its UTF-8 bytes: a character may span several tokens")
}

/**
 * The log probability of one token of the answer, and of those that stood in its place.
 *
 * @category responses
 * @since 0.1.0
 */
export const TokenLogprob = open({
  ...tokenLogprob,
  top_logprobs: nullable(Schema.Array(open(tokenLogprob)), "The likeliest tokens at this position")
}).annotate({ identifier: "TokenLogprob" })
/** @since 0.1.0 */
export type TokenLogprob = typeof TokenLogprob.Type

/**
 * The log probabilities of a choice, or of what a chunk adds to it.
 *
 * @category responses
 * @since 0.1.0
 */
export const Logprobs = open({
  content: nullable(Schema.Array(TokenLogprob), "Of the tokens of the content"),
  refusal: nullable(Schema.Array(TokenLogprob), "Of the tokens of the refusal")
}).annotate({ identifier: "Logprobs" })
/** @since 0.1.0 */
export type Logprobs = typeof Logprobs.Type

const Annotation = open({
  type: nullable(Schema.String, "The kind of annotation, as url_citation"),
  url_citation: nullable(JsonObject, "The page that is cited, and where in the text")
})

const said = {
  content: nullable(Schema.String, "The text; null where only tools were called"),
  refusal: nullable(Schema.String, "The model's words where it refused"),
  reasoning: nullable(Schema.String, "What a reasoning model thought before it answered"),
  reasoning_content: nullable(Schema.String, "The same, as older images name it"),
  annotations: nullable(Schema.Union([Schema.Array(Annotation), Annotation]), "What the text refers to"),
  audio: nullable(
    open({
      id: nullable(Schema.String, "Its id, to refer to it in a later request"),
      data: nullable(Schema.String, "The recording, base64"),
      transcript: nullable(Schema.String, "What it says"),
      expires_at: nullable(Schema.Finite, "Until when it can be referred to, in Unix seconds")
    }),
    "The answer as a recording"
  )
}

/**
 * The message of a choice, as the model wrote it.
 *
 * @category responses
 * @since 0.1.0
 */
export const ChatMessageResponse = open({
  role: openString(["assistant", "tool"]).annotateKey({ description: "Who the message is from, usually assistant" }),
  ...said,
  tool_calls: nullable(Schema.Array(ToolCall), "The tools the model calls"),
  function_call: nullable(JsonObject, "The function the model calls (superseded by tool_calls)")
}).annotate({ identifier: "ChatMessageResponse" })
/** @since 0.1.0 */
export type ChatMessageResponse = typeof ChatMessageResponse.Type

const index = Schema.Natural.annotateKey({ description: "Which of the n choices this is, from 0" })

const choiceEnd = {
  finish_reason: nullable(FinishReason, "Why generation ended; null while it goes on"),
  stop_reason: nullable(Schema.Union([Schema.String, Schema.Int]), "The stop string or token id that ended it"),
  logprobs: nullable(Logprobs, "Log probabilities, where they were asked for"),
  token_ids: nullable(Schema.Array(Schema.Int), "The ids of its tokens, where they were asked for")
}

/**
 * One answer of a completion.
 *
 * @category responses
 * @since 0.1.0
 */
export const ChatCompletionChoice = open({
  index,
  message: ChatMessageResponse.annotateKey({ description: "The answer" }),
  ...choiceEnd
}).annotate({ identifier: "ChatCompletionChoice" })
/** @since 0.1.0 */
export type ChatCompletionChoice = typeof ChatCompletionChoice.Type

const envelope = <const Kind extends string>(kind: Kind) => ({
  id: Schema.String.annotateKey({ description: "Identifies the completion" }),
  object: openString([kind]).annotateKey({ description: "What this is" }),
  created: Schema.Int.annotateKey({ description: "When it was made, in Unix seconds" }),
  model: Schema.String.annotateKey({ description: "The model that answered" })
})

const rest = {
  usage: nullable(CompletionUsage, "The tokens that were counted"),
  system_fingerprint: nullable(Schema.String, "Stands for the model server's configuration"),
  service_tier: nullable(openString(["auto", "default", "flex", "scale", "priority"]), "The tier that served the request"),
  prompt_token_ids: nullable(Schema.Array(Schema.Int), "The ids of the prompt's tokens, where they were asked for")
}

const PromptLogprob = open({
  logprob: Schema.Finite.annotateKey({ description: "The token's log probability" }),
  rank: nullable(Schema.Int, "Its place among all tokens, from 1"),
  decoded_token: nullable(Schema.String, "Its text")
})

/**
 * A whole completion, the answer when nothing is streamed.
 *
 * @category responses
 * @since 0.1.0
 */
export const ChatCompletion = open({
  ...envelope("chat.completion"),
  choices: Schema.Array(ChatCompletionChoice).annotateKey({ description: "The answers, n of them" }),
  ...rest,
  prompt_logprobs: nullable(
    Schema.Array(Schema.NullOr(Schema.Record(Schema.String, PromptLogprob))),
    "For each token of the prompt, the likeliest by their ids; null for the first"
  ),
  kv_transfer_params: nullable(JsonObject, "For serving prefill and decode apart")
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
  index: Schema.Natural.annotateKey({ description: "Which of the message's calls this belongs to, from 0" }),
  id: nullable(Schema.String, "What the answering tool message refers to"),
  type: nullable(Schema.String, "The kind of tool, function"),
  function: nullable(
    open({
      name: nullable(Schema.String, "The function's name"),
      arguments: nullable(Schema.String, "The next piece of its arguments, a JSON text")
    }),
    "What is added to the call"
  )
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
  role: nullable(openString(["assistant", "tool"]), "Who the message is from, in the choice's first chunk"),
  ...said,
  tool_calls: nullable(Schema.Array(ToolCallDelta), "Pieces of tool calls"),
  function_call: nullable(
    open({
      name: nullable(Schema.String, "The function's name"),
      arguments: nullable(Schema.String, "The next piece of its arguments, a JSON text")
    }),
    "A piece of a function call (superseded by tool_calls)"
  )
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
  ...envelope("chat.completion.chunk"),
  choices: Schema.Array(
    open({ index, delta: ChatCompletionDelta.annotateKey({ description: "What is added to the choice" }), ...choiceEnd })
  ).annotateKey({ description: "What is added, by choice" }),
  ...rest
}).annotate({ identifier: "ChatCompletionChunk" })
/** @since 0.1.0 */
export type ChatCompletionChunk = typeof ChatCompletionChunk.Type
