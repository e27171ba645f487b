// Completions, chunks of a stream and usage.
import * as Schema from "effect/Schema"
import { FunctionCallDelta, generated, ToolCall } from "./message.ts"
import { alias, deprecated, group, int, ints, model, number, object, openString, optional, required, string, tag } from "./schema.ts"

const PromptTokensDetails = model("PromptTokensDetails", "Tokens of the prompt by kind.", {
  cached_tokens: int("Tokens found in the prefix cache."),
  created_cache_tokens: int("Tokens written to the prefix cache."),
  audio_tokens: int("Audio tokens."),
  multimodal_tokens: optional(Schema.Record(Schema.String, Schema.Int), "Tokens by modality, for example `image`.")
})

const CompletionTokensDetails = model("CompletionTokensDetails", "Generated tokens by kind.", {
  reasoning_tokens: int("Reasoning tokens."),
  audio_tokens: int("Audio tokens."),
  accepted_prediction_tokens: int("Predicted tokens that were accepted."),
  rejected_prediction_tokens: int("Predicted tokens that were rejected.")
})

export const CompletionUsage = model("CompletionUsage", "Tokens counted by the model server.", {
  prompt_tokens: required(Schema.Int, "Tokens of the prompt."),
  completion_tokens: required(Schema.Int, "Generated tokens."),
  total_tokens: required(Schema.Int, "Sum of both."),
  prompt_tokens_details: optional(PromptTokensDetails, "Tokens of the prompt by kind."),
  completion_tokens_details: optional(CompletionTokensDetails, "Generated tokens by kind.")
})

export const FinishReason = alias(
  "FinishReason",
  "The reason why generation of a choice ended.",
  openString(["stop", "length", "tool_calls", "function_call", "content_filter", "abort", "error", "repetition"])
)

const tokenLogprob = group("TokenFields", "A token and its log probability.", {
  token: required(Schema.String, "Text of the token, or `token_id:<id>`."),
  logprob: required(Schema.Finite, "Log probability. -9999 if there is none."),
  bytes: ints("UTF-8 bytes. A character may span several tokens.")
})

const TopLogprob = model("TopLogprob", "A likely token.", tokenLogprob)

export const TokenLogprob = model("TokenLogprob", "A generated token and its log probability.", {
  ...tokenLogprob,
  top_logprobs: optional(Schema.Array(TopLogprob), "The most likely tokens at this position.")
})

export const Logprobs = model("Logprobs", "Log probabilities of a choice.", {
  content: optional(Schema.Array(TokenLogprob), "Tokens of the content."),
  refusal: optional(Schema.Array(TokenLogprob), "Tokens of the refusal.")
})

export const ChatMessageResponse = model("ChatMessageResponse", "The message of a choice. A request accepts it unchanged.", {
  role: tag("assistant", "Role of the author."),
  content: string("Text. Null when the message only calls tools."),
  tool_calls: optional(Schema.Array(ToolCall), "Tool calls of the message."),
  ...generated,
  function_call: deprecated(FunctionCallDelta, "Name and arguments of the called function.", "Use `tool_calls`.")
})

const choice = group("ChoiceFields", "Fields of a choice.", {
  index: required(Schema.Natural, "Index of the choice."),
  finish_reason: optional(FinishReason, "Reason of the end. Null before it."),
  stop_reason: optional(Schema.Union([Schema.String, Schema.Int]), "Stop string or token id at the end."),
  logprobs: optional(Logprobs, "Log probabilities, with `logprobs`."),
  token_ids: ints("Ids of the tokens, with `return_token_ids`.")
})

export const ChatCompletionChoice = model("ChatCompletionChoice", "One choice of a completion.", {
  message: required(ChatMessageResponse, "The generated message."),
  ...choice,
  routed_experts: string("Expert routing of each token, as a base64 .npy file.")
})

const RequestMetrics = model("RequestMetrics", "Timings measured by the model server.", {
  time_to_first_token_ms: number("Time to the first token, in milliseconds."),
  generation_time_ms: number("Time of generation, in milliseconds."),
  queue_time_ms: number("Time in the queue, in milliseconds."),
  mean_itl_ms: number("Mean time between tokens, in milliseconds."),
  tokens_per_second: number("Generated tokens per second."),
  speculative_decoding: object("Acceptance of draft tokens. Experimental in vLLM.")
})

const kind = (value: string) => required(openString([value]), "Kind of the object.")

const completion = group("CompletionFields", "Fields of a completion.", {
  id: required(Schema.String, "Identifier of the completion."),
  created: required(Schema.Int, "Creation time, in Unix seconds."),
  model: required(Schema.String, "Name of the model."),
  usage: optional(CompletionUsage, "Token usage."),
  system_fingerprint: string("Fingerprint of the model server's configuration."),
  service_tier: optional(openString(["auto", "default", "flex", "scale", "priority"]), "Tier that served the request."),
  prompt_token_ids: ints("Ids of the prompt's tokens, with `return_token_ids`."),
  prompt_text: string("Prompt made by the chat template, with `return_prompt_text`."),
  metrics: optional(RequestMetrics, "Timings measured by the model server.")
})

const PromptLogprob = model("PromptLogprob", "A token of the prompt.", {
  logprob: required(Schema.Finite, "Log probability."),
  rank: int("Rank among all tokens, from 1."),
  decoded_token: string("Text of the token.")
})

export const ChatCompletion = model("ChatCompletion", "A chat completion.", {
  object: kind("chat.completion"),
  choices: required(Schema.Array(ChatCompletionChoice), "The choices, ordered by index."),
  ...completion,
  prompt_logprobs: optional(
    Schema.Array(Schema.NullOr(Schema.Record(Schema.String, PromptLogprob))),
    "Log probabilities by token id, for each position of the prompt."
  ),
  kv_transfer_params: object("Parameters of disaggregated prefill."),
  ec_transfer_params: object("Parameters of disaggregated encoding.")
})

const CustomCallDelta = model("CustomCallDelta", "Fragment of a custom tool call.", {
  name: string("Name of the custom tool."),
  input: string("Next fragment of the input.")
})

export const ToolCallDelta = model("ToolCallDelta", "Fragment of a tool call.", {
  index: required(Schema.Natural, "Index of the call. Fragments with the same index form one call."),
  id: string("Identifier of the call, in its first fragment."),
  type: optional(openString(["function", "custom"]), "Kind of the tool."),
  function: optional(FunctionCallDelta, "Fragment of the function call."),
  custom: optional(CustomCallDelta, "Fragment of the custom tool call.")
})

export const ChatCompletionDelta = model("ChatCompletionDelta", "Part of a message in a chunk.", {
  role: optional(openString(["assistant", "tool"]), "Role of the author, in a choice's first chunk."),
  content: string("Next fragment of the text."),
  tool_calls: optional(Schema.Array(ToolCallDelta), "Fragments of tool calls."),
  ...generated,
  function_call: deprecated(FunctionCallDelta, "Fragment of a function call.", "Use `tool_calls`.")
})

const ChatCompletionChunkChoice = model("ChatCompletionChunkChoice", "Addition of a chunk to a choice.", {
  delta: required(ChatCompletionDelta, "Addition to the message."),
  ...choice
})

export const ChatCompletionChunk = model("ChatCompletionChunk", "One event of a stream. The chunk with the usage has no choices.", {
  object: kind("chat.completion.chunk"),
  choices: required(Schema.Array(ChatCompletionChunkChoice), "Additions by choice."),
  ...completion
})
