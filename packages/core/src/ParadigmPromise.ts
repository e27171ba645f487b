/**
 * The client for people without Effect: promises and async iterables, in the shape that users of `openai` know. Errors are thrown, and are
 * the same `ParadigmError`s. A promise that nobody waits for never becomes an unhandled rejection.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import { type CallOptions, ParadigmClient, type ResponseInfo } from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"
import { OpenStream } from "./promise/OpenStream.ts"

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

const ignore = () => {}

const run = async <A>(effect: Effect.Effect<A, ParadigmError>, scope: Scope.Scope, signal: AbortSignal | undefined) => {
  signal?.throwIfAborted()
  const exit = await Effect.runPromiseExit(effect, { signal, onFiberStart: Fiber.runIn(scope) })
  if (Exit.isSuccess(exit)) return exit.value
  signal?.throwIfAborted()
  throw Cause.squash(exit.cause)
}

const toCallPromise = <A>(call: Promise<{ readonly data: A; readonly response: ResponseInfo }>): CallPromise<A> => {
  const promise = call.then(({ data }) => data)
  promise.catch(ignore)
  call.catch(ignore)
  return Object.assign(promise, { withResponse: () => call })
}

const openStream = Effect.fnUntraced(function* (request: ChatCompletionRequest, options: PromiseCallOptions, all: Scope.Scope) {
  const client = yield* ParadigmClient
  const scope = yield* Scope.fork(all)
  return yield* Effect.gen(function* () {
    const { chunks, completion, response } = yield* client.streamWithResponse(request, options)
    const pull = Effect.provideContext(yield* Channel.toPullScoped(Stream.toChannel(chunks), scope), yield* Effect.context())
    return { data: new OpenStream(pull, completion, scope, options.signal), response }
  }).pipe(
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
  const all = Scope.makeUnsafe()
  // What is made last is closed first: calls and their streams before what they stand on.
  const resources = Scope.forkUnsafe(all)
  const calls = Scope.forkUnsafe(all)
  let building: Fiber.Fiber<Context.Context<ParadigmClient>, ParadigmError> | undefined
  let isClosed = false

  // All calls wait for the same building, which goes on when one of them is aborted.
  const built = Effect.suspend(() =>
    Fiber.join((building ??= Effect.runFork(Layer.buildWithScope(layer, resources), { onFiberStart: Fiber.runIn(calls) })))
  )

  const call = <A>(
    effect: Effect.Effect<{ readonly data: A; readonly response: ResponseInfo }, ParadigmError, ParadigmClient>,
    { signal }: PromiseCallOptions
  ): CallPromise<A> =>
    toCallPromise(
      isClosed
        ? Promise.reject(new TypeError("The client is closed"))
        : run(
            Effect.flatMap(built, (context) => Effect.provideContext(effect, context)),
            calls,
            signal
          )
    )

  function create(request: ChatCompletionRequest & { readonly stream: true }, options?: PromiseCallOptions): CallPromise<ChunkStream>
  function create(
    request: ChatCompletionRequest & { readonly stream?: false | undefined },
    options?: PromiseCallOptions
  ): CallPromise<ChatCompletion>
  function create(
    request: ChatCompletionRequest,
    options: PromiseCallOptions = {}
  ): CallPromise<ChunkStream> | CallPromise<ChatCompletion> {
    // Whoever writes JavaScript may give no request at all: that rejects, as everything wrong does.
    return request?.stream === true
      ? call<ChunkStream>(openStream(request, options, calls), options)
      : call(whole(request, options), options)
  }

  const close = async () => {
    isClosed = true
    await Effect.runPromise(Scope.close(all, Exit.void))
  }

  return { chat: { completions: { create } }, close }
}
