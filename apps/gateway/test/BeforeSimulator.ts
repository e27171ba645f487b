/**
 * A gateway in front of a simulator, which counts the answers it is generating, and of a fault server.
 */
import * as FaultServer from "@paradigm-effect/conformance/FaultServer"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import { createServer, type Server } from "node:http"
import { Writable } from "node:stream"
import { sha256 } from "../src/Authentication.ts"
import * as Gateway from "../src/Gateway.ts"
import * as GatewayConfig from "../src/GatewayConfig.ts"
import { LineWriter } from "../src/LineWriter.ts"

const serve = async (routes: Layer.Layer<never, never, HttpServer.HttpServer>, server: Server, log: () => void) => {
  const runtime = ManagedRuntime.make(
    routes.pipe(
      Layer.provideMerge(NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 0 })),
      Layer.provide(Logger.layer([Logger.make(log)]))
    )
  )
  return { url: await runtime.runPromise(HttpServer.addressFormattedWith(Effect.succeed)), close: () => runtime.dispose() }
}

/** Starts all three. The gateway's key is `pk-conformance`, its models are `alfred`, `faulty`, and `forbidden`, which the key may not use. */
export const startBeforeSimulator = async () => {
  let begun = 0
  let ended = 0
  const simulator = await serve(
    Simulator.layer({ models: ["org/alfred"], mode: "random", interTokenLatency: "1 millis" }),
    createServer().on("request", () => void begun++),
    // It writes one line for each answer, when it is over.
    () => void ended++
  )
  const faults = await FaultServer.start()
  const path = "/runs/upstream/cases/faulty"
  const apiKey = "vllm-conformance"
  const file = {
    listen: { port: 0 },
    operator: false,
    models: {
      alfred: { name: "org/alfred", replicas: [{ baseUrl: `${simulator.url}/v1` }] },
      faulty: { replicas: [{ baseUrl: `${faults.a}${path}/v1` }], apiKey: { env: "UPSTREAM_KEY" }, health: { path: null } },
      forbidden: { replicas: [{ baseUrl: `${simulator.url}/v1` }] }
    },
    keys: { all: { sha256: sha256("pk-conformance"), models: ["alfred", "faulty"] } },
    maxBodyBytes: 100_000
  }
  const scope = Scope.makeUnsafe()
  const gateway = await GatewayConfig.parse(JSON.stringify(file), "test").pipe(
    Effect.flatMap((config) => Gateway.start(config, new LineWriter(new Writable({ write: (_line, _encoding, done) => done() })))),
    Effect.provide(NodeFileSystem.layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ UPSTREAM_KEY: apiKey })),
    Effect.provideService(Scope.Scope, scope),
    Effect.runPromise
  )
  return {
    baseUrl: gateway.url,
    upstream: { controlUrl: faults.controlUrl, path, model: "faulty", apiKey },
    running: async () => begun - ended,
    close: () => Promise.all([Effect.runPromise(Scope.close(scope, Exit.void)), simulator.close(), faults.close()])
  }
}
