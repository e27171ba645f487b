/**
 * The command that starts a simulator from a terminal.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { appendFileSync } from "node:fs"
import { FaultRule } from "./Faults.ts"
import type { Entry } from "./Ledger.ts"
import * as RecordedExchange from "./RecordedExchange.ts"
import * as Recorder from "./Recorder.ts"
import * as Simulator from "./Simulator.ts"
import { millisOf, type SettingsChanges } from "./SimulatorConfig.ts"

const time = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withDefault("0"),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(millisOf(text)),
      () => 'Expected milliseconds or a duration such as "50 millis" or "2 seconds"'
    ),
    Flag.withDescription(`${description}, such as "200 millis"; a bare number is milliseconds (default 0)`)
  )

const ratio = (name: string, description: string) =>
  Flag.Finite(name).pipe(
    Flag.withDefault(0),
    Flag.filter(
      (ratio) => ratio >= 0 && ratio <= 1,
      () => "Expected a number from 0 to 1"
    ),
    Flag.withDescription(`${description}; 0.2 varies it by 20 % (default 0)`)
  )

const limit = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.filter(
      (limit) => limit > 0,
      () => "Expected a number above 0"
    ),
    Flag.optional,
    Flag.withDescription(`${description} (default: no limit)`)
  )

const decodeRule = Schema.decodeUnknownOption(Schema.fromJsonString(FaultRule))

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
  profile: Flag.String("profile").pipe(
    Flag.withDefault("vllm-0.32"),
    Flag.withDescription("The server to imitate, such as vllm-0.32-reasoning (default vllm-0.32)")
  ),
  mode: Flag.Literals("mode", ["echo", "random"]).pipe(
    Flag.optional,
    Flag.withDescription("echo gives back the last user message, random gives seeded words (default echo)")
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDefault(0),
    Flag.withDescription("Seed of answers that bring none, of spreads and of faults (default 0)")
  ),
  timeToFirstToken: time("time-to-first-token", "Wait before the first token"),
  timeToFirstTokenSpread: ratio("time-to-first-token-spread", "Spread of that wait"),
  prefillPerToken: time("prefill-per-token", "Added to that wait for each token of the prompt"),
  prefillSpread: ratio("prefill-spread", "Spread of the prefill"),
  interTokenLatency: time("inter-token-latency", "Wait between tokens"),
  interTokenSpread: ratio("inter-token-spread", "Spread of the wait between tokens"),
  slowdown: Flag.Finite("slowdown").pipe(
    Flag.withDefault(1),
    Flag.withDescription("How many times longer all waits are while --max-num-seqs requests run (default 1)")
  ),
  maxRunning: limit("max-num-seqs", "Requests that run at once; others wait"),
  maxUnfinished: limit("max-num-queued-reqs", "Requests that run or wait; others get a 503"),
  maxModelLen: Flag.Int("max-model-len").pipe(
    Flag.withDefault(32_768),
    Flag.withDescription("Prompt and answer together, in tokens (default 32768)")
  ),
  keepAlive: time("sse-keep-alive-interval", "A comment is sent in a stream that was silent for so long (0: never)"),
  requestIdHeaders: Flag.Boolean("enable-request-id-headers").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Responses have the header x-request-id")
  ),
  scaleOut: Flag.Boolean("enable-scale-out").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Serve /render, /inference/v1/generate and /derender")
  ),
  images: Flag.Boolean("images").pipe(Flag.withDefault(false), Flag.withDescription("The model reads images")),
  shutdownTimeout: time("shutdown-timeout", "How long answers may go on when it is told to stop (0: they end with abort)"),
  replay: Flag.String("replay").pipe(
    Flag.optional,
    Flag.withDescription("File that `record` wrote: requests are answered as they were when it was recorded")
  ),
  replaySpeed: Flag.Finite("replay-speed").pipe(
    Flag.withDefault(1),
    Flag.filter(
      (speed) => speed >= 0,
      () => "Expected a number of at least 0"
    ),
    Flag.withDescription("How many times faster than it was recorded; 0 is without pauses (default 1)")
  ),
  faults: Flag.String("fault").pipe(
    Flag.filterMap(
      (text) => decodeRule(text, { onExcessProperty: "error" }),
      () => 'Expected a rule in JSON such as {"rate": 0.05, "fault": {"kind": "reset", "afterTokens": {}}}'
    ),
    Flag.atLeast(0),
    Flag.withDescription(
      'Rule by which requests fail, such as {"rate": 0.05, "fault": {"kind": "status", "status": 500}}; may be given more than once'
    )
  ),
  settings: Flag.String("settings").pipe(
    Flag.optional,
    Flag.withDescription("JSON file with more settings (faults, faultScript, script, …), as POST /__config takes them")
  )
}

/**
 * The file of `--settings`, `--replay` or `--to` cannot be used. The message names it and tells why.
 *
 * @category errors
 * @since 0.1.0
 */
export class SettingsFileError extends Data.TaggedError("SettingsFileError")<{ readonly message: string }> {}

const readText = Effect.fnUntraced(function* (path: string, what: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fs.readFileString(path),
    (error) => new SettingsFileError({ message: `Cannot read the ${what} ${path}: ${error.message}` })
  )
})

const readRecording = Effect.fnUntraced(function* (path: string) {
  const text = yield* readText(path, "recording")
  return yield* Effect.mapError(
    Effect.fromResult(RecordedExchange.parse(text)),
    (message) => new SettingsFileError({ message: `The recording ${path} cannot be used. ${message}` })
  )
})

const readSettings = Effect.fnUntraced(function* (path: string) {
  const text = yield* readText(path, "settings")
  return yield* Effect.try({
    try: () => JSON.parse(text) as SettingsChanges,
    catch: () => new SettingsFileError({ message: `The settings ${path} are not valid JSON.` })
  })
})

const plural = (tokens: number) => `${tokens} token${tokens === 1 ? "" : "s"}`

// One line for each request, however it ended; never what was asked or answered.
const lineOf = ({ completionTokens, finishReasons, id, outcome, status }: Entry): string => {
  switch (outcome) {
    case "finished":
      return `${id} finished: ${[...new Set(finishReasons)].join(" and ")}, ${plural(completionTokens)}`
    case "left":
      return `${id} aborted by client after ${plural(completionTokens)}`
    case "aborted":
      return `${id} stopped with the server after ${plural(completionTokens)}`
    case "failed":
      return `${id} failed on purpose after ${plural(completionTokens)}`
    case "rejected":
      return `${id === "" ? "request" : id} rejected: ${status}`
  }
}

const recordFlags = {
  upstream: Flag.String("upstream").pipe(
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(/^https?:/.test(text) && URL.canParse(text) ? new URL(text) : undefined),
      () => "Expected an address such as http://127.0.0.1:8000"
    ),
    Flag.withDescription("The server to record, as http://127.0.0.1:8000")
  ),
  to: Flag.String("to").pipe(Flag.withDescription("File that the exchanges are added to, one a line, for --replay")),
  port: flags.port,
  host: flags.host
}

/**
 * The command `simulator record`: a proxy that writes down what a server answers, and when. Credentials of requests are not written.
 *
 * @category commands
 * @since 0.1.0
 */
export const record = Command.make(
  "record",
  recordFlags,
  Effect.fnUntraced(function* ({ to, ...options }) {
    const context = yield* Effect.context()
    const start = Effect.tryPromise({
      try: () => {
        // It fails now if the file cannot be written, and nobody but its owner reads what was asked.
        appendFileSync(to, "", { mode: 0o600 })
        return Recorder.start({
          ...options,
          write: (exchange) => appendFileSync(to, `${JSON.stringify(exchange)}\n`),
          onFailure: (message) => void Effect.runForkWith(context)(Effect.logWarning(message))
        })
      },
      catch: (error) =>
        new SettingsFileError({ message: `Cannot record to ${to}: ${error instanceof Error ? error.message : String(error)}` })
    })
    const recorder = yield* Effect.acquireRelease(start, (recorder) => Effect.promise(() => recorder.close()))
    yield* Console.log(`Records ${options.upstream.origin} to ${to}. Ask ${recorder.url} in its place. Ctrl-C stops it.`)
    return yield* Effect.never
  }, Effect.scoped)
).pipe(Command.withDescription("Record a real server's answers, with their timing"))

/**
 * The command `simulator`. It runs until it is interrupted, ends what it was saying with `abort`, and logs a line for each request.
 *
 * An API key is read from `PARADIGM_SIMULATOR_API_KEY` alone, so that it never stands in a list of processes or a shell's history.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "simulator",
  flags,
  Effect.fnUntraced(function* ({ maxRunning, maxUnfinished, mode, replay, replaySpeed, settings, shutdownTimeout, ...options }) {
    const apiKey = yield* Config.Redacted("PARADIGM_SIMULATOR_API_KEY").pipe(
      Config.option,
      Config.map(Option.filter((key) => Redacted.value(key) !== "")),
      Config.map(Option.getOrUndefined)
    )
    const more = Option.isSome(settings) ? yield* readSettings(settings.value) : {}
    const context = yield* Effect.context()
    const onRequest = (entry: Entry) => {
      const line = Effect.annotateLogs(Effect.logInfo(lineOf(entry)), { model: entry.model ?? "none" })
      Effect.runForkWith(context)(line)
    }
    const start = Simulator.make({
      ...options,
      ...(Option.isSome(mode) ? { mode: mode.value } : {}),
      maxRunning: Option.getOrNull(maxRunning),
      maxUnfinished: Option.getOrNull(maxUnfinished),
      replaySpeed: replaySpeed === 0 ? null : replaySpeed,
      replay: Option.isSome(replay) ? yield* readRecording(replay.value) : undefined,
      ...more,
      apiKey,
      onRequest
    })
    const simulator = yield* Effect.acquireRelease(start, (simulator) => Effect.promise(() => simulator.stop(shutdownTimeout)))
    const keyed = apiKey === undefined ? "" : ", with an API key"
    yield* Console.log(`Simulator listens on ${simulator.url} for ${options.models.join(", ")}${keyed}. Ctrl-C stops it.`)
    return yield* Effect.never
  }, Effect.scoped)
).pipe(Command.withDescription("Start a vLLM-compatible server without a model"), Command.withSubcommands([record]))
