/**
 * This project's provider for the AI SDK as a subject: `generateText` and `streamText` of `ai`. The chunks are the raw ones of the stream, and the
 * completion is the body of the response, since the parts of the AI SDK have another shape. Requests are translated as for `ai` itself.
 */
import { createParadigm, paradigmErrorData } from "@paradigm-effect/ai-sdk"
import type { Operation } from "@paradigm-effect/conformance/Case"
import { type Outcome, printedForms, type Subject, type SubjectError } from "@paradigm-effect/conformance/Subject"
import { APICallError, generateText, InvalidArgumentError, InvalidPromptError, LoadAPIKeyError, RetryError, streamText } from "ai"
import { inspect } from "node:util"
import { toCall } from "./ai.ts"

const reasonOf = (error: unknown): string => {
  if (LoadAPIKeyError.isInstance(error)) return "InvalidConfiguration"
  if (InvalidPromptError.isInstance(error)) return "InvalidRequest"
  // The argument is a setting of the provider, or a field of the request.
  if (InvalidArgumentError.isInstance(error)) {
    return "argument" in error && /^(baseUrl|headers|timeouts)/.test(String(error.argument)) ? "InvalidConfiguration" : "InvalidRequest"
  }
  return error instanceof Error ? error.name : typeof error
}

const toSubjectError = (error: unknown): SubjectError => {
  if (RetryError.isInstance(error)) return toSubjectError(error.lastError)
  const { code, partial, phase, reason = reasonOf(error), requestId, stage, usage } = paradigmErrorData(error) ?? {}
  const call = APICallError.isInstance(error) ? error : undefined
  return {
    reason,
    message: error instanceof Error ? error.message : String(error),
    retryable: call?.isRetryable ?? false,
    status: call?.statusCode,
    code,
    partial,
    phase,
    requestId,
    stage,
    usage,
    printed: printedForms(error, (value) => inspect(value, { depth: Infinity, showHidden: true }))
  }
}

const toOptions = ({ tool_choice: choice, ...request }: Operation["request"] & { readonly tool_choice?: unknown }) => {
  const named = choice as { readonly function?: { readonly name: string } } | undefined
  const toolChoice = named?.function === undefined ? choice : { type: "tool", toolName: named.function.name }
  return { ...toCall(request), ...(choice === undefined ? {} : { toolChoice: toolChoice as "auto" }) }
}

export const aiSdk: Subject = {
  name: "ai-sdk",
  runtime: "node",
  capabilities: ["abort", "deflate", "gzip", "keys", "retry", "timeouts"],
  open: ({ apiKey: key, apiKeys, baseUrl, retry, timeouts }) => {
    let asked = 0
    const apiKey = apiKeys === undefined ? key : () => apiKeys[Math.min(asked++, apiKeys.length - 1)] ?? key
    return {
      close: () => Promise.resolve(),
      call: async (operation, call): Promise<Outcome> => {
        const chunks: Array<unknown> = []
        try {
          const options = {
            model: createParadigm({ apiKey, baseUrl, timeouts })(operation.request["model"] as string),
            abortSignal: call.signal,
            allowSystemInMessages: true,
            maxRetries: (retry?.attempts ?? 1) - 1,
            ...toOptions(operation.request)
          }
          if (operation.kind !== "stream") {
            const { response } = await generateText({ ...options, include: { responseBody: true } })
            return { outcome: "completion", chunks, completion: response.body }
          }
          const { fullStream } = streamText({ ...options, includeRawChunks: true, onError: () => undefined })
          for await (const part of fullStream) {
            if (part.type === "error") throw part.error
            if (part.type === "abort") throw part.reason
            if (part.type !== "raw") continue
            chunks.push(part.rawValue)
            await call.onChunk(part.rawValue)
            if (chunks.length === call.take) break
          }
          return { outcome: call.signal.aborted ? "aborted" : "chunks", chunks }
        } catch (error) {
          if (call.signal.aborted) return { outcome: "aborted", chunks }
          return { outcome: "error", chunks, error: toSubjectError(error) }
        }
      }
    }
  }
}
