/**
 * A model server without a model: it answers as a real one does, at the pace and with the failures that it is told.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { LedgerReport } from "./Ledger.ts"
import { ModelServer, type ServerOptions } from "./ModelServer.ts"
import { change, defaults, type Settings, type SettingsChanges } from "./SimulatorConfig.ts"
import { profiles } from "./Profiles.ts"

/**
 * Options of a simulator: what stays as it is while it runs, and its first settings.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ServerOptions, SettingsChanges {}

/**
 * A simulator cannot start, or a setting is wrong. The message tells what to change.
 *
 * @category errors
 * @since 0.1.0
 */
export class SimulatorError extends Data.TaggedError("SimulatorError")<{
  readonly message: string
  /** The system's code if it cannot listen, as `EADDRINUSE`. */
  readonly code?: string | undefined
}> {}

/**
 * A running simulator. Ends with its scope where it is declared with `await using`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Simulator extends AsyncDisposable {
  /** Address without a path, as `http://127.0.0.1:8000`. */
  readonly url: string
  /** What it did so far. */
  readonly ledger: () => LedgerReport
  /** Changes the settings that are given, and returns all. Throws `SimulatorError` for a wrong one. */
  readonly config: (changes?: SettingsChanges) => Settings
  /**
   * Ends it as SIGTERM ends vLLM: answers that run end with `abort`; with a timeout, in milliseconds, they may end by themselves within
   * it, and new requests get a 500. Settles when its port is free.
   */
  readonly stop: (timeout?: number) => Promise<void>
  /** Ends it at once, whatever runs. Settles when its port is free. */
  readonly close: () => Promise<void>
}

const serverOptions: Readonly<Record<keyof ServerOptions, true>> = {
  host: true,
  port: true,
  models: true,
  profile: true,
  apiKey: true,
  maxModelLen: true,
  images: true,
  scaleOut: true,
  replay: true,
  onRequest: true
}

// All other options are settings, so that an unknown name is one of them, and is refused.
const settingsOf = (options: Options): Result.Result<Settings, string> =>
  change(
    { ...defaults, mode: options.replay === undefined ? defaults.mode : "replay" },
    Object.fromEntries(Object.entries(options).filter(([name, value]) => !(name in serverOptions) && value !== undefined))
  )

const cannotListen = ({ code, message }: NodeJS.ErrnoException, host: string, port: number): SimulatorError => {
  const said = () => {
    switch (code) {
      case "EADDRINUSE":
        return `Port ${port} on ${host} is in use. Stop what listens there, or choose another with --port or port (0 takes any free one).`
      case "EACCES":
        return `No permission to listen on port ${port} of ${host}. Choose a port above 1023 with --port or port.`
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return `${host} is not an address of this machine. Choose one with --host or host, as 127.0.0.1.`
      default:
        return `Cannot listen on port ${port} of ${host} (${code ?? message}). Check --host and --port.`
    }
  }
  return new SimulatorError({ message: said(), code })
}

/**
 * Starts a simulator. Rejects with `SimulatorError` if an option is wrong, or if the port cannot be listened on.
 *
 * @example
 * ```ts
 * import { Simulator } from "@paradigm-effect/simulator"
 *
 * await using simulator = await Simulator.start({ models: ["alfred-4.2"], interTokenLatency: "5 millis" })
 * const response = await fetch(`${simulator.url}/v1/chat/completions`, {
 *   method: "POST",
 *   headers: { "content-type": "application/json" },
 *   body: JSON.stringify({ model: "alfred-4.2", messages: [{ role: "user", content: "Say it again" }] })
 * })
 * const completion = await response.json()
 * console.log(completion.choices[0].message.content) // => Say it again
 * console.log(simulator.ledger().outcomes.finished.requests) // => 1
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const start = async (options: Options = {}): Promise<Simulator> => {
  const { host = "127.0.0.1", models, port = 0, profile: name = "vllm-0.32" } = options
  const profile = profiles.find((profile) => profile.name === name)
  if (profile === undefined) {
    throw new SimulatorError({ message: `Unknown profile ${name}. Known are ${profiles.map(({ name }) => name).join(", ")}.` })
  }
  if (models?.length === 0 || models?.includes(""))
    throw new SimulatorError({ message: "models must have at least one name, and none may be empty." })
  const settings = settingsOf(options)
  if (Result.isFailure(settings)) throw new SimulatorError({ message: settings.failure })
  const server = new ModelServer(options, profile, settings.success)
  await server.open().catch((error: NodeJS.ErrnoException) => {
    throw cannotListen(error, host, port)
  })
  const close = () => server.close()
  return {
    url: server.url,
    ledger: () => server.ledger.report(),
    config: (changes = {}) => {
      const changed = server.change(changes)
      if (Result.isFailure(changed)) throw new SimulatorError({ message: changed.failure })
      return changed.success
    },
    stop: (timeout = 0) => server.stop(timeout),
    close,
    [Symbol.asyncDispose]: close
  }
}

/**
 * {@link start} as an effect. Fails with `SimulatorError`. Nothing ends the simulator by itself.
 *
 * @example
 * ```ts
 * import { Simulator } from "@paradigm-effect/simulator"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.flatMap(Simulator.make(), (simulator) => Effect.promise(() => simulator.close()))
 * console.log(await Effect.runPromise(program)) // => undefined
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Simulator, SimulatorError> =>
  Effect.tryPromise({
    try: () => start(options),
    catch: (error) => (error instanceof SimulatorError ? error : new SimulatorError({ message: String(error) }))
  })

/**
 * A simulator that ends with the scope. Fails with `SimulatorError` as {@link start} rejects.
 *
 * @example
 * ```ts
 * import { Simulator } from "@paradigm-effect/simulator"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.map(Simulator.scoped(), ({ ledger }) => ledger().requests)
 * console.log(await Effect.runPromise(Effect.scoped(program))) // => 0
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const scoped = (options: Options = {}): Effect.Effect<Simulator, SimulatorError, Scope.Scope> =>
  Effect.acquireRelease(make(options), (simulator) => Effect.promise(() => simulator.close()))
