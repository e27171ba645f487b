// Selects the dispatcher of the requests: the caller's, a proxy agent, or a pool of connections.
import type { SecureContextOptions } from "node:tls"
import { InvalidConfiguration, ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Dispatcher } from "undici"
import type { ConnectionOptions } from "../ConnectionOptions.ts"

/** The names of the connection options. */
export const optionNames: ReadonlyArray<keyof ConnectionOptions> = ["dispatcher", "proxy", "ca", "cert", "key", "http2"]

const invalid = (option: string, detail: string, cause?: unknown) =>
  new ParadigmError({ reason: new InvalidConfiguration({ option, detail, ...(cause === undefined ? {} : { cause }) }) })

const isReadable = (options: SecureContextOptions) => {
  // Loaded if needed: they take half of the time to import this package.
  const { X509Certificate } = process.getBuiltinModule("node:crypto")
  const { createSecureContext } = process.getBuiltinModule("node:tls")
  try {
    // A context ignores an authority that it cannot read.
    for (const authority of [options.ca ?? []].flat()) void new X509Certificate(authority)
    return createSecureContext(options) !== undefined
  } catch {
    return false
  }
}

// Checks an option alone, because Node's error does not name it.
const isPem = (name: "ca" | "cert" | "key", value: unknown): boolean => {
  const texts: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
  return texts.length > 0 && texts.every((text) => typeof text === "string" || text instanceof Uint8Array) && isReadable({ [name]: value })
}

const variable = (name: string) => process.env[name] || process.env[name.toUpperCase()]

const hasProxy = () => (variable("http_proxy") ?? variable("https_proxy") ?? "") !== ""

/** The proxy of requests to URLs of a protocol, unless their host is excluded from it. */
export const proxyFor =
  ({ dispatcher, proxy }: ConnectionOptions) =>
  (protocol: string): URL | null => {
    if (dispatcher !== undefined || proxy === false) return null
    const http = variable("http_proxy") ?? ""
    return URL.parse(proxy ?? (protocol === "https:" ? (variable("https_proxy") ?? http) : http))
  }

// Loaded with the first client: undici costs more to load than the rest of this package.
const loadUndici: Effect.Effect<typeof import("undici"), ParadigmError> = Effect.flatMap(
  Effect.tryPromise({
    try: () => import("undici"),
    catch: (cause) => invalid("dispatcher", "is missing, and undici cannot be loaded: install it, or give a dispatcher", cause)
  }),
  (undici) =>
    typeof undici.Agent?.prototype?.dispatch === "function"
      ? Effect.succeed(undici)
      : Effect.fail(invalid("dispatcher", "is missing, and this runtime replaces undici by a stub: in Bun, import @paradigm-effect/fetch"))
)

/**
 * The dispatcher of a client, which connects to the socket if there is one. Closing the scope closes its connections. Fails with
 * `InvalidConfiguration` when an option is wrong, and when undici cannot be loaded.
 */
export const make = (
  options: ConnectionOptions,
  connectTimeout: number,
  socketPath: string | undefined
): Effect.Effect<Dispatcher, ParadigmError, Scope.Scope> => {
  const { ca, cert, dispatcher, http2, key, proxy } = options
  if (proxy !== undefined && proxy !== false && !(typeof proxy === "string" || proxy instanceof URL)) {
    return Effect.fail(invalid("proxy", "must be a URL or false"))
  }
  if (dispatcher !== undefined && typeof dispatcher?.dispatch !== "function") {
    return Effect.fail(invalid("dispatcher", "must be a dispatcher of undici"))
  }
  const other = optionNames.find((name) => name !== "dispatcher" && options[name] !== undefined)
  if (dispatcher !== undefined && other !== undefined) return Effect.fail(invalid(other, "cannot be combined with dispatcher"))
  if (dispatcher !== undefined) return Effect.succeed(dispatcher as Dispatcher)
  if (socketPath !== undefined && proxy) return Effect.fail(invalid("proxy", "cannot be combined with a unix: base URL"))
  const wrong = (["ca", "cert", "key"] as const).find((name) => options[name] !== undefined && !isPem(name, options[name]))
  if (wrong !== undefined) return Effect.fail(invalid(wrong, "must be PEM, as a text, its bytes or a list of these"))
  if ((ca ?? cert ?? key) !== undefined && !isReadable({ ca, cert, key } as SecureContextOptions))
    return Effect.fail(invalid("key", "must be the key of cert"))
  if (http2 !== undefined && typeof http2 !== "boolean") return Effect.fail(invalid("http2", "must be true or false"))
  const tls = Object.fromEntries(Object.entries({ ca, cert, key }).filter(([, value]) => value !== undefined))
  const open = ({ Agent, EnvHttpProxyAgent, ProxyAgent }: typeof import("undici")): Dispatcher => {
    const timeout = Number.isFinite(connectTimeout) ? connectTimeout : 0
    const pool = { connect: { ...tls, timeout, ...(socketPath === undefined ? {} : { socketPath }) }, allowH2: http2 === true }
    const proxied = { ...pool, requestTls: { ...tls, timeout }, connectTimeout: timeout }
    if (typeof proxy === "string" || proxy instanceof URL) return new ProxyAgent({ ...proxied, uri: String(proxy) })
    return proxy === undefined && socketPath === undefined && hasProxy() ? new EnvHttpProxyAgent(proxied) : new Agent(pool)
  }
  return Effect.acquireRelease(
    Effect.flatMap(loadUndici, (undici) =>
      // undici's own error quotes the URL, which may hold a password.
      Effect.try({
        try: () => open(undici),
        catch: () => invalid(proxy === undefined ? "HTTP_PROXY" : "proxy", "is not the URL of a proxy")
      })
    ),
    (dispatcher) => Effect.promise(() => dispatcher.destroy())
  )
}
