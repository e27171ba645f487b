/**
 * Level `parsers`: another replica goes on from ids at vLLM's scale-out endpoints. `/inference/v1/generate` makes ids, and `/derender` parses them into
 * chunks of chat, from a state that begins with what the client has.
 */
import * as Predicate from "effect/Predicate"
import type { CarriedRequest } from "./CarriedRequest.ts"
import { type ChunkReader, ChunkWriter, type Shown, withoutNulls } from "./ContinuedStream.ts"
import { natural } from "./TokenCounts.ts"
import { type Chunk, type ChoiceTranscript, hasText, objectsOf, type Transcript } from "./Transcript.ts"

/** A request for JSON at the replica. `undefined` is no answer of status 200. */
export type JsonAsk = (
  post: { readonly url: URL; readonly body: string },
  then: (answer: unknown) => void
) => { readonly abort: () => void }

// vLLM parses in one thread: ids of at least this time go into one call, in milliseconds.
const batchMillis = 50

/** The request for the prompt and the settings of the engine: the client's own. */
export const renderRequest = (body: Uint8Array): Uint8Array => body

/** The request that goes on, from the answer to `renderRequest`; a text is why there is none. */
export const generateRequest = (
  request: CarriedRequest,
  answer: unknown,
  kept: ReadonlyArray<number>,
  promptTokens: number | undefined
): { readonly body: string; readonly prompt: ReadonlyArray<number> } | string => {
  if (!Predicate.isObject(answer) || !Array.isArray(answer["token_ids"]) || !Predicate.isObject(answer["sampling_params"])) {
    return "it renders no prompt"
  }
  const prompt: ReadonlyArray<number> = answer["token_ids"]
  if (prompt.length !== promptTokens) return "the prompt has other tokens"
  // The seed is the client's text: it has 64 bits.
  const { min_tokens: _, seed: __, ...sampling } = answer["sampling_params"]
  const max_tokens = Math.max(1, natural(sampling["max_tokens"]) - kept.length)
  const sampling_params = { ...sampling, max_tokens, ...request.lowered(kept.length) }
  const { reasoning_parser_kwargs } = answer
  const body = request.body([], {
    model: answer["model"],
    token_ids: [...prompt, ...kept],
    sampling_params: request.verbatim(sampling_params),
    ...(reasoning_parser_kwargs == null ? {} : { reasoning_parser_kwargs }),
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true }
  })
  return { body, prompt }
}

/** What a reader needs. */
export interface Parsing {
  readonly transcript: Transcript
  readonly shown: Shown
  readonly kept: ReadonlyArray<number>
  readonly prompt: ReadonlyArray<number>
  /** The JSON of the client's request. */
  readonly chatRequest: string
  readonly ask: (body: string, then: (answer: unknown) => void) => { readonly abort: () => void }
  readonly onStop: () => void
}

/** Reads the chunks of `/inference/v1/generate`. Its events come later than the chunks: `onEvents` gets them. */
export class ParserReader implements ChunkReader {
  divergence: string | undefined = undefined
  /** Takes events, as Latin-1. */
  onEvents: (events: string) => void = () => undefined
  readonly #parsing: Parsing
  readonly #choice: ChoiceTranscript
  readonly #writer: ChunkWriter
  #state: Chunk
  #ids: Array<number> = []
  #end: Pick<Chunk, "finish_reason" | "stop_reason"> | undefined
  #completion: number
  #reasoned: number
  #call: { readonly abort: () => void } | undefined
  #timer: NodeJS.Timeout | undefined
  #then: (() => void) | undefined
  #hasLastUsage = false
  #isStopped = false
  // The first ids do not wait: the client has waited for long.
  #hasCalled = false

  constructor(parsing: Parsing) {
    const { kept, shown, transcript } = parsing
    this.#parsing = parsing
    this.#choice = transcript.choice(0)
    this.#writer = new ChunkWriter(transcript, shown)
    this.#completion = kept.length
    this.#reasoned = this.#choice.seams.at(-1)?.reasoningTokens ?? 0
    this.#choice.ids = [...kept]
    this.#state = {
      prev_tokens: [],
      prefix_offset: 0,
      read_offset: 0,
      role_sent: true,
      logprob_context_token_ids: [],
      logprob_text_offset: 0,
      output_token_ids: kept,
      output_chunk_lens: kept.length === 0 ? [] : [kept.length],
      tools_streamed: this.#choice.calls.length > 0,
      last_tool_call_ids: this.#choice.calls.map(({ id }) => id)
    }
  }

  read(chunk: Chunk): string {
    const { kept } = this.#parsing
    const usage = chunk["usage"]
    if (Predicate.isObject(usage)) this.#completion = kept.length + natural(usage["completion_tokens"])
    const [choice] = objectsOf(chunk["choices"])
    if (choice === undefined) {
      this.#hasLastUsage = true
      return ""
    }
    const { finish_reason, stop_reason, token_ids } = choice
    if (Array.isArray(token_ids)) for (const id of token_ids) this.#ids.push(Number(id))
    if (typeof finish_reason === "string") this.#end = { finish_reason, stop_reason: stop_reason ?? null }
    this.#schedule()
    return ""
  }

  finish(then: () => void): void {
    this.#then = then
    this.#schedule()
  }

  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#call?.abort()
    this.#parsing.onStop()
  }

  // One call at a time. The next takes all ids that came meanwhile.
  #schedule(): void {
    if (this.#ids.length === 0 && this.#end === undefined && this.#then === undefined) return
    if (this.#call !== undefined || this.#isStopped) return
    const isEnding = this.#end !== undefined || this.#then !== undefined
    if (!isEnding && this.#hasCalled) {
      this.#timer ??= setTimeout(() => this.#derender(), batchMillis)
      return
    }
    this.#hasCalled = true
    if (this.#ids.length > 0 || this.#end !== undefined) return this.#derender()
    this.#complete()
  }

  #complete(): void {
    const then = this.#then
    if (then === undefined) return
    this.#then = undefined
    if (this.#hasLastUsage) {
      const { transcript } = this.#parsing
      transcript.hasLastUsage = true
      this.onEvents(this.#writer.usage(this.#usage()))
    }
    this.stop()
    then()
  }

  #usage(): Chunk {
    const { transcript } = this.#parsing
    transcript.usage = transcript.usageOf(this.#completion, this.#reasoned)
    return transcript.usage
  }

  #derender(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const { ask, chatRequest, prompt } = this.#parsing
    const ids = this.#ids
    const end = this.#end
    this.#ids = []
    this.#end = undefined
    // The id of an end token has no text.
    const shown = end?.finish_reason === "stop" && end.stop_reason === null ? ids.slice(0, -1) : ids
    const choice = { index: 0, finish_reason: end?.finish_reason ?? null, stop_reason: end?.stop_reason ?? null, token_ids: shown }
    const body = JSON.stringify({
      stream: true,
      generate_chunk: { request_id: "carried", choices: [choice] },
      prompt_token_ids: prompt,
      prompt_tokens: prompt.length,
      stream_state: this.#state
    })
    this.#call = ask(`${body.slice(0, -1)},"chat_request":${chatRequest}}`, (answer) => {
      this.#call = undefined
      if (!this.#take(answer, ids)) this.divergence = "its parsers gave no chunk"
      if (this.divergence !== undefined) this.stop()
      else this.#schedule()
      this.onEvents("")
    })
  }

  #take(answer: unknown, ids: ReadonlyArray<number>): boolean {
    if (!Predicate.isObject(answer) || !Predicate.isObject(answer["chunk"]) || !Predicate.isObject(answer["stream_state"])) return false
    const { chunk, stream_state } = answer
    // The lengths of earlier chunks cost the parser time.
    const all = stream_state["output_token_ids"]
    this.#state = { ...stream_state, output_chunk_lens: Array.isArray(all) && all.length > 0 ? [all.length] : [] }
    const [choice] = objectsOf(chunk["choices"])
    if (choice === undefined) return true
    const delta = deltaOf(choice["delta"])
    if (typeof delta["reasoning"] === "string" && delta["content"] === undefined) this.#reasoned += ids.length
    const said = { delta, ids, finish: choice["finish_reason"] ?? null, stop: choice["stop_reason"] ?? null }
    const events = this.#writer.chunk(said, this.#usage())
    this.#choice.addIds(ids, hasText({ delta }), this.#reasoned)
    this.onEvents(events)
    return true
  }
}

// The parser writes null for what a delta has not. Its role was sent.
const deltaOf = (value: unknown): Chunk => {
  const { role: _, tool_calls, ...delta } = Predicate.isObject(value) ? value : {}
  const calls = objectsOf(tool_calls).map(({ function: called, ...call }) =>
    withoutNulls({ ...call, ...(Predicate.isObject(called) ? { function: withoutNulls(called) } : {}) })
  )
  return { ...withoutNulls(delta), ...(calls.length === 0 ? {} : { tool_calls: calls }) }
}
