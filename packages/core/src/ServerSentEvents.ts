/**
 * Parser and encoder of the event-stream format of the WHATWG HTML standard.
 *
 * Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * An event's data is larger than the parser's limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventTooLarge extends Data.TaggedError("EventTooLarge")<{
  /** The limit, in UTF-16 code units. */
  readonly limit: number
  /** The beginning of the event. */
  readonly text: string
}> {
  override get message(): string {
    return `An event is larger than ${this.limit} characters`
  }
}

/**
 * Options of a parser.
 *
 * @category parsing
 * @since 0.1.0
 */
export interface ParserOptions {
  /** Called once per event with its data and its name. The name defaults to `message`. */
  readonly onEvent: (data: string, event: string) => void
  /** Called for each field that the standard does not define. The standard ignores them; some servers report errors in them. */
  readonly onUnknownField?: ((name: string, value: string) => void) | undefined
  /** Maximum size of an event's data, line ends included, in UTF-16 code units. Defaults to 64 Mi. */
  readonly maxEventSize?: number | undefined
  /** Last event id of an earlier connection. */
  readonly lastEventId?: string | undefined
}

// `startsWith`, without the call.
const isData = (text: string, at: number) =>
  text.charCodeAt(at) === 100 &&
  text.charCodeAt(at + 1) === 97 &&
  text.charCodeAt(at + 2) === 116 &&
  text.charCodeAt(at + 3) === 97 &&
  text.charCodeAt(at + 4) === 58

/**
 * An incremental parser. `push` takes the bytes of each network read. It throws `EventTooLarge` when an event exceeds `maxEventSize`. An event
 * that is incomplete when the bytes end is dropped, as the standard requires.
 *
 * @example
 * ```ts
 * import { ServerSentEvents } from "@paradigm-effect/core"
 *
 * const events: Array<string> = []
 * const parser = new ServerSentEvents.Parser({ onEvent: (data) => events.push(data) })
 * const encoder = new TextEncoder()
 * parser.push(encoder.encode("data: Hel"))
 * parser.push(encoder.encode("lo\n\n"))
 * console.log(events.join()) // => Hello
 * ```
 *
 * @category parsing
 * @since 0.1.0
 */
export class Parser {
  /** The last event id. A block without data also sets it. */
  lastEventId: string
  /** The reconnection time that the server sent, in milliseconds. */
  retry: number | undefined = undefined

  readonly #onEvent: (data: string, event: string) => void
  readonly #onUnknownField: ((name: string, value: string) => void) | undefined
  readonly #limit: number
  // Decoders differ in the number of byte order marks that they strip from a stream with two. The parser strips one itself.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  // A decoder without state is faster, and few reads cut a character.
  readonly #wholeDecoder = new TextDecoder("utf-8", { ignoreBOM: true })
  #isCut = false
  #started = false
  #data: string | undefined = undefined
  #event = ""
  #id: string
  // The incomplete line of earlier reads, in pieces. Joining them at every read would be quadratic.
  #pieces: Array<string> = []
  #pending = 0
  #inComment = false
  #skipLineFeed = false

  constructor(options: ParserOptions) {
    this.#onEvent = options.onEvent
    this.#onUnknownField = options.onUnknownField
    this.#limit = options.maxEventSize ?? 64 * 1024 * 1024
    this.#id = this.lastEventId = options.lastEventId ?? ""
  }

  push(bytes: Uint8Array): void {
    const text = this.#decode(bytes)
    if (text === "") return
    let at = 0
    if (!this.#started) {
      this.#started = true
      if (text.charCodeAt(0) === 0xfeff) at = 1
    }
    if (this.#skipLineFeed) {
      this.#skipLineFeed = false
      if (text.charCodeAt(at) === 10) at++
    }
    let lineFeed = text.indexOf("\n", at)
    let carriageReturn = text.indexOf("\r", at)
    // Fast path: most reads are whole events of one data line.
    if (carriageReturn === -1 && this.#pending === 0 && !this.#inComment && this.#data === undefined && this.#event === "") {
      const limit = this.#limit
      const onEvent = this.#onEvent
      while (lineFeed !== -1 && text.charCodeAt(lineFeed + 1) === 10 && isData(text, at)) {
        const data = text.slice(text.charCodeAt(at + 5) === 32 ? at + 6 : at + 5, lineFeed)
        if (data.length > limit) this.#checkSize(data, 0)
        this.lastEventId = this.#id
        onEvent(data, "message")
        at = lineFeed + 2
        lineFeed = text.indexOf("\n", at)
      }
    }
    while (lineFeed !== -1 || carriageReturn !== -1) {
      let end: number
      let next: number
      if (carriageReturn === -1 || (lineFeed !== -1 && lineFeed < carriageReturn)) {
        end = lineFeed
        next = end + 1
        lineFeed = text.indexOf("\n", next)
      } else {
        end = carriageReturn
        next = end + 1
        if (next === text.length) this.#skipLineFeed = true
        else if (next === lineFeed) {
          next++
          lineFeed = text.indexOf("\n", next)
        }
        carriageReturn = text.indexOf("\r", next)
      }
      if (this.#pending === 0 && !this.#inComment) this.#line(text, at, end)
      else this.#endPendingLine(text.slice(at, end))
      at = next
    }
    if (at < text.length) this.#keep(text, at)
  }

  #decode(bytes: Uint8Array): string {
    const last = bytes[bytes.length - 1]
    if (last === undefined) return ""
    const isCut = last >= 128
    const text = isCut || this.#isCut ? this.#decoder.decode(bytes, { stream: isCut }) : this.#wholeDecoder.decode(bytes)
    this.#isCut = isCut
    return text
  }

  #keep(text: string, at: number) {
    if (this.#pending === 0 && text.charCodeAt(at) === 58) this.#inComment = true
    // Comments are not kept, so that an endless one does not fill the memory.
    if (this.#inComment) return
    const rest = at === 0 ? text : text.slice(at)
    this.#pending += rest.length
    this.#pieces.push(rest)
    if (this.#pending > this.#limit) this.#checkSize(this.#pieces.join(""), "data: ".length)
  }

  #endPendingLine(rest: string) {
    if (!this.#inComment) {
      this.#pieces.push(rest)
      const line = this.#pieces.join("")
      this.#line(line, 0, line.length)
    }
    this.#inComment = false
    this.#pieces = []
    this.#pending = 0
  }

  // The limit applies to an event's data. An incomplete line may be longer by the name of its field.
  #checkSize(data: string, allowance: number) {
    const size = data.length + (this.#data === undefined ? 0 : this.#data.length + 1)
    if (size > this.#limit + allowance) throw new EventTooLarge({ limit: this.#limit, text: `${(this.#data ?? data).slice(0, 4095)}…` })
  }

  #line(text: string, start: number, end: number) {
    if (start === end) return this.#dispatch()
    if (isData(text, start)) {
      const from = text.charCodeAt(start + 5) === 32 && start + 5 < end ? start + 6 : start + 5
      return this.#addData(text.slice(from, end))
    }
    if (text.charCodeAt(start) === 58) return
    const line = text.slice(start, end)
    if (line.length > this.#limit) this.#checkSize(line, "data: ".length)
    const colon = `${line}:`.indexOf(":")
    const name = line.slice(0, colon)
    const value = line.slice(colon + 1).replace(/^ /, "")
    switch (name) {
      case "data":
        return this.#addData(value)
      case "event":
        this.#event = value
        return
      case "id":
        if (!value.includes("\0")) this.#id = value
        return
      case "retry":
        if (/^[0-9]+$/.test(value)) this.retry = Number(value)
        return
      default:
        this.#onUnknownField?.(name, value)
    }
  }

  #addData(value: string) {
    this.#checkSize(value, 0)
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`
  }

  #dispatch() {
    const data = this.#data
    const event = this.#event
    this.lastEventId = this.#id
    this.#event = ""
    if (data === undefined) return
    this.#data = undefined
    this.#onEvent(data, event === "" ? "message" : event)
  }
}

/**
 * An event to encode.
 *
 * @category encoding
 * @since 0.1.0
 */
export interface Event {
  readonly data: string
  readonly event?: string | undefined
  readonly id?: string | undefined
  /** Reconnection time in milliseconds, an integer of at least 0. */
  readonly retry?: number | undefined
}

const singleLine = (field: string, value: string | undefined) => {
  if (value === undefined) return ""
  if (/[\r\n\0]/.test(value)) throw new TypeError(`The ${field} of a server-sent event cannot contain a line end or a NUL`)
  return `${field}: ${value}\n`
}

/**
 * Encodes one event. Each line of `data` becomes a data line, so that no text can end the event or forge another. Throws a `TypeError` when
 * `event` or `id` contains a line end, or when `retry` is not an integer of at least 0.
 *
 * @example
 * ```ts
 * import { ServerSentEvents } from "@paradigm-effect/core"
 *
 * console.log(JSON.stringify(ServerSentEvents.encode({ data: "two\nlines" }))) // => "data: two\ndata: lines\n\n"
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (event: Event): string => {
  if (event.retry !== undefined && !(Number.isSafeInteger(event.retry) && event.retry >= 0)) {
    throw new TypeError("The retry of a server-sent event must be an integer of at least 0, in milliseconds")
  }
  const data = event.data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`)
  const retry = event.retry === undefined ? "" : `retry: ${event.retry}\n`
  return singleLine("event", event.event) + singleLine("id", event.id) + retry + data.join("") + "\n"
}
