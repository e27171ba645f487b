/**
 * What happened to a request, from its arrival to its end: its log line and its metrics. The status does not tell the outcome: a stream of status
 * 200 can end in an error.
 */
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { hostname } from "node:os"
import type { TokenCounts } from "./TokenCounts.ts"
import type { Level } from "./Continuation.ts"
import type { GatewayMetrics } from "./GatewayMetrics.ts"
import type { LineWriter } from "./LineWriter.ts"
import { costOf, type Price } from "./limits/LimitRule.ts"
import type { UsageRecorder } from "./usage/UsageRecorder.ts"
import type { RequestTrace } from "./RequestTrace.ts"

/** How a request ended. */
export type Outcome =
  /** The response is complete. */
  | "ok"
  /** The gateway or the model server refused the request. */
  | "refused"
  /** The request failed before the response began. */
  | "failed"
  /** A stream ended with an error event of the model server. */
  | "in_band_error"
  /** The model server broke off or aborted a stream. The client got an error event. */
  | "truncated"
  /** The client left, or stopped reading. */
  | "client_left"
  /** The gateway ended the request because it stopped. */
  | "drained"
  /** The gateway ended the request because its key was revoked, disabled, or expired. */
  | "revoked"

/** Who pays for a request, and what. */
export interface Account {
  readonly keyId: string
  readonly teamId: string
  readonly modelId: string
  readonly endUser: string
  readonly price: Price | undefined
}

// Tells the gateways of an installation apart in the ledger.
const gatewayId = `${hostname()}:${process.pid}`

/** Where a record goes when it is closed. */
export interface RecordOptions {
  readonly writer: LineWriter
  readonly metrics: GatewayMetrics
  readonly recorder?: UsageRecorder | undefined
  readonly trace?: RequestTrace | undefined
}

/** One request. */
export class RequestRecord {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly #arrival = performance.now()
  readonly #startedAt = Date.now()
  readonly #writer: LineWriter
  readonly #metrics: GatewayMetrics
  readonly #recorder: UsageRecorder | undefined
  readonly #trace: RequestTrace | undefined
  #isClosed = false

  key: string | undefined = undefined
  /** Known when the request has a model. */
  account: Account | undefined = undefined
  /** Id of the request at the model server. */
  upstreamId = ""
  /** The model's configured name. Names of callers are not labels of metrics. */
  model: string | undefined = undefined
  stream = false
  /** The replicas that were tried, in order. */
  readonly replicas: Array<string> = []
  /** How the stream was carried on, each time another replica went on with it. */
  readonly carriedOn: Array<Level> = []
  /** Status that the model server answered. */
  upstreamStatus: number | undefined = undefined
  status = 0
  bytesIn = 0
  bytesOut = 0
  usage: TokenCounts | undefined = undefined
  /** Fields of the request that were removed. */
  ignored: ReadonlyArray<string> = []
  /** Why it failed, for the operator. */
  cause: string | undefined = undefined
  /** What the caller was told. */
  detail: string | undefined = undefined
  /** Names of the fields that were wrong. */
  fields: ReadonlyArray<string> = []
  /** Events whose data was not JSON. */
  malformed = 0
  #queuedAt: number | undefined
  #sentAt: number | undefined
  #firstAt: number | undefined

  constructor(id: string, method: string, path: string, { metrics, recorder, trace, writer }: RecordOptions) {
    this.id = id
    this.method = method
    this.path = path
    this.#writer = writer
    this.#metrics = metrics
    this.#recorder = recorder
    this.#trace = trace
    metrics.began()
  }

  /** Marks the beginning of the wait for a replica. */
  queued(): void {
    this.#queuedAt ??= performance.now()
  }

  /** Marks an attempt at a replica. Returns the headers of its trace. */
  sent(origin: string): Readonly<Record<string, string>> {
    this.#sentAt ??= performance.now()
    this.replicas.push(origin)
    return this.#trace?.attempt(origin) ?? {}
  }

  /** Marks the end of an attempt that failed. */
  lost(cause: string | undefined): void {
    this.#trace?.attemptEnded(cause ?? "failed", { "http.response.status_code": this.upstreamStatus })
  }

  /** Marks the first byte of the model server's answer. */
  first(): void {
    this.#firstAt ??= performance.now()
  }

  /** Closes the record, once. */
  close(outcome: Outcome): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const now = performance.now()
    const duration = now - this.#arrival
    const toFirst = this.#firstAt === undefined ? undefined : this.#firstAt - this.#arrival
    this.#metrics.ended({
      outcome,
      status: this.status,
      model: this.model,
      stream: this.stream,
      usage: this.usage,
      attempts: this.replicas.length,
      carriedOn: this.carriedOn,
      seconds: duration / 1000,
      secondsToFirst: toFirst === undefined ? undefined : toFirst / 1000
    })
    this.#recordUsage(outcome)
    this.#endTrace(outcome)
    this.#writer.write(
      JSON.stringify({
        time: new Date().toISOString(),
        level: /^(ok|refused|client_left|drained|revoked)$/.test(outcome) ? "INFO" : "WARN",
        message: "request",
        id: this.id,
        traceId: this.#trace?.traceId,
        spanId: this.#trace?.spanId,
        outcome,
        status: this.status,
        method: this.method,
        path: this.path,
        key: this.key,
        model: this.model,
        stream: this.stream || undefined,
        replicas: this.replicas.length === 0 ? undefined : this.replicas,
        carriedOn: this.carriedOn.length === 0 ? undefined : this.carriedOn,
        upstreamStatus: this.upstreamStatus,
        durationMs: Math.round(duration),
        queueMs: this.#queuedAt === undefined || this.#sentAt === undefined ? undefined : Math.round(this.#sentAt - this.#queuedAt),
        firstMs: toFirst === undefined ? undefined : Math.round(toFirst),
        bytesIn: this.bytesIn,
        bytesOut: this.bytesOut,
        usage: this.usage,
        ignored: this.ignored.length === 0 ? undefined : this.ignored,
        malformed: this.malformed || undefined,
        detail: this.detail,
        fields: this.fields.length === 0 ? undefined : this.fields,
        cause: this.cause
      })
    )
  }

  #recordUsage(outcome: Outcome): void {
    if (this.#recorder === undefined || this.account === undefined) return
    const { price, ...owner } = this.account
    const usage = this.usage ?? { prompt: 0, completion: 0, cached: 0, reasoning: 0 }
    this.#recorder.record({
      ...owner,
      ...usage,
      id: uuidV7Unsafe(),
      startedAt: this.#startedAt,
      endedAt: Date.now(),
      replicaId: this.replicas.at(-1) ?? "",
      gatewayId,
      clientId: this.id,
      upstreamId: this.upstreamId,
      status: this.status,
      outcome,
      attempts: this.replicas.length,
      usageSource: this.usage === undefined ? "none" : "reported",
      costPico: costOf(usage, price)
    })
  }

  #endTrace(outcome: Outcome): void {
    if (this.#trace === undefined) return
    const isFailure = outcome === "failed" || outcome === "in_band_error" || outcome === "truncated"
    const cause = isFailure ? (this.cause ?? outcome) : undefined
    const usage = { "gen_ai.usage.input_tokens": this.usage?.prompt, "gen_ai.usage.output_tokens": this.usage?.completion }
    this.#trace.attemptEnded(cause, { "http.response.status_code": this.upstreamStatus, ...usage })
    this.#trace.end(cause, {
      "http.request.method": this.method,
      "url.path": this.path,
      "http.response.status_code": this.status,
      "gen_ai.request.model": this.model,
      "paradigm.gateway.outcome": outcome,
      "paradigm.gateway.key": this.key,
      "paradigm.gateway.request_id": this.id,
      ...usage
    })
  }
}
