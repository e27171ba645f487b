/**
 * `POST /v1/completions`: the prompt is text or token ids, and the answer is text as the model makes it.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { cut, generate, type Generated, type Limits, logprobOf, type Speaker, type Token, tokensOf } from "./Answer.ts"
import * as Continuation from "./Continuation.ts"
import { badRequest, type Problem, type Refusal } from "./ErrorReply.ts"
import type { Frame, Rendering } from "./Exchange.ts"
import * as Tokenizer from "./Tokenizer.ts"

/**
 * A completions request that was judged.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompletionsRequest {
  readonly prompts: ReadonlyArray<ReadonlyArray<number>>
  readonly n: number
  readonly echo: boolean
  readonly seed: number | undefined
  readonly limits: Limits
  /** Alternatives of each token, or `undefined` for no log probabilities. */
  readonly logprobs: number | undefined
  readonly stream: boolean
  readonly includeUsage: boolean
  readonly continuousUsage: boolean
  readonly returnTokenIds: boolean
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const problem = (path: Problem["path"], type: string, message: string, input: unknown, context?: Problem["context"]): Problem => ({
  type,
  path,
  message,
  input,
  context
})

const integer = (body: Readonly<Record<string, unknown>>, name: string, problems: Array<Problem>): number | undefined => {
  const value = body[name]
  if (value == null) return undefined
  if (typeof value === "number" && Number.isInteger(value)) return value
  if (typeof value === "bigint") return Number(value)
  problems.push(problem([name], "int_type", "Input should be a valid integer", value))
  return undefined
}

const listOf = <A>(value: unknown, is: (item: unknown) => item is A): ReadonlyArray<A> | undefined =>
  Array.isArray(value) && value.every(is) ? value : undefined

const isText = (value: unknown): value is string => typeof value === "string"
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isInteger(value)

const promptProblems = (prompt: unknown): ReadonlyArray<Problem> => {
  const negative = Array.isArray(prompt) ? prompt.flat().findIndex((id: unknown) => isNumber(id) && id < 0) : -1
  if (negative >= 0) {
    const message = "Input should be greater than or equal to 0"
    return [problem(["prompt", negative], "greater_than_equal", message, (prompt as Array<unknown>).flat()[negative], { ge: 0 })]
  }
  return [
    problem(["prompt"], "list_type", "Input should be a valid list", prompt),
    problem(["prompt"], "string_type", "Input should be a valid string", prompt)
  ]
}

const isId = (value: unknown): value is number => isNumber(value) && value >= 0

// Text, texts, ids or lists of ids; `undefined` for anything else.
const promptsOf = (prompt: unknown): ReadonlyArray<ReadonlyArray<number>> | undefined => {
  if (isText(prompt)) return [Tokenizer.encodeSpecial(prompt)]
  const ids = listOf(prompt, isId)
  if (ids !== undefined) return ids.length === 0 ? [] : [ids]
  const texts = listOf(prompt, isText)
  if (texts !== undefined) return texts.map((text) => Tokenizer.encodeSpecial(text))
  return Array.isArray(prompt) ? listOf(prompt, (item): item is Array<number> => listOf(item, isId) !== undefined) : undefined
}

/**
 * The refusal of ids that are no tokens.
 *
 * @category validation
 * @since 0.1.0
 */
export const outOfVocabulary = (ids: ReadonlyArray<number>): Refusal | undefined => {
  const wrong = ids.find((id) => !Tokenizer.isToken(id))
  return wrong === undefined ? undefined : badRequest(`Token id ${wrong} is out of vocabulary`)
}

/**
 * Reads and judges the body of a completions request.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (body: unknown, speaker: Speaker): Result.Result<CompletionsRequest, Refusal> => {
  if (!isRecord(body)) {
    const message = "Input should be a valid dictionary or object to extract fields from"
    return Result.fail({ kind: "form", problems: [problem([], "model_attributes_type", message, body)] })
  }
  const given = body["prompt"]
  if (given == null || given === "") {
    return Result.fail(badRequest("Either prompt or prompt_embeds must be provided and non-empty.", "prompt"))
  }
  const problems: Array<Problem> = []
  const prompts = promptsOf(given)
  if (prompts === undefined) problems.push(...promptProblems(given))
  const max = integer(body, "max_tokens", problems) ?? 16
  const n = integer(body, "n", problems) ?? 1
  const seed = integer(body, "seed", problems)
  const min = integer(body, "min_tokens", problems) ?? 0
  const logprobs = integer(body, "logprobs", problems)
  if (prompts === undefined || problems.length > 0) return Result.fail({ kind: "form", problems })
  const echo = body["echo"] === true
  const stop = isText(body["stop"]) ? [body["stop"]] : (listOf(body["stop"], isText) ?? [])
  const options = body["stream_options"]
  const refusal =
    judgeLengths(prompts, max, echo, speaker) ??
    (body["stream"] !== true && options != null
      ? badRequest("Stream options can only be defined when `stream=True`.", "stream_options")
      : undefined) ??
    (n < 1 ? badRequest(`n must be at least 1, got ${n}.`) : undefined) ??
    (n > 1 && body["temperature"] === 0 ? badRequest(`n must be 1 when using greedy sampling, got ${n}.`) : undefined) ??
    (stop.includes("") ? badRequest("stop cannot contain an empty string.") : undefined)
  if (refusal !== undefined) return Result.fail(refusal)
  const isOn = (name: string) => isRecord(options) && options[name] === true
  return Result.succeed({
    prompts,
    n,
    echo,
    seed,
    limits: {
      maxTokens: max,
      minTokens: min,
      stop,
      stopTokens: listOf(body["stop_token_ids"], isNumber) ?? [],
      includeStop: body["include_stop_str_in_output"] === true,
      ignoreEnd: body["ignore_eos"] === true
    },
    logprobs,
    stream: body["stream"] === true,
    includeUsage: isOn("include_usage"),
    continuousUsage: isOn("include_usage") && isOn("continuous_usage_stats"),
    returnTokenIds: body["return_token_ids"] === true
  })
}

const judgeLengths = (
  prompts: ReadonlyArray<ReadonlyArray<number>>,
  max: number,
  echo: boolean,
  { maxModelLen, profile }: Speaker
): Refusal | undefined => {
  if (prompts.length === 0) return badRequest("You must pass at least one prompt")
  for (const prompt of prompts) {
    const refusal =
      outOfVocabulary(prompt) ??
      profile.errors.words.length({ tokens: prompt.length, characters: () => Tokenizer.decode(prompt).length, asked: max, maxModelLen })
    if (refusal !== undefined) return refusal
  }
  if (max < 1 && !(echo && max === 0)) return badRequest(`max_tokens must be at least 1, got ${max}.`, "max_tokens", max)
}

const usageOf = (promptTokens: number, completionTokens: number) => ({
  prompt_tokens: promptTokens,
  total_tokens: promptTokens + completionTokens,
  completion_tokens: completionTokens
})

interface Choice {
  readonly prompt: ReadonlyArray<number>
  readonly generated: Generated
  readonly finish: string
}

/**
 * The answer to a completions request.
 *
 * @category models
 * @since 0.1.0
 */
export class CompletionsAnswer implements Rendering {
  readonly id: string
  readonly model: string
  readonly stream: boolean
  readonly #request: CompletionsRequest
  readonly #speaker: Speaker
  readonly #created: number
  readonly #choices: ReadonlyArray<Choice>

  constructor(
    request: CompletionsRequest,
    speaker: Speaker,
    head: { readonly id: string; readonly model: string; readonly created: number },
    choices: ReadonlyArray<Choice> = choicesOf(request, speaker)
  ) {
    this.id = head.id
    this.model = head.model
    this.stream = request.stream
    this.#request = request
    this.#speaker = speaker
    this.#created = head.created
    this.#choices = choices
  }

  get promptTokens(): number {
    return this.#request.prompts.reduce((sum, prompt) => sum + prompt.length, 0)
  }

  get tokens(): ReadonlyArray<number> {
    return this.#choices.map(({ generated }) => generated.ids.length)
  }

  get finishes(): ReadonlyArray<string> {
    return this.#choices.map(({ finish }) => finish)
  }

  abort(tokens: ReadonlyArray<number>): CompletionsAnswer {
    const choices = this.#choices.map(({ generated, prompt }, index): Choice => {
      return { prompt, generated: cut(generated, tokens[index] ?? 0), finish: "abort" }
    })
    return new CompletionsAnswer(this.#request, this.#speaker, { id: this.id, model: this.model, created: this.#created }, choices)
  }

  *frames(): Generator<Frame, void> {
    const { continuousUsage, includeUsage } = this.#request
    const longest = Math.max(...this.#choices.map(piecesOf))
    const head = { id: this.id, object: "text_completion", created: this.#created, model: this.model }
    const fingerprint = { system_fingerprint: this.#speaker.profile.fingerprint }
    for (let at = 0; at < longest; at++) {
      for (const [index, choice] of this.#choices.entries()) {
        const last = piecesOf(choice) - 1
        if (at > last) continue
        const tokens = at < choice.generated.ids.length ? 1 : 0
        const chunk = {
          ...head,
          choices: [this.#piece(index, choice, at, at === last)],
          ...(at === last && !includeUsage ? fingerprint : {}),
          ...(continuousUsage ? { usage: usageOf(choice.prompt.length, at + tokens) } : {})
        }
        yield { choice: index, tokens, data: JSON.stringify(chunk) }
      }
    }
    if (includeUsage) {
      const usage = usageOf(this.promptTokens, this.#completionTokens)
      yield { choice: -1, tokens: 0, data: JSON.stringify({ ...head, choices: [], usage, ...fingerprint }) }
    }
    yield { choice: -1, tokens: 0, data: "[DONE]" }
  }

  whole(): string {
    const { echo, returnTokenIds } = this.#request
    return JSON.stringify({
      id: this.id,
      object: "text_completion",
      created: this.#created,
      model: this.model,
      choices: this.#choices.map((choice, index) => {
        const { generated, prompt } = choice
        const text = (echo && !returnTokenIds ? Tokenizer.decode(prompt) : "") + generated.texts.join("")
        return {
          index,
          text,
          logprobs: this.#logprobs(choice, 0, generated.ids.length),
          finish_reason: choice.finish,
          stop_reason: generated.stopReason,
          token_ids: returnTokenIds ? generated.ids : null,
          prompt_logprobs: null,
          prompt_token_ids: returnTokenIds ? prompt : null,
          routed_experts: null
        }
      }),
      service_tier: null,
      system_fingerprint: this.#speaker.profile.fingerprint,
      usage: {
        ...usageOf(this.promptTokens, this.#completionTokens),
        prompt_tokens_details: null,
        completion_tokens_details: null
      },
      kv_transfer_params: null,
      ec_transfer_params: null,
      metrics: null
    })
  }

  get #completionTokens(): number {
    return this.tokens.reduce((sum, tokens) => sum + tokens, 0)
  }

  #piece(index: number, choice: Choice, at: number, isLast: boolean) {
    const { echo, returnTokenIds } = this.#request
    const { generated, prompt } = choice
    const before = echo && at === 0 && !returnTokenIds ? Tokenizer.decode(prompt) : ""
    return {
      index,
      text: before + (generated.texts[at] ?? ""),
      logprobs: this.#logprobs(choice, at, at + 1),
      finish_reason: isLast ? choice.finish : null,
      stop_reason: isLast ? generated.stopReason : null,
      prompt_token_ids: at === 0 && (returnTokenIds || echo) ? prompt : null,
      token_ids: returnTokenIds ? generated.ids.slice(at, at + 1) : null
    }
  }

  // With `echo`, the tokens of the prompt come first; the first of them has no probability.
  #logprobs({ generated, prompt }: Choice, from: number, to: number) {
    const { echo, logprobs } = this.#request
    if (logprobs === undefined) return null
    const before: ReadonlyArray<Token> = echo && from === 0 ? prompt.map((id, at) => ({ id, text: "", logprob: logprobOf(id, at) })) : []
    const tokens = [...before, ...tokensOf(generated, from, to)]
    const texts = tokens.map(({ id }) => Tokenizer.decode([id], true))
    let offset = echo && from > 0 ? Tokenizer.decode(prompt, true).length : 0
    for (const id of generated.ids.slice(0, from)) offset += Tokenizer.decode([id], true).length
    const offsets = texts.map((text) => (offset += text.length) - text.length)
    const isFirst = (at: number) => before.length > 0 && at === 0
    return {
      text_offset: offsets,
      token_logprobs: tokens.map(({ logprob }, at) => (isFirst(at) ? null : logprob)),
      tokens: texts,
      top_logprobs: tokens.map(({ logprob }, at) => (isFirst(at) ? null : { [texts[at] ?? ""]: logprob }))
    }
  }
}

// An abort comes after the last token, in a piece of its own.
const piecesOf = ({ finish, generated }: Choice): number =>
  finish === "abort" ? generated.ids.length + 1 : Math.max(1, generated.ids.length)

const choicesOf = (request: CompletionsRequest, speaker: Speaker): ReadonlyArray<Choice> =>
  request.prompts.flatMap((prompt) =>
    Array.from({ length: request.n }, (_, index): Choice => {
      if (request.limits.maxTokens === 0) {
        const nothing: Generated = { ids: [], said: [], texts: [], finish: "length", stopReason: null }
        return { prompt, generated: nothing, finish: "length" }
      }
      const ids = Continuation.continued(prompt, request.seed, speaker, index, request.limits)
      const generated = generate(ids, Continuation.codecAfter(prompt, speaker.codec), request.limits)
      return { prompt, generated, finish: generated.finish }
    })
  )
