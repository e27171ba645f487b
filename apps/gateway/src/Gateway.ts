/**
 * The gateway: a public listener for the endpoint, and an operator's listener for metrics, health and documentation.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import { ServeError } from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { type Address, type GatewayConfig, InvalidGatewayConfig } from "./GatewayConfig.ts"
import { GatewayMetrics } from "./GatewayMetrics.ts"
import { ListenError } from "./ListenError.ts"
import { LineWriter } from "./LineWriter.ts"
import { type Certificate, PublicServer } from "./PublicServer.ts"
import { Registry } from "./Registry.ts"
import type { ReplicaTarget } from "./Replica.ts"

/** A running gateway. */
export interface Gateway {
  /** URL of the public listener. */
  readonly url: string
  /** URL of the operator's listener. */
  readonly operatorUrl: string | undefined
  /** Replaces models, keys and limits. Requests in flight keep theirs. Listeners stay as they are. */
  readonly reload: (config: GatewayConfig) => Effect.Effect<void>
  /**
   * Stops: readiness turns to 503, the listener accepts connections for `preStop`, requests in flight have `grace`, and streams that are left end with an
   * error event.
   */
  readonly drain: Effect.Effect<void>
}

const listen = (server: Server, address: Address): Effect.Effect<Address, ListenError> =>
  Effect.callback((resume) => {
    const { host, port } = address
    server.once("error", (cause) => resume(Effect.fail(ListenError.of(address, new ServeError({ cause })))))
    server.listen({ host, port, backlog: 4096 }, () => {
      const bound = server.address()
      resume(Effect.succeed({ host, port: typeof bound === "object" && bound !== null ? bound.port : port }))
    })
  })

const urlOf = ({ host, port }: Address, isTls: boolean) => {
  const shown = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host
  return `${isTls ? "https" : "http"}://${shown}:${port}`
}

const readCertificate = ({
  certFile,
  keyFile
}: {
  readonly certFile: string
  readonly keyFile: string
}): Effect.Effect<Certificate, InvalidGatewayConfig> =>
  Effect.try({
    try: () => ({ cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") }),
    catch: (error) => new InvalidGatewayConfig({ file: certFile, problems: [error instanceof Error ? error.message : "It cannot be read"] })
  })

const operatorRoutes = (metrics: () => string, isReady: () => boolean) =>
  Layer.mergeAll(
    HttpRouter.add("GET", "/metrics", () =>
      Effect.sync(() => HttpServerResponse.text(metrics(), { contentType: "text/plain; version=0.0.4; charset=utf-8" }))
    ),
    HttpRouter.add("GET", "/health/live", HttpServerResponse.jsonUnsafe({ status: "ok" })),
    HttpRouter.add("GET", "/health/ready", () =>
      Effect.sync(() => HttpServerResponse.jsonUnsafe({ status: isReady() ? "ok" : "stopping" }, { status: isReady() ? 200 : 503 }))
    ),
    HttpRouter.add("GET", "/docs", () =>
      Effect.map(
        Effect.promise(() => import("./ApiPage.ts").then(({ html }) => html)),
        (html) => HttpServerResponse.html(html)
      )
    )
  )

/** Starts a gateway that runs until the scope ends. Its log lines go to `writer`. */
export const start = Effect.fnUntraced(function* (
  config: GatewayConfig,
  writer: LineWriter = new LineWriter(process.stdout)
): Effect.fn.Return<Gateway, ListenError | InvalidGatewayConfig, Scope.Scope> {
  const registry = yield* Registry.make(config)
  const metrics = new GatewayMetrics()
  const { telemetry } = config
  const tracer =
    telemetry === undefined
      ? undefined
      : yield* Effect.flatMap(
          Effect.promise(() => import("./Telemetry.ts")),
          ({ start }) =>
            start(telemetry, {
              writer,
              metrics: { registry: metrics.registry, collect: () => void metrics.text(registry, writer.dropped) }
            })
        )
  const endpoint = new PublicServer({ registry, writer, metrics, tracer })
  const { tls } = config.listen
  const server = endpoint.nodeServer(config.listen.keepAlive, tls === undefined ? undefined : yield* readCertificate(tls))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endpoint.drain()
      server.close()
      server.closeAllConnections()
    })
  )
  const address = yield* listen(server, config.listen)
  let isReady = true
  let operatorUrl: string | undefined
  if (config.operator !== undefined) {
    const routes = operatorRoutes(
      () => metrics.text(registry, writer.dropped),
      () => isReady
    )
    const { operator } = config
    const context = yield* Layer.build(
      HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
        Layer.provideMerge(NodeHttpServer.layer(createServer, { ...operator, gracefulShutdownTimeout: 0 }))
      )
    ).pipe(Effect.mapError((error) => ListenError.of(operator, error)))
    operatorUrl = yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), context)
  }
  const idle = Effect.whileLoop({ while: () => endpoint.active > 0, body: () => Effect.sleep(20), step: () => undefined })
  const drain = Effect.gen(function* () {
    isReady = false
    const { grace, preStop } = registry.snapshot.config.shutdown
    yield* Effect.sleep(preStop)
    server.close()
    yield* Effect.timeoutOption(idle, grace)
    endpoint.drain()
    yield* Effect.timeoutOption(idle, 1000)
    server.closeAllConnections()
  })
  return { url: urlOf(address, tls !== undefined), operatorUrl, reload: registry.load, drain }
})

/** Asks a replica for its models. Returns what is wrong with it; `undefined` when it answers. */
export const reach = ({ apiKey, model, url }: ReplicaTarget): Effect.Effect<string | undefined> =>
  Effect.promise(async (signal) => {
    const headers = apiKey === undefined ? {} : { authorization: `Bearer ${Redacted.value(apiKey)}` }
    const models = new URL(url.href.replace(/chat\/completions$/, "models"))
    try {
      const response = await fetch(models, { headers, redirect: "manual", signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]) })
      const text = await response.text()
      if (response.status === 401 || response.status === 403) return `refuses its key (status ${response.status})`
      if (response.status !== 200) return `answers ${response.status} at ${models.pathname}`
      return text.includes(JSON.stringify(model)) ? undefined : `does not list the model ${model}`
    } catch (error) {
      const { cause } = error as { readonly cause?: { readonly code?: unknown } }
      return `cannot be reached (${typeof cause?.code === "string" ? cause.code : "no answer"})`
    }
  })
