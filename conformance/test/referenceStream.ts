/**
 * The reference client's reading of streams; each `bug` spoils it in one way.
 */
import type { SubjectError } from "../src/Subject.ts"

export type Json = Record<string, unknown>

export class Failure extends Error {
  readonly details: Partial<SubjectError>
  readonly reason: SubjectError["reason"]
  readonly retryAfter: number | undefined
  constructor(reason: SubjectError["reason"], message: string, details: Partial<SubjectError> = {}, retryAfter?: number) {
    super(`${reason}: ${message}`)
    this.reason = reason
    this.details = details
    this.retryAfter = retryAfter
  }
}

export const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

export const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The word or code of an error body: Paradigm's `error` if it is a word, else `code`, nested or not. */
export const codeOf = (value: unknown): string | undefined => {
  if (!isObject(value)) return undefined
  const { code, error } = value
  if (isObject(error)) return codeOf(error)
  const word = typeof error === "string" && /^\w+$/.test(error) ? error : code
  return typeof word === "string" || typeof word === "number" ? String(word) : undefined
}

export const describe = (value: unknown): string =>
  typeof value === "string"
    ? value
    : isObject(value) || Array.isArray(value)
      ? Object.entries(value)
          .map(([key, item]) => `${key} ${describe(item)}`)
          .join(" ")
      : ""

const sharedDecoder = new TextDecoder()

/** Events of a server-sent event stream, by the letter of the standard; `bug` spoils it. */
async function* events(reads: AsyncIterable<Uint8Array>, bug: string | undefined) {
  const decoder = bug === "shares-a-decoder" ? sharedDecoder : new TextDecoder("utf-8", { ignoreBOM: bug === "keeps-bom" })
  let unfinished = [""]
  let afterCr = false
  let data: Array<string> = []
  let name = ""
  let held: { data: string; name: string } | undefined
  const lineEnd = bug === "lines-end-in-lf-only" ? /\n/g : bug === "unicode-line-ends" ? /\r\n|\r|\n|\u2028/g : /\r\n|\r|\n/g
  for await (const read of reads) {
    const text = bug === "decodes-each-read-alone" ? new TextDecoder().decode(read) : decoder.decode(read, { stream: true })
    let start: number = afterCr && text.startsWith("\n") && bug !== "split-crlf-is-two-ends" ? 1 : 0
    if (text !== "") afterCr = false
    lineEnd.lastIndex = start
    for (let end: RegExpExecArray | null = lineEnd.exec(text); end !== null; end = lineEnd.exec(text)) {
      const line = unfinished.join("") + text.slice(start, end.index)
      unfinished = []
      start = lineEnd.lastIndex
      afterCr = end[0] === "\r" && start === text.length
      if (line === "") {
        const event = { data: data.join(bug === "joins-data-lines-without-a-line-end" ? "" : "\n"), name }
        const complete = data.length > 0
        data = []
        name = ""
        if (!complete) continue
        if (bug === "waits-for-the-next-event") {
          if (held !== undefined) yield held
          held = event
        } else yield event
        continue
      }
      const colon = line.indexOf(":")
      if (colon === 0 && bug !== "reads-comments") continue
      const field = colon === -1 ? line : line.slice(colon === 0 ? 1 : 0, colon === 0 ? line.indexOf(":", 1) : colon)
      const value = colon === -1 ? "" : line.slice(colon === 0 ? line.indexOf(":", 1) + 1 : colon + 1)
      const trimmed = bug === "needs-the-space" ? value.slice(1) : value.replace(/^ /, "")
      if (field === "data" || (bug === "ignores-case" && field.toLowerCase() === "data")) data.push(trimmed)
      if (field === "event") name = trimmed
    }
    unfinished.push(text.slice(start))
  }
  if (held !== undefined) yield held
  if (bug === "tells-unfinished-events" && data.length > 0) yield { data: data.join("\n"), name }
}

export const fault = (value: unknown, data: string, name: string, bug: string | undefined): Failure | undefined => {
  const make = (body: unknown) => {
    const status = isObject(body) && typeof body["code"] === "number" ? body["code"] : undefined
    const code = bug === "drops-codes" ? undefined : codeOf(body)
    return new Failure("StreamFault", describe(body), { ...(status === undefined ? {} : { status }), code })
  }
  if (name === "error" && bug !== "ignores-event-names") return make(value ?? data)
  if (!isObject(value)) return undefined
  const { choices, error } = value
  if (error === null && bug === "null-is-an-error") return make(error)
  if (typeof error === "string" && bug !== "ignores-string-errors") return make(error)
  if (isObject(error) && bug !== "ignores-nested-errors") return make(error)
  if (value["object"] === "error" && bug !== "ignores-flat-errors") return make(value)
  const choice: unknown = Array.isArray(choices)
    ? choices.find((item: unknown) => isObject(item) && (isObject(item["error"]) || item["finish_reason"] === "error"))
    : undefined
  return isObject(choice) && bug !== "ignores-errors-in-choices" ? make(choice["error"]) : undefined
}

const isChoice = (value: unknown) =>
  isObject(value) && (value["index"] === undefined || typeof value["index"] === "number") && typeof value["message"] !== "string"

export const isChunk = (value: unknown) => isObject(value) && Array.isArray(value["choices"]) && value["choices"].every(isChoice)

async function* reads(body: ReadableStream<Uint8Array>, bug: string | undefined) {
  const reader = body.getReader()
  let ended = false
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => {
        ended = true
        throw new Failure("ConnectionLost", "the connection broke", { phase: "body" })
      })
      ended = done
      if (done) return
      yield value
    }
  } finally {
    if (!ended && bug !== "keeps-the-connection") await reader.cancel()
  }
}

export async function* chunks(body: ReadableStream<Uint8Array>, bug: string | undefined) {
  const unfinished = new Set<unknown>()
  let any = false
  let over = false
  let last: unknown
  for await (const { data, name } of events(reads(body, bug), bug)) {
    if (over && bug === "waits-for-the-end") continue
    if (data === "[DONE]" || (bug === "done-is-a-prefix" && data.startsWith("[DONE]"))) {
      over = true
      if (bug === "waits-for-the-end" || bug === "reads-on-after-done") continue
      if (bug === "drops-the-last-chunk") return
      if (last !== undefined) yield last
      return
    }
    const value = parse(data)
    const error = fault(value, data, name, bug)
    if (error !== undefined) throw error
    if (bug === "drops-unknown-chunk-fields" && isObject(value)) delete value["vendor"]
    if (bug === "needs-a-role" && !any && !data.includes('"role"')) throw new Failure("MalformedChunk", "no role")
    if (!isChunk(value)) {
      if (bug === "skips-malformed-chunks") continue
      throw new Failure("MalformedChunk", "an event is no chunk")
    }
    any = true
    for (const choice of (value as { readonly choices: ReadonlyArray<Json> }).choices) {
      if (typeof choice["finish_reason"] === "string" || (choice["finish_reason"] === null && bug === "null-finishes"))
        unfinished.delete(choice["index"] ?? 0)
      else unfinished.add(choice["index"] ?? 0)
      if (bug === "mixes-choices") (choice as { index: number }).index = 0
    }
    if (bug === "drops-usage" && (value as { readonly choices: ReadonlyArray<Json> }).choices.length === 0) continue
    if (bug === "drops-the-last-chunk") {
      if (last !== undefined) yield last
      last = value
    } else yield value
    if (bug === "ends-at-the-finish-reason" && any && unfinished.size === 0) return
  }
  if (over || bug === "succeeds-when-truncated") return
  if (!any || unfinished.size > 0) throw new Failure("StreamTruncated", "the stream ended early")
}
