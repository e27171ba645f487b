/**
 * Runs cases: announces each to the fault server, has the subject make the call, and judges what came of it. Web APIs only, so that it runs
 * where its subject does.
 *
 * @since 0.1.0
 */
import type { Case } from "../case/Case.ts"
import { type Answered, judge } from "./Judge.ts"
import * as KnownFailures from "../plan/KnownFailures.ts"
import * as Plan from "../plan/Plan.ts"
import type { Origins, Report, Until } from "../fault/Report.ts"
import * as Script from "../fault/Script.ts"
import type { Outcome, Subject, SubjectClient } from "./Subject.ts"

/**
 * Where cases are run. `controlUrl` is the fault server's. `timeLimitMs` is how long a subject has for one case before it counts as
 * hanging.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  readonly controlUrl: string
  readonly known?: ReadonlyArray<KnownFailures.KnownFailure> | undefined
  readonly timeLimitMs?: number | undefined
}

/**
 * How long a subject has for one case where nothing else is said, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export const defaultTimeLimitMs = 10_000

/**
 * What a run came to: `stale` is a known failure that passes, `n/a` only ever follows from what the subject declares. `problems` says why, a
 * sentence each, `trace` what the server saw. Both are free of the key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result {
  readonly id: string
  readonly verdict: "pass" | "fail" | "known-fail" | "stale" | "n/a"
  readonly problems: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
  readonly durationMs: number
}

/**
 * A value with every `{{name}}` in its strings replaced.
 *
 * @category running
 * @since 0.1.0
 */
export const fill = <A>(value: A, values: Readonly<Record<string, string>>): A =>
  JSON.parse(
    JSON.stringify(value, (_, item: unknown) =>
      typeof item === "string" ? item.replaceAll(/\{\{(\w+)\}\}/g, (whole, name: string) => values[name] ?? whole) : item
    )
  ) as A

/**
 * So many random bytes, as hexadecimal digits.
 *
 * @category running
 * @since 0.1.0
 */
export const randomHex = (bytes: number) =>
  [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("")

/**
 * Asks the fault server, and gives its answer. Rejects when it is no success.
 *
 * @category running
 * @since 0.1.0
 */
export const control = async (url: string, init?: RequestInit): Promise<unknown> => {
  const response = await fetch(url, init)
  const text = await response.text()
  if (!response.ok) throw new Error(`The fault server answered ${response.status} to ${init?.method ?? "GET"} ${url}: ${text}`)
  return text === "" ? undefined : JSON.parse(text)
}

const origins = new Map<string, Promise<Origins>>()
const originsOf = (controlUrl: string) => {
  const known = origins.get(controlUrl) ?? (control(controlUrl) as Promise<Origins>)
  origins.set(controlUrl, known)
  return known
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Has the client make the call, and behaves towards it as the case's user does. */
const drive = async (item: Case, client: SubjectClient, url: string, limitMs: number) => {
  const { take, abortAt, releaseAfter, readDelayMs = 0, stallMs = 0 } = item.consume ?? {}
  const aborter = new AbortController()
  if (abortAt === "start") aborter.abort()
  if (abortAt === "request" || abortAt === "head") {
    void control(`${url}/report?until=${abortAt}&waitMs=${limitMs}`).then(
      () => aborter.abort(),
      () => undefined
    )
  }
  let received = 0
  const onChunk = async () => {
    received += 1
    if (received === releaseAfter) await control(`${url}/release`, { method: "POST" })
    if (typeof abortAt === "object" && received === abortAt.chunks) aborter.abort()
    const rest = readDelayMs + (received === 1 ? stallMs : 0)
    if (rest > 0) await sleep(rest)
  }
  let timer: ReturnType<typeof setTimeout> | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `nothing came of the call within ${limitMs} ms`
      // Where this suite stood when it gave up tells nothing.
      reject(Object.assign(new Error(message), { stack: message }))
      aborter.abort()
    }, limitMs)
  })
  const start = performance.now()
  try {
    const outcome = await Promise.race([client.call(item.operation, { take, signal: aborter.signal, onChunk }), limit])
    return { expect: item.expect, outcome, outcomeMs: performance.now() - start }
  } finally {
    clearTimeout(timer)
  }
}

/** Makes all calls of a case; `items` is the case as each of them has it. */
const driveAll = async (items: ReadonlyArray<Case>, together: boolean, client: SubjectClient, url: string, limitMs: number) => {
  if (together) return await Promise.all(items.map((item) => drive(item, client, url, limitMs)))
  const answered: Array<Answered> = []
  for (const item of items) answered.push(await drive(item, client, url, limitMs))
  return answered
}

const finalReport = async (item: Case, url: string): Promise<Report> => {
  const ask = (until: Until, waitMs: number) => control(`${url}/report?until=${until}&waitMs=${waitMs}`)
  if (item.expect.resources !== undefined) return (await ask("closed", item.expect.resources.withinMs + 500)) as Report
  // Nobody can wait for a request that must not come: this long after the outcome, none is taken to follow.
  return (await ask("request", item.expect.attempts === 0 ? 50 : 0)) as Report
}

const traceOf = (report: Report): ReadonlyArray<string> => [
  ...report.attempts.map(
    (attempt, i) =>
      `request ${i}: ${attempt.method} ${attempt.path} at ${attempt.at} ms on connection ${attempt.connection}, ${attempt.bytesWritten} bytes answered, ` +
      (attempt.closed === undefined ? "open" : `closed by ${attempt.closed.by} (${attempt.closed.how}) at ${attempt.closed.at} ms`)
  ),
  ...report.preflights.map((preflight) => `preflight for ${preflight.method} with ${preflight.headers.join(", ")}`)
]

const describe = ({ chunks, error, outcome }: Outcome) =>
  `outcome: ${outcome}, ${chunks.length} chunks${error === undefined ? "" : `, ${error.reason}: ${error.message}`}`

const attempt = async (instance: Plan.Instance, subject: Subject, environment: Environment) => {
  const secret = `sk-${randomHex(16)}`
  const path = `/runs/${randomHex(8)}/cases/${instance.id.replaceAll(/[^a-z0-9-]+/g, ".")}`
  const hide = (text: string) => text.replaceAll(secret, "{{key}}").replaceAll(path, "{{path}}")
  const servers = await originsOf(environment.controlUrl)
  const values = { ...servers, key: secret, path, in2s: new Date(Date.now() + 2000).toUTCString() }
  const { count, together } = instance.case.operation.calls ?? { count: 1, together: false }
  const items = Array.from({ length: count }, (_, i) => fill(instance.case, { ...values, n: String(i + 1) }))
  const [item] = items
  if (item === undefined) throw new Error(`${instance.id} makes no call`)
  const url = environment.controlUrl + path
  const steps = item.server.map((attempted) => attempted.flatMap(Script.spellOut))
  const script: Script.Script = { attempts: items.flatMap(() => steps), variant: instance.variant, token: secret }
  await control(url, { method: "PUT", body: JSON.stringify(script) })
  const { apiKey = secret, baseUrl = `${servers.a}${path}/api/v3`, ...options } = item.operation.client ?? {}
  const client = subject.open({ ...options, apiKey, baseUrl })
  try {
    const answered = await driveAll(items, together, client, url, environment.timeLimitMs ?? defaultTimeLimitMs)
    const end = performance.now()
    const report = await finalReport(item, url)
    const closedMs = performance.now() - end
    const problems = judge({
      expect: item.expect,
      answered,
      runtime: subject.runtime,
      capabilities: subject.capabilities,
      secret,
      report,
      closedMs
    })
    return { problems: problems.map(hide), trace: [...traceOf(report), ...answered.map(({ outcome }) => describe(outcome))].map(hide) }
  } catch (error) {
    const report = (await control(`${url}/report`)) as Report
    const crash = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { problems: [hide(`crash: ${crash}`)], trace: [...traceOf(report), ...(client.trace?.() ?? [])].map(hide) }
  } finally {
    await control(url, { method: "DELETE" })
    await client.close()
  }
}

/**
 * The verdict on what was found of a case, which may be known to fail.
 *
 * @category judging
 * @since 0.1.0
 */
export const judged = (found: Omit<Result, "verdict">, known: KnownFailures.KnownFailure | undefined): Result => {
  const failed = found.problems.length > 0
  if (known === undefined) return { ...found, verdict: failed ? "fail" : "pass" }
  return failed
    ? { ...found, verdict: "known-fail" }
    : { ...found, verdict: "stale", problems: [`passes, but is listed as a known failure (${known.reason})`] }
}

/**
 * Runs one instance against a subject.
 *
 * @category running
 * @since 0.1.0
 */
export const run = async (instance: Plan.Instance, subject: Subject, environment: Environment): Promise<Result> => {
  const reason = Plan.notApplicable(instance, subject)
  if (reason !== undefined) return { id: instance.id, verdict: "n/a", problems: [reason], trace: [], durationMs: 0 }
  const start = performance.now()
  const found = await attempt(instance, subject, environment)
  const durationMs = performance.now() - start
  return judged({ id: instance.id, ...found, durationMs }, KnownFailures.find(environment.known ?? [], instance, new Date()))
}

/**
 * Runs a whole plan, one instance after the other.
 *
 * @category running
 * @since 0.1.0
 */
export async function* runConformance(
  subject: Subject,
  environment: Environment,
  plan: ReadonlyArray<Plan.Instance>
): AsyncGenerator<Result> {
  for (const instance of plan) yield await run(instance, subject, environment)
}

/**
 * Whether a verdict lets a run succeed.
 *
 * @category judging
 * @since 0.1.0
 */
export const isFine = (result: Result): boolean => result.verdict !== "fail" && result.verdict !== "stale"

/**
 * A result in words, for whoever has to find out why.
 *
 * @category printing
 * @since 0.1.0
 */
export const format = (result: Result): string =>
  [
    `${result.verdict}: ${result.id}`,
    ...result.problems.map((problem) => `  ${problem}`),
    ...result.trace.map((line) => `    ${line}`)
  ].join("\n")

/**
 * The end of a run: a line for its log, and what is wrong with the run as a whole: cases that did not run, a plan that is not the one it should
 * be, known failures that name no case or are out of date.
 *
 * @category running
 * @since 0.1.0
 */
export const conclude = async (
  plan: ReadonlyArray<Plan.Listed>,
  results: ReadonlyArray<Result>,
  options: { readonly known?: ReadonlyArray<KnownFailures.KnownFailure> | undefined; readonly summary?: Plan.Summary | undefined }
): Promise<{ readonly line: string; readonly problems: ReadonlyArray<string> }> => {
  const summary = await Plan.summarize(plan)
  const counts = new Map<string, number>()
  for (const { verdict } of results) counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
  const problems = KnownFailures.problems(options.known ?? [], plan, new Date())
  if (results.length !== plan.length) problems.push(`${plan.length} cases planned, ${results.length} ran`)
  if (options.summary !== undefined && Plan.format(options.summary) !== Plan.format(summary)) {
    problems.push(`not the published list, which has ${options.summary.instances} cases and hash ${options.summary.hash}`)
  }
  return { line: `${Plan.format(summary)}: ${[...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", ")}`, problems }
}
