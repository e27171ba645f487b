/**
 * The command `control`, which moves, compares, backs up and checks a whole database.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { parseDocument } from "yaml"
import { actor, database, dataFlag, dataOf, withStore } from "./CommandDatabase.ts"
import { Invalid } from "./ControlError.ts"

/** A document is not one. */
export class InvalidDocument extends Data.TaggedError("InvalidDocument")<{ readonly file: string; readonly detail: string }> {
  override get message(): string {
    return `${this.file} cannot be applied: ${this.detail}`
  }
}

const file = Argument.String("file")
const prune = Flag.Boolean("prune").pipe(Flag.withDefault(false), Flag.withDescription("Archive what the document does not have"))

const readDocument = Effect.fnUntraced(function* (path: string) {
  const { ControlDocument } = yield* Effect.promise(() => import("./ControlDocument.ts"))
  const fileSystem = yield* FileSystem.FileSystem
  const invalid = (detail: string) => new InvalidDocument({ file: path, detail })
  const text = yield* Effect.mapError(fileSystem.readFileString(path), () => invalid("it cannot be read."))
  const document = parseDocument(text, { uniqueKeys: true })
  if (document.errors.length > 0) return yield* invalid(document.errors.map(({ message }) => message).join("\n"))
  const decode = Schema.decodeUnknownEffect(ControlDocument, { errors: "all", onExcessProperty: "error" })
  return yield* Effect.mapError(decode(document.toJS({ maxAliasCount: 100 })), ({ message }) => invalid(message))
})

const apply = (verb: "apply" | "diff", description: string) =>
  Command.make(verb, { ...database, file, prune }, (flags) =>
    withStore(
      flags,
      Effect.fnUntraced(function* (store, sql) {
        const { plan } = yield* Effect.promise(() => import("./ControlDocument.ts"))
        const document = yield* readDocument(flags.file)
        const run = Effect.gen(function* () {
          const steps = yield* plan(store, sql, document, actor, flags.prune)
          if (verb === "apply") yield* Effect.forEach(steps, (step) => step.run, { discard: true })
          return steps
        })
        const steps = yield* sql.withTransaction(run)
        for (const { action, kind, name } of steps) yield* Console.log(`${action} ${kind} ${name}`)
        yield* Console.log(steps.length === 0 ? "Nothing differs." : `${steps.length} ${verb === "apply" ? "changed" : "would change"}.`)
      })
    )
  ).pipe(Command.withDescription(description))

const toFile = (verb: string, description: string, run: (data: string, file: string) => Promise<Effect.Effect<void, Error>>) =>
  Command.make(verb, { data: dataFlag, file }, ({ data, file }) =>
    Effect.gen(function* () {
      const target = yield* dataOf(data)
      yield* yield* Effect.promise(() => run(target, file))
      yield* Console.log(`${target} → ${file}`)
    })
  ).pipe(Command.withDescription(description))

/** The command `control`. */
export const control = Command.make("control").pipe(
  Command.withDescription("Move, compare, back up and check the whole database"),
  Command.withSubcommands([
    Command.make("export", { ...database }, (flags) =>
      withStore(flags, (store, sql) =>
        Effect.promise(() => import("./ControlDocument.ts")).pipe(
          Effect.flatMap(({ exportDocument }) => exportDocument(store, sql)),
          Effect.flatMap((document) => Console.log(JSON.stringify(document, undefined, 2)))
        )
      )
    ).pipe(Command.withDescription("Write all objects as a document, with digests and without secrets")),
    apply("diff", "Show what a document (JSON or YAML) would change"),
    apply("apply", "Make the database as a document, in one transaction"),
    Command.make("verify", { ...database }, (flags) =>
      withStore(
        flags,
        Effect.fnUntraced(function* (store) {
          const broken = yield* store.audit.broken
          if (broken !== undefined) return yield* new Invalid({ field: "audit", detail: `The audit log is not whole at entry ${broken}.` })
          yield* Console.log("The audit log is whole.")
        })
      )
    ).pipe(Command.withDescription("Check the chain of the audit log")),
    toFile("backup", "Copy a database of SQLite into a file, while gateways use it", async (data, file) =>
      (await import("./Backup.ts")).backupTo(data, file)
    ),
    Command.make(
      "restore",
      { data: dataFlag, file, force: Flag.Boolean("force").pipe(Flag.withDefault(false), Flag.withDescription("Replace a database")) },
      (flags) =>
        Effect.gen(function* () {
          const target = yield* dataOf(flags.data)
          const { restoreFrom } = yield* Effect.promise(() => import("./Backup.ts"))
          yield* restoreFrom(flags.file, target, flags.force)
          yield* Console.log(`${flags.file} → ${target}`)
        })
    ).pipe(Command.withDescription("Put a backup in the place of a database. Stop its gateways before"))
  ])
)
