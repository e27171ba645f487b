/**
 * The client of the endpoint: requests, errors and streams as typed effects, on whatever `HttpClient` the runtime gives.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constTrue } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "./ChatCompletion.ts"
import { ChatCompletionAccumulator } from "./ChatCompletionAccumulator.ts"
import * as ChatCompletionStream from "./ChatCompletionStream.ts"
import * as ErrorBody from "./ErrorBody.ts"
import * as Endpoint from "./client/options.ts"
import { type Exchange, type Post, readBeginning, send, timed } from "./transport/attempt.ts"
import { Anomalies } from "./Anomaly.ts"
import { abortedChoices, decodeCompletion } from "./contract/decode.ts"
import { parseJson } from "./json/jsonText.ts"
import { describeFields } from "./errors/FieldErrors.ts"
import { Aborted, excerpt, InvalidRequest, isParadigmError, ParadigmError, UnexpectedResponse } from "./ParadigmError.ts"
import * as RequestEncoding from "./RequestEncoding.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import * as Telemetry from "./Telemetry.ts"
import * as Timeouts from "./Timeouts.ts"

/**
 * What may be said for one call; it wins over what the client was made with.
 *
 * @category options
 * @since 0.1.0
 */
export interface CallOptions {
  /** What is tried again, and when. `false` makes one attempt. */
  readonly retry?: RetryPolicy.RetryPolicy | false | undefined
  /** How long each stage may take. */
  readonly timeouts?: Timeouts.Timeouts | undefined
  /** How requests are written: `RequestEncoding.json` by default, or the forms `urlEncoded` and `multipart`. */
  readonly encode?: RequestEncoding.Encoder | undefined
  /** Headers to send, by lower-case name. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * How to reach an endpoint.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends CallOptions {
  /** The API key, sent as a bearer token. It appears in no error, log, span or printed object. */
  readonly apiKey: string | Redacted.Redacted
  /**
   * Where the endpoint is: an origin (`https://paradigm.example.com`), or a URL that ends in its version (`…/api/v3`, `…/api/v2`).
   * `https://paradigm.lighton.ai` by default.
   */
  readonly baseUrl?: string | URL | undefined
  /** What spans hold, and what leaves the process with a request. */
  readonly telemetry?: Telemetry.TelemetryOptions | undefined
}

/**
 * What the server said beside its answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResponseInfo {
  readonly status: number
  /** By lower-case name. In a browser only those that the server exposes. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly requestId: string | undefined
}

/**
 * The client as a service.
 *
 * @category services
 * @since 0.1.0
 */
export class ParadigmClient extends Context.Service<
  ParadigmClient,
  {
    /** Asks for a completion and waits for the whole of it. Interrupting the effect closes the connection. */
    readonly createChatCompletion: (request: ChatCompletionRequest, options?: CallOptions) => Effect.Effect<ChatCompletion, ParadigmError>
    /**
     * Asks for a completion and tells its chunks as they arrive. The stream ends when the completion is whole, and fails otherwise; leaving
     * it closes the connection.
     */
    readonly streamChatCompletion: (
      request: ChatCompletionRequest,
      options?: CallOptions
    ) => Stream.Stream<ChatCompletionChunk, ParadigmError>
    /** `createChatCompletion`, with what the server said beside the completion. */
    readonly createWithResponse: (
      request: ChatCompletionRequest,
      options?: CallOptions
    ) => Effect.Effect<{ readonly completion: ChatCompletion; readonly response: ResponseInfo }, ParadigmError>
    /**
     * `streamChatCompletion` in two steps: the effect succeeds when the server has accepted the request. The connection is closed with the
     * scope.
     */
    readonly streamWithResponse: (
      request: ChatCompletionRequest,
      options?: CallOptions
    ) => Effect.Effect<
      {
        readonly chunks: Stream.Stream<ChatCompletionChunk, ParadigmError>
        /** What has arrived so far; `undefined` before the first chunk. */
        readonly completion: Effect.Effect<ChatCompletion | undefined>
        readonly response: ResponseInfo
      },
      ParadigmError,
      Scope.Scope
    >
  }
>()("@paradigm-effect/core/ParadigmClient") {}

// In characters. A completion is far smaller; what has no end must stop somewhere.
const maxBodySize = 64 * 1024 * 1024

const responseInfo = ({ requestId, response }: Exchange): ResponseInfo => ({
  status: response.status,
  headers: response.headers,
  requestId
})

const contradicts = (request: ChatCompletionRequest, stream: boolean): InvalidRequest | undefined =>
  // Whoever writes JavaScript may give no request at all; that is for its schema to say.
  request?.stream === undefined || request.stream === stream
    ? undefined
    : new InvalidRequest({
        detail: stream ? "this call streams" : "this call does not stream; streamChatCompletion does",
        fields: { stream: [`Expected ${stream}`] }
      })

const encodeWith = (encoder: RequestEncoding.Encoder, request: ChatCompletionRequest, stream: boolean) =>
  Effect.suspend(() => {
    const contradiction = contradicts(request, stream)
    const body = contradiction === undefined ? encoder(stream ? { ...request, stream } : request) : Result.fail(contradiction)
    return Effect.mapError(Effect.fromResult(body), (reason) => new ParadigmError({ reason }))
  })

const unexpected = ({ requestId, response }: Exchange, detail: string, body: string) =>
  new ParadigmError({
    reason: new UnexpectedResponse({
      status: response.status,
      contentType: response.headers["content-type"],
      detail,
      excerpt: excerpt(body)
    }),
    requestId
  })

const readCompletion = (from: Exchange, body: string): Effect.Effect<ChatCompletion, ParadigmError> => {
  let value: unknown
  try {
    value = parseJson(body)
  } catch {
    return Effect.fail(unexpected(from, body === "" ? "it is empty" : "it is not JSON", body))
  }
  const fault = ErrorBody.fromEvent(value, body)
  if (fault !== undefined) return Effect.fail(new ParadigmError({ reason: fault, requestId: from.requestId }))
  const anomalies = new Anomalies()
  const decoded = decodeCompletion(value, anomalies)
  if (Result.isFailure(decoded)) return Effect.fail(unexpected(from, describeFields(decoded.failure), body))
  const completion = decoded.success
  const choices = abortedChoices(completion.choices.map(({ finish_reason, index }) => [index, finish_reason]))
  if (choices.length === 0) return Effect.succeed(completion)
  const reason = new Aborted({ choices })
  const { usage } = completion
  return Effect.fail(
    new ParadigmError({ reason, requestId: from.requestId, partial: completion, usage: usage ?? undefined, anomalies: anomalies.list })
  )
}

// Some other page in place of a completion may be endless: its type is known before its body is read.
const readText = (from: Exchange): Effect.Effect<string, ParadigmError> => {
  const contentType = from.response.headers["content-type"]
  if (contentType !== undefined && /^\s*text\/(event-stream|html)/i.test(contentType)) {
    return Effect.flatMap(readBeginning(from), (body) => Effect.fail(unexpected(from, "it is not JSON", body)))
  }
  const decoder = new TextDecoder()
  let text = ""
  return Stream.runForEachArray(from.bytes, (reads) => {
    for (const read of reads) text += decoder.decode(read, { stream: true })
    return text.length > maxBodySize ? Effect.fail(unexpected(from, `it is larger than ${maxBodySize} characters`, text)) : Effect.void
  }).pipe(
    Effect.mapError((error) => (isParadigmError(error) ? error : new ParadigmError({ reason: error, requestId: from.requestId }))),
    Effect.map(() => text + decoder.decode())
  )
}

/**
 * Makes a client on a function that does for it what an `HttpClient` would. Fails with `InvalidConfiguration`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeOn = Effect.fnUntraced(function* (
  post: Post,
  options: Options
): Effect.fn.Return<ParadigmClient["Service"], ParadigmError> {
  const endpoint = yield* Effect.fromResult(Endpoint.make(options))
  const telemetry = options.telemetry ?? {}

  const encode = (request: ChatCompletionRequest, stream: boolean, call: CallOptions) =>
    encodeWith(call.encode ?? options.encode ?? RequestEncoding.json, request, stream)

  // An answer with success, from as many attempts as the policy allows.
  const exchange = Effect.fnUntraced(function* (
    request: ChatCompletionRequest,
    body: RequestEncoding.Encoded,
    stream: boolean,
    limits: Timeouts.Limits,
    call: CallOptions
  ): Effect.fn.Return<Exchange, ParadigmError, Scope.Scope> {
    const outgoing = {
      body,
      // Servers that negotiate refuse an Accept of event streams alone, since their errors are JSON.
      accept: stream ? "application/json, text/event-stream" : "application/json",
      model: request.model,
      headers: yield* Effect.fromResult(Endpoint.readHeaders(call.headers)),
      propagateTrace: telemetry.propagateTrace === true
    }
    return yield* RetryPolicy.run(send(post, endpoint, outgoing, limits), call.retry ?? options.retry)
  })

  const createWithResponse = Effect.fnUntraced(function* (request: ChatCompletionRequest, call: CallOptions = {}) {
    const limits = Timeouts.limits(options.timeouts, call.timeouts)
    const body = yield* encode(request, false, call)
    const observation = yield* Telemetry.observe(request, endpoint.url, telemetry)
    const answer = Effect.gen(function* () {
      const from = yield* exchange(request, body, false, limits, call)
      const text = yield* timed(readText(from), "idle", limits.idle)
      return { completion: yield* readCompletion(from, text), response: responseInfo(from) }
    })
    return yield* timed(Effect.scoped(answer), "total", limits.total).pipe(
      Effect.mapError(endpoint.redact),
      Effect.withParentSpan(observation.span),
      Effect.onExit((exit) => observation.end(exit, Exit.isSuccess(exit) ? exit.value.completion : undefined))
    )
  })

  const streamWithResponse = Effect.fnUntraced(function* (request: ChatCompletionRequest, call: CallOptions = {}) {
    const limits = Timeouts.limits(options.timeouts, call.timeouts)
    const deadline = (yield* Clock.currentTimeMillis) + limits.total
    const body = yield* encode(request, true, call)
    const observation = yield* Telemetry.observe(request, endpoint.url, telemetry)
    const opened = Effect.gen(function* () {
      const from = yield* exchange(request, body, true, limits, call)
      const contentType = from.response.headers["content-type"]
      if (contentType !== undefined && /^\s*text\/event-stream\s*(;|$)/i.test(contentType)) return from
      const beginning = yield* readBeginning(from)
      const fault = /json/i.test(contentType ?? "") ? ErrorBody.fromText(beginning) : undefined
      if (fault === undefined) return yield* unexpected(from, "it is not an event stream", beginning)
      return yield* new ParadigmError({ reason: fault, requestId: from.requestId })
    })
    const from = yield* timed(opened, "total", limits.total).pipe(
      Effect.mapError(endpoint.redact),
      Effect.withParentSpan(observation.span),
      Effect.onExit((exit) => (Exit.isFailure(exit) ? observation.end(exit, undefined) : Effect.void))
    )
    const accumulator = new ChatCompletionAccumulator()
    const chunks = ChatCompletionStream.decode(from.bytes, {
      accumulator,
      requestId: from.requestId,
      redact: endpoint.redact,
      timed: { limits, deadline, close: from.close },
      observation
    })
    return { chunks, completion: Effect.sync(() => accumulator.completion), response: responseInfo(from) }
  })

  return {
    createWithResponse,
    createChatCompletion: (request, call) => Effect.map(createWithResponse(request, call), ({ completion }) => completion),
    streamWithResponse,
    streamChatCompletion: (request, call) => Stream.unwrap(Effect.map(streamWithResponse(request, call), ({ chunks }) => chunks))
  }
})

// The client has spans of its own, and decides by itself what of a trace leaves the process.
const postOf =
  (http: HttpClient.HttpClient): Post =>
  ({ body, headers, url }) => {
    const request = HttpClientRequest.post(url, { headers }).pipe(HttpClientRequest.bodyText(body, headers["content-type"]))
    return Effect.provideService(HttpClient.withScope(http).execute(request), HttpClient.TracerDisabledWhen, constTrue)
  }

/**
 * Makes a client on the `HttpClient` at hand. Fails with `InvalidConfiguration`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<ParadigmClient["Service"], ParadigmError, HttpClient.HttpClient> =>
  Effect.flatMap(HttpClient.HttpClient, (http) => makeOn(postOf(http), options))

/**
 * The client as a layer. Fails with `InvalidConfiguration`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<ParadigmClient, ParadigmError, HttpClient.HttpClient> =>
  Layer.effect(ParadigmClient, make(options))
