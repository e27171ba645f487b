/**
 * The reference client's reading of streams; each `bug` spoils it in one way.
 */
import { codeOf, describe, Failure, isObject, type Json, parse, tryParse } from "./referenceData.ts"
import { spoilResponse } from "./referenceBugs.ts"

const sharedDecoder = new TextDecoder()

// No event has this name.
const endOfRead = "\n"

/** Events of a server-sent event stream, by the letter of the standard; `bug` spoils it. */
async function* events(reads: AsyncIterable<Uint8Array>, bug: string | undefined) {
  const options = { ignoreBOM: bug === "keeps-bom", fatal: bug === "refuses-broken-characters" }
  const decoder = bug === "shares-a-decoder" ? sharedDecoder : new TextDecoder(bug === "reads-latin-1" ? "latin1" : "utf-8", options)
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
        if (complete || bug !== "names-outlive-empty-events") name = ""
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
      if (field === "event") name = trimmed === "" && bug === "empty-names-are-ignored" ? name : trimmed
      if (field === "id" && bug === "ids-divide-events") data = []
      if (field === "error") yield { data: trimmed, name: "error:" }
    }
    unfinished.push(text.slice(start))
    if (bug === "limits-sizes" && unfinished.length * text.length > 4_000_000) throw new Failure("MalformedChunk", "too large")
    yield { data: "", name: endOfRead }
  }
  if (held !== undefined) yield held
  if (bug === "tells-unfinished-events" && data.length > 0) yield { data: data.join("\n"), name }
}

export const fault = (value: unknown, data: string, name: string, bug: string | undefined, isAfterChunks = false): Failure | undefined => {
  const make = (body: unknown) => {
    const status = isObject(body) && typeof body["code"] === "number" ? body["code"] : undefined
    const code = bug === "drops-codes" ? undefined : codeOf(body)
    return new Failure("StreamFault", describe(body), { ...(status === undefined ? {} : { status }), code })
  }
  if (name === "error" && bug !== "ignores-event-names") return make(value ?? data)
  const unescaped = value === undefined ? /^\{"error": "(.*)"\}$/.exec(data)?.[1] : undefined
  if (unescaped !== undefined) return make(unescaped)
  if (!isObject(value)) return undefined
  const { choices } = value
  const groq = value["x_groq"]
  const error = value["error"] ?? (isObject(groq) ? groq["error"] : undefined)
  if (bug === "ignores-errors-after-chunks" && isAfterChunks) return undefined
  if (value["error"] === null && bug === "null-is-an-error") return make(error)
  if (typeof error === "string" && bug !== "ignores-string-errors") return make(error)
  if (isObject(error) && bug !== "ignores-nested-errors") return make(error)
  if (value["object"] === "error" && bug !== "ignores-flat-errors") return make(value)
  if (choices === undefined && (typeof value["detail"] === "string" || typeof value["code"] === "string")) return make(value)
  const choice: unknown = Array.isArray(choices)
    ? choices.find((item: unknown) => isObject(item) && (isObject(item["error"]) || item["finish_reason"] === "error"))
    : undefined
  return isObject(choice) && bug !== "ignores-errors-in-choices" ? make(choice["error"]) : undefined
}

const isChoice = (value: unknown) =>
  isObject(value) && (value["index"] === undefined || typeof value["index"] === "number") && typeof value["message"] !== "string"

export const isChunk = (value: unknown): value is Json =>
  isObject(value) && Array.isArray(value["choices"]) && value["choices"].every(isChoice)

const needs: Readonly<Record<string, (chunk: string) => boolean>> = {
  "needs-an-id": (chunk) => !/"id":"/.test(chunk),
  "needs-an-index": (chunk) => /"choices":\[\{/.test(chunk) && !/"index":0/.test(chunk),
  "needs-a-delta": (chunk) => /"choices":\[\{/.test(chunk) && !/"delta":\{|"message"/.test(chunk),
  "needs-choices": (chunk) => /"choices":\[\]/.test(chunk),
  "needs-usage": (chunk) => !/"usage":\{/.test(chunk)
}

/** Whether a bug makes something necessary that a response lacks. */
export const lacks = (value: unknown, bug: string | undefined): boolean => needs[bug ?? ""]?.(JSON.stringify(value) ?? "") === true

const number = (value: unknown) => (typeof value === "string" && value !== "" ? Number(value) : value)
const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 0

const mendUsage = (usage: unknown, bug: string | undefined): unknown => {
  if (!isObject(usage)) return undefined
  let [prompt, completion, total] = ["prompt_tokens", "completion_tokens", "total_tokens"].map((name) => number(usage[name]))
  if (isCount(prompt) && isCount(total)) completion = isCount(completion) ? completion : total - prompt
  if (isCount(completion) && isCount(total)) prompt = isCount(prompt) ? prompt : total - completion
  if (!isCount(prompt) || !isCount(completion)) {
    if (bug === "refuses-usage-without-counts") throw new Failure("MalformedChunk", "usage has no counts")
    return undefined
  }
  total = isCount(total) ? total : prompt + completion
  return { ...usage, prompt_tokens: prompt, completion_tokens: completion, total_tokens: total }
}

const textOf = (value: unknown): string =>
  typeof value === "string" ? value : Array.isArray(value) ? value.map((part) => textOf(isObject(part) ? part["text"] : part)).join("") : ""

const toolCallsOf = (message: Json) => (message["tool_calls"] ?? []) as ReadonlyArray<Json>

// A message or a delta: parts of a text become the text, calls a list, their arguments JSON text or `empty`.
const mendMessage = (message: Json, empty: string) => {
  if (message["role"] === "") delete message["role"]
  if (message["reasoning"] === message["reasoning_content"]) delete message["reasoning_content"]
  for (const name of ["reasoning", "reasoning_content"]) if (Array.isArray(message[name])) message[name] = textOf(message[name])
  if (Array.isArray(message["content"])) {
    const thoughts = message["content"].filter((part) => isObject(part) && "thinking" in part) as ReadonlyArray<Json>
    if (thoughts.length > 0) message["reasoning"] = thoughts.map((part) => textOf(part["thinking"])).join("")
    message["content"] = textOf(message["content"])
  }
  if (isObject(message["tool_calls"])) message["tool_calls"] = [message["tool_calls"]]
  if (!Array.isArray(message["tool_calls"])) delete message["tool_calls"]
  for (const call of toolCallsOf(message)) {
    const called = call["function"]
    if (typeof call["id"] === "number") call["id"] = String(call["id"])
    if (isObject(called) && "arguments" in called && typeof called["arguments"] !== "string") {
      called["arguments"] = isObject(called["arguments"]) ? JSON.stringify(called["arguments"]) : empty
    }
  }
}

/** A completion as this client reads it: what deviates is mended or taken out. */
export const mendCompletion = (value: Json, bug: string | undefined): Json => {
  value["usage"] = mendUsage(value["usage"], bug)
  for (const choice of value["choices"] as ReadonlyArray<Json>) {
    const { message } = choice
    if (!isObject(message)) continue
    mendMessage(message, "{}")
    message["role"] ??= "assistant"
    for (const [i, call] of toolCallsOf(message).entries()) call["id"] ||= `call_${i}`
  }
  return value
}

interface Called {
  id: unknown
  readonly isNamed: boolean
  readonly name: unknown
  text: string
}

/** The chunks of one stream: which calls its indices stand for, and what arrived. */
class Mender {
  readonly #bug: string | undefined
  readonly #calls = new Map<unknown, Array<Called>>()
  readonly #current = new Map<string, number>()
  readonly #texts = new Map<unknown, string>()

  constructor(bug: string | undefined) {
    this.#bug = bug
  }

  /** A chunk; `undefined` when there is none. */
  chunk(value: Json): Json | undefined {
    value["usage"] = mendUsage(value["usage"], this.#bug)
    if (!isObject(value["usage"])) delete value["usage"]
    if (value["choices"] === null || value["choices"] === undefined) {
      if (value["usage"] === undefined) return undefined
      value["choices"] = []
    }
    if (!isChunk(value)) return value
    for (const choice of value["choices"] as ReadonlyArray<Json>) this.#choice(choice)
    return value
  }

  #choice(choice: Json) {
    const index = choice["index"] ?? 0
    const before = this.#texts.get(index) ?? ""
    if (["", "null", "None", undefined].includes(choice["finish_reason"] as string | undefined)) choice["finish_reason"] = null
    if (isObject(choice["message"]) && choice["delta"] === undefined) {
      const { message } = choice
      const text = textOf(message["content"])
      const isNew = (this.#calls.get(index) ?? []).length === 0 && message["tool_calls"] !== undefined
      choice["delta"] = {
        content: text.startsWith(before) ? text.slice(before.length) : "",
        ...(isNew ? { tool_calls: message["tool_calls"] } : {})
      }
      delete choice["message"]
    }
    const delta = isObject(choice["delta"]) ? choice["delta"] : {}
    mendMessage(delta, "")
    this.#texts.set(index, before + textOf(delta["content"]))
    const known = this.#calls.get(index) ?? []
    this.#calls.set(index, known)
    for (const call of toolCallsOf(delta)) call["index"] = this.#place(index, known, call)
    if (choice["finish_reason"] === null) return
    const made = known.flatMap((call, i) => (call.id === undefined ? [{ index: i, id: `call_${i}` }] : []))
    if (made.length > 0) choice["delta"] = { ...delta, tool_calls: [...toolCallsOf(delta), ...made] }
  }

  #place(choice: unknown, known: Array<Called>, call: Json): number {
    const id = call["id"] || undefined
    const index = typeof call["index"] === "string" && /^\d+$/.test(call["index"]) ? Number(call["index"]) : call["index"]
    const wire = isCount(index) ? `${String(choice)} ${index}` : undefined
    const called = isObject(call["function"]) ? call["function"] : {}
    const { name } = called
    const isNamed = typeof name === "string"
    let at = wire === undefined ? (id === undefined && !isNamed ? known.length - 1 : -1) : (this.#current.get(wire) ?? -1)
    if (this.#bug === "joins-calls-of-one-index" && isCount(index)) return index
    const before = known[at]
    if (id !== undefined && (at === -1 || (before?.id ?? id) !== id))
      at = wire === undefined || at !== -1 ? known.findIndex((item) => item.id === id) : -1
    // A whole call that another name follows is over.
    else if (id === undefined && isNamed && before !== undefined && before.name !== name && tryParse(before.text) !== undefined) at = -1
    if (at === -1) at = known.push({ id, isNamed, name, text: "" }) - 1
    const item = known[at]
    if (item !== undefined) {
      item.id ??= id
      // Some servers send the whole arguments again at the end.
      if (item.text !== "" && called["arguments"] === item.text && isObject(tryParse(item.text))) called["arguments"] = ""
      if (typeof called["arguments"] === "string") item.text += called["arguments"]
    }
    if (wire !== undefined) this.#current.set(wire, at)
    return at
  }
}

async function* reads(body: ReadableStream<Uint8Array>, bug: string | undefined) {
  const reader = body.getReader()
  let ended = false
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => {
        ended = true
        if (bug === "a-broken-stream-has-ended") return { done: true, value: undefined } as const
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

async function* remembering(source: AsyncIterable<Uint8Array>, beginning: Array<string>) {
  let size = 0
  for await (const read of source) {
    if (size < 4096) beginning.push(new TextDecoder().decode(read.subarray(0, 4096)))
    size += read.length
    yield read
  }
}

async function* decode(body: ReadableStream<Uint8Array>, bug: string | undefined) {
  const finished = new Set<unknown>()
  const unfinished = new Set<unknown>()
  const aborted = new Set<unknown>()
  const mender = new Mender(bug)
  const beginning: Array<string> = []
  let any = false
  let over = false
  let last: unknown
  const end = () => {
    if (aborted.size > 0 && bug !== "takes-abort-for-success") throw new Failure("Aborted", "the choice was aborted", { retryable: true })
    if (any || bug === "empty-streams-are-fine") return
    const text = beginning.join("")
    const value = parse(text)
    throw (isObject(value) ? fault(value, text, "", bug) : undefined) ?? new Failure("StreamTruncated", `no chunk: ${text.slice(0, 200)}`)
  }
  for await (const { data, name } of events(remembering(reads(body, bug), beginning), bug)) {
    if (name === endOfRead) {
      yield endOfRead
      continue
    }
    if (over && bug === "waits-for-the-end") continue
    if (name === "error:") throw fault(parse(data), data, "error", bug) ?? new Failure("StreamFault", data)
    if (data.trim() === "[DONE]" || (bug === "done-is-a-prefix" && data.startsWith("[DONE]"))) {
      over = true
      if (bug === "waits-for-the-end" || bug === "reads-on-after-done") continue
      if (bug === "drops-the-last-chunk") return
      if (last !== undefined) yield last
      end()
      if (unfinished.size > 0 && finished.size === 0 && bug !== "takes-done-for-success") {
        throw new Failure("StreamTruncated", "the stream ended with [DONE] before any choice had a finish reason")
      }
      return
    }
    if (data.trim() === "" && bug !== "heartbeats-are-malformed") continue
    const parsed = parse(data)
    const error = fault(parsed, data, name, bug, any)
    if (error !== undefined) throw error
    const mended = isObject(parsed) && bug !== "mends-nothing" ? mender.chunk(parsed) : parsed === null ? undefined : (parsed ?? data)
    if (mended === undefined) continue
    const value = spoilResponse(mended, bug)
    if (bug === "drops-unknown-chunk-fields" && isObject(value)) delete value["vendor"]
    if (bug === "needs-a-role" && !any && !data.includes('"role"')) throw new Failure("MalformedChunk", "no role")
    if (!isChunk(value) || lacks(value, bug)) {
      if (bug === "skips-malformed-chunks") continue
      throw new Failure("MalformedChunk", "an event is no chunk")
    }
    any = true
    for (const choice of (value as { readonly choices: ReadonlyArray<Json> }).choices) {
      const index = choice["index"] ?? 0
      if (choice["finish_reason"] === "abort") aborted.add(index)
      if (typeof choice["finish_reason"] === "string" || (choice["finish_reason"] === null && bug === "null-finishes")) {
        finished.add(index)
        unfinished.delete(index)
      } else if (!finished.has(index)) unfinished.add(index)
      if (bug === "mixes-choices") (choice as { index: number }).index = 0
    }
    if (bug === "drops-usage" && (value as { readonly choices: ReadonlyArray<Json> }).choices.length === 0) continue
    if (bug === "drops-the-last-chunk") {
      if (last !== undefined) yield last
      last = value
    } else yield value
    if (bug === "ends-at-the-finish-reason" && any && unfinished.size === 0) return
  }
  if (bug === "succeeds-when-truncated") return
  end()
  if (over) return
  if (bug === "empty-streams-are-fine" && !any) return
  if (!any || unfinished.size > 0 || (bug === "needs-done" && !over)) throw new Failure("StreamTruncated", "the stream ended early")
}

/** The chunks of a stream. Those of one read are held until its end: a stream that is asked for again has delivered nothing. */
export async function* chunks(body: ReadableStream<Uint8Array>, bug: string | undefined, isLast: boolean) {
  let held: Array<unknown> = []
  let isDelivering = isLast || bug === "delivers-aborted-streams"
  try {
    for await (const value of decode(body, bug)) {
      if (value !== endOfRead) held.push(value)
      if (value !== endOfRead && !isDelivering) continue
      const read = held
      held = []
      if (read.length > 0) isDelivering = true
      yield* read
    }
  } catch (error) {
    if (!isDelivering && error instanceof Failure && error.details.retryable === true) throw error
    yield* held
    throw error
  }
  yield* held
}

/** Whether the body of a response without a usable content type is an event stream, and the body. */
export const peek = async (body: ReadableStream<Uint8Array>): Promise<readonly [isStream: boolean, body: ReadableStream<Uint8Array>]> => {
  const [copy, rest] = body.tee()
  const reader = copy.getReader()
  const decoder = new TextDecoder()
  let beginning = ""
  while (beginning.trimStart().length < 7) {
    const { done, value } = await reader.read()
    if (done) break
    beginning += decoder.decode(value, { stream: true })
  }
  void reader.cancel()
  return [/^\s*(data|event|id|retry|error)?:/.test(beginning), rest]
}
