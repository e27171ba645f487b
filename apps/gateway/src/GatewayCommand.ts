/**
 * The command that starts a gateway from a terminal, and the one that makes a key for it.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { sha256 } from "./Authentication.ts"
import * as Gateway from "./Gateway.ts"
import * as GatewayConfig from "./GatewayConfig.ts"

/** The command `key`: makes the secret for its holder, and the hash for the configuration. */
export const key = Command.make(
  "key",
  {},
  Effect.fnUntraced(function* () {
    const secret = `pk-${Array.from(crypto.getRandomValues(new Uint8Array(24)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`
    yield* Console.log(`The key, for its holder (it is shown only here):\n  ${secret}`)
    yield* Console.log(`Its entry under "keys" in the configuration:\n  "NAME": { "sha256": "${yield* sha256(secret)}" }`)
  })
).pipe(Command.withDescription("Make a key for the gateway"))

/**
 * The command `gateway`. It runs until it is interrupted, and logs a line for each request. `listen` gives the runtime's HTTP server.
 */
export const command = <E, R>(listen: (at: { readonly host: string; readonly port: number }) => Layer.Layer<HttpServer.HttpServer, E, R>) =>
  Command.make(
    "gateway",
    {
      config: Flag.String("config").pipe(
        Flag.withAlias("c"),
        Flag.withMetavar("FILE"),
        Flag.withDescription("The configuration, a JSON file")
      ),
      host: Flag.String("host").pipe(Flag.withDefault("127.0.0.1"), Flag.withDescription("Address to listen on")),
      port: Flag.Int("port").pipe(
        Flag.withDefault(8080),
        Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65535 }))),
        Flag.withDescription("Port to listen on; 0 takes any free one")
      )
    },
    Effect.fnUntraced(function* ({ config: file, host, port }) {
      const config = yield* GatewayConfig.load(file)
      const started = HttpServer.addressFormattedWith((address) =>
        Console.log(
          `Gateway listens on ${address} for ${[...config.models.keys()].join(", ")}. Its documentation is at ${address}/docs. Ctrl-C stops it.`
        )
      )
      return yield* Gateway.layer(config).pipe(
        Layer.merge(Layer.effectDiscard(started)),
        Layer.provide(listen({ host, port })),
        Layer.launch
      )
    })
  ).pipe(Command.withDescription("Start the endpoint in front of model servers"))
