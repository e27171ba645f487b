// Generated from the contract by openapi.ts: `pnpm openapi`.
import type { Codec } from "effect/Schema"
import * as messages from "./message.ts"
import * as requests from "./request.ts"
import * as responses from "./response.ts"
import { typed } from "./schema.ts"
import type * as Types from "./types.generated.ts"

export const
  ChatMessage: Codec<Types.ChatMessage> = /* @__PURE__ */ typed(messages.ChatMessage),
  ContentPart: Codec<Types.ContentPart> = /* @__PURE__ */ typed(messages.ContentPart),
  FunctionCallDelta: Codec<Types.FunctionCallDelta> = /* @__PURE__ */ typed(messages.FunctionCallDelta),
  Role: Codec<Types.Role> = /* @__PURE__ */ typed(messages.Role),
  ToolCall: Codec<Types.ToolCall> = /* @__PURE__ */ typed(messages.ToolCall),
  ChatCompletionRequest: Codec<Types.ChatCompletionRequest> = /* @__PURE__ */ typed(requests.ChatCompletionRequest),
  ResponseFormat: Codec<Types.ResponseFormat> = /* @__PURE__ */ typed(requests.ResponseFormat),
  StructuredOutputs: Codec<Types.StructuredOutputs> = /* @__PURE__ */ typed(requests.StructuredOutputs),
  Tool: Codec<Types.Tool> = /* @__PURE__ */ typed(requests.Tool),
  ToolChoice: Codec<Types.ToolChoice> = /* @__PURE__ */ typed(requests.ToolChoice),
  ChatCompletion: Codec<Types.ChatCompletion> = /* @__PURE__ */ typed(responses.ChatCompletion),
  ChatCompletionChoice: Codec<Types.ChatCompletionChoice> = /* @__PURE__ */ typed(responses.ChatCompletionChoice),
  ChatCompletionChunk: Codec<Types.ChatCompletionChunk> = /* @__PURE__ */ typed(responses.ChatCompletionChunk),
  ChatCompletionDelta: Codec<Types.ChatCompletionDelta> = /* @__PURE__ */ typed(responses.ChatCompletionDelta),
  ChatMessageResponse: Codec<Types.ChatMessageResponse> = /* @__PURE__ */ typed(responses.ChatMessageResponse),
  CompletionUsage: Codec<Types.CompletionUsage> = /* @__PURE__ */ typed(responses.CompletionUsage),
  FinishReason: Codec<Types.FinishReason> = /* @__PURE__ */ typed(responses.FinishReason),
  Logprobs: Codec<Types.Logprobs> = /* @__PURE__ */ typed(responses.Logprobs),
  TokenLogprob: Codec<Types.TokenLogprob> = /* @__PURE__ */ typed(responses.TokenLogprob),
  ToolCallDelta: Codec<Types.ToolCallDelta> = /* @__PURE__ */ typed(responses.ToolCallDelta)
