// The chunks of a stream as they are read: network reads go to the decoder, and the waits between chunks are timed.
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import type { ChatCompletionChunk } from "../ChatCompletion.ts"
import type { ParadigmError } from "../ParadigmError.ts"
import type { Reads } from "../transport/attempt.ts"
import type { ChunkDecoder } from "./ChunkDecoder.ts"
import { StageTimer, type Timing } from "./StageTimer.ts"

/** A body and the decoder for it. */
export interface Source {
  readonly reads: Reads
  readonly decoder: ChunkDecoder
  /** Closes the connection. */
  readonly close: Effect.Effect<void>
}

/** Hooks of a call into its reader. */
export interface Options<S> {
  /** The limits of the stream's stages. Without limits, no timer runs. */
  readonly timing?: Timing | undefined
  /** Called with the chunks of each network read before they are delivered. */
  readonly onChunks?: ((chunks: Chunks) => void) | undefined
  /** Opens another source after an error that came before any chunk was delivered. Fails when no further attempt is made. */
  readonly reopen?: ((error: ParadigmError) => Effect.Effect<S, ParadigmError>) | undefined
  /** Returns the error that the reader fails with. */
  readonly toError?: ((error: ParadigmError) => ParadigmError) | undefined
}

type Chunks = Arr.NonEmptyReadonlyArray<ChatCompletionChunk>

export class ChunkReader<S extends Source = Source> {
  readonly #options: Options<S>
  readonly #timer: StageTimer | undefined
  #source: S
  #delivered = false
  #failure: ParadigmError | undefined = undefined

  constructor(source: S, options: Options<S> = {}) {
    this.#source = source
    this.#options = options
    this.#timer = options.timing === undefined ? undefined : new StageTimer(options.timing, this.close)
  }

  /** The source that is read. */
  get source(): S {
    return this.#source
  }

  /** How the stream ended, with the error as the reader fails with it. Interrupted when its reader left before the end. */
  get outcome(): Exit.Exit<unknown, ParadigmError> {
    const { failure, isWhole } = this.#source.decoder
    if (this.#failure !== undefined) return Exit.fail(this.#failure)
    if (failure !== undefined) return Exit.fail(this.#toError(failure))
    return isWhole ? Exit.void : Exit.interrupt()
  }

  /** Closes the connection of the source that is read. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => this.#source.close)

  /** Enforces the limits while the chunks are read. `undefined` if there is nothing to enforce. */
  get watch(): Effect.Effect<void> | undefined {
    return this.#timer?.isNeeded === true ? this.#timer.run() : undefined
  }

  /** The next chunks. */
  readonly next: Pull.Pull<Chunks, ParadigmError> = Effect.suspend(() => {
    if (this.#failure !== undefined) return Effect.fail(this.#failure)
    const { decoder, reads } = this.#source
    if (decoder.failure !== undefined) return this.#fail(decoder.failure)
    if (decoder.isDone) return Effect.flatMap(linger(reads), () => Cause.done())
    this.#timer?.begin()
    return Effect.matchEffect(reads, this.#handlers)
  })

  readonly #handlers = {
    onSuccess: (reads: Arr.NonEmptyReadonlyArray<Uint8Array>): Pull.Pull<Chunks, ParadigmError> => {
      const { decoder } = this.#source
      for (const read of reads) decoder.push(read)
      return this.#deliver()
    },
    onFailure: (error: Pull.Error<Reads> | Cause.Done): Pull.Pull<Chunks, ParadigmError> => {
      const { decoder } = this.#source
      if (this.#timer?.expired !== undefined) decoder.fail(this.#timer.expired)
      else if (Cause.isDone(error)) decoder.eof()
      else decoder.fail(error)
      return this.#deliver()
    }
  }

  #deliver(): Pull.Pull<Chunks, ParadigmError> {
    const { decoder } = this.#source
    if (!this.#delivered && decoder.failure?.isRetryable === true && this.#options.reopen !== undefined) {
      return this.#recover(decoder.failure, this.#options.reopen)
    }
    const chunks = decoder.take()
    if (!Arr.isReadonlyArrayNonEmpty(chunks)) {
      this.#timer?.keepAlive()
      return this.next
    }
    return this.#give(chunks)
  }

  #give(chunks: Chunks): Effect.Effect<Chunks> {
    this.#timer?.end()
    this.#delivered = true
    this.#options.onChunks?.(chunks)
    return Effect.succeed(chunks)
  }

  #recover(error: ParadigmError, reopen: NonNullable<Options<S>["reopen"]>): Pull.Pull<Chunks, ParadigmError> {
    this.#timer?.pause()
    return Effect.matchEffect(
      Effect.flatMap(this.#source.close, () => reopen(error)),
      {
        onFailure: (final) => {
          this.#failure = this.#toError(final)
          const chunks = this.#source.decoder.take()
          // After a repeated request, the chunks of the first one are in the error's partial completion alone.
          if (final.reason !== error.reason || !Arr.isReadonlyArrayNonEmpty(chunks)) return Effect.fail(this.#failure)
          return this.#give(chunks)
        },
        onSuccess: (source) => {
          this.#source = source
          return this.next
        }
      }
    )
  }

  #fail(error: ParadigmError): Effect.Effect<never, ParadigmError> {
    this.#failure = this.#toError(error)
    return Effect.fail(this.#failure)
  }

  #toError(error: ParadigmError): ParadigmError {
    return this.#options.toError === undefined ? error : this.#options.toError(error)
  }
}

// The end of the body usually arrives with `[DONE]`, and the connection can then be reused. Waits for it one turn of the event loop.
const linger = (reads: Reads): Effect.Effect<unknown> =>
  Effect.raceFirst(
    // `Effect.ignore` would add all of logging to a page.
    Effect.exit(Effect.forever(reads)),
    Effect.callback<void>((resume) => {
      const timer = setTimeout(() => resume(Effect.void), 1)
      return Effect.sync(() => clearTimeout(timer))
    })
  )
