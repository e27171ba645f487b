/**
 * The client for people without Effect: promises and async iterables, in the shape that users of `openai` know. Errors are thrown, and are
 * the same `ParadigmError`s.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import { ParadigmClient } from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"

/**
 * Options of one call.
 *
 * @category options
 * @since 0.1.0
 */
export interface CallOptions {
  /** Aborting it closes the connection and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined
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
        (request: ChatCompletionRequest & { readonly stream: true }, options?: CallOptions): Promise<AsyncIterable<ChatCompletionChunk>>
        (request: ChatCompletionRequest & { readonly stream?: false | undefined }, options?: CallOptions): Promise<ChatCompletion>
      }
    }
  }
  /** Closes the connections that are kept open. Calls in progress are ended. */
  readonly close: () => Promise<void>
}

/**
 * The client of a layer, for `await`. The layer is built at the first call, so a wrong option is thrown by that call.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (layer: Layer.Layer<ParadigmClient, ParadigmError>): ParadigmPromise => {
  const runtime = ManagedRuntime.make(layer)

  const run = async <A>(effect: Effect.Effect<A, ParadigmError, ParadigmClient>, signal: AbortSignal | undefined): Promise<A> => {
    signal?.throwIfAborted()
    const exit = await runtime.runPromiseExit(effect, signal === undefined ? {} : { signal })
    if (Exit.isSuccess(exit)) return exit.value
    signal?.throwIfAborted()
    throw Cause.squash(exit.cause)
  }

  async function* iterate(chunks: Stream.Stream<ChatCompletionChunk, ParadigmError>, signal: AbortSignal | undefined) {
    const untilAborted =
      signal === undefined
        ? chunks
        : Stream.interruptWhen(
            chunks,
            Effect.callback<never>((resume) => {
              const abort = () => resume(Effect.interrupt)
              if (signal.aborted) return abort()
              signal.addEventListener("abort", abort, { once: true })
              return Effect.sync(() => signal.removeEventListener("abort", abort))
            })
          )
    try {
      yield* Stream.toAsyncIterable(untilAborted)
    } catch (error) {
      signal?.throwIfAborted()
      throw error
    }
    signal?.throwIfAborted()
  }

  function create(
    request: ChatCompletionRequest & { readonly stream: true },
    options?: CallOptions
  ): Promise<AsyncIterable<ChatCompletionChunk>>
  function create(request: ChatCompletionRequest & { readonly stream?: false | undefined }, options?: CallOptions): Promise<ChatCompletion>
  function create(request: ChatCompletionRequest, options: CallOptions = {}): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>> {
    if (request.stream !== true) {
      return run(
        Effect.flatMap(ParadigmClient, (client) => client.createChatCompletion(request)),
        options.signal
      )
    }
    return run(
      Effect.flatMap(ParadigmClient, (client) => client.openChatCompletionStream(request)),
      options.signal
    ).then((chunks) => iterate(chunks, options.signal))
  }

  return { chat: { completions: { create } }, close: () => runtime.dispose() }
}
