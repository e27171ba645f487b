/**
 * A client over plain fetch that holds every rule of the suite, and can be given one bug: what the suite itself is tested with.
 */
import type { Operation } from "../src/case/Case.ts"
import { type Call, type ClientOptions, type Outcome, printedForms, type Subject } from "../src/client/Subject.ts"
import { fold } from "../src/client/Fold.ts"
import { spoilError, spoilRequest, spoilResponse } from "./referenceBugs.ts"
import { codeOf, describe, Failure, isObject, type Json, mask, parse } from "./referenceData.ts"
import { chunks, fault, isChunk, lacks, mendCompletion, peek } from "./referenceStream.ts"
import { fetchOf, readAhead } from "./referenceConnection.ts"
import { encode, endpoint, withoutNulls } from "./referenceRequest.ts"

const fromStatus = (status: number, body: string, url: URL, bug: string | undefined) => {
  const value = parse(body)
  const text = value === undefined ? body.slice(0, 200) : describe(value).slice(0, 1000)
  const code = bug === "drops-codes" ? undefined : codeOf(value)
  const details = { status, code, retryable: [408, 409, 429, 502, 503, 504].includes(status) }
  if (status === 401) return new Failure("Unauthorized", text, details)
  if (status === 403) return new Failure("Forbidden", text, details)
  if (status === 402 || (status === 429 && code === "insufficient_quota" && bug !== "quota-is-a-rate")) {
    return new Failure("QuotaExceeded", text, { ...details, retryable: false })
  }
  if (status === 404) {
    const isAboutModel = isObject(value) && /(^|[^/\w])model\b|model_not_found/i.test(text)
    if (isAboutModel || bug === "every-404-is-the-model") return new Failure("ModelNotFound", text, details)
    return new Failure("NotFound", `${url.origin}${url.pathname}${bug === "query-in-the-message" ? url.search : ""} ${text}`, details)
  }
  if (status === 429) return new Failure("RateLimited", text, details)
  if (status < 500) return new Failure("RequestRejected", text, details)
  if (isObject(value) && value["error"] === "service_maintenance") return new Failure("Maintenance", text, { status, retryable: false })
  return new Failure("ServerFault", text, details)
}

const partialOf = (chunks: ReadonlyArray<unknown>) => {
  const [first] = chunks as ReadonlyArray<Json>
  if (first === undefined) return undefined
  const has = (index: number) => chunks.some((chunk) => JSON.stringify(chunk).includes(`"index":${index}`))
  const choices = fold(chunks).choices.flatMap(({ calls, finish, reasoning, text }, index) => {
    const tool_calls = calls.map(({ id, name, arguments: args }) => ({ id, type: "function", function: { name, arguments: args } }))
    const message = {
      role: "assistant",
      content: text === "" ? null : text,
      ...(reasoning === "" ? {} : { reasoning }),
      ...(calls.length === 0 ? {} : { tool_calls })
    }
    return index > 0 && !has(index) ? [] : [{ index, message, finish_reason: finish ?? null }]
  })
  return { id: first["id"], object: "chat.completion", created: first["created"], model: first["model"], choices }
}

const keepKnown = (completion: Json): Json => {
  const known = new Set(["id", "object", "created", "model", "choices", "usage"])
  return Object.fromEntries(Object.entries(completion).filter(([key]) => known.has(key)))
}

const idHeaders = ["x-request-id", "apim-request-id", "x-litellm-call-id"]

const readError = async (response: Response, call: Limits, bug: string | undefined) => {
  if (bug === "reads-errors-to-their-end") return response.text()
  let text = ""
  const timer = AbortSignal.timeout(1000)
  const reader = response.body?.getReader()
  const stop = () => void reader?.cancel().catch(() => undefined)
  for (const signal of [timer, call.aborter.signal]) signal.addEventListener("abort", stop)
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true as const, value: undefined }
      if (done || text.length > 65_536) break
      text += new TextDecoder().decode(value)
    }
  } catch {
    // What came of it has to do.
  }
  stop()
  call.aborter.signal.throwIfAborted()
  return text
}

const sleep = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener("abort", () => {
      clearTimeout(timer)
      resolve()
    })
  })

const retryAfter = (headers: Headers, bug: string | undefined) => {
  if (bug === "ignores-retry-after") return undefined
  const exact = headers.get("retry-after-ms")
  if (exact !== null && /^\d+$/.test(exact)) return Number(exact)
  const value = headers.get("retry-after") ?? headers.get("llm_provider-retry-after") ?? ""
  if (/^\d+$/.test(value)) return Number(value) * 1000
  if (bug === "reads-dates-as-numbers") return value === "" ? undefined : Number.parseInt(value, 10) || undefined
  const date = /^[A-Z][a-z]{2},/.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : bug === "waits-for-past-dates" ? Math.abs(date - Date.now()) : Math.max(0, date - Date.now())
}

/** Where a call may be told to end: by its user, by its time, or by a stage of one attempt that took too long. */
interface Limits extends Call, ClientOptions {
  readonly aborter: AbortController
  /** The keys that the call has sent. */
  readonly sent: Array<string>
  readonly ids: Array<string>
  readonly cookies: Array<string>
  /** Whether no other attempt follows this one. */
  readonly isLast: boolean
}

const within = async <A>(
  promise: Promise<A>,
  stage: "headers" | "firstChunk" | "idle",
  call: Limits,
  bug: string | undefined
): Promise<A> => {
  const limit = bug === `no-${stage}-timeout` ? undefined : bug === "is-impatient" ? 20 : call.timeouts?.[stage]
  const ms = limit === undefined || bug !== "timeouts-come-late" ? limit : limit * 8
  if (ms === undefined) return await promise
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Failure("Timeout", `${stage} took too long`, { stage: bug === "one-timeout-for-all" ? "total" : stage }))
      if (bug !== "timeouts-keep-the-connection") call.aborter.abort()
    }, ms)
  })
  promise.catch(() => undefined)
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const perform = async (operation: Operation, call: Limits, bug: string | undefined, delivered: Array<unknown>): Promise<unknown> => {
  const { kind, request } = operation
  if (bug !== "sends-any-key" && !/^[\x21-\x7e]+$/.test(call.apiKey)) throw new Failure("InvalidConfiguration", "bad key")
  const url = endpoint(call.baseUrl, bug)
  if (bug === "knows-no-ipv6" && url.hostname.startsWith("[")) throw new Failure("ConnectFailed", "no such host")
  if (bug === "key-in-the-url") url.searchParams.set("key", call.apiKey)
  if (bug !== "sends-any-request") {
    if (typeof request["model"] !== "string") throw new Failure("InvalidRequest", "model is missing")
    const { messages } = request
    if (!Array.isArray(messages)) throw new Failure("InvalidRequest", "messages are missing")
    const roleless = messages.findIndex((message) => !isObject(message) || typeof message["role"] !== "string")
    if (roleless !== -1) throw new Failure("InvalidRequest", `messages[${roleless}] has no role`)
    if (Array.isArray(messages) && messages.length === 0) throw new Failure("InvalidRequest", "messages are empty")
    for (const name of ["temperature", "max_tokens"]) {
      if (typeof (request[name] ?? 0) !== "number") throw new Failure("InvalidRequest", `${name} is no number`)
    }
    if (request["max_tokens"] === 0) throw new Failure("InvalidRequest", "max_tokens is 0")
  }
  if (bug === "model-in-the-path") url.pathname += `/${JSON.stringify(request["model"])}`
  const streams = kind === "stream" || request["stream"] === true
  const given = bug === "sends-given-nulls" ? request : withoutNulls(request)
  const sent = spoilRequest({ ...given, ...(streams ? { stream: true } : {}), ...(bug === "sends-null" ? { stop: null } : {}) }, bug)
  if (bug === "drops-unknown-fields") for (const key of Object.keys(sent)) if (/^vendor|^guided/.test(key)) delete sent[key]
  if (bug === "counts-attempts-in-the-body") sent["attempt"] = ++sentBodies
  const media = streams && bug !== "never-accepts-streams" ? "application/json, text/event-stream" : "application/json"
  const accept = streams && bug === "accepts-streams-alone" ? "text/event-stream" : bug === "accepts-html" ? "text/html" : media
  const { body: encoded, type: contentType } = encode(kind, sent, bug)
  const init: RequestInit = {
    method: bug === "puts" ? "PUT" : "POST",
    headers: {
      accept,
      ...(bug === "sends-no-key" ? {} : { authorization: `Bearer ${call.apiKey}` }),
      ...(bug === "sends-cookies-back" && call.cookies.length > 0 ? { cookie: call.cookies.join("; ") } : {}),
      ...(bug === "traces-the-caller" ? { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" } : {}),
      ...(bug === "hangs-up-after-each-call" ? { connection: "close" } : {}),
      ...(contentType === undefined ? {} : { "content-type": contentType })
    },
    body: encoded,
    redirect: bug === "follows-redirects" ? "follow" : "manual",
    ...(bug === "ignores-aborts" ? {} : { signal: call.aborter.signal })
  }
  const response = await within(fetchOf(call, bug)(url, init), "headers", call, bug).catch((error: unknown) => {
    if (error instanceof Failure || call.signal.aborted || bug === "sends-any-key") throw error
    const code = ((error as Error).cause as { code?: string } | undefined)?.code
    const prompt = bug === "prompt-in-the-message" ? JSON.stringify(request) : ""
    if (/CERT|ALTNAME/.test(code ?? "") && bug !== "distrust-is-lost") throw new Failure("TlsFailed", "no trust", { retryable: false })
    if (code === "ECONNREFUSED" && bug !== "refused-is-lost") throw new Failure("ConnectFailed", "no connection", { retryable: true })
    throw new Failure("ConnectionLost", `no answer ${prompt}`, { retryable: true, phase: "headers" })
  })
  const { status } = response
  if (bug === "sends-cookies-back") call.cookies.push(...response.headers.getSetCookie())
  if (bug === "never-decompresses" && response.headers.has("content-encoding")) throw new Failure("UnexpectedResponse", "compressed")
  const about = { status, requestId: idHeaders.map((name) => response.headers.get(name)).find((id) => id !== null) ?? undefined }
  const clean = (text: string) => (bug === "repeats-what-the-server-says" ? text : mask(text, call.sent, bug))
  if (status >= 400 && bug === "any-page-is-an-answer") return { choices: [] }
  if (status >= 400) {
    const failure = fromStatus(status, clean(await readError(response, call, bug)), url, bug)
    if (bug === "key-in-the-cause") failure.cause = { request: init }
    if (bug === "prompt-in-the-message") failure.message += JSON.stringify(request)
    const wait = retryAfter(response.headers, bug)
    if (bug === "remembers-the-first-id") about.requestId = call.ids[0] ?? about.requestId
    call.ids.push(...(about.requestId === undefined ? [] : [about.requestId]))
    const details = { ...failure.details, ...(bug === "loses-the-request-id" ? {} : about), printed: printedForms(failure) }
    throw new Failure(failure.reason, failure.message, details, wait)
  }
  if (status >= 300) {
    await response.body?.cancel()
    throw new Failure("RedirectRefused", "redirected", { status })
  }
  const type = response.headers.get("content-type") ?? ""
  if (bug === "content-types-to-the-letter" && !/^(application\/json|text\/event-stream|)$/.test(type))
    throw new Failure("UnexpectedResponse", type)
  const isAnswer = status === 200 || bug === "any-success-is-an-answer"
  const unexpected = (text: string) => new Failure("UnexpectedResponse", `no completion: ${clean(text)}`, about)
  if (!isAnswer) throw unexpected(await response.text())
  if (streams) {
    if (response.body === null) throw unexpected("")
    const isLabelled = /^text\/event-stream/i.test(type)
    if (!isLabelled && bug === "any-page-is-an-empty-stream") return undefined
    const peeking = isLabelled || bug === "trusts-content-types" ? ([isLabelled, response.body] as const) : peek(response.body)
    const [isStream, body] = await within(Promise.resolve(peeking), "firstChunk", call, bug)
    if (!isStream) {
      const text = await new Response(body).text()
      throw fault(parse(text), text, "", bug) ?? unexpected(text)
    }
    const charset = /charset=([\w-]+)/.exec(type)?.[1]
    const decoding = bug === "believes-the-charset" && charset !== undefined && charset !== "utf-8" ? "reads-latin-1" : bug
    const source = bug === "reads-ahead" ? new Blob([await readAhead(body, 20_000_000)]).stream() : body
    const iterator = chunks(source, decoding, call.isLast)
    const { requestId } = about
    try {
      const after = bug === "the-headers-limit-goes-on" ? "headers" : "idle"
      for (let stage: "firstChunk" | "headers" | "idle" = "firstChunk"; ; stage = after) {
        const { done, value } = await within(iterator.next(), stage, call, bug).catch((error: unknown) => {
          if (!(error instanceof Failure) || bug === "loses-the-request-id") throw error
          throw new Failure(error.reason, error.message, { ...error.details, requestId })
        })
        if (done === true) break
        delivered.push(value)
        const told = performance.now()
        await call.onChunk(value)
        if (bug === "pauses-are-idle" && performance.now() - told > 200) throw new Failure("Timeout", "idle", { stage: "idle" })
        if (delivered.length === call.take) break
      }
    } finally {
      // A read that hangs would have the iterator's end wait for it.
      const ended = iterator.return(undefined).catch(() => undefined)
      if (!call.aborter.signal.aborted && bug !== "timeouts-keep-the-connection") await ended
    }
    return undefined
  }
  const body = await response.text().catch((error: unknown) => {
    call.aborter.signal.throwIfAborted()
    if (bug === "cut-off-is-bad-json") throw unexpected("")
    throw new Failure("ConnectionLost", (error as Error).name, { phase: "body", retryable: bug === "retries-half-bodies" })
  })
  if (bug === "limits-sizes" && body.length > 4_000_000) throw unexpected("too large")
  const value = parse(bug === "keeps-bom" ? `\ufeff${body}` : body)
  const error = bug === "ignores-errors-in-200" ? undefined : fault(value, body, "", bug)
  if (error !== undefined) throw error
  if (bug === "any-page-is-an-empty-completion" && value === undefined) return { choices: [] }
  if (!isChunk(value)) throw unexpected(`choices? ${body.slice(0, 100)}`)
  if (lacks(value, bug)) throw unexpected("something is missing")
  if (bug !== "mends-nothing") mendCompletion(value, bug)
  if (bug === "drops-unknown-response-fields") return keepKnown(value)
  if (bug === "zero-for-missing-usage") value["usage"] ??= { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
  const choices = value["choices"] as ReadonlyArray<Json>
  if (bug !== "takes-abort-for-success" && choices.some((choice) => choice["finish_reason"] === "abort")) {
    throw new Failure("Aborted", "the answer was aborted", { ...about, retryable: true, partial: value })
  }
  if (bug === "pollutes-prototypes" && body.includes("__proto__")) value["polluted"] = true
  const spoiled = spoilResponse(value, bug)
  if (spoiled === undefined) throw unexpected("refused")
  return spoiled
}

let sentBodies = 0

const repeat = async (operation: Operation, call: Asking, bug: string | undefined, delivered: Array<unknown>) => {
  const total = call.timeouts?.total === undefined || bug === "no-total-timeout" ? undefined : AbortSignal.timeout(call.timeouts.total)
  const most = bug === "never-retries" ? 1 : (call.retry?.attempts ?? 3) + (bug === "retries-once-more" ? 1 : 0)
  let apiKey = call.ask()
  let isReplaced = false
  for (let attempt = 1; ; attempt++) {
    call.sent.push(apiKey)
    const aborter = new AbortController()
    const stop = () => aborter.abort()
    for (const signal of [call.signal, total]) {
      if (signal?.aborted === true) stop()
      signal?.addEventListener("abort", stop)
    }
    try {
      return await perform(operation, { ...call, apiKey, aborter, isLast: attempt >= most }, bug, delivered)
    } catch (error) {
      if (total?.aborted === true && !call.signal.aborted) throw new Failure("Timeout", "the call took too long", { stage: "total" })
      if (error instanceof Failure && error.reason === "Unauthorized" && call.apiKeys !== undefined && !isReplaced) {
        const other = bug === "never-asks-again" ? apiKey : call.ask()
        isReplaced = bug !== "asks-for-ever"
        if (other !== apiKey || bug === "sends-the-same-key-again") {
          apiKey = other
          attempt--
          continue
        }
      }
      const retried =
        error instanceof Failure &&
        (delivered.length === 0 || bug === "retries-what-was-delivered") &&
        (bug !== "never-retries-aborts" || error.reason !== "Aborted") &&
        (error.details.retryable === true ||
          bug === "retries-everything" ||
          (bug === "retries-422" && error.details.status === 422) ||
          (bug === "retries-in-secret" && error.details.status === 500))
      if (!retried || attempt >= most) throw error
      const backoff = (call.retry?.baseDelay ?? 10) * (bug === "backs-off-evenly" ? 1 : 2 ** (attempt - 1))
      const wait = error.retryAfter ?? 0
      if (wait > 60_000 && bug !== "waits-for-ever") throw error
      await sleep(
        Math.max(backoff, wait),
        bug === "retries-after-aborts"
          ? new AbortController().signal
          : AbortSignal.any(total === undefined ? [call.signal] : [call.signal, total])
      )
      if (bug !== "retries-after-aborts") call.signal.throwIfAborted()
      if (total?.aborted === true) throw new Failure("Timeout", "the call took too long", { stage: "total" })
      if (bug !== "asks-once") apiKey = call.ask()
    }
  }
}

const usageOf = (delivered: ReadonlyArray<unknown>, bug: string | undefined) => {
  const usages = (delivered as ReadonlyArray<Json>).map((chunk) => chunk["usage"]).filter(isObject)
  return usages.at(bug === "remembers-the-first-usage" ? 0 : -1)
}

interface Asking extends Call, ClientOptions {
  /** Gets a key. */
  readonly ask: () => string
  readonly sent: Array<string>
  /** The request ids and the cookies of earlier responses. */
  readonly ids: Array<string>
  readonly cookies: Array<string>
}

const answer = async (operation: Operation, call: Asking, bug: string | undefined): Promise<Outcome> => {
  const delivered: Array<unknown> = []
  try {
    if (bug !== "ignores-aborts") call.signal.throwIfAborted()
    const completion = await repeat(operation, call, bug, delivered)
    if (bug !== "ignores-aborts") call.signal.throwIfAborted()
    const streams = operation.kind === "stream" || operation.request["stream"] === true
    return !streams ? { outcome: "completion", chunks: [], completion } : { outcome: "chunks", chunks: delivered }
  } catch (error) {
    if (call.signal.aborted && bug !== "ignores-aborts") return { outcome: "aborted", chunks: delivered }
    const folded = (keys: ReadonlyArray<string>): unknown => {
      const partial = partialOf(delivered)
      return bug === "masks-the-model" && partial !== undefined ? parse(mask(JSON.stringify(partial), keys, bug)) : partial
    }
    const failure = error instanceof Failure ? error : new Failure("Unknown", String(error))
    const message = bug === "repeats-what-the-server-says" ? failure.message : mask(failure.message, call.sent, bug)
    return {
      outcome: "error",
      chunks: bug === "forgets-chunks-when-it-fails" ? [] : delivered,
      error: spoilError(
        {
          reason: failure.reason,
          message: bug === "key-in-the-message" ? `${message} ${call.apiKey}` : message,
          retryable: false,
          partial: bug === "forgets-what-had-come" ? undefined : folded(call.sent),
          usage: bug === "forgets-usage" ? undefined : usageOf(delivered, bug),
          ...failure.details,
          ...(bug === "everything-is-worth-another-try" ? { retryable: true } : {}),
          printed: { ...failure.details.printed, message: bug === "key-in-the-message" ? `${message} ${call.apiKey}` : message }
        },
        bug
      )
    }
  }
}

/** The client without a bug, or with one. */
export const makeReference = (bug?: string): Subject => ({
  name: bug ?? "reference",
  runtime: "node",
  capabilities: [
    "abort",
    "br",
    "ca",
    "deflate",
    "gzip",
    "form",
    "house",
    "http2",
    "keys",
    "multipart",
    "proxy",
    "retry",
    "timeouts",
    "utf16",
    "zstd"
  ],
  open: (options) => {
    let asked = 0
    const cookies: Array<string> = []
    const ask = () => options.apiKeys?.[Math.min(asked++, options.apiKeys.length - 1)] ?? options.apiKey
    return {
      close: async () => undefined,
      call: (operation, call) => answer(operation, { ...options, ...call, ask, sent: [], ids: [], cookies }, bug)
    }
  }
})
