/**
 * Interface between the client and a runtime: a request whose connection is closed with a scope.
 *
 * The runtime packages have a transport. Implement one to run the client on another HTTP stack; use {@link fromFetch} for
 * `fetch`, and `HttpClientTransport` for any Effect `HttpClient`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * A request to send.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransportRequest {
  readonly url: URL
  /** Header values by lower-case name, the credential included. */
  readonly headers: Readonly<Record<string, string>>
  /** The body of a POST request. `undefined` for a GET request. */
  readonly body: string | undefined
}

/**
 * A response whose body has not been read.
 *
 * @category models
 * @since 0.1.0
 */
export interface TransportResponse {
  readonly status: number
  /** Header values by lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The body, decompressed. */
  readonly stream: Stream.Stream<Uint8Array, TransportError>
}

/**
 * A failure of the transport. Every Effect `HttpClientError` is one.
 *
 * @category errors
 * @since 0.1.0
 */
export interface TransportError {
  readonly reason: {
    /** `EmptyBodyError` if a response has no body; otherwise any name. */
    readonly _tag: string
    /** The platform's exception. The client matches its names, codes and messages. */
    readonly cause?: unknown
    /** What was connected to, for the message of the error. Defaults to the origin of the URL. */
    readonly origin?: string | undefined
  }
}

/**
 * Sends one request, POST if it has a body and otherwise GET, and succeeds with the response head. Closing the scope closes the connection unless the body was read to its end.
 * A transport follows no redirects and adds no headers but those that HTTP needs.
 *
 * @category models
 * @since 0.1.0
 */
export type Transport = (request: TransportRequest) => Effect.Effect<TransportResponse, TransportError, Scope.Scope>

// By its key: the module of Effect that has it imports all of Effect's schemas, which would double the time to load the client.
const Fetch = /* @__PURE__ */ Context.Reference<typeof globalThis.fetch>("effect/http/FetchHttpClient/Fetch", {
  defaultValue: () => globalThis.fetch
})

const failure = (cause: unknown): TransportError => ({ reason: { _tag: "TransportError", cause } })

// `Stream.fromReadableStream` does the same with 300 bytes more in a page.
const toStream = (reader: ReadableStreamDefaultReader<Uint8Array>) =>
  Stream.fromPull(
    Effect.succeed(
      Effect.flatMap(Effect.tryPromise({ try: () => reader.read(), catch: failure }), ({ done, value }) =>
        done ? Cause.done() : Effect.succeed([value] as const)
      )
    )
  )

/**
 * Creates a transport on `fetch`. Each request passes `init` on. The second parameter, or else Effect's `FetchHttpClient.Fetch` reference, replaces
 * the global `fetch`.
 *
 * It does not load Effect's `HttpClient`, which would add about 5 KB (gzipped) to a page.
 *
 * @example
 * ```ts
 * import { ParadigmClient, Transport } from "@paradigm-effect/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const client = yield* ParadigmClient.makeWith(Transport.fromFetch({ redirect: "manual" }), {
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
export const fromFetch =
  (init: RequestInit = {}, given?: (url: URL, init: RequestInit) => Promise<Response>): Transport =>
  ({ body, headers, url }) =>
    Effect.gen(function* () {
      const fetch = given ?? (yield* Fetch)
      const controller = new AbortController()
      let reader: ReadableStreamDefaultReader<Uint8Array> | undefined
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          controller.abort()
          // A `fetch` of the application may ignore the signal.
          reader?.cancel().catch(constVoid)
          reader?.releaseLock()
        })
      )
      const method = body === undefined ? "GET" : "POST"
      const request = { ...init, method, headers, body: body ?? null, signal: controller.signal }
      const response = yield* Effect.tryPromise({ try: () => fetch(url, request), catch: failure })
      reader = (response.body ?? new Blob().stream()).getReader()
      return { status: response.status, headers: Object.fromEntries(response.headers), stream: toStream(reader) }
    })
