/**
 * A gateway in front of a simulator and of a fault server.
 */
import * as FaultServer from "@paradigm-effect/conformance/FaultServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { createServer } from "node:http"
import { sha256 } from "../src/Authentication.ts"
import * as Gateway from "../src/Gateway.ts"
import * as GatewayConfig from "../src/GatewayConfig.ts"

const serve = async (routes: Layer.Layer<never, never, HttpServer.HttpServer>) => {
  const runtime = ManagedRuntime.make(
    routes.pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 0 })),
      Layer.provide(Logger.layer([]))
    )
  )
  return { url: await runtime.runPromise(HttpServer.addressFormattedWith(Effect.succeed)), close: () => runtime.dispose() }
}

/** Starts all three. The gateway's key is `pk-conformance`, its models are `alfred`, `faulty`, and `forbidden`, which the key may not use. */
export const startBeforeSimulator = async () => {
  const simulator = await Simulator.start({ models: ["org/alfred"], mode: "random", interTokenLatency: "1 millis" })
  const faults = await FaultServer.start()
  const path = "/runs/upstream/cases/faulty"
  const apiKey = "vllm-conformance"
  const config = Effect.gen(function* () {
    const file = {
      models: {
        alfred: { baseUrl: `${simulator.url}/v1`, model: "org/alfred" },
        faulty: { baseUrl: `${faults.a}${path}/v1`, apiKeyVariable: "UPSTREAM_KEY" },
        forbidden: { baseUrl: `${simulator.url}/v1` }
      },
      keys: { all: { sha256: yield* sha256("pk-conformance"), models: ["alfred", "faulty"] } },
      maxBodyBytes: 100_000
    }
    return yield* GatewayConfig.parse(JSON.stringify(file), "test")
  }).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ UPSTREAM_KEY: apiKey })))
  const gateway = await serve(Gateway.layer(await Effect.runPromise(config)))
  return {
    baseUrl: gateway.url,
    upstream: { controlUrl: faults.controlUrl, path, model: "faulty", apiKey },
    running: async () => simulator.ledger().open,
    close: () => Promise.all([gateway.close(), simulator.close(), faults.close()])
  }
}
