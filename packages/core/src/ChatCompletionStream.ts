/**
 * Decodes the body of a streamed response into typed chunks. A truncated stream, an error event and an event that is not a chunk each fail with
 * a reason of their own. The error has the partial completion.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ChatCompletionChunk } from "./ChatCompletion.ts"
import type { ChatCompletionAccumulator } from "./ChatCompletionAccumulator.ts"
import type { ParadigmError, ParadigmErrorReason } from "./ParadigmError.ts"
import { ChunkDecoder } from "./stream/ChunkDecoder.ts"
import { ChunkReader } from "./stream/ChunkReader.ts"

/**
 * Options of {@link decode}.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Accumulates the chunks and the anomalies. Belongs to one stream. Defaults to a new accumulator. */
  readonly accumulator?: ChatCompletionAccumulator | undefined
  /** The request id for errors. */
  readonly requestId?: string | undefined
  /** Maximum size of an event's data, in UTF-16 code units. Defaults to 64 Mi. */
  readonly maxEventSize?: number | undefined
  /** Accepts a stream that ends with `[DONE]` although no choice has a finish reason. Defaults to `false`. */
  readonly acceptUnfinished?: boolean | undefined
}

/**
 * Decodes the body of a streamed response. The stream ends at `[DONE]` without waiting for the end of the body; bytes after it are ignored.
 *
 * Fails with `StreamTruncated`, `StreamFault`, `Aborted` or `MalformedChunk`, and with the reason of a failure of `bytes`.
 *
 * @example
 * ```ts
 * import { ChatCompletionStream } from "@paradigm-effect/core"
 * import { Effect, Stream } from "effect"
 *
 * const body = `data: {"choices":[{"index":0,"delta":{"content":"Hello!"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`
 *
 * const program = Stream.make(new TextEncoder().encode(body)).pipe(
 *   ChatCompletionStream.decode,
 *   Stream.runForEach((chunk) => Effect.sync(() => console.log(chunk.choices[0]?.delta.content))) // => Hello!
 * )
 * await Effect.runPromise(program)
 * ```
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
      const decoder = new ChunkDecoder(options)
      return new ChunkReader({ reads: pull, decoder, close: Effect.void }).next
    })
  )
