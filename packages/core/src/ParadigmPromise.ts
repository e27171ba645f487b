/**
 * The client for people without Effect: promises and async iterables, in the shape of the `openai` package. Errors are thrown as
 * `ParadigmError`, with the stack of the call.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Anomaly } from "./Anomaly.ts"
import type { ChatCompletion, ChatCompletionRequest } from "./ChatCompletion.ts"
import type { ChunkStream, CompletionRun, CompletionStream, RunToolsOptions, ToResponseOptions } from "./CompletionStream.ts"
import type { Model, ModelList } from "./Model.ts"
import type { CallOptions, Service } from "./ParadigmClient.ts"
import type { ParadigmError } from "./ParadigmError.ts"
import { callSite, Connection, toCallPromise } from "./promise/Connection.ts"
import { derive, Helpers } from "./promise/Helpers.ts"
import { readableRun } from "./promise/readableRun.ts"
import { toResponse as encodeResponse } from "./promise/serve.ts"
import type { ParsedCompletion, RunnableTool, SchemaFormat, StandardSchema } from "./StandardSchema.ts"

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
 * The head of a response, and the repairs of its body.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseResponse {
  readonly status: number
  /** In a browser, only the headers that the server exposes. */
  readonly headers: Headers
  /** The server's id of the request. */
  readonly requestId: string | undefined
  /** Deviations from the contract. For a stream, those of the chunks read so far. */
  readonly anomalies: ReadonlyArray<Anomaly>
}

/**
 * The result of a call with its response.
 *
 * @category models
 * @since 0.1.0
 */
export interface WithResponse<out A> {
  readonly data: A
  readonly response: PromiseResponse
  /** The server's id of the request. */
  readonly request_id: string | undefined
}

/**
 * The result of a call, and its response on request.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallPromise<A> extends Promise<A> {
  /** Resolves with the result and the head of the response. */
  readonly withResponse: () => Promise<WithResponse<A>>
}

/**
 * The list of models, also as an async iterable of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelsPromise extends CallPromise<ModelList>, AsyncIterable<Model> {}

/**
 * A request whose response format is a schema, or made from one.
 *
 * @category models
 * @since 0.1.0
 */
export interface SchemaCompletionRequest<T> extends Omit<ChatCompletionRequest, "response_format"> {
  readonly response_format: StandardSchema<T> | SchemaFormat<T>
}

/**
 * A request with tools that `runTools` executes.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunToolsRequest extends Omit<ChatCompletionRequest, "tools"> {
  readonly tools: ReadonlyArray<RunnableTool>
}

/**
 * Creates chat completions, whole or as streams of chunks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Create {
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
 * Creates chat completions, with helpers for events, schemas and tools.
 *
 * @category models
 * @since 0.1.0
 */
export interface Completions extends Create {
  /**
   * Creates a chat completion and streams it as events, promises and an async iterable. A schema as `response_format` decodes its text at the
   * end: the last message then has `parsed`.
   */
  readonly stream: {
    <T>(request: SchemaCompletionRequest<T>, options?: PromiseCallOptions): CompletionStream<T>
    (request: ChatCompletionRequest, options?: PromiseCallOptions): CompletionStream
  }
  /**
   * Creates a chat completion whose text matches a schema. Each message has the decoded text as `parsed`. Throws `AnswerMismatch` when the text
   * does not match or is cut off, and `InvalidRequest` when the schema has no JSON Schema.
   */
  readonly parse: <T>(request: SchemaCompletionRequest<T>, options?: PromiseCallOptions) => CallPromise<ParsedCompletion<T>>
  /**
   * Creates chat completions until the model answers without calling a tool, and executes the tools that it calls. The calls of one message
   * are executed in parallel.
   */
  readonly runTools: {
    (request: RunToolsRequest & { readonly stream: true }, options?: RunToolsOptions): CompletionStream
    (request: RunToolsRequest, options?: RunToolsOptions): CompletionRun
  }
}

/**
 * Reads the models of the endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface Models {
  /** Lists the models. Throws `NotFound` if the endpoint has no list. */
  readonly list: (options?: PromiseCallOptions) => ModelsPromise
  /** Gets a model. Throws `ModelNotFound` or `NotFound` if the endpoint does not serve it. */
  readonly retrieve: (model: string, options?: PromiseCallOptions) => CallPromise<Model>
}

/**
 * The client without helpers, as a page loads it.
 *
 * @category models
 * @since 0.1.0
 */
export interface LeanClient extends AsyncDisposable {
  readonly chat: { readonly completions: Create }
  /** Aborts the calls in progress and closes all connections. Pending calls and loops throw `Closed`. */
  readonly close: () => Promise<void>
}

/**
 * The client.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParadigmPromise extends LeanClient {
  readonly chat: { readonly completions: Completions }
  readonly models: Models
  /**
   * Returns a client with other defaults for the options of a call, on the same connections. Closing one of both closes both. Throws
   * `InvalidConfiguration`.
   */
  readonly withOptions: (options: CallOptions) => ParadigmPromise
}

const connections = /* @__PURE__ */ new WeakMap<LeanClient, Connection>()

const leanClient = (connection: Connection): LeanClient => {
  const create = ((request, options) => toCallPromise(connection.create(request, options, callSite(create)))) as Create["create"]
  const close = () => connection.close()
  const client = { chat: { completions: { create } }, close, [Symbol.asyncDispose]: close }
  connections.set(client, connection)
  return client
}

/**
 * Creates a client without helpers from an effect that makes a client. A page loads about 7 KB (gzipped) less than with {@link make}. Throws
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
 * await using paradigm = ParadigmPromise.makeLean(client)
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
export const makeLean = (client: Effect.Effect<Service, ParadigmError, Scope.Scope>): LeanClient => leanClient(new Connection(client))

/**
 * Adds the helpers to a client that has none: `stream`, `parse` and `runTools` for completions, and `models`. It has the connections of the other
 * client. Throws a `TypeError` for any other object.
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
 * await using lean = ParadigmPromise.makeLean(client)
 * for await (const model of ParadigmPromise.withHelpers(lean).models.list()) console.log(model.id) // => alfred-4.2
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const withHelpers = (client: LeanClient): ParadigmPromise => {
  const connection = connections.get(client)
  if (connection === undefined) throw new TypeError("withHelpers takes a client of this library")
  const { list, parse, retrieve, runTools, stream } = new Helpers(connection)
  const { create } = client.chat.completions
  const withOptions = (options: CallOptions) => withHelpers(leanClient(derive(connection, options)))
  const whole = { ...client, chat: { completions: { create, stream, parse, runTools } }, models: { list, retrieve }, withOptions }
  connections.set(whole, connection)
  return whole
}

/**
 * Creates a client with promises from an effect that makes a client, and runs the effect. `close` closes its scope. Throws
 * `InvalidConfiguration` when an option is missing, wrong or unknown. `provide` is called with each call, in the context of its caller:
 * `OpenTelemetry.provide` makes its spans children of the active span.
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
 * const stream = paradigm.chat.completions.stream({
 *   model: "alfred-4.2",
 *   messages: [{ role: "user", content: "Say hello" }]
 * })
 * stream.on("content", (delta) => console.log(delta)) // => Hello !
 * console.log(await stream.finalContent()) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  client: Effect.Effect<Service, ParadigmError, Scope.Scope>,
  provide?: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): ParadigmPromise => withHelpers(leanClient(new Connection(client, provide)))

/**
 * Reads the chunks of another program's stream, for example in a page: the body of `toResponse`, or the lines of `toReadableStream`. Cancels the
 * body when the run is aborted or its loop is left. An error that the body reports is `StreamFault`.
 *
 * @example
 * ```ts
 * import { ParadigmPromise } from "@paradigm-effect/core"
 *
 * const event = { choices: [{ index: 0, delta: { content: "Hello!" }, finish_reason: "stop" }] }
 * const { body } = new Response(`data: ${JSON.stringify(event)}\n\ndata: [DONE]\n\n`)
 * if (body !== null) console.log(await ParadigmPromise.fromReadableStream(body).text()) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReadableStream = (
  body: ReadableStream<Uint8Array>,
  options: { readonly signal?: AbortSignal | undefined } = {}
): CompletionStream => readableRun(body, options.signal)

/**
 * Creates a response with server-sent events from the chunks of `create`, for a page. The stream of `stream` has it as a method. An error is an
 * event in the body. Cancelling the body closes the connection.
 *
 * @example
 * ```ts
 * import { ParadigmPromise } from "@paradigm-effect/core"
 *
 * const event = { choices: [{ index: 0, delta: { content: "Hello!" }, finish_reason: "stop" }] }
 * const { body } = new Response(`data: ${JSON.stringify(event)}\n\ndata: [DONE]\n\n`)
 * if (body !== null) {
 *   const response = ParadigmPromise.toResponse(ParadigmPromise.fromReadableStream(body))
 *   console.log(response.headers.get("content-type")) // => text/event-stream; charset=utf-8
 *   await response.body?.cancel()
 * }
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const toResponse = (chunks: ChunkStream, options?: ToResponseOptions): Response => encodeResponse(chunks, options)
