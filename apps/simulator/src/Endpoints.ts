/**
 * What each path answers, apart from the network and from time.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Answer from "./Answer.ts"
import { ChatAnswer, ErrorStream } from "./ChatAnswer.ts"
import * as ChatRequest from "./ChatRequest.ts"
import * as Completions from "./Completions.ts"
import * as Continuation from "./Continuation.ts"
import * as Derender from "./Derender.ts"
import * as ErrorReply from "./ErrorReply.ts"
import type { Rendering } from "./Exchange.ts"
import * as Ids from "./Ids.ts"
import * as ScaleOut from "./ScaleOut.ts"
import * as StructuredAnswer from "./StructuredAnswer.ts"
import * as Tokenizer from "./Tokenizer.ts"

/**
 * What the endpoints serve.
 *
 * @category models
 * @since 0.1.0
 */
export interface Served extends Answer.Speaker {
  /** The models; the first is the default. */
  readonly models: ReadonlyArray<string>
  /** Whether the model reads images. */
  readonly images: boolean
  /** Whether there are the endpoints of `ScaleOut`. */
  readonly scaleOut: boolean
}

/**
 * A request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly bytes: Uint8Array
  readonly contentType: string | undefined
  /** The `x-request-id` of the client. */
  readonly requestId: string | undefined
  /** Milliseconds since 1970. */
  readonly now: number
}

type Refused = ErrorReply.Refusal

/**
 * A body to send, or an answer that takes time.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = Result.Result<string | Rendering, Refused>

/**
 * An endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint {
  /** Its requests make tokens: they are counted, wait, and meet faults. */
  readonly generates: boolean
  readonly answer: (call: Call, served: Served) => Outcome
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parse = ({ bytes, contentType }: Call): Result.Result<unknown, Refused> => {
  if (contentType?.split(";")[0]?.trim().toLowerCase() !== "application/json") return Result.fail({ kind: "media" })
  try {
    return Result.succeed(JSON.parse(utf8.decode(bytes)) as unknown)
  } catch (error) {
    if (!(error instanceof SyntaxError)) return Result.fail({ kind: "detail", status: 400, detail: "There was an error parsing the body" })
    const context = { error: "Expecting value" }
    return Result.fail({ kind: "form", problems: [{ type: "json_invalid", path: [0], message: "JSON decode error", input: {}, context }] })
  }
}

const unknownModel = (body: unknown, { models, profile }: Served): Refused | undefined => {
  const model = isRecord(body) ? body["model"] : undefined
  if (typeof model !== "string" || model === "" || models.includes(model)) return undefined
  const message = profile.errors.words.unknownModel(model.slice(0, 256), models)
  return { kind: "own", status: 404, type: "NotFoundError", message, param: "model" }
}

const modelOf = (body: unknown, { models }: Served): string => {
  const model = isRecord(body) ? body["model"] : undefined
  return typeof model === "string" && model !== "" ? model : (models[0] ?? "")
}

/** A JSON body with a known model goes to `answer`. */
const withBody =
  (answer: (body: unknown, call: Call, served: Served) => Outcome) =>
  (call: Call, served: Served): Outcome =>
    Result.flatMap(parse(call), (body) => {
      const refusal = unknownModel(body, served)
      return refusal === undefined ? answer(body, call, served) : Result.fail(refusal)
    })

const hex = (digits: number) => Ids.make({ prefix: "", digits })

const idOf = (prefix: string, call: Call, served: Served, given?: unknown): string =>
  prefix + (call.requestId ?? (typeof given === "string" ? given : hex(served.profile.ids.completion.digits)))

const chatId = (call: Call, { profile }: Served, given: string | null | undefined): string => {
  const { completion } = profile.ids
  const named = call.requestId ?? given
  return named == null ? Ids.make(completion) : completion.prefix + named
}

const decodeChat = (call: Call, served: Served): Result.Result<ChatRequest.ChatRequest, Refused> =>
  ChatRequest.decode(call.bytes, call.contentType, {
    ...served,
    vocabularySize: Tokenizer.vocabularySize,
    promptTokens: Continuation.promptOf
  })

const seconds = (call: Call) => Math.floor(call.now / 1000)

const chat = (call: Call, served: Served): Outcome =>
  Result.flatMap(decodeChat(call, served), (request): Outcome => {
    const { codec, profile } = served
    const refusal = StructuredAnswer.refusal(request, profile)
    if (refusal?.kind === "own" && request.stream === true) {
      return Result.succeed(new ErrorStream(ErrorReply.events(refusal, profile), modelOf(request, served)))
    }
    if (refusal !== undefined) return Result.fail(refusal)
    const answer = Answer.answer(request, served, {
      id: chatId(call, served, request.request_id),
      created: seconds(call),
      model: modelOf(request, served),
      promptTokens: Continuation.promptOf(request)
    })
    const cut = StructuredAnswer.cutList(answer, request, profile)
    if (cut !== undefined) return Result.fail(cut)
    return Result.succeed(new ChatAnswer(answer, { request, profile, codec }))
  })

const completions = withBody((body, call, served) =>
  Result.map(Completions.decode(body, served), (request) => {
    const head = { id: idOf("cmpl-", call, served), model: modelOf(body, served), created: seconds(call) }
    return new Completions.CompletionsAnswer(request, served, head)
  })
)

const generate = withBody((body, call, served) =>
  Result.map(ScaleOut.decodeGenerate(body, served), (request) => {
    const id = idOf("generate-tokens-", call, served, request.requestId)
    return ScaleOut.GenerateAnswer.make(request, served, { id, model: modelOf(body, served), created: seconds(call) })
  })
)

const render = (call: Call, served: Served): Outcome =>
  Result.map(decodeChat(call, served), (request) =>
    JSON.stringify(ScaleOut.render(request, idOf("chatcmpl-", call, served, request.request_id), served, served.models))
  )

const derender = withBody((body, call, served) => {
  const isStream = isRecord(body) && body["stream"] === true
  return (isStream ? Derender.derenderChunk : Derender.derender)(body, served, modelOf(body, served), call.now)
})

const missing = (name: string, input: unknown): ErrorReply.Problem => ({ type: "missing", path: [name], message: "Field required", input })

const tokenize = withBody((body, _, served) => {
  const given = isRecord(body) ? body : {}
  const { messages, prompt } = given
  const tokens =
    typeof prompt === "string"
      ? Tokenizer.encodeSpecial(prompt)
      : Array.isArray(messages)
        ? Continuation.promptOf(given as unknown as ChatRequest.ChatRequest)
        : undefined
  if (tokens === undefined) return Result.fail({ kind: "form", problems: [missing("prompt", body), missing("messages", body)] })
  const texts = given["return_token_strs"] === true ? tokens.map((id) => Tokenizer.decode([id], true)) : null
  const token_strs = served.profile.tokenTexts ? { token_strs: texts } : {}
  return Result.succeed(JSON.stringify({ count: tokens.length, max_model_len: served.maxModelLen, tokens, ...token_strs }))
})

const detokenize = withBody((body) => {
  const ids: unknown = isRecord(body) ? body["tokens"] : undefined
  if (!Array.isArray(ids)) return Result.fail({ kind: "form", problems: [missing("tokens", body)] })
  const wrong = ids.findIndex((id: unknown) => typeof id !== "number" || !Number.isInteger(id) || id < 0)
  if (wrong === -1) return Result.succeed(JSON.stringify({ prompt: Tokenizer.decode(ids as Array<number>, true) }))
  const message = "Input should be greater than or equal to 0"
  const problem = { type: "greater_than_equal", path: ["tokens", wrong], message, input: ids[wrong] as unknown, context: { ge: 0 } }
  return Result.fail({ kind: "form", problems: [problem] })
})

const models = (call: Call, { maxModelLen, models, profile }: Served): Outcome =>
  Result.succeed(
    JSON.stringify({
      object: "list",
      data: models.map((id) => ({
        id,
        object: "model",
        created: seconds(call),
        owned_by: "vllm",
        root: `/models/${id}`,
        parent: null,
        max_model_len: maxModelLen,
        permission: [
          {
            id: `modelperm-${hex(profile.ids.completion.digits)}`,
            object: "model_permission",
            created: seconds(call),
            allow_create_engine: false,
            allow_sampling: true,
            allow_logprobs: true,
            allow_search_indices: false,
            allow_view: true,
            allow_fine_tuning: false,
            organization: "*",
            group: null,
            is_blocking: false
          }
        ]
      }))
    })
  )

const version = (_: Call, { profile }: Served): Outcome => Result.succeed(JSON.stringify({ version: profile.version }))

// A body that breaks the server, as one nested too deep to walk through, is a 500 of this request alone.
const guarded =
  (answer: Endpoint["answer"]): Endpoint["answer"] =>
  (call, served) => {
    try {
      return answer(call, served)
    } catch {
      return Result.fail({ kind: "crash", message: "" })
    }
  }

const generating = (answer: Endpoint["answer"]): Endpoint => ({ generates: true, answer: guarded(answer) })
const plain = (answer: Endpoint["answer"]): Endpoint => ({ generates: false, answer: guarded(answer) })

/**
 * The endpoints by path and method.
 *
 * @example
 * import * as Endpoints from "./Endpoints.ts"
 *
 * Object.keys(Endpoints.endpoints(false)["/v1/completions"] ?? {}) // ["POST"]
 *
 * @category constructors
 * @since 0.1.0
 */
export const endpoints = (scaleOut: boolean): Readonly<Record<string, Readonly<Record<string, Endpoint>>>> => ({
  "/v1/chat/completions": { POST: generating(chat) },
  "/v1/completions": { POST: generating(completions) },
  "/v1/models": { GET: plain(models) },
  "/version": { GET: plain(version) },
  "/tokenize": { POST: plain(tokenize) },
  "/detokenize": { POST: plain(detokenize) },
  ...(scaleOut
    ? {
        "/v1/chat/completions/render": { POST: plain(render) },
        "/inference/v1/generate": { POST: generating(generate) },
        "/v1/chat/completions/derender": { POST: plain(derender) }
      }
    : {})
})
