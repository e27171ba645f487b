/**
 * The command `client`: runs the client cases against a program that speaks JSON lines.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Cases from "../case/Cases.ts"
import * as CliRun from "./CliRun.ts"
import * as FaultServer from "../fault/FaultServer.ts"
import * as KnownFailures from "../plan/KnownFailures.ts"
import * as Plan from "../plan/Plan.ts"
import * as Runner from "../client/Runner.ts"
import * as StdioClient from "../client/StdioClient.ts"

const faultServer = Effect.acquireRelease(
  Effect.promise(() => FaultServer.start()),
  (server) => Effect.promise(() => server.close())
)

const stdioClient = (command: string) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => StdioClient.start(command),
      catch: (error) => (error instanceof Error ? error : new Error(String(error)))
    }),
    (client) => Effect.promise(() => client.close())
  )

/** What stands in for a program that never got as far as to be asked: each case fails, and says why. */
const missing = (command: string, why: string, known: ReadonlyArray<KnownFailures.KnownFailure>): CliRun.Tested<Plan.Instance> => ({
  side: "client",
  subject: command,
  kind: "did not start",
  run: ({ id }) =>
    Promise.resolve(
      Runner.judged({ id, problems: [`prerequisite: ${why}`], trace: [], durationMs: 0 }, KnownFailures.find(known, { id }, new Date()))
    )
})

/**
 * The command `client`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "client",
  {
    ...CliRun.flags,
    command: Flag.String("command").pipe(
      Flag.withMetavar("COMMAND"),
      Flag.optional,
      Flag.withDescription(
        "What starts the client under test, as a shell would be told; it is spoken to in JSON lines on its stdin and stdout"
      )
    )
  },
  Effect.fnUntraced(function* (options) {
    const whole = options.caseFiles.length === 0 ? Cases.plan : Plan.make(yield* CliRun.loadCases(options.caseFiles, Cases.decode))
    const selection = yield* CliRun.select(options, whole)
    const { known, plan } = selection
    if (options.list) return yield* CliRun.list(plan)
    if (options.dryRun) return yield* Console.log([...(yield* CliRun.outline(plan, known)), "nothing was started"].join("\n"))
    if (Option.isNone(options.command)) {
      return yield* new CliRun.Misuse({ message: 'There is no client to test: give --command, as in --command "python3 subject.py"' })
    }
    const line = options.command.value
    const timeLimitMs = Option.getOrUndefined(Option.map(options.timeLimit, Duration.toMillis))
    yield* Effect.scoped(
      Effect.gen(function* () {
        const told = yield* CliRun.reporters(options)
        const { controlUrl } = yield* faultServer
        const tested = yield* stdioClient(line).pipe(
          Effect.map(({ subject }): CliRun.Tested<Plan.Instance> => ({
            side: "client",
            subject: subject.name,
            kind: subject.runtime,
            run: (instance) => Runner.run(instance, subject, { controlUrl, known, timeLimitMs })
          })),
          Effect.catch(({ message }) => Effect.succeed(missing(line, message, known)))
        )
        yield* CliRun.run(selection, tested, told, options.strict)
      })
    )
  })
).pipe(
  Command.withDescription("Test a client: each case plays a server to it, byte by byte"),
  Command.withExamples([
    { command: 'paradigm-conformance client --command "python3 subject.py" --known-failures known.json' },
    { command: 'paradigm-conformance client --command "./subject" --filter sse/ --reporter html --output report.html' },
    { command: "paradigm-conformance client --list" }
  ])
)
