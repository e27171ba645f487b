/**
 * The endpoint: HTTP in, authenticate, decode, find the model, relay.
 */
import { ParadigmApi, path } from "@paradigm-effect/core/ParadigmApi"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpApiScalar from "effect/http-api/HttpApiScalar"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServer } from "effect/http/HttpServer"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { Agent, type Dispatcher } from "undici"
import { authenticate } from "./Authentication.ts"
import type { GatewayConfig, KeyHolder, UpstreamTarget } from "./GatewayConfig.ts"
import { GatewayFailure, toResponse } from "./GatewayFailure.ts"
import { relay, responseOf } from "./Relay.ts"
import * as RequestBody from "./RequestBody.ts"

// A caller's id is taken over where it is one that can stand in a log line.
const requestIdOf = ({ headers }: HttpServerRequest.HttpServerRequest) => {
  const given = headers["x-request-id"]
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : crypto.randomUUID()
}

const accepts = (accept: string | undefined) =>
  accept === undefined ||
  accept.trim() === "" ||
  accept
    .split(",")
    .some(
      (range) =>
        /^\s*(\*\/\*|application\/(json|\*)|text\/(event-stream|\*))\s*(;|$)/i.test(range) && !/;\s*q=0(\.0*)?\s*(;|$)/i.test(range)
    )

const readBytes = (request: HttpServerRequest.HttpServerRequest, limit: number): Effect.Effect<Uint8Array<ArrayBuffer>, GatewayFailure> => {
  const tooLarge = new GatewayFailure({ status: 413, detail: `The body is larger than ${limit} bytes.`, headers: { connection: "close" } })
  if (Number(request.headers["content-length"] ?? 0) > limit) return Effect.fail(tooLarge)
  return request.arrayBuffer.pipe(
    Effect.provideService(HttpServerRequest.MaxBodySize, ByteSize.bytes(limit)),
    Effect.mapBoth({
      onSuccess: (buffer) => new Uint8Array(buffer),
      onFailure: (error) =>
        typeof error.reason.cause === "object" && error.reason.cause !== null && "maxBytes" in error.reason.cause
          ? tooLarge
          : new GatewayFailure({ status: 400, detail: "The body could not be read." })
    })
  )
}

// An unknown model and one that the key may not use get the same answer, so that names do not leak.
const findModel = (config: GatewayConfig, holder: KeyHolder, model: string): Effect.Effect<UpstreamTarget, GatewayFailure> => {
  const target = config.models.get(model)
  return target === undefined || holder.models?.has(model) === false
    ? Effect.fail(new GatewayFailure({ status: 404, detail: `The model "${model}" does not exist, or this key may not use it.` }))
    : Effect.succeed(target)
}

const chatCompletions = Effect.fnUntraced(function* (
  config: GatewayConfig,
  dispatcher: Dispatcher,
  request: HttpServerRequest.HttpServerRequest,
  requestId: string
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, GatewayFailure> {
  if (!accepts(request.headers["accept"])) {
    return yield* new GatewayFailure({ status: 406, detail: "The endpoint answers application/json or text/event-stream." })
  }
  const holder = yield* authenticate(request.headers["authorization"], config.keys)
  const read = RequestBody.readerOf(request.headers["content-type"] ?? "")
  if (read === undefined) {
    const detail = "The content type is none of application/json, application/x-www-form-urlencoded and multipart/form-data."
    return yield* new GatewayFailure({ status: 415, detail })
  }
  const body = yield* read(yield* readBytes(request, config.maxBodyBytes))
  const { model, stream } = body.request
  const target = yield* findModel(config, holder, model)
  const forwarded = { target, body: body.withModel(target.model), stream: stream === true, requestId, model }
  const startedAt = performance.now()
  const line = (outcome: string) =>
    `${requestId} ${holder.name} ${model}${stream === true ? " stream" : ""}: ${outcome}, ${Math.round(performance.now() - startedAt)} ms`
  const response = responseOf(request)
  if (response === undefined)
    return yield* new GatewayFailure({ status: 500, detail: "The gateway failed.", cause: "no HTTP/1.1 response" })
  const relayed = yield* relay(dispatcher, forwarded, response).pipe(
    Effect.onExit((exit) => {
      if (!Exit.isFailure(exit) || !Exit.hasInterrupts(exit)) return Effect.void
      const byClient = exit.cause.reasons.some((reason) => reason.annotations.has(HttpServerError.ClientAbort.key))
      return Effect.logInfo(line(byClient ? "client left" : "stopped with the gateway"))
    })
  )
  yield* relayed.failure === undefined
    ? Effect.logInfo(line(`${relayed.status}, ${relayed.bytes} bytes`))
    : Effect.logWarning(line(`broken off after ${relayed.bytes} bytes (${relayed.failure.cause ?? relayed.failure.detail})`))
  // Already written; the server leaves an ended response alone.
  return HttpServerResponse.empty()
})

const wrongMethod = new GatewayFailure({ status: 405, detail: "The endpoint takes POST only.", headers: { allow: "POST" } })
const wrongPath = new GatewayFailure({ status: 404, detail: "There is nothing at this path." })

/**
 * The gateway's routes, on the `HttpServer` at hand.
 */
export const layer = (config: GatewayConfig): Layer.Layer<never, never, HttpServer> => {
  const endpoint = HttpRouter.use((router) =>
    Effect.gen(function* () {
      // Model servers close an idle connection after 5 seconds: it is given up before, or a request would meet its end.
      const dispatcher = yield* Effect.acquireRelease(
        Effect.sync(
          () =>
            new Agent({ keepAliveTimeout: 4000, keepAliveMaxTimeout: 4000, headersTimeout: 600_000, bodyTimeout: 300_000, pipelining: 1 })
        ),
        (agent) => Effect.promise(() => agent.destroy())
      )
      yield* router.add("*", path, (request) => {
        const requestId = requestIdOf(request)
        if (request.method !== "POST") return Effect.succeed(toResponse(wrongMethod, requestId))
        return chatCompletions(config, dispatcher, request, requestId).pipe(
          Effect.catch((failure) =>
            Effect.as(
              Effect.logWarning(`${requestId}: ${failure.status}${failure.cause === undefined ? "" : ` (${failure.cause})`}`),
              toResponse(failure, requestId)
            )
          ),
          Effect.catchDefect((defect) =>
            Effect.as(
              Effect.logError(`${requestId}: the gateway failed`, defect),
              toResponse(new GatewayFailure({ status: 500, detail: "The gateway failed." }), requestId)
            )
          )
        )
      })
    })
  )
  const document = JSON.stringify(OpenApi.fromApi(ParadigmApi))
  const routes = Layer.mergeAll(
    endpoint,
    HttpRouter.add("GET", "/health", HttpServerResponse.jsonUnsafe({ status: "ok" })),
    HttpRouter.add("GET", "/openapi.json", HttpServerResponse.text(document, { contentType: "application/json" })),
    HttpApiScalar.layer(ParadigmApi, { path: "/docs" }),
    HttpRouter.add("*", "/*", (request) => Effect.succeed(toResponse(wrongPath, requestIdOf(request))))
  )
  return HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })
}
