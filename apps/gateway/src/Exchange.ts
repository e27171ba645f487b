/**
 * One request to the public listener and its response.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { IncomingMessage, ServerResponse } from "node:http"
import { Attempts } from "./Attempts.ts"
import { authenticate, isValid } from "./Authentication.ts"
import { Downlink } from "./Downlink.ts"
import type { KeyHolder } from "./GatewayConfig.ts"
import { GatewayFailure } from "./GatewayFailure.ts"
import { card, unknownModel } from "./ModelCard.ts"
import type { PublicServer } from "./PublicServer.ts"
import { findModel, type Model, modelsOf, type Snapshot } from "./Registry.ts"
import { type Admission, estimateOf, unused } from "./limits/Limiter.ts"
import { exposedHeaders } from "./limits/RateLimitHeaders.ts"
import * as RequestBody from "./RequestBody.ts"
import * as RequestPolicy from "./RequestPolicy.ts"
import { accepts, requestIdOf, type Route, routeOf } from "./Route.ts"
import type { Outcome, RequestRecord } from "./RequestRecord.ts"
import { discard } from "./UnreadBody.ts"
import { ownUsage } from "./usage/OwnUsage.ts"

// The rest of a smaller body is read after a refusal, and the connection is kept.
const maxKept = 1024 * 1024

const exposed = ["x-request-id", "retry-after", "retry-after-ms", ...exposedHeaders].join(", ")

/** One request and its response. */
export class Exchange {
  readonly #server: PublicServer
  readonly #snapshot: Snapshot
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #isExpecting: boolean
  readonly #route: Route | undefined
  readonly #path: string
  readonly #record: RequestRecord
  readonly #downlink: Downlink
  #attempts: Attempts | undefined
  #holder: KeyHolder | undefined
  #admission: Admission | undefined
  #fiber: Fiber.Fiber<void> | undefined
  #taken = 0

  constructor(server: PublicServer, request: IncomingMessage, response: ServerResponse, isExpecting: boolean) {
    this.#server = server
    this.#snapshot = server.snapshot
    this.#request = request
    this.#response = response
    this.#isExpecting = isExpecting
    const target = request.url ?? ""
    const query = target.indexOf("?")
    this.#path = query === -1 ? target : target.slice(0, query)
    this.#route = routeOf(this.#path)
    const requestId = requestIdOf(request)
    this.#record = server.record(requestId, request.method ?? "", this.#path.slice(0, 200), request.headers)
    const { heartbeat, writeStall } = this.#snapshot.config.stream
    this.#downlink = new Downlink(response, {
      dialect: this.#route?.dialect ?? (this.#path.startsWith("/v1/") ? "openai" : "paradigm"),
      requestId,
      headers: this.#cors,
      heartbeat,
      writeStall
    })
    response.once("close", () => this.#closed())
    response.on("error", () => undefined)
    request.on("error", () => undefined)
  }

  get #cors(): Readonly<Record<string, string>> {
    const { origin } = this.#request.headers
    const { corsOrigins } = this.#snapshot.config
    if (origin === undefined || (corsOrigins !== "*" && !corsOrigins.has(origin))) return corsOrigins === "*" ? {} : { vary: "origin" }
    const allowed = corsOrigins === "*" ? "*" : origin
    return {
      "access-control-allow-origin": allowed,
      "access-control-expose-headers": exposed,
      ...(allowed === "*" ? {} : { vary: "origin" })
    }
  }

  start(): void {
    this.#guard(() => this.#dispatch())
  }

  #guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#defect(error)
    }
  }

  /** The client ended its side of the connection: it left, or it only sends nothing more. */
  halfClosed(): void {
    if (this.#request.httpVersion === "1.0") this.#response.destroy()
    else this.#downlink.probe()
  }

  /** Ends the request because the gateway stops. */
  stop(): void {
    const headers = { "retry-after": "1", connection: "close" }
    this.#end("drained", new GatewayFailure({ status: 503, detail: "The gateway is stopping.", headers }))
  }

  /** Ends the request if its key is not valid at this time, in milliseconds since 1970. */
  endIfRevoked(now: number): void {
    if (this.#holder === undefined || isValid(this.#holder, this.#server.snapshot.keys, now)) return
    this.#end("revoked", new GatewayFailure({ status: 401, detail: "The key is not valid any more.", code: "invalid_api_key" }))
  }

  #end(outcome: Outcome, failure: GatewayFailure): void {
    if (this.#attempts !== undefined) return this.#attempts.cancel(outcome, failure)
    this.#fiber?.interruptUnsafe()
    this.#downlink.fail(failure)
    this.#close(outcome)
  }

  refuse(failure: GatewayFailure): void {
    this.#record.detail = failure.detail
    this.#record.cause = failure.cause
    this.#record.fields = Object.keys(failure.fields ?? {})
    const { headers } = this.#request
    const isUnread =
      !this.#request.complete && (Number(headers["content-length"] ?? 0) > maxKept || headers["transfer-encoding"] !== undefined)
    this.#countFailed(failure)
    this.#downlink.fail(isUnread ? new GatewayFailure({ ...failure, headers: { ...failure.headers, connection: "close" } }) : failure)
    if (isUnread) discard(this.#request)
    this.#close(failure.status < 500 ? "refused" : "failed")
  }

  #defect(error: unknown): void {
    this.#record.cause = error instanceof Error ? (error.stack ?? error.message) : "defect"
    this.#attempts?.cancel("failed", new GatewayFailure({ status: 500, detail: "The gateway failed." }))
    this.#downlink.fail(new GatewayFailure({ status: 500, detail: "The gateway failed." }))
    this.#close("failed")
  }

  #closed(): void {
    this.#fiber?.interruptUnsafe()
    this.#attempts?.cancel("client_left")
    this.#close("client_left")
  }

  #close(outcome: Outcome): void {
    if (this.#taken > 0) this.#server.give(this.#taken)
    this.#taken = 0
    this.#record.status = this.#downlink.status
    this.#record.bytesOut = this.#downlink.bytes
    if (this.#downlink.isStalled) this.#record.cause = "the client stopped reading"
    const isUnused = outcome === "refused" || outcome === "failed" || this.#record.replicas.length === 0
    this.#admission?.settle(this.#record.usage ?? (isUnused ? unused : undefined))
    this.#record.close(outcome)
  }

  // A request that is wrong counts to the requests of its key, and costs no tokens.
  #countFailed({ status }: GatewayFailure): void {
    const { id, team } = this.#holder ?? {}
    if (id === undefined || this.#admission !== undefined || ![400, 404, 413, 415, 422].includes(status)) return
    this.#server.limiter.count(this.#snapshot.config.limits.find(id, team, undefined))
  }

  #dispatch(): void {
    const { method } = this.#request
    const hosts = this.#request.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === "host")
    if (hosts.length > 1) return this.refuse(new GatewayFailure({ status: 400, detail: "The request has the header Host more than once." }))
    const isRead = method === "GET" || method === "HEAD"
    if (isRead && this.#path === "/health") return this.#answer(JSON.stringify({ status: "ok" }))
    if (isRead && this.#path === "/openapi.json") return this.#document()
    const route = this.#route
    if (route === undefined) return this.refuse(new GatewayFailure({ status: 404, detail: "There is nothing at this path." }))
    const allowed = route.kind === "chat" ? ["POST"] : ["GET", "HEAD"]
    if (method === "OPTIONS") return this.#options([...allowed, "OPTIONS"])
    if (method === undefined || !allowed.includes(method)) {
      const detail = `The path takes ${allowed.join(" and ")} only.`
      return this.refuse(new GatewayFailure({ status: 405, detail, headers: { allow: [...allowed, "OPTIONS"].join(", ") } }))
    }
    if (!accepts(this.#request.headers.accept)) {
      return this.refuse(new GatewayFailure({ status: 406, detail: "The endpoint answers application/json or text/event-stream." }))
    }
    const holder = authenticate(this.#request.headers.authorization, this.#snapshot.keys)
    if (holder instanceof GatewayFailure) return this.refuse(holder)
    this.#record.key = holder.name
    this.#holder = holder
    if (route.kind === "chat") return this.#chat(holder)
    if (route.kind === "usage") return this.#usage(holder)
    this.#models(holder, route.model)
  }

  #answer(body: string, headers?: Readonly<Record<string, string>>): void {
    this.#downlink.answer(body, headers)
    this.#close("ok")
  }

  #document(): void {
    import("./ApiDocument.ts").then(
      ({ json }) => this.#guard(() => this.#answer(json)),
      (error: unknown) => this.#defect(error)
    )
  }

  #options(methods: ReadonlyArray<string>): void {
    const { headers } = this.#request
    const asked = headers["access-control-request-headers"]
    const preflight: Record<string, string> =
      headers["access-control-request-method"] === undefined
        ? {}
        : {
            "access-control-allow-methods": methods.join(", "),
            "access-control-allow-headers": asked !== undefined && /^[\w ,-]{1,1000}$/.test(asked) ? asked : "authorization, content-type",
            "access-control-max-age": "600"
          }
    this.#downlink.answer("", { allow: methods.join(", "), ...preflight }, 204)
    this.#close("ok")
  }

  #models(holder: KeyHolder, name: string | undefined): void {
    if (name === undefined) return this.#answer(JSON.stringify({ object: "list", data: modelsOf(this.#snapshot, holder).map(card) }))
    if (findModel(this.#snapshot, holder, name) !== undefined) return this.#answer(JSON.stringify(card(name)))
    this.refuse(unknownModel(name))
  }

  #usage(holder: KeyHolder): void {
    const { limiter, usage } = this.#server
    const { calendar, limits } = this.#snapshot.config
    ownUsage(holder, { calendar, limits, limiter, usage }).then(
      (body) => this.#guard(() => this.#answer(body)),
      (error: unknown) => this.#defect(error)
    )
  }

  #chat(holder: KeyHolder): void {
    const { headers } = this.#request
    const encoding = headers["content-encoding"] ?? "identity"
    if (encoding.trim().toLowerCase() !== "identity") {
      const detail = "The endpoint takes bodies without a content encoding."
      return this.refuse(new GatewayFailure({ status: 415, detail, headers: { "accept-encoding": "identity" } }))
    }
    const read = RequestBody.readerOf(headers["content-type"] ?? "")
    if (read === undefined) {
      const detail = "The content type must be application/json, application/x-www-form-urlencoded or multipart/form-data."
      return this.refuse(new GatewayFailure({ status: 415, detail }))
    }
    if (this.#isExpecting) this.#response.writeContinue()
    this.#receive((bytes) => {
      this.#record.bytesIn = bytes.length
      this.#fiber = Effect.runFork(
        Effect.matchCause(read(bytes), {
          onSuccess: (body) => this.#guard(() => this.#relay(holder, body)),
          onFailure: (cause) => {
            const error = cause.reasons.find((reason) => reason._tag === "Fail")?.error
            if (error !== undefined) this.refuse(error)
            else if (!Cause.hasInterrupts(cause)) this.#defect(Cause.squash(cause))
          }
        })
      )
    })
  }

  #receive(then: (bytes: Buffer) => void): void {
    const request = this.#request
    const limit = this.#snapshot.maxBodyBytes
    const tooLarge = () =>
      this.refuse(new GatewayFailure({ status: 413, detail: `The body is larger than ${limit} bytes.`, headers: { connection: "close" } }))
    const declared = Number(request.headers["content-length"] ?? 0)
    if (declared > limit) return tooLarge()
    const busy = () =>
      this.refuse(
        new GatewayFailure({
          status: 503,
          detail: "The gateway is busy: too many large requests at once.",
          headers: { "retry-after": "1", connection: "close" },
          cause: "maxBytesInFlight"
        })
      )
    const parts: Array<Buffer> = []
    let size = 0
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) {
        request.off("data", onData)
        return tooLarge()
      }
      if (!this.#server.take(chunk.length)) {
        request.off("data", onData)
        return busy()
      }
      this.#taken += chunk.length
      parts.push(chunk)
    }
    request.on("data", onData)
    request.once("end", () => {
      if (this.#downlink.isEnded) return
      const [only] = parts
      then(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts, size))
    })
  }

  #relay(holder: KeyHolder, body: RequestBody.RequestBody): void {
    const { request } = body
    const model = findModel(this.#snapshot, holder, request.model)
    if (model === undefined) return this.refuse(unknownModel(request.model))
    this.#record.model = model.config.name
    this.#record.stream = request.stream === true
    const refused = this.#check(model, request)
    if (refused !== undefined) return this.refuse(refused)
    const { id } = model.config
    const { limits } = this.#snapshot.config
    const price = limits.priceOf(id, Date.now())
    this.#record.account = { keyId: holder.id, teamId: holder.team ?? "", modelId: id, endUser: this.#endUser(holder), price }
    if (this.#server.usage?.isAccepting === false) {
      const detail = "The gateway cannot record usage at the moment. Retry later."
      return this.refuse(new GatewayFailure({ status: 503, detail, headers: { "retry-after": "10" }, cause: "the usage spool is full" }))
    }
    const rules = limits.find(holder.id, holder.team, id)
    const admission = this.#server.limiter.admit(rules, estimateOf(request, this.#record.bytesIn, price))
    if (!(admission instanceof Promise)) return this.#admitted(holder, model, body, admission)
    admission.then(
      (admission) => this.#guard(() => this.#admitted(holder, model, body, admission)),
      (error: unknown) => this.#defect(error)
    )
  }

  #admitted(holder: KeyHolder, model: Model, body: RequestBody.RequestBody, admission: Admission | GatewayFailure | undefined): void {
    if (admission instanceof GatewayFailure) return this.refuse(admission)
    // The client left while Redis was asked.
    if (this.#downlink.isEnded) return admission?.settle(unused)
    this.#admission = admission
    if (admission !== undefined) this.#downlink.addHeaders(admission.headers)
    const { request } = body
    const { hidesReasoning, ignored, remove, set, withheld } = RequestPolicy.editsOf(body, model.config)
    this.#record.ignored = ignored
    this.#attempts = new Attempts(
      {
        model,
        name: request.model,
        key: holder.name,
        affinity: this.#affinity(model, request),
        stream: request.stream === true,
        choices: typeof request.n === "number" ? request.n : 1,
        withheld,
        hidesReasoning,
        member: (name) => set.get(name) ?? (remove.has(name) ? undefined : body.text(name)),
        bodyFor: (name, more) => {
          const model: ReadonlyArray<readonly [string, string]> = name === request.model ? [] : [["model", JSON.stringify(name)]]
          return body.edit({ remove, set: new Map([...set, ...model, ...(more ?? [])]) })
        },
        headers: this.#upstreamHeaders(request.stream === true),
        commitAfter: this.#snapshot.config.stream.commitAfter
      },
      this.#downlink,
      this.#record,
      (outcome) => this.#close(outcome)
    )
  }

  #check({ config }: Model, request: RequestBody.RequestBody["request"]): GatewayFailure | undefined {
    if (this.#record.bytesIn > config.maxBodyBytes) {
      return new GatewayFailure({ status: 413, detail: `The body is larger than ${config.maxBodyBytes} bytes, the limit of the model.` })
    }
    return RequestPolicy.checkMedia(request, config.policy)
  }

  // Whom a key names only if it may.
  #endUser({ endUserHeader }: KeyHolder): string {
    const { usage } = this.#server
    const given = endUserHeader && usage !== undefined ? this.#request.headers[usage.endUserHeader] : undefined
    return typeof given === "string" ? given.slice(0, 200) : ""
  }

  #affinity({ config }: Model, request: RequestBody.RequestBody["request"]): string | undefined {
    if (config.affinity === "none") return undefined
    const session = this.#request.headers["x-session-id"] ?? request.user
    if (config.affinity === "session") return typeof session === "string" ? session : undefined
    return JSON.stringify(request.messages[0])
  }

  // Of the caller's headers, only those of a trace go to the model server. Ids of two callers may be equal, so that it gets an id of ours.
  #upstreamHeaders(stream: boolean): Readonly<Record<string, string>> {
    const { traceparent, tracestate } = this.#request.headers
    this.#record.upstreamId = crypto.randomUUID()
    return {
      accept: stream ? "text/event-stream, application/json" : "application/json",
      "accept-encoding": "identity",
      "content-type": "application/json",
      "x-request-id": this.#record.upstreamId,
      // A model server that reports its load is chosen by it.
      "endpoint-load-metrics-format": "TEXT",
      ...(typeof traceparent === "string" && /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(traceparent) ? { traceparent } : {}),
      ...(typeof tracestate === "string" && typeof traceparent === "string" ? { tracestate } : {})
    }
  }
}
