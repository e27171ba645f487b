/**
 * Runs cases: announces each to the fault server, has the subject make the call, and judges what came of it. Web APIs only, so that it runs
 * where its subject does.
 *
 * @since 0.1.0
 */
import type { Case } from "../case/Case.ts"
import { type Answered, judge, warnings } from "./Judge.ts"
import * as KnownFailures from "../plan/KnownFailures.ts"
import * as Jobs from "../plan/Jobs.ts"
import * as Plan from "../plan/Plan.ts"
import type { Origins, Report, Until } from "../fault/Report.ts"
import * as Script from "../fault/Script.ts"
import type { Outcome, Subject, SubjectClient } from "./Subject.ts"

/**
 * Where cases are run. `controlUrl` is the address of the fault server. `timeLimitMs` is the time after which a subject counts as hanging, for each
 * case. `jobs` is how many cases `runConformance` runs at once; defaults to 1. `ask` speaks to the fault server where it runs in the same process, as
 * `FaultServer.ask`; defaults to fetch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  readonly controlUrl: string
  readonly known?: ReadonlyArray<KnownFailures.KnownFailure> | undefined
  readonly timeLimitMs?: number | undefined
  readonly jobs?: number | undefined
  readonly ask?: ((url: string, init?: { readonly method?: string; readonly body?: string }) => Promise<unknown>) | undefined
}

type Ask = NonNullable<Environment["ask"]>

/**
 * How long a subject has for one case where nothing else is said, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export const defaultTimeLimitMs = 10_000

/**
 * The result of a case. `stale` is a known failure that passes. `n/a` follows from what the subject declares, or from its answer that it cannot
 * express the call. `problems` has the reasons, one sentence each, `trace` what the server saw, and `warnings` what fails no case. All are free of
 * the key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result {
  readonly id: string
  readonly verdict: "pass" | "fail" | "known-fail" | "stale" | "n/a"
  readonly problems: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
  readonly warnings?: ReadonlyArray<string> | undefined
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

const mib = "0123456789abcde\n".repeat(65_536)

const origins = new Map<string, Promise<Origins>>()
const originsOf = (controlUrl: string, ask: Ask) => {
  const known = origins.get(controlUrl) ?? (ask(controlUrl) as Promise<Origins>)
  origins.set(controlUrl, known)
  return known
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Where a case is played: its address on the control port, who speaks to that, and the time limit. */
interface Stage {
  readonly url: string
  readonly ask: Ask
  readonly limitMs: number
}

/** Has the client make the call, and behaves towards it as the case's user does. */
const drive = async (item: Case, client: SubjectClient, { ask, limitMs, url }: Stage) => {
  const { take, abortAt, releaseAfter, readDelayMs = 0, stallMs = 0 } = item.consume ?? {}
  const aborter = new AbortController()
  if (abortAt === "start") aborter.abort()
  if (abortAt === "request" || abortAt === "head") {
    void ask(`${url}/report?until=${abortAt}&waitMs=${limitMs}`).then(
      () => aborter.abort(),
      () => undefined
    )
  }
  // Leaving after `take` chunks is up to the subject.
  const paced = releaseAfter !== undefined || typeof abortAt === "object" || readDelayMs > 0 || stallMs > 0
  let received = 0
  const onChunk = async () => {
    received += 1
    if (received === releaseAfter) await ask(`${url}/release`, { method: "POST" })
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
    const outcome = await Promise.race([client.call(item.operation, { take, paced, signal: aborter.signal, onChunk }), limit])
    return { expect: item.expect, outcome, outcomeMs: performance.now() - start }
  } finally {
    clearTimeout(timer)
  }
}

/** Makes all calls of a case; `items` is the case as each of them has it. */
const driveAll = async (items: ReadonlyArray<Case>, together: boolean, client: SubjectClient, stage: Stage) => {
  if (together) return await Promise.all(items.map((item) => drive(item, client, stage)))
  const answered: Array<Answered> = []
  for (const item of items) answered.push(await drive(item, client, stage))
  return answered
}

const finalReport = async (item: Case, { ask, url }: Stage): Promise<Report> => {
  const report = (until: Until, waitMs: number) => ask(`${url}/report?until=${until}&waitMs=${waitMs}`)
  if (item.expect.resources !== undefined) return (await report("closed", item.expect.resources.withinMs + 500)) as Report
  // Nobody can wait for a request that must not come: this long after the outcome, none is taken to follow.
  if (item.expect.outcome === "aborted") await sleep(50)
  return (await report("request", item.expect.attempts === 0 ? 50 : 0)) as Report
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

interface Found {
  readonly problems: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
  readonly warnings?: ReadonlyArray<string>
  /** What the subject cannot express. */
  readonly cannot?: string
}

/** What a subject cannot express. One that sent a request could: that is a problem of its own. */
const cannotOf = (answered: ReadonlyArray<Answered>, report: Report): Pick<Found, "cannot" | "problems"> => {
  const message = answered.find(({ outcome }) => outcome.outcome === "cannot")?.outcome.message
  if (message === undefined) return { problems: [] }
  const { length } = report.attempts
  return length === 0 ? { cannot: message, problems: [] } : { problems: [`outcome: cannot (${message}), but ${length} requests were sent`] }
}

const attempt = async (instance: Plan.Instance, subject: Subject, environment: Environment): Promise<Found> => {
  const secret = `sk-${randomHex(16)}`
  const path = `/runs/${randomHex(8)}/cases/${instance.id.replaceAll(/[^a-z0-9-]+/g, ".")}`
  const hide = (text: string) => text.replaceAll(secret, "{{key}}").replaceAll(path, "{{path}}")
  const { ask = control, timeLimitMs = defaultTimeLimitMs } = environment
  const servers = await originsOf(environment.controlUrl, ask)
  const values = { ...servers, key: secret, path, in2s: new Date(Date.now() + 2000).toUTCString(), mib }
  const { count, together } = instance.case.operation.calls ?? { count: 1, together: false }
  const items = Array.from({ length: count }, (_, i) => fill(instance.case, { ...values, n: String(i + 1) }))
  const [item] = items
  if (item === undefined) throw new Error(`${instance.id} makes no call`)
  if (servers.v6 === undefined && JSON.stringify(item).includes("{{v6}}"))
    return { problems: [], trace: [], cannot: "this machine has no IPv6" }
  const url = environment.controlUrl + path
  const stage: Stage = { url, ask, limitMs: timeLimitMs }
  const steps = item.server.map((attempted) => attempted.flatMap(Script.spellOut))
  const { refusesPreflight = false } = item
  const script: Script.Script = { attempts: items.flatMap(() => steps), variant: instance.variant, token: secret, refusesPreflight }
  await ask(url, { method: "PUT", body: JSON.stringify(script) })
  const { apiKey = secret, baseUrl = `${servers.a}${path}/api/v3`, ...options } = item.operation.client ?? {}
  const client = subject.open({ ...options, apiKey, baseUrl })
  try {
    const answered = await driveAll(items, together, client, stage)
    const end = performance.now()
    const report = await finalReport(item, stage)
    const closedMs = performance.now() - end
    const { capabilities, runtime } = subject
    const trace = [...traceOf(report), ...answered.map(({ outcome }) => describe(outcome))].map(hide)
    const { cannot, problems } = cannotOf(answered, report)
    if (cannot !== undefined) return { problems: [], trace, cannot: hide(cannot) }
    if (problems.length > 0) return { problems: problems.map(hide), trace }
    const found = judge({ expect: item.expect, answered, runtime, capabilities, secret, report, closedMs })
    return { problems: found.map(hide), trace, warnings: warnings(report, capabilities) }
  } catch (error) {
    const report = (await ask(`${url}/report`)) as Report
    const crash = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { problems: [hide(`crash: ${crash}`)], trace: [...traceOf(report), ...(client.trace?.() ?? [])].map(hide) }
  } finally {
    await ask(url, { method: "DELETE" })
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
  const { cannot, ...found } = await attempt(instance, subject, environment)
  const result = { id: instance.id, ...found, durationMs: performance.now() - start }
  if (cannot !== undefined) return { ...result, verdict: "n/a", problems: [`cannot be expressed: ${cannot}`] }
  return judged(result, KnownFailures.find(environment.known ?? [], instance, new Date()))
}

const hung = "crash: nothing came of the call"

// What may be due to the company of other cases: a machine that has much to do, a program that another case has ended.
const inCompany = /^(call \d+: )?(crash|timing|resources|wire\[\d+\]\.afterMs)\b/

const isDoubtful = (instance: Plan.Instance, result: Result) =>
  !isFine(result) && (Plan.waitOf(instance) > 0 || result.problems.some((problem) => inCompany.test(problem)))

/**
 * Runs a whole plan, `jobs` instances at once, and yields results as they come. What waits longest is begun first. An instance that fails in time or
 * crashes beside others is run once more, alone, and that result counts.
 *
 * @category running
 * @since 0.1.0
 */
export async function* runConformance(
  subject: Subject,
  environment: Environment,
  plan: ReadonlyArray<Plan.Instance>
): AsyncGenerator<Result> {
  const { jobs = 1 } = environment
  const work = async (instance: Plan.Instance) => [instance, await run(instance, subject, environment)] as const
  const ordered = jobs > 1 ? plan.toSorted((a, b) => Plan.waitOf(b) - Plan.waitOf(a)) : plan
  const again: Array<Plan.Instance> = []
  const stuck: Array<Plan.Instance> = []
  for await (const [instance, result] of Jobs.run(ordered, jobs, work)) {
    if (jobs === 1 || !isDoubtful(instance, result)) yield result
    else (result.problems.some((problem) => problem.startsWith(hung)) ? stuck : again).push(instance)
  }
  // What does nothing is no company for others of its kind.
  for await (const [, result] of Jobs.run(stuck, jobs, work)) yield result
  for (const instance of again) yield await run(instance, subject, environment)
}

/**
 * Whether a verdict lets a run succeed.
 *
 * @category judging
 * @since 0.1.0
 */
export const isFine = (result: Result): boolean => result.verdict !== "fail" && result.verdict !== "stale"

/**
 * The warnings of some results, each once, with the number of its cases.
 *
 * @category printing
 * @since 0.1.0
 */
export const warningsOf = (results: ReadonlyArray<Pick<Result, "warnings">>): ReadonlyArray<string> => {
  const counts = new Map<string, number>()
  for (const warning of results.flatMap((result) => result.warnings ?? [])) counts.set(warning, (counts.get(warning) ?? 0) + 1)
  return [...counts].map(([warning, count]) => `${warning} (${count} ${count === 1 ? "case" : "cases"})`)
}

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
