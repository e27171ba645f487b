/**
 * The command that starts a simulator from a terminal.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Simulator from "./Simulator.ts"

const pause = (name: string) =>
  Flag.String(name).pipe(
    Flag.withDefault("0"),
    Flag.filterMap(
      (text) => {
        const duration = /^\d+(\.\d+)?$/.test(text)
          ? Option.some(Duration.millis(Number(text)))
          : Duration.fromInput(text as Duration.Input)
        return Option.filter(duration, (duration) => Duration.isFinite(duration) && !Duration.isNegative(duration))
      },
      () => 'Expected milliseconds or a duration such as "50 millis" or "2 seconds"'
    )
  )

const flags = {
  port: Flag.Int("port").pipe(
    Flag.withDefault(8000),
    Flag.filter(
      (port) => port >= 0 && port <= 65535,
      () => "Expected a port from 0 to 65535"
    ),
    Flag.withDescription("Port to listen on; 0 takes any free one (default 8000)")
  ),
  host: Flag.String("host").pipe(Flag.withDefault("127.0.0.1"), Flag.withDescription("Address to listen on (default 127.0.0.1)")),
  models: Flag.String("model").pipe(
    Flag.filter(
      (model) => model !== "",
      () => "Expected a name"
    ),
    Flag.atLeast(0),
    Flag.map((models) => (models.length === 0 ? ["alfred-4.2"] : [...new Set(models)])),
    Flag.withDescription("Model name to answer to; may be given more than once (default alfred-4.2)")
  ),
  mode: Flag.Literals("mode", ["echo", "random"]).pipe(
    Flag.withDefault("echo"),
    Flag.withDescription("echo gives back the last user message, random gives seeded words (default echo)")
  ),
  seed: Flag.Int("seed").pipe(Flag.withDefault(0), Flag.withDescription("Seed for requests that bring none (default 0)")),
  timeToFirstToken: pause("time-to-first-token").pipe(
    Flag.withDescription('Wait before the first token, such as "200 millis"; a bare number is milliseconds (default 0)')
  ),
  interTokenLatency: pause("inter-token-latency").pipe(
    Flag.withDescription('Wait between tokens, such as "20 millis"; a bare number is milliseconds (default 0)')
  )
}

const started = (options: Simulator.Options) =>
  HttpServer.addressFormattedWith((address) =>
    Console.log(
      `Simulator listens on ${address} for ${options.models.join(", ")}${options.apiKey === undefined ? "" : ", with an API key"}. Ctrl-C stops it.`
    )
  )

/**
 * The command `simulator`. It runs until it is interrupted, and logs a line for each completion.
 *
 * `listen` gives the runtime's HTTP server. An API key is read from `PARADIGM_SIMULATOR_API_KEY` alone, so that it never stands in a
 * list of processes or a shell's history.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = <E, R>(listen: (at: { readonly host: string; readonly port: number }) => Layer.Layer<HttpServer.HttpServer, E, R>) =>
  Command.make(
    "simulator",
    flags,
    Effect.fnUntraced(function* ({ host, port, ...options }) {
      const apiKey = yield* Config.Redacted("PARADIGM_SIMULATOR_API_KEY").pipe(
        Config.option,
        Config.map(Option.filter((key) => Redacted.value(key) !== "")),
        Config.map(Option.getOrUndefined)
      )
      const settings = { ...options, apiKey }
      return yield* Simulator.layer(settings).pipe(
        Layer.merge(Layer.effectDiscard(started(settings))),
        Layer.provide(listen({ host, port })),
        Layer.launch
      )
    })
  ).pipe(Command.withDescription("Start a vLLM-compatible server without a model"))
