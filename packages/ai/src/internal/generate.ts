// The operations of a language model on the client.
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Span } from "effect/Tracer"
import * as AiError from "effect/ai/AiError"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import * as GenAI from "effect/ai/Telemetry"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import type * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as StructuredOutput from "@paradigm-effect/core/StructuredOutput"
import * as Errors from "./errors.ts"
import { type CalledTool, callsOf, reasoningOf, StreamedParts, toCallPart, toFinish, toMetadata } from "./parts.ts"
import { type ModelConfig, toRequest } from "./request.ts"

type Options = LanguageModel.ProviderOptions

/** Decodes the JSON of an object by the JSON form of its schema. */
export const codecTransformer: LanguageModel.CodecTransformer = (schema) => {
  const { jsonSchema } = LanguageModel.defaultCodecTransformer(schema)
  return { codec: Schema.toCodecJson(schema), jsonSchema }
}

const annotateRequest = (span: Span, request: ChatCompletionRequest) => {
  const { frequency_penalty, max_completion_tokens, max_tokens, model, presence_penalty, seed, stop, temperature, top_k, top_p } = request
  GenAI.addGenAIAnnotations(span, {
    provider: { name: "paradigm" },
    operation: { name: "chat" },
    request: {
      model,
      temperature,
      topK: top_k,
      topP: top_p,
      maxTokens: max_completion_tokens ?? max_tokens,
      stopSequences: typeof stop === "string" ? [stop] : stop,
      frequencyPenalty: frequency_penalty,
      presencePenalty: presence_penalty,
      seed: typeof seed === "bigint" ? Number(seed) : seed
    }
  })
}

const annotateResponse = (span: Span, { choices, id, model, usage }: ChatCompletion) =>
  GenAI.addGenAIAnnotations(span, {
    response: { id: id || undefined, model: model || undefined, finishReasons: choices.map((choice) => choice.finish_reason ?? "unknown") },
    usage: { inputTokens: usage?.prompt_tokens, outputTokens: usage?.completion_tokens }
  })

const prepare = (method: Errors.Method, config: ModelConfig, options: Options) =>
  Effect.tap(
    Errors.attempt(method, () => toRequest(config, options, method === "streamText")),
    (request) => Effect.sync(() => annotateRequest(options.span, request))
  )

const generateIds = (count: number) =>
  Effect.flatMap(IdGenerator.IdGenerator, ({ generateId }) => Effect.replicateEffect(generateId(), count))

const identify = (calls: ReadonlyArray<CalledTool>) =>
  Effect.flatMap(IdGenerator.IdGenerator, ({ generateId }) =>
    Effect.forEach(calls, (call) => (call.id === "" ? Effect.map(generateId(), (id) => ({ ...call, id })) : Effect.succeed(call)))
  )

// The client generates the ids that a server omits, from the id of the completion. Some servers send the same one every time.
const sentCalls = ({ choices: [choice] }: ChatCompletion, { anomalies }: ParadigmClient.ResponseInfo): ReadonlyArray<CalledTool> => {
  if (choice === undefined) return []
  const isMissing = (at: number) =>
    anomalies.some(
      ({ path, raw, repair }) =>
        repair === "tool-call-id" && path === `choices[0].message.tool_calls[${at}].id` && ["", '""', "null"].includes(raw)
    )
  return callsOf(choice.message).map((call, at) => (isMissing(at) ? { ...call, id: "" } : call))
}

// The text of an object. The client says what is wrong if there is none, and removes a Markdown fence.
const objectText = Effect.fnUntraced(function* (completion: ChatCompletion) {
  const text = completion.choices[0]?.message.content ?? ""
  const { value } = yield* Effect.mapError(StructuredOutput.decode(completion, Schema.Unknown), ({ reason }) => {
    const description = reason._tag === "AnswerMismatch" ? reason.detail : reason.message
    const usage = Errors.usageInfo(completion.usage)
    return Errors.make("generateText", new AiError.StructuredOutputError({ description, responseText: text, ...(usage && { usage }) }))
  })
  return /^\s*```/.test(text) ? JSON.stringify(value) : text
})

/** Creates a completion and returns its parts. */
export const generate = Effect.fnUntraced(function* (
  client: ParadigmClient.Service,
  config: ModelConfig,
  options: Options
): Effect.fn.Return<Array<Response.PartEncoded>, AiError.AiError, IdGenerator.IdGenerator> {
  const request = yield* prepare("generateText", config, options)
  const { completion, response } = yield* Effect.mapError(client.createWithResponse(request, config.call), (error) =>
    Errors.toAiError("generateText", error)
  )
  annotateResponse(options.span, completion)
  const [choice] = completion.choices
  const calls = yield* identify(sentCalls(completion, response))
  const isObject = options.responseFormat.type === "json" && calls.length === 0
  const texts = [isObject ? yield* objectText(completion) : choice?.message.content, choice?.message.refusal]
  const reasoning = choice === undefined ? "" : reasoningOf(choice.message)
  return yield* Errors.attempt("generateText", (): Array<Response.PartEncoded> => [
    toMetadata(completion),
    ...(reasoning === "" ? [] : [{ type: "reasoning" as const, text: reasoning }]),
    ...texts.flatMap((text) => (text ? [{ type: "text" as const, text }] : [])),
    ...calls.map((call) => toCallPart(call, choice?.finish_reason, options)),
    toFinish(completion, choice, response)
  ])
})

type Parts = Arr.NonEmptyReadonlyArray<Response.StreamPartEncoded>
type PartPull = Pull.Pull<Parts, AiError.AiError, void, IdGenerator.IdGenerator>
type ChunkPull = Pull.Pull<Arr.NonEmptyReadonlyArray<ChatCompletionChunk>, ParadigmError>

/** Reads the chunks of a stream as parts. The calls and the finish part come at the end: a stream that breaks off runs no tool. */
class PartReader {
  readonly #pull: ChunkPull
  readonly #stream: ParadigmClient.StreamResponse
  readonly #options: Options
  readonly #parts: StreamedParts
  /** What the stream ends with, after the last parts. */
  #end: PartPull | undefined = undefined

  constructor(pull: ChunkPull, stream: ParadigmClient.StreamResponse, options: Options, id: string) {
    this.#pull = pull
    this.#stream = stream
    this.#options = options
    this.#parts = new StreamedParts(id)
  }

  /** The next parts. */
  readonly next: PartPull = Effect.suspend(() => this.#end ?? Pull.matchEffect(this.#pull, this.#handlers))

  readonly #handlers = {
    onSuccess: (chunks: Arr.NonEmptyReadonlyArray<ChatCompletionChunk>): PartPull => {
      const lacking = this.#parts.lacking(chunks)
      if (lacking === 0) return this.#emit(this.#parts.add(chunks, []), this.next)
      return Effect.flatMap(generateIds(lacking), (ids) => this.#emit(this.#parts.add(chunks, ids), this.next))
    },
    onFailure: (cause: Cause.Cause<ParadigmError>): PartPull => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      this.#end = Effect.failCause(Cause.map(cause, (error) => Errors.toAiError("streamText", error)))
      return this.#emit(this.#parts.close(), this.#end)
    },
    onDone: (): PartPull => Effect.flatMap(this.#stream.completion, (completion) => this.#finish(completion))
  }

  #emit(parts: ReadonlyArray<Response.StreamPartEncoded>, otherwise: PartPull): PartPull {
    return Arr.isReadonlyArrayNonEmpty(parts) ? Effect.succeed(parts) : otherwise
  }

  #finish(completion: ChatCompletion | undefined): PartPull {
    const end: PartPull = Cause.done()
    if (completion === undefined) return end
    annotateResponse(this.#options.span, completion)
    const choice = this.#parts.choiceOf(completion)
    return Effect.flatMap(identify(choice === undefined ? [] : this.#parts.callsOf(choice.message)), (calls) => {
      const parts: Array<Response.StreamPartEncoded> = [...this.#parts.close()]
      this.#end = end
      try {
        for (const call of calls) {
          const part = toCallPart(call, choice?.finish_reason, this.#options)
          parts.push(...this.#parts.endOf(call), part)
        }
        parts.push(toFinish(completion, choice, this.#stream.response))
      } catch (error) {
        this.#end = Effect.fail(Errors.caught("streamText", error))
      }
      return this.#emit(parts, this.#end)
    })
  }
}

/** Creates a completion and streams its parts. */
export const stream = (
  client: ParadigmClient.Service,
  config: ModelConfig,
  options: Options
): Stream.Stream<Response.StreamPartEncoded, AiError.AiError, IdGenerator.IdGenerator> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const request = yield* prepare("streamText", config, options)
      const opened = yield* client.streamWithResponse(request, config.call).pipe(
        Effect.mapError((error) => Errors.toAiError("streamText", error)),
        Effect.withParentSpan(options.span, { captureStackTrace: false })
      )
      const [id = ""] = yield* generateIds(1)
      return Stream.transformPull(opened.chunks, (pull) => Effect.sync(() => new PartReader(pull, opened, options, id).next))
    })
  )
