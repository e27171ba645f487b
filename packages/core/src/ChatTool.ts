/**
 * Tools whose parameters are Effect Schemas: their definitions as the request takes them, and the model's calls with typed arguments.
 *
 * ```ts
 * const weather = ChatTool.make({
 *   name: "get_weather",
 *   description: "The weather in a city, now",
 *   parameters: Schema.Struct({ city: Schema.String })
 * })
 * const clock = ChatTool.make({ name: "get_time", description: "The time", parameters: Schema.Struct({}) })
 *
 * const completion = yield* client.createChatCompletion({ model, messages, tools: [weather.definition, clock.definition] })
 * const answers: Array<ChatMessage> = []
 * for (const call of yield* ChatTool.decodeCalls(completion, [weather, clock])) {
 *   const result = call.name === "get_weather" ? yield* lookUp(call.arguments.city) : yield* now
 *   answers.push(ChatTool.toolMessage(call, result))
 * }
 * const next = [...messages, ChatTool.assistantMessage(completion), ...answers]
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { ChatCompletion, ChatMessage, Tool, ToolCall } from "./ChatCompletion.ts"
import { cutOff, decodeText, jsonSchemaOf } from "./tools/modelJson.ts"
import { AnswerMismatch, excerpt, InvalidRequest, ParadigmError } from "./ParadigmError.ts"

/**
 * A tool that the model may call.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatTool<out Name extends string, out Parameters extends Schema.Constraint> {
  readonly name: Name
  readonly parameters: Parameters
  /** The tool as a request's `tools` takes it. */
  readonly definition: Tool
}

/**
 * A tool of any name and parameters.
 *
 * @category models
 * @since 0.1.0
 */
export type Any = ChatTool<string, Schema.Constraint>

/**
 * A call that the model made to one of the tools: a union with a member for each, told apart by `name`.
 *
 * @category models
 * @since 0.1.0
 */
export type Call<T extends Any> =
  T extends ChatTool<infer Name, infer Parameters>
    ? {
        /** What the answer refers to. Model servers give one; some others do not. */
        readonly id: string | undefined
        readonly name: Name
        readonly arguments: Parameters["Type"]
      }
    : never

/**
 * Defines a tool. Throws a `ParadigmError` with the reason `InvalidRequest` when the parameters have no JSON form or are no object.
 *
 * ```ts
 * const weather = ChatTool.make({
 *   name: "get_weather",
 *   description: "The weather in a city, now",
 *   parameters: Schema.Struct({ city: Schema.String.annotateKey({ description: "Its English name" }) })
 * })
 * const request = { model, messages, tools: [weather.definition] }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Name extends string, Parameters extends Schema.Constraint & { readonly Encoded: object }>(options: {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: Name
  /** What it does and when to call it, for the model. */
  readonly description?: string | undefined
  readonly parameters: Parameters
}): ChatTool<Name, Parameters> => {
  const { description, name, parameters } = options
  const field = `tools.${name}.parameters`
  const schema = jsonSchemaOf(parameters, field)
  if (schema["type"] !== "object" && schema["anyOf"] === undefined) {
    const reason = new InvalidRequest({ detail: "a tool takes its arguments by name", fields: { [field]: ["Expected object"] } })
    throw new ParadigmError({ reason })
  }
  const definition: Tool = {
    type: "function",
    function: { name, ...(description === undefined ? {} : { description }), parameters: schema }
  }
  return { name, parameters, definition }
}

const readCall = <T extends Any>(
  { function: { arguments: text, name }, id }: ToolCall,
  tools: ReadonlyArray<T>
): Effect.Effect<Call<T>, AnswerMismatch, T["parameters"]["DecodingServices"]> => {
  const mismatch = (detail: string) => new AnswerMismatch({ detail, text: excerpt(text) })
  const tool = tools.find((tool) => tool.name === name)
  if (tool === undefined) {
    const known = tools.map((tool) => tool.name).join(", ")
    return Effect.fail(mismatch(`there is no tool ${excerpt(name)}${known === "" ? "" : `; known are ${known}`}`))
  }
  const { parameters }: { readonly parameters: T["parameters"] } = tool
  // Model servers that stream a call without arguments may send none of their text: https://github.com/vllm-project/vllm/issues/28806
  return decodeText(parameters, text.trim() === "" ? "{}" : text).pipe(
    Effect.map((value) => ({ id, name, arguments: value }) as Call<T>),
    Effect.mapError((detail) => mismatch(`arguments of ${name}: ${detail}`))
  )
}

/**
 * Decodes one call. Fails with `AnswerMismatch`, which names the tool and the argument, when the tool is not one of these or the arguments do
 * not fit: its `detail` can be sent back to the model, as the tool's answer, to let it correct the call.
 *
 * ```ts
 * const call = yield* ChatTool.decodeCall(toolCall, [weather, clock])
 * if (call.name === "get_weather") call.arguments.city // string
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeCall = <T extends Any>(
  call: ToolCall,
  tools: ReadonlyArray<T>
): Effect.Effect<Call<T>, ParadigmError, T["parameters"]["DecodingServices"]> =>
  Effect.mapError(readCall(call, tools), (reason) => new ParadigmError({ reason }))

/**
 * Decodes the calls of a completion's first choice, in their order; none where it called no tool. Fails as {@link decodeCall} does at the
 * first call that is wrong, with the completion in `partial`.
 *
 * ```ts
 * for (const call of yield* ChatTool.decodeCalls(completion, [weather, clock])) {
 *   switch (call.name) {
 *     case "get_weather": // call.arguments is { city: string }
 *     case "get_time": // call.arguments is {}
 *   }
 * }
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeCalls = <T extends Any>(
  completion: ChatCompletion,
  tools: ReadonlyArray<T>
): Effect.Effect<ReadonlyArray<Call<T>>, ParadigmError, T["parameters"]["DecodingServices"]> => {
  const choice = completion.choices[0]
  const cut = cutOff(choice?.finish_reason)
  return Effect.mapError(
    Effect.forEach(choice?.message.tool_calls ?? [], (call) => readCall(call, tools)),
    ({ detail, text }) =>
      new ParadigmError({
        reason: new AnswerMismatch({ detail: cut === undefined ? detail : `${cut}; ${detail}`, text }),
        partial: completion,
        usage: completion.usage ?? undefined
      })
  )
}

/**
 * The message that answers a call. What is not a string is written as JSON.
 *
 * ```ts
 * ChatTool.toolMessage(call, { celsius: 21 }) // { role: "tool", tool_call_id: call.id, content: '{"celsius":21}' }
 * ```
 *
 * @category messages
 * @since 0.1.0
 */
export const toolMessage = (call: { readonly id?: string | undefined }, content: Schema.Json): ChatMessage => ({
  role: "tool",
  ...(call.id === undefined ? {} : { tool_call_id: call.id }),
  content: typeof content === "string" ? content : JSON.stringify(content)
})

/**
 * The message of a completion's first choice as the next request takes it, to stand before the answers to its calls. Model servers tell what
 * a message has not as `null`, which endpoints refuse.
 *
 * ```ts
 * const next = [...messages, ChatTool.assistantMessage(completion), ChatTool.toolMessage(call, result)]
 * ```
 *
 * @category messages
 * @since 0.1.0
 */
export const assistantMessage = (completion: ChatCompletion): ChatMessage => {
  const { content, function_call, tool_calls, ...rest } = completion.choices[0]?.message ?? { role: "assistant" }
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null)),
    role: rest.role,
    content: content ?? null,
    ...(function_call ? { function_call } : {}),
    ...(tool_calls ? { tool_calls } : {})
  }
}
