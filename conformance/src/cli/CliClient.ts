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
import * as Plan from "../plan/Plan.ts"
import * as Runner from "../client/Runner.ts"
import * as StdioClient from "../client/StdioClient.ts"
import type { Subject } from "../client/Subject.ts"

const defaultJobs = 16

// An answer as every server gives it: what fails with these fails with all.
const basic = ["response/json-basic", "stream/done-ends"]

const faultServer = Effect.acquireRelease(
  Effect.promise(() => FaultServer.start()),
  (server) => Effect.promise(() => server.close())
)

const stdioClient = (command: string, jobs: number) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => StdioClient.start(command, { jobs }),
      catch: (error) =>
        new CliRun.NotRun({ message: `${command}: cannot be tested: ${error instanceof Error ? error.message : String(error)}` })
    }),
    (client) => Effect.promise(() => client.close())
  )

/** Runs the most basic case that the subject can express: where it fails, everything else would fail too. */
const smoke = Effect.fnUntraced(function* (subject: Subject, environment: Runner.Environment) {
  for (const id of basic) {
    const instance = Cases.plan.find((item) => item.case.id === id)
    if (instance === undefined) continue
    const result = yield* Effect.promise(() => Runner.run(instance, subject, environment))
    if (result.verdict === "n/a") continue
    if (Runner.isFine(result)) return
    return yield* new CliRun.NotRun({
      message: `${subject.name} fails the most basic case, so nothing else was run.\n${Runner.format(result)}\nMend that first, or list it with --known-failures`
    })
  }
  return yield* new CliRun.NotRun({ message: `${subject.name} can make neither a call nor a streamed call: there is nothing to test` })
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
      return yield* new CliRun.NotRun({ message: 'There is no client to test: give --command, as in --command "python3 subject.py"' })
    }
    const line = options.command.value
    const timeLimitMs = Option.getOrUndefined(Option.map(options.timeLimit, Duration.toMillis))
    yield* Effect.scoped(
      Effect.gen(function* () {
        const { ask, controlUrl } = yield* faultServer
        const jobs = Option.getOrElse(options.jobs, () => defaultJobs)
        const { subject } = yield* stdioClient(line, jobs)
        const environment = { ask, controlUrl, known, timeLimitMs, jobs }
        yield* smoke(subject, environment)
        const told = yield* CliRun.reporters(options)
        const run = (instances: ReadonlyArray<Plan.Instance>) => Runner.runConformance(subject, environment, instances)
        const kind = subject.platform ?? subject.runtime
        yield* CliRun.run(selection, { side: "client", subject: subject.name, kind, run }, told, options)
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
