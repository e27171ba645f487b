// The request of a call: the configuration, and what effect/ai prepared for the call.
import * as Predicate from "effect/Predicate"
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import type { ChatCompletionRequest, FunctionTool, ToolChoice } from "@paradigm-effect/core/ChatCompletion"
import * as ChatTool from "@paradigm-effect/core/ChatTool"
import { isParadigmError } from "@paradigm-effect/core/ParadigmError"
import type * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import * as StructuredOutput from "@paradigm-effect/core/StructuredOutput"
import { type ReasoningField, toMessages } from "./prompt.ts"

const determined = {
  messages: "the prompt determines it",
  stream: "the operation determines it",
  tools: "the toolkit determines it",
  tool_choice: "toolChoice determines it",
  functions: "the toolkit determines it",
  function_call: "toolChoice determines it",
  n: "the parts of a response have no choice; make a call for each answer"
} as const

/**
 * Configuration of a model: fields of the request, such as `temperature`, `max_tokens`, `reasoning_effort`, `chat_template_kwargs` or
 * `structured_outputs`, and settings of this package.
 *
 * @category configuration
 * @since 0.1.0
 */
export interface ModelConfig extends Partial<Omit<ChatCompletionRequest, keyof typeof determined>> {
  /** Options of the client for the call: headers, timeouts, the retry policy, the key, fields that the types do not have. */
  readonly call?: ParadigmClient.CallOptions | undefined
  /**
   * The field in which the reasoning of earlier answers is sent back. Model servers before vLLM 0.12 read `reasoning_content`. Defaults to
   * `reasoning`.
   */
  readonly reasoningField?: ReasoningField | undefined
}

const refuseTool = (toolName: string, description: string): never => {
  throw new AiError.ToolConfigurationError({ toolName, description })
}

const problemOf = (error: unknown): string => {
  if (!isParadigmError(error) || error.reason._tag !== "InvalidRequest") throw error
  return error.reason.message.replace(/^The request was not sent: /, "")
}

const definitionOf = (tool: Tool.Any, name: string): FunctionTool["function"] => {
  if (Tool.isProviderDefined(tool)) return refuseTool(name, "the endpoint has no tools that a provider defines")
  if (Tool.isDynamic(tool) && tool.jsonSchema !== undefined) return { name, parameters: tool.jsonSchema }
  try {
    return ChatTool.make({ name, parameters: tool.parametersSchema as ChatTool.Any["parameters"] & { readonly Encoded: object } })
      .definition.function
  } catch (error) {
    return refuseTool(name, problemOf(error))
  }
}

const toTool = (tool: Tool.Any): FunctionTool => {
  const { parameters, ...definition } = definitionOf(tool, tool.name)
  const description = Tool.getDescription(tool)
  const strict = Tool.getStrictMode(tool)
  return {
    type: "function",
    function: {
      ...definition,
      ...(description !== undefined && { description }),
      // Some servers refuse a schema without `properties`.
      parameters: { ...(parameters?.["type"] === "object" && { properties: {} }), ...parameters },
      ...(strict !== undefined && { strict })
    }
  }
}

const isMissing = (choice: LanguageModel.ToolChoice<string>, tools: ReadonlyArray<Tool.Any>): boolean => {
  if (choice === "required") return tools.length === 0
  if (typeof choice === "string") return false
  return "tool" in choice ? !tools.some(({ name }) => name === choice.tool) : choice.mode === "required" && tools.length === 0
}

const toChoice = (choice: LanguageModel.ToolChoice<string>): ToolChoice => {
  if (typeof choice === "string") return choice
  return "tool" in choice ? { type: "function", function: { name: choice.tool } } : (choice.mode ?? "auto")
}

const toolFields = ({ toolChoice, tools }: LanguageModel.ProviderOptions): Pick<ChatCompletionRequest, "tools" | "tool_choice"> => {
  const choice = toolChoice as LanguageModel.ToolChoice<string>
  if (isMissing(choice, tools)) {
    const description = `it requires a tool that the toolkit does not have: ${JSON.stringify(choice)}`
    throw new AiError.InvalidRequestError({ parameter: "toolChoice", description })
  }
  // `oneOf` has already limited the tools.
  return tools.length === 0 ? {} : { tools: tools.map(toTool), tool_choice: toChoice(choice) }
}

const formatField = ({ responseFormat }: LanguageModel.ProviderOptions): Pick<ChatCompletionRequest, "response_format"> => {
  if (responseFormat.type === "text") return {}
  try {
    const name = responseFormat.objectName.replaceAll(/[^A-Za-z0-9_-]/g, "_").slice(0, 64)
    const { json_schema, type } = StructuredOutput.responseFormat(responseFormat.schema, { name })
    const { description } = json_schema.schema
    return { response_format: { type, json_schema: { ...json_schema, ...(Predicate.isString(description) && { description }) } } }
  } catch (error) {
    throw new AiError.UnsupportedSchemaError({ description: problemOf(error) })
  }
}

const checkFields = (fields: object) => {
  for (const [name, description] of Object.entries(determined)) {
    if (Predicate.isNotNullish(Reflect.get(fields, name))) {
      throw new AiError.InvalidRequestError({ parameter: name, constraint: "must not be in the configuration", description })
    }
  }
}

/** Creates the request of a call. Throws a reason of an `AiError`. */
export const toRequest = (
  { call: _call, model = "", reasoningField = "reasoning", stream_options, ...fields }: ModelConfig,
  options: LanguageModel.ProviderOptions,
  stream: boolean
): ChatCompletionRequest => {
  checkFields(fields)
  return {
    ...fields,
    model,
    messages: toMessages(options.prompt, reasoningField),
    ...toolFields(options),
    ...formatField(options),
    ...(stream && { stream_options: { ...stream_options, include_usage: true } })
  }
}
