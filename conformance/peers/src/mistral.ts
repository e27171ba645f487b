/**
 * `@mistralai/mistralai` as a subject: `chat.complete` and `chat.stream`. It puts `/v1/chat/completions` behind the server's URL.
 *
 * It takes and delivers names in camel case: a request is translated to them, and what it delivers is translated back. It cannot express what it has
 * no parameter for. Nothing is retried unless a case asks for it; its backoff then begins with the case's delay.
 */
import { Mistral } from "@mistralai/mistralai"
import * as Subject from "@paradigm-effect/conformance/Subject"
import { limitOf } from "./openai.ts"
import { toError } from "./printed.ts"

type Request = Readonly<Record<string, unknown>>

const renamed = (value: unknown, rename: (name: string) => string): unknown => {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [rename(name), renamed(item, rename)]))
}

const toCamel = (name: string) => name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const toSnake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const parameters = new Set(
  (
    "model messages temperature top_p max_tokens stream stop random_seed metadata response_format tools tool_choice presence_penalty " +
    "frequency_penalty n prediction parallel_tool_calls prompt_mode reasoning_effort safe_prompt guardrails"
  ).split(" ")
)

const toRequest = (request: Request): object => {
  const unknown = Object.keys(request).filter((name) => !parameters.has(name))
  if (unknown.length > 0) throw new Subject.Cannot(`it has no parameter ${unknown.join(", ")}`)
  return renamed(request, toCamel) as object
}

const retryOf = (retry: Subject.ClientOptions["retry"]) => {
  const { attempts = 1, baseDelay = 10 } = retry ?? {}
  if (attempts === 1) return { strategy: "none" } as const
  const backoff = { initialInterval: baseDelay, maxInterval: 60_000, exponent: 2, maxElapsedTime: baseDelay * 2 ** attempts }
  return { strategy: "backoff", backoff, retryConnectionErrors: true } as const
}

async function* chunksOf(events: AsyncIterable<{ readonly data: unknown }>) {
  for await (const { data } of events) yield renamed(data, toSnake)
}

type Send = (request: object, options: object) => Promise<unknown>

export const mistral = Subject.make({
  name: "@mistralai/mistralai",
  capabilities: ["abort", "deflate", "gzip", "retry", "timeouts", "utf16"],
  toError,
  open: ({ apiKey, baseUrl, retry, timeouts }) => {
    const { timeout } = limitOf(timeouts)
    const limit = timeout === undefined ? {} : { timeoutMs: timeout }
    const { chat } = new Mistral({ apiKey, serverURL: baseUrl, retryConfig: retryOf(retry), ...limit })
    const send = (method: "complete" | "stream", request: Request, signal: AbortSignal) =>
      (chat[method] as Send).call(chat, toRequest(request), { fetchOptions: { signal } })
    return {
      json: async (request, { signal }) => renamed(await send("complete", request, signal), toSnake),
      stream: async (request, { signal }) => chunksOf((await send("stream", request, signal)) as AsyncIterable<{ readonly data: unknown }>)
    }
  }
})
