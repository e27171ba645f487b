/**
 * A server that speaks as vLLM does, without a model: it answers with an echo or with seeded words, at the pace it is told.
 *
 * Routes: `POST /v1/chat/completions`, `GET /v1/models`, `GET /health`, `GET /version`.
 *
 * @since 0.1.0
 */
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Generation from "./Generation.ts"
import * as VllmRequest from "./VllmRequest.ts"

/**
 * What the simulator pretends to be.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The model names it answers to. */
  readonly models: ReadonlyArray<string>
  /** Default `echo`. */
  readonly mode?: Generation.Mode | undefined
  /** For requests that bring no seed of their own. Default 0. */
  readonly seed?: number | undefined
  /** From the request to the first token. Default none. */
  readonly timeToFirstToken?: Duration.Input | undefined
  /** Between one token and the next; all choices of a request advance together. Default none. */
  readonly interTokenLatency?: Duration.Input | undefined
  /** Prompt and answer together, in tokens. Default 32768. */
  readonly maxModelLen?: number | undefined
  /** When set, paths under `/v1` want it as bearer token. */
  readonly apiKey?: Redacted.Redacted | undefined
}

/** The version that `GET /version` tells: no vLLM of any version. */
const version = "0.0.0+paradigm.simulator"

const maxBodySize = ByteSize.mebibytes(64)

// What one step of the stream sends: `pause` before it, and how many tokens of the answer it carries.
interface Event {
  readonly pause: Duration.Duration
  readonly tokens: number
  readonly chunk: object | undefined
}

interface Completion {
  readonly id: string
  readonly created: number
  readonly request: VllmRequest.VllmRequest
  readonly promptTokens: number
  readonly answers: ReadonlyArray<Generation.Answer>
}

const RequestId = Context.Reference<string>("@paradigm-effect/simulator/RequestId", { defaultValue: () => "" })

// An id goes to a header and to the log of a terminal: one that is unfit for them is not taken.
const usable = (id: string | null | undefined) => (id != null && /^[\x21-\x7e]{1,128}$/.test(id) ? id : undefined)
const clientRequestId = (request: HttpServerRequest.HttpServerRequest) => usable(request.headers["x-request-id"])

const usage = (promptTokens: number, completionTokens: number) => ({
  prompt_tokens: promptTokens,
  total_tokens: promptTokens + completionTokens,
  completion_tokens: completionTokens
})

const generated = (completion: Completion) => completion.answers.reduce((sum, answer) => sum + answer.tokens, 0)

/** The body of an answer that is not streamed: every key is there, unset ones are null. */
const completionBody = (completion: Completion) => ({
  id: completion.id,
  object: "chat.completion",
  created: completion.created,
  model: completion.request.model,
  choices: completion.answers.map((answer, index) => ({
    index,
    message: {
      role: "assistant",
      content: answer.pieces.join(""),
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      tool_calls: [],
      reasoning: null
    },
    logprobs: null,
    finish_reason: answer.finishReason,
    stop_reason: answer.stopReason,
    token_ids: null
  })),
  service_tier: null,
  system_fingerprint: null,
  usage: { ...usage(completion.promptTokens, generated(completion)), prompt_tokens_details: null },
  prompt_logprobs: null,
  prompt_token_ids: null,
  kv_transfer_params: null
})

// The last token of an answer cut for its length rides on the finish chunk; a natural end has a finish chunk of its own.
function* events(completion: Completion, timeToFirstToken: Duration.Duration, interTokenLatency: Duration.Duration): Generator<Event> {
  const { answers, created, id, promptTokens, request } = completion
  const options = request.stream_options
  const head = { id, object: "chat.completion.chunk", created, model: request.model }
  const chunk = (choice: object, tokens: number) => ({
    ...head,
    choices: [choice],
    ...(options?.continuous_usage_stats === true && options.include_usage === true ? { usage: usage(promptTokens, tokens) } : {})
  })
  for (const index of answers.keys()) {
    const choice = { index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }
    yield { pause: index === 0 ? timeToFirstToken : Duration.zero, tokens: 0, chunk: chunk(choice, 0) }
  }
  const steps = Math.max(1, ...answers.map((answer) => answer.pieces.length))
  for (let step = 0; step < steps; step++) {
    let pause = step === 0 ? Duration.zero : interTokenLatency
    for (const [index, { finishReason, pieces, stopReason, tokens }] of answers.entries()) {
      const content = pieces[step]
      const last = step === Math.max(0, pieces.length - 1)
      const cut = last && finishReason === "length"
      const end = { logprobs: null, finish_reason: finishReason, stop_reason: stopReason }
      if (content !== undefined) {
        const choice = { index, delta: { content }, ...(cut ? end : { logprobs: null, finish_reason: null }) }
        yield { pause, tokens: 1, chunk: chunk(choice, step + 1) }
        pause = Duration.zero
      }
      if (last && !cut) yield { pause: Duration.zero, tokens: 0, chunk: chunk({ index, delta: { content: "" }, ...end }, tokens) }
    }
  }
  if (options?.include_usage === true) {
    yield { pause: Duration.zero, tokens: 0, chunk: { ...head, choices: [], usage: usage(promptTokens, generated(completion)) } }
  }
  yield { pause: Duration.zero, tokens: 0, chunk: undefined }
}

const unauthorized = HttpServerResponse.jsonUnsafe({ error: "Unauthorized" }, { status: 401 })

const plural = (tokens: number) => `${tokens} token${tokens === 1 ? "" : "s"}`

// One line for each generation, however it ended; never what was asked or answered.
const logEnd = (completion: Completion, exit: Exit.Exit<unknown, unknown>, tokens: number) => {
  if (Exit.isSuccess(exit)) {
    const reasons = [...new Set(completion.answers.map((answer) => answer.finishReason))].join(" and ")
    return Effect.logInfo(`${completion.id} finished: ${reasons}, ${plural(generated(completion))}`)
  }
  const byClient = exit.cause.reasons.some((reason) => reason.annotations.has(HttpServerError.ClientAbort.key))
  if (byClient) return Effect.logInfo(`${completion.id} aborted by client after ${plural(tokens)}`)
  if (Cause.hasInterrupts(exit.cause)) return Effect.logInfo(`${completion.id} stopped with the server after ${plural(tokens)}`)
  return Effect.logError(`${completion.id} failed after ${plural(tokens)}`, exit.cause)
}

const make = (options: Options) => {
  const timeToFirstToken = Duration.fromInputUnsafe(options.timeToFirstToken ?? Duration.zero)
  const interTokenLatency = Duration.fromInputUnsafe(options.interTokenLatency ?? Duration.zero)
  const maxModelLen = options.maxModelLen ?? 32768
  const running = new Set<Fiber.Fiber<unknown, unknown>>()

  const plan = Effect.fnUntraced(function* (id: string, request: VllmRequest.VllmRequest) {
    if (!options.models.includes(request.model)) {
      const message = `The model \`${request.model.slice(0, 256)}\` does not exist.`
      return yield* new VllmRequest.Rejection({ status: 404, type: "NotFoundError", message, param: "model" })
    }
    const texts = VllmRequest.texts(request)
    // A message's role counts as one token.
    const promptTokens = texts.reduce((sum, { text }) => sum + 1 + Generation.count(text), 0)
    const asked = VllmRequest.maxTokens(request)
    if (promptTokens + (asked ?? 1) > maxModelLen) {
      const what = asked === undefined ? "" : ` and ${asked} are asked for`
      return yield* VllmRequest.badRequest(
        `This model's maximum context length is ${maxModelLen} tokens, but the messages have ${promptTokens}${what}.`,
        asked === undefined ? "messages" : request.max_completion_tokens == null ? "max_tokens" : "max_completion_tokens"
      )
    }
    const { stop } = request
    const answers = Array.from({ length: request.n ?? 1 }, (_, index) =>
      Generation.answer({
        mode: options.mode ?? "echo",
        prompt: (texts.findLast(({ role }) => role === "user") ?? texts.at(-1))?.text ?? "",
        seed: request.seed ?? options.seed ?? 0,
        index,
        maxTokens: asked ?? maxModelLen - promptTokens,
        minTokens: request.min_tokens ?? undefined,
        ignoreEndOfText: request.ignore_eos ?? undefined,
        stop: typeof stop === "string" ? [stop] : (stop ?? []),
        includeStop: request.include_stop_str_in_output ?? undefined
      })
    )
    const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    return { id, created, request, promptTokens, answers } satisfies Completion
  })

  const respond = Effect.fnUntraced(function* (completion: Completion) {
    let tokens = 0
    const pace = Effect.fnUntraced(function* (event: Event) {
      if (Duration.isPositive(event.pause)) yield* Effect.sleep(event.pause)
      tokens += event.tokens
      return event
    })
    const paced = Stream.mapEffect(Stream.fromIterable(events(completion, timeToFirstToken, interTokenLatency)), pace)
    const logged = <A, E>(exit: Exit.Exit<A, E>) =>
      Effect.annotateLogs(logEnd(completion, exit, tokens), { model: completion.request.model })
    if (completion.request.stream !== true) {
      yield* Effect.onExit(Stream.runDrain(paced), logged)
      return HttpServerResponse.jsonUnsafe(completionBody(completion))
    }
    const body = paced.pipe(
      // Turns of the event loop between events: what is written in one turn leaves in one packet.
      Stream.mapEffect(({ chunk }) => Effect.as(Effect.yieldNow, `data: ${chunk === undefined ? "[DONE]" : JSON.stringify(chunk)}\n\n`)),
      // An empty write sends the headers while the first token is awaited.
      (events) => Stream.concat(Stream.succeed(""), events),
      Stream.encodeText,
      Stream.onExit(logged)
    )
    return HttpServerResponse.stream(body, { contentType: "text/event-stream; charset=utf-8" })
  })

  const chatCompletions = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
    const given = clientRequestId(request)
    const fallback = yield* RequestId
    // The response is written by this same fiber, so interrupting it stops a stream too.
    const fiber = yield* Effect.withFiber((fiber) => Effect.succeed(fiber))
    running.add(fiber)
    yield* Effect.addFinalizer(() => Effect.sync(() => running.delete(fiber)))
    return yield* VllmRequest.decode(request).pipe(
      Effect.flatMap((body) => plan(`chatcmpl-${given ?? usable(body.request_id) ?? fallback}`, body)),
      Effect.flatMap(respond),
      Effect.catchTag("Rejection", (rejection) =>
        Effect.as(
          Effect.logInfo(`chatcmpl-${given ?? fallback} rejected: ${rejection.status} ${rejection.type}, ${rejection.param ?? "body"}`),
          HttpServerResponse.jsonUnsafe(rejection.body, { status: rejection.status })
        )
      )
    )
  })

  const models = () =>
    Effect.map(Clock.currentTimeMillis, (now) =>
      HttpServerResponse.jsonUnsafe({
        object: "list",
        data: options.models.map((id) => ({
          id,
          object: "model",
          created: Math.floor(now / 1000),
          owned_by: "vllm",
          root: id,
          parent: null,
          max_model_len: maxModelLen
        }))
      })
    )

  const authorized = (request: HttpServerRequest.HttpServerRequest) => {
    const token = /^bearer (.*)$/i.exec(request.headers["authorization"] ?? "")?.[1]
    return options.apiKey === undefined || token === Redacted.value(options.apiKey)
  }

  const secured =
    <E, R>(handler: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    (request: HttpServerRequest.HttpServerRequest) =>
      authorized(request) ? handler(request) : Effect.succeed(unauthorized)

  const routes = [
    HttpRouter.route("POST", "/v1/chat/completions", secured(chatCompletions)),
    HttpRouter.route("GET", "/v1/models", secured(models)),
    HttpRouter.route("GET", "/health", HttpServerResponse.empty({ status: 200, headers: { "content-length": "0" } })),
    HttpRouter.route("GET", "/version", HttpServerResponse.jsonUnsafe({ version }))
  ]

  // Unknown paths and methods are answered by the web framework under vLLM, in its own shape, but its key is asked for first.
  const unrouted = (request: HttpServerRequest.HttpServerRequest) => {
    const path = request.url.split("?", 1)[0] ?? ""
    if (path.startsWith("/v1") && !authorized(request)) return unauthorized
    const allow = routes.filter((route) => route.path === path).map((route) => route.method)
    return allow.length === 0
      ? HttpServerResponse.jsonUnsafe({ detail: "Not Found" }, { status: 404 })
      : HttpServerResponse.jsonUnsafe({ detail: "Method Not Allowed" }, { status: 405, headers: { allow: allow.join(", ") } })
  }

  const guard = <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const id = clientRequestId(request) ?? crypto.randomUUID().replaceAll("-", "")
      const response = yield* Effect.catchIf(
        Effect.provideService(app, RequestId, id),
        (error) => HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound",
        () => Effect.succeed(unrouted(request))
      )
      return HttpServerResponse.setHeader(response, "x-request-id", id)
    })

  const stop = Effect.suspend(() => Fiber.interruptAll(running))

  return { routes, guard, stop }
}

/**
 * Serves the simulator on the `HttpServer` it is given. Any origin may call it from a browser, as with vLLM.
 *
 * When the layer's scope closes, what is being generated is cut off at once and its connections are closed.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never, never, HttpServer.HttpServer> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { guard, routes, stop } = make(options)
      const app = yield* HttpRouter.toHttpEffect(HttpRouter.addAll(routes))
      yield* HttpServer.serveEffect(HttpMiddleware.cors()(guard(app))).pipe(
        Effect.provideService(HttpIncomingMessage.MaxBodySize, maxBodySize),
        Effect.provideService(HttpMiddleware.TracerDisabledWhen, () => true)
      )
      yield* Effect.addFinalizer(() => stop)
    })
  )
