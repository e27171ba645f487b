/**
 * The endpoints of `vllm serve --enable-scale-out`: a request to token ids (`/render`), and ids to ids
 * (`/inference/v1/generate`). `Derender` has the third, ids to an answer.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { cut, generate, type Generated, type Limits, type Speaker, tokensOf } from "./Answer.ts"
import { type ChatRequest, maxTokens } from "./ChatRequest.ts"
import { outOfVocabulary } from "./Completions.ts"
import * as Continuation from "./Continuation.ts"
import { badRequest, type Refusal } from "./ErrorReply.ts"
import type { Frame, Rendering } from "./Exchange.ts"

/** @internal */
export type Body = Readonly<Record<string, unknown>>

/** @internal */
export const isRecord = (value: unknown): value is Body => typeof value === "object" && value !== null && !Array.isArray(value)
/** @internal */
export const isNatural = (value: unknown): value is number => typeof value === "number" && Number.isInteger(value) && value >= 0
/** @internal */
export const naturals = (value: unknown): ReadonlyArray<number> | undefined =>
  Array.isArray(value) && value.every(isNatural) ? value : undefined
/** @internal */
export const record = (value: unknown): Body => (isRecord(value) ? value : {})
/** @internal */
export const list = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const usageOf = (promptTokens: number, completionTokens: number) => ({
  prompt_tokens: promptTokens,
  total_tokens: promptTokens + completionTokens,
  completion_tokens: completionTokens
})
/** @internal */
export const fullUsageOf = (promptTokens: number, completionTokens: number) => ({
  ...usageOf(promptTokens, completionTokens),
  prompt_tokens_details: null,
  completion_tokens_details: null
})

/**
 * What `/v1/chat/completions/render` answers: the request for `/inference/v1/generate`.
 *
 * @category rendering
 * @since 0.1.0
 */
export const render = (request: ChatRequest, id: string, speaker: Speaker, models: ReadonlyArray<string>): object => {
  const token_ids = Continuation.promptOf(request)
  const given = request as unknown as Body
  const sampling = {
    presence_penalty: given["presence_penalty"] ?? 0,
    frequency_penalty: given["frequency_penalty"] ?? 0,
    repetition_penalty: given["repetition_penalty"] ?? 1,
    temperature: request.temperature ?? 1,
    ...(request.seed == null ? {} : { seed: request.seed }),
    stop: typeof request.stop === "string" ? [request.stop] : (request.stop ?? []),
    stop_token_ids: request.stop_token_ids ?? [],
    ...(request.ignore_eos === true ? { ignore_eos: true } : {}),
    max_tokens: maxTokens(request) ?? speaker.maxModelLen - token_ids.length,
    ...(request.min_tokens == null ? {} : { min_tokens: request.min_tokens }),
    skip_special_tokens: speaker.profile.reasoning === "none",
    output_kind: request.stream === true ? 1 : 2,
    skip_clone: true,
    bad_words: [],
    skip_reading_prefix_cache: false
  }
  return {
    request_id: id,
    token_ids,
    token_offsets: null,
    features: null,
    content_parts: null,
    sampling_params: sampling,
    model: request.model || models[0],
    reasoning_ended: speaker.profile.reasoning === "none" ? null : false,
    reasoning_parser_kwargs:
      speaker.profile.reasoning === "none"
        ? null
        : { chat_template_kwargs: { ...request.chat_template_kwargs, add_generation_prompt: true, continue_final_message: false } },
    return_token_ids: null,
    output_mode: "tokens",
    stream: request.stream === true,
    stream_options: request.stream === true ? (request.stream_options ?? null) : null,
    cache_salt: null,
    priority: 0,
    kv_transfer_params: null,
    ec_transfer_params: null
  }
}

/**
 * A request of `/inference/v1/generate` that was judged.
 *
 * @category models
 * @since 0.1.0
 */
export interface GenerateRequest {
  readonly prompt: ReadonlyArray<number>
  readonly requestId: string | undefined
  readonly n: number
  readonly seed: number | undefined
  readonly limits: Limits
  readonly stream: boolean
  readonly includeUsage: boolean
  readonly continuousUsage: boolean
  readonly returnTokenIds: boolean
  readonly isText: boolean
  readonly logprobs: boolean
}

/**
 * Reads and judges the body of `/inference/v1/generate`. Without `max_tokens` there is no limit but the model's length.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeGenerate = (value: unknown, speaker: Speaker): Result.Result<GenerateRequest, Refusal> => {
  const body = record(value)
  const prompt = naturals(body["token_ids"])
  if (prompt === undefined || prompt.length === 0) {
    const context = { field_type: "List", min_length: 1, actual_length: 0 }
    const message = "List should have at least 1 item after validation, not 0"
    const problem =
      prompt === undefined
        ? { type: "list_type", path: ["token_ids"], message: "Input should be a valid list of token ids", input: body["token_ids"] }
        : { type: "too_short", path: ["token_ids"], message, input: [], context }
    return Result.fail({ kind: "form", problems: [problem] })
  }
  if (!isRecord(body["sampling_params"])) {
    return Result.fail({ kind: "form", problems: [{ type: "missing", path: ["sampling_params"], message: "Field required", input: body }] })
  }
  const sampling = body["sampling_params"]
  const asked = sampling["max_tokens"]
  const max = typeof asked === "number" ? asked : Math.max(1, speaker.maxModelLen - prompt.length)
  const refusal =
    outOfVocabulary(prompt) ??
    (max < 1 ? badRequest(`max_tokens must be at least 1, got ${max}.`, "max_tokens", max) : undefined) ??
    speaker.profile.errors.words.length({
      tokens: prompt.length,
      characters: () => 0,
      asked: typeof asked === "number" ? asked : undefined,
      maxModelLen: speaker.maxModelLen
    })
  if (refusal !== undefined) return Result.fail(refusal)
  const options = record(body["stream_options"])
  const stop = sampling["stop"]
  return Result.succeed({
    prompt,
    requestId: typeof body["request_id"] === "string" ? body["request_id"] : undefined,
    n: isNatural(sampling["n"]) ? Math.max(1, sampling["n"]) : 1,
    seed: typeof sampling["seed"] === "number" ? sampling["seed"] : undefined,
    limits: {
      maxTokens: max,
      minTokens: isNatural(sampling["min_tokens"]) ? sampling["min_tokens"] : 0,
      stop: typeof stop === "string" ? [stop] : list(stop).map(String),
      stopTokens: naturals(sampling["stop_token_ids"]) ?? [],
      includeStop: sampling["include_stop_str_in_output"] === true,
      ignoreEnd: sampling["ignore_eos"] === true
    },
    stream: body["stream"] === true,
    includeUsage: options["include_usage"] === true,
    continuousUsage: options["include_usage"] === true && options["continuous_usage_stats"] === true,
    returnTokenIds: body["return_token_ids"] === true,
    isText: body["output_mode"] === "text",
    logprobs: typeof sampling["logprobs"] === "number"
  })
}

const entry = (id: number, logprob: number) => ({ token_id: id, logprob, rank: 1 })

interface Made {
  readonly generated: Generated
  readonly finish: string
}

// An abort comes after the last token, in a piece of its own.
const piecesOf = ({ finish, generated }: Made): number =>
  finish === "abort" ? generated.ids.length + 1 : Math.max(1, generated.ids.length)

/**
 * The answer of `/inference/v1/generate`.
 *
 * @category models
 * @since 0.1.0
 */
export class GenerateAnswer implements Rendering {
  readonly id: string
  readonly model: string
  readonly stream: boolean
  readonly #request: GenerateRequest
  readonly #created: number
  readonly #choices: ReadonlyArray<Made>

  constructor(
    request: GenerateRequest,
    head: { readonly id: string; readonly model: string; readonly created: number },
    choices: ReadonlyArray<Made>
  ) {
    this.id = head.id
    this.model = head.model
    this.stream = request.stream
    this.#request = request
    this.#created = head.created
    this.#choices = choices
  }

  static make(request: GenerateRequest, speaker: Speaker, head: { readonly id: string; readonly model: string; readonly created: number }) {
    const choices = Array.from({ length: request.n }, (_, index): Made => {
      const ids = Continuation.continued(request.prompt, request.seed, speaker, index, request.limits)
      const generated = generate(ids, Continuation.codecAfter(request.prompt, speaker.codec), request.limits)
      return { generated, finish: generated.finish }
    })
    return new GenerateAnswer(request, head, choices)
  }

  get promptTokens(): number {
    return this.#request.prompt.length
  }

  get tokens(): ReadonlyArray<number> {
    return this.#choices.map(({ generated }) => generated.ids.length)
  }

  get finishes(): ReadonlyArray<string> {
    return this.#choices.map(({ finish }) => finish)
  }

  abort(tokens: ReadonlyArray<number>): GenerateAnswer {
    const choices = this.#choices.map(({ generated }, index): Made => ({ generated: cut(generated, tokens[index] ?? 0), finish: "abort" }))
    return new GenerateAnswer(this.#request, { id: this.id, model: this.model, created: this.#created }, choices)
  }

  *frames(): Generator<Frame, void> {
    const { continuousUsage, includeUsage, isText, returnTokenIds } = this.#request
    const output_mode = isText ? "text" : "tokens"
    const longest = Math.max(...this.#choices.map(piecesOf))
    for (let at = 0; at < longest; at++) {
      for (const [index, made] of this.#choices.entries()) {
        const last = piecesOf(made) - 1
        if (at > last) continue
        const to = Math.min(at + 1, made.generated.ids.length)
        const chunk = {
          request_id: this.id,
          usage: continuousUsage ? fullUsageOf(this.promptTokens, to) : null,
          ...(returnTokenIds && at === 0 && index === 0 ? { prompt_token_ids: this.#request.prompt } : {}),
          output_mode,
          choices: [this.#choice(index, made, at, to, at === last)]
        }
        yield { choice: index, tokens: to - at, data: JSON.stringify(chunk) }
      }
    }
    if (includeUsage) {
      const total = this.tokens.reduce((sum, tokens) => sum + tokens, 0)
      const chunk = { request_id: this.id, usage: usageOf(this.promptTokens, total), output_mode, choices: [] }
      yield { choice: -1, tokens: 0, data: JSON.stringify(chunk) }
    }
    yield { choice: -1, tokens: 0, data: "[DONE]" }
  }

  whole(): string {
    const total = this.tokens.reduce((sum, tokens) => sum + tokens, 0)
    return JSON.stringify({
      request_id: this.id,
      model: this.model,
      created: this.#created,
      usage: fullUsageOf(this.promptTokens, total),
      prompt_logprobs: null,
      prompt_token_id_logprobs: null,
      prompt_token_ids: this.#request.returnTokenIds ? this.#request.prompt : null,
      mm_placeholders: null,
      metrics: null,
      kv_transfer_params: null,
      ec_transfer_params: null,
      output_mode: this.#request.isText ? "text" : "tokens",
      choices: this.#choices.map((made, index) => this.#choice(index, made, 0, made.generated.ids.length, true))
    })
  }

  #choice(index: number, { finish, generated }: Made, from: number, to: number, isLast: boolean) {
    const { isText, logprobs } = this.#request
    return {
      index,
      finish_reason: isLast ? finish : null,
      stop_reason: isLast ? generated.stopReason : null,
      token_ids: generated.ids.slice(from, to),
      routed_experts: null,
      sampling_mask: null,
      weight_versions: isLast ? [{ version: "default", start: 0, end: to }] : null,
      ...(isText ? { text: generated.texts.slice(from, isLast ? undefined : to).join("") } : {}),
      logprobs: logprobs
        ? {
            content: tokensOf(generated, from, to).map(({ id, logprob }) => ({ ...entry(id, logprob), top_logprobs: [entry(id, logprob)] }))
          }
        : null
    }
  }
}
