/**
 * Compares what a case expects with what its subject reported and the fault server saw.
 *
 * @since 0.1.0
 */
import type { Capability, Expectation, Runtime } from "../case/Case.ts"
import { match } from "../case/Pattern.ts"
import { fold } from "./Fold.ts"
import type { Attempt, Report } from "../fault/Report.ts"
import type { Outcome } from "./Subject.ts"

/**
 * One call: what was expected of it, what came of it, and after how many milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answered {
  readonly expect: Expectation
  readonly outcome: Outcome
  readonly outcomeMs: number
}

/**
 * All that is known of one run of one case. `expect` is what is expected of all calls together, `secret` the key's secret part, and
 * `closedMs` how long after the last outcome the report was made, or all connections had ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Evidence {
  readonly expect: Expectation
  readonly answered: ReadonlyArray<Answered>
  readonly runtime: Runtime
  readonly capabilities: ReadonlyArray<Capability>
  readonly secret: string
  readonly report: Report
  readonly closedMs: number
}

const headersOf = (attempt: Attempt) => {
  const headers: Record<string, string> = {}
  for (const [name, value] of attempt.headers) {
    const key = name.toLowerCase()
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`
  }
  return headers
}

const textOf = (attempt: Attempt) => {
  const characters = atob(attempt.body)
  const bytes = new Uint8Array(characters.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i)
  return new TextDecoder().decode(bytes)
}

/** The body as `[name, value]` pairs: what a server that decodes forms gets to see; undefined where it is no form. */
const formOf = (attempt: Attempt): ReadonlyArray<readonly [string, string]> | undefined => {
  const type = headersOf(attempt)["content-type"] ?? ""
  if (type.startsWith("application/x-www-form-urlencoded")) return [...new URLSearchParams(textOf(attempt))]
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)"?/i.exec(type)?.[1]
  if (boundary === undefined) return undefined
  const [first = "", ...parts] = `\r\n${textOf(attempt)}`.split(`\r\n--${boundary}`)
  if (first !== "" || parts.pop()?.trim() !== "--") return undefined
  return parts.map((part) => {
    const end = part.indexOf("\r\n\r\n")
    const name = /name="((?:[^"\\]|\\.)*)"/i.exec(part.slice(0, end))?.[1] ?? ""
    return [name.replaceAll("%22", '"'), part.slice(end + 4)] as const
  })
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const outcomeOf = ({ expect, outcome, outcomeMs }: Answered, isHouse: boolean): ReadonlyArray<string> => {
  if (outcome.outcome !== expect.outcome) {
    const error = outcome.error === undefined ? "" : ` (${outcome.error.reason}: ${outcome.error.message})`
    return [`outcome: expected ${expect.outcome}, got ${outcome.outcome}${error}`]
  }
  const found: Array<string> = []
  const folded = fold(outcome.outcome === "completion" ? [outcome.completion] : outcome.chunks)
  const texts = folded.choices.map(({ text }) => text)
  if (expect.text !== undefined) found.push(...match("text", [...expect.text], texts))
  if (expect.answer !== undefined) found.push(...match("answer", expect.answer, folded))
  if (expect.chunks !== undefined) found.push(...match("chunks", [...expect.chunks], outcome.chunks))
  if (expect.completion !== undefined) found.push(...match("completion", expect.completion, outcome.completion))
  if (expect.house !== undefined && isHouse) found.push(...match("house", expect.house, outcome.error))
  const { atLeastMs = 0, withinMs = Number.POSITIVE_INFINITY } = expect.timing ?? {}
  if (outcomeMs > withinMs) found.push(`timing: expected an outcome within ${withinMs} ms, got it after ${Math.round(outcomeMs)} ms`)
  if (outcomeMs < atLeastMs) found.push(`timing: expected no outcome before ${atLeastMs} ms, got it after ${Math.round(outcomeMs)} ms`)
  return found
}

type Wire = NonNullable<Expectation["wire"]>[number]

/**
 * How request `i` that a server saw departs from what was wanted, one sentence each.
 *
 * @category judging
 * @since 0.1.0
 */
export const request = (i: number, wanted: Wire, { attempts }: Report): ReadonlyArray<string> => {
  const at = `wire[${i}]`
  const attempt = attempts[i]
  if (attempt === undefined) return [`${at}: no such request`]
  const found: Array<string> = []
  if (wanted.method !== undefined) found.push(...match(`${at}.method`, wanted.method, attempt.method))
  if (wanted.path !== undefined) found.push(...match(`${at}.path`, wanted.path, attempt.path))
  if (wanted.headers !== undefined) found.push(...match(`${at}.headers`, wanted.headers, headersOf(attempt)))
  if (wanted.body !== undefined) found.push(...match(`${at}.body`, wanted.body, parse(textOf(attempt))))
  if (wanted.bodyText !== undefined) found.push(...match(`${at}.bodyText`, wanted.bodyText, textOf(attempt)))
  if (wanted.form !== undefined) found.push(...match(`${at}.form`, wanted.form, formOf(attempt)))
  if (wanted.sameBodyAs !== undefined && attempts[wanted.sameBodyAs]?.body !== attempt.body) {
    found.push(`${at}.sameBodyAs: expected the same body as of request ${wanted.sameBodyAs}`)
  }
  if (wanted.afterMs !== undefined) {
    const { atLeast, atMost } = wanted.afterMs
    const gap = attempt.at - (attempts[i - 1]?.at ?? 0)
    if (gap < atLeast || gap > atMost)
      found.push(`${at}.afterMs: expected ${atLeast} to ${atMost} ms after the request before it, came after ${gap} ms`)
  }
  return found
}

const wire = ({ expect, report, runtime }: Evidence): ReadonlyArray<string> => {
  const { attempts, preflights } = report
  const wanted = expect.attempts ?? 1
  const found = attempts.length === wanted ? [] : [`attempts: expected ${wanted}, got ${attempts.length}`]
  for (const [i, item] of (expect.wire ?? []).entries()) found.push(...request(i, item, report))
  const connections = new Set(attempts.map((attempt) => attempt.connection)).size
  if (expect.connectionsAtMost !== undefined && connections > expect.connectionsAtMost) {
    found.push(`connectionsAtMost: expected at most ${expect.connectionsAtMost}, got ${connections}`)
  }
  const limit = expect.bytesWrittenAtMost?.[runtime]
  const written = attempts.reduce((total, attempt) => total + attempt.bytesWritten, 0)
  if (limit !== undefined && written > limit) found.push(`bytesWrittenAtMost: expected at most ${limit}, got ${written}`)
  const [preflight] = preflights
  if (expect.preflightHeaders !== undefined && preflight !== undefined) {
    found.push(...match("preflightHeaders", [...expect.preflightHeaders], preflight.headers.map((name) => name.toLowerCase()).toSorted()))
  }
  return found
}

const resources = ({ closedMs, expect, report }: Evidence): ReadonlyArray<string> => {
  if (expect.resources === undefined) return []
  const { closedBy, withinMs } = expect.resources
  const found = report.attempts.flatMap(({ closed }, i) => {
    if (closed === undefined) return [`resources: connection of request ${i} still open ${Math.round(closedMs)} ms after the outcome`]
    return closed.by === closedBy ? [] : [`resources: expected the ${closedBy} to close the connection, the ${closed.by} did`]
  })
  return closedMs > withinMs && found.length === 0
    ? [`resources: expected the connection to be closed within ${withinMs} ms, took ${Math.round(closedMs)} ms`]
    : found
}

const secrets = ({ answered, capabilities, expect, report, secret }: Evidence): ReadonlyArray<string> => {
  const inUrl = report.attempts.some((attempt) => attempt.path.includes(secret)) ? ["secrets: the key is in the request's path"] : []
  // How an error is printed is asked of others in the cases that are about it.
  if (expect.secretsAbsent === undefined && !capabilities.includes("house")) return inUrl
  const absent = expect.secretsAbsent ?? []
  const printed = answered.flatMap(({ outcome }) =>
    Object.entries(outcome.error?.printed ?? {}).flatMap(([form, text]) => [
      ...(text.includes(secret) ? [`secrets: the key is in the error's ${form}`] : []),
      ...absent.filter((item) => text.includes(item)).map((item) => `secretsAbsent: ${JSON.stringify(item)} is in the error's ${form}`)
    ])
  )
  return [...inUrl, ...printed]
}

/**
 * What the subject did that fails no case, but that its user should know.
 *
 * @category judging
 * @since 0.1.0
 */
export const warnings = ({ attempts }: Report, capabilities: ReadonlyArray<Capability>): ReadonlyArray<string> =>
  !capabilities.includes("gzip") && attempts.some((attempt) => headersOf(attempt)["accept-encoding"]?.includes("gzip"))
    ? ["it asks for gzip, which is not among its capabilities: no case sends it compressed responses"]
    : []

/**
 * What is wrong, one sentence each; none when the case is passed. Whatever the case expects, the key may be in no error and no path.
 *
 * @category judging
 * @since 0.1.0
 */
export const judge = (evidence: Evidence): ReadonlyArray<string> => [
  ...evidence.answered.flatMap((answered, i) =>
    outcomeOf(answered, evidence.capabilities.includes("house")).map((problem) =>
      evidence.answered.length === 1 ? problem : `call ${i + 1}: ${problem}`
    )
  ),
  ...wire(evidence),
  ...resources(evidence),
  ...secrets(evidence)
]
