/**
 * The client for people without Effect: promises and async iterables, in the shape of the `openai` package. Errors are thrown as
 * `ParadigmError`, with the stack of the call.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import type { CallOptions, ResponseInfo, Service } from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"
import { Connection } from "./promise/Connection.ts"

/**
 * Per-request options. They override the client options.
 *
 * @category options
 * @since 0.1.0
 */
export interface PromiseCallOptions extends CallOptions {
  /** Aborts the request. The call then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The chunks of a completion. Each chunk is delivered once: a second loop continues after the last chunk of the first one.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChunkStream extends AsyncIterable<ChatCompletionChunk>, AsyncDisposable {
  /** Reads the remaining chunks and resolves with the whole completion. Throws `Closed` if the stream was closed before its end. */
  readonly finalCompletion: () => Promise<ChatCompletion>
  /** The remaining chunks as bytes, one JSON text per line. Cancelling it closes the connection. */
  readonly toReadableStream: () => ReadableStream<Uint8Array>
  /** Closes the connection. Loops over the chunks end. */
  readonly close: () => Promise<void>
}

/**
 * The result of a call, and its response on request.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallPromise<A> extends Promise<A> {
  /** Resolves with the result and the head of the response. */
  readonly withResponse: () => Promise<{ readonly data: A; readonly response: ResponseInfo }>
}

/**
 * Creates chat completions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Completions {
  /**
   * Creates a chat completion. With `stream: true` it resolves when the response begins, with the chunks as an async iterable: leaving the
   * loop closes the connection, and the loop throws when the stream is incomplete. Otherwise it resolves with the whole completion.
   */
  readonly create: {
    (request: ChatCompletionRequest & { readonly stream: true }, options?: PromiseCallOptions): CallPromise<ChunkStream>
    (
      request: ChatCompletionRequest & { readonly stream?: false | null | undefined },
      options?: PromiseCallOptions
    ): CallPromise<ChatCompletion>
    (request: ChatCompletionRequest, options?: PromiseCallOptions): CallPromise<ChatCompletion | ChunkStream>
  }
}

/**
 * The client.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParadigmPromise extends AsyncDisposable {
  readonly chat: { readonly completions: Completions }
  /** Aborts the calls in progress and closes all connections. Pending calls and loops throw `Closed`. */
  readonly close: () => Promise<void>
}

/**
 * Creates a client with promises from an effect that makes a client, and runs the effect. `close` closes its scope. Throws
 * `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { ParadigmClient, ParadigmPromise, Transport } from "@paradigm-effect/core"
 *
 * const client = ParadigmClient.makeWith(Transport.fromFetch(), {
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 *
 * await using paradigm = ParadigmPromise.make(client)
 * const completion = await paradigm.chat.completions.create({
 *   model: "alfred-4.2",
 *   messages: [{ role: "user", content: "Say hello" }]
 * })
 * console.log(completion.choices[0]?.message.content) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (client: Effect.Effect<Service, ParadigmError, Scope.Scope>): ParadigmPromise => {
  const connection = new Connection(client)
  function create(request: ChatCompletionRequest & { readonly stream: true }, options?: PromiseCallOptions): CallPromise<ChunkStream>
  function create(
    request: ChatCompletionRequest & { readonly stream?: false | null | undefined },
    options?: PromiseCallOptions
  ): CallPromise<ChatCompletion>
  function create(request: ChatCompletionRequest, options?: PromiseCallOptions): CallPromise<ChatCompletion | ChunkStream>
  function create(request: ChatCompletionRequest, options?: PromiseCallOptions): CallPromise<ChatCompletion | ChunkStream> {
    return connection.create(request, options, create)
  }
  const close = () => connection.close()
  return { chat: { completions: { create } }, close, [Symbol.asyncDispose]: close }
}
