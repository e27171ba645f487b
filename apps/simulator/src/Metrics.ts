/**
 * `/metrics` with vLLM's names, in the text format of Prometheus.
 *
 * @since 0.1.0
 */

/** Counts values by upper bounds. */
class Histogram {
  readonly #bounds: ReadonlyArray<number>
  readonly #counts: Array<number>
  #sum = 0
  #count = 0

  constructor(bounds: ReadonlyArray<number>) {
    this.#bounds = bounds
    this.#counts = bounds.map(() => 0)
  }

  observe(value: number, times = 1): void {
    this.#sum += value * times
    this.#count += times
    const at = this.#bounds.findIndex((bound) => value <= bound)
    if (at !== -1) this.#counts[at] = (this.#counts[at] ?? 0) + times
  }

  *lines(name: string, labels: string): Generator<string> {
    let below = 0
    for (const [at, bound] of this.#bounds.entries()) {
      below += this.#counts[at] ?? 0
      yield `${name}_bucket{${labels},le="${float(bound)}"} ${float(below)}`
    }
    yield `${name}_bucket{${labels},le="+Inf"} ${float(this.#count)}`
    yield `${name}_count{${labels}} ${float(this.#count)}`
    yield `${name}_sum{${labels}} ${float(this.#sum)}`
  }
}

// As Python writes a float.
const float = (value: number) => (Number.isInteger(value) ? `${value}.0` : String(value))

const firstTokenBounds = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560]
const tokenBounds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]
const requestBounds = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680]
const lengthBounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000]

/**
 * Names that changed from version to version.
 *
 * @category models
 * @since 0.1.0
 */
export interface MetricNames {
  /** `kv_cache_usage_perc`, or `gpu_cache_usage_perc` of older versions. */
  readonly cacheUsage: string
  /** `inter_token_latency_seconds`, or `time_per_output_token_seconds` of older versions. */
  readonly interToken: string
}

/**
 * Gauges, which are read when they are asked for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gauges {
  readonly running: number
  readonly waiting: number
  /** Share of the cache that is in use, from 0 to 1. */
  readonly cacheUsage: number
}

/**
 * Counters and histograms of one server.
 *
 * @category models
 * @since 0.1.0
 */
export class Metrics {
  readonly #model: string
  #promptTokens = 0
  #generatedTokens = 0
  #rejected = 0
  readonly #finished = new Map<string, number>(["stop", "length", "abort", "error", "repetition"].map((reason) => [reason, 0]))
  readonly #firstToken = new Histogram(firstTokenBounds)
  readonly #interToken = new Histogram(tokenBounds)
  readonly #request = new Histogram(requestBounds)
  readonly #queue = new Histogram(requestBounds)
  readonly #promptLength = new Histogram(lengthBounds)
  readonly #answerLength = new Histogram(lengthBounds)

  constructor(model: string) {
    this.#model = model
  }

  /** A request left the queue. Times are in milliseconds. */
  started(promptTokens: number, waited: number): void {
    this.#promptTokens += promptTokens
    this.#promptLength.observe(promptTokens)
    this.#queue.observe(waited / 1000)
  }

  /** Tokens were made. */
  token(tokens: number, sinceLast: number | undefined): void {
    this.#generatedTokens += tokens
    if (sinceLast !== undefined) this.#interToken.observe(sinceLast / 1000)
  }

  /** A request that had started is over. */
  ended(finishes: ReadonlyArray<string>, tokens: number, timeToFirstToken: number | null, duration: number): void {
    for (const finish of finishes) {
      const reason = finish === "tool_calls" ? "stop" : finish
      this.#finished.set(reason, (this.#finished.get(reason) ?? 0) + 1)
    }
    if (timeToFirstToken !== null) this.#firstToken.observe(timeToFirstToken / 1000)
    this.#request.observe(duration / 1000)
    this.#answerLength.observe(tokens)
  }

  /** The queue was full. */
  rejected(): void {
    this.#rejected++
  }

  /** The body of `/metrics`. */
  text(gauges: Gauges, names: MetricNames): string {
    const model = `model_name="${this.#model.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`
    const labels = `engine="0",${model}`
    const lines: Array<string> = []
    const metric = (name: string, type: string, help: string, ...samples: ReadonlyArray<string>) => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
      for (const sample of samples) lines.push(sample)
    }
    const gauge = (name: string, help: string, value: number) => metric(name, "gauge", help, `${name}{${labels}} ${float(value)}`)
    const counter = (name: string, help: string, value: number) => metric(name, "counter", help, `${name}{${labels}} ${float(value)}`)
    const histogram = (name: string, help: string, values: Histogram) => metric(name, "histogram", help, ...values.lines(name, labels))
    gauge("vllm:num_requests_running", "Number of requests in model execution batches.", gauges.running)
    gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", gauges.waiting)
    gauge(`vllm:${names.cacheUsage}`, "KV-cache usage. 1 means 100 percent usage.", gauges.cacheUsage)
    counter("vllm:num_preemptions_total", "Cumulative number of preemptions from the engine.", 0)
    counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.", this.#promptTokens)
    counter("vllm:generation_tokens_total", "Number of generation tokens processed.", this.#generatedTokens)
    metric(
      "vllm:request_success_total",
      "counter",
      "Count of successfully processed requests.",
      ...Array.from(
        this.#finished,
        ([reason, count]) => `vllm:request_success_total{engine="0",finished_reason="${reason}",${model}} ${float(count)}`
      )
    )
    metric(
      "vllm:admission_rejections_total",
      "counter",
      "Count of requests rejected at admission.",
      `vllm:admission_rejections_total{${model},reason="max_num_queued_reqs"} ${float(this.#rejected)}`
    )
    histogram("vllm:request_prompt_tokens", "Number of prefill tokens processed.", this.#promptLength)
    histogram("vllm:request_generation_tokens", "Number of generation tokens processed.", this.#answerLength)
    histogram("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", this.#firstToken)
    histogram(`vllm:${names.interToken}`, "Histogram of inter-token latency in seconds.", this.#interToken)
    histogram("vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", this.#request)
    histogram("vllm:request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", this.#queue)
    return `${lines.join("\n")}\n`
  }
}

/**
 * The response header of a load report (ORCA) in the format that the request's `endpoint-load-metrics-format` names, or `undefined` for
 * any other format.
 *
 * @example
 * import * as Metrics from "./Metrics.ts"
 *
 * Metrics.loadReport("text", { running: 1, waiting: 0, cacheUsage: 0.5 })
 * // "TEXT named_metrics.num_requests_waiting=0.0, named_metrics.kv_cache_usage_perc=0.5"
 *
 * @category rendering
 * @since 0.1.0
 */
export const loadReport = (format: string | undefined, gauges: Gauges): string | undefined => {
  const waiting = float(gauges.waiting)
  const usage = float(gauges.cacheUsage)
  switch (format?.toLowerCase()) {
    case "text":
      return `TEXT named_metrics.num_requests_waiting=${waiting}, named_metrics.kv_cache_usage_perc=${usage}`
    case "json":
      return `JSON {"named_metrics": {"num_requests_waiting": ${waiting}, "kv_cache_usage_perc": ${usage}}}`
    default:
      return undefined
  }
}
