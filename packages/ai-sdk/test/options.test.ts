import type { JSONObject } from "@ai-sdk/provider"
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import { describe, expectTypeOf, it } from "vitest"
import type { ParadigmChatOptions } from "../src/index.ts"

/** Fields that the AI SDK has settings for, that belong to the call, or that are deprecated. */
type Elsewhere =
  | "model"
  | "messages"
  | "tools"
  | "tool_choice"
  | "stream"
  | "n"
  | "functions"
  | "function_call"
  | "max_tokens"
  | "temperature"
  | "top_p"
  | "top_k"
  | "stop"
  | "presence_penalty"
  | "frequency_penalty"
  | "seed"
  | "guided_json"
  | "guided_regex"
  | "guided_choice"
  | "guided_grammar"
  | "guided_decoding_backend"
  | "guided_whitespace_pattern"

describe("ParadigmChatOptions", () => {
  it("has every other field of the request, and no field that the request does not have", () => {
    expectTypeOf<keyof ParadigmChatOptions>().toEqualTypeOf<Exclude<keyof ChatCompletionRequest, Elsewhere>>()
  })

  it("has the types of the request", () => {
    expectTypeOf<Omit<ParadigmChatOptions, "response_format">>().toExtend<Partial<ChatCompletionRequest>>()
  })

  it("is accepted as providerOptions", () => {
    expectTypeOf<ParadigmChatOptions>().toExtend<JSONObject>()
  })
})
