/**
 * The command line `paradigm-conformance`. Its exit code is 0 when all is well, 1 when something failed that should not, and 2 when it cannot be
 * followed: an unknown flag, a broken case file, a list of known failures that names no case.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as CliClient from "./CliClient.ts"
import * as CliRun from "./CliRun.ts"
import * as CliServer from "./CliServer.ts"
import * as ReportHtml from "../report/ReportHtml.ts"
import * as ReportNdjson from "../report/ReportNdjson.ts"

const report = Command.make(
  "report",
  {
    files: Argument.String("file").pipe(
      Argument.atLeast(1),
      Argument.withDescription("What --reporter ndjson wrote; each run is a column")
    ),
    output: CliRun.flags.output.pipe(Flag.withDescription("Write the page there"))
  },
  Effect.fnUntraced(function* ({ files, output }) {
    const runs = (yield* Effect.forEach(files, (file) => CliRun.readWith(file, ReportNdjson.read))).flat()
    const page = ReportHtml.format(runs)
    if (Option.isNone(output)) return yield* Console.log(page)
    const path = output.value
    const fileSystem = yield* FileSystem.FileSystem
    yield* Effect.mapError(
      fileSystem.writeFileString(path, page),
      (error) => new CliRun.Misuse({ message: `${path}: cannot be written: ${error.message}` })
    )
    const { resolve } = yield* Path.Path
    yield* Console.log(`${runs.length} ${runs.length === 1 ? "run" : "runs"}: ${resolve(path)}`)
  })
).pipe(Command.withDescription("Make one page of several runs"))

const root = Command.make("paradigm-conformance").pipe(
  Command.withDescription("Test clients and servers of the chat-completions endpoint"),
  Command.withSubcommands([CliClient.command, CliServer.command, report])
)

/**
 * Follows a command line. It fails with what has an exit code, and has been told to who asked.
 *
 * @category commands
 * @since 0.1.0
 */
export const run = (version: string) =>
  Command.run(root, { version }).pipe(
    Effect.tapError((error) => (error._tag === "Misuse" ? Console.error(error.message) : Effect.void)),
    // What cannot be parsed has been shown with the help; asking for help is no error.
    Effect.mapError((error) =>
      CliError.isCliError(error) && !(error._tag === "ShowHelp" && error.errors.length === 0)
        ? new CliRun.Misuse({ message: error.message })
        : error
    )
  )
