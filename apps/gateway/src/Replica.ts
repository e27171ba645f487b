/**
 * One model server: its connections, the requests in flight, and its health. Active probes and the failures of requests both count.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Agent } from "undici"

/** How a model server is reached. */
export interface ReplicaTarget {
  /** Ends in `/chat/completions`. */
  readonly url: URL
  /** The model's name there. */
  readonly model: string
  readonly apiKey: Redacted.Redacted | undefined
  /** Share of the requests in relation to other replicas. */
  readonly weight: number
  /** Maximum number of requests in flight; `undefined` for no limit. */
  readonly maxConcurrent: number | undefined
}

/** Settings of the active probes. */
export interface HealthOptions {
  /** Path of the probe at the origin of the replica; `undefined` for no probes. */
  readonly path: string | undefined
  /** Time between probes, in milliseconds. */
  readonly interval: number
}

// A load report is used for this time, in milliseconds.
const reportLife = 5000

// A report in either format of ORCA, for example `TEXT named_metrics.num_requests_waiting=2.0, named_metrics.kv_cache_usage_perc=0.5`.
const metricOf = (report: string, name: string): number => {
  const [, digits] = new RegExp(`${name}"?\\s*[=:]\\s*(\\d{1,9}(?:\\.\\d{1,9})?)`).exec(report) ?? []
  return digits === undefined ? 0 : Number(digits)
}

// After so many failures in a row a replica is ejected, first for `ejection` milliseconds, then for twice as long each time.
const maxFailures = 3
const ejection = 5000
const maxEjection = 60_000
const trial = 5000
const probeTimeout = 2000
// A single failed probe may be chance.
const maxFailedProbes = 2

/** The connections to one origin, and its health, which all models share that are served there. */
export class Replica {
  readonly origin: string
  readonly dispatcher: Agent
  /** Number of requests in flight. */
  inFlight = 0
  // Requests that wait at the replica, of every client of it, and the share of its cache that is in use.
  #report: { readonly at: number; readonly waiting: number; readonly cacheUsage: number } | undefined
  #failures = 0
  #ejections = 0
  #ejectedUntil = 0
  #failedProbes = 0
  readonly #now: () => number

  constructor(origin: string, connectTimeout: number, now: () => number = () => performance.now()) {
    this.origin = origin
    this.#now = now
    // vLLM closes an idle connection after 5 seconds. A connection is given up before, or a request would meet its end. The times of a response
    // are limited by UpstreamCall.
    this.dispatcher = new Agent({
      connect: { timeout: connectTimeout },
      keepAliveTimeout: 4000,
      keepAliveMaxTimeout: 4000,
      headersTimeout: 0,
      bodyTimeout: 0,
      pipelining: 1
    })
  }

  /** Whether requests are sent to it. After an ejection one request tries it. */
  get isHealthy(): boolean {
    if (this.#failedProbes >= maxFailedProbes) return false
    if (this.#ejections === 0) return true
    return this.#now() >= this.#ejectedUntil
  }

  /**
   * Load of the replica, for a comparison: the requests in flight, and, if it reports them, those that wait there for any client. A full cache doubles
   * it, because the next request would wait.
   */
  get load(): number {
    const report = this.#report
    if (report === undefined || this.#now() - report.at > reportLife) return this.inFlight + 1
    return (this.inFlight + 1 + report.waiting) * (1 + Math.min(report.cacheUsage, 1))
  }

  /** Takes the load report of a response (ORCA), if there is one. */
  reported(report: string | undefined): void {
    if (report === undefined) return
    const waiting = metricOf(report, "num_requests_waiting")
    this.#report = { at: this.#now(), waiting, cacheUsage: metricOf(report, "kv_cache_usage_perc") }
  }

  /** Counts a request in flight. The first one after an ejection is a trial: others wait for its end. */
  begin(): void {
    this.inFlight++
    if (this.#ejections > 0) this.#ejectedUntil = this.#now() + trial
  }

  /** Counts a request that the replica answered. */
  succeeded(): void {
    this.#failures = 0
    this.#ejections = 0
  }

  /** Counts a request that failed through the fault of the replica. */
  failed(): void {
    this.#failures++
    if (this.#failures < maxFailures && this.#ejections === 0) return
    this.#failures = 0
    this.#ejectedUntil = this.#now() + Math.min(ejection * 2 ** this.#ejections, maxEjection)
    this.#ejections++
  }

  /** Counts a probe. Returns whether the health changed. */
  probed(isAlive: boolean): boolean {
    const before = this.#failedProbes >= maxFailedProbes
    this.#failedProbes = isAlive ? 0 : this.#failedProbes + 1
    return before !== this.#failedProbes >= maxFailedProbes
  }
}

const statusOf = (replica: Replica, path: string, apiKey: Redacted.Redacted | undefined) =>
  Effect.callback<number>((resume) => {
    const headers = apiKey === undefined ? {} : { authorization: `Bearer ${Redacted.value(apiKey)}` }
    const end = (status: number) => resume(Effect.succeed(status))
    let abort: (() => void) | undefined
    replica.dispatcher.dispatch(
      { origin: replica.origin, path, method: "GET", headers },
      {
        onRequestStart: (controller) => void (abort = () => controller.abort(new Error("The probe was ended"))),
        onResponseStart: (_, status) => status >= 200 && end(status),
        onResponseData: () => undefined,
        onResponseEnd: () => undefined,
        onResponseError: () => end(0)
      }
    )
    return Effect.sync(() => abort?.())
  })

/** Probes a replica until the scope ends. A replica without the probe's path is alive if it answers. */
export const probe = (
  replica: Replica,
  apiKey: Redacted.Redacted | undefined,
  { interval, path }: HealthOptions
): Effect.Effect<void, never, Scope.Scope> => {
  if (path === undefined) return Effect.void
  const once = statusOf(replica, path, apiKey).pipe(
    Effect.timeoutOrElse({ duration: probeTimeout, orElse: () => Effect.succeed(0) }),
    Effect.flatMap((status) => {
      const isAlive = status > 0 && status < 500
      if (!replica.probed(isAlive)) return Effect.void
      return isAlive
        ? Effect.logInfo(`${replica.origin} answers again`)
        : Effect.logWarning(`${replica.origin} is not healthy (${status === 0 ? "no answer" : `status ${status}`})`)
    })
  )
  return Effect.asVoid(Effect.forkScoped(Effect.repeat(once, Schedule.spaced(interval))))
}
