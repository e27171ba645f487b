/**
 * The body of a streamed answer as typed chunks. Nothing is lost in silence: a stream that ends early, an error sent inside it and an event
 * that is no chunk each fail with a reason of their own, and carry what had arrived.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ChatCompletionAccumulator } from "./ChatCompletionAccumulator.ts"
import type { ChatCompletion, ChatCompletionChunk } from "./ChatCompletion.ts"
import * as ErrorBody from "./ErrorBody.ts"
import { ChunkTemplate, type Match } from "./stream/chunkTemplate.ts"
import { decodeChunk } from "./contract/decode.ts"
import { describeFields } from "./errors/FieldErrors.ts"
import {
  excerpt,
  MalformedChunk,
  ParadigmError,
  type ParadigmErrorReason,
  type StreamFault,
  StreamTruncated,
  Timeout
} from "./ParadigmError.ts"
import { EventTooLarge, Parser } from "./ServerSentEvents.ts"
import type { Observation } from "./Telemetry.ts"
import type { Limits } from "./Timeouts.ts"

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

/**
 * What a stream knows of the answer it belongs to, and its limits.
 *
 * @category decoding
 * @since 0.1.0
 */
export interface Options {
  /** Where the chunks are folded; one of its own by default. */
  readonly accumulator?: ChatCompletionAccumulator | undefined
  readonly requestId?: string | undefined
  /** The most characters (UTF-16 code units) the data of an event may have. 64 Mi by default. */
  readonly maxEventSize?: number | undefined
  /** Applied to the stream's error, to keep secrets out of it. */
  readonly redact?: ((error: ParadigmError) => ParadigmError) | undefined
  /** The limits of a stream whose bytes `close` can end. Without them nothing is timed. */
  readonly timed?:
    | {
        readonly limits: Limits
        /** When the whole call must be over, in Unix milliseconds. */
        readonly deadline: number
        /** Ends the bytes. */
        readonly close: Effect.Effect<void>
      }
    | undefined
  /** Told of the first chunk and of the end. */
  readonly observation?: Observation | undefined
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
class Decoder {
  readonly #accumulator: ChatCompletionAccumulator
  readonly #parser: Parser
  readonly #requestId: string | undefined
  readonly #redact: (error: ParadigmError) => ParadigmError
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

  constructor(options: Options) {
    this.#accumulator = options.accumulator ?? new ChatCompletionAccumulator()
    this.#requestId = options.requestId
    this.#redact = options.redact ?? identity
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
    return (this.#failure = this.#redact(new ParadigmError({ reason, requestId: this.#requestId, partial, usage })))
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

type Timed = NonNullable<Options["timed"]>

// Times the waits for a chunk. One fiber watches the whole stream, since a race at each read would cost more than decoding it; it ends the
// bytes, and the wait with them. The time somebody takes to handle a chunk does not count.
class Watch {
  expired: Timeout | undefined = undefined
  #waitingSince: number | undefined = undefined
  #isFirst = true
  readonly #clock: Clock.Clock
  readonly #timed: Timed

  constructor(clock: Clock.Clock, timed: Timed) {
    this.#clock = clock
    this.#timed = timed
  }

  begin(): void {
    this.#waitingSince ??= this.#clock.currentTimeMillisUnsafe()
  }

  end(): void {
    this.#waitingSince = undefined
    this.#isFirst = false
  }

  run(): Effect.Effect<void> {
    const { close, deadline, limits } = this.#timed
    return Effect.suspend(() => {
      const now = this.#clock.currentTimeMillisUnsafe()
      const stage = this.#isFirst ? "firstChunk" : "idle"
      const until = this.#waitingSince === undefined ? Number.POSITIVE_INFINITY : this.#waitingSince + limits[stage]
      if (now >= deadline) this.expired = new Timeout({ stage: "total", limit: Duration.millis(limits.total) })
      else if (now >= until) this.expired = new Timeout({ stage, limit: Duration.millis(limits[stage]) })
      else return Effect.andThen(Effect.sleep(Math.min(until - now, deadline - now, limits.firstChunk, limits.idle)), this.run())
      return close
    })
  }

  get isNeeded(): boolean {
    return Number.isFinite(Math.min(this.#timed.deadline, this.#timed.limits.firstChunk, this.#timed.limits.idle))
  }
}

// The end of the body mostly comes with `[DONE]`, and then the connection can be used again. A turn of the event loop is all it gets.
const linger = (pull: Pull.Pull<unknown, unknown>): Effect.Effect<unknown> =>
  Effect.raceFirst(
    // As `Effect.ignore` does, which brings the whole of logging along.
    Effect.result(Effect.forever(pull)),
    Effect.callback<void>((resume) => {
      const timer = setTimeout(() => resume(Effect.void), 1)
      return Effect.sync(() => clearTimeout(timer))
    })
  )

/**
 * Decodes the body of a streamed answer. The stream ends at `[DONE]`, without waiting for the body's end, and nothing after it is told.
 *
 * Fails with the reasons `StreamTruncated`, `StreamFault`, `MalformedChunk`, `Timeout`, and those with which the bytes themselves fail.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = <R>(
  bytes: Stream.Stream<Uint8Array, ParadigmErrorReason, R>,
  options: Options = {}
): Stream.Stream<ChatCompletionChunk, ParadigmError, R> =>
  Stream.transformPull(bytes, (pull, scope) =>
    Effect.gen(function* () {
      const decoder = new Decoder(options)
      const { observation } = options
      if (observation !== undefined) {
        yield* Scope.addFinalizer(
          scope,
          Effect.suspend(() => observation.end(decoder.outcome, decoder.completion))
        )
      }
      const watch = options.timed === undefined ? undefined : new Watch(yield* Clock.Clock, options.timed)
      if (watch?.isNeeded === true) yield* Effect.forkIn(watch.run(), scope)
      const upstream = Effect.catch(pull, (error) => {
        if (watch?.expired !== undefined) return Effect.fail(decoder.fail(watch.expired))
        return Cause.isDone(error) ? decoder.eof() : Effect.fail(decoder.fail(error))
      })
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<ChatCompletionChunk>, ParadigmError> = Effect.suspend(() => {
        if (decoder.end !== undefined) return decoder.isDone ? Effect.andThen(linger(pull), decoder.end) : decoder.end
        watch?.begin()
        return Effect.flatMap(upstream, onRead)
      })
      let observed = false
      const onRead = (reads: Arr.NonEmptyReadonlyArray<Uint8Array>): typeof next => {
        for (const read of reads) decoder.push(read)
        const chunks = decoder.take()
        if (!Arr.isReadonlyArrayNonEmpty(chunks)) return next
        watch?.end()
        if (observation === undefined || observed) return Effect.succeed(chunks)
        observed = true
        return Effect.as(observation.firstChunk, chunks)
      }
      return next
    })
  )
