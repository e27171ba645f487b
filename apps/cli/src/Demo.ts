/**
 * The command `demo`: client, gateway and simulator on this machine, one completion streamed through all three, over real sockets.
 */
import * as Authentication from "@paradigm-effect/gateway/Authentication"
import * as Gateway from "@paradigm-effect/gateway/Gateway"
import * as GatewayConfig from "@paradigm-effect/gateway/GatewayConfig"
import { LineWriter } from "@paradigm-effect/gateway/LineWriter"
import * as Paradigm from "@paradigm-effect/node/Paradigm"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { Writable } from "node:stream"
import { note, streamToTerminal } from "./Chat.ts"

const model = "alfred-4.2"

/** The command `demo`. */
export const command = Command.make(
  "demo",
  { words: Argument.String("words").pipe(Argument.variadic(), Argument.withDescription("What to say; the simulator says it back")) },
  Effect.fnUntraced(
    function* ({ words }) {
      const prompt = words.join(" ") || "Every token you read here was an event on a real socket."
      const apiKey = `pk-${crypto.randomUUID()}`
      const { url: upstream } = yield* Simulator.scoped({
        models: [model],
        timeToFirstToken: "150 millis",
        interTokenLatency: "15 millis"
      })
      const config = yield* GatewayConfig.parse(
        JSON.stringify({
          listen: { port: 0 },
          operator: false,
          models: { [model]: { replicas: [{ baseUrl: `${upstream}/v1` }] } },
          keys: { demo: { sha256: Authentication.sha256(apiKey) } }
        }),
        "of the demo"
      )
      const { url: gateway } = yield* Gateway.start(config, new LineWriter(new Writable({ write: (_line, _encoding, done) => done() })))
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
