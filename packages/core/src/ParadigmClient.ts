/**
 * The client of the endpoint: requests, errors and streams as typed effects, on any transport.
 *
 * @since 0.1.0
 */
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Anomalies, type Anomaly } from "./Anomaly.ts"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import { Call } from "./client/Call.ts"
import { parts, partsOf } from "./client/parts.ts"
import { type CallOptions, type Options, resolveCall, resolveOptions, type Runtime, type Settings } from "./client/options.ts"
import { abortedChoices, decodeCompletion } from "./contract/decode.ts"
import * as ErrorBody from "./ErrorBody.ts"
import { describeFields } from "./errors/FieldErrors.ts"
import { parseJson } from "./json/jsonText.ts"
import { Aborted, ParadigmError } from "./ParadigmError.ts"
import { ChunkDecoder } from "./stream/ChunkDecoder.ts"
import { ChunkReader, type Source } from "./stream/ChunkReader.ts"
import { readText, unexpected } from "./transport/accept.ts"
import { type OpenResponse, timed } from "./transport/attempt.ts"
import * as Transport from "./Transport.ts"

export { type Logger, type LogLevel, logTo } from "./AttemptLog.ts"
export { type Environment, environmentOf } from "./Environment.ts"
export type { ApiKey, Attempt, CallOptions, ConnectOptions, HeadersInput, Options, Runtime } from "./client/options.ts"

/**
 * The head of a response, and the repairs of its body.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResponseInfo {
  readonly status: number
  /** Header values by lower-case name. In a browser, only the headers that the server exposes. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The server's id of the request. */
  readonly requestId: string | undefined
  /** Deviations from the contract. For a stream, those of the chunks read so far. */
  readonly anomalies: ReadonlyArray<Anomaly>
}

/**
 * A completion and its response.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompletionResponse {
  readonly completion: ChatCompletion
  readonly response: ResponseInfo
}

/**
 * A stream of chunks and its response.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamResponse {
  readonly chunks: Stream.Stream<ChatCompletionChunk, ParadigmError>
  /** The completion so far; `undefined` before the first chunk. */
  readonly completion: Effect.Effect<ChatCompletion | undefined>
  readonly response: ResponseInfo
}

/**
 * The operations of the client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** Creates a chat completion and waits for all of it. Interrupting it aborts the request. */
  readonly createChatCompletion: (request: ChatCompletionRequest, options?: CallOptions) => Effect.Effect<ChatCompletion, ParadigmError>
  /** Creates a chat completion and streams its chunks. Fails when the stream is incomplete. Interrupting it aborts the request. */
  readonly streamChatCompletion: (
    request: ChatCompletionRequest,
    options?: CallOptions
  ) => Stream.Stream<ChatCompletionChunk, ParadigmError>
  /** Creates a chat completion and returns it with its response. */
  readonly createWithResponse: (request: ChatCompletionRequest, options?: CallOptions) => Effect.Effect<CompletionResponse, ParadigmError>
  /** Creates a chat completion and succeeds when the response begins. Closing the scope aborts the request. */
  readonly streamWithResponse: (
    request: ChatCompletionRequest,
    options?: CallOptions
  ) => Effect.Effect<StreamResponse, ParadigmError, Scope.Scope>
}

/**
 * The client as a service.
 *
 * @category services
 * @since 0.1.0
 */
export class ParadigmClient extends Context.Service<ParadigmClient, Service>()("@paradigm-effect/core/ParadigmClient") {}

const responseInfo = ({ headers, requestId, status }: OpenResponse, anomalies: ReadonlyArray<Anomaly>): ResponseInfo => ({
  status,
  headers,
  requestId,
  anomalies
})

/** The response that a stream reads: another one after the server aborted the first. */
interface OpenStream extends Source {
  readonly response: OpenResponse
}

const streamInfo = (reader: ChunkReader<OpenStream>): ResponseInfo => ({
  get status() {
    return reader.source.response.status
  },
  get headers() {
    return reader.source.response.headers
  },
  get requestId() {
    return reader.source.response.requestId
  },
  get anomalies() {
    return reader.source.decoder.anomalies
  }
})

const readCompletion = (response: OpenResponse, body: string): Effect.Effect<CompletionResponse, ParadigmError> => {
  const { requestId } = response
  let value: unknown
  try {
    value = parseJson(body)
  } catch {
    return Effect.fail(unexpected(response, body === "" ? "it is empty" : "it is not JSON", body))
  }
  const fault = ErrorBody.fromEvent(value, body)
  if (fault !== undefined) return Effect.fail(new ParadigmError({ reason: fault, requestId }))
  const found = new Anomalies()
  const decoded = decodeCompletion(value, found)
  const anomalies = found.list
  if (Result.isFailure(decoded)) return Effect.fail(unexpected(response, describeFields(decoded.failure), body).with({ anomalies }))
  const completion = decoded.success
  const choices = abortedChoices(completion.choices.map(({ finish_reason, index }) => [index, finish_reason]))
  if (choices.length === 0) return Effect.succeed({ completion, response: responseInfo(response, anomalies) })
  const usage = completion.usage ?? undefined
  return Effect.fail(new ParadigmError({ reason: new Aborted({ choices }), requestId, partial: completion, usage, anomalies }))
}

/**
 * Checks client options without creating a client. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown. For runtime
 * packages that open connections before they create the client.
 *
 * @example
 * ```ts
 * import { ParadigmClient } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const options = { apiKey: "sk-0123456789abcdef", baseUrl: "paradigm.example.com" }
 * const error = await Effect.runPromise(Effect.flip(ParadigmClient.checkOptions(options)))
 * console.log(error.reason._tag) // => InvalidConfiguration
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const checkOptions = (options: Options, runtime?: Runtime): Effect.Effect<void, ParadigmError> =>
  Effect.suspend(() => Effect.asVoid(Effect.fromResult(resolveOptions(options, runtime))))

const serviceOf = (transport: Transport.Transport, settings: Settings): Service => {
  const begin = (request: ChatCompletionRequest, stream: boolean, call: CallOptions | undefined) =>
    Effect.flatMap(Effect.fromResult(resolveCall(settings, call)), (settings) => Call.begin(transport, settings, request, stream))

  const createWithResponse = Effect.fnUntraced(function* (request: ChatCompletionRequest, options?: CallOptions) {
    const call = yield* begin(request, false, options)
    const { timeouts: limits } = call.settings
    const attempt = (key: Redacted.Redacted) =>
      Effect.scoped(
        Effect.flatMap(call.attempt(key), (response) =>
          Effect.flatMap(timed(readText(response), "idle", limits.idle), (text) => readCompletion(response, text))
        )
      )
    return yield* timed(call.retries.run(attempt), "total", limits.total).pipe(
      Effect.catch(call.fail),
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) ? call.end(exit, exit.value.completion, exit.value.response.anomalies) : call.end(exit, undefined)
      )
    )
  })

  const streamWithResponse = Effect.fnUntraced(function* (request: ChatCompletionRequest, options?: CallOptions) {
    const call = yield* begin(request, true, options)
    const { timeouts: limits } = call.settings
    const clock = yield* Clock.Clock
    const deadline = clock.currentTimeMillisUnsafe() + limits.total
    const withinTotal = <A, R>(effect: Effect.Effect<A, ParadigmError, R>) =>
      Effect.suspend(() => timed(effect, "total", limits.total, deadline - clock.currentTimeMillisUnsafe()))
    const scope = yield* Effect.scope
    const open = Effect.map(call.retries.run(call.attempt), (response): OpenStream => ({
      response,
      reads: response.reads,
      close: response.close,
      decoder: new ChunkDecoder({ requestId: response.requestId, acceptUnfinished: call.settings.acceptUnfinished })
    }))
    const source = yield* withinTotal(open).pipe(
      Effect.catch(call.fail),
      Effect.onExit((exit) => (Exit.isFailure(exit) ? call.end(exit, undefined) : Effect.void))
    )
    const reader = new ChunkReader(source, {
      timing: { clock, limits, deadline, keepAliveCounts: limits.keepAliveCounts },
      onChunks: call.onChunks,
      toError: (error) => call.toError(error),
      reopen: (error) => Effect.provideService(withinTotal(Effect.flatMap(call.retries.wait(error), () => open)), Scope.Scope, scope)
    })
    const end = Effect.suspend(() => {
      const { anomalies, completion } = reader.source.decoder
      return call.end(reader.outcome, completion, anomalies)
    })
    yield* Effect.addFinalizer(() => end)
    const chunks = Stream.fromChannel(
      Channel.fromTransform((_: unknown, scope: Scope.Scope) =>
        Effect.gen(function* () {
          yield* Scope.addFinalizer(scope, end)
          if (reader.watch !== undefined) yield* Effect.forkIn(reader.watch, scope)
          return reader.next
        })
      )
    )
    return {
      chunks,
      completion: Effect.sync(() => reader.source.decoder.completion),
      response: streamInfo(reader)
    }
  })

  const service: Service = {
    createWithResponse,
    createChatCompletion: (request, options) => Effect.map(createWithResponse(request, options), ({ completion }) => completion),
    streamWithResponse,
    streamChatCompletion: (request, options) => Stream.unwrap(Effect.map(streamWithResponse(request, options), ({ chunks }) => chunks))
  }
  parts.set(service, { transport, settings })
  return service
}

/**
 * Creates a client on a transport. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { ParadigmClient, Transport } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const client = yield* ParadigmClient.makeWith(Transport.fromFetch(), {
 *     apiKey: process.env.PARADIGM_API_KEY ?? "",
 *     baseUrl: process.env.PARADIGM_BASE_URL
 *   })
 *   return yield* client.createChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
 * })
 *
 * console.log((await Effect.runPromise(program)).choices[0]?.message.content) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWith = (transport: Transport.Transport, options: Options, runtime?: Runtime): Effect.Effect<Service, ParadigmError> =>
  Effect.map(Effect.fromResult(resolveOptions(options, runtime)), (settings) => serviceOf(transport, settings))

/**
 * Returns a client with other defaults for the options of a call, on the transport of the other client. Fails with `InvalidConfiguration`.
 *
 * @example
 * ```ts
 * import { ParadigmClient, Transport } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const client = yield* ParadigmClient.makeWith(Transport.fromFetch(), {
 *     apiKey: process.env.PARADIGM_API_KEY ?? "",
 *     baseUrl: process.env.PARADIGM_BASE_URL
 *   })
 *   const patient = yield* ParadigmClient.withOptions(client, { timeouts: { total: "5 minutes" } })
 *   return yield* patient.createChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
 * })
 *
 * console.log((await Effect.runPromise(program)).choices[0]?.message.content) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const withOptions = (client: Service, options: CallOptions): Effect.Effect<Service, ParadigmError> =>
  Effect.flatMap(partsOf(client), ({ settings, transport }) =>
    Effect.map(Effect.fromResult(resolveCall(settings, options)), (settings) => serviceOf(transport, settings))
  )

/**
 * Creates the layer of a client on a transport. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown.
 *
 * @example
 * ```ts
 * import { ParadigmClient, Transport } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const layer = ParadigmClient.layerWith(Transport.fromFetch({ redirect: "manual" }), {
 *   apiKey: process.env.PARADIGM_API_KEY ?? "",
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 *
 * const program = Effect.gen(function* () {
 *   const client = yield* ParadigmClient.ParadigmClient
 *   const { response } = yield* client.createWithResponse({
 *     model: "alfred-4.2",
 *     messages: [{ role: "user", content: "Say hello" }]
 *   })
 *   return response
 * })
 *
 * const response = await Effect.runPromise(Effect.provide(program, layer))
 * console.log(response.status, response.anomalies.length) // => 200 0
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (
  transport: Transport.Transport,
  options: Options,
  runtime?: Runtime
): Layer.Layer<ParadigmClient, ParadigmError> => Layer.effect(ParadigmClient, makeWith(transport, options, runtime))
