/**
 * The body of a streamed answer as typed chunks. Nothing is lost in silence: a stream that ends early, an error sent inside it and an event
 * that is no chunk each fail with a reason of their own, and carry what had arrived.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ChatCompletionAccumulator } from "./ChatCompletionAccumulator.ts"
import { ChatCompletionChunk } from "./ChatCompletion.ts"
import * as ErrorBody from "./ErrorBody.ts"
import { describeFields, fieldsOf } from "./internal/schemaIssue.ts"
import { excerpt, MalformedChunk, ParadigmError, type ParadigmErrorReason, type StreamFault, StreamTruncated } from "./ParadigmError.ts"
import { EventTooLarge, Parser } from "./ServerSentEvents.ts"

const decodeChunk = Schema.decodeUnknownResult(ChatCompletionChunk)

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
  return Result.mapError(decodeChunk(value), (error) => malformed(describeFields(fieldsOf(error)), data))
}

/**
 * What a stream knows of the answer it belongs to, and its limits.
 *
 * @category decoding
 * @since 0.1.0
 */
export interface Options {
  readonly requestId?: string | undefined
  /** The most characters (UTF-16 code units) an event may have. 64 Mi by default. */
  readonly maxEventSize?: number | undefined
  /** Applied to what errors quote of the stream, to keep secrets out of them. */
  readonly redact?: ((text: string) => string) | undefined
}

// A network read at a time: bytes in, an array of chunks out, and at most one end.
class Decoder {
  readonly #accumulator = new ChatCompletionAccumulator()
  readonly #parser: Parser
  readonly #requestId: string | undefined
  readonly #redact: (text: string) => string
  #chunks: Array<ChatCompletionChunk> = []
  #ended = false
  #failure: ParadigmError | undefined = undefined

  constructor(options: Options) {
    this.#requestId = options.requestId
    this.#redact = options.redact ?? identity
    this.#parser = new Parser({ maxEventSize: options.maxEventSize, onEvent: (data, event) => this.#onEvent(data, event) })
  }

  push(bytes: Uint8Array): void {
    if (this.#ended) return
    try {
      this.#parser.push(bytes)
    } catch (error) {
      if (!(error instanceof EventTooLarge)) throw error
      this.#fail(malformed(error.message, this.#redact(error.text)))
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

  /** The bytes ended. Several servers never send `[DONE]`: a stream whose choices are all finished is complete without it. */
  eof(): Effect.Effect<never, ParadigmError | Cause.Done> {
    if (!this.#ended && !this.#accumulator.isFinished) this.#fail(new StreamTruncated({ chunks: this.#accumulator.chunks }))
    this.#ended = true
    return this.end ?? Cause.done()
  }

  /** The error of a stream that failed for this reason, with what had arrived. */
  error(reason: ParadigmErrorReason): ParadigmError {
    return new ParadigmError({
      reason,
      requestId: this.#requestId,
      partial: this.#accumulator.completion,
      usage: this.#accumulator.usage
    })
  }

  #fail(reason: ParadigmErrorReason) {
    this.#failure = this.error(reason)
    this.#ended = true
  }

  #onEvent(data: string, event: string) {
    if (this.#ended) return
    if (data === "[DONE]") {
      this.#ended = true
      return
    }
    const chunk = readChunk(data, event)
    if (Result.isFailure(chunk)) {
      const redacted = readChunk(this.#redact(data), event)
      return this.#fail(Result.isFailure(redacted) ? redacted.failure : chunk.failure)
    }
    this.#accumulator.add(chunk.success)
    this.#chunks.push(chunk.success)
  }
}

/**
 * Decodes the body of a streamed answer. The stream ends at `[DONE]`, without waiting for the body's end, and nothing after it is told.
 *
 * Fails with the reasons `StreamTruncated`, `StreamFault`, `MalformedChunk`, and those with which the bytes themselves fail.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = <R>(
  bytes: Stream.Stream<Uint8Array, ParadigmErrorReason, R>,
  options: Options = {}
): Stream.Stream<ChatCompletionChunk, ParadigmError, R> =>
  Stream.transformPull(bytes, (pull) =>
    Effect.sync(() => {
      const decoder = new Decoder(options)
      const upstream = pull.pipe(Effect.catch((error) => (Cause.isDone(error) ? decoder.eof() : Effect.fail(decoder.error(error)))))
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<ChatCompletionChunk>, ParadigmError> = Effect.suspend(
        () => decoder.end ?? Effect.flatMap(upstream, onRead)
      )
      const onRead = (reads: Arr.NonEmptyReadonlyArray<Uint8Array>): typeof next => {
        for (const read of reads) decoder.push(read)
        const chunks = decoder.take()
        return Arr.isReadonlyArrayNonEmpty(chunks) ? Effect.succeed(chunks) : next
      }
      return next
    })
  )
