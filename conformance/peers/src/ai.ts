/**
 * `ai` with `@ai-sdk/openai-compatible` as a subject: `generateText`, and `streamText` with its raw chunks.
 *
 * A case's request is translated to what `ai` takes: messages, tools and the settings it has, everything else as the provider's options. What it
 * delivers is the response's body, and the raw chunks of the stream: it is asked for both, since what it makes of them has another shape.
 *
 * | what it throws, or sends as an error of the stream | in the suite's words |
 * | --- | --- |
 * | `RetryError` | its last error |
 * | `APICallError` with an error status | the reason of that status |
 * | `APICallError` with a success status | `UnexpectedResponse` |
 * | `APICallError` without a status | by the system's code in its causes |
 * | `JSONParseError`, `TypeValidationError` | `MalformedChunk` from a stream, otherwise `UnexpectedResponse` |
 * | `InvalidResponseDataError` | `StreamTruncated` from a stream (it says that no finish reason came), otherwise `UnexpectedResponse` |
 * | `EmptyResponseBodyError` | `UnexpectedResponse` |
 * | the server's error as it was sent | `StreamFault`, with a numeric `code` as its status |
 * | `InvalidPromptError`, `InvalidArgumentError`, `UnsupportedFunctionalityError` | `InvalidRequest` |
 * | `LoadAPIKeyError`, `LoadSettingError` | `InvalidConfiguration` |
 * | `TimeoutError` | `Timeout`: `Chunk` is idle, `First chunk` is firstChunk, any other the total |
 * | fetch's own `TypeError` while reading | `ConnectionLost` in the body |
 * | an abort | aborted |
 * | any other | its name: it cannot be told by its class |
 */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import type { Operation } from "@paradigm-effect/conformance/Case"
import type { ClientOptions, Outcome, Subject } from "@paradigm-effect/conformance/Subject"
import {
  APICallError,
  EmptyResponseBodyError,
  generateText,
  InvalidArgumentError,
  InvalidPromptError,
  InvalidResponseDataError,
  JSONParseError,
  jsonSchema,
  LoadAPIKeyError,
  LoadSettingError,
  type ModelMessage,
  RetryError,
  streamText,
  tool,
  TypeValidationError,
  UnsupportedFunctionalityError
} from "ai"
import { fromTransport, reasonOf, type Told, toSubjectError, untold } from "./failure.ts"

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const toPart = (part: unknown) => {
  if (!isObject(part) || part["type"] !== "image_url") return part
  const image = part["image_url"]
  return { type: "image", image: isObject(image) ? image["url"] : image }
}

const toMessage = (message: unknown): unknown => {
  if (!isObject(message)) return message
  const { content, role, tool_call_id, tool_calls } = message
  if (role === "tool") {
    return { role, content: [{ type: "tool-result", toolCallId: tool_call_id, toolName: "tool", output: { type: "text", value: content } }] }
  }
  if (Array.isArray(tool_calls)) {
    const calls = (tool_calls as ReadonlyArray<{ readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }>).map(
      ({ function: called, id }) => ({ type: "tool-call", toolCallId: id, toolName: called.name, input: JSON.parse(called.arguments) as unknown })
    )
    return { role, content: [...(typeof content === "string" ? [{ type: "text", text: content }] : []), ...calls] }
  }
  return { role, content: Array.isArray(content) ? content.map(toPart) : content }
}

interface ToolDefinition {
  readonly function: { readonly name: string; readonly description?: string; readonly parameters?: object }
}

const toTools = (tools: ReadonlyArray<ToolDefinition>) =>
  Object.fromEntries(
    tools.map(({ function: { description, name, parameters } }) => [
      name,
      tool({ ...(description === undefined ? {} : { description }), inputSchema: jsonSchema(parameters ?? { type: "object" }) })
    ])
  )

const settings = {
  max_tokens: "maxOutputTokens",
  temperature: "temperature",
  top_p: "topP",
  presence_penalty: "presencePenalty",
  frequency_penalty: "frequencyPenalty",
  stop: "stopSequences",
  seed: "seed"
} as const

const toCall = (request: Operation["request"]) => {
  const call: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(request)) {
    if (name === "model") continue
    if (name === "messages") call["messages"] = Array.isArray(value) ? value.map(toMessage) : value
    else if (name === "tools" && Array.isArray(value)) call["tools"] = toTools(value as unknown as ReadonlyArray<ToolDefinition>)
    else if (name in settings) call[settings[name as keyof typeof settings]] = value
    else others[name] = value
  }
  return { ...call, ...(Object.keys(others).length === 0 ? {} : { providerOptions: { paradigm: others } }) } as unknown as {
    readonly messages: Array<ModelMessage>
  }
}

const statusOf = (error: unknown) => (isObject(error) && typeof error["code"] === "number" ? error["code"] : undefined)

const tell = (error: unknown, streaming: boolean): Told => {
  if (RetryError.isInstance(error)) return tell(error.lastError, streaming)
  if (APICallError.isInstance(error)) {
    const { isRetryable: retryable, responseHeaders, statusCode: status } = error
    if (status === undefined) return fromTransport(error, "headers", retryable)
    const requestId = responseHeaders?.["x-request-id"]
    return { reason: status < 400 ? "UnexpectedResponse" : reasonOf(status), status, retryable, requestId }
  }
  if (JSONParseError.isInstance(error) || TypeValidationError.isInstance(error)) {
    return { reason: streaming ? "MalformedChunk" : "UnexpectedResponse", retryable: false }
  }
  if (InvalidResponseDataError.isInstance(error)) return { reason: streaming ? "StreamTruncated" : "UnexpectedResponse", retryable: false }
  if (EmptyResponseBodyError.isInstance(error)) return { reason: "UnexpectedResponse", retryable: false }
  if (InvalidPromptError.isInstance(error) || InvalidArgumentError.isInstance(error) || UnsupportedFunctionalityError.isInstance(error)) {
    return { reason: "InvalidRequest", retryable: false }
  }
  if (LoadAPIKeyError.isInstance(error) || LoadSettingError.isInstance(error)) return { reason: "InvalidConfiguration", retryable: false }
  if (error instanceof Error) {
    if (error.name === "TimeoutError") {
      const stage = error.message.startsWith("Chunk") ? "idle" : error.message.startsWith("First chunk") ? "firstChunk" : "total"
      return { reason: "Timeout", stage, retryable: false }
    }
    if (error instanceof TypeError && error.message === "terminated") return fromTransport(error, "body", false)
    return untold(error)
  }
  return { reason: "StreamFault", status: statusOf(error), retryable: false }
}

const toTimeout = (timeouts: ClientOptions["timeouts"]) => ({
  ...(timeouts?.total === undefined ? {} : { totalMs: timeouts.total }),
  ...(timeouts?.firstChunk === undefined ? {} : { firstChunkMs: timeouts.firstChunk }),
  ...(timeouts?.idle === undefined ? {} : { chunkMs: timeouts.idle })
})

export const ai: Subject = {
  name: "ai",
  runtime: "node",
  capabilities: ["abort", "gzip", "retry", "timeouts"],
  open: ({ apiKey, baseUrl, retry, timeouts }) => ({
    close: () => Promise.resolve(),
    call: async (operation, call): Promise<Outcome> => {
      const chunks: Array<unknown> = []
      const streaming = operation.kind === "stream"
      try {
        const provider = createOpenAICompatible({ name: "paradigm", apiKey, baseURL: baseUrl })
        const options = {
          model: provider.chatModel(operation.request["model"] as string),
          abortSignal: call.signal,
          timeout: toTimeout(timeouts),
          allowSystemInMessages: true,
          ...(retry === undefined ? {} : { maxRetries: retry.attempts - 1 }),
          ...toCall(operation.request)
        }
        if (!streaming) {
          const { response } = await generateText({ ...options, include: { responseBody: true } })
          return { outcome: "completion", chunks, completion: response.body }
        }
        const failures: Array<{ readonly error: unknown }> = []
        const { fullStream } = streamText({ ...options, includeRawChunks: true, onError: () => undefined })
        for await (const part of fullStream) {
          if (part.type === "error") failures.push(part)
          if (part.type === "abort" && !call.signal.aborted) failures.push({ error: part.reason })
          if (part.type !== "raw") continue
          chunks.push(part.rawValue)
          await call.onChunk(part.rawValue)
          if (chunks.length === call.take) return { outcome: "chunks", chunks }
        }
        if (call.signal.aborted) return { outcome: "aborted", chunks }
        const [failure] = failures
        if (failure === undefined) return { outcome: "chunks", chunks }
        return { outcome: "error", chunks, error: toSubjectError(failure.error, tell(failure.error, true)) }
      } catch (error) {
        if (call.signal.aborted) return { outcome: "aborted", chunks }
        return { outcome: "error", chunks, error: toSubjectError(error, tell(error, streaming)) }
      }
    }
  })
}
