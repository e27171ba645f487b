/**
 * Tools with Effect Schemas as parameters: their definitions for a request, and the model's calls with typed arguments.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { AssistantMessage, ChatCompletion, FunctionTool, FunctionToolCall, ToolCall, ToolMessage } from "./ChatCompletion.ts"
import { cutOff } from "./tools/answer.ts"
import { decodeText, jsonSchemaOf } from "./tools/modelJson.ts"
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
  /** The tool for `tools` of a request. */
  readonly definition: FunctionTool
}

/**
 * A tool of any name and parameters.
 *
 * @category models
 * @since 0.1.0
 */
export type Any = ChatTool<string, Schema.Constraint>

/**
 * A call of one of the tools: a union with a member for each tool, discriminated by `name`.
 *
 * @category models
 * @since 0.1.0
 */
export type Call<T extends Any> =
  T extends ChatTool<infer Name, infer Parameters>
    ? {
        /** Identifier of the call, for the tool message. Some model servers omit it. */
        readonly id: string | undefined
        readonly name: Name
        readonly arguments: Parameters["Type"]
      }
    : never

/**
 * Defines a tool. Throws a `ParadigmError` with the reason `InvalidRequest` when the parameters are not an object or have no JSON Schema.
 *
 * @example
 * ```ts
 * import * as ChatTool from "@paradigm-effect/core/ChatTool"
 * import * as Schema from "effect/Schema"
 *
 * const weather = ChatTool.make({
 *   name: "get_weather",
 *   description: "Current weather of a city",
 *   parameters: Schema.Struct({ city: Schema.String })
 * })
 * console.log(weather.definition.function.name) // => get_weather
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Name extends string, Parameters extends Schema.Constraint & { readonly Encoded: object }>(options: {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: Name
  /** Purpose of the tool, for the model. */
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
  const definition: FunctionTool = {
    type: "function",
    function: { name, ...(description === undefined ? {} : { description }), parameters: schema }
  }
  return { name, parameters, definition }
}

const readCall = <T extends Any>(
  call: ToolCall,
  tools: ReadonlyArray<T>
): Effect.Effect<Call<T>, AnswerMismatch, T["parameters"]["DecodingServices"]> => {
  const { function: called, id }: Pick<ToolCall, "id"> & Partial<Pick<FunctionToolCall, "function">> = call
  const text = called?.arguments ?? ""
  const mismatch = (detail: string) => new AnswerMismatch({ detail, text: excerpt(text) })
  if (called === undefined) return Effect.fail(mismatch("the call is not a function call"))
  const { name } = called
  const tool = tools.find((tool) => tool.name === name)
  if (tool === undefined) {
    const known = tools.map((tool) => tool.name).join(", ")
    return Effect.fail(mismatch(`there is no tool ${excerpt(name)}${known === "" ? "" : `; known are ${known}`}`))
  }
  const { parameters }: { readonly parameters: T["parameters"] } = tool
  // Model servers may stream a call without arguments and without their text: https://github.com/vllm-project/vllm/issues/28806
  return decodeText(parameters, text.trim() === "" ? "{}" : text).pipe(
    Effect.map((value) => ({ id: id ?? undefined, name, arguments: value }) as Call<T>),
    Effect.mapError((detail) => mismatch(`arguments of ${name}: ${detail}`))
  )
}

/**
 * Decodes a call. Fails with `AnswerMismatch` when the tool is unknown or the arguments do not match its parameters. The `detail` of the error
 * names the tool and the argument: send it to the model as the result of the call, so that the model corrects the call.
 *
 * @example
 * ```ts
 * import * as ChatTool from "@paradigm-effect/core/ChatTool"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const weather = ChatTool.make({ name: "get_weather", parameters: Schema.Struct({ city: Schema.String }) })
 *
 * const program = Effect.gen(function* () {
 *   const toolCall = { type: "function", function: { name: "get_weather", arguments: '{"city":"Paris"}' } } as const
 *   const call = yield* ChatTool.decodeCall(toolCall, [weather])
 *   console.log(call.arguments.city) // => Paris
 * })
 * Effect.runPromise(program)
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
 * Decodes the calls of a completion's first choice, in their order. Returns an empty array when the model called no tool. Fails at the first
 * invalid call as {@link decodeCall} does, with the completion in `partial`.
 *
 * @example
 * ```ts
 * import { ParadigmClient } from "@paradigm-effect/core"
 * import * as ChatTool from "@paradigm-effect/core/ChatTool"
 * import type { ChatMessage } from "@paradigm-effect/core/ChatCompletion"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const weather = ChatTool.make({ name: "get_weather", parameters: Schema.Struct({ city: Schema.String }) })
 *
 * // Asks until the model answers without a call.
 * export const ask = Effect.fnUntraced(function* (question: string) {
 *   const client = yield* ParadigmClient.ParadigmClient
 *   const messages: Array<ChatMessage> = [{ role: "user", content: question }]
 *   while (true) {
 *     const completion = yield* client.createChatCompletion({ model: "alfred-4.2", messages, tools: [weather.definition] })
 *     const calls = yield* ChatTool.decodeCalls(completion, [weather])
 *     if (calls.length === 0) return completion.choices[0]?.message.content
 *     messages.push(ChatTool.assistantMessage(completion))
 *     for (const call of calls) messages.push(ChatTool.toolMessage(call, { city: call.arguments.city, celsius: 21 }))
 *   }
 * })
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
 * Creates the tool message that answers a call. Writes a result that is not a string as JSON.
 *
 * @example
 * ```ts
 * import * as ChatTool from "@paradigm-effect/core/ChatTool"
 *
 * console.log(ChatTool.toolMessage({ id: "call-1" }, { celsius: 21 }))
 * // => { role: 'tool', tool_call_id: 'call-1', content: '{"celsius":21}' }
 * ```
 *
 * @category messages
 * @since 0.1.0
 */
export const toolMessage = (call: { readonly id?: string | null | undefined }, content: Schema.Json): ToolMessage => ({
  role: "tool",
  ...(call.id === undefined || call.id === null ? {} : { tool_call_id: call.id }),
  content: typeof content === "string" ? content : JSON.stringify(content)
})

/**
 * Returns the message of a completion's first choice for the next request. The tool messages follow it.
 *
 * The message can also be sent as it is: the client omits its nulls. This function returns a message without content for a completion without
 * choices.
 *
 * @example
 * ```ts
 * import * as ChatTool from "@paradigm-effect/core/ChatTool"
 *
 * const choices = [{ index: 0, message: { role: "assistant", content: "Hello!", refusal: null } }] as const
 * const completion = { id: "chatcmpl-1", object: "chat.completion", created: 1700000000, model: "alfred-4.2", choices }
 * console.log(ChatTool.assistantMessage(completion)) // => { role: 'assistant', content: 'Hello!' }
 * ```
 *
 * @category messages
 * @since 0.1.0
 */
export const assistantMessage = (completion: ChatCompletion): AssistantMessage => {
  const message = completion.choices[0]?.message
  const present = Object.entries(message ?? {}).filter(([, value]) => value !== null)
  return { role: "assistant", content: null, ...Object.fromEntries(present) }
}
