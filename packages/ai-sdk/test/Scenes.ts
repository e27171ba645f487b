// One program for every runtime, and the replies that it gets. The path of a request names its scene.
import { APICallError } from "@ai-sdk/provider"
import { generateText, isStepCount, Output, streamText, tool } from "ai"
import { z } from "zod"
import { createParadigm, paradigmErrorData } from "../src/index.ts"
import { call, failure, type Reply, stream, whole } from "./Reply.ts"

export const scenes: Readonly<Record<string, ReadonlyArray<Reply>>> = {
  text: [whole({ content: "Hello!" })],
  tools: [
    stream([{ reasoning: "hm" }, call({ function: { name: "now", arguments: "{}" } })], "tool_calls"),
    stream([{ content: "It is " }, { content: "noon." }])
  ],
  object: [whole({ content: '{"name":"Ada"}' })],
  failure: [failure(429, { error: { message: "slow down" } }, { "retry-after": "9" })],
  cut: [stream([{ content: "He" }], null, [""])],
  held: [{ ...stream([{ content: "He" }], null, [""]), after: "hold" }]
}

/** What the program saw. */
export interface Played {
  readonly text: string
  readonly tools: { readonly text: string; readonly reasoning: string; readonly ids: number }
  readonly object: unknown
  readonly failure: { readonly reason: string | undefined; readonly status: number | undefined; readonly retryAfter: string | undefined }
  readonly cut: string | undefined
  readonly aborted: ReadonlyArray<string>
}

export const expected: Played = {
  text: "Hello!",
  tools: { text: "It is noon.", reasoning: "hm", ids: 1 },
  object: { name: "Ada" },
  failure: { reason: "RateLimited", status: 429, retryAfter: "9" },
  cut: "StreamTruncated",
  aborted: ["text-delta", "abort"]
}

export const play = async (origin: string): Promise<Played> => {
  globalThis.AI_SDK_LOG_WARNINGS = false
  const modelOf = (scene: string) => createParadigm({ apiKey: "sk-0123456789abcdef", baseUrl: `${origin}/${scene}/v1` })("alfred-4.2")
  const image = { type: "file" as const, mediaType: "image/*", data: new Uint8Array([0x89, 0x50, 0x4e, 0x47]) }
  const { text } = await generateText({ model: modelOf("text"), messages: [{ role: "user", content: [image] }] })

  const now = tool({ inputSchema: z.object({}), execute: () => "12:00" })
  const talk = streamText({ model: modelOf("tools"), prompt: "go", tools: { now }, stopWhen: isStepCount(2) })
  const steps = await talk.steps
  const tools = {
    text: await talk.text,
    reasoning: steps[0]?.reasoningText ?? "",
    ids: new Set(steps.flatMap(({ toolCalls }) => toolCalls.map(({ toolCallId }) => toolCallId))).size
  }

  const output = Output.object({ schema: z.object({ name: z.string() }) })
  const { output: object } = await generateText({ model: modelOf("object"), prompt: "go", output })

  const refused: unknown = await generateText({ model: modelOf("failure"), prompt: "go", maxRetries: 0 }).catch((error: unknown) => error)
  const { responseHeaders, statusCode } = APICallError.isInstance(refused) ? refused : {}

  const parts: Array<string> = []
  let cut: string | undefined
  for await (const part of streamText({ model: modelOf("cut"), prompt: "go", onError: () => {} }).fullStream) {
    if (part.type === "error") cut = paradigmErrorData(part.error)?.reason
  }

  const controller = new AbortController()
  for await (const { type } of streamText({ model: modelOf("held"), prompt: "go", abortSignal: controller.signal }).fullStream) {
    if (type === "text-delta" || type === "abort" || type === "error") parts.push(type)
    if (type === "text-delta") controller.abort()
  }
  const failed = { reason: paradigmErrorData(refused)?.reason, status: statusCode, retryAfter: responseHeaders?.["retry-after"] }
  return { text, tools, object, failure: failed, cut, aborted: parts }
}
