/**
 * The commands of the gateway: `gateway` runs it, `gateway check` checks a configuration, `gateway schema` prints the schema of configurations, and
 * `key` makes a key.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Argument from "effect/cli/Argument"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { watch } from "node:fs"
import { basename, dirname } from "node:path"
import { sha256 } from "./Authentication.ts"
import { keys, limits, models, teams } from "./control/ControlCommand.ts"
import { control } from "./control/DatabaseCommand.ts"
import type { ControlOptions } from "./control/ControlPlane.ts"
import { jsonSchema } from "./ConfigFile.ts"
import * as Gateway from "./Gateway.ts"
import * as GatewayConfig from "./GatewayConfig.ts"
import { LineWriter, logger } from "./LineWriter.ts"

/** The command `key`: makes a key for its holder, and its digest for the configuration. */
export const key = Command.make("key", {}, () => {
  const secret = `pk-${Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("hex")}`
  return Console.log(
    `The key, for its holder (it is shown only here):\n  ${secret}\nIts entry under "keys" in the configuration:\n  NAME: { sha256: "${sha256(secret)}" }`
  )
}).pipe(Command.withDescription("Make a key for the gateway"))

type Event = "reload" | "stop"

// The signals of the process, and changes of the file. Kubernetes replaces a symbolic link beside the file, so that the folder is watched.
const events = Effect.fnUntraced(function* (file: string | undefined): Effect.fn.Return<Queue.Dequeue<Event>, never, Scope.Scope> {
  const queue = yield* Queue.unbounded<Event>()
  const changed = () => void Queue.offerUnsafe(queue, "reload")
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      let isStopping = false
      let pending: NodeJS.Timeout | undefined
      const stop = () => {
        if (isStopping) process.exit(1)
        isStopping = true
        Queue.offerUnsafe(queue, "stop")
      }
      const names = new Set<string | null>([basename(file ?? ""), "..data", null])
      const watcher =
        file === undefined
          ? undefined
          : watch(dirname(file), (_, name) => {
              if (!names.has(name)) return
              clearTimeout(pending)
              pending = setTimeout(changed, 200)
            })
      watcher?.on("error", () => undefined)
      process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", changed)
      return () => {
        clearTimeout(pending)
        watcher?.close()
        process.off("SIGTERM", stop).off("SIGINT", stop).off("SIGHUP", changed)
      }
    }),
    (release) => Effect.sync(release)
  )
  return queue
})

const reload = Effect.fnUntraced(function* (
  gateway: Gateway.Gateway,
  file: string,
  origin: GatewayConfig.Origin
): Effect.fn.Return<void, never, FileSystem.FileSystem> {
  yield* GatewayConfig.load(file, origin).pipe(
    Effect.flatMap(gateway.reload),
    Effect.andThen(Effect.logInfo("The configuration was reloaded")),
    Effect.catch((error) => Effect.logError(`The configuration was not reloaded, the previous one stays: ${error.message}`))
  )
})

// Runs until the first SIGTERM or SIGINT. The second one ends the process at once.
const run = Effect.fnUntraced(function* (
  config: GatewayConfig.GatewayConfig,
  file: string | undefined,
  control: ControlOptions | undefined
) {
  const writer = new LineWriter(process.stdout)
  const serve = Effect.gen(function* () {
    // Before the address is announced: a signal would end the process, and a change of the file would be missed.
    const queue = yield* events(file)
    const gateway = yield* Gateway.start(config, writer, control)
    const names = [...config.models.map(({ name }) => name), ...(control === undefined ? [] : ["the models of its database"])].join(", ")
    const operator = gateway.operatorUrl === undefined ? "" : ` Metrics, health and documentation: ${gateway.operatorUrl}`
    yield* Effect.logInfo(`Gateway listens on ${gateway.url} for ${names}.${operator}`)
    while ((yield* Queue.take(queue)) === "reload") {
      if (file !== undefined) yield* reload(gateway, file, control === undefined ? "file" : "database")
    }
    yield* Effect.logInfo("Stopping")
    yield* gateway.drain
    yield* Effect.logInfo("Stopped")
  })
  // A signal also interrupts the main fiber, whose exit would not be 0.
  yield* Effect.scoped(serve).pipe(
    Effect.andThen(Effect.sync(() => process.exit(0))),
    Effect.provide(Logger.layer([logger(writer)])),
    Effect.uninterruptible
  )
})

const configFlag = Flag.String("config").pipe(
  Flag.withAlias("c"),
  Flag.withMetavar("FILE"),
  Flag.withDescription("The configuration, a YAML or JSON file")
)

const dataFlag = Flag.String("data").pipe(
  Flag.withMetavar("DATABASE"),
  Flag.withDescription("Database of models and keys: the file of SQLite, or a postgres: URL. Defaults to PARADIGM_DATA")
)

const stateFileFlag = Flag.String("state-file").pipe(
  Flag.withMetavar("FILE"),
  Flag.withDescription(
    "File from which the gateway starts when the database does not answer. Defaults to that of SQLite with .state.json, or paradigm.state.json"
  )
)

const controlOf = async (data: string, stateFile: string | undefined): Promise<ControlOptions> => {
  const Sql = await import("./control/Sql.ts")
  return { sql: Sql.layer(data), stateFile: stateFile ?? (Sql.isPostgres(data) ? "paradigm.state.json" : `${data}.state.json`) }
}

const check = Command.make(
  "check",
  { file: Argument.String("file").pipe(Argument.withDescription("The configuration")) },
  Effect.fnUntraced(function* ({ file }) {
    const config = yield* GatewayConfig.load(file)
    yield* Console.log(`${file} is a valid configuration of ${config.models.length} models and ${config.keys.length} keys.`)
    const replicas = config.models.flatMap(({ name, replicas }) => replicas.map((target) => ({ name, target })))
    yield* Effect.forEach(
      replicas,
      ({ name, target }) =>
        Effect.flatMap(Gateway.reach(target), (problem) =>
          problem === undefined ? Effect.void : Console.error(`Warning: the replica ${target.url.href} of ${name} ${problem}.`)
        ),
      { concurrency: 16, discard: true }
    )
  })
).pipe(Command.withDescription("Check a configuration, and whether its model servers answer"))

const schema = Command.make("schema", {}, () => Console.log(jsonSchema())).pipe(
  Command.withDescription("Print the JSON Schema of configurations, for editors")
)

const port = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))

const environmentPort = (text: string | undefined) => (text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : undefined)

/** The command has no configuration. */
class NoConfiguration extends Data.TaggedError("NoConfiguration") {
  override get message(): string {
    return "A configuration or a database is needed: paradigm gateway --config FILE, or --data FILE. `paradigm gateway schema` prints what a configuration may have."
  }
}

/** The command `gateway`. */
export const command = Command.make(
  "gateway",
  {
    config: Flag.optional(configFlag),
    data: Flag.optional(dataFlag),
    stateFile: Flag.optional(stateFileFlag),
    host: Flag.optional(
      Flag.String("host").pipe(Flag.withDescription("Address to listen on. Defaults to HOST, or to that of the configuration"))
    ),
    port: Flag.optional(
      Flag.Int("port").pipe(
        Flag.withSchema(port),
        Flag.withDescription("Port to listen on, 0 for any free one. Defaults to PORT, or to that of the configuration")
      )
    ),
    operatorPort: Flag.optional(
      Flag.Int("operator-port").pipe(Flag.withSchema(port), Flag.withDescription("Port of metrics, health and documentation"))
    )
  },
  Effect.fnUntraced(function* (flags) {
    const data = Option.getOrUndefined(flags.data) ?? process.env["PARADIGM_DATA"]
    const control = data === undefined ? undefined : yield* Effect.promise(() => controlOf(data, Option.getOrUndefined(flags.stateFile)))
    const file = Option.getOrUndefined(flags.config)
    if (file === undefined && control === undefined) return yield* new NoConfiguration()
    const origin = control === undefined ? "file" : "database"
    const loaded = yield* file === undefined
      ? GatewayConfig.parse("{ models: {}, keys: {} }", "", origin)
      : GatewayConfig.load(file, origin)
    const host = flags.host._tag === "Some" ? flags.host.value : (process.env["HOST"] ?? loaded.listen.host)
    const listenPort = flags.port._tag === "Some" ? flags.port.value : (environmentPort(process.env["PORT"]) ?? loaded.listen.port)
    const operatorPort = flags.operatorPort._tag === "Some" ? flags.operatorPort.value : listenPort === 0 ? 0 : loaded.operator?.port
    const listen = { ...loaded.listen, host, port: listenPort }
    const operator = loaded.operator === undefined || operatorPort === undefined ? undefined : { ...loaded.operator, port: operatorPort }
    yield* run({ ...loaded, listen, operator }, file, control)
  })
).pipe(
  Command.withDescription("Start the endpoint in front of model servers"),
  Command.withSubcommands([check, schema, key, keys, teams, models, limits, control])
)
