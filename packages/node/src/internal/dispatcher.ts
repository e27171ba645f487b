// Selects the dispatcher of the requests: the caller's, a proxy agent, or a pool of connections.
import { InvalidConfiguration, ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Dispatcher } from "undici"
import type { ConnectionOptions } from "../ConnectionOptions.ts"

/** The names of the connection options. */
export const optionNames: ReadonlyArray<keyof ConnectionOptions> = ["dispatcher", "proxy", "ca", "cert", "key", "http2"]

const invalid = (option: string, detail: string) => new ParadigmError({ reason: new InvalidConfiguration({ option, detail }) })

const hasProxy = () =>
  ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].some((name) => process.env[name] !== undefined && process.env[name] !== "")

/** The dispatcher of a client. Closing the scope closes its connections. */
export const make = (options: ConnectionOptions, connectTimeout: number): Effect.Effect<Dispatcher, ParadigmError, Scope.Scope> => {
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
  const tls = Object.fromEntries(Object.entries({ ca, cert, key }).filter(([, value]) => value !== undefined))
  const open = async (): Promise<Dispatcher> => {
    // Loaded with the first client: undici costs more to load than the rest of this package.
    const { Agent, EnvHttpProxyAgent, ProxyAgent } = await import("undici")
    const timeout = Number.isFinite(connectTimeout) ? connectTimeout : 0
    const pool = { connect: { ...tls, timeout }, allowH2: http2 === true }
    const proxied = { ...pool, requestTls: { ...tls, timeout }, connectTimeout: timeout }
    if (typeof proxy === "string" || proxy instanceof URL) return new ProxyAgent({ ...proxied, uri: String(proxy) })
    return proxy === undefined && hasProxy() ? new EnvHttpProxyAgent(proxied) : new Agent(pool)
  }
  return Effect.acquireRelease(
    // undici's own error quotes the URL, which may hold a password.
    Effect.tryPromise({ try: open, catch: () => invalid(proxy === undefined ? "HTTP_PROXY" : "proxy", "is not the URL of a proxy") }),
    (dispatcher) => Effect.promise(() => dispatcher.destroy())
  )
}
