/**
 * The server of a simulator on `node:http`: who asks for what, what it meets on its way, and what is written down about it.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { codec } from "./Answer.ts"
import * as Control from "./Control.ts"
import { type Call, type Endpoint, endpoints, type Served } from "./Endpoints.ts"
import * as ErrorReply from "./ErrorReply.ts"
import { Exchange, type ExchangeHost, type Rendering } from "./Exchange.ts"
import { type Fault, faultHeader, Faults, placeOf } from "./Faults.ts"
import { type Entry, Ledger, Recording } from "./Ledger.ts"
import { Lifecycle, type Phase } from "./Lifecycle.ts"
import { type Gauges, loadReport, Metrics } from "./Metrics.ts"
import { bodyOf, header, type Headers, send } from "./NodeExchange.ts"
import type { Profile } from "./Profile.ts"
import { type RecordedExchange, requestOf } from "./RecordedExchange.ts"
import { Recorded, Replay, usageOf } from "./Replay.ts"
import { machineTimer as timer, Scheduler } from "./Scheduler.ts"
import { change, type Settings } from "./SimulatorConfig.ts"

/**
 * What stays as it is while a simulator runs.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServerOptions {
  /** Address to listen on. Defaults to `127.0.0.1`. */
  readonly host?: string | undefined
  /** Port to listen on. Defaults to 0, any free one. */
  readonly port?: number | undefined
  /** The models served; the first is the default. Defaults to `alfred-4.2`. */
  readonly models?: ReadonlyArray<string> | undefined
  /** The server to imitate, as `vllm-0.32` or `vllm-0.32-reasoning`. Defaults to `vllm-0.32`. */
  readonly profile?: string | undefined
  /** Paths under `/v1` and `/inference` want it as bearer token. Defaults to none. */
  readonly apiKey?: string | Redacted.Redacted | undefined
  /** Prompt and answer together, in tokens. Defaults to 32768. */
  readonly maxModelLen?: number | undefined
  /** Whether the model reads images. Defaults to false. */
  readonly images?: boolean | undefined
  /** Whether there are `/render`, `/inference/v1/generate` and `/derender`. Defaults to false. */
  readonly scaleOut?: boolean | undefined
  /** A recording: sets the mode to `replay`, unless it is given. Defaults to none. */
  readonly replay?: ReadonlyArray<RecordedExchange> | undefined
  /** Called for each request that made tokens or was to make some, when it is over. */
  readonly onRequest?: ((entry: Entry) => void) | undefined
}

const guarded = /^\/(v1|v2|inference)/

const jsonType = { "content-type": "application/json" }

const busy = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."

// An id goes to a header and to the log of a terminal: one that is unfit for them is not taken.
const usable = (id: string | undefined) => (id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : undefined)

// A path that only a recording knows.
const recordedOnly: Endpoint = { generates: false, answer: () => Result.fail({ kind: "detail", status: 404, detail: "Not Found" }) }

const html =
  "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"

/**
 * The server behind a `Simulator`.
 *
 * @category models
 * @since 0.1.0
 */
export class ModelServer {
  settings: Settings
  readonly ledger = new Ledger()
  readonly #served: Omit<Served, "mode" | "script" | "seed">
  readonly #key: string | undefined
  readonly #endpoints: ReturnType<typeof endpoints>
  readonly #metrics: Metrics
  readonly #recorded: Recorded
  readonly #faults = new Faults(() => this.settings)
  readonly #scheduler = new Scheduler(timer, () => this.settings)
  readonly #server: Server
  readonly #lifecycle: Lifecycle
  readonly #host: string
  readonly #onRequest: ((entry: Entry) => void) | undefined
  #port: number
  #isOpen = false
  #cancelKeepAlive: (() => void) | undefined
  #cancelReturn: (() => void) | undefined

  constructor(options: ServerOptions, profile: Profile, settings: Settings) {
    this.settings = settings
    const models = options.models ?? ["alfred-4.2"]
    const { apiKey, images = false, maxModelLen = 32_768, scaleOut = false } = options
    this.#served = { profile, codec, maxModelLen, models, images, scaleOut }
    this.#key = typeof apiKey === "object" ? Redacted.value(apiKey) : apiKey
    this.#endpoints = endpoints(scaleOut)
    this.#metrics = new Metrics(models[0] ?? "")
    this.#recorded = new Recorded(options.replay ?? [])
    this.#host = options.host ?? "127.0.0.1"
    this.#port = options.port ?? 0
    this.#onRequest = options.onRequest
    this.#server = createServer({ keepAliveTimeout: 0, noDelay: true }, (request, response) => void this.#handle(request, response))
    this.#lifecycle = new Lifecycle({
      timer,
      open: () => (this.#isOpen ? Promise.resolve() : this.open()),
      close: () => this.#stopListening(),
      sever: () => this.#server.closeAllConnections(),
      engineDeath: ErrorReply.engineDeath(profile),
      deathDelay: () => this.settings.deathDelay
    })
  }

  get url(): string {
    return `http://${this.#host.includes(":") ? `[${this.#host}]` : this.#host}:${this.#port}`
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject)
      // Thousands of clients may come at once.
      this.#server.listen({ port: this.#port, host: this.#host, backlog: 4096 }, () => {
        this.#server.removeListener("error", reject)
        this.#port = (this.#server.address() as AddressInfo).port
        this.#isOpen = true
        this.#keepAlive()
        resolve()
      })
    })
  }

  async close(): Promise<void> {
    this.#cancelReturn?.()
    const gone = this.#gone()
    this.#stopListening()
    for (const exchange of this.#lifecycle.exchanges) exchange.kill()
    this.#server.closeAllConnections()
    await gone
  }

  async stop(timeout: number): Promise<void> {
    this.#cancelReturn?.()
    const gone = this.#gone()
    void this.#lifecycle.to(timeout > 0 ? "draining" : "stopping")
    // What clients do not read must not keep the server.
    const cancel = timer.after(timeout + 1000, () => void this.close())
    await gone
    cancel()
  }

  #gone(): Promise<void> {
    return this.#server.listening || this.#isOpen
      ? new Promise((resolve) => void this.#server.once("close", () => resolve()))
      : new Promise((resolve) => void this.#server.close(() => resolve()))
  }

  change(changes: unknown): Result.Result<Settings, string> {
    return Result.map(change(this.settings, changes), (settings) => {
      if (settings.phase !== this.settings.phase) this.#cancelReturn?.()
      this.settings = settings
      this.#scheduler.settingsChanged()
      this.#keepAlive()
      // Its port may have been taken while it was gone.
      this.#lifecycle.to(settings.phase).catch(() => void this.change({ phase: "killed" }))
      return settings
    })
  }

  #toPhase(phase: Phase, returnsAfter: number | undefined): void {
    this.change({ phase })
    this.#cancelReturn = returnsAfter === undefined ? undefined : timer.after(returnsAfter, () => void this.change({ phase: "running" }))
  }

  #stopListening(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#cancelKeepAlive?.()
    this.#server.close()
    this.#server.closeIdleConnections()
  }

  // One timer for all streams: the comment comes at most a quarter of the interval late.
  #keepAlive(): void {
    this.#cancelKeepAlive?.()
    this.#cancelKeepAlive = undefined
    const { keepAlive } = this.settings
    if (keepAlive === 0 || !this.#isOpen) return
    this.#cancelKeepAlive = timer.after(Math.max(1, keepAlive / 4), () => {
      const now = timer.now()
      for (const exchange of this.#lifecycle.exchanges) exchange.keepAlive(now, keepAlive)
      this.#keepAlive()
    })
  }

  get #gauges(): Gauges {
    let cached = 0
    for (const exchange of this.#lifecycle.exchanges) cached += exchange.cached
    return {
      running: this.#scheduler.running,
      waiting: this.#scheduler.waiting,
      cacheUsage: Math.min(1, cached / this.settings.cacheTokens)
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/"
    response.on("error", () => undefined)
    response.once("finish", () => {
      // A server that is going closes each connection after its response.
      if (!this.#isOpen) request.socket.end()
    })
    if (path.startsWith("/__")) return Control.answer(this, path, request, response)
    const origin = request.headers.origin === undefined ? {} : { "access-control-allow-origin": "*", "access-control-expose-headers": "*" }
    const requestId = usable(header(request, "x-request-id"))
    const headers = {
      ...this.#served.profile.headers,
      ...origin,
      ...(this.settings.requestIdHeaders ? { "x-request-id": requestId ?? crypto.randomUUID().replaceAll("-", "") } : {})
    }
    if (request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined) {
      const allowed = {
        "access-control-allow-methods": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
        "access-control-allow-headers": header(request, "access-control-request-headers") ?? "*",
        "access-control-max-age": "600"
      }
      return send(response, 200, { "content-type": "text/plain; charset=utf-8", ...headers, ...allowed }, "OK")
    }
    if (guarded.test(path) && !this.#isAuthorized(request)) {
      this.#refuse(response, { kind: "unauthorized" }, { ...headers, vary: undefined })
      return
    }
    if (path === "/health") return this.#health(response, headers)
    if (path === "/metrics") {
      return send(response, 200, { "content-type": "text/plain; version=1.0.0; charset=utf-8", ...headers }, this.#metricsText())
    }
    const methods = this.#endpoints[path]
    const endpoint = methods?.[request.method ?? "GET"] ?? (this.settings.mode === "replay" ? recordedOnly : undefined)
    if (endpoint === undefined) {
      request.resume()
      const refusal: ErrorReply.Refusal =
        methods === undefined
          ? { kind: "detail", status: 404, detail: "Not Found" }
          : { kind: "detail", status: 405, detail: "Method Not Allowed", headers: { allow: Object.keys(methods).join(", ") } }
      this.#refuse(response, refusal, headers)
      return
    }
    return this.#serve(endpoint, path, request, response, headers, requestId)
  }

  async #serve(
    endpoint: Endpoint,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    headers: Headers,
    requestId: string | undefined
  ): Promise<void> {
    const faultOf = this.#faults.next(path, endpoint.generates, header(request, faultHeader))
    const bytes = await bodyOf(request)
    const startedAt = Date.now()
    const call: Call = { bytes: bytes ?? new Uint8Array(), contentType: request.headers["content-type"], requestId, now: startedAt }
    const record = endpoint.generates ? new Recording(this.ledger, this.#onRequest, { path, startedAt, id: requestId ?? "" }) : undefined
    const refuse = (refusal: ErrorReply.Refusal, more: Headers = headers, fault?: Fault) => {
      const status = this.#refuse(response, refusal, more)
      record?.end(
        { outcome: fault === undefined ? "rejected" : "failed", status, completionTokens: 0, finishes: [], timeToFirstToken: null },
        fault?.kind ?? null
      )
    }
    if (Result.isFailure(faultOf)) return refuse(ErrorReply.badRequest(faultOf.failure))
    const fault = faultOf.success
    if (bytes === undefined) return refuse({ kind: "own", status: 413, type: "Content Too Large", message: "The body is too large." })
    if (fault?.kind === "status") {
      const retryAfter = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) }
      const refusal = ErrorReply.ofStatus(fault.status, fault.message ?? "The simulator was asked for this error.")
      return refuse(refusal, { ...headers, ...retryAfter, ...fault.headers }, fault)
    }
    if (fault?.kind === "html") {
      const status = fault.status ?? 502
      send(response, status, { "content-type": "text/html", ...headers, ...fault.headers }, html)
      return record?.end({ outcome: "failed", status, completionTokens: 0, finishes: [], timeToFirstToken: null }, fault.kind)
    }
    const down = endpoint.generates ? this.#lifecycle.refusal : undefined
    if (down !== undefined) return refuse(down, this.#lifecycle.phase === "engineDead" ? headers : { ...headers, vary: undefined })
    const { mode, script, seed } = this.settings
    if (mode === "replay") {
      const method = request.method ?? "GET"
      const found = this.#recorded.find(method, path, requestOf(bytes))
      if (Result.isSuccess(found)) return this.#replay(found.success, response, headers, record)
      if (endpoint.generates || endpoint === recordedOnly) {
        return refuse(ErrorReply.ofStatus(404, found.failure))
      }
    }
    const outcome = endpoint.answer(call, { ...this.#served, mode, script, seed })
    if (Result.isFailure(outcome)) return refuse(outcome.failure)
    const answer = outcome.success
    if (typeof answer === "string" || record === undefined) {
      return send(response, 200, { ...jsonType, ...headers }, typeof answer === "string" ? answer : answer.whole())
    }
    const format = this.#served.profile.reportsLoad ? header(request, "endpoint-load-metrics-format") : undefined
    const report = loadReport(format, this.#gauges)
    const planned = answer.tokens.reduce((sum, tokens) => sum + tokens, 0)
    const place = placeOf(fault, planned, () => `${seed} ${String(bytes)}`)
    const exchange = this.#exchange(answer, response, headers, report, record, fault, place)
    if (exchange.begin()) return
    this.#lifecycle.left(exchange)
    this.#metrics.rejected()
    refuse(ErrorReply.ofStatus(503, busy))
  }

  #exchange(
    answer: Rendering,
    response: ServerResponse,
    headers: Headers,
    report: string | undefined,
    record: Recording,
    fault: Fault | undefined,
    strikesAt: number | undefined
  ): Exchange {
    const { profile } = this.#served
    const host: ExchangeHost = {
      timer,
      scheduler: this.#scheduler,
      headers,
      wholeHeaders: () => (report === undefined ? {} : { "endpoint-load-metrics": report }),
      errorEvents: (refusal) => ErrorReply.events(refusal, profile),
      errorReply: (refusal) => ErrorReply.reply(refusal, profile),
      onStart: () => this.#metrics.started(answer.promptTokens, timer.now() - record.begunAt),
      onPhase: (phase, returnsAfter) => this.#toPhase(phase, returnsAfter),
      onToken: (tokens, sinceLast) => this.#metrics.token(tokens, sinceLast),
      onEnd: (end) => {
        this.#lifecycle.left(exchange)
        if (exchange.isStarted) {
          this.#metrics.ended(end.finishes, end.completionTokens, end.timeToFirstToken, timer.now() - record.begunAt)
        }
        const { id, model, promptTokens, stream } = answer
        record.end(end, fault?.kind ?? null, { id, model, stream, promptTokens, plannedTokens: exchange.planned })
      }
    }
    const exchange = new Exchange(host, response, answer, fault, strikesAt)
    this.#lifecycle.entered(exchange)
    return exchange
  }

  #replay(recorded: RecordedExchange, response: ServerResponse, headers: Headers, record: Recording | undefined): void {
    const { completion, prompt } = usageOf(recorded)
    const replay = new Replay(timer, response, recorded, this.settings.replaySpeed, (end) => {
      this.#lifecycle.left(replay)
      const completionTokens = end.outcome === "finished" ? completion : 0
      record?.end({ ...end, completionTokens, finishes: [] }, null, { promptTokens: prompt, plannedTokens: completion })
    })
    this.#lifecycle.entered(replay)
    // The headers of the profile are those of another server.
    const { profile } = this.#served
    replay.begin(Object.fromEntries(Object.entries(headers).filter(([name]) => !(name in profile.headers))))
  }

  #isAuthorized(request: IncomingMessage): boolean {
    return this.#key === undefined || /^bearer (.*)$/i.exec(request.headers.authorization ?? "")?.[1] === this.#key
  }

  #refuse(response: ServerResponse, refusal: ErrorReply.Refusal, headers: Headers): number {
    const reply = ErrorReply.reply(refusal, this.#served.profile)
    send(response, reply.status, { ...headers, ...reply.headers }, reply.body)
    return reply.status
  }

  #health(response: ServerResponse, headers: Headers): void {
    // Older versions tell of a dead engine here.
    const isSick = this.#lifecycle.phase === "engineDead" && this.#isOld
    send(response, isSick ? 503 : 200, headers, "")
  }

  get #isOld(): boolean {
    return /^0\.([89]|1\d)\./.test(this.#served.profile.version)
  }

  #metricsText(): string {
    const isOld = /^0\.[89]\./.test(this.#served.profile.version)
    return this.#metrics.text(this.#gauges, {
      cacheUsage: isOld ? "gpu_cache_usage_perc" : "kv_cache_usage_perc",
      interToken: isOld ? "time_per_output_token_seconds" : "inter_token_latency_seconds"
    })
  }
}
