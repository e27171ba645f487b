// Compiled, not run: what an editor and a compiler know of the contract.
import { expectTypeOf } from "vitest"
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionDelta,
  ChatCompletionRequest,
  ChatMessage,
  ContentPart,
  FinishReason,
  Logprobs,
  OpenString,
  ResponseFormat,
  Role,
  TokenLogprob,
  ToolChoice
} from "../src/ChatCompletion.ts"

type Field<Name extends keyof ChatCompletionRequest> = ChatCompletionRequest[Name]
type Choice = ChatCompletion["choices"][number]

// A union that has swallowed its known members is `string` itself, and completes nothing.
expectTypeOf<Extract<FinishReason, "stop" | "length" | "tool_calls">>().toEqualTypeOf<"stop" | "length" | "tool_calls">()
expectTypeOf<Extract<Role, "system" | "user" | "assistant" | "tool">>().toEqualTypeOf<"system" | "user" | "assistant" | "tool">()
expectTypeOf<Extract<ResponseFormat["type"], "json_schema">>().toEqualTypeOf<"json_schema">()
expectTypeOf<Extract<ContentPart["type"], "image_url" | "video_url">>().toEqualTypeOf<"image_url" | "video_url">()
expectTypeOf<Extract<Field<"reasoning_effort">, "low">>().toEqualTypeOf<"low">()
expectTypeOf<Extract<ToolChoice, "required">>().toEqualTypeOf<"required">()
expectTypeOf<Extract<ChatCompletion["object"], "chat.completion">>().toEqualTypeOf<"chat.completion">()
expectTypeOf<Extract<Choice["finish_reason"], "stop">>().toEqualTypeOf<"stop">()
expectTypeOf<string>().toExtend<FinishReason>()
expectTypeOf<string>().toExtend<Role>()
expectTypeOf<FinishReason>().toExtend<string>()
expectTypeOf<OpenString<"a">>().not.toEqualTypeOf<string>()

// Fields are what they say, and absent or undefined but never null.
expectTypeOf<Field<"seed">>().toEqualTypeOf<number | bigint | undefined>()
expectTypeOf<Field<"temperature">>().toEqualTypeOf<number | undefined>()
expectTypeOf<Field<"stream">>().toEqualTypeOf<boolean | undefined>()
expectTypeOf<Field<"stop">>().toEqualTypeOf<ReadonlyArray<string> | undefined>()
expectTypeOf<Field<"stop_token_ids">>().toEqualTypeOf<ReadonlyArray<number> | undefined>()
expectTypeOf<Field<"function_call">>().toEqualTypeOf<string | undefined>()
expectTypeOf<Field<"logit_bias">>().toEqualTypeOf<{ readonly [token: string]: number } | undefined>()
expectTypeOf<Field<"a field of tomorrow">>().toEqualTypeOf<unknown>()
expectTypeOf<ChatMessage["content"]>().toEqualTypeOf<string | ReadonlyArray<ContentPart> | null | undefined>()
expectTypeOf<ChatMessage["name"]>().toEqualTypeOf<string | undefined>()

expectTypeOf<Choice["message"]["content"]>().toEqualTypeOf<string | null | undefined>()
expectTypeOf<Choice["logprobs"]>().toEqualTypeOf<Logprobs | null | undefined>()
expectTypeOf<Logprobs["content"]>().toEqualTypeOf<ReadonlyArray<TokenLogprob> | null | undefined>()
expectTypeOf<TokenLogprob["logprob"]>().toEqualTypeOf<number>()
expectTypeOf<Choice["stop_reason"]>().toEqualTypeOf<string | number | null | undefined>()
expectTypeOf<ChatCompletionChunk["choices"][number]["delta"]>().toEqualTypeOf<ChatCompletionDelta>()

export const request: ChatCompletionRequest = {
  model: "alfred",
  messages: [
    { role: "developer", content: "Be brief." },
    {
      role: "user",
      content: [
        { type: "text", text: "What is it?" },
        { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } },
        { type: "input_audio", input_audio: { data: "AA==", format: "wav" } },
        { type: "of another model", anything: 1 }
      ]
    },
    { role: "assistant", content: null, tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }] },
    { role: "tool", content: "42", tool_call_id: "1" },
    { role: "a role of tomorrow", content: "" }
  ],
  seed: 9223372036854775807n,
  temperature: undefined,
  tool_choice: { type: "function", function: { name: "f" } },
  structured_outputs: { choice: ["a", "b"] },
  vllm_xargs: { a: 1, b: ["c", 2] },
  "a field of tomorrow": { a: null }
}

// @ts-expect-error a model is required
export const noModel: ChatCompletionRequest = { messages: [] }
// @ts-expect-error null is not sent
export const nullField: ChatCompletionRequest = { model: "m", messages: [], temperature: null }
// @ts-expect-error a list of texts
export const oneStop: ChatCompletionRequest = { model: "m", messages: [], stop: "a" }
// @ts-expect-error a message has a role
export const noRole: ChatMessage = { content: "a" }
// @ts-expect-error a part's text is a text
export const wrongPart: ContentPart = { type: "text", text: 5 }
// @ts-expect-error a seed is an integer
export const textSeed: ChatCompletionRequest = { model: "m", messages: [], seed: "1" }
