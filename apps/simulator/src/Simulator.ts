/**
 * A model server without a model: it answers as a real one does, at the pace and with the failures that it is told.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { performance } from "node:perf_hooks"
import { codec } from "./Answer.ts"
import { type Call, type Endpoint, endpoints, type Served } from "./Endpoints.ts"
import * as ErrorReply from "./ErrorReply.ts"
import { Exchange, type ExchangeHost, type Rendering } from "./Exchange.ts"
import { type Fault, faultHeader, Faults } from "./Faults.ts"
import { type Entry, Ledger, type LedgerReport } from "./Ledger.ts"
import { Lifecycle } from "./Lifecycle.ts"
import { type Gauges, loadReport, Metrics } from "./Metrics.ts"
import type { Profile } from "./Profile.ts"
import { Scheduler, type Timer } from "./Scheduler.ts"
import { change, defaults, type Settings, type SettingsChanges } from "./SimulatorConfig.ts"
import { profiles } from "./VllmProfile.ts"

/**
 * Options of a simulator: what stays as it is while it runs, and its first settings.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends SettingsChanges {
  /** Address to listen on. Defaults to `127.0.0.1`. */
  readonly host?: string | undefined
  /** Port to listen on. Defaults to 0, any free one. */
  readonly port?: number | undefined
  /** The models served; the first is the default. Defaults to `alfred-4.2`. */
  readonly models?: ReadonlyArray<string> | undefined
  /** The server to imitate, as `vllm-0.32` or `vllm-0.32-reasoning`. Defaults to `vllm-0.32`. */
  readonly profile?: string | undefined
  /** Paths under `/v1` want it as bearer token. Defaults to none. */
  readonly apiKey?: string | Redacted.Redacted | undefined
  /** Prompt and answer together, in tokens. Defaults to 32768. */
  readonly maxModelLen?: number | undefined
  /** Whether the model reads images. Defaults to false. */
  readonly images?: boolean | undefined
  /** Whether there are `/render`, `/inference/v1/generate` and `/derender`. Defaults to false. */
  readonly scaleOut?: boolean | undefined
  /** Called for each request that made tokens or was to make some, when it is over. */
  readonly onRequest?: ((entry: Entry) => void) | undefined
}

/**
 * A simulator cannot start, or a setting is wrong. The message tells what to change.
 *
 * @category errors
 * @since 0.1.0
 */
export class SimulatorError extends Data.TaggedError("SimulatorError")<{
  readonly message: string
  /** The system's code if it cannot listen, as `EADDRINUSE`. */
  readonly code?: string | undefined
}> {}

/**
 * A running simulator. Ends with its scope where it is declared with `await using`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Simulator extends AsyncDisposable {
  /** Address without a path, as `http://127.0.0.1:8000`. */
  readonly url: string
  /** What it did so far. */
  readonly ledger: () => LedgerReport
  /** Changes the settings that are given, and returns all. Throws `SimulatorError` for a wrong one. */
  readonly config: (changes?: SettingsChanges) => Settings
  /**
   * Ends it as SIGTERM ends vLLM: answers that run end with `abort`; with a timeout, in milliseconds, they may end by themselves within
   * it, and new requests get a 500. Settles when its port is free.
   */
  readonly stop: (timeout?: number) => Promise<void>
  /** Ends it at once, whatever runs. Settles when its port is free. */
  readonly close: () => Promise<void>
}

const maxBodyBytes = 64 * 1024 * 1024

const timer: Timer = {
  now: () => performance.now(),
  after: (delay, run) => {
    if (delay > 0) {
      const timeout = setTimeout(run, delay)
      return () => clearTimeout(timeout)
    }
    const immediate = setImmediate(run)
    return () => clearImmediate(immediate)
  }
}

const guarded = /^\/(v1|v2|inference)/

const jsonType = { "content-type": "application/json" }

// Names of vLLM; other statuses have the name that HTTP gives them.
const errorTypes: Readonly<Record<number, string>> = {
  400: "BadRequestError",
  404: "NotFoundError",
  422: "UnprocessableEntityError",
  429: "Too Many Requests",
  500: "InternalServerError",
  503: "Service Unavailable"
}

const busy = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."

// An id goes to a header and to the log of a terminal: one that is unfit for them is not taken.
const usable = (id: string | undefined) => (id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : undefined)

const header = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

const bodyOf = (request: IncomingMessage): Promise<Buffer | undefined> =>
  new Promise((resolve) => {
    const parts: Array<Buffer> = []
    let size = 0
    request.on("data", (part: Buffer) => {
      size += part.length
      if (size <= maxBodyBytes) parts.push(part)
    })
    request.on("end", () => resolve(size <= maxBodyBytes ? Buffer.concat(parts) : undefined))
    request.on("error", () => undefined)
  })

const html = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"

/** The server behind a {@link Simulator}. */
class ModelServer {
  settings: Settings
  readonly ledger = new Ledger()
  readonly #served: Omit<Served, "mode" | "script" | "seed">
  readonly #key: string | undefined
  readonly #endpoints: ReturnType<typeof endpoints>
  readonly #metrics: Metrics
  readonly #faults = new Faults(() => this.settings)
  readonly #scheduler = new Scheduler(timer, () => this.settings)
  readonly #server: Server
  readonly #lifecycle: Lifecycle
  readonly #host: string
  readonly #onRequest: ((entry: Entry) => void) | undefined
  #port: number
  #isOpen = false
  #cancelKeepAlive: (() => void) | undefined

  constructor(options: Options, profile: Profile, settings: Settings) {
    this.settings = settings
    const models = options.models ?? ["alfred-4.2"]
    const { apiKey, images = false, maxModelLen = 32_768, scaleOut = false } = options
    this.#served = { profile, codec, maxModelLen, models, images, scaleOut }
    this.#key = typeof apiKey === "object" ? Redacted.value(apiKey) : apiKey
    this.#endpoints = endpoints(scaleOut)
    this.#metrics = new Metrics(models[0] ?? "")
    this.#host = options.host ?? "127.0.0.1"
    this.#port = options.port ?? 0
    this.#onRequest = options.onRequest
    this.#server = createServer({ keepAliveTimeout: 0, noDelay: true }, (request, response) => void this.#handle(request, response))
    this.#lifecycle = new Lifecycle({
      timer,
      open: () => this.open(),
      close: () => this.#stopListening(),
      sever: () => this.#server.closeAllConnections(),
      deathDelay: () => this.settings.deathDelay
    })
  }

  get url(): string {
    return `http://${this.#host.includes(":") ? `[${this.#host}]` : this.#host}:${this.#port}`
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject)
      this.#server.listen(this.#port, this.#host, () => {
        this.#server.removeListener("error", reject)
        this.#port = (this.#server.address() as AddressInfo).port
        this.#isOpen = true
        this.#keepAlive()
        resolve()
      })
    })
  }

  async close(): Promise<void> {
    const gone = this.#gone()
    this.#stopListening()
    for (const exchange of this.#lifecycle.exchanges) exchange.kill()
    this.#server.closeAllConnections()
    await gone
  }

  async stop(timeout: number): Promise<void> {
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
      this.settings = settings
      this.#scheduler.settingsChanged()
      this.#keepAlive()
      void this.#lifecycle.to(settings.phase)
      return settings
    })
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
    if (path.startsWith("/__")) return this.#control(path, request, response)
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
    const endpoint = methods?.[request.method ?? "GET"]
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
    const begunAt = timer.now()
    const call: Call = { bytes: bytes ?? new Uint8Array(), contentType: request.headers["content-type"], requestId, now: startedAt }
    const record = endpoint.generates ? new Recording(this, { path, startedAt, begunAt, id: requestId ?? "" }) : undefined
    const refuse = (refusal: ErrorReply.Refusal, more: Headers = headers, fault: Fault | undefined = undefined) => {
      const status = this.#refuse(response, refusal, more)
      record?.end({ outcome: fault === undefined ? "rejected" : "failed", status, completionTokens: 0, finishes: [], timeToFirstToken: null }, fault)
    }
    if (Result.isFailure(faultOf)) return refuse(ErrorReply.badRequest(faultOf.failure))
    const fault = faultOf.success
    if (bytes === undefined) return refuse({ kind: "own", status: 413, type: "Content Too Large", message: "The body is too large." })
    if (fault?.kind === "status") {
      const type = errorTypes[fault.status] ?? "InternalServerError"
      const retryAfter = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) }
      const refusal = { kind: "own", status: fault.status, type, message: fault.message ?? "The simulator was asked for this error." } as const
      return refuse(refusal, { ...headers, ...retryAfter, ...fault.headers }, fault)
    }
    if (fault?.kind === "html") {
      const status = fault.status ?? 502
      send(response, status, { "content-type": "text/html", ...headers, ...fault.headers }, html)
      return record?.end({ outcome: "failed", status, completionTokens: 0, finishes: [], timeToFirstToken: null }, fault)
    }
    const down = endpoint.generates ? this.#lifecycle.refusal : undefined
    if (down !== undefined) {
      return refuse({ kind: "own", status: 500, type: "InternalServerError", message: down }, { ...headers, vary: undefined })
    }
    const { mode, script, seed } = this.settings
    const outcome = endpoint.answer(call, { ...this.#served, mode, script, seed })
    if (Result.isFailure(outcome)) return refuse(outcome.failure)
    const answer = outcome.success
    if (typeof answer === "string" || record === undefined) {
      return send(response, 200, { ...jsonType, ...headers }, typeof answer === "string" ? answer : answer.whole())
    }
    const report = this.#served.profile.reportsLoad ? loadReport(header(request, "endpoint-load-metrics-format"), this.#gauges) : undefined
    const exchange = this.#exchange(answer, response, headers, report, fault, record)
    if (exchange.begin()) return
    this.#lifecycle.left(exchange)
    this.#metrics.rejected()
    refuse({ kind: "own", status: 503, type: "Service Unavailable", message: busy })
  }

  #exchange(
    answer: Rendering,
    response: ServerResponse,
    headers: Headers,
    report: string | undefined,
    fault: Fault | undefined,
    record: Recording
  ): Exchange {
    const { profile } = this.#served
    const error = (status: number, message: string) =>
      ({ kind: "own", status, type: errorTypes[status] ?? "InternalServerError", message }) as const
    const host: ExchangeHost = {
      timer,
      scheduler: this.#scheduler,
      headers,
      wholeHeaders: () => (report === undefined ? {} : { "endpoint-load-metrics": report }),
      errorEvent: (status, message) => ErrorReply.inBand(error(status, message), profile),
      errorReply: (status, message) => ErrorReply.reply(error(status, message), profile),
      onStart: () => this.#metrics.started(answer.promptTokens, timer.now() - record.begunAt),
      onToken: (tokens, sinceLast) => this.#metrics.token(tokens, sinceLast),
      onEnd: (end) => {
        this.#lifecycle.left(exchange)
        if (exchange.isStarted) {
          this.#metrics.ended(end.finishes, end.completionTokens, end.timeToFirstToken, timer.now() - record.begunAt)
        }
        record.end(end, fault, exchange)
      }
    }
    const exchange = new Exchange(host, response, answer, fault)
    this.#lifecycle.entered(exchange)
    return exchange
  }

  over(entry: Entry): void {
    this.ledger.end(entry)
    this.#onRequest?.(entry)
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

  async #control(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method } = request
    if (path === "/__ledger") {
      if (method === "DELETE") this.ledger.clear()
      return send(response, 200, jsonType, JSON.stringify(this.ledger.report()))
    }
    if (path !== "/__config") return send(response, 404, jsonType, '{"error":"There are /__ledger and /__config."}')
    if (method === "GET") return send(response, 200, jsonType, JSON.stringify(this.settings))
    const body = await bodyOf(request)
    const changed = Result.flatMap(
      Result.try({ try: (): unknown => JSON.parse(String(body)), catch: () => "The body is not valid JSON." }),
      (changes) => this.change(changes)
    )
    if (Result.isFailure(changed)) return send(response, 400, jsonType, JSON.stringify({ error: changed.failure }))
    return send(response, 200, jsonType, JSON.stringify(changed.success))
  }
}

type Headers = Readonly<Record<string, string | undefined>>

const send = (response: ServerResponse, status: number, headers: Headers, body: string): void => {
  const known = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined)
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...Object.fromEntries(known) })
  response.end(body)
}

/** A request on its way into the ledger. */
class Recording {
  readonly begunAt: number
  readonly #server: ModelServer
  readonly #number: number
  readonly #about: { readonly path: string; readonly startedAt: number; readonly id: string }

  constructor(server: ModelServer, about: { readonly path: string; readonly startedAt: number; readonly begunAt: number; readonly id: string }) {
    this.#server = server
    this.#about = about
    this.begunAt = about.begunAt
    this.#number = server.ledger.begin()
  }

  end(end: Parameters<ExchangeHost["onEnd"]>[0], fault: Fault | undefined, exchange?: Exchange): void {
    this.#server.over({
      number: this.#number,
      id: exchange?.rendering.id ?? this.#about.id,
      path: this.#about.path,
      model: exchange?.rendering.model ?? null,
      stream: exchange?.rendering.stream ?? false,
      outcome: end.outcome,
      status: end.status,
      promptTokens: exchange?.promptTokens ?? 0,
      completionTokens: end.completionTokens,
      plannedTokens: exchange?.planned ?? 0,
      finishReasons: end.finishes,
      fault: fault?.kind ?? null,
      startedAt: this.#about.startedAt,
      timeToFirstToken: end.timeToFirstToken,
      duration: timer.now() - this.begunAt
    })
  }
}

const settingsOf = ({ apiKey, host, images, maxModelLen, models, onRequest, port, profile, scaleOut, ...changes }: Options) =>
  change(defaults, changes)

const cannotListen = ({ code, message }: NodeJS.ErrnoException, host: string, port: number): SimulatorError => {
  const said = () => {
    switch (code) {
      case "EADDRINUSE":
        return `Port ${port} on ${host} is in use. Stop what listens there, or choose another with --port or port (0 takes any free one).`
      case "EACCES":
        return `No permission to listen on port ${port} of ${host}. Choose a port above 1023 with --port or port.`
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return `${host} is not an address of this machine. Choose one with --host or host, as 127.0.0.1.`
      default:
        return `Cannot listen on port ${port} of ${host} (${code ?? message}). Check --host and --port.`
    }
  }
  return new SimulatorError({ message: said(), code })
}

/**
 * Starts a simulator. Rejects with `SimulatorError` if an option is wrong, or if the port cannot be listened on.
 *
 * @example
 * import { Simulator } from "@paradigm-effect/simulator"
 *
 * await using simulator = await Simulator.start({ models: ["alfred-4.2"], interTokenLatency: "5 millis" })
 * const response = await fetch(`${simulator.url}/v1/chat/completions`, {
 *   method: "POST",
 *   headers: { "content-type": "application/json" },
 *   body: JSON.stringify({ model: "alfred-4.2", messages: [{ role: "user", content: "Say it again" }] })
 * })
 * const completion = await response.json()
 * completion.choices[0].message.content // "Say it again"
 * simulator.ledger().outcomes.finished.requests // 1
 *
 * @category constructors
 * @since 0.1.0
 */
export const start = async (options: Options = {}): Promise<Simulator> => {
  const { host = "127.0.0.1", models, port = 0, profile: name = "vllm-0.32" } = options
  const profile = profiles.find((profile) => profile.name === name)
  if (profile === undefined) {
    throw new SimulatorError({ message: `Unknown profile ${name}. Known are ${profiles.map(({ name }) => name).join(", ")}.` })
  }
  if (models?.length === 0 || models?.includes("")) throw new SimulatorError({ message: "models must have at least one name, and none may be empty." })
  const settings = settingsOf(options)
  if (Result.isFailure(settings)) throw new SimulatorError({ message: settings.failure })
  const server = new ModelServer(options, profile, settings.success)
  await server.open().catch((error: NodeJS.ErrnoException) => {
    throw cannotListen(error, host, port)
  })
  const close = () => server.close()
  return {
    url: server.url,
    ledger: () => server.ledger.report(),
    config: (changes = {}) => {
      const changed = server.change(changes)
      if (Result.isFailure(changed)) throw new SimulatorError({ message: changed.failure })
      return changed.success
    },
    stop: (timeout = 0) => server.stop(timeout),
    close,
    [Symbol.asyncDispose]: close
  }
}

/**
 * {@link start} as an effect. Fails with `SimulatorError`. Nothing ends the simulator by itself.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Simulator, SimulatorError> =>
  Effect.tryPromise({
    try: () => start(options),
    catch: (error) => (error instanceof SimulatorError ? error : new SimulatorError({ message: String(error) }))
  })

/**
 * A simulator that ends with the scope. Fails with `SimulatorError` as {@link start} rejects.
 *
 * @example
 * import { Simulator } from "@paradigm-effect/simulator"
 * import * as Effect from "effect/Effect"
 *
 * Effect.runPromise(Effect.scoped(Effect.map(Simulator.scoped(), ({ url }) => url))) // "http://127.0.0.1:…"
 *
 * @category constructors
 * @since 0.1.0
 */
export const scoped = (options: Options = {}): Effect.Effect<Simulator, SimulatorError, Scope.Scope> =>
  Effect.acquireRelease(make(options), (simulator) => Effect.promise(() => simulator.close()))
