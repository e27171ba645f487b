/**
 * `openai` as a subject: `chat.completions.create`, with and without `stream`.
 *
 * | what it throws | in the suite's words |
 * | --- | --- |
 * | `APIError` with a status | the reason of that status |
 * | `APIError` without one, from a stream | `StreamFault`, with a numeric `code` as its status |
 * | `APIConnectionTimeoutError` | `Timeout`, of the stage whose limit was given: it has one limit for all |
 * | `APIConnectionError` | by the system's code in its causes |
 * | `SyntaxError` | `MalformedChunk` from a stream, otherwise `UnexpectedResponse` |
 * | fetch's own `TypeError` while reading | `ConnectionLost` in the body |
 * | `APIUserAbortError`, or a stream that ends without an error once it is aborted | aborted |
 * | any other | its name: it cannot be told by its class |
 *
 * Two things are done in its favour. Unless a case asks for retries there are none: its own wait long. And its errors do not say whether to try
 * again, but its documentation says what it tries again itself: connections that fail, 408, 409, 429 and 5xx.
 */
import type { ClientOptions, Outcome, Subject } from "@paradigm-effect/conformance/Subject"
import { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError, OpenAI } from "openai"
import type {
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming
} from "openai/resources/chat/completions"
import { fromTransport, isBroken, reasonOf, type Told, toSubjectError, untold } from "./failure.ts"

const isRetried = (status: number) => status === 408 || status === 409 || status === 429 || status >= 500

const limitOf = (timeouts: ClientOptions["timeouts"]) => {
  const [stage, limit] = Object.entries(timeouts ?? {}).find(([name]) => name === "total" || name === "headers" || name === "connect") ?? []
  return { stage, limit }
}

const tell = (error: unknown, streaming: boolean, stage: string | undefined): Told => {
  if (error instanceof APIConnectionTimeoutError) return { reason: "Timeout", stage, retryable: true }
  if (error instanceof APIConnectionError) return fromTransport(error, "headers", true)
  if (error instanceof APIError) {
    const requestId: string | undefined = error.requestID ?? undefined
    // Servers also send numbers, which the type does not say.
    const given: unknown = error.code
    const code = typeof given === "string" || typeof given === "number" ? String(given) : undefined
    if (typeof error.status === "number") {
      const { status } = error
      return { reason: reasonOf(status, error.message, code), status, code, retryable: isRetried(status), requestId }
    }
    return { reason: "StreamFault", status: typeof error.code === "number" ? error.code : undefined, code, retryable: false, requestId }
  }
  if (error instanceof SyntaxError) return { reason: streaming ? "MalformedChunk" : "UnexpectedResponse", retryable: false }
  if (isBroken(error)) return fromTransport(error, "body", false)
  return untold(error)
}

export const openai: Subject = {
  name: "openai",
  runtime: "node",
  capabilities: ["abort", "gzip", "retry", "timeouts"],
  open: ({ apiKey, baseUrl, retry, timeouts }) => {
    const { limit, stage } = limitOf(timeouts)
    return {
      close: () => Promise.resolve(),
      call: async (operation, call): Promise<Outcome> => {
        const chunks: Array<unknown> = []
        const streaming = operation.kind === "stream"
        try {
          const client = new OpenAI({
            apiKey,
            baseURL: baseUrl,
            logLevel: "off",
            maxRetries: (retry?.attempts ?? 1) - 1,
            ...(limit === undefined ? {} : { timeout: limit })
          })
          const request = operation.request as unknown as ChatCompletionCreateParams
          const options = { signal: call.signal }
          if (!streaming) {
            const completion = await client.chat.completions.create(request as ChatCompletionCreateParamsNonStreaming, options)
            return { outcome: "completion", chunks, completion }
          }
          const stream = await client.chat.completions.create({ ...request, stream: true } as ChatCompletionCreateParamsStreaming, options)
          for await (const chunk of stream) {
            chunks.push(chunk)
            await call.onChunk(chunk)
            if (chunks.length === call.take) break
          }
          return { outcome: call.signal.aborted ? "aborted" : "chunks", chunks }
        } catch (error) {
          if (error instanceof APIUserAbortError || call.signal.aborted) return { outcome: "aborted", chunks }
          return {
            outcome: "error",
            chunks,
            error: toSubjectError(error, tell(error, streaming, stage), error instanceof APIError ? error.error : undefined)
          }
        }
      }
    }
  }
}
