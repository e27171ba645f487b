// Compiled, not run: the types of the contract.
import { expectTypeOf } from "vitest"
import type {
  AssistantMessage,
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionDelta,
  ChatCompletionRequest,
  ChatMessage,
  ChatMessageResponse,
  ContentPart,
  FinishReason,
  FunctionTool,
  FunctionToolCall,
  Logprobs,
  OpenString,
  ResponseFormat,
  Role,
  TokenLogprob,
  ToolCall,
  ToolChoice,
  ToolMessage
} from "../src/ChatCompletion.ts"
import type { ParadigmPromise } from "../src/ParadigmPromise.ts"

type Field<Name extends keyof ChatCompletionRequest> = ChatCompletionRequest[Name]
type Choice = ChatCompletion["choices"][number]
type Absent = null | undefined

// A union that absorbed its known members is `string`, which editors do not complete.
expectTypeOf<Extract<FinishReason, "stop" | "length" | "tool_calls">>().toEqualTypeOf<"stop" | "length" | "tool_calls">()
expectTypeOf<Extract<Role, "system" | "user" | "assistant" | "tool">>().toEqualTypeOf<"system" | "user" | "assistant" | "tool">()
expectTypeOf<Extract<ResponseFormat["type"], "json_schema">>().toEqualTypeOf<"json_schema">()
expectTypeOf<Extract<ContentPart["type"], "image_url" | "video_url">>().toEqualTypeOf<"image_url" | "video_url">()
expectTypeOf<Extract<Field<"reasoning_effort">, "none" | "max">>().toEqualTypeOf<"none" | "max">()
expectTypeOf<Extract<ToolChoice, "required">>().toEqualTypeOf<"required">()
expectTypeOf<Extract<ChatCompletion["object"], "chat.completion">>().toEqualTypeOf<"chat.completion">()
expectTypeOf<Extract<Choice["finish_reason"], "stop">>().toEqualTypeOf<"stop">()
expectTypeOf<string>().toExtend<FinishReason>()
expectTypeOf<string>().toExtend<Role>()
expectTypeOf<FinishReason>().toExtend<string>()
expectTypeOf<OpenString<"a">>().not.toEqualTypeOf<string>()

// An optional field is a value, null or undefined.
expectTypeOf<Field<"seed">>().toEqualTypeOf<number | bigint | Absent>()
expectTypeOf<Field<"temperature">>().toEqualTypeOf<number | Absent>()
expectTypeOf<Field<"stream">>().toEqualTypeOf<boolean | Absent>()
expectTypeOf<Field<"stop">>().toEqualTypeOf<string | ReadonlyArray<string> | Absent>()
expectTypeOf<Field<"stop_token_ids">>().toEqualTypeOf<ReadonlyArray<number> | Absent>()
expectTypeOf<Field<"function_call">>().toEqualTypeOf<string | Absent>()
expectTypeOf<Field<"logit_bias">>().toEqualTypeOf<{ readonly [token: string]: number } | Absent>()
expectTypeOf<Field<"model">>().toEqualTypeOf<string>()
expectTypeOf<Choice["message"]["content"]>().toEqualTypeOf<string | Absent>()
expectTypeOf<Choice["logprobs"]>().toEqualTypeOf<Logprobs | Absent>()
expectTypeOf<Logprobs["content"]>().toEqualTypeOf<ReadonlyArray<TokenLogprob> | Absent>()
expectTypeOf<TokenLogprob["logprob"]>().toEqualTypeOf<number>()
expectTypeOf<Choice["stop_reason"]>().toEqualTypeOf<string | number | Absent>()
expectTypeOf<ChatCompletionChunk["choices"][number]["delta"]>().toEqualTypeOf<ChatCompletionDelta>()

// Types are closed: they have no index signature.
expectTypeOf<string>().not.toExtend<keyof ChatCompletionRequest>()
expectTypeOf<string>().not.toExtend<keyof ChatCompletion>()

const model = "alfred"
const messages: ReadonlyArray<ChatMessage> = []

export const request: ChatCompletionRequest = {
  model,
  messages: [
    { role: "developer", content: "Be brief." },
    {
      role: "user",
      content: [
        { type: "text", text: "What is it?" },
        { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } },
        { type: "input_audio", input_audio: { data: "AA==", format: "wav" } },
        { type: "thinking", thinking: "It is…", closed: true }
      ]
    },
    { role: "assistant", content: null, tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }] },
    { role: "tool", content: "42", tool_call_id: "1" },
    { role: "assistant", content: null, tool_calls: [{ id: "2", type: "custom", custom: { name: "g", input: "text" } }] },
    { role: "function", name: "f", content: null }
  ],
  seed: 9223372036854775807n,
  temperature: undefined,
  top_p: null,
  stop: "a",
  tools: [
    { type: "function", function: { name: "f", defer_loading: true }, defer_loading: true },
    { type: "custom", custom: { name: "g", description: "d", format: { type: "text" } } }
  ],
  tool_choice: { type: "custom", custom: { name: "g" } },
  structured_outputs: { choice: ["a", "b"] },
  vllm_xargs: { a: 1, b: ["c", 2] },
  repetition_detection: { max_pattern_size: 8, min_count: 3 }
}

// The typos of requests.
// @ts-expect-error temprature
export const typoOfRequest: ChatCompletionRequest = { model, messages, temprature: 1 }
// @ts-expect-error contnt
export const typoOfMessage: ChatCompletionRequest = { model, messages: [{ role: "user", contnt: "a" }] }
// @ts-expect-error descripton
export const typoOfTool: FunctionTool = { type: "function", function: { name: "f", descripton: "d" } }
// @ts-expect-error include_usge
export const typoOfOptions: ChatCompletionRequest = { model, messages, stream_options: { include_usge: true } }
// @ts-expect-error json_schem
export const typoOfFormat: ChatCompletionRequest = { model, messages, response_format: { type: "json_schema", json_schem: { name: "a" } } }
// The typos of responses.
// @ts-expect-error choises
export const typoOfResponse = (completion: ChatCompletion) => completion.choises
// @ts-expect-error contnt
export const typoOfDelta = (chunk: ChatCompletionChunk) => chunk.choices[0]?.delta.contnt

// A message has the fields of its role.
// @ts-expect-error a user calls no tools
export const userCalls: ChatMessage = { role: "user", content: "a", tool_calls: [] }
// @ts-expect-error a user's message has a content
export const noContent: ChatMessage = { role: "user", content: null }
// @ts-expect-error a tool reports no reasoning
export const toolReasons: ChatMessage = { role: "tool", content: "a", tool_call_id: "1", reasoning: "b" }
// @ts-expect-error an unknown role
export const unknownRole: ChatMessage = { role: "critic", content: "a" }
// @ts-expect-error a message has a role
export const noRole: ChatMessage = { content: "a" }
// @ts-expect-error a part has the fields of its type
export const wrongPart: ContentPart = { type: "text", image_url: "u" }
// @ts-expect-error a part's text is a string
export const numberPart: ContentPart = { type: "text", text: 5 }
// @ts-expect-error a model is required
export const noModel: ChatCompletionRequest = { messages: [] }
// @ts-expect-error a required field is not null
export const nullModel: ChatCompletionRequest = { model: null, messages: [] }
// @ts-expect-error a seed is an integer
export const textSeed: ChatCompletionRequest = { model, messages, seed: "1" }

expectTypeOf<Extract<ChatMessage, { role: "assistant" }>>().toEqualTypeOf<AssistantMessage>()
expectTypeOf<Extract<ChatMessage, { role: "tool" }>>().toEqualTypeOf<ToolMessage>()
expectTypeOf<Extract<ToolCall, { type: "function" }>>().toEqualTypeOf<FunctionToolCall>()

// A request accepts the message of a response.
expectTypeOf<ChatMessageResponse>().toExtend<AssistantMessage>()

export const ask = async (paradigm: ParadigmPromise) => {
  const conversation: Array<ChatMessage> = [{ role: "user", content: "What is the weather?" }]
  const completion = await paradigm.chat.completions.create({ model, messages: conversation })
  const [choice] = completion.choices
  if (choice === undefined) return
  conversation.push(choice.message)
  for (const call of choice.message.tool_calls ?? []) {
    conversation.push({ role: "tool", tool_call_id: call.id, content: call.type === "function" ? call.function.name : call.custom.input })
  }
}
