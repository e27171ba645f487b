// Decodes the bytes of a stream into chunks. An event that matches a template is read by it, any other by the parser.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Anomaly } from "../Anomaly.ts"
import { ChatCompletionAccumulator } from "../ChatCompletionAccumulator.ts"
import type { ChatCompletion, ChatCompletionChunk } from "../ChatCompletion.ts"
import { abortedChoices, decodeChunk } from "../contract/decode.ts"
import * as ErrorBody from "../ErrorBody.ts"
import { describeFields } from "../errors/FieldErrors.ts"
import { Aborted, excerpt, MalformedChunk, ParadigmError, type ParadigmErrorReason, StreamTruncated } from "../ParadigmError.ts"
import { parseJson } from "../json/jsonText.ts"
import { EventTooLarge, Parser } from "../ServerSentEvents.ts"
import { ChunkTemplate } from "./chunkTemplate.ts"

const malformed = (detail: string, text: string) => new MalformedChunk({ detail, text: excerpt(text) })

// After this many events in a row without a match, the templates are dropped, and this many reads at most pass until the next try.
const maxMisses = 8
const maxTemplates = 4
const maxPatience = 256
// An incomplete event up to this size is kept for the next read. A larger one goes to the parser in pieces, so that no byte is copied twice.
const maxHeld = 16 * 1024
// The beginning of a stream that is kept until its first chunk, in bytes.
const maxBeginning = 16 * 1024

const concat = (a: Uint8Array, b: Uint8Array) => {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

// The end of the event that begins at `at`, after its blank line; -1 when the bytes end before. Line ends are line feeds, alone or after a
// carriage return. The parser reads a stream with other line ends.
const endOfEvent = (bytes: Uint8Array, at: number): number => {
  for (let lineFeed = bytes.indexOf(10, at); lineFeed !== -1; lineFeed = bytes.indexOf(10, lineFeed + 1)) {
    if (bytes[lineFeed + 1] === 10) return lineFeed + 2
    if (bytes[lineFeed + 1] === 13 && bytes[lineFeed + 2] === 10) return lineFeed + 3
  }
  return -1
}

/** Options of a decoder. */
export interface Options {
  /** Accumulates the chunks and the anomalies. */
  readonly accumulator?: ChatCompletionAccumulator | undefined
  readonly requestId?: string | undefined
  /** Maximum size of an event's data, in UTF-16 code units. Defaults to 64 Mi. */
  readonly maxEventSize?: number | undefined
  /** Accepts a stream that ends with `[DONE]` although no choice has a finish reason. Defaults to `false`. */
  readonly acceptUnfinished?: boolean | undefined
}

/**
 * Decodes one network read at a time: `push` takes bytes, `take` returns chunks, `end` is set once. A stream that is truncated,
 * aborted, or without a chunk fails.
 */
export class ChunkDecoder {
  readonly #accumulator: ChatCompletionAccumulator
  readonly #parser: Parser
  readonly #requestId: string | undefined
  readonly #acceptUnfinished: boolean
  #chunks: Array<ChatCompletionChunk> = []
  #ended = false
  #failure: ParadigmError | undefined = undefined
  // The last template that matched is the first. Interleaved choices have one each.
  #templates: Array<ChunkTemplate> = []
  #lastData = ""
  #lastChunk: ChatCompletionChunk | undefined = undefined
  #held: Uint8Array | undefined = undefined
  // Whether the parser is between two events.
  #isBetween = true
  #misses = 0
  #patience = 1
  #readsToSkip = 0
  // Off after tool calls shared an index: an event no longer determines the index of its chunk.
  #learns = true
  // The bytes before the first chunk.
  #beginning: Uint8Array | undefined = new Uint8Array(0)

  constructor(options: Options = {}) {
    this.#accumulator = options.accumulator ?? new ChatCompletionAccumulator()
    this.#requestId = options.requestId
    this.#acceptUnfinished = options.acceptUnfinished === true
    // Templates do not count characters. Only the parser applies a limit that one read can exceed.
    if (options.maxEventSize !== undefined && options.maxEventSize < 1024 * 1024) this.#readsToSkip = Infinity
    this.#parser = new Parser({
      maxEventSize: options.maxEventSize,
      onEvent: (data, event) => this.#onEvent(data, event),
      onUnknownField: (name, value) => this.#onUnknownField(name, value)
    })
  }

  push(read: Uint8Array): void {
    const beginning = this.#beginning
    if (beginning !== undefined && beginning.length < maxBeginning) {
      this.#beginning = concat(beginning, read.subarray(0, maxBeginning - beginning.length))
    }
    this.#read(read)
  }

  #read(read: Uint8Array): void {
    if (this.#ended) return
    if (this.#readsToSkip > 0) {
      this.#readsToSkip--
      this.#isBetween = false
      return this.#parse(read)
    }
    const held = this.#held
    if (held === undefined) return this.#scan(read)
    this.#held = undefined
    // Only the incomplete event is copied, not the whole read.
    const rest = held[held.length - 1] === 10 && read[0] === 10 ? 1 : endOfEvent(read, 0)
    if (rest === -1) return this.#scan(concat(held, read))
    this.#scan(concat(held, read.subarray(0, rest)))
    if (rest < read.length) this.#read(read.subarray(rest))
  }

  #scan(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    while (at < bytes.length && !this.#ended) {
      const matching = this.#isBetween ? this.#match(bytes, view, at) : undefined
      if (matching !== undefined) {
        at = matching.end
        this.#misses = 0
        this.#patience = 1
        continue
      }
      const end = endOfEvent(bytes, at)
      if (end === -1) return this.#keep(bytes.subarray(at))
      this.#misses++
      if (this.#misses > maxMisses) {
        this.#misses = 0
        this.#templates = []
        this.#patience = Math.min(this.#patience * 2, maxPatience)
        this.#readsToSkip = this.#patience
        this.#isBetween = false
        return this.#parse(bytes.subarray(at))
      }
      const event = bytes.subarray(at, end)
      this.#lastChunk = undefined
      this.#parse(event)
      if (this.#learns && this.#isBetween && this.#lastChunk !== undefined) {
        const learnt = ChunkTemplate.of(event, this.#lastData, this.#lastChunk)
        if (learnt !== undefined) this.#templates = [learnt, ...this.#templates.slice(0, maxTemplates - 1)]
      }
      this.#isBetween = true
      at = end
    }
  }

  /** The chunks since the last call. */
  take(): Array<ChatCompletionChunk> {
    const chunks = this.#chunks
    this.#chunks = []
    return chunks
  }

  /** The end of the stream; `undefined` before it. */
  get end(): Effect.Effect<never, ParadigmError | Cause.Done> | undefined {
    if (!this.#ended) return undefined
    return this.#failure ? Effect.fail(this.#failure) : Cause.done()
  }

  /** Why the stream failed. */
  get failure(): ParadigmError | undefined {
    return this.#failure
  }

  /** Deviations from the contract so far. */
  get anomalies(): ReadonlyArray<Anomaly> {
    return this.#accumulator.anomalies.list
  }

  /** The completion so far. */
  get completion(): ChatCompletion | undefined {
    return this.#accumulator.completion
  }

  /** Whether nothing is missing: the stream ended with its marker, or all its choices are finished. */
  get isWhole(): boolean {
    return this.#failure === undefined && (this.#ended || this.#accumulator.isFinished)
  }

  /** Whether the stream ended with its marker. */
  get isDone(): boolean {
    return this.#ended && this.#failure === undefined
  }

  /** Ends the stream at the end of its bytes. Several servers never send `[DONE]`: a stream whose choices are all finished is complete. */
  eof(): Effect.Effect<never, ParadigmError | Cause.Done> {
    // A field that reports an error needs no blank line.
    if (!this.#ended && this.#held !== undefined) this.#parse(this.#held)
    if (!this.#ended) this.#finish(false)
    return this.end ?? Cause.done()
  }

  /** Ends the stream with a failure, which gets the partial completion. */
  fail(reason: ParadigmErrorReason): ParadigmError {
    this.#ended = true
    const { anomalies, completion: partial, usage } = this.#accumulator
    return (this.#failure = new ParadigmError({ reason, requestId: this.#requestId, partial, usage, anomalies: anomalies.list }))
  }

  #finish(done: boolean): void {
    this.#ended = true
    const { chunks, finishReasons } = this.#accumulator
    const aborted = abortedChoices(finishReasons)
    if (aborted.length > 0) this.fail(new Aborted({ choices: aborted }))
    else if (chunks === 0) {
      // The body may be an error that is not an event.
      const text = new TextDecoder().decode(this.#beginning)
      const fault = ErrorBody.fromText(text.trimEnd().replace(/data: ?\[DONE\]$/, ""))
      this.fail(fault ?? new StreamTruncated({ chunks, isDone: done, excerpt: excerpt(text) }))
    } else {
      const unfinished = finishReasons.filter(([, reason]) => reason === undefined)
      const isNone = unfinished.length === finishReasons.length
      if (done ? isNone && !this.#acceptUnfinished : isNone || unfinished.length > 0) {
        this.fail(new StreamTruncated({ chunks, isDone: done }))
      } else for (const [index] of unfinished) this.#accumulator.anomalies.add("unfinished", `choices[${index}].finish_reason`, "string")
    }
  }

  // Adds the chunk of the event that begins at `at`, and returns the template that matches it.
  #match(bytes: Uint8Array, view: DataView, at: number): ChunkTemplate | undefined {
    const templates = this.#templates
    for (let i = 0; i < templates.length; i++) {
      const template = templates[i] as ChunkTemplate
      const chunk = template.read(bytes, view, at)
      if (chunk === undefined) continue
      if (i > 0) {
        templates.splice(i, 1)
        templates.unshift(template)
      }
      const { continued } = template.place
      if (continued === undefined) this.#add(chunk)
      else {
        this.#accumulator.continue(continued, template.text)
        this.#chunks.push(chunk)
      }
      return template
    }
    return undefined
  }

  // Keeps an incomplete event. An event whose lines end in a carriage return may be complete already, and must not wait.
  #keep(rest: Uint8Array) {
    if (this.#isBetween && rest.length <= maxHeld && !rest.includes(13)) {
      // A copy, since the reader may reuse its memory. The `slice` of a Node buffer does not copy.
      this.#held = new Uint8Array(rest)
    } else {
      this.#isBetween = false
      this.#parse(rest)
    }
  }

  #parse(bytes: Uint8Array) {
    try {
      this.#parser.push(bytes)
    } catch (error) {
      if (!(error instanceof EventTooLarge)) throw error
      this.fail(malformed(error.message, error.text))
    }
  }

  #add(chunk: ChatCompletionChunk) {
    this.#beginning = undefined
    const added = this.#accumulator.add(chunk)
    this.#chunks.push(added)
    if (added === chunk) return
    this.#learns = false
    this.#templates = []
  }

  #onEvent(data: string, event: string) {
    if (this.#ended) return
    data = data.trim()
    if (data === "[DONE]") return this.#finish(true)
    // The keep-alive event of a proxy.
    if (data === "") return
    const { anomalies } = this.#accumulator
    const before = anomalies.total
    let value: unknown
    let fault: ParadigmErrorReason | undefined
    try {
      value = parseJson(data)
    } catch {
      fault = malformed("it is not JSON", data)
    }
    fault = ErrorBody.fromEvent(value, data, event) ?? fault
    if (fault !== undefined) return void this.fail(fault)
    const decoded = decodeChunk(value, this.#accumulator)
    if (Result.isFailure(decoded)) return void this.fail(malformed(describeFields(decoded.failure), data))
    // An event without choices and usage.
    const chunk = decoded.success
    if (chunk === undefined) return
    this.#add(chunk)
    // A repaired chunk makes no template, because it is not the JSON of its event.
    if (anomalies.total !== before) return
    this.#lastData = data
    this.#lastChunk = chunk
  }

  // An old llama.cpp reports an error in a field of its own: https://github.com/ggml-org/llama.cpp/issues/16104.
  #onUnknownField(name: string, value: string) {
    if (name !== "error" || this.#ended) return
    const fault = ErrorBody.fromText(value, "error")
    if (fault !== undefined) this.fail(fault)
  }
}
