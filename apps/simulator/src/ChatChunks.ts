/**
 * An answer on the wire: whole, or as the events of a stream.
 *
 * @since 0.1.0
 */
import type { Answer, Choice, Step, TokenCodec } from "./Answer.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import * as Logprobs from "./Logprobs.ts"
import type { Delta } from "./MessageReader.ts"
import type { IdForm, Profile } from "./Profile.ts"

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

type Values = Readonly<Record<string, unknown>>

const parsedKeys = new Map<string, ReadonlyArray<{ readonly key: string; readonly isOptional: boolean }>>()
const keysOf = (list: string) => {
  const known = parsedKeys.get(list)
  if (known !== undefined) return known
  const keys = list
    .split(" ")
    .filter((key) => key !== "")
    .map((key) => (key.endsWith("?") ? { key: key.slice(0, -1), isOptional: true } : { key, isOptional: false }))
  parsedKeys.set(list, keys)
  return keys
}

/** The values in the order of the list; see `Profile`. */
const project = (list: string, values: Values): Values => {
  const result: Record<string, unknown> = {}
  for (const { isOptional, key } of keysOf(list)) {
    const value = values[key] ?? null
    if (isOptional && (value === null || (Array.isArray(value) && value.length === 0))) continue
    result[key] = value
  }
  return result
}

const hexadecimal = (digits: number) =>
  Array.from(crypto.getRandomValues(new Uint8Array(digits / 2)), (byte) => byte.toString(16).padStart(2, "0")).join("")

/**
 * A fresh id.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeId = ({ digits, prefix }: IdForm): string => prefix + hexadecimal(digits)

const usageOf = (answer: Answer, profile: Profile, completionTokens: number, reasoningTokens: number): Values => ({
  prompt_tokens: answer.promptTokens.length,
  total_tokens: answer.promptTokens.length + completionTokens,
  completion_tokens: completionTokens,
  completion_tokens_details: profile.reasoning === "none" ? null : { reasoning_tokens: reasoningTokens }
})

const sum = (choices: ReadonlyArray<Choice>, of: (choice: Choice) => number) => choices.reduce((total, choice) => total + of(choice), 0)

const logprobsOf = (steps: ReadonlyArray<Step>, { codec, profile, request }: Writing) =>
  request.logprobs === true
    ? { content: steps.map(({ token }) => Logprobs.ofToken(token, Math.max(0, request.top_logprobs ?? 0), codec, profile.logprobs)) }
    : null

const showsIds = ({ profile, request }: Writing) => profile.tokenIds && request.return_token_ids === true

const showsReasoning = ({ profile, request }: Writing) => !profile.canExcludeReasoning || request.include_reasoning !== false

interface Call {
  name: string
  args: string
}

const messageOf = (choice: Choice, writing: Writing): Values => {
  const { profile, request } = writing
  let content = ""
  let reasoning = ""
  const calls: Array<Call> = []
  for (const delta of choice.steps.flatMap(({ says }) => says)) {
    if (delta.kind === "content") content += delta.text
    else if (delta.kind === "reasoning") reasoning += delta.text
    else if (delta.kind === "call") calls[delta.index] = { name: delta.name, args: "" }
    else if (delta.kind === "arguments") {
      const call = calls[delta.index]
      if (call !== undefined) call.args += delta.text
    }
  }
  const choiceOfTool = request.tool_choice
  const isForced = choiceOfTool === "required" || (typeof choiceOfTool === "object" && choiceOfTool !== null)
  // A list of calls that is cut is none.
  if (choiceOfTool === "required" && profile.calls.forced === "json" && choice.finish === "length") calls.length = 0
  const isBlank = content === "" || (profile.dropsBlankContent && reasoning !== "" && calls.length > 0 && content.trim() === "")
  const isNull = isBlank && (calls.length > 0 ? !isForced : reasoning !== "")
  return project(calls.length > 0 ? profile.keys.callMessage : profile.keys.message, {
    role: "assistant",
    content: isNull ? null : isBlank ? "" : content,
    [profile.reasoningField]: reasoning === "" || !showsReasoning(writing) ? null : reasoning,
    tool_calls: calls.map(({ args, name }) => ({
      id: makeId(profile.ids.call),
      type: "function",
      function: { name, arguments: args }
    }))
  })
}

/**
 * The body of an answer that is not streamed.
 *
 * @category rendering
 * @since 0.1.0
 */
export const whole = (answer: Answer, writing: Writing): string => {
  const { codec, profile, request } = writing
  const { keys } = profile
  const top = request.prompt_logprobs
  const ids = showsIds(writing)
  return JSON.stringify(
    project(keys.completion, {
      id: answer.id,
      object: "chat.completion",
      created: answer.created,
      model: answer.model,
      choices: answer.choices.map((choice, index) =>
        project(keys.choice, {
          index,
          message: messageOf(choice, writing),
          logprobs: logprobsOf(choice.steps, writing),
          finish_reason: choice.finish,
          stop_reason: choice.stopReason,
          token_ids: ids ? choice.steps.map(({ token }) => token.id) : null
        })
      ),
      system_fingerprint: profile.fingerprint,
      usage: project(
        keys.usage,
        usageOf(
          answer,
          profile,
          sum(answer.choices, ({ steps }) => steps.length),
          sum(answer.choices, ({ reasoningTokens }) => reasoningTokens)
        )
      ),
      prompt_logprobs: top != null ? Logprobs.ofPrompt(answer.promptTokens, Math.max(0, top), codec, profile.logprobs) : null,
      prompt_token_ids: ids ? answer.promptTokens : null
    })
  )
}

const isArguments = (delta: Delta): delta is Extract<Delta, { kind: "call" | "arguments" }> =>
  delta.kind === "call" || delta.kind === "arguments"

/** Writes the chunks of one choice. */
class ChoiceWriter {
  private at = 0
  private since = 0
  private reasoned = 0
  private lastKind: "content" | "reasoning" = "content"
  private readonly isForced: boolean
  private readonly mayCall: boolean
  private readonly names = new Map<number, string>()

  private readonly index: number
  private readonly choice: Choice
  private readonly answer: Answer
  private readonly writing: Writing
  private readonly isLastChunk: boolean

  constructor(index: number, choice: Choice, answer: Answer, writing: Writing, isLastChunk: boolean) {
    this.index = index
    this.choice = choice
    this.answer = answer
    this.writing = writing
    this.isLastChunk = isLastChunk

    const { profile, request } = writing
    const chosen = request.tool_choice ?? (request.tools?.length ? "auto" : "none")
    this.isForced = chosen !== "none" && chosen !== "auto" && profile.calls.forced === "json"
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
    const chunk = project(keys, { id, object: "chat.completion.chunk", created, model, choices: [choice], usage, ...more })
    const tokens = this.since
    this.since = 0
    return { choice: this.index, tokens, data: JSON.stringify(chunk) }
  }

  role(): Frame {
    const { keys } = this.writing.profile
    const choice = project(keys.roleChoice, { index: this.index, delta: { role: "assistant", content: "" } })
    return this.frame(choice, keys.roleChunk, { prompt_token_ids: showsIds(this.writing) ? this.answer.promptTokens : null })
  }

  /** The frames of the next token: often one. */
  next(): ReadonlyArray<Frame> {
    const step = this.choice.steps[this.at++]
    if (step !== undefined) this.since++
    const isLast = this.ended
    const says = (step?.says ?? []).filter(({ kind }) => kind !== "reasoning" || showsReasoning(this.writing))
    if (step?.isReasoning === true) this.reasoned++
    const delta = this.delta(says)
    if (isLast) return this.finish(step, delta)
    const { profile } = this.writing
    const isQuiet = Object.keys(delta).length === 0
    if (isQuiet && step?.isHeld === true && profile.stream.held === "text" && !(step.isReasoning && !showsReasoning(this.writing))) {
      return [this.chunk(step, this.emptyText())]
    }
    if (!isQuiet) return [this.chunk(step, delta)]
    const isAsked = this.writing.request.logprobs === true || showsIds(this.writing)
    return profile.stream.emptyDeltas && isAsked ? [this.chunk(step, {})] : []
  }

  private chunk(step: Step | undefined, delta: Values): Frame {
    const { keys } = this.writing.profile
    return this.frame(project(keys.chunkChoice, { index: this.index, delta, ...this.told(step) }), keys.chunk)
  }

  private told(step: Step | undefined): Values {
    const steps = step === undefined ? [] : [step]
    return {
      logprobs: step === undefined ? null : logprobsOf(steps, this.writing),
      token_ids: showsIds(this.writing) ? steps.map(({ token }) => token.id) : null
    }
  }

  private finish(step: Step | undefined, delta: Values): ReadonlyArray<Frame> {
    const { profile } = this.writing
    const { stream } = profile
    const isQuiet = Object.keys(delta).length === 0
    const isParsed = this.mayCall || profile.reasoning !== "none"
    const { finish, stopReason } = this.choice
    const isCut = (this.mayCall && finish === "length") || (this.isForced && this.writing.request.tool_choice === "required")
    if (isQuiet && isCut && stream.cutFinish === "lost") return []
    const style = isCut ? "empty" : isParsed ? stream.parsedFinish : stream.finish
    const choice = project(profile.keys.finishChoice, {
      index: this.index,
      delta: isQuiet ? (style === "text" ? this.emptyText() : {}) : delta,
      ...this.told(step),
      finish_reason: finish,
      stop_reason: stopReason
    })
    return [this.frame(choice, profile.keys.chunk, { system_fingerprint: this.isLastChunk ? profile.fingerprint : null })]
  }

  private emptyText(): Values {
    const { profile } = this.writing
    const key = this.lastKind === "reasoning" && profile.reasoning !== "none" ? profile.reasoningField : "content"
    return { [key]: "" }
  }

  private delta(says: ReadonlyArray<Delta>): Values {
    if (says.length === 0) return {}
    const { keys, reasoningField } = this.writing.profile
    const calls = says.filter(isArguments)
    if (calls.length > 0) {
      const tool_calls = this.pieces(calls)
      return tool_calls.length === 0 ? {} : project(this.isForced ? "tool_calls" : keys.callDelta, { tool_calls })
    }
    const text = (kind: "content" | "reasoning") => {
      const parts = says.filter((delta) => delta.kind === kind)
      if (parts.length > 0) this.lastKind = kind
      return parts.length === 0 ? null : parts.map((delta) => ("text" in delta ? delta.text : "")).join("")
    }
    const values = { [reasoningField]: text("reasoning"), content: text("content"), tool_calls: [] }
    const delta = project(this.mayCall && values.content !== null ? keys.toolTextDelta : keys.textDelta, values)
    return showsReasoning(this.writing) ? delta : { ...delta, [reasoningField]: null }
  }

  private pieces(calls: ReadonlyArray<Extract<Delta, { kind: "call" | "arguments" }>>): ReadonlyArray<Values> {
    const { profile, request } = this.writing
    const start = { id: makeId(profile.ids.call), type: "function" }
    if (!this.isForced) {
      return calls.map((call) =>
        call.kind === "call"
          ? { ...start, index: call.index, function: { name: call.name } }
          : { index: call.index, function: { arguments: call.text } }
      )
    }
    const isNamed = request.tool_choice !== "required"
    const isAnonymous = profile.calls.forcedPieces === "anonymous"
    return calls.flatMap((call): ReadonlyArray<Values> => {
      if (call.kind === "call") {
        this.names.set(call.index, call.name)
        return []
      }
      const name = this.names.get(call.index)
      const isFirst = !this.started.has(call.index)
      this.started.add(call.index)
      const written = { arguments: call.text }
      if (isAnonymous) {
        if (isNamed) return [{ index: call.index, function: { name, ...written } }]
        return [{ type: "function", index: call.index, function: { name: isFirst ? name : null, ...written } }]
      }
      if (isFirst) return [{ ...start, index: call.index, function: { name, ...written } }]
      return [{ index: call.index, function: isNamed ? written : { name: null, ...written } }]
    })
  }

  private readonly started = new Set<number>()
}

/**
 * The events of a stream, up to and with `[DONE]`. The choices advance together.
 *
 * @category rendering
 * @since 0.1.0
 */
export function* frames(answer: Answer, writing: Writing): Generator<Frame, void> {
  const { profile, request } = writing
  const asksUsage = request.stream_options?.include_usage === true
  const writers = answer.choices.map((choice, index) => new ChoiceWriter(index, choice, answer, writing, !asksUsage))
  for (const writer of writers) yield writer.role()
  let running = writers
  while (running.length > 0) {
    for (const writer of running) yield* writer.next()
    running = running.filter((writer) => !writer.ended)
  }
  if (asksUsage) {
    const lost = profile.stream.undercounts && answer.choices.length > 1 ? answer.choices.length : 0
    const usage = usageOf(
      answer,
      profile,
      sum(answer.choices, ({ steps }) => steps.length) - lost,
      sum(answer.choices, ({ reasoningTokens }) => reasoningTokens)
    )
    const chunk = project(profile.keys.usageChunk, {
      id: answer.id,
      object: "chat.completion.chunk",
      created: answer.created,
      model: answer.model,
      choices: [],
      usage: project(profile.keys.streamUsage, usage),
      system_fingerprint: profile.fingerprint
    })
    yield { choice: -1, tokens: 0, data: JSON.stringify(chunk) }
  }
  yield { choice: -1, tokens: 0, data: "[DONE]" }
}
