/**
 * The gateway: a public listener for the endpoint, and an operator's listener for metrics, health and documentation.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import { ServeError } from "effect/http/HttpServerError"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { Unavailable } from "./control/ControlError.ts"
import type { ControlOptions, ControlPlane } from "./control/ControlPlane.ts"
import type { Replica } from "./control/Entity.ts"
import type { SchemaMismatch } from "./control/Migrations.ts"
import { type Address, type GatewayConfig, InvalidGatewayConfig, readSecret } from "./GatewayConfig.ts"
import { GatewayMetrics } from "./GatewayMetrics.ts"
import { Limiter } from "./limits/Limiter.ts"
import { ListenError } from "./ListenError.ts"
import { LineWriter } from "./LineWriter.ts"
import { readModels } from "./ModelList.ts"
import { type Certificate, PublicServer } from "./PublicServer.ts"
import { Registry } from "./Registry.ts"
import type { ReplicaTarget } from "./Replica.ts"
import type { UsageError, UsageRecorder } from "./usage/UsageRecorder.ts"

/** A running gateway. */
export interface Gateway {
  /** URL of the public listener. */
  readonly url: string
  /** URL of the operator's listener. */
  readonly operatorUrl: string | undefined
  /** Replaces models, keys and limits. Requests in flight keep theirs, unless their key is gone. Listeners stay as they are. */
  readonly reload: (config: GatewayConfig) => Effect.Effect<void, InvalidGatewayConfig>
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

type Readiness = "ok" | "degraded" | "starting" | "stopping"

const operatorRoutes = (metrics: () => string, readiness: () => Readiness) =>
  Layer.mergeAll(
    HttpRouter.add("GET", "/metrics", () =>
      Effect.sync(() => HttpServerResponse.text(metrics(), { contentType: "text/plain; version=0.0.4; charset=utf-8" }))
    ),
    HttpRouter.add("GET", "/health/live", HttpServerResponse.jsonUnsafe({ status: "ok" })),
    HttpRouter.add("GET", "/health/ready", () =>
      Effect.sync(() => {
        const status = readiness()
        return HttpServerResponse.jsonUnsafe({ status }, { status: status === "ok" || status === "degraded" ? 200 : 503 })
      })
    ),
    HttpRouter.add("GET", "/docs", () =>
      Effect.map(
        Effect.promise(() => import("./ApiPage.ts").then(({ html }) => html)),
        (html) => HttpServerResponse.html(html)
      )
    )
  )

const adminRoutes = Effect.fnUntraced(function* (
  plane: ControlPlane,
  { hosts, secret }: NonNullable<GatewayConfig["admin"]>,
  registry: Registry,
  active: () => number
) {
  const [server, page, { AdminAccess }, { probeReplica }] = yield* Effect.promise(() =>
    Promise.all([
      import("./control/AdminServer.ts"),
      import("./control/AdminPage.ts"),
      import("./control/AdminAccess.ts"),
      import("./control/ReplicaProbe.ts")
    ])
  )
  const status = Effect.sync(() => {
    const { config, keys, models } = registry.snapshot
    const file = new Set(config.models.filter(({ id, name }) => id === name).map(({ id }) => id))
    return {
      revision: plane.revision,
      degraded: plane.status !== "ok",
      activeRequests: active(),
      keys: keys.size,
      models: config.models.map(({ aliases, id, name }) => {
        const pool = models.get(name)?.pool
        return {
          id,
          name,
          aliases,
          owner: file.has(id) ? ("file" as const) : ("api" as const),
          waiting: pool?.waiting ?? 0,
          replicas: (pool?.members ?? []).map(({ replica: { inFlight, isHealthy, origin } }) => ({ origin, isHealthy, inFlight }))
        }
      })
    }
  })
  const test = ({ baseUrl, credential, remoteName }: Replica) =>
    Effect.gen(function* () {
      const apiKey = credential === null ? undefined : yield* readSecret(credential)
      if (typeof apiKey === "string") return { isReachable: false, detail: `The gateway has no key for it: ${apiKey}.`, milliseconds: 0 }
      return yield* probeReplica({ baseUrl, remoteName, apiKey })
    }).pipe(Effect.provide(NodeFileSystem.layer))
  const access = new AdminAccess(plane.sql, Redacted.value(secret))
  return Layer.mergeAll(server.routes({ store: plane.store, access, hosts, status, refresh: plane.refresh, test }), page.routes())
})

// Keys end at a time, or are revoked in another gateway.
const revocationInterval = "250 millis"
// Holds of a gateway that was killed end after this time.
const lease = 60_000

const limiterOptions = ({ calendar, redis }: GatewayConfig) => ({
  calendar,
  redis: redis && { url: Redacted.value(redis.url), timeout: redis.timeout, prefix: redis.prefix },
  whenAway: redis?.whenAway ?? ("open" as const),
  lease
})

// One connection to a SQLite file in a process: two would wait for each other.
const startUsage = Effect.fnUntraced(function* (
  { calendar, usage }: GatewayConfig,
  shared: SqlClient.SqlClient | undefined,
  metrics: GatewayMetrics
): Effect.fn.Return<UsageRecorder | undefined, InvalidGatewayConfig | UsageError, Scope.Scope> {
  if (usage === undefined) return undefined
  if ((shared === undefined) === (usage.database === undefined)) {
    const problem =
      shared === undefined ? "a database is needed, here or by --data" : "the ledger is in the database of --data. Remove this one"
    return yield* new InvalidGatewayConfig({ file: "and its database", problems: [`usage → database: ${problem}`] })
  }
  // Its modules would cost every gateway without a ledger a part of its start.
  const { make, openDatabase } = yield* Effect.promise(() => import("./usage/UsageRecorder.ts"))
  const sql = shared ?? (usage.database === undefined ? undefined : yield* openDatabase(usage.database))
  return sql === undefined ? undefined : yield* make(usage, sql, calendar, metrics)
})

/** Starts a gateway that runs until the scope ends. Its log lines go to `writer`. With `control`, it also serves what is in a database. */
export const start = Effect.fnUntraced(function* (
  config: GatewayConfig,
  writer: LineWriter = new LineWriter(process.stdout),
  control?: ControlOptions
): Effect.fn.Return<Gateway, ListenError | InvalidGatewayConfig | SchemaMismatch | Unavailable | UsageError, Scope.Scope> {
  const registry = yield* Registry.make(config)
  const plane =
    control === undefined
      ? undefined
      : // Its modules would cost every gateway without a database a part of its start.
        yield* Effect.flatMap(
          Effect.promise(() => import("./control/ControlPlane.ts")),
          ({ ControlPlane }) => ControlPlane.start(registry, control)
        )
  const metrics = new GatewayMetrics()
  const usage = yield* startUsage(config, plane?.sql, metrics)
  const limiter = yield* Effect.acquireRelease(
    Effect.sync(() => new Limiter({ ...limiterOptions(config), metrics, readUse: usage?.readUse })),
    (limiter) => Effect.sync(() => limiter.close())
  )
  const scrape = () =>
    metrics.text(registry, writer.dropped, {
      controlAge: plane?.age,
      limits: { isDegraded: limiter.isDegraded, waiting: usage?.waiting }
    })
  const { telemetry } = config
  const tracer =
    telemetry === undefined
      ? undefined
      : yield* Effect.flatMap(
          Effect.promise(() => import("./Telemetry.ts")),
          ({ start }) =>
            start(telemetry, {
              writer,
              metrics: { registry: metrics.registry, collect: () => void scrape() }
            })
        )
  const endpoint = new PublicServer({ registry, writer, metrics, limiter, usage, tracer })
  const { tls } = config.listen
  const server = endpoint.nodeServer(config.listen.keepAlive, tls === undefined ? undefined : yield* readCertificate(tls))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      endpoint.drain()
      server.close()
      server.closeAllConnections()
    })
  )
  yield* Effect.forkScoped(
    Effect.repeat(
      Effect.sync(() => endpoint.endRevoked()),
      Schedule.spaced(revocationInterval)
    )
  )
  const address = yield* listen(server, config.listen)
  let isReady = true
  let operatorUrl: string | undefined
  if (config.operator !== undefined) {
    const routes = operatorRoutes(scrape, () => {
      const status = isReady ? (plane?.status ?? "ok") : "stopping"
      return status === "ok" && (limiter.isDegraded || usage?.isDegraded === true) ? "degraded" : status
    })
    const { operator } = config
    const { admin } = config
    const all =
      plane === undefined || admin === undefined
        ? routes
        : Layer.mergeAll(routes, yield* adminRoutes(plane, admin, registry, () => endpoint.active))
    if (plane !== undefined && admin === undefined) {
      yield* Effect.logWarning("There is no API of administrators: neither `admin.secret` nor PARADIGM_ADMIN_SECRET is set")
    }
    const context = yield* Layer.build(
      HttpRouter.serve(all, { disableLogger: true, disableListenLog: true }).pipe(
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
  return { url: urlOf(address, tls !== undefined), operatorUrl, reload: plane?.reload ?? registry.load, drain }
})

/** Asks a replica for its models. Returns what is wrong with it; `undefined` when it answers. */
export const reach = ({ apiKey, model, url }: ReplicaTarget): Effect.Effect<string | undefined> =>
  Effect.promise(async (signal) => {
    const models = new URL(url.href.replace(/chat\/completions$/, "models"))
    try {
      const { names, status } = await readModels(models, apiKey, signal)
      if (status === 401 || status === 403) return `refuses its key (status ${status})`
      if (status !== 200) return `answers ${status} at ${models.pathname}`
      return names(model) ? undefined : `does not list the model ${model}`
    } catch (error) {
      const { code } = error as { readonly code?: unknown }
      return `cannot be reached (${typeof code === "string" ? code : "no answer"})`
    }
  })
