/**
 * `@mistralai/mistralai` as a subject: `chat.complete` and `chat.stream`.
 *
 * It takes and delivers names in camel case: a case's request is translated to them, and what it delivers is translated back. It puts
 * `/v1/chat/completions` behind the server's URL. Unless a case asks for retries there are none; its backoff begins with the case's delay.
 */
import { Mistral } from "@mistralai/mistralai"
import type { ClientOptions, Outcome, Subject } from "@paradigm-effect/conformance/Subject"
import { toSubjectError } from "./failure.ts"

const renamed = (value: unknown, rename: (name: string) => string): unknown => {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [rename(name), renamed(item, rename)]))
}

const toCamel = (name: string) => name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const toSnake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const retryOf = (retry: ClientOptions["retry"]) => {
  const { attempts = 1, baseDelay = 10 } = retry ?? {}
  if (attempts === 1) return { strategy: "none" } as const
  const backoff = { initialInterval: baseDelay, maxInterval: 60_000, exponent: 2, maxElapsedTime: baseDelay * 2 ** attempts }
  return { strategy: "backoff", backoff, retryConnectionErrors: true } as const
}

type Call = (request: object, options: object) => Promise<unknown>

export const mistral: Subject = {
  name: "@mistralai/mistralai",
  runtime: "node",
  capabilities: ["abort", "gzip", "retry", "timeouts", "utf16"],
  open: ({ apiKey, baseUrl, retry, timeouts }) => ({
    close: () => Promise.resolve(),
    call: async (operation, call): Promise<Outcome> => {
      const chunks: Array<unknown> = []
      const limit = timeouts?.total ?? timeouts?.headers ?? timeouts?.connect
      try {
        const { chat } = new Mistral({
          apiKey,
          serverURL: baseUrl,
          retryConfig: retryOf(retry),
          ...(limit === undefined ? {} : { timeoutMs: limit })
        })
        const request = renamed(operation.request, toCamel) as object
        const options = { fetchOptions: { signal: call.signal } }
        if (operation.kind !== "stream") {
          const completion = await (chat.complete as Call).call(chat, request, options)
          return { outcome: "completion", chunks, completion: renamed(completion, toSnake) }
        }
        const stream = (await (chat.stream as Call).call(chat, request, options)) as AsyncIterable<{ readonly data: unknown }>
        for await (const { data } of stream) {
          const chunk = renamed(data, toSnake)
          chunks.push(chunk)
          await call.onChunk(chunk)
          if (chunks.length === call.take) break
        }
        return { outcome: call.signal.aborted ? "aborted" : "chunks", chunks }
      } catch (error) {
        return call.signal.aborted ? { outcome: "aborted", chunks } : { outcome: "error", chunks, error: toSubjectError(error) }
      }
    }
  })
}
