/**
 * A run as JUnit XML, as build servers read it: a test suite for each group.
 *
 * @since 0.1.0
 */
import { atEnd, counts, groupOf, type Out, type Reported, type Reporter, type Run } from "./Reporter.ts"

// XML 1.0 has no way to write most control characters, nor half a surrogate pair.
const xml = (text: string) =>
  text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("\n", "&#10;")

const seconds = (ms: number) => (ms / 1000).toFixed(3)

const testCase = (result: Reported, name: string, strict: boolean) => {
  const text = [...result.problems, ...result.trace.map((line) => `  ${line}`)].join("\n")
  const message = `message="${xml(result.problems[0] ?? "")}"`
  const inner = counts(result, strict)
    ? `<failure ${message} type="${result.verdict}">${xml(text)}</failure>`
    : result.verdict === "pass"
      ? ""
      : `<skipped message="${xml(`${result.verdict}: ${result.problems.join("; ")}`)}"/>`
  const of = `name="${xml(result.id)}" classname="${xml(`${name}.${groupOf(result.id)}`)}" time="${seconds(result.durationMs)}"`
  return inner === "" ? `    <testcase ${of}/>` : `    <testcase ${of}>${inner}</testcase>`
}

const suite = (name: string, group: string, results: ReadonlyArray<Reported>, strict: boolean) => {
  const failures = results.filter((result) => counts(result, strict)).length
  const skipped = results.filter((result) => result.verdict !== "pass").length - failures
  const time = results.reduce((sum, { durationMs }) => sum + durationMs, 0)
  return [
    `  <testsuite name="${xml(group)}" tests="${results.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${seconds(time)}">`,
    ...results.map((result) => testCase(result, name, strict)),
    "  </testsuite>"
  ]
}

/**
 * The whole document.
 *
 * @category printing
 * @since 0.1.0
 */
export const format = ({ end, head, results }: Run): string => {
  const groups = [...new Set(results.map(({ id }) => groupOf(id)))]
  const run =
    end.problems.length === 0
      ? []
      : [
          `  <testsuite name="run" tests="${end.problems.length}" failures="${end.problems.length}" errors="0" skipped="0" time="0.000">`,
          ...end.problems.map(
            (problem, i) =>
              `    <testcase name="problem ${i + 1}" classname="run" time="0.000"><failure message="${xml(problem)}" type="run"/></testcase>`
          ),
          "  </testsuite>"
        ]
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${xml(head.subject)}" tests="${results.length + end.problems.length}" failures="${end.failures + end.problems.length}" errors="0" time="${seconds(end.durationMs)}">`,
    ...groups.flatMap((group) =>
      suite(
        head.subject,
        group,
        results.filter(({ id }) => groupOf(id) === group),
        head.strict
      )
    ),
    ...run,
    "</testsuites>",
    ""
  ].join("\n")
}

/**
 * Writes the document at the end of the run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ write }: Out): Reporter => atEnd((run) => write(format(run)))
