// Calls of a model on a loopback server, as users of the AI SDK make them.
import type { LanguageModelV4StreamPart } from "@ai-sdk/provider"
import { isStepCount, streamText, tool, type ToolSet } from "ai"
import { z } from "zod"
import { createParadigm, type ParadigmProviderSettings } from "../src/index.ts"
import type { Loopback } from "./Loopback.ts"
import { stream } from "./Reply.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

const apiKey = "sk-pdgm/4f0c+9d1e=="

export const modelOf = ({ baseUrl }: Loopback, settings: ParadigmProviderSettings = {}) =>
  createParadigm({ apiKey, baseUrl, ...settings })("m")

export const prompt = [{ role: "user" as const, content: [{ type: "text" as const, text: "go" }] }]

export const used: Array<unknown> = []
export const tools: ToolSet = {
  now: tool({ inputSchema: z.object({}), execute: (input) => (used.push(["now", input]), "12:00") }),
  read: tool({ inputSchema: z.object({ path: z.string() }), execute: (input) => (used.push(["read", input]), "text") })
}

/** Runs a stream with tools, in at most three steps, and collects what its user sees. */
export const run = async (
  server: Loopback,
  options: Partial<Parameters<typeof streamText>[0]> = {},
  settings: ParadigmProviderSettings = {}
) => {
  used.length = 0
  const types: Array<string> = []
  const errors: Array<unknown> = []
  const ids: Array<string> = []
  let text = ""
  let reasoning = ""
  const result = streamText({
    model: modelOf(server, settings),
    prompt: "go",
    tools,
    stopWhen: isStepCount(3),
    maxRetries: 0,
    onError: () => {},
    ...(options as object)
  })
  let finish: { readonly finishReason: string; readonly rawFinishReason: string | undefined } | undefined
  for await (const part of result.fullStream) {
    types.push(part.type)
    if (part.type === "error") errors.push(part.error)
    if (part.type === "text-delta") text += part.text
    if (part.type === "reasoning-delta") reasoning += part.text
    if (part.type === "text-start" || part.type === "reasoning-start" || part.type === "tool-input-start") ids.push(part.id)
    if (part.type === "finish-step") finish ??= { finishReason: part.finishReason, rawFinishReason: part.rawFinishReason }
  }
  return { types, errors, ids, text, reasoning, finish, used: [...used], result }
}

export const doStream = async (server: Loopback, options: object = {}, settings: ParadigmProviderSettings = {}) => {
  const result = await modelOf(server, settings).doStream({ prompt, ...options })
  const parts: Array<LanguageModelV4StreamPart> = []
  for await (const part of result.stream) parts.push(part)
  return { ...result, parts }
}

export const done = stream([{ content: "ok" }])
export const ofTypes = (types: ReadonlyArray<string>, prefix: string) => types.filter((type) => type.startsWith(prefix))
