/**
 * `@paradigm-effect/ai` as a subject: `generateText` and `streamText` of effect/ai on our client.
 *
 * A case's request is translated to a prompt, a toolkit, a tool choice, and the configuration for everything else. The completion is the one that
 * the response keeps. Chunks have no form in effect/ai: they are counted on their way into the language model, and a stream's text must be
 * theirs. The error is the `AiError`, in the words of its cause.
 */
import { ParadigmLanguageModel } from "@paradigm-effect/ai"
import type { Operation } from "@paradigm-effect/conformance/Case"
import { type Call, type Outcome, printedForms, type Subject, type SubjectError } from "@paradigm-effect/conformance/Subject"
import type { ChatCompletionChunk } from "@paradigm-effect/core/ChatCompletion"
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import { isParadigmError, type ParadigmError } from "@paradigm-effect/core/ParadigmError"
import { Paradigm } from "@paradigm-effect/node"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import { inspect } from "node:util"

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

/** What effect/ai has no form for in a case; `undefined` if the case can be run. */
export const inexpressible = (id: string, { kind, request }: Operation): string | undefined => {
  if (id === "request-json/stream-flag") return "the language model always asks for the usage of a stream"
  if (kind === "form" || kind === "multipart") return "effect/ai sends JSON only"
  if (request["model"] === undefined) return "effect/ai requires a model"
  if (["functions", "function_call"].some((name) => name in request)) return "effect/ai has tools instead of functions"
  if (listOf(request["tools"]).some((tool) => isObject(tool) && tool["type"] !== "function")) return "effect/ai has function tools only"
  if (typeof request["n"] === "number" && request["n"] > 1) return "the parts of a response of effect/ai have no choice"
  const isForeign = (message: unknown) => isObject(message) && !["system", "user", "assistant", "tool"].includes(String(message["role"]))
  return listOf(request["messages"]).some(isForeign) ? "effect/ai has no such role" : undefined
}

const toPart = (part: unknown): unknown => {
  if (!isObject(part) || !isObject(part["image_url"])) return part
  const { detail, url } = part["image_url"]
  return { type: "file", mediaType: "image/png", data: url, options: { paradigm: { detail } } }
}

const toCall = (call: unknown) => {
  const { function: called, id } = call as { readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }
  return { type: "tool-call", id, name: called.name, params: called.arguments }
}

const toMessage = (message: unknown): unknown => {
  if (!isObject(message)) return message
  const { content, reasoning, role, tool_call_id: id, tool_calls } = message
  if (role === "tool") return { role, content: [{ type: "tool-result", id, name: "tool", isFailure: false, result: content }] }
  if (role !== "assistant") return { role, content: Array.isArray(content) ? content.map(toPart) : content }
  const text = typeof content === "string" ? [{ type: "text", text: content }] : []
  const thought = typeof reasoning === "string" ? [{ type: "reasoning", text: reasoning }] : []
  return { role, content: [...thought, ...text, ...listOf(tool_calls).map(toCall)] }
}

interface ToolDefinition {
  readonly function: {
    readonly name: string
    readonly description?: string
    readonly parameters?: object
    readonly strict?: boolean
  }
}

const toTool = ({ function: { description, name, parameters, strict } }: ToolDefinition) => {
  const tool = Tool.dynamic(name, { ...(description === undefined ? {} : { description }), parameters: { ...parameters } })
  return strict === undefined ? tool : tool.annotate(Tool.Strict, strict)
}

const toOptions = ({ messages, tool_choice: choice, tools }: Operation["request"]) => {
  const toolkit = Toolkit.make(...(listOf(tools) as unknown as ReadonlyArray<ToolDefinition>).map(toTool))
  const named = isObject(choice) && isObject(choice["function"]) ? { tool: choice["function"]["name"] } : choice
  return {
    prompt: listOf(messages).map(toMessage) as unknown as ReadonlyArray<Prompt.MessageEncoded>,
    ...(listOf(tools).length === 0 ? {} : { toolkit: toolkit as never }),
    ...(named === undefined ? {} : { toolChoice: named as "auto" }),
    disableToolCallResolution: true as const,
    toolCallValidation: "deferred" as const
  }
}

// The options of a client are read before there is a language model: then the error is the client's own.
const toSubjectError = (error: AiError.AiError | ParadigmError, cause: Cause.Cause<unknown>): SubjectError => {
  const { message } = error
  const printed = { ...printedForms(error, (value) => inspect(value, { depth: Infinity, showHidden: true })), cause: Cause.pretty(cause) }
  const own = isParadigmError(error) ? error : error.reason.cause
  if (!isParadigmError(own)) return { reason: "InvalidRequest", message, retryable: error.isRetryable, printed }
  const { isRetryable, partial, reason: told, requestId, status, usage } = own
  return {
    reason: told._tag,
    // `RateLimitError` and `QuotaExhaustedError` have no description.
    message: `${message} ${own.message}`,
    retryable: isRetryable,
    status,
    code: "code" in told ? told.code : undefined,
    stage: "stage" in told ? told.stage : undefined,
    phase: "phase" in told ? told.phase : undefined,
    requestId,
    partial,
    usage,
    printed
  }
}

// The text of the choice that begins. A part has no choice.
const textOf = (chunks: ReadonlyArray<ChatCompletionChunk>) => {
  const choices = chunks.flatMap(({ choices }) => choices)
  const own = choices.filter(({ index }) => index === choices[0]?.index)
  return own.map(({ delta }) => (delta.content ?? "") + (delta.refusal ?? "")).join("")
}

// The client, whose chunks are seen before the language model reads them.
const watched = (
  client: ParadigmClient.Service,
  onChunk: (chunk: ChatCompletionChunk) => Effect.Effect<unknown>
): ParadigmClient.Service => ({
  ...client,
  streamWithResponse: (request, options) =>
    Effect.map(client.streamWithResponse(request, options), (response) => ({ ...response, chunks: Stream.tap(response.chunks, onChunk) }))
})

const perform = Effect.fnUntraced(function* (operation: Operation, call: Call, chunks: Array<ChatCompletionChunk>) {
  const { messages: _messages, model, tool_choice: _choice, tools: _tools, ...config } = operation.request
  const options = toOptions(operation.request)
  const isLeft = yield* Deferred.make<void>()
  const onChunk = (chunk: ChatCompletionChunk) =>
    Effect.suspend(() => {
      const isLast = chunks.push(chunk) === call.take
      return Effect.andThen(
        Effect.promise(() => call.onChunk(chunk)),
        isLast ? Deferred.succeed(isLeft, undefined) : Effect.void
      )
    })
  const language = yield* ParadigmLanguageModel.make({ model: typeof model === "string" ? model : "", config }).pipe(
    Effect.updateService(ParadigmClient.ParadigmClient, (client) => watched(client, onChunk))
  )
  if (operation.kind === "json") return ParadigmLanguageModel.completion((yield* language.generateText(options)).content)
  let text = ""
  yield* language.streamText(options).pipe(
    Stream.interruptWhen(Deferred.await(isLeft)),
    Stream.runForEach((part) => Effect.sync(() => (text += part.type === "text-delta" ? part.delta : "")))
  )
  if (call.take === undefined && text !== textOf(chunks)) throw new Error(`the parts have another text than the chunks: ${text}`)
  return undefined
})

const layerOf = (options: Parameters<Subject["open"]>[0]): Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError> => {
  const { apiKey: key, apiKeys, baseUrl, retry, timeouts } = options
  let asked = 0
  const apiKey = apiKeys === undefined ? key : () => apiKeys[Math.min(asked++, apiKeys.length - 1)] ?? key
  const policy = retry === undefined ? undefined : { maxAttempts: retry.attempts, baseDelay: retry.baseDelay }
  return Paradigm.layer({ apiKey, baseUrl, retry: policy, timeouts })
}

export const effectAi: Subject = {
  name: "effect-ai",
  runtime: "node",
  capabilities: ["abort", "deflate", "gzip", "keys", "retry", "timeouts"],
  open: (options) => {
    const runtime = ManagedRuntime.make(layerOf(options))
    return {
      close: () => runtime.dispose(),
      call: async (operation, call): Promise<Outcome> => {
        const chunks: Array<ChatCompletionChunk> = []
        // A fiber runs up to its first pause before it hears of a signal that has fired already.
        const effect = Effect.andThen(Effect.yieldNow, perform(operation, call, chunks))
        const exit = await runtime.runPromiseExit(effect, { signal: call.signal })
        if (Exit.isSuccess(exit)) {
          return operation.kind === "stream" ? { outcome: "chunks", chunks } : { outcome: "completion", chunks, completion: exit.value }
        }
        if (Cause.hasInterruptsOnly(exit.cause)) return { outcome: "aborted", chunks }
        const error = Cause.squash(exit.cause)
        if (!AiError.isAiError(error) && !isParadigmError(error)) throw error
        return { outcome: "error", chunks, error: toSubjectError(error, exit.cause) }
      }
    }
  }
}
