/**
 * A stream whose replica failed, as another one goes on with it: what it can do, and what it is asked.
 *
 * | level | what the next replica gets | exact |
 * | --- | --- | --- |
 * | `nothing` | the request, because the client saw nothing of an answer | yes |
 * | `ids` | the ids of the prompt and of the answer, at `/v1/completions` | yes |
 * | `parsers` | the ids, at the scale-out endpoints, which parse reasoning and calls | yes |
 * | `again` | the request, whose answer is swallowed as far as the client has it | told where not |
 * | `text` | the request with the text as the beginning of the answer | no |
 */
import type { CarriedRequest } from "./CarriedRequest.ts"
import { AgainReader } from "./ContinueAgain.ts"
import { continuingRequest, IdReader, isPromptOf, promptRequest, resumptionOf } from "./ContinueById.ts"
import { type ChunkReader, ChunkWriter, type Shown, WatchingReader } from "./ContinuedStream.ts"
import { generateRequest, type JsonAsk, ParserReader, renderRequest } from "./ContinueWithParsers.ts"
import type { Replica, ReplicaTarget } from "./Replica.ts"
import type { Member } from "./ReplicaPool.ts"
import { natural } from "./TokenCounts.ts"
import { Transcript } from "./Transcript.ts"

/** Levels that a configuration allows, the best first. */
export const carryLevels = ["ids", "parsers", "again", "text"] as const

export type CarryLevel = (typeof carryLevels)[number]

export type Level = "nothing" | CarryLevel

/** Settings of a model. */
export interface CarryOn {
  readonly levels: ReadonlyArray<CarryLevel>
  /** Text that ends the reasoning. */
  readonly reasoningEnd: string | undefined
  readonly migrationLimit: number
  /** Maximum number of tokens that are made again. */
  readonly replayMax: number
  /** Maximum number of streams of level `parsers` at a replica. */
  readonly carryParsers: number
}

/** A request of an attempt. */
export interface Post {
  readonly url: URL
  readonly body: string | Uint8Array
}

/** The request that goes on with a stream, and who reads its answer. */
export interface Opened extends Post {
  readonly reader: ChunkReader
}

/** How a replica goes on. */
export interface Step {
  readonly level: Level
  /** A request before, whose answer `open` gets. */
  readonly before: Post | undefined
  /** A text says why the replica cannot. */
  readonly open: (answer: unknown) => Opened | string
}

/** What a continuation is made of. */
export interface Carried {
  readonly carryOn: CarryOn
  readonly request: CarriedRequest
  readonly shown: Shown
  /** The body for a name of the model, with further members set. */
  readonly bodyFor: (model: string, set?: ReadonlyMap<string, string>) => Uint8Array
}

// Levels that replicas refused, and until when they are not asked again, by `performance.now()`: a server may be restarted with other settings.
type Refused = WeakMap<Replica, Map<Level, number>>
const incapable: Refused = new WeakMap()
const forgotten = 600_000
// Streams of level `parsers`: vLLM parses in one thread.
const parsing = new WeakMap<Replica, number>()

// A path of a model server, whose `target.url` ends in `/chat/completions`.
const urlOf = ({ url }: ReplicaTarget, path: "completions" | "/tokenize" | "/render" | "/derender" | "/inference/v1/generate"): URL => {
  const base = url.href.replace(/chat\/completions$/, "")
  if (path === "completions") return new URL(base + path)
  if (path === "/render" || path === "/derender") return new URL(url.href + path)
  return new URL(base.replace(/\/(v1\/)?$/, "") + path)
}

/** One stream that may be carried on. */
export class Continuation {
  readonly transcript: Transcript
  readonly #carried: Carried
  readonly #unable: Refused = new WeakMap()
  #count = 0

  constructor(carried: Carried) {
    this.#carried = carried
    this.transcript = new Transcript(carried.request.stopLength > 0)
  }

  /** The reader of the first replica's chunks. */
  first(): ChunkReader {
    const { shown } = this.#carried
    return shown.hidesReasoning ? new AgainReader(this.transcript, shown, true) : new WatchingReader(this.transcript)
  }

  /** Counts that a replica went on. */
  wentOn(): void {
    this.#count++
  }

  /** Why the stream cannot be carried on; `undefined` if it can. */
  get refusal(): string | undefined {
    const { migrationLimit } = this.#carried.carryOn
    if (this.#count >= migrationLimit) return `it was carried on ${migrationLimit} times`
    if (this.transcript.isTooLong) return "it is too long"
    if (!this.transcript.isVisible) return undefined
    const obstacles = this.#carried.carryOn.levels.map((level) => [level, this.#obstacle(level)] as const)
    if (obstacles.some(([, obstacle]) => obstacle === undefined)) return undefined
    return obstacles.map(([level, obstacle]) => `${level}: ${obstacle}`).join("; ")
  }

  /** How a replica goes on; `undefined` if it cannot. */
  next(member: Member, ask: JsonAsk): Step | undefined {
    const levels: ReadonlyArray<Level> = this.transcript.isVisible
      ? this.#carried.carryOn.levels.filter((level) => this.#obstacle(level) === undefined)
      : ["nothing"]
    const level = levels.find((one) => !this.#isImpossible(one, member.replica))
    return level === undefined ? undefined : this.#step(level, member, ask)
  }

  /** Remembers that a replica cannot do a level: for all streams, or for this one. */
  lower(replica: Replica, level: Level, isKnown: boolean): void {
    for (const all of isKnown ? [incapable, this.#unable] : [this.#unable]) {
      all.set(replica, (all.get(replica) ?? new Map()).set(level, performance.now() + forgotten))
    }
  }

  /** The end of a stream that needs no replica, as events: what is missing of it is known. `undefined` if something is missing that is not. */
  ending(): string | undefined {
    const choice = this.transcript.choice(0)
    const { request, shown } = this.#carried
    const writer = new ChunkWriter(this.transcript, shown)
    const completion = natural(this.transcript.usage?.["completion_tokens"])
    const usage = this.transcript.usageOf(completion, this.transcript.reasoningTokens)
    let events = ""
    if (!this.transcript.isBegun) return undefined
    if (![...this.transcript.choices].every(({ isFinished }) => isFinished)) {
      if (request.choices > 1 || completion === 0 || completion !== request.maxTokens || choice.ids.length !== choice.seams.at(-1)?.ids)
        return undefined
      events += writer.chunk({ delta: {}, finish: "length" }, usage)
    }
    return this.transcript.hasLastUsage || this.transcript.usage === undefined ? events : events + writer.usage(usage)
  }

  #isImpossible(level: Level, replica: Replica): boolean {
    if (this.#unable.get(replica)?.has(level) === true) return true
    if ((incapable.get(replica)?.get(level) ?? 0) > performance.now()) return true
    return level === "parsers" && (parsing.get(replica) ?? 0) >= this.#carried.carryOn.carryParsers
  }

  #obstacle(level: CarryLevel): string | undefined {
    const { carryOn, request } = this.#carried
    const choice = this.transcript.choice(0)
    const { isReproducible, stopLength } = request
    switch (level) {
      case "ids": {
        const { needsStart } = request
        if (needsStart !== undefined) return needsStart
        if (request.tools !== "none" || choice.calls.length > 0) return "tools"
        if (request.templateMember !== undefined) return request.templateMember
        if (!choice.hasIds) return "the replica sent no ids"
        if (choice.reasoning !== "" && stopLength > 0) return "stop with reasoning"
        if (choice.reasoning !== "" && choice.content === "" && carryOn.reasoningEnd === undefined) return "no reasoningEnd is set"
        // What is made again must be what it was.
        if (stopLength > 1 && !isReproducible) return "stop without a seed"
        return resumptionOf(choice, request, carryOn.reasoningEnd) === undefined ? "its ids end inside a character" : undefined
      }
      case "parsers": {
        const { needsStart } = request
        if (needsStart !== undefined) return needsStart
        if (stopLength > 0) return "stop"
        if (!choice.hasIds) return "the replica sent no ids"
        return choice.seams.length === 0 ? "its ids end inside a character" : undefined
      }
      case "again":
        if (!isReproducible) return "neither temperature 0 nor a seed"
        return natural(this.transcript.usage?.["completion_tokens"]) > carryOn.replayMax
          ? `more than ${carryOn.replayMax} tokens`
          : undefined
      case "text":
        if (request.needsStart !== undefined) return request.needsStart
        return choice.content === "" || choice.calls.length > 0 ? "not in its text" : undefined
    }
  }

  #step(level: Level, member: Member, ask: JsonAsk): Step {
    const { bodyFor, carryOn, request, shown } = this.#carried
    const { transcript } = this
    const { target } = member
    const { model, url } = target
    const choice = transcript.choice(0)
    switch (level) {
      case "nothing":
      case "again": {
        const open = () => ({ url, body: bodyFor(model), reader: new AgainReader(transcript, shown, true) })
        return { level, before: undefined, open }
      }
      case "text": {
        const open = () => ({
          url,
          body: bodyFor(model, textMembers(request, transcript)),
          reader: new AgainReader(transcript, shown, false)
        })
        return { level, before: undefined, open }
      }
      case "ids": {
        const resumption = resumptionOf(choice, request, carryOn.reasoningEnd)
        const open = (answer: unknown) => {
          if (resumption === undefined) return "its ids end inside a character"
          if (!isPromptOf(answer, transcript.promptTokens)) return "the prompt has other tokens"
          const body = continuingRequest(request, model, resumption, transcript, answer)
          return { url: urlOf(target, "completions"), body, reader: new IdReader(transcript, shown, resumption) }
        }
        return { level, before: { url: urlOf(target, "/tokenize"), body: promptRequest(request, model) }, open }
      }
      case "parsers": {
        const kept = choice.ids.slice(0, choice.seams.at(-1)?.ids ?? 0)
        const open = (answer: unknown) => {
          const generate = generateRequest(request, answer, kept, transcript.promptTokens)
          if (typeof generate === "string") return generate
          parsing.set(member.replica, (parsing.get(member.replica) ?? 0) + 1)
          const onStop = () => void parsing.set(member.replica, (parsing.get(member.replica) ?? 1) - 1)
          const derender = urlOf(target, "/derender")
          const reader = new ParserReader({
            transcript,
            shown,
            kept,
            prompt: generate.prompt,
            chatRequest: Buffer.from(bodyFor(model)).toString("utf8"),
            ask: (body, then) => ask({ url: derender, body }, then),
            onStop
          })
          return { url: urlOf(target, "/inference/v1/generate"), body: generate.body, reader }
        }
        return { level, before: { url: urlOf(target, "/render"), body: renderRequest(bodyFor(model)) }, open }
      }
    }
  }
}

// The text as the beginning of the last message, which the model goes on with.
const textMembers = (request: CarriedRequest, transcript: Transcript): ReadonlyMap<string, string> => {
  const { content } = transcript.choice(0)
  const set = new Map([
    ["messages", request.withMessage({ role: "assistant", content })],
    ["continue_final_message", "true"],
    ["add_generation_prompt", "false"]
  ])
  const { maxTokens } = request
  const sent = natural(transcript.usage?.["completion_tokens"])
  if (maxTokens !== undefined) set.set("max_completion_tokens", String(Math.max(1, maxTokens - sent)))
  return set
}
