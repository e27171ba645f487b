/**
 * The events of a model server's stream: what is complete, whether the stream is whole, and what is in it that the client must not get. Cuts
 * only between events, and parses an event only if its bytes show a reason to.
 *
 * Bytes are handled as text with a Latin-1 character for each, so that nothing is decoded and nothing is lost.
 */
import * as ErrorBody from "@paradigm-effect/core/ErrorBody"
import type { StreamFault } from "@paradigm-effect/core/ParadigmError"
import * as Predicate from "effect/Predicate"

/** Token counts of a request. */
export interface TokenCounts {
  readonly prompt: number
  readonly completion: number
  readonly cached: number
  readonly reasoning: number
}

const integer = (value: unknown) => (Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : 0)

/** The counts in a `usage` object; `undefined` for anything else. */
export const tokenCounts = (usage: unknown): TokenCounts | undefined => {
  if (!Predicate.isObject(usage)) return undefined
  const details = (name: string) => (Predicate.isObject(usage[name]) ? usage[name] : {})
  return {
    prompt: integer(usage["prompt_tokens"]),
    completion: integer(usage["completion_tokens"]),
    cached: integer(details("prompt_tokens_details")["cached_tokens"]),
    reasoning: integer(details("completion_tokens_details")["reasoning_tokens"])
  }
}

const latin1 = (text: string) => Buffer.from(JSON.stringify(text)).toString("latin1")

/** Replaces the model's name at its server by the name that was asked for. */
export const renaming = (from: string, to: string): ((text: string) => string) => {
  if (from === to) return (text) => text
  const [old, name] = [latin1(from), latin1(to)]
  return (text) => text.replaceAll(`"model":${old}`, `"model":${name}`).replaceAll(`"model": ${old}`, `"model": ${name}`)
}

const utf8Of = (latin1: string) => Buffer.from(latin1, "latin1").toString("utf8")

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

// Past the last complete event, 0 if there is none. A blank line ends an event, with any line ends.
const endOfEvents = (text: string): number => {
  const ends = (text.includes("\r") ? ["\n\n", "\n\r\n", "\r\r", "\r\r\n"] : ["\n\n"]).map((blank) => {
    const at = text.lastIndexOf(blank)
    return at === -1 ? 0 : at + blank.length
  })
  return Math.max(...ends)
}

const dataLine = /(?:^|[\r\n])data:/
// An event with one of these is parsed. Inside a JSON string the quote would be escaped, so that `"finish_reason":` is a key.
const remarkable = /\[DONE\]|"error|event: ?error|base_resp|"finish_reason" ?: ?"|"usage" ?: ?\{/
const oneEvent = /[^]*?(?:\r\n\r\n|\n\n|\r\r|\n\r\n|\r\r\n)/g

/** Options of a tail. */
export interface Options {
  /** Number of choices that were asked for. */
  readonly choices: number
  /** Whether the usage event is withheld, because the gateway asked for it and not the client. */
  readonly withholdUsage: boolean
  readonly rename: (text: string) => string
  /** Maximum size of an event, in bytes. */
  readonly maxEvent: number
}

/** Reads one stream. */
export class EventTail {
  readonly #options: Options
  #held: Array<string> = []
  #heldBytes = 0
  // The end of what is held: the beginning of a blank line.
  #seam = ""
  readonly #finished = new Set<number>()

  /** Whether an event with data came. */
  hasEvents = false
  /** Whether `[DONE]` came. */
  isDone = false
  /** The event that ended the stream, as it came. */
  marker: string | undefined = undefined
  /** An error in an event, which is not forwarded. Nothing after it is read. */
  fault: StreamFault | undefined = undefined
  /** Whether the model server aborted a choice. The event is not forwarded. */
  isAborted = false
  isTooLarge = false
  /** The last token counts. */
  usage: TokenCounts | undefined = undefined
  /** Number of events whose data is not JSON. They are forwarded. */
  malformed = 0

  constructor(options: Options) {
    this.#options = options
  }

  /** Whether nothing more is read. */
  get isOver(): boolean {
    return this.isDone || this.fault !== undefined || this.isAborted || this.isTooLarge
  }

  /** Whether the stream is whole: it has its end marker, or all choices are finished. */
  get isWhole(): boolean {
    return this.isDone || (this.hasEvents && this.#finished.size >= this.#options.choices)
  }

  /** Takes bytes. Returns the complete events to forward, without an end marker. */
  push(text: string): string {
    if (this.isOver) return ""
    const end = endOfEvents(this.#seam + text) - this.#seam.length
    if (end <= 0) {
      this.#hold(text)
      return ""
    }
    const events = this.#held.length === 0 ? text.slice(0, end) : this.#held.join("") + text.slice(0, end)
    this.#held = []
    this.#heldBytes = 0
    this.#seam = ""
    const forwarded = this.#options.rename(remarkable.test(events) ? this.#read(events) : this.#count(events))
    if (end < text.length && !this.isOver) this.#hold(text.slice(end))
    return forwarded
  }

  /** Ends the bytes. Returns the events to forward. An end marker needs no blank line, and an incomplete event is not forwarded. */
  end(): string {
    if (this.isOver) return ""
    const rest = this.#held.join("")
    this.#held = []
    if (/^(?:[^]*[\r\n])?data: ?\[DONE\]\s*$/.test(rest)) this.isDone = true
    else if (remarkable.test(rest) && dataLine.test(rest)) return this.#options.rename(this.#read(`${rest}\n\n`, true))
    return ""
  }

  #hold(text: string) {
    this.#held.push(text)
    this.#heldBytes += text.length
    this.#seam = (this.#seam + text.slice(-3)).slice(-3)
    if (this.#heldBytes > this.#options.maxEvent) this.isTooLarge = true
  }

  // Comments before the first event are the model server's heartbeats. The gateway sends its own.
  #count(events: string): string {
    this.hasEvents ||= dataLine.test(events)
    return this.hasEvents ? events : ""
  }

  #read(events: string, isCut = false): string {
    let forwarded = ""
    for (const [event] of events.matchAll(oneEvent)) {
      const isForwarded = remarkable.test(event) ? this.#readEvent(event, isCut) : this.#count(event) !== ""
      if (this.isOver) break
      if (isForwarded) forwarded += event
    }
    return forwarded
  }

  // Returns whether the event is forwarded.
  #readEvent(event: string, isCut: boolean): boolean {
    const lines = event.split(/\r\n|\r|\n/)
    const data = utf8Of(lines.flatMap((line) => (line.startsWith("data:") ? [line.slice(line[5] === " " ? 6 : 5)] : [])).join("\n")).trim()
    if (data === "[DONE]") {
      this.isDone = true
      this.marker = event
      return false
    }
    const name = /^event: ?(.*)$/.exec(lines.find((line) => line.startsWith("event:")) ?? "")?.[1] ?? "message"
    if (data === "") return this.#count(event) !== ""
    const value = parse(data)
    const fault = ErrorBody.fromEvent(value, data, name)
    if (fault !== undefined) {
      this.fault = fault
      return false
    }
    // The rest of a stream that broke off in an event.
    if (isCut && value === undefined) return false
    if (value === undefined) this.malformed++
    this.hasEvents = true
    return !Predicate.isObject(value) || this.#readChunk(value)
  }

  #readChunk({ choices, usage }: Readonly<Record<string, unknown>>): boolean {
    this.usage = tokenCounts(usage) ?? this.usage
    for (const choice of Array.isArray(choices) ? choices : []) {
      if (!Predicate.isObject(choice) || typeof choice["finish_reason"] !== "string" || choice["finish_reason"] === "") continue
      if (choice["finish_reason"] === "abort") {
        this.isAborted = true
        return false
      }
      this.#finished.add(integer(choice["index"]))
    }
    return !(this.#options.withholdUsage && Predicate.isObject(usage) && (!Array.isArray(choices) || choices.length === 0))
  }
}
