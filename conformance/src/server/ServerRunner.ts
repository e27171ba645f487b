/**
 * Runs server cases: sends what a case says to a running server, and judges what comes back. Web APIs only, but for what its target brings.
 *
 * @since 0.1.0
 */
import * as KnownFailures from "../plan/KnownFailures.ts"
import { type OpenSocket, play } from "./RawExchange.ts"
import type { Report } from "../fault/Report.ts"
import * as Runner from "../client/Runner.ts"
import * as Script from "../fault/Script.ts"
import * as ServerAnswer from "./ServerAnswer.ts"
import type { Exchange, Profile, ServerCapability, ServerCase, ServerExpectation, ServerRequest } from "./ServerCase.ts"
import { profiles } from "./ServerCases.ts"
import { type Exchanged, judge } from "./ServerJudge.ts"

/**
 * The server under test.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target {
  readonly name: string
  /** An origin, which the profile's path is put behind, or an address that ends in a version, as `/api/v3` or `/v1`. */
  readonly baseUrl: string
  /** The model that is asked; what it says does not matter. */
  readonly model: string
  readonly profile: Profile
  readonly apiKey?: string | undefined
  /** Headers of every request that a case does not set itself, as a proxy before the server may ask for. Their values are secrets. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** What it can do beside what its profile declares, and what of that it cannot. */
  readonly declares?: ReadonlyArray<ServerCapability> | undefined
  readonly lacks?: ReadonlyArray<ServerCapability> | undefined
  /** A model that exists and that the key may not use. */
  readonly forbiddenModel?: string | undefined
  /** The largest request body taken, in bytes. */
  readonly maxBodyBytes?: number | undefined
  /** For gateways: a model whose upstream is the fault server of `controlUrl`, at `path` of its origin, and the key that it is asked with. */
  readonly upstream?:
    | { readonly controlUrl: string; readonly path: string; readonly model: string; readonly apiKey?: string | undefined }
    | undefined
  /** How many answers are being generated. */
  readonly running?: (() => Promise<number>) | undefined
  readonly openSocket?: OpenSocket | undefined
}

/**
 * Options of a run. `timeLimitMs` is the time limit of one exchange. `jobs` is how many cases `ServerSuite.runAll` runs at once;
 * defaults to 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment {
  readonly known?: ReadonlyArray<KnownFailures.KnownFailure> | undefined
  readonly timeLimitMs?: number | undefined
  readonly jobs?: number | undefined
}

/**
 * How long a server has for one exchange where nothing else is said, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export const defaultTimeLimitMs = 30_000

/**
 * What a target is taken to be able to do.
 *
 * @category getters
 * @since 0.1.0
 */
export const capabilities = (target: Target): ReadonlySet<ServerCapability> => {
  const given: ReadonlyArray<readonly [ServerCapability, unknown]> = [
    ["key", target.apiKey],
    ["forbidden-model", target.forbiddenModel],
    ["body-limit", target.maxBodyBytes],
    ["upstream", target.upstream],
    ["running-count", target.running],
    ["sockets", target.openSocket]
  ]
  const declared = new Set([...profiles[target.profile].capabilities, ...(target.declares ?? [])])
  for (const [name, value] of given) if (value !== undefined) declared.add(name)
  for (const name of target.lacks ?? []) declared.delete(name)
  return declared
}

/**
 * Why a target need not pass a case; undefined when it must.
 *
 * @category getters
 * @since 0.1.0
 */
export const notApplicable = (item: ServerCase, target: Target): string | undefined => {
  const has = capabilities(target)
  const lacking = item.needs.filter((need) => !has.has(need))
  return lacking.length === 0 ? undefined : `needs ${lacking.join(", ")}`
}

/**
 * How many requests a case sends.
 *
 * @category getters
 * @since 0.1.0
 */
export const requests = (item: ServerCase): number =>
  item.exchanges.reduce((sum, exchange) => sum + ("raw" in exchange ? exchange.raw.length : (exchange.times ?? 1)), 0)

/**
 * Where a target's endpoint is.
 *
 * @category getters
 * @since 0.1.0
 */
export const addressOf = (target: Target): { readonly origin: string; readonly base: string; readonly endpoint: string } => {
  const { origin, pathname } = new URL(target.baseUrl)
  const path = pathname.replace(/\/+$/, "")
  const base = /\/v\d+$/.test(path) ? path : path + profiles[target.profile].base
  return { origin, base, endpoint: `${base}/chat/completions` }
}

const encoder = new TextEncoder()

const bodyOf = (
  body: ServerRequest["body"],
  maxBodyBytes: number
): readonly [body: Uint8Array<ArrayBuffer> | FormData | undefined, type: string | undefined] => {
  const json = "application/json"
  if (body === undefined) return [undefined, undefined]
  if ("json" in body) {
    if (body.padTo === undefined) return [encoder.encode(JSON.stringify(body.json)), json]
    const padded = (padding: string) => encoder.encode(JSON.stringify({ ...(body.json as object), padding }))
    const room = maxBodyBytes + (body.padTo === "limit" ? 0 : 1) - padded("").length
    return [padded("x".repeat(Math.max(0, room))), json]
  }
  if ("utf8" in body) return [encoder.encode(body.utf8), json]
  if ("base64" in body) return [Uint8Array.from(atob(body.base64), (character) => character.charCodeAt(0)), json]
  if ("form" in body) {
    const form = new URLSearchParams(body.form.map(([name, value]) => [name, value]))
    return [encoder.encode(form.toString()), "application/x-www-form-urlencoded"]
  }
  const form = new FormData()
  for (const { fileName, name, value } of body.multipart) {
    if (fileName === undefined) form.append(name, value)
    else form.append(name, new Blob([value], { type: "text/plain" }), fileName)
  }
  // The boundary, and with it the type, is fetch's to say.
  return [form, undefined]
}

const reasonOf = (error: unknown): string => {
  const { cause, message } = error instanceof Error ? error : new Error(String(error))
  const code: unknown = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined
  const why = typeof code === "string" ? code : cause instanceof Error ? cause.message : undefined
  return why === undefined ? message : `${message} (${why})`
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const settle = async (count: () => Promise<number>, done: (running: number) => boolean, withinMs: number) => {
  const until = performance.now() + withinMs
  for (;;) {
    const running = await count()
    if (done(running) || performance.now() > until) return running
    await sleep(20)
  }
}

interface Sent {
  readonly answer?: ServerAnswer.Answer
  readonly problem?: string
  readonly during?: number
  readonly trace: ReadonlyArray<string>
}

const faultsOf = ({ controlUrl, path }: NonNullable<Target["upstream"]>) => controlUrl + path

type HttpExchange = Extract<Exchange, { readonly request: unknown }>

/** Sends one request, reads what comes, and leaves when it is told to. `idle` is how many answers were being generated before. */
const send = async (exchange: HttpExchange, target: Target, limitMs: number, idle: number): Promise<Sent> => {
  const { leave, request } = exchange
  const { endpoint, origin } = addressOf(target)
  const [body, type] = bodyOf(request.body, target.maxBodyBytes ?? 0)
  const headers = new Headers(target.headers)
  if (target.apiKey !== undefined) headers.set("authorization", `Bearer ${target.apiKey}`)
  if (type !== undefined) headers.set("content-type", type)
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (value === null) headers.delete(name)
    else headers.set(name, value)
  }
  const method = request.method ?? "POST"
  const size = body instanceof Uint8Array ? `${body.length} bytes` : body === undefined ? "no body" : "a form"
  const trace = [`> ${method} ${request.path ?? endpoint}, ${size}`]
  const aborter = new AbortController()
  let ending: "broken" | "left" = "broken"
  let during: number | undefined
  const exit = async () => {
    if (leave === "asked" && target.upstream !== undefined) await Runner.control(`${faultsOf(target.upstream)}/report?until=request`)
    if (target.running !== undefined && exchange.expect.running !== undefined) {
      during = (await settle(target.running, (running) => running > idle, 2000)) - idle
    }
    ending = "left"
    aborter.abort()
  }
  const start = performance.now()
  const now = () => Math.round(performance.now() - start)
  const timer = setTimeout(() => aborter.abort(), limitMs)
  const pieces: Array<Uint8Array> = []
  const reads: Array<readonly [number, number]> = []
  let head: { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly headAt: number } | undefined
  let failure: string | undefined
  let end: ServerAnswer.Answer["end"] = "whole"
  const leaving = typeof leave === "string" ? exit() : undefined
  try {
    const response = await fetch(origin + (request.path ?? endpoint), {
      method,
      headers,
      redirect: "manual",
      signal: aborter.signal,
      ...(body === undefined ? {} : { body })
    })
    head = { status: response.status, headers: Object.fromEntries(response.headers), headAt: now() }
    const reader = response.body?.getReader()
    let blank = 0
    let last = 0
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true as const, value: undefined }
      if (done) break
      pieces.push(value)
      reads.push([now(), value.length])
      for (const byte of value) {
        if (byte === 10 && last === 10) blank += 1
        last = byte
      }
      if (typeof leave === "object" && ending === "broken" && blank >= leave.events) await exit()
    }
  } catch (error) {
    end = ending
    if (ending === "broken") failure = aborter.signal.aborted ? `not done within ${limitMs} ms` : reasonOf(error)
  } finally {
    clearTimeout(timer)
  }
  await leaving
  const seen = during === undefined ? {} : { during }
  if (head === undefined) {
    trace.push(`< nothing after ${now()} ms: ${failure ?? "left"}`)
    return { ...seen, ...(failure === undefined ? {} : { problem: `no answer: ${failure}` }), trace }
  }
  const answer = ServerAnswer.make({ ...head, endAt: now(), reads, end, pieces })
  const shown = Object.entries(head.headers).map(([name, value]) => `${name}: ${value}`)
  trace.push(`< ${head.status} after ${head.headAt} ms, ${shown.join(", ")}`)
  const times = reads.length === 0 ? "" : ` in ${reads.length} reads from ${reads[0]?.[0] ?? 0} ms to ${reads.at(-1)?.[0] ?? 0} ms`
  trace.push(
    `< ${answer.bytes.length} bytes${times}, ${end === "whole" ? "whole" : (failure ?? end)} at ${answer.endAt} ms: ${answer.text.slice(0, 500)}`
  )
  // What broke off may be what the case is about; what never ended is not.
  return { answer, ...seen, ...(failure?.startsWith("not done") === true ? { problem: failure } : {}), trace }
}

const expectationOf = (exchange: Exchange, profile: Profile): ServerExpectation => ({ ...exchange.expect, ...exchange.expectIn?.[profile] })

const sendAll = async (exchange: HttpExchange, target: Target, limitMs: number): Promise<Exchanged & Pick<Sent, "trace">> => {
  const { expect, times = 1 } = exchange
  const counts = expect.running !== undefined && target.running !== undefined ? target.running : undefined
  const idle = (await counts?.()) ?? 0
  const copies = Array.from({ length: times }, (_, i) => Runner.fill(exchange, { n: String(i + 1) }))
  const sent = await Promise.all(copies.map((copy) => send(copy, target, limitMs, idle)))
  const atMost = expect.running?.atMost ?? 0
  const after =
    counts === undefined ? 0 : (await settle(counts, (running) => running - idle <= atMost, expect.running?.withinMs ?? 0)) - idle
  return {
    expect,
    answers: sent.flatMap(({ answer }) => answer ?? []),
    problems: sent.flatMap(({ problem }) => problem ?? []),
    trace: sent.flatMap(({ trace }) => trace),
    ...(counts === undefined ? {} : { running: { during: sent[0]?.during ?? 0, after } })
  }
}

const perform = async (exchange: Exchange, target: Target, limitMs: number): Promise<Exchanged & Pick<Sent, "trace">> => {
  const expect = expectationOf(exchange, target.profile)
  if ("request" in exchange) return await sendAll({ ...exchange, expect }, target, limitMs)
  const { openSocket } = target
  if (openSocket === undefined) throw new Error("there is no way to open a connection")
  const trace = exchange.raw.map((write) => `> ${"utf8" in write ? JSON.stringify(write.utf8) : write.head[0]}`)
  try {
    const answer = await play(exchange.raw, {
      open: openSocket,
      origin: new URL(addressOf(target).origin),
      wanted: expect.statuses?.length ?? 0,
      leave: exchange.leave === "written",
      signal: AbortSignal.timeout(limitMs)
    })
    trace.push(
      `< ${answer.bytes} bytes, ${answer.closed ? "closed" : "open"} at ${Math.round(answer.endAt)} ms: ${answer.text.slice(0, 500)}`
    )
    return { expect, answers: [], raw: answer, problems: [], trace }
  } catch (error) {
    return { expect, answers: [], problems: [`no connection: ${reasonOf(error)}`], trace }
  }
}

/** What the gateway's upstream saw, once its connections are closed where that is waited for. */
const upstreamReport = async (url: string, { closedWithinMs }: NonNullable<ServerExpectation["upstream"]>) => {
  const start = performance.now()
  const query = closedWithinMs === undefined ? "" : `?until=closed&waitMs=${closedWithinMs + 500}`
  const report = (await Runner.control(`${url}/report${query}`)) as Report
  return { report, closedMs: performance.now() - start }
}

const valuesOf = (target: Target) => ({
  ...addressOf(target),
  host: new URL(target.baseUrl).host,
  model: target.model,
  key: target.apiKey ?? "",
  wrongKey: `wrong-${Runner.randomHex(16)}`,
  forbiddenModel: target.forbiddenModel ?? "",
  faultModel: target.upstream?.model ?? "",
  nonce: Runner.randomHex(8),
  long: "x".repeat(300)
})

const attempt = async (template: ServerCase, target: Target, environment: Environment) => {
  const values = valuesOf(target)
  const item = Runner.fill(template, values)
  const secrets = (
    [
      [target.apiKey, "{{key}}"],
      [target.upstream?.apiKey, "{{upstreamKey}}"],
      [values.wrongKey, "{{wrongKey}}"],
      ...Object.entries(target.headers ?? {}).map(([name, value]) => [value, `{{${name}}}`] as const)
    ] as const
  ).flatMap(([secret, name]) => (secret === undefined || secret === "" ? [] : [[secret, name] as const]))
  const hide = (text: string) => secrets.reduce((hidden, [secret, name]) => hidden.replaceAll(secret, name), text)
  const limitMs = environment.timeLimitMs ?? defaultTimeLimitMs
  const url = target.upstream === undefined ? undefined : faultsOf(target.upstream)
  if (item.upstream !== undefined && url !== undefined) {
    const script: Script.Script = { attempts: item.upstream.map((steps) => steps.flatMap(Script.spellOut)), variant: {} }
    await Runner.control(url, { method: "PUT", body: JSON.stringify(script) })
  }
  const exchanged: Array<Exchanged> = []
  const trace: Array<string> = []
  try {
    for (const exchange of item.exchanges) {
      const { trace: lines, ...one } = await perform(exchange, target, limitMs)
      trace.push(...lines)
      const { upstream } = one.expect
      const wanted = item.upstream === undefined ? undefined : (upstream ?? {})
      exchanged.push(wanted === undefined || url === undefined ? one : { ...one, upstream: await upstreamReport(url, wanted) })
    }
    const ownCredential = capabilities(target).has("own-credential")
    const problems = judge(item, exchanged, { secrets, refusal: profiles[target.profile].refusal, ownCredential })
    return { problems: problems.map(hide), trace: trace.map(hide) }
  } catch (error) {
    const crash = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { problems: [hide(`crash: ${crash}`)], trace: trace.map(hide) }
  } finally {
    if (item.upstream !== undefined && url !== undefined) await Runner.control(url, { method: "DELETE" })
  }
}

/**
 * Runs one case against a server.
 *
 * @category running
 * @since 0.1.0
 */
export const run = async (item: ServerCase, target: Target, environment: Environment = {}): Promise<Runner.Result> => {
  const reason = notApplicable(item, target)
  if (reason !== undefined) return { id: item.id, verdict: "n/a", problems: [reason], trace: [], durationMs: 0 }
  const start = performance.now()
  const found = await attempt(item, target, environment)
  const known = KnownFailures.find(environment.known ?? [], item, new Date())
  return Runner.judged({ id: item.id, ...found, durationMs: performance.now() - start }, known)
}

/**
 * Asks for one completion of one token. Returns what came in place of one: no server, an error, or a body that is no completion.
 *
 * @category running
 * @since 0.1.0
 */
export const probe = async (target: Target, timeLimitMs: number = defaultTimeLimitMs): Promise<string | undefined> => {
  const json = { model: target.model, messages: [{ role: "user", content: "Hi" }], max_tokens: 1 }
  const { answer, problem } = await send({ request: { body: { json } }, expect: {} }, target, timeLimitMs, 0)
  if (answer === undefined || problem !== undefined) return problem ?? "no answer"
  if (answer.status === 200 && ServerAnswer.choices(answer.json).length > 0) return undefined
  const secrets = [target.apiKey, ...Object.values(target.headers ?? {})].filter((secret) => secret !== undefined && secret !== "")
  const text = secrets.reduce<string>((hidden, secret) => hidden.replaceAll(secret ?? "", "…"), answer.text)
  return `status ${answer.status}, ${text === "" ? "and no body" : text.slice(0, 500)}`
}
