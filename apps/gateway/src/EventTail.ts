/**
 * The events of a model server's stream: what is complete, whether the stream is whole, and what is in it that the client must not get. Cuts
 * only between events, and parses an event only if its bytes show a reason to.
 *
 * Bytes are handled as text with a Latin-1 character for each, so that nothing is decoded and nothing is lost.
 */
import * as ErrorBody from "@paradigm-effect/core/ErrorBody"
import type { StreamFault } from "@paradigm-effect/core/ParadigmError"
import * as Predicate from "effect/Predicate"
import { natural, type TokenCounts, tokenCounts, totalOf } from "./TokenCounts.ts"
import { hasUsage, isEmptyDelta, takeUsage, type Withheld, withoutIds, withoutUsage } from "./Withheld.ts"

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
const remarkable = /\[DONE\]|"error|event: ?error|base_resp|"finish_reason" ?: ?"|"choices" ?: ?(?:\[ ?\]|null)/
const oneEvent = /[^]*?(?:\r\n\r\n|\n\n|\r\r|\n\r\n|\r\r\n)/g

/** Options of a tail. */
export interface Options {
  /** Number of choices that were asked for. */
  readonly choices: number
  /** What the gateway asked for, and not the client. */
  readonly withheld: Withheld
  readonly rename: (text: string) => string
  /** Reads each chunk, and tells what goes on in its place; `undefined` for the event itself. */
  readonly read?: ((chunk: Readonly<Record<string, unknown>>) => string | undefined) | undefined
  /** Maximum size of an event, in bytes. */
  readonly maxEvent: number
}

/** Reads one stream. */
export class EventTail {
  readonly #options: Options
  // Whether every event is parsed.
  readonly #mustRead: boolean
  #held: Array<string> = []
  #heldBytes = 0
  // The end of what is held: the beginning of a blank line.
  #seam = ""
  readonly #finished = new Set<number>()
  // The last usage, as text until somebody asks.
  #usageText: string | undefined
  #usage: TokenCounts | undefined
  // With several choices, the running usage of an event is that of its choice.
  readonly #usages = new Map<number, TokenCounts>()
  // Whether events before the last have usage: the model server does as it was asked.
  #hasRunningUsage = false

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
  /** Number of events whose data is not JSON. They are forwarded. */
  malformed = 0

  constructor(options: Options) {
    this.#options = options
    const { choices, read, withheld } = options
    this.#mustRead = choices > 1 || read !== undefined || withheld.ids
  }

  /** The last token counts: those of the whole answer, or of what came of it. */
  get usage(): TokenCounts | undefined {
    if (this.#usageText !== undefined) this.#usage = tokenCounts(parse(this.#usageText)) ?? this.#usage
    this.#usageText = undefined
    return this.#usage
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
    const forwarded = this.#options.rename(this.#mustRead ? this.#read(events) : this.#pass(events))
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

  // Passes events of which none needs to be parsed. Their usage is the running one.
  #pass(events: string): string {
    const { rest, usage } = takeUsage(events)
    if (remarkable.test(rest) || hasUsage(rest)) return this.#read(events)
    if (usage === undefined) return this.#count(events)
    this.#usageText = usage
    this.#hasRunningUsage = true
    return this.#count(this.#options.withheld.usage === "none" ? events : rest)
  }

  // Comments before the first event are the model server's heartbeats. The gateway sends its own.
  #count(events: string): string {
    this.hasEvents ||= dataLine.test(events)
    return this.hasEvents ? events : ""
  }

  #read(events: string, isCut = false): string {
    let forwarded = ""
    for (const [event] of events.matchAll(oneEvent)) {
      const shown = this.#readEvent(event, isCut)
      if (this.isOver) break
      forwarded += shown
    }
    return forwarded
  }

  // Returns what is forwarded of the event.
  #readEvent(event: string, isCut: boolean): string {
    const lines = event.split(/\r\n|\r|\n/)
    const data = utf8Of(lines.flatMap((line) => (line.startsWith("data:") ? [line.slice(line[5] === " " ? 6 : 5)] : [])).join("\n")).trim()
    if (data === "[DONE]") {
      this.isDone = true
      this.marker = event
      return ""
    }
    if (data === "") return this.#count(event)
    const value = parse(data)
    const name = /^event: ?(.*)$/.exec(lines.find((line) => line.startsWith("event:")) ?? "")?.[1] ?? "message"
    const fault = ErrorBody.fromEvent(value, data, name)
    if (fault !== undefined) {
      this.fault = fault
      return ""
    }
    // The rest of a stream that broke off in an event.
    if (isCut && value === undefined) return ""
    if (value === undefined) this.malformed++
    this.hasEvents = true
    return Predicate.isObject(value) ? this.#readChunk(value, event) : event
  }

  #readChunk(chunk: Readonly<Record<string, unknown>>, event: string): string {
    const choices = (Array.isArray(chunk["choices"]) ? chunk["choices"] : []).filter(Predicate.isObject)
    let isLast = false
    for (const choice of choices) {
      if (typeof choice["finish_reason"] !== "string" || choice["finish_reason"] === "") continue
      if (choice["finish_reason"] === "abort") {
        this.isAborted = true
        return ""
      }
      isLast = true
      this.#finished.add(natural(choice["index"]))
    }
    const read = this.#options.read?.(chunk)
    const shown = this.#readUsage(chunk["usage"], choices, isLast, event)
    if (read !== undefined) return read
    if (!this.#options.withheld.ids) return shown
    return isEmptyDelta(choices) ? "" : withoutIds(shown)
  }

  // Returns the event without the usage that is withheld. The usage of an event with a finish reason stays if it is the server's own habit.
  #readUsage(value: unknown, choices: ReadonlyArray<Readonly<Record<string, unknown>>>, isLast: boolean, event: string): string {
    const usage = tokenCounts(value)
    if (usage === undefined) return event
    const [choice, other] = choices
    if (this.#options.choices > 1 && choice !== undefined && other === undefined) this.#usages.set(natural(choice["index"]), usage)
    this.#usageText = undefined
    this.#usage = this.#usages.size > 0 && choice !== undefined ? totalOf([...this.#usages.values()]) : usage
    const { usage: withheld } = this.#options.withheld
    if (choice === undefined) return withheld === "all" ? "" : event
    this.#hasRunningUsage ||= !isLast
    return withheld !== "none" && this.#hasRunningUsage ? withoutUsage(event) : event
  }
}
