/**
 * Levels `nothing` and `again`: another replica gets the whole request, and what the client has already is swallowed. By text, never by chunks: two
 * tokens may share one. Level `text` ends here too: its chunks begin where the client is.
 */
import * as Predicate from "effect/Predicate"
import type { ChunkReader, Shown } from "./ContinuedStream.ts"
import { eventOf, immediate, withoutReasoning } from "./ContinuedStream.ts"
import { natural } from "./TokenCounts.ts"
import { type Chunk, type ChoiceTranscript, hasText, objectsOf, type SentCall, type Transcript } from "./Transcript.ts"
import { isEmptyDelta } from "./Withheld.ts"

// What the client had of a choice when its replica failed, and how much of it was made again.
class Replayed {
  content: string
  reasoning: string
  readonly calls: ReadonlyArray<SentCall>
  logprobs: number

  constructor(sent: ChoiceTranscript, isFromStart: boolean) {
    this.content = isFromStart ? sent.content : ""
    this.reasoning = isFromStart ? sent.reasoning : ""
    this.calls = isFromStart ? sent.calls.map((call) => ({ ...call })) : []
    this.logprobs = isFromStart ? sent.logprobs : 0
  }

  get isCaughtUp(): boolean {
    return this.content === "" && this.reasoning === "" && this.calls.every((call) => call.arguments === "")
  }
}

/** Reads the chunks of the same request, or of one that goes on from the text. */
export class AgainReader implements ChunkReader {
  readonly finish = immediate.finish
  readonly stop = immediate.stop
  divergence: string | undefined = undefined
  readonly #transcript: Transcript
  readonly #shown: Shown
  readonly #replayed = new Map<number, Replayed>()
  readonly #isFromStart: boolean
  readonly #completionBefore: number

  constructor(transcript: Transcript, shown: Shown, isFromStart: boolean) {
    this.#transcript = transcript
    this.#shown = shown
    this.#isFromStart = isFromStart
    this.#completionBefore = isFromStart ? 0 : natural(transcript.usage?.["completion_tokens"])
    for (const choice of transcript.choices) {
      choice.forgetIds()
      if (!isFromStart) choice.hasIds = false
    }
  }

  read(chunk: Chunk): string {
    const all = objectsOf(chunk["choices"])
    const { usage } = chunk
    this.#transcript.head ??= { id: chunk["id"], created: chunk["created"] }
    if (Predicate.isObject(usage)) {
      const completion = this.#completionBefore + natural(usage["completion_tokens"])
      if (this.#isFromStart) this.#transcript.usage = usage
      else this.#transcript.usage = this.#transcript.usageOf(completion, this.#transcript.reasoningTokens)
    }
    const { withheld } = this.#shown
    if (all.length === 0) {
      this.#transcript.hasLastUsage = true
      return withheld.usage === "all" ? "" : this.#event(chunk, [], true)
    }
    const choices = all.flatMap((choice) => this.#choice(choice))
    return choices.length === 0 ? "" : this.#event(chunk, choices, withheld.usage === "none" && usage !== undefined)
  }

  #event(chunk: Chunk, choices: ReadonlyArray<Chunk>, hasUsage: boolean): string {
    const prompt = this.#shown.withheld.ids && Array.isArray(chunk["prompt_token_ids"]) ? { prompt_token_ids: null } : {}
    return eventOf({
      ...chunk,
      ...prompt,
      ...this.#transcript.head,
      model: this.#shown.name,
      choices,
      // A member that is undefined is not written.
      usage: hasUsage ? this.#transcript.usage : undefined
    })
  }

  #choice(choice: Chunk): ReadonlyArray<Chunk> {
    const index = natural(choice["index"])
    const transcript = this.#transcript.choice(index)
    if (transcript.isFinished) return []
    const replayed = this.#replayed.get(index) ?? new Replayed(transcript, this.#isFromStart)
    this.#replayed.set(index, replayed)
    const delta = this.#delta(Predicate.isObject(choice["delta"]) ? choice["delta"] : {}, transcript.hasRole, replayed)
    const logprobs = this.#logprobs(choice["logprobs"], replayed)
    const ids = choice["token_ids"]
    const { withheld } = this.#shown
    const rest = {
      ...choice,
      delta,
      ...("logprobs" in choice ? { logprobs } : {}),
      ...(withheld.ids && Array.isArray(ids) ? { token_ids: null } : {})
    }
    const wasHeard = hasText(choice)
    transcript.addDelta(rest)
    transcript.addIds(ids, wasHeard && replayed.isCaughtUp, this.#transcript.reasoningTokens)
    if (wasHeard && !Array.isArray(ids)) transcript.hasIds = false
    return isEmptyDelta([rest]) && (withheld.ids || !isEmptyDelta([choice])) ? [] : [rest]
  }

  #delta(delta: Chunk, hasRole: boolean, replayed: Replayed): Chunk {
    const { content, role, tool_calls, ...others } = this.#shown.hidesReasoning ? withoutReasoning(delta) : delta
    const left: Record<string, unknown> = hasRole || role === undefined ? {} : { role }
    if (typeof content === "string") {
      const text = this.#beyond(content, replayed.content)
      replayed.content = replayed.content.slice(content.length)
      if (text !== "" || (content === "" && !hasRole)) left["content"] = text
    } else if (content !== undefined && !hasRole) left["content"] = content
    let reasoned = 0
    for (const [name, value] of Object.entries(others)) {
      if (!/^reasoning(_content)?$/.test(name) || typeof value !== "string") {
        if (value !== null) left[name] = value
        continue
      }
      reasoned = value.length
      const text = this.#beyond(value, replayed.reasoning)
      if (text !== "") left[name] = text
    }
    replayed.reasoning = replayed.reasoning.slice(reasoned)
    const pieces = objectsOf(tool_calls).flatMap((piece) => this.#piece(piece, replayed))
    if (pieces.length > 0) left["tool_calls"] = pieces
    return left
  }

  // What is left of a call's piece. The first replica's ids stay.
  #piece(piece: Chunk, replayed: Replayed): ReadonlyArray<Chunk> {
    const call = replayed.calls[natural(piece["index"])]
    if (call === undefined) return [piece]
    const given = Predicate.isObject(piece["function"]) ? piece["function"]["arguments"] : undefined
    if (typeof given !== "string") return []
    const text = this.#beyond(given, call.arguments)
    call.arguments = call.arguments.slice(given.length)
    return text === "" ? [] : [{ index: piece["index"], function: { arguments: text } }]
  }

  #logprobs(logprobs: unknown, replayed: Replayed): unknown {
    if (!Predicate.isObject(logprobs) || replayed.logprobs === 0) return logprobs
    const entries = objectsOf(logprobs["content"])
    const rest = entries.slice(replayed.logprobs)
    replayed.logprobs = Math.max(0, replayed.logprobs - entries.length)
    return rest.length === 0 ? null : { ...logprobs, content: rest }
  }

  // The part of a text after what the client has.
  #beyond(text: string, sent: string): string {
    const known = Math.min(text.length, sent.length)
    if (text.slice(0, known) !== sent.slice(0, known)) this.divergence = "the answer that was made again differs"
    return text.slice(known)
  }
}
