/**
 * A gateway in front of a simulator and of a fault server.
 */
import * as FaultServer from "@paradigm-effect/conformance/FaultServer"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Writable } from "node:stream"
import { sha256 } from "../src/Authentication.ts"
import * as Gateway from "../src/Gateway.ts"
import * as GatewayConfig from "../src/GatewayConfig.ts"
import { LineWriter } from "../src/LineWriter.ts"

/** Starts all three. The gateway's key is `pk-conformance`, its models are `alfred`, `faulty`, and `forbidden`, which the key may not use. */
export const startBeforeSimulator = async () => {
  const simulator = await Simulator.start({ models: ["org/alfred"], mode: "random", interTokenLatency: "1 millis" })
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
    running: async () => simulator.ledger().open,
    close: () => Promise.all([Effect.runPromise(Scope.close(scope, Exit.void)), simulator.close(), faults.close()])
  }
}
