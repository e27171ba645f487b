/**
 * The gateway's metrics, in Prometheus' text format, with names of the OpenTelemetry conventions. No label has a value that a caller chose.
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type { TokenCounts } from "./EventTail.ts"
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
  readonly seconds: number
  readonly secondsToFirst: number | undefined
}

const boundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]

type Attributes = Readonly<Record<string, string>>

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
  ended({ attempts, model, outcome, seconds, secondsToFirst, status, stream, usage }: Ended): void {
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
    if (usage === undefined) return
    const tokens = (type: string, amount: number) =>
      this.#count("gen_ai.server.usage.tokens", "Tokens", { ...labels, "gen_ai.token.type": type }, amount)
    tokens("input", usage.prompt)
    tokens("output", usage.completion)
  }

  /** All metrics as text. */
  text(registry: Registry, droppedLines: number): string {
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
