/**
 * The command `demo`: client, gateway and simulator on this machine, one completion streamed through all three, over real sockets.
 */
import * as Authentication from "@paradigm-effect/gateway/Authentication"
import * as Gateway from "@paradigm-effect/gateway/Gateway"
import * as Paradigm from "@paradigm-effect/node/Paradigm"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { note, streamToTerminal } from "./Chat.ts"
import type { Listen } from "./Listen.ts"

const model = "alfred-4.2"

const address = HttpServer.addressFormattedWith(Effect.succeed)

// Starts a server that lives as long as the scope, and tells its address.
const start = Effect.fnUntraced(function* <E, R>(routes: Layer.Layer<never, never, HttpServer.HttpServer>, listen: Listen<E, R>) {
  const context = yield* Layer.build(Layer.provideMerge(routes, listen({ host: "127.0.0.1", port: 0 })))
  return yield* Effect.provideContext(address, context)
})

/** The command `demo`. */
export const command = <E, R>(listen: Listen<E, R>) =>
  Command.make(
    "demo",
    { words: Argument.String("words").pipe(Argument.variadic(), Argument.withDescription("What to say; the simulator says it back")) },
    Effect.fnUntraced(
      function* ({ words }) {
        const prompt = words.join(" ") || "Every token you read here was an event on a real socket."
        const apiKey = `pk-${crypto.randomUUID()}`
        const upstream = yield* start(
          Simulator.layer({ models: [model], timeToFirstToken: "150 millis", interTokenLatency: "40 millis" }),
          listen
        )
        const gateway = yield* start(
          Gateway.layer({
            models: new Map([[model, { url: new URL("/v1/chat/completions", upstream), model, apiKey: undefined }]]),
            keys: [{ name: "demo", sha256: yield* Authentication.sha256(apiKey), models: undefined }],
            maxBodyBytes: 1024 * 1024
          }),
          listen
        )
        yield* note(`Started a simulated vLLM on ${upstream} and the gateway on ${gateway}.\n`)
        yield* streamToTerminal({ model, messages: [{ role: "user", content: prompt }] }, { json: false, reasoning: false }).pipe(
          Effect.provide(Paradigm.layer({ apiKey, baseUrl: gateway }))
        )
        yield* note(
          [
            "",
            "The Node client asked the gateway, the gateway checked the key and asked the simulator, and the tokens came back as they were made.",
            "No model was needed: the simulator says back what it is told. Both servers are stopped now.",
            "",
            "Ask a real server:",
            '  PARADIGM_API_KEY=<key> PARADIGM_BASE_URL=https://paradigm.lighton.ai npx pnpm@12 paradigm chat "Hello"'
          ].join("\n")
        )
      },
      Effect.scoped,
      Effect.provide(Logger.layer([]))
    )
  ).pipe(Command.withDescription("Start simulator and gateway, stream one completion through them, stop"))
