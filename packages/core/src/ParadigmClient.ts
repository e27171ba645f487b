/**
 * The client of the endpoint: requests, errors and streams as typed effects, on whatever `HttpClient` the runtime gives.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ChatCompletion, type ChatCompletionChunk, type ChatCompletionRequest } from "./ChatCompletion.ts"
import * as ChatCompletionStream from "./ChatCompletionStream.ts"
import * as ErrorBody from "./ErrorBody.ts"
import { describeFields, fieldsOf } from "./internal/schemaIssue.ts"
import { fromHttpClientError } from "./internal/transportFailure.ts"
import {
  excerpt,
  InvalidConfiguration,
  InvalidRequest,
  ParadigmError,
  type ParadigmErrorReason,
  RedirectRefused,
  UnexpectedResponse
} from "./ParadigmError.ts"
import * as RequestEncoding from "./RequestEncoding.ts"

/**
 * How to reach an endpoint.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The API key, sent as a bearer token. It appears in no error, log, span or printed object. */
  readonly apiKey: string | Redacted.Redacted
  /**
   * Where the endpoint is: an origin (`https://paradigm.example.com`), or a URL that ends in its version (`…/api/v3`, `…/api/v2`).
   * `https://paradigm.lighton.ai` by default.
   */
  readonly baseUrl?: string | URL | undefined
  /** Headers to send with every request, by lower-case name. */
  readonly headers?: Readonly<Record<string, string>> | undefined
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
    /**
     * Asks for a completion and waits for the whole of it. Interrupting the effect closes the connection.
     */
    readonly createChatCompletion: (request: ChatCompletionRequest) => Effect.Effect<ChatCompletion, ParadigmError>
    /**
     * Asks for a completion and tells its chunks as they arrive. The stream ends when the completion is whole, and fails otherwise;
     * leaving it closes the connection.
     */
    readonly streamChatCompletion: (request: ChatCompletionRequest) => Stream.Stream<ChatCompletionChunk, ParadigmError>
    /**
     * The same in two steps: the effect succeeds when the server has accepted the request, with the stream of its chunks.
     */
    readonly openChatCompletionStream: (
      request: ChatCompletionRequest
    ) => Effect.Effect<Stream.Stream<ChatCompletionChunk, ParadigmError>, ParadigmError>
  }
>()("@paradigm-effect/core/ParadigmClient") {}

const invalid = (option: string, detail: string) => new ParadigmError({ reason: new InvalidConfiguration({ option, detail }) })

const readKey = (apiKey: Options["apiKey"]): Result.Result<Redacted.Redacted, ParadigmError> => {
  const key = Redacted.isRedacted(apiKey) ? Redacted.value(apiKey) : apiKey
  if (typeof key !== "string" || key === "") return Result.fail(invalid("apiKey", "is missing"))
  // The platforms' own errors for such a header quote it whole.
  if (!/^[\x21-\x7e]+$/.test(key)) {
    return Result.fail(invalid("apiKey", "holds a space, a line end or another character that a bearer token cannot have"))
  }
  return Result.succeed(Redacted.make(key))
}

const readBaseUrl = (baseUrl: string | URL): Result.Result<URL, ParadigmError> => {
  const url = URL.parse(baseUrl)
  if (url === null) return Result.fail(invalid("baseUrl", "is not a URL; it looks like https://paradigm.example.com"))
  if (url.protocol !== "http:" && url.protocol !== "https:") return Result.fail(invalid("baseUrl", "must begin with http:// or https://"))
  if (url.username !== "" || url.password !== "") return Result.fail(invalid("baseUrl", "must not hold a user name or password"))
  const path = url.pathname.replace(/\/+$/, "")
  url.pathname = `${/\/v\d+$/.test(path) ? path : `${path}/api/v3`}/chat/completions`
  url.hash = ""
  return Result.succeed(url)
}

const readHeaders = (headers: Readonly<Record<string, string>>): Result.Result<Readonly<Record<string, string>>, ParadigmError> => {
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return Result.fail(invalid("headers", "holds a name that HTTP does not allow"))
    if (!/^[\t\x20-\x7e]*$/.test(value)) return Result.fail(invalid(`headers["${name}"]`, "holds a character that HTTP does not allow"))
  }
  return Result.succeed(headers)
}

const decodeCompletion = Schema.decodeUnknownResult(ChatCompletion)
const errorBodyLimit = 64 * 1024

/**
 * Makes a client on the `HttpClient` at hand. Fails with `InvalidConfiguration`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ParadigmClient["Service"], ParadigmError, HttpClient.HttpClient> {
  const http = yield* HttpClient.HttpClient
  const apiKey = yield* Effect.fromResult(readKey(options.apiKey))
  const url = yield* Effect.fromResult(readBaseUrl(options.baseUrl ?? "https://paradigm.lighton.ai"))
  const headers = yield* Effect.fromResult(readHeaders(options.headers ?? {}))
  const template = HttpClientRequest.post(url, { headers }).pipe(HttpClientRequest.bearerToken(apiKey))

  // A server may answer with what it was sent.
  const withoutKey = (text: string) => text.replaceAll(Redacted.value(apiKey), "<redacted>")

  const send = (request: ChatCompletionRequest, stream: boolean): Effect.Effect<HttpClientResponse, ParadigmError> => {
    if (request.stream !== undefined && request.stream !== stream) {
      const fields = { stream: [stream ? "Expected true" : "Expected false"] }
      const detail = stream ? "this call streams" : "this call does not stream; use streamChatCompletion"
      return Effect.fail(new ParadigmError({ reason: new InvalidRequest({ detail, fields }) }))
    }
    const body = RequestEncoding.encodeJson(stream ? { ...request, stream } : request)
    if (Result.isFailure(body)) return Effect.fail(new ParadigmError({ reason: body.failure }))
    const httpRequest = template.pipe(
      // Servers that negotiate refuse an Accept of event streams alone, since their errors are JSON.
      HttpClientRequest.accept(stream ? "application/json, text/event-stream" : "application/json"),
      HttpClientRequest.bodyText(body.success, "application/json")
    )
    return http.execute(httpRequest).pipe(
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
      Effect.mapError((error) => new ParadigmError({ reason: fromHttpClientError(error, "headers", url.origin) })),
      Effect.flatMap((response) => accept(response, request.model))
    )
  }

  // A success passes; everything else fails, with its body read to explain it.
  const accept = (response: HttpClientResponse, model: string): Effect.Effect<HttpClientResponse, ParadigmError> => {
    const { headers, status } = response
    if (status >= 200 && status < 300) return Effect.succeed(response)
    const requestId = headers["x-request-id"]
    const fail = (reason: ParadigmErrorReason) => Effect.fail(new ParadigmError({ reason, requestId }))
    if (status < 400) {
      const origin = headers["location"] === undefined ? undefined : URL.parse(headers["location"], url)?.origin
      return Effect.andThen(readError(response), fail(new RedirectRefused({ status, origin })))
    }
    return Effect.flatMap(Effect.zip(readError(response), Clock.currentTimeMillis), ([body, now]) =>
      fail(ErrorBody.toReason({ status, headers, body, model, now }))
    )
  }

  // As much of an error's body as comes: it may never end, break off, or be a whole page.
  const readError = (response: HttpClientResponse) =>
    Effect.suspend(() => {
      const decoder = new TextDecoder()
      let text = ""
      return response.stream.pipe(
        Stream.takeWhile((bytes) => {
          text += decoder.decode(bytes, { stream: true })
          return text.length < errorBodyLimit
        }),
        Stream.runDrain,
        Effect.timeoutOption("2 seconds"),
        Effect.ignore,
        Effect.andThen(Effect.sync(() => withoutKey(text)))
      )
    })

  const unexpected = (response: HttpClientResponse, detail: string, body: string) =>
    new ParadigmError({
      reason: new UnexpectedResponse({
        status: response.status,
        contentType: response.headers["content-type"],
        detail,
        excerpt: excerpt(withoutKey(body))
      }),
      requestId: response.headers["x-request-id"]
    })

  const createChatCompletion = Effect.fnUntraced(function* (request: ChatCompletionRequest) {
    const response = yield* send(request, false)
    const requestId = response.headers["x-request-id"]
    const text = yield* Effect.mapError(
      response.text,
      (error) => new ParadigmError({ reason: fromHttpClientError(error, "body", url.origin), requestId })
    )
    const body = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
    let value: unknown
    try {
      value = JSON.parse(body)
    } catch {
      return yield* unexpected(response, body === "" ? "it is empty" : "it is not JSON", body)
    }
    if (ErrorBody.fromEvent(value, body) !== undefined) {
      const fault = ErrorBody.fromText(withoutKey(body))
      if (fault !== undefined) return yield* new ParadigmError({ reason: fault, requestId })
    }
    const decoded = decodeCompletion(value)
    if (Result.isSuccess(decoded)) return decoded.success
    return yield* unexpected(response, describeFields(fieldsOf(decoded.failure)), body)
  })

  const openChatCompletionStream = Effect.fnUntraced(function* (request: ChatCompletionRequest) {
    const response = yield* send(request, true)
    const contentType = response.headers["content-type"]
    if (contentType === undefined || !/^\s*text\/event-stream\s*(;|$)/i.test(contentType)) {
      const body = yield* readError(response)
      const fault = /json/i.test(contentType ?? "") ? ErrorBody.fromText(body) : undefined
      if (fault !== undefined) return yield* new ParadigmError({ reason: fault, requestId: response.headers["x-request-id"] })
      return yield* unexpected(response, "it is not an event stream", body)
    }
    const bytes = Stream.mapError(response.stream, (error) => fromHttpClientError(error, "body", url.origin))
    return ChatCompletionStream.decode(bytes, { requestId: response.headers["x-request-id"], redact: withoutKey })
  })

  return {
    createChatCompletion,
    openChatCompletionStream,
    streamChatCompletion: (request) => Stream.unwrap(openChatCompletionStream(request))
  }
})

/**
 * The client as a layer. Fails with `InvalidConfiguration`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<ParadigmClient, ParadigmError, HttpClient.HttpClient> =>
  Layer.effect(ParadigmClient, make(options))

const names: Readonly<Record<string, string>> = { apiKey: "PARADIGM_API_KEY", baseUrl: "PARADIGM_BASE_URL" }

// Whoever set an environment variable looks for its name in the error.
const namingVariables = (error: ParadigmError) =>
  error.reason._tag === "InvalidConfiguration" ? invalid(names[error.reason.option] ?? error.reason.option, error.reason.detail) : error

/**
 * What the environment says: `PARADIGM_API_KEY`, and `PARADIGM_BASE_URL` where it is not the default. Fails with `InvalidConfiguration`.
 *
 * @category options
 * @since 0.1.0
 */
export const optionsConfig: Effect.Effect<Options, ParadigmError> = Effect.gen(function* () {
  const apiKey = yield* Config.Redacted("PARADIGM_API_KEY")
  const baseUrl = yield* Config.option(Config.String("PARADIGM_BASE_URL"))
  return { apiKey, baseUrl: Option.getOrUndefined(baseUrl) }
}).pipe(Effect.mapError(() => invalid("PARADIGM_API_KEY", "is not set")))

/**
 * The client as a layer, from the environment. Fails with `InvalidConfiguration`, which names the variable.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<ParadigmClient, ParadigmError, HttpClient.HttpClient> = Layer.effect(
  ParadigmClient,
  Effect.flatMap(optionsConfig, (options) => Effect.mapError(make(options), namingVariables))
)
