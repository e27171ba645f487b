/**
 * How a run is told to whoever asked for it: its head, each result as it comes, its end. The reporters write text, and know nothing of files.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Result } from "../client/Runner.ts"

/**
 * What is run, and against whom.
 *
 * @category models
 * @since 0.1.0
 */
export const Head = Schema.Struct({
  side: Schema.Literals(["client", "server"]),
  subject: Schema.String,
  /** The subject's runtime, or the server's profile. */
  kind: Schema.String,
  /** Ids of all that will be run. */
  planned: Schema.Natural,
  hash: Schema.String,
  strict: Schema.Boolean,
  startedAt: Schema.String
})
/** @since 0.1.0 */
export type Head = typeof Head.Type

/**
 * A result with what its case says of itself.
 *
 * @category models
 * @since 0.1.0
 */
export const Reported = Schema.Struct({
  id: Schema.String,
  level: Schema.Literals(["MUST", "SHOULD"]),
  rule: Schema.String,
  source: Schema.Array(Schema.String),
  verdict: Schema.Literals(["pass", "fail", "known-fail", "stale", "n/a"]),
  problems: Schema.Array(Schema.String),
  trace: Schema.Array(Schema.String),
  durationMs: Schema.Finite
})
/** @since 0.1.0 */
export type Reported = typeof Reported.Type

/**
 * What it came to. `problems` are those of the run as a whole; `failures` is how many results make it fail.
 *
 * @category models
 * @since 0.1.0
 */
export const End = Schema.Struct({
  problems: Schema.Array(Schema.String),
  failures: Schema.Natural,
  ok: Schema.Boolean,
  durationMs: Schema.Finite
})
/** @since 0.1.0 */
export type End = typeof End.Type

/**
 * A whole run, as it can be told again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly head: Head
  readonly results: ReadonlyArray<Reported>
  readonly end: End
}

/**
 * Where a reporter writes to. `columns` is the width of a terminal whose lines can be written over; without it, every line stays.
 *
 * @category models
 * @since 0.1.0
 */
export interface Out {
  readonly write: (text: string) => void
  readonly columns?: number | undefined
  readonly colors?: boolean | undefined
}

/**
 * Tells one run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reporter {
  readonly begin: (head: Head) => void
  readonly result: (result: Reported) => void
  readonly end: (end: End) => void
}

/**
 * The group of a case: its id up to the slash.
 *
 * @category getters
 * @since 0.1.0
 */
export const groupOf = (id: string): string => id.slice(0, Math.max(0, id.indexOf("/")))

/**
 * Whether a result makes its run fail: what SHOULD be held counts in strict runs alone, and what is listed as failing has to fail.
 *
 * @category getters
 * @since 0.1.0
 */
export const counts = (result: Pick<Result, "verdict"> & Pick<Reported, "level">, strict: boolean): boolean =>
  result.verdict === "stale" || (result.verdict === "fail" && (strict || result.level === "MUST"))

/**
 * How many results have each verdict, in words, as `12 pass, 1 fail`.
 *
 * @category printing
 * @since 0.1.0
 */
export const tally = (results: ReadonlyArray<Pick<Reported, "verdict">>): string => {
  const verdicts = ["pass", "fail", "stale", "known-fail", "n/a"] as const
  const counted = verdicts.map((verdict) => [verdict, results.filter((result) => result.verdict === verdict).length] as const)
  return counted.flatMap(([verdict, count]) => (count === 0 ? [] : [`${count} ${verdict}`])).join(", ") || "nothing ran"
}

/**
 * A reporter that gathers a run and tells all of it at its end.
 *
 * @category constructors
 * @since 0.1.0
 */
export const atEnd = (tell: (run: Run) => void): Reporter => {
  let head: Head | undefined
  const results: Array<Reported> = []
  return {
    begin: (of) => {
      head = of
    },
    result: (result) => void results.push(result),
    end: (end) => {
      if (head !== undefined) tell({ head, results, end })
    }
  }
}

/**
 * Tells a run that is over.
 *
 * @category running
 * @since 0.1.0
 */
export const replay = (run: Run, reporter: Reporter): void => {
  reporter.begin(run.head)
  for (const result of run.results) reporter.result(result)
  reporter.end(run.end)
}
