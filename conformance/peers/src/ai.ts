/**
 * `ai` with `@ai-sdk/openai-compatible` as a subject: `generateText`, and `streamText` with its raw chunks.
 *
 * A case's request is translated to what `ai` takes: messages, tools and the settings it has, everything else as the provider's options. What it
 * delivers is the response's body, and the raw chunks of the stream: it is asked for both, since what it makes of them has another shape.
 *
 * Two things are done in its favour. Unless a case asks for retries there are none: its own wait seconds. And its user stops at the first error of
 * a stream, which goes on after it.
 */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import type { Operation } from "@paradigm-effect/conformance/Case"
import * as Subject from "@paradigm-effect/conformance/Subject"
import { generateText, jsonSchema, type ModelMessage, streamText, tool } from "ai"
import { toError } from "./printed.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const toPart = (part: unknown) => {
  if (!isObject(part) || part["type"] !== "image_url") return part
  const image = part["image_url"]
  return { type: "file", mediaType: "image", data: isObject(image) ? image["url"] : image }
}

const toMessage = (message: unknown): unknown => {
  if (!isObject(message)) return message
  const { content, role, tool_call_id, tool_calls } = message
  if (role === "tool") {
    return {
      role,
      content: [{ type: "tool-result", toolCallId: tool_call_id, toolName: "tool", output: { type: "text", value: content } }]
    }
  }
  if (Array.isArray(tool_calls)) {
    const calls = (
      tool_calls as ReadonlyArray<{ readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }>
    ).map(({ function: called, id }) => ({
      type: "tool-call",
      toolCallId: id,
      toolName: called.name,
      input: JSON.parse(called.arguments) as unknown
    }))
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

export const toCall = (request: Operation["request"]) => {
  const call: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(request)) {
    if (name === "model") continue
    if (name === "messages") call["messages"] = Array.isArray(value) ? value.map(toMessage) : value
    else if (name === "tools" && Array.isArray(value)) call["tools"] = toTools(value)
    else if (name in settings) call[settings[name as keyof typeof settings]] = value
    else others[name] = value
  }
  return { ...call, ...(Object.keys(others).length === 0 ? {} : { providerOptions: { paradigm: others } }) } as unknown as {
    readonly messages: Array<ModelMessage>
  }
}

const toTimeout = (timeouts: Subject.ClientOptions["timeouts"]) => ({
  ...(timeouts?.total === undefined ? {} : { totalMs: timeouts.total }),
  ...(timeouts?.firstChunk === undefined ? {} : { firstChunkMs: timeouts.firstChunk }),
  ...(timeouts?.idle === undefined ? {} : { chunkMs: timeouts.idle })
})

type Part = { readonly type: string; readonly error?: unknown; readonly reason?: unknown; readonly rawValue?: unknown }

async function* rawOf(parts: AsyncIterable<Part>) {
  for await (const { error, rawValue, reason, type } of parts) {
    if (type === "error") throw error
    if (type === "abort") throw reason
    if (type === "raw") yield rawValue
  }
}

export const ai = Subject.make({
  name: "ai",
  capabilities: ["abort", "deflate", "gzip", "retry", "timeouts", "utf16"],
  toError,
  open: ({ apiKey, baseUrl, retry, timeouts }) => {
    const toOptions = (request: Operation["request"], signal: AbortSignal) => ({
      model: createOpenAICompatible({ name: "paradigm", apiKey, baseURL: baseUrl }).chatModel(request["model"] as string),
      abortSignal: signal,
      timeout: toTimeout(timeouts),
      allowSystemInMessages: true,
      maxRetries: (retry?.attempts ?? 1) - 1,
      ...toCall(request)
    })
    return {
      json: async (request, { signal }) => {
        const { response } = await generateText({ ...toOptions(request, signal), include: { responseBody: true } })
        return response.body
      },
      stream: (request, { signal }) =>
        rawOf(streamText({ ...toOptions(request, signal), includeRawChunks: true, onError: () => undefined }).fullStream)
    }
  }
})
