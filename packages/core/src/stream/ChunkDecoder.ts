// The bytes of a stream's body as chunks: events are read by a template where one fits, and by the parser otherwise.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { ChatCompletionAccumulator } from "../ChatCompletionAccumulator.ts"
import type { ChatCompletion, ChatCompletionChunk } from "../ChatCompletion.ts"
import { decodeChunk } from "../contract/decode.ts"
import * as ErrorBody from "../ErrorBody.ts"
import { describeFields } from "../errors/FieldErrors.ts"
import { excerpt, MalformedChunk, ParadigmError, type ParadigmErrorReason, type StreamFault, StreamTruncated } from "../ParadigmError.ts"
import { EventTooLarge, Parser } from "../ServerSentEvents.ts"
import { ChunkTemplate, type Match } from "./chunkTemplate.ts"

const malformed = (detail: string, text: string) => new MalformedChunk({ detail, text: excerpt(text) })

const readChunk = (data: string, event: string): Result.Result<ChatCompletionChunk, StreamFault | MalformedChunk> => {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return Result.fail(ErrorBody.fromEvent(undefined, data, event) ?? malformed("it is not JSON", data))
  }
  const fault = ErrorBody.fromEvent(value, data, event)
  if (fault !== undefined) return Result.fail(fault)
  return Result.mapError(decodeChunk(value), (fields) => malformed(describeFields(fields), data))
}

// How many events in a row may miss the template before a stream is taken for one that has none, and the most reads until the next try.
const maxMisses = 8
const maxTemplates = 4
const maxPatience = 256
// A cut event is kept for the next read up to this size; a larger one goes to the parser in pieces, which copies nothing twice.
const maxHeld = 16 * 1024

const concat = (a: Uint8Array, b: Uint8Array) => {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

// Past the blank line that ends the event which begins at a place; -1 where the bytes end before. Only line feeds, alone or after a
// carriage return: a stream whose lines end otherwise is left to the parser.
const endOfEvent = (bytes: Uint8Array, at: number): number => {
  for (let lineFeed = bytes.indexOf(10, at); lineFeed !== -1; lineFeed = bytes.indexOf(10, lineFeed + 1)) {
    if (bytes[lineFeed + 1] === 10) return lineFeed + 2
    if (bytes[lineFeed + 1] === 13 && bytes[lineFeed + 2] === 10) return lineFeed + 3
  }
  return -1
}

// A network read at a time: bytes in, an array of chunks out, and at most one end. Between events the next one may be read by a template;
// everything else is the parser's.
/** What a decoder knows of the response. */
export interface Options {
  readonly requestId?: string | undefined
  /** Maximum size of an event's data, in UTF-16 code units. Defaults to 64 Mi. */
  readonly maxEventSize?: number | undefined
}

export class ChunkDecoder {
  readonly #accumulator: ChatCompletionAccumulator
  readonly #parser: Parser
  readonly #requestId: string | undefined
  #chunks: Array<ChatCompletionChunk> = []
  #ended = false
  #failure: ParadigmError | undefined = undefined
  // The last one that matched comes first. Interleaved choices each have one.
  #templates: Array<ChunkTemplate> = []
  #lastData = ""
  #lastChunk: ChatCompletionChunk | undefined = undefined
  #held: Uint8Array | undefined = undefined
  // Whether the parser stands between two events.
  #isBetween = true
  #misses = 0
  #patience = 1
  #readsToSkip = 0

  constructor(options: Options = {}) {
    this.#accumulator = new ChatCompletionAccumulator()
    this.#requestId = options.requestId
    // Templates do not count characters: a limit in the size of what one read can hold is for the parser alone to keep.
    if (options.maxEventSize !== undefined && options.maxEventSize < 1024 * 1024) this.#readsToSkip = Number.POSITIVE_INFINITY
    this.#parser = new Parser({ maxEventSize: options.maxEventSize, onEvent: (data, event) => this.#onEvent(data, event) })
  }

  push(read: Uint8Array): void {
    if (this.#ended) return
    if (this.#readsToSkip > 0) {
      this.#readsToSkip--
      this.#isBetween = false
      return this.#parse(read)
    }
    const held = this.#held
    if (held === undefined) return this.#scan(read)
    this.#held = undefined
    // Only the event that was cut is put together, not the whole read.
    const rest = held[held.length - 1] === 10 && read[0] === 10 ? 1 : endOfEvent(read, 0)
    if (rest === -1) return this.#scan(concat(held, read))
    this.#scan(concat(held, read.subarray(0, rest)))
    if (rest < read.length) this.push(read.subarray(rest))
  }

  #scan(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    while (at < bytes.length && !this.#ended) {
      const match = this.#isBetween ? this.#match(bytes, view, at) : undefined
      if (match !== undefined) {
        at = match.end
        this.#misses = 0
        this.#patience = 1
        this.#add(match.chunk)
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
      if (this.#isBetween && this.#lastChunk !== undefined) {
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

  /** The end, once the stream has one: `undefined` before it. */
  get end(): Effect.Effect<never, ParadigmError | Cause.Done> | undefined {
    if (!this.#ended) return undefined
    return this.#failure === undefined ? Cause.done() : Effect.fail(this.#failure)
  }

  /** Why the stream failed. */
  get failure(): ParadigmError | undefined {
    return this.#failure
  }

  get completion(): ChatCompletion | undefined {
    return this.#accumulator.completion
  }

  /** How the stream went. One that somebody left before its end was interrupted. */
  get outcome(): Exit.Exit<unknown, ParadigmError> {
    if (this.#failure !== undefined) return Exit.fail(this.#failure)
    return this.#ended || this.#accumulator.isFinished ? Exit.void : Exit.interrupt()
  }

  /** Whether the stream ended with its marker. */
  get isDone(): boolean {
    return this.#ended && this.#failure === undefined
  }

  /** The bytes ended. Several servers never send `[DONE]`: a stream whose choices are all finished is complete without it. */
  eof(): Effect.Effect<never, ParadigmError | Cause.Done> {
    if (!this.#ended && !this.#accumulator.isFinished) this.fail(new StreamTruncated({ chunks: this.#accumulator.chunks }))
    this.#ended = true
    return this.end ?? Cause.done()
  }

  /** Ends the stream for a reason, with what had arrived. */
  fail(reason: ParadigmErrorReason): ParadigmError {
    this.#ended = true
    const { completion: partial, usage } = this.#accumulator
    return (this.#failure = new ParadigmError({ reason, requestId: this.#requestId, partial, usage }))
  }

  #match(bytes: Uint8Array, view: DataView, at: number): Match | undefined {
    const templates = this.#templates
    for (let i = 0; i < templates.length; i++) {
      const template = templates[i] as ChunkTemplate
      const match = template.read(bytes, view, at)
      if (match === undefined) continue
      if (i > 0) {
        templates.splice(i, 1)
        templates.unshift(template)
      }
      return match
    }
    return undefined
  }

  // The beginning of an event. One that might already be complete, as lines that end in a carriage return alone can be, must not wait.
  #keep(rest: Uint8Array) {
    if (this.#isBetween && rest.length <= maxHeld && !rest.includes(13)) {
      // A copy: the reader may use its memory again, and the `slice` of a Node buffer copies nothing.
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
    this.#accumulator.add(chunk)
    this.#chunks.push(chunk)
  }

  #onEvent(data: string, event: string) {
    if (this.#ended) return
    if (data === "[DONE]") {
      this.#ended = true
      return
    }
    const chunk = readChunk(data, event)
    if (Result.isFailure(chunk)) {
      this.fail(chunk.failure)
      return
    }
    this.#lastData = data
    this.#lastChunk = chunk.success
    this.#add(chunk.success)
  }
}
