/**
 * The client for people without Effect: promises and async iterables, in the shape that users of `openai` know. Errors are thrown, and are
 * the same `ParadigmError`s. A promise that nobody waits for never becomes an unhandled rejection.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import { type CallOptions, ParadigmClient, type ResponseInfo } from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"

/**
 * Options of one call.
 *
 * @category options
 * @since 0.1.0
 */
export interface PromiseCallOptions extends CallOptions {
  /** Aborting it closes the connection and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The chunks of a completion. They are told once: a second loop goes on where the first one stopped.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChunkStream extends AsyncIterable<ChatCompletionChunk> {
  /** Reads what is left, and resolves with the whole completion. */
  readonly finalCompletion: () => Promise<ChatCompletion>
  /** The chunks as bytes: one JSON text a line. Cancelling it closes the connection. */
  readonly toReadableStream: () => ReadableStream<Uint8Array>
  /** Closes the connection. A loop over the chunks ends. */
  readonly close: () => Promise<void>
}

/**
 * What a call resolves with, and, where it is asked for, what the server said beside it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallPromise<A> extends Promise<A> {
  readonly withResponse: () => Promise<{ readonly data: A; readonly response: ResponseInfo }>
}

/**
 * The endpoint, for `await`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParadigmPromise {
  readonly chat: {
    readonly completions: {
      /**
       * With `stream: true`, resolves when the server has accepted the request, with the chunks as an async iterable: leaving the loop
       * closes the connection, and the loop throws when the stream does not end well. Otherwise resolves with the whole completion.
       */
      readonly create: {
        (request: ChatCompletionRequest & { readonly stream: true }, options?: PromiseCallOptions): CallPromise<ChunkStream>
        (
          request: ChatCompletionRequest & { readonly stream?: false | undefined },
          options?: PromiseCallOptions
        ): CallPromise<ChatCompletion>
      }
    }
  }
  /** Closes the connections that are kept open. Calls in progress are ended. */
  readonly close: () => Promise<void>
}

type Runtime = ManagedRuntime.ManagedRuntime<ParadigmClient, ParadigmError>

const ignore = () => {}

const run = async <A>(runtime: Runtime, effect: Effect.Effect<A, ParadigmError, ParadigmClient>, signal: AbortSignal | undefined) => {
  signal?.throwIfAborted()
  const exit = await runtime.runPromiseExit(effect, signal === undefined ? {} : { signal })
  if (Exit.isSuccess(exit)) return exit.value
  signal?.throwIfAborted()
  throw Cause.squash(exit.cause)
}

const toCallPromise = <A>(call: Promise<{ readonly data: A; readonly response: ResponseInfo }>): CallPromise<A> => {
  const promise = call.then(({ data }) => data)
  promise.catch(ignore)
  return Object.assign(promise, { withResponse: () => call })
}

type Chunks = Pull.Pull<ReadonlyArray<ChatCompletionChunk>, ParadigmError>

// The chunks of one open connection, which is closed with the scope: at the end, at a failure, or when somebody leaves.
class OpenStream implements ChunkStream, AsyncIterator<ChatCompletionChunk, undefined> {
  readonly #pull: Chunks
  readonly #completion: Effect.Effect<ChatCompletion | undefined>
  readonly #scope: Scope.Closeable
  readonly #signal: AbortSignal | undefined
  #buffer: ReadonlyArray<ChatCompletionChunk> = []
  #at = 0
  #ended = false
  #failure: unknown
  #pending: Promise<void> | undefined

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
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<ChatCompletionChunk, undefined>> {
    for (;;) {
      this.#signal?.throwIfAborted()
      const chunk = this.#buffer[this.#at]
      if (chunk !== undefined) {
        this.#at++
        return { done: false, value: chunk }
      }
      if (this.#failure !== undefined) throw this.#failure
      if (this.#ended) return { done: true, value: undefined }
      // Two calls at once wait for the same read.
      await (this.#pending ??= this.#read().finally(() => (this.#pending = undefined)))
    }
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  async #read(): Promise<void> {
    const exit = await Effect.runPromiseExit(this.#pull, this.#signal === undefined ? {} : { signal: this.#signal })
    if (this.#ended) return
    if (Exit.isSuccess(exit)) {
      this.#buffer = exit.value
      this.#at = 0
      return
    }
    const error = Cause.squash(exit.cause)
    if (!Cause.isDone(error)) this.#failure = this.#signal?.aborted === true ? this.#signal.reason : error
    await this.close()
  }

  async close(): Promise<void> {
    this.#ended = true
    this.#buffer = []
    await Effect.runPromise(Scope.close(this.#scope, Exit.void))
  }

  async finalCompletion(): Promise<ChatCompletion> {
    for (let step = await this.next(); step.done !== true; step = await this.next());
    const completion = await Effect.runPromise(this.#completion)
    if (completion === undefined) throw new TypeError("The stream was closed before its first chunk")
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

const openStream = Effect.fnUntraced(function* (request: ChatCompletionRequest, options: PromiseCallOptions) {
  const client = yield* ParadigmClient
  const scope = yield* Scope.make()
  return yield* client.streamWithResponse(request, options).pipe(
    Effect.flatMap(({ chunks, completion, response }) =>
      Effect.map(Stream.toPull(chunks), (pull) => ({ data: new OpenStream(pull, completion, scope, options.signal), response }))
    ),
    Effect.provideService(Scope.Scope, scope),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
})

const whole = (request: ChatCompletionRequest, options: PromiseCallOptions) =>
  Effect.flatMap(ParadigmClient, (client) =>
    Effect.map(client.createWithResponse(request, options), ({ completion, response }) => ({ data: completion, response }))
  )

/**
 * The client of a layer, for `await`. The layer is built at the first call, so a wrong option is thrown by that call.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (layer: Layer.Layer<ParadigmClient, ParadigmError>): ParadigmPromise => {
  const runtime = ManagedRuntime.make(layer)

  function create(request: ChatCompletionRequest & { readonly stream: true }, options?: PromiseCallOptions): CallPromise<ChunkStream>
  function create(
    request: ChatCompletionRequest & { readonly stream?: false | undefined },
    options?: PromiseCallOptions
  ): CallPromise<ChatCompletion>
  function create(
    request: ChatCompletionRequest,
    options: PromiseCallOptions = {}
  ): CallPromise<ChunkStream> | CallPromise<ChatCompletion> {
    return request.stream === true
      ? toCallPromise<ChunkStream>(run(runtime, openStream(request, options), options.signal))
      : toCallPromise(run(runtime, whole(request, options), options.signal))
  }

  return { chat: { completions: { create } }, close: () => runtime.dispose() }
}
