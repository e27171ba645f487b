/**
 * The gateway's metrics, in Prometheus' text format, with names of the OpenTelemetry conventions. No label has a value that a caller chose.
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type { LimitRule } from "./limits/LimitRule.ts"
import type { TokenCounts } from "./TokenCounts.ts"
import type { Registry } from "./Registry.ts"
import type { Outcome } from "./RequestRecord.ts"

/** A request that ended. */
export interface Ended {
  readonly outcome: Outcome
  readonly status: number
  readonly model: string | undefined
  readonly stream: boolean
  readonly usage: TokenCounts | undefined
  readonly attempts: number
  /** Levels at which the stream was carried on. */
  readonly carriedOn: ReadonlyArray<string>
  readonly seconds: number
  readonly secondsToFirst: number | undefined
}

const boundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]

type Attributes = Readonly<Record<string, string>>

const labelsOf = ({ kind, modelId = "", scope, scopeId }: LimitRule): Attributes => ({
  "limit.scope": scope,
  "limit.scope_id": scopeId,
  "limit.kind": kind,
  "gen_ai.request.model": modelId
})

/** What metrics are read from when they are asked for. */
export interface GatewayState {
  /** Time since the database of the control plane answered, in milliseconds. */
  readonly controlAge?: number | undefined
  /** `waiting`: bytes of events that are not in the database; `undefined` without a ledger. */
  readonly limits?: { readonly isDegraded: boolean; readonly waiting: number | undefined }
}

/** The metrics of one gateway. */
export class GatewayMetrics {
  // A registry of its own, so that two gateways in a process do not share series.
  readonly #context = Context.add(Context.empty(), Metric.MetricRegistry, new Map())
  // A metric is made once for each set of labels.
  readonly #counters = new Map<string, Metric.Counter<number>>()
  readonly #histograms = new Map<string, Metric.Histogram<number>>()
  #active = 0

  /** The series, for an exporter. */
  get registry(): (typeof Metric.MetricRegistry)["Service"] {
    return Context.get(this.#context, Metric.MetricRegistry)
  }

  /** Counts a request in flight. */
  began(): void {
    this.#active++
  }

  /** Counts a request that ended. */
  ended({ attempts, carriedOn, model, outcome, seconds, secondsToFirst, status, stream, usage }: Ended): void {
    this.#active--
    const labels = { "gen_ai.request.model": model ?? "" }
    const all = { ...labels, outcome, "http.response.status_code": String(status), stream: String(stream) }
    this.#observe("http.server.request.duration_seconds", "Duration of a request", all, seconds)
    if (secondsToFirst !== undefined) {
      this.#observe(
        "gen_ai.server.time_to_first_token_seconds",
        "Time from a request to the first byte of its answer",
        labels,
        secondsToFirst
      )
    }
    if (attempts > 1) this.#count("paradigm.gateway.failovers", "Attempts after the first", labels, attempts - 1)
    for (const level of carriedOn) {
      this.#count("paradigm.gateway.continuations", "Streams that another replica went on with", { ...labels, level }, 1)
    }
    if (usage === undefined) return
    const tokens = (type: string, amount: number) =>
      this.#count("gen_ai.server.usage.tokens", "Tokens", { ...labels, "gen_ai.token.type": type }, amount)
    tokens("input", usage.prompt)
    tokens("output", usage.completion)
  }

  /** Counts a request beyond a limit: refused, or reported alone. */
  limited(rule: LimitRule, mode: LimitRule["mode"]): void {
    this.#count("paradigm.gateway.limits.exceeded", "Requests beyond a limit", { ...labelsOf(rule), mode }, 1)
  }

  /** Counts that a limit reached a part of its amount. */
  threshold(rule: LimitRule, percent: number): void {
    const labels = { ...labelsOf(rule), percent: String(percent) }
    this.#count("paradigm.gateway.limits.thresholds", "Times that the use of a limit reached a part of it", labels, 1)
  }

  /** Counts events of the ledger that were lost. */
  lostUsage(reason: string): void {
    this.#count("paradigm.gateway.usage.lost", "Events that the usage ledger does not have", { reason }, 1)
  }

  /** All metrics as text. */
  text(registry: Registry, droppedLines: number, { controlAge, limits }: GatewayState = {}): string {
    if (controlAge !== undefined) {
      this.#gauge("paradigm.gateway.control.age_seconds", "Time since the database of the control plane answered", {}, controlAge / 1000)
    }
    if (limits !== undefined) {
      const { isDegraded, waiting } = limits
      this.#gauge(
        "paradigm.gateway.limits.degraded",
        "Whether Redis is away, so that limits are those of this gateway alone",
        {},
        isDegraded ? 1 : 0
      )
      if (waiting !== undefined) this.#gauge("paradigm.gateway.usage.waiting_bytes", "Events that are not in the database", {}, waiting)
    }
    this.#gauge("http.server.active_requests", "Requests in flight", {}, this.#active)
    this.#gauge("paradigm.gateway.log.dropped_lines", "Log lines that were not written", {}, droppedLines)
    for (const replica of registry.replicas) {
      const labels = { "server.address": replica.origin }
      this.#gauge("paradigm.gateway.replica.healthy", "Whether requests are sent to a replica", labels, replica.isHealthy ? 1 : 0)
      this.#gauge("paradigm.gateway.replica.active_requests", "Requests in flight at a replica", labels, replica.inFlight)
    }
    for (const { config, pool } of new Set(registry.snapshot.models.values())) {
      this.#gauge(
        "paradigm.gateway.queue.length",
        "Requests that wait for a replica",
        { "gen_ai.request.model": config.name },
        pool.waiting
      )
    }
    const { external, heapUsed, rss } = process.memoryUsage()
    this.#gauge("process.memory.usage_bytes", "Memory of the process", { type: "rss" }, rss)
    this.#gauge("process.memory.usage_bytes", "Memory of the process", { type: "heap" }, heapUsed)
    this.#gauge("process.memory.usage_bytes", "Memory of the process", { type: "external" }, external)
    return PrometheusMetrics.formatUnsafe(this.#context)
  }

  #count(id: string, description: string, attributes: Attributes, amount: number): void {
    const key = `${id} ${Object.values(attributes).join(" ")}`
    let metric = this.#counters.get(key)
    if (metric === undefined) {
      metric = Metric.counter(`${id}_total`, { description, attributes, incremental: true })
      this.#counters.set(key, metric)
    }
    metric.updateUnsafe(amount, this.#context)
  }

  #observe(id: string, description: string, attributes: Attributes, value: number): void {
    const key = `${id} ${Object.values(attributes).join(" ")}`
    let metric = this.#histograms.get(key)
    if (metric === undefined) {
      metric = Metric.histogram(id, { description, attributes, boundaries })
      this.#histograms.set(key, metric)
    }
    metric.updateUnsafe(value, this.#context)
  }

  #gauge(id: string, description: string, attributes: Attributes, value: number): void {
    Metric.gauge(id, { description, attributes }).updateUnsafe(value, this.#context)
  }
}
