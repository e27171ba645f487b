/**
 * The chunks of one choice, and what they share with whole answers.
 *
 * @since 0.1.0
 */
import type { Answer, Choice, Step, TokenCodec } from "./Answer.ts"
import { CallPieces, isCall } from "./CallPieces.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import { spaced } from "./ErrorReply.ts"
import { project, type Values } from "./KeyOrder.ts"
import * as Logprobs from "./Logprobs.ts"
import type { Delta } from "./MessageReader.ts"
import type { Profile } from "./Profile.ts"

/**
 * One event of a stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Frame {
  /** The choice that it belongs to; -1 for the usage and the end. */
  readonly choice: number
  /** How many tokens of the choice were generated since its last frame: what the frame has to wait for. */
  readonly tokens: number
  /** The data of the event, without `data: `. */
  readonly data: string
}

/**
 * What is needed to write an answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writing {
  readonly request: ChatRequest
  readonly profile: Profile
  readonly codec: TokenCodec
}

/** @internal */
export const usageOf = (answer: Answer, profile: Profile, completionTokens: number, reasoningTokens: number): Values => ({
  prompt_tokens: answer.promptTokens.length,
  total_tokens: answer.promptTokens.length + completionTokens,
  completion_tokens: completionTokens,
  prompt_tokens_details: profile.reportsCached ? { cached_tokens: 0 } : null,
  completion_tokens_details: profile.reasoning === "none" ? null : { reasoning_tokens: reasoningTokens },
  reasoning_tokens: reasoningTokens
})

/** @internal */
export const sum = (choices: ReadonlyArray<Choice>, of: (choice: Choice) => number) =>
  choices.reduce((total, choice) => total + of(choice), 0)

/** @internal */
export const logprobsOf = (steps: Iterable<Step>, { codec, profile, request }: Writing) =>
  request.logprobs === true
    ? {
        content: Array.from(steps, ({ token }) => Logprobs.ofToken(token, Math.max(0, request.top_logprobs ?? 0), codec, profile.logprobs))
      }
    : null

/** @internal */
export const showsIds = ({ profile, request }: Writing) => profile.tokenIds && request.return_token_ids === true

/** @internal */
export const showsReasoning = ({ profile, request }: Writing) => !profile.canExcludeReasoning || request.include_reasoning !== false

/**
 * JSON as the server spells it.
 *
 * @internal
 */
export const json = (value: unknown, { stream }: Profile): string => (stream.json === "spaced" ? spaced(value) : JSON.stringify(value))

/**
 * How long the engine took, as llama.cpp tells it: nothing here takes time by itself.
 *
 * @internal
 */
export const timingsOf = (answer: Answer, tokens: number): Values => ({
  cache_n: 0,
  prompt_n: answer.promptTokens.length,
  prompt_ms: 1,
  prompt_per_token_ms: 1,
  prompt_per_second: 1000,
  predicted_n: tokens,
  predicted_ms: 1,
  predicted_per_token_ms: 1,
  predicted_per_second: 1000
})

/**
 * Writes the chunks of one choice.
 *
 * @internal
 */
export class ChoiceWriter {
  private at = 0
  private since = 0
  private reasoned = 0
  private lastKind: "content" | "reasoning" = "content"
  private readonly isForced: boolean
  private readonly mayCall: boolean
  private readonly calls: CallPieces

  private readonly index: number
  private readonly choice: Choice
  private readonly steps: Iterator<Step, void>
  private readonly answer: Answer
  private readonly writing: Writing
  private readonly isLastChunk: boolean

  constructor(index: number, choice: Choice, answer: Answer, writing: Writing, isLastChunk: boolean) {
    this.index = index
    this.choice = choice
    this.steps = choice.steps[Symbol.iterator]()
    this.answer = answer
    this.writing = writing
    this.isLastChunk = isLastChunk

    const { profile, request } = writing
    const chosen = request.tool_choice ?? (request.tools?.length ? "auto" : "none")
    this.isForced = chosen !== "none" && chosen !== "auto" && profile.calls.forced === "json"
    this.calls = new CallPieces(profile, request.tool_choice, this.isForced)
    this.mayCall = chosen !== "none" && !this.isForced
    if (profile.reasoning === "first") this.lastKind = "reasoning"
  }

  // An abort comes after the last token, in a chunk of its own.
  private get length(): number {
    return this.choice.finish === "abort" ? this.choice.steps.length + 1 : Math.max(1, this.choice.steps.length)
  }

  get ended(): boolean {
    return this.at >= this.length
  }

  private frame(choice: Values, keys: string, more: Values = {}): Frame {
    const { profile, request } = this.writing
    const options = request.stream_options
    const running = options?.continuous_usage_stats === true && options.include_usage === true
    const usage = running
      ? project(profile.keys.runningUsage, usageOf(this.answer, profile, Math.min(this.at, this.choice.steps.length), this.reasoned))
      : null
    const { created, id, model } = this.answer
    this.hasSpoken = true
    const values = { id, object: "chat.completion.chunk", created, model, choices: [choice], usage, ...more }
    const isMarked = profile.stream.fingerprint === "every" || (this.isLastChunk && keys === profile.keys.finishChunk)
    const chunk = project(keys, { system_fingerprint: isMarked ? profile.fingerprint : null, ...values })
    const tokens = this.since
    this.since = 0
    return { choice: this.index, tokens, data: json(chunk, profile) }
  }

  role(): Frame {
    const { keys } = this.writing.profile
    const delta = project(keys.roleDelta, { role: "assistant", content: this.writing.profile.stream.roleContent })
    const choice = project(keys.roleChoice, { index: this.index, delta })
    return this.frame(choice, keys.roleChunk, { prompt_token_ids: showsIds(this.writing) ? this.answer.promptTokens : null })
  }

  /** The frames of the next token: often one. */
  next(): ReadonlyArray<Frame> {
    const step = this.steps.next().value ?? undefined
    this.at++
    if (step !== undefined) this.since++
    const isLast = this.ended
    const says = (step?.says ?? []).filter(({ kind }) => kind !== "reasoning" || showsReasoning(this.writing))
    if (step?.isReasoning === true) this.reasoned++
    const delta = this.delta(says)
    const { profile } = this.writing
    if (isLast && profile.stream.finishAlone) return this.finishAlone(step, delta)
    if (isLast) return this.finish(step, delta)
    const isQuiet = Object.keys(delta).length === 0
    if (isQuiet && step?.isHeld === true && profile.stream.held === "text" && !(step.isReasoning && !showsReasoning(this.writing))) {
      return [this.chunk(step, this.emptyText())]
    }
    if (!isQuiet) return [(step === undefined ? undefined : this.plainChunk(step, delta)) ?? this.chunk(step, delta)]
    const isAsked = this.writing.request.logprobs === true || showsIds(this.writing)
    return profile.stream.emptyDeltas && isAsked ? [this.chunk(step, {})] : []
  }

  // Most chunks differ in their text alone: what is around it is written once.
  private plainChunk(step: Step, delta: Values): Frame | undefined {
    const { profile, request } = this.writing
    const [key, ...others] = Object.keys(delta)
    const text = key === undefined ? undefined : delta[key]
    if (key === undefined || others.length > 0 || typeof text !== "string" || !this.hasSpoken || profile.stream.json !== "compact")
      return undefined
    if (request.logprobs === true || showsIds(this.writing) || request.stream_options?.continuous_usage_stats === true) return undefined
    const tokens = this.since
    const mark = "\u0000"
    const around = this.templates.get(key) ?? this.chunk(step, { [key]: mark }).data.split(JSON.stringify(mark))
    if (around.length !== 2) return undefined
    this.templates.set(key, around)
    this.since = 0
    return { choice: this.index, tokens, data: `${around[0]}${JSON.stringify(text)}${around[1]}` }
  }

  private readonly templates = new Map<string, ReadonlyArray<string>>()

  private chunk(step: Step | undefined, delta: Values): Frame {
    const { keys } = this.writing.profile
    const calls = delta["tool_calls"]
    const chunk = Array.isArray(calls) && calls.length > 0 ? keys.callChunk : this.isReasoned(delta) ? keys.reasoningChunk : undefined
    const choice = project(keys.chunkChoice, { index: this.index, delta, ...this.told(step) })
    return this.frame(choice, chunk ?? keys.chunk)
  }

  private isReasoned(delta: Values): boolean {
    return typeof delta[this.writing.profile.reasoningField] === "string"
  }

  private told(step: Step | undefined): Values {
    const steps = step === undefined ? [] : [step]
    return {
      logprobs: step === undefined ? null : logprobsOf(steps, this.writing),
      token_ids: showsIds(this.writing) ? steps.map(({ token }) => token.id) : null
    }
  }

  private finishAlone(step: Step | undefined, delta: Values): ReadonlyArray<Frame> {
    const { stream } = this.writing.profile
    const isSilent = stream.role === "first" && !this.hasSpoken
    const last = Object.keys(delta).length > 0 ? delta : isSilent ? { role: "assistant", content: "" } : undefined
    return [...(last === undefined ? [] : [this.chunk(step, last)]), ...this.finish(step, {})]
  }

  private finish(step: Step | undefined, delta: Values): ReadonlyArray<Frame> {
    const { profile } = this.writing
    const { stream } = profile
    const isQuiet = Object.keys(delta).length === 0
    const isParsed = this.mayCall || profile.reasoning !== "none"
    const { finish, stopReason } = this.choice
    if (stream.endsFirstOnly && this.index > 0) return []
    const isCut = (this.mayCall && finish === "length") || (this.isForced && this.writing.request.tool_choice === "required")
    if (isQuiet && isCut && stream.cutFinish === "lost") return []
    const style = isCut ? "empty" : isParsed ? stream.parsedFinish : stream.finish
    const choice = project(profile.keys.finishChoice, {
      index: this.index,
      delta: isQuiet ? (style === "text" ? this.emptyText() : project(profile.keys.finishDelta, { role: "assistant" })) : delta,
      ...this.told(step),
      finish_reason: finish,
      stop_reason: stopReason,
      matched_stop: stopReason ?? (finish === "length" ? null : this.writing.codec.end)
    })
    const tokens = this.choice.steps.length
    const usage =
      stream.usage === "finish" ? project(profile.keys.streamUsage, usageOf(this.answer, profile, tokens, this.reasoned)) : undefined
    const last = this.isLastChunk ? { timings: timingsOf(this.answer, tokens) } : {}
    return [this.frame(choice, profile.keys.finishChunk, { ...last, ...(usage === undefined ? {} : { usage }) })]
  }

  // The role, where it comes with the text.
  private get roleNow(): string | null {
    const { role } = this.writing.profile.stream
    return role === "every" || (role === "first" && !this.hasSpoken) ? "assistant" : null
  }

  private get blank(): string | null {
    return this.writing.profile.stream.blankContent ? "" : null
  }

  private emptyText(): Values {
    const { profile } = this.writing
    const key = this.lastKind === "reasoning" && profile.reasoning !== "none" ? profile.reasoningField : "content"
    return { [key]: "" }
  }

  private delta(says: ReadonlyArray<Delta>): Values {
    if (says.length === 0) return {}
    const { keys, reasoningField } = this.writing.profile
    const calls = says.filter(isCall)
    if (calls.length > 0) {
      const tool_calls = this.calls.write(calls)
      return tool_calls.length === 0
        ? {}
        : project(this.isForced ? "tool_calls" : keys.callDelta, { role: this.roleNow, content: this.blank, tool_calls })
    }
    const text = (kind: "content" | "reasoning") => {
      const parts = says.filter((delta) => delta.kind === kind)
      if (parts.length > 0) this.lastKind = kind
      return parts.length === 0 ? null : parts.map((delta) => ("text" in delta ? delta.text : "")).join("")
    }
    const content = text("content")
    const values = {
      role: this.roleNow,
      [reasoningField]: text("reasoning"),
      content: content ?? this.blank,
      tool_calls: []
    }
    const delta = project(this.mayCall && content !== null ? keys.toolTextDelta : keys.textDelta, values)
    return showsReasoning(this.writing) || !this.writing.profile.marksExcluded ? delta : { ...delta, [reasoningField]: null }
  }

  private hasSpoken = false
}
