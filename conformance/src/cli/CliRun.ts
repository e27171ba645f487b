/**
 * What both sides of the command line share: which cases are run, what is known to fail, who is told, and the exit code.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import * as KnownFailures from "../plan/KnownFailures.ts"
import * as Plan from "../plan/Plan.ts"
import * as Reporter from "../report/Reporter.ts"
import * as ReportHtml from "../report/ReportHtml.ts"
import * as ReportJunit from "../report/ReportJunit.ts"
import * as ReportNdjson from "../report/ReportNdjson.ts"
import * as ReportTerminal from "../report/ReportTerminal.ts"
import * as Runner from "../client/Runner.ts"

/**
 * The command line cannot be followed: exit code 2. The message says what is wrong, where, and what to do.
 *
 * @category errors
 * @since 0.1.0
 */
export class Misuse extends Data.TaggedError("Misuse")<{ readonly message: string }> {
  override readonly [Runtime.errorExitCode] = 2
  override readonly [Runtime.errorReported] = false
}

/**
 * The run was made, and failed: exit code 1. Its report says why.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunFailed extends Data.TaggedError("RunFailed") {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
}

const duration = (text: string) => {
  const found = /^\d+$/.test(text) ? Option.some(Duration.millis(Number(text))) : Duration.fromInput(text as Duration.Input)
  return Option.filter(found, (value) => Duration.isFinite(value) && Duration.toMillis(value) > 0)
}

const shardOf = (text: string) => {
  const [, index, count] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number)
  if (index === undefined || count === undefined || index < 1 || index > count) return Option.none()
  return Option.some({ index, count })
}

/**
 * The flags of both sides.
 *
 * @category flags
 * @since 0.1.0
 */
export const flags = {
  list: Flag.Boolean("list").pipe(Flag.withDefault(false), Flag.withDescription("Print the cases that would be run, and run none")),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Check everything that can be checked beforehand, and run nothing")
  ),
  filters: Flag.String("filter").pipe(
    Flag.withMetavar("TEXT"),
    Flag.atLeast(0),
    Flag.withDescription("Run the cases with this in their id; * is anything. May be given more than once")
  ),
  shard: Flag.String("shard").pipe(
    Flag.withMetavar("I/N"),
    Flag.filterMap(shardOf, () => "Expected a part of a whole, from 1/N to N/N"),
    Flag.optional,
    Flag.withDescription("Run the I-th of N parts")
  ),
  strict: Flag.Boolean("strict").pipe(Flag.withDefault(false), Flag.withDescription("Fail on what SHOULD hold as well")),
  known: Flag.String("known-failures").pipe(
    Flag.withMetavar("FILE"),
    Flag.optional,
    Flag.withDescription('What is known to fail: JSON, a list of {"pattern", "reason", "until"}')
  ),
  caseFiles: Flag.String("cases").pipe(
    Flag.withMetavar("FILE"),
    Flag.atLeast(0),
    Flag.withDescription("Run the cases of this file or folder, in place of the suite's own. May be given more than once")
  ),
  timeLimit: Flag.String("timeout").pipe(
    Flag.withMetavar("DURATION"),
    Flag.filterMap(duration, () => 'Expected milliseconds or a duration such as "20 seconds"'),
    Flag.optional,
    Flag.withDescription("How long one case may take")
  ),
  reporter: Flag.Literals("reporter", ["terminal", "ndjson", "junit", "html"]).pipe(
    Flag.withDefault("terminal"),
    Flag.withDescription("How the run is reported (default terminal)")
  ),
  output: Flag.String("output").pipe(
    Flag.withAlias("o"),
    Flag.withMetavar("FILE"),
    Flag.optional,
    Flag.withDescription("Write the report there, and show the run on the terminal")
  )
}

type Values<A> = { readonly [K in keyof A]: A[K] extends Flag.Flag<infer Value> ? Value : never }

/**
 * What these flags came to.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = Values<typeof flags>

const readFile = Effect.fnUntraced(function* (file: string): Effect.fn.Return<string, Misuse, FileSystem.FileSystem> {
  const fileSystem = yield* FileSystem.FileSystem
  return yield* Effect.mapError(fileSystem.readFileString(file), (error) => {
    const why = error.reason._tag === "NotFound" ? "there is no such file" : `it cannot be read (${error.reason._tag})`
    return new Misuse({ message: `${file}: ${why}` })
  })
})

const inFile = <A>(file: string, decode: () => A) =>
  Effect.try({
    try: decode,
    catch: (error) => new Misuse({ message: `${file}: ${error instanceof Error ? error.message : String(error)}` })
  })

/**
 * What a file holds. Fails with the file's name where there is none, or where it is not what it should be.
 *
 * @category loading
 * @since 0.1.0
 */
export const readWith = Effect.fnUntraced(function* <A>(file: string, decode: (text: string) => A) {
  const text = yield* readFile(file)
  return yield* inFile(file, () => decode(text))
})

const jsonFiles = Effect.fnUntraced(function* (path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  const names = yield* Effect.orElseSucceed(fileSystem.readDirectory(path), () => undefined)
  return names === undefined
    ? [path]
    : names
        .filter((name) => name.endsWith(".json"))
        .toSorted()
        .map((name) => join(path, name))
})

/**
 * The cases of files and folders. Fails with the file, the case and the place where one is broken.
 *
 * @category loading
 * @since 0.1.0
 */
export const loadCases = Effect.fnUntraced(function* <A>(paths: ReadonlyArray<string>, decode: (file: unknown) => ReadonlyArray<A>) {
  const files = (yield* Effect.forEach(paths, jsonFiles)).flat()
  const cases: Array<A> = []
  for (const file of files) {
    cases.push(...(yield* readWith(file, (text) => decode(JSON.parse(text)))))
  }
  return cases
})

const Known = Schema.Array(
  Schema.Struct({
    pattern: Schema.NonEmptyString,
    reason: Schema.NonEmptyString,
    until: Schema.String.check(
      Schema.makeFilter((text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)), { expected: "a day as 2027-01-31" })
    )
  })
)

const decodeKnown = Schema.decodeUnknownSync(Known, { onExcessProperty: "error", errors: "all" })
const issues = SchemaIssue.makeFormatterStandardSchemaV1()

const loadKnown = Effect.fnUntraced(function* (file: string, plan: ReadonlyArray<Plan.Listed>) {
  const value = yield* readWith(file, (text): unknown => JSON.parse(text))
  const known = yield* Effect.try({
    try: () => decodeKnown(value),
    catch: (error) => {
      const found = Schema.isSchemaError(error)
        ? issues(error.issue).issues.map(({ message, path = [] }) => [...path, message].map(String).join(path.length === 0 ? "" : ": "))
        : [String(error)]
      return new Misuse({ message: `${file}: ${found.join("; ")}` })
    }
  })
  const unknown = known.filter(({ pattern }) => !plan.some(({ id }) => KnownFailures.matches(pattern, id)))
  if (unknown.length > 0) {
    const names = unknown.map(({ pattern }) => JSON.stringify(pattern)).join(", ")
    return yield* new Misuse({ message: `${file}: ${names} ${unknown.length === 1 ? "names" : "name"} no case; --list shows all of them` })
  }
  return known
})

/**
 * The part of a plan that was asked for, and what of it is known to fail.
 *
 * @category models
 * @since 0.1.0
 */
export interface Selection<I> {
  readonly plan: ReadonlyArray<I>
  readonly known: ReadonlyArray<KnownFailures.KnownFailure>
}

/**
 * Applies `--known-failures`, `--filter` and `--shard` to a plan.
 *
 * @category loading
 * @since 0.1.0
 */
export const select = Effect.fnUntraced(function* <I extends Plan.Listed>(options: Options, whole: ReadonlyArray<I>) {
  const known = Option.isNone(options.known) ? [] : yield* loadKnown(options.known.value, whole)
  const wanted = whole.filter(
    ({ id }) => options.filters.length === 0 || options.filters.some((pattern) => KnownFailures.matches(`*${pattern}*`, id))
  )
  if (wanted.length === 0) {
    return yield* new Misuse({ message: `No case has an id like ${options.filters.join(" or ")}; --list shows all of them` })
  }
  const plan = Option.match(options.shard, {
    onNone: () => wanted,
    onSome: ({ count, index }) => wanted.filter((_, at) => at % count === index - 1)
  })
  return { plan, known } satisfies Selection<I>
})

/**
 * What `--list` prints: id, level, and what is held.
 *
 * @category printing
 * @since 0.1.0
 */
export const list = (plan: ReadonlyArray<Plan.Listed & { readonly case: { readonly rule: string } }>) =>
  Console.log(plan.map((item) => `${item.id}  ${item.case.level}  ${item.case.rule}`).join("\n"))

/**
 * What `--dry-run` prints, before what only one side knows.
 *
 * @category printing
 * @since 0.1.0
 */
export const outline = (plan: ReadonlyArray<Plan.Listed>, known: ReadonlyArray<KnownFailures.KnownFailure>) =>
  Effect.gen(function* () {
    const groups = [...new Set(plan.map(({ id }) => Reporter.groupOf(id)))]
    const listed = plan.filter((item) => KnownFailures.find(known, item, new Date()) !== undefined).length
    const counted = groups.map((group) => `  ${group}: ${plan.filter(({ id }) => Reporter.groupOf(id) === group).length}`)
    const summary = yield* Effect.promise(() => Plan.summarize(plan))
    return [Plan.format(summary), ...counted, `known to fail: ${listed}`]
  })

const makers = { ndjson: ReportNdjson.make, junit: ReportJunit.make, html: ReportHtml.make, terminal: ReportTerminal.make }

interface Told {
  readonly reporter: Reporter.Reporter
  readonly flush: Effect.Effect<void, Misuse>
}

/** A reporter whose text is written when it is flushed. */
const buffered = (
  make: (out: Reporter.Out) => Reporter.Reporter,
  out: Omit<Reporter.Out, "write">,
  write: (text: string) => Effect.Effect<void, Misuse>
): Told => {
  let text = ""
  const reporter = make({ ...out, write: (more) => void (text += more) })
  const flush = Effect.suspend(() => {
    const ready = text
    text = ""
    return ready === "" ? Effect.void : write(ready)
  })
  return { reporter, flush }
}

/**
 * What `--reporter` and `--output` ask for. A file is opened at once: that it cannot be written is known before anything is run.
 *
 * @category reporting
 * @since 0.1.0
 */
export const reporters = Effect.fnUntraced(function* (
  options: Pick<Options, "reporter" | "output">
): Effect.fn.Return<ReadonlyArray<Told>, Misuse, FileSystem.FileSystem | Terminal.Terminal | Stdio.Stdio | Scope.Scope> {
  const fileSystem = yield* FileSystem.FileSystem
  const terminal = yield* Terminal.Terminal
  const isTerminal = yield* (yield* Stdio.Stdio).stdoutIsTerminal
  const noColor = yield* Config.String("NO_COLOR").pipe(
    Config.withDefault(""),
    Effect.orElseSucceed(() => "")
  )
  const out = isTerminal ? { columns: yield* terminal.columns, colors: noColor === "" } : {}
  const display = (text: string) => Effect.orDie(terminal.display(text))
  if (Option.isNone(options.output)) return [buffered(makers[options.reporter], options.reporter === "terminal" ? out : {}, display)]
  const path = options.output.value
  const unwritable = (error: { readonly message: string }) => new Misuse({ message: `${path}: cannot be written: ${error.message}` })
  const file = yield* Effect.mapError(fileSystem.open(path, { flag: "w" }), unwritable)
  const write = (text: string) => Effect.mapError(file.writeAll(new TextEncoder().encode(text)), unwritable)
  return [buffered(makers[options.reporter], {}, write), buffered(ReportTerminal.make, out, display)]
})

/**
 * Who is tested, and how one case of the plan is run against it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tested<I> {
  readonly side: "client" | "server"
  readonly subject: string
  readonly kind: string
  readonly run: (instance: I) => Promise<Runner.Result>
}

/**
 * Runs a selection, one case after the other, and tells of it. Fails with `RunFailed` when something failed that should not.
 *
 * @category running
 * @since 0.1.0
 */
export const run = Effect.fnUntraced(function* <
  I extends Plan.Listed & { readonly case: { readonly rule: string; readonly source: ReadonlyArray<string> } }
>({ known, plan }: Selection<I>, tested: Tested<I>, told: ReadonlyArray<Told>, strict: boolean) {
  const start = performance.now()
  const summary = yield* Effect.promise(() => Plan.summarize(plan))
  const { kind, side, subject } = tested
  const tell = (each: (reporter: Reporter.Reporter) => void) =>
    Effect.forEach(told, ({ flush, reporter }) => Effect.suspend(() => (each(reporter), flush)), { discard: true })
  const startedAt = new Date().toISOString()
  yield* tell((reporter) => reporter.begin({ side, subject, kind, planned: plan.length, hash: summary.hash, strict, startedAt }))
  let failures = 0
  for (const instance of plan) {
    const { level, rule, source } = instance.case
    const result: Reporter.Reported = { ...(yield* Effect.promise(() => tested.run(instance))), level, rule, source }
    if (Reporter.counts(result, strict)) failures += 1
    yield* tell((reporter) => reporter.result(result))
  }
  const problems = KnownFailures.expired(known, new Date())
  const ok = failures === 0 && problems.length === 0
  yield* tell((reporter) => reporter.end({ problems, failures, ok, durationMs: performance.now() - start }))
  if (!ok) return yield* new RunFailed()
})
