// One call on the wire. The client's errors have neither the URL nor the headers of the response, which the AI SDK's errors need.
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import * as ParadigmPromise from "@paradigm-effect/core/ParadigmPromise"
import * as Transport from "@paradigm-effect/core/Transport"
import * as Effect from "effect/Effect"
import { Fetch } from "effect/http/FetchHttpClient"

/** Options of the client without a key, which may also come from the environment. */
export type ClientOptions = Omit<ParadigmClient.ConnectOptions, "extraBody" | "retry" | "telemetry" | "encode">

const send = /* @__PURE__ */ Transport.fromFetch({ redirect: "manual" })

const runtime: ParadigmClient.Runtime = {
  environment: /* @__PURE__ */ ParadigmClient.environmentOf((name) => {
    // Absent in browsers and in some edge runtimes.
    const { process } = globalThis as { readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> } }
    return process?.env?.[name]
  })
}

/**
 * Throws the `ParadigmError` of a wrong option. Neither the key nor the environment is checked, because a build may load a provider without the
 * environment of its server.
 */
export const checkOptions = (options: ClientOptions): void => Effect.runSync(ParadigmClient.checkOptions({ ...options, apiKey: () => "" }))

/** The request and the response of one call. */
export class Exchange {
  /** The URL without its query, which may hold a key. Empty before the request is sent. */
  url = ""
  /** The status of the response, once it has begun. */
  status: number | undefined = undefined
  /** The headers of the response, by lower-case name. */
  headers: Record<string, string> | undefined = undefined
  readonly #options: ClientOptions
  readonly #fetch: typeof globalThis.fetch

  constructor(options: ClientOptions, fetch: typeof globalThis.fetch) {
    this.#options = options
    this.#fetch = fetch
  }

  /** Makes a client for this call. Throws the `ParadigmError` of a missing key. */
  connect(): ParadigmPromise.LeanClient {
    // Without an option the key comes from the environment, which `ConnectOptions` allows.
    return ParadigmPromise.makeLean(ParadigmClient.makeWith(this.#transport, this.#options as ParadigmClient.Options, runtime))
  }

  readonly #transport: Transport.Transport = (request) => {
    this.url = request.url.origin + request.url.pathname
    return send(request).pipe(
      Effect.provideService(Fetch, this.#fetch),
      Effect.tap(({ headers, status }) => {
        this.status = status
        this.headers = this.#withoutKey(headers, request.headers["authorization"])
        return Effect.void
      })
    )
  }

  // A debugging proxy may return the request's headers. A short key is masked only after `Bearer`, because it may be a part of any text.
  #withoutKey(headers: Readonly<Record<string, string | undefined>>, authorization = ""): Record<string, string> {
    const key = authorization.replace(/^Bearer /, "")
    const [secret, masked] = key.length < 12 ? [authorization, "Bearer <redacted>"] : [key, "<redacted>"]
    const entries = Object.entries(headers).map(([name, value = ""]) => [name, value.replaceAll(secret, masked)])
    return Object.fromEntries(entries) as Record<string, string>
  }
}
