/**
 * The database that a command works on.
 */
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlClient } from "effect/sql/SqlClient"
import * as GatewayConfig from "../GatewayConfig.ts"
import type { Actor } from "./Changes.ts"
import type { ControlStore } from "./ControlStore.ts"

/** No database was named. */
export class NoDatabase extends Data.TaggedError("NoDatabase") {
  override get message(): string {
    return "Name the database: --data FILE, --data postgres://…, or the environment variable PARADIGM_DATA."
  }
}

/** The database of a command. */
export const dataFlag = Flag.optional(
  Flag.String("data").pipe(
    Flag.withMetavar("DATABASE"),
    Flag.withDescription("The file of SQLite, or a postgres: URL. Defaults to PARADIGM_DATA")
  )
)

/** The flags of a command that works on a database. */
export const database = {
  data: dataFlag,
  config: Flag.optional(
    Flag.String("config").pipe(
      Flag.withAlias("c"),
      Flag.withMetavar("FILE"),
      Flag.withDescription("The configuration of the gateway, whose models keys and limits may name, too")
    )
  )
}

interface Database {
  readonly data: Option.Option<string>
  readonly config: Option.Option<string>
}

/** Who a command is. */
export const actor: Actor = { id: "cli", name: process.env["USER"] ?? "cli", via: "cli" }

/** The database that a flag or the environment names. */
export const dataOf = (data: Option.Option<string>): Effect.Effect<string, NoDatabase> => {
  const found = Option.getOrUndefined(data) ?? process.env["PARADIGM_DATA"]
  return found === undefined ? Effect.fail(new NoDatabase()) : Effect.succeed(found)
}

/** Runs a command on a database. Its modules are loaded here: they would cost every start of a gateway. */
export const withStore = Effect.fnUntraced(function* <A, E, R>(
  { config, data }: Database,
  run: (store: ControlStore, sql: SqlClient) => Effect.Effect<A, E, R>
) {
  const target = yield* dataOf(data)
  const [Sql, { ControlStore }, { migrate }, { fileModels }, { SqlClient }, { isSqlError }] = yield* Effect.promise(() =>
    Promise.all([
      import("./Sql.ts"),
      import("./ControlStore.ts"),
      import("./Migrations.ts"),
      import("./ControlPlane.ts"),
      import("effect/sql/SqlClient"),
      import("effect/sql/SqlError")
    ])
  )
  const file = Option.isNone(config) ? undefined : fileModels(yield* GatewayConfig.load(config.value, "database"))
  return yield* Effect.gen(function* () {
    yield* migrate()
    const sql = yield* SqlClient
    return yield* run(new ControlStore(sql, file), sql)
  }).pipe(
    Effect.provide(Sql.layer(target)),
    Effect.catchIf(isSqlError, (error) => Effect.fail(Sql.toUnavailable(error)))
  )
})

/** Writes a line of JSON. */
export const print = (value: unknown) => Console.log(JSON.stringify(value))
