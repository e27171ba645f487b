/**
 * The body of a streamed answer as typed chunks. Nothing is lost in silence: a stream that ends early, an error sent inside it and an event
 * that is no chunk each fail with a reason of their own, and carry what had arrived.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletionAccumulator } from "./ChatCompletionAccumulator.ts"
import type { ChatCompletionChunk } from "./ChatCompletion.ts"
import type { ParadigmError, ParadigmErrorReason } from "./ParadigmError.ts"
import { ChunkDecoder } from "./stream/ChunkDecoder.ts"
import { StageTimer } from "./stream/StageTimer.ts"
import type { Observation } from "./Telemetry.ts"
import type { Limits } from "./Timeouts.ts"

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
  /** Accepts a stream that ends with `[DONE]` although no choice has a finish reason. Defaults to false. */
  readonly acceptUnfinished?: boolean | undefined
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
      const decoder = new ChunkDecoder(options)
      const { observation } = options
      if (observation !== undefined) {
        yield* Scope.addFinalizer(
          scope,
          Effect.suspend(() => observation.end(decoder.outcome, decoder.completion))
        )
      }
      const timer = options.timed === undefined ? undefined : new StageTimer(yield* Clock.Clock, options.timed)
      if (timer?.isNeeded === true) yield* Effect.forkIn(timer.run(), scope)
      const upstream = Effect.catch(pull, (error) => {
        if (timer?.expired !== undefined) return Effect.fail(decoder.fail(timer.expired))
        return Cause.isDone(error) ? decoder.eof() : Effect.fail(decoder.fail(error))
      })
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<ChatCompletionChunk>, ParadigmError> = Effect.suspend(() => {
        if (decoder.end !== undefined) return decoder.isDone ? Effect.andThen(linger(pull), decoder.end) : decoder.end
        timer?.begin()
        return Effect.flatMap(upstream, onRead)
      })
      let observed = false
      const onRead = (reads: Arr.NonEmptyReadonlyArray<Uint8Array>): typeof next => {
        for (const read of reads) decoder.push(read)
        const chunks = decoder.take()
        if (!Arr.isReadonlyArrayNonEmpty(chunks)) return next
        timer?.end()
        if (observation === undefined || observed) return Effect.succeed(chunks)
        observed = true
        return Effect.as(observation.firstChunk, chunks)
      }
      return next
    })
  )
