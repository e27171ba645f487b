/** A simulator with words of its own, at a pace at which one can see what comes first, which tells how many answers it is generating. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { createServer } from "node:http"

export const startSimulator = async () => {
  const model = "alfred-4.2"
  const apiKey = `sk-${crypto.randomUUID()}`
  let begun = 0
  let ended = 0
  // One line for each generation, when it is over.
  const logger = Logger.make(() => void ended++)
  const server = createServer().on("request", ({ method, url }) => {
    if (method === "POST" && url === "/v1/chat/completions") begun++
  })
  const runtime = ManagedRuntime.make(
    Simulator.layer({ models: [model], mode: "random", interTokenLatency: "1 millis", apiKey: Redacted.make(apiKey) }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 0 })),
      Layer.provide(Logger.layer([logger]))
    )
  )
  const url = await runtime.runPromise(HttpServer.addressFormattedWith(Effect.succeed))
  return { url, model, apiKey, running: async () => begun - ended, close: () => runtime.dispose() }
}
