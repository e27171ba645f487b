// A streamed completion as an async iterable.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type { ChatCompletion, ChatCompletionChunk } from "../ChatCompletion.ts"
import { Closed, ParadigmError } from "../ParadigmError.ts"
import type { ChunkStream } from "../CompletionStream.ts"
import { toReadableStream } from "./serve.ts"

/** Parts of a stream. */
export interface Parts {
  readonly pull: Pull.Pull<ReadonlyArray<ChatCompletionChunk>, ParadigmError>
  readonly completion: Effect.Effect<ChatCompletion | undefined>
  /** Closing it closes the connection. */
  readonly scope: Scope.Closeable
  readonly signal: AbortSignal | undefined
  /** Returns the error that the caller receives. */
  readonly toThrown: (error: unknown) => unknown
}

/** The error of a client or stream that was closed. */
export const closed = (what: Closed["what"], partial?: ChatCompletion): ParadigmError =>
  new ParadigmError({ reason: new Closed({ what }), partial })

// Closes the connection of a stream that is garbage-collected before its end.
const dropped = /* @__PURE__ */ new FinalizationRegistry<Scope.Closeable>((scope) => Effect.runFork(Scope.close(scope, Exit.void)))

/** The chunks of one open connection. It is closed at the end, at a failure, by `close`, by the signal, and with the client. */
export class OpenStream implements ChunkStream, AsyncIterator<ChatCompletionChunk, undefined> {
  readonly #parts: Parts
  // Interrupts the read in flight.
  readonly #reading = new AbortController()
  #buffer: ReadonlyArray<ChatCompletionChunk> = []
  #at = 0
  #end: "whole" | "closed" | undefined
  #failure: unknown
  #pending: Promise<void> | undefined
  // Settles the read in flight: a transport may never settle a read of a connection that was closed.
  #wake: (() => void) | undefined
  #stopListening = () => {}

  constructor(parts: Parts) {
    this.#parts = parts
    const { scope, signal } = parts
    dropped.register(this, scope, this)
    // The signal and the scope may outlive the stream, and must not keep it in memory.
    const weak = new WeakRef(this)
    const fail = (error: unknown) => {
      const stream = weak.deref()
      if (stream !== undefined) stream.#fail(error)
    }
    const onClose = Effect.sync(() => fail(closed("client")))
    Effect.runFork(Scope.addFinalizer(scope, onClose))
    if (signal === undefined) return
    const onAbort = () => {
      fail(signal.reason)
      Effect.runFork(Scope.close(scope, Exit.void))
    }
    if (signal.aborted) {
      onAbort()
      return
    }
    signal.addEventListener("abort", onAbort, { once: true })
    this.#stopListening = () => signal.removeEventListener("abort", onAbort)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // Not an async function, which would create one more promise per chunk.
  next(): Promise<IteratorResult<ChatCompletionChunk, undefined>> {
    const chunk = this.#buffer[this.#at]
    if (chunk === undefined) return this.#nextRead()
    this.#at++
    return Promise.resolve({ done: false, value: chunk })
  }

  async #nextRead(): Promise<IteratorResult<ChatCompletionChunk, undefined>> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#end !== undefined) return { done: true, value: undefined }
    // Concurrent calls wait for the same read.
    await (this.#pending ??= this.#read())
    return this.next()
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  #read(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#pending = this.#wake = undefined
        resolve()
      }
      void Effect.runPromiseExit(this.#parts.pull, { signal: this.#reading.signal }).then((exit) => this.#onRead(exit))
    })
  }

  #onRead(exit: Exit.Exit<ReadonlyArray<ChatCompletionChunk>, ParadigmError | Cause.Done>) {
    if (this.#end !== undefined || this.#failure !== undefined) return
    if (Exit.isSuccess(exit)) {
      this.#buffer = exit.value
      this.#at = 0
    } else {
      const error = Cause.squash(exit.cause)
      if (Cause.isDone(error)) this.#end = "whole"
      else this.#failure = this.#parts.toThrown(error)
      void this.#release()
    }
    this.#wake?.()
  }

  #fail(error: unknown) {
    if (this.#end === undefined) this.#failure ??= this.#parts.toThrown(error)
    this.#buffer = []
    this.#stop()
  }

  #stop() {
    this.#stopListening()
    this.#reading.abort()
    this.#wake?.()
  }

  close(): Promise<void> {
    if (this.#failure === undefined) this.#end ??= "closed"
    if (this.#end === "closed") this.#buffer = []
    this.#stop()
    return this.#release()
  }

  #release(): Promise<void> {
    dropped.unregister(this)
    this.#stopListening()
    return Effect.runPromise(Scope.close(this.#parts.scope, Exit.void))
  }

  async finalCompletion(): Promise<ChatCompletion> {
    for (let step = await this.next(); step.done !== true; step = await this.next());
    const completion = await Effect.runPromise(this.#parts.completion)
    if (this.#end === "whole" && completion !== undefined) return completion
    throw this.#parts.toThrown(closed("stream", completion))
  }

  toReadableStream(): ReadableStream<Uint8Array> {
    return toReadableStream(this)
  }
}
