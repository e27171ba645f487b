// A streamed completion as an async iterable.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type { ChatCompletion, ChatCompletionChunk } from "../ChatCompletion.ts"
import type { ParadigmError } from "../ParadigmError.ts"
import type { ChunkStream } from "../ParadigmPromise.ts"

type Chunks = Pull.Pull<ReadonlyArray<ChatCompletionChunk>, ParadigmError>

// The chunks of one open connection, which is closed with the scope: at the end, at a failure, or when somebody leaves.
export class OpenStream implements ChunkStream, AsyncIterator<ChatCompletionChunk, undefined> {
  readonly #pull: Chunks
  readonly #completion: Effect.Effect<ChatCompletion | undefined>
  readonly #scope: Scope.Closeable
  readonly #signal: AbortSignal | undefined
  #buffer: ReadonlyArray<ChatCompletionChunk> = []
  #at = 0
  // How it ended: whole, or left before its end. A failure is kept beside.
  #end: "whole" | "left" | undefined
  #failure: unknown
  #pending: Promise<void> | undefined
  readonly #onAbort = () => {
    this.#failure ??= this.#signal?.reason
    void this.close()
  }

  constructor(
    pull: Chunks,
    completion: Effect.Effect<ChatCompletion | undefined>,
    scope: Scope.Closeable,
    signal: AbortSignal | undefined
  ) {
    this.#pull = pull
    this.#completion = completion
    this.#scope = scope
    this.#signal = signal
    if (signal?.aborted === true) this.#onAbort()
    signal?.addEventListener("abort", this.#onAbort, { once: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  // Not an async function: it would cost each chunk a promise more.
  next(): Promise<IteratorResult<ChatCompletionChunk, undefined>> {
    const chunk = this.#buffer[this.#at]
    if (chunk === undefined) return this.#nextRead()
    this.#at++
    return Promise.resolve({ done: false, value: chunk })
  }

  async #nextRead(): Promise<IteratorResult<ChatCompletionChunk, undefined>> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#end !== undefined) return { done: true, value: undefined }
    // Two calls at once wait for the same read.
    await (this.#pending ??= this.#read().finally(() => (this.#pending = undefined)))
    return this.next()
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  async #read(): Promise<void> {
    const exit = await Effect.runPromiseExit(this.#pull, this.#signal === undefined ? {} : { signal: this.#signal })
    if (this.#end !== undefined) return
    if (Exit.isSuccess(exit)) {
      this.#buffer = exit.value
      this.#at = 0
      return
    }
    const error = Cause.squash(exit.cause)
    if (!Cause.isDone(error)) this.#failure ??= error
    await this.#close(Cause.isDone(error) ? "whole" : "left")
  }

  close(): Promise<void> {
    return this.#close("left")
  }

  async #close(end: "whole" | "left"): Promise<void> {
    this.#end ??= end
    if (this.#end === "left") this.#buffer = []
    this.#signal?.removeEventListener("abort", this.#onAbort)
    await Effect.runPromise(Scope.close(this.#scope, Exit.void))
  }

  async finalCompletion(): Promise<ChatCompletion> {
    for (let step = await this.next(); step.done !== true; step = await this.next());
    const completion = await Effect.runPromise(this.#completion)
    if (this.#end !== "whole" || completion === undefined)
      throw new TypeError("The stream was left before its end: there is no whole completion")
    return completion
  }

  toReadableStream(): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder()
    return new ReadableStream({
      pull: async (controller) => {
        const step = await this.next()
        if (step.done === true) controller.close()
        else controller.enqueue(encoder.encode(`${JSON.stringify(step.value)}\n`))
      },
      cancel: () => this.close()
    })
  }
}
