/**
 * The event-stream format of the WHATWG HTML standard, as bytes arrive and as bytes are written.
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
  /** The event's beginning. */
  readonly text: string
}> {
  override get message(): string {
    return `An event is larger than ${this.limit} characters`
  }
}

/**
 * What a parser tells, and its limit.
 *
 * @category parsing
 * @since 0.1.0
 */
export interface ParserOptions {
  /** Called once per event with its data and its name, `message` where it has none. */
  readonly onEvent: (data: string, event: string) => void
  /** The most characters (UTF-16 code units) the data of an event may have. 64 Mi by default. */
  readonly maxEventSize?: number | undefined
  /** The last event id of an earlier connection. */
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
 * An incremental parser. `push` takes the bytes of each network read and throws `EventTooLarge`; an event left unfinished when
 * the bytes end is dropped, as the standard asks.
 *
 * @category parsing
 * @since 0.1.0
 */
export class Parser {
  /** The last event id: that of the last event that was told, or a later one set by a block that told none. */
  lastEventId: string
  /** The reconnection time in milliseconds that the server asked for. */
  retry: number | undefined = undefined

  readonly #onEvent: (data: string, event: string) => void
  readonly #limit: number
  // Not every runtime's decoder strips just one byte order mark when a stream begins with two: the parser does it itself.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  // A decoder that need not remember a cut character is faster, and few reads cut one.
  readonly #wholeDecoder = new TextDecoder("utf-8", { ignoreBOM: true })
  #isCut = false
  #started = false
  #data: string | undefined = undefined
  #event = ""
  #id: string
  // The line that earlier reads began, in pieces: joining them at every read would make a long line quadratic.
  #pieces: Array<string> = []
  #pending = 0
  #inComment = false
  #skipLineFeed = false

  constructor(options: ParserOptions) {
    this.#onEvent = options.onEvent
    this.#limit = options.maxEventSize ?? 64 * 1024 * 1024
    this.#id = this.lastEventId = options.lastEventId ?? ""
  }

  push(bytes: Uint8Array): void {
    const text = this.#decode(bytes)
    if (text.length === 0) return
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
    // Most reads are whole events of one line of data, and nothing else.
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
    // A comment says nothing: a server that drips one for ever must not fill the memory.
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

  // The limit is for an event's data, wherever the reads cut it; a line that is still open may be longer by its field's name.
  #checkSize(data: string, allowance: number) {
    const size = data.length + (this.#data === undefined ? 0 : this.#data.length + 1)
    if (size > this.#limit + allowance) throw new EventTooLarge({ limit: this.#limit, text: (this.#data ?? data).slice(0, 4096) })
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
    const colon = line.indexOf(":")
    let value = colon === -1 ? "" : line.slice(colon + 1)
    if (value.charCodeAt(0) === 32) value = value.slice(1)
    switch (colon === -1 ? line : line.slice(0, colon)) {
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
 * An event to be written.
 *
 * @category encoding
 * @since 0.1.0
 */
export interface Event {
  readonly data: string
  readonly event?: string | undefined
  readonly id?: string | undefined
  /** Milliseconds, a whole number of at least 0. */
  readonly retry?: number | undefined
}

const singleLine = (field: string, value: string | undefined) => {
  if (value === undefined) return ""
  if (/[\r\n\0]/.test(value)) throw new TypeError(`The ${field} of a server-sent event cannot hold a line end or a NUL`)
  return `${field}: ${value}\n`
}

/**
 * The text of one event. Line ends inside `data` become lines of their own, so no text can end the event early or forge another;
 * an `event` or `id` that holds one is a `TypeError`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (event: Event): string => {
  if (event.retry !== undefined && !(Number.isSafeInteger(event.retry) && event.retry >= 0)) {
    throw new TypeError("The retry of a server-sent event is a whole number of milliseconds, at least 0")
  }
  const data = event.data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`)
  const retry = event.retry === undefined ? "" : `retry: ${event.retry}\n`
  return singleLine("event", event.event) + singleLine("id", event.id) + retry + data.join("") + "\n"
}
