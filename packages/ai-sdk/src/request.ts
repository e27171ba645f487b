// The call of the AI SDK as a request.
import type { LanguageModelV4CallOptions, LanguageModelV4FunctionTool, SharedV4Warning } from "@ai-sdk/provider"
import type { ChatCompletionRequest, FunctionTool, ResponseFormat, ToolChoice } from "@paradigm-effect/core/ChatCompletion"
import { type ReasoningField, toMessages } from "./prompt.ts"
import type { ParadigmProviderSettings } from "./provider.ts"

/** Settings of the provider that change a request. */
export interface RequestConfig {
  readonly reasoningField: ReasoningField
  readonly reasoningLevels: NonNullable<ParadigmProviderSettings["reasoningLevels"]>
}

/** A request, and what of the call is not in it. */
export interface PreparedRequest {
  readonly request: ChatCompletionRequest
  readonly warnings: Array<SharedV4Warning>
}

// Fields that only the call determines. The answer has one choice, and the functions of old servers have no place in it.
const reserved = new Set(["model", "messages", "tools", "tool_choice", "stream", "n", "functions", "function_call"])

const toTool = ({ description, inputSchema, name, strict }: LanguageModelV4FunctionTool): FunctionTool => ({
  type: "function",
  function: {
    name,
    description,
    // Servers refuse the schema of an object without properties.
    parameters: inputSchema.type === "object" ? { properties: {}, ...inputSchema } : { ...inputSchema },
    strict
  }
})

const toToolChoice = (choice: LanguageModelV4CallOptions["toolChoice"]): ToolChoice | undefined =>
  choice?.type === "tool" ? { type: "function", function: { name: choice.toolName } } : choice?.type

const toResponseFormat = (format: LanguageModelV4CallOptions["responseFormat"]): ResponseFormat | undefined => {
  if (format?.type !== "json") return undefined
  const { description, name = "response", schema } = format
  if (schema === undefined) return { type: "json_object" }
  const json_schema = { name: name.replaceAll(/[^\w-]/g, "_").slice(0, 64), description, schema: { ...schema }, strict: true }
  return { type: "json_schema", json_schema }
}

const defined = <A extends object>(fields: A): A =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as A

class Preparation {
  readonly warnings: Array<SharedV4Warning> = []

  tools(tools: LanguageModelV4CallOptions["tools"] = []): ReadonlyArray<FunctionTool> {
    return tools.flatMap((tool) => {
      if (tool.type === "provider") {
        this.#unsupported(`tool ${tool.id}`, "The endpoint runs no tools of its own.")
        return []
      }
      if (tool.inputExamples !== undefined) {
        this.#unsupported(`inputExamples of the tool ${tool.name}`, "Use addToolInputExamplesMiddleware to put them into the description.")
      }
      return [toTool(tool)]
    })
  }

  reasoningEffort(level: LanguageModelV4CallOptions["reasoning"], levels: RequestConfig["reasoningLevels"]): string | undefined {
    if (level === undefined || level === "provider-default") return undefined
    const other = levels[level]
    if (other === undefined || other === level) return level
    const details = other === null ? "The level is not sent." : `The level is sent as ${other}.`
    this.warnings.push({ type: "compatibility", feature: `reasoning ${level}`, details })
    return other ?? undefined
  }

  extras(given: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    const entries = Object.entries(given).filter(([name]) => {
      if (reserved.has(name)) this.#unsupported(`providerOptions.paradigm.${name}`, "The call determines the field.")
      return !reserved.has(name)
    })
    return Object.fromEntries(entries)
  }

  #unsupported(feature: string, details: string) {
    this.warnings.push({ type: "unsupported", feature, details })
  }
}

/** Converts a call. Throws `UnsupportedFunctionalityError` for a part of the prompt that no request can have. */
export const toRequest = (
  model: string,
  call: LanguageModelV4CallOptions,
  { reasoningField, reasoningLevels }: RequestConfig
): PreparedRequest => {
  const preparation = new Preparation()
  const tools = preparation.tools(call.tools)
  // The options of a stream belong to `toStreamRequest`.
  const request: ChatCompletionRequest = defined({
    model,
    messages: toMessages(call.prompt, reasoningField),
    max_tokens: call.maxOutputTokens,
    temperature: call.temperature,
    top_p: call.topP,
    top_k: call.topK,
    presence_penalty: call.presencePenalty,
    frequency_penalty: call.frequencyPenalty,
    // Servers refuse empty lists.
    stop: call.stopSequences?.length === 0 ? undefined : call.stopSequences,
    seed: call.seed,
    response_format: toResponseFormat(call.responseFormat),
    reasoning_effort: preparation.reasoningEffort(call.reasoning, reasoningLevels),
    tools: tools.length === 0 ? undefined : tools,
    tool_choice: tools.length === 0 ? undefined : toToolChoice(call.toolChoice),
    ...preparation.extras(call.providerOptions?.["paradigm"])
  })
  return { request, warnings: preparation.warnings }
}

/** The request for a stream, which includes the usage. */
export const toStreamRequest = (request: ChatCompletionRequest) => ({
  ...request,
  stream: true as const,
  stream_options: { include_usage: true, ...request.stream_options }
})

/** The request for a whole answer, which has no options of a stream. */
export const toWholeRequest = (request: ChatCompletionRequest) => defined({ ...request, stream: undefined, stream_options: undefined })
