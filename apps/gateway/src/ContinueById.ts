/**
 * Level `ids`: another replica goes on from the ids of the prompt and of the answer, at `/v1/completions`, and its text becomes chunks of chat.
 */
import type { CarriedRequest } from "./CarriedRequest.ts"
import { ChunkWriter, type ChunkReader, immediate, type Shown } from "./ContinuedStream.ts"
import { natural } from "./TokenCounts.ts"
import { type Chunk, type ChoiceTranscript, objectsOf, type Seam, type Transcript } from "./Transcript.ts"

// The body has these members of the request and those that are set here. Others do not belong to it: `echo` would print the prompt.
const copied = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "repetition_penalty",
  "length_penalty",
  "logit_bias",
  "allowed_token_ids",
  "stop_token_ids",
  "ignore_eos",
  "stop",
  "include_stop_str_in_output",
  "spaces_between_special_tokens",
  "user",
  "priority",
  "cache_salt"
]

// Members of the request that decide its prompt.
const ofPrompt = ["messages", "tools", "chat_template_kwargs", "chat_template", "add_generation_prompt", "continue_final_message"]

/** Where an answer is gone on with. */
export interface Resumption {
  readonly kept: ReadonlyArray<number>
  /** Content after the kept ids that the client has already. It is made again. */
  readonly again: string
  readonly reasoningTokens: number
  /** The text that ends the reasoning, if the answer is still in it. */
  readonly reasoningEnd: string | undefined
}

const lastPoints = (text: string, count: number): string => (count <= 0 ? "" : [...text].slice(-count).join(""))

/**
 * The last place from which the content can be made again. Where a server looks for stop strings, its text lags behind the ids by the longest one
 * less a character, and a stop string may begin in what is held back. `undefined` if there is no place that is safe.
 */
export const resumptionOf = (
  choice: ChoiceTranscript,
  request: Pick<CarriedRequest, "stopLength" | "includesStop">,
  reasoningEnd: string | undefined
): Resumption | undefined => {
  const { content, points, reasoning, seams } = choice
  const end = reasoning !== "" && content === "" ? reasoningEnd : undefined
  const { includesStop, stopLength } = request
  const lag = Math.max(0, stopLength - 1)
  const made = (seam: Seam) => seam.points + (includesStop ? 0 : lag)
  const seam = stopLength === 0 ? seams.at(-1) : seams.findLast((one) => made(one) + (includesStop ? lag : 0) <= points)
  if (seam !== undefined) {
    const again = stopLength === 0 ? "" : lastPoints(content, points - made(seam))
    return { kept: choice.ids.slice(0, seam.ids), again, reasoningTokens: seam.reasoningTokens, reasoningEnd: end }
  }
  if (stopLength === 0 || reasoning !== "") return undefined
  return { kept: [], again: content, reasoningTokens: 0, reasoningEnd: undefined }
}

/** The request for the ids of the prompt. */
export const promptRequest = (request: CarriedRequest, model: string): string => request.body(ofPrompt, { model })

/** The request that goes on, from the answer to `promptRequest`; a text is why there is none. */
export const continuingRequest = (
  request: CarriedRequest,
  model: string,
  { kept, reasoningEnd }: Resumption,
  transcript: Transcript,
  answer: unknown
): string => {
  const { max_model_len, tokens } = answer as { readonly max_model_len?: unknown; readonly tokens: ReadonlyArray<number> }
  const most = request.maxTokens ?? natural(max_model_len) - tokens.length
  return request.body(copied, {
    model,
    prompt: [...tokens, ...kept],
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
    return_token_ids: true,
    add_special_tokens: false,
    max_tokens: Math.max(1, most - kept.length),
    ...(transcript.choice(0).reasoning === "" && reasoningEnd === undefined ? {} : { skip_special_tokens: false }),
    ...request.lowered(kept.length)
  })
}

/** Whether an answer to `promptRequest` has the prompt that the first replica counted. */
export const isPromptOf = (answer: unknown, promptTokens: number | undefined): boolean => {
  if (typeof answer !== "object" || answer === null || !("tokens" in answer) || !Array.isArray(answer.tokens)) return false
  return answer.tokens.length > 0 && answer.tokens.length === promptTokens
}

/** Reads the chunks of `/v1/completions`. */
export class IdReader implements ChunkReader {
  readonly finish = immediate.finish
  readonly stop = immediate.stop
  divergence: string | undefined = undefined
  readonly #transcript: Transcript
  readonly #choice: ChoiceTranscript
  readonly #writer: ChunkWriter
  readonly #kept: number
  readonly #reasoningEnd: string
  #isReasoning: boolean
  // The beginning of the end of the reasoning, perhaps.
  #held = ""
  // What is made again and was sent already.
  #again: string
  #reasoned: number

  constructor(transcript: Transcript, shown: Shown, { again, kept, reasoningEnd, reasoningTokens }: Resumption) {
    this.#transcript = transcript
    this.#choice = transcript.choice(0)
    this.#writer = new ChunkWriter(transcript, shown)
    this.#kept = kept.length
    this.#again = again
    this.#reasoned = reasoningTokens
    this.#isReasoning = reasoningEnd !== undefined
    this.#reasoningEnd = reasoningEnd ?? ""
    this.#choice.ids = [...kept]
    this.#choice.seams = this.#choice.seams.filter(({ ids }) => ids <= kept.length)
  }

  read(chunk: Chunk): string {
    const completion = this.#kept + natural((chunk["usage"] as Chunk | undefined)?.["completion_tokens"])
    const [choice] = objectsOf(chunk["choices"])
    if (choice === undefined) {
      this.#transcript.hasLastUsage = true
      this.#transcript.usage = this.#transcript.usageOf(completion, this.#reasoned)
      return this.#writer.usage(this.#transcript.usage)
    }
    const ids = choice["token_ids"]
    const finish = choice["finish_reason"] ?? null
    const deltas = this.#deltas(typeof choice["text"] === "string" ? choice["text"] : "", finish !== null)
    // The end of the reasoning is none of it.
    if (this.#isReasoning && Array.isArray(ids)) this.#reasoned += ids.length
    const usage = this.#transcript.usageOf(completion, this.#reasoned)
    this.#transcript.usage = usage
    const last = deltas.pop() ?? {}
    let events = ""
    for (const delta of deltas) events += this.#writer.chunk({ delta }, usage)
    events += this.#writer.chunk({ delta: last, ids, finish, stop: choice["stop_reason"] }, usage)
    this.#choice.addIds(ids, Object.keys(last).length > 0 && this.#again === "" && this.#held === "", this.#reasoned)
    return events
  }

  #deltas(text: string, isLast: boolean): Array<Chunk> {
    if (!this.#isReasoning) return this.#content(text)
    const all = this.#held + text
    const end = all.indexOf(this.#reasoningEnd)
    if (end === -1) {
      const held = isLast ? 0 : overlap(all, this.#reasoningEnd)
      this.#held = all.slice(all.length - held)
      return this.#reasoning(all.slice(0, all.length - held))
    }
    this.#isReasoning = false
    this.#held = ""
    return [...this.#reasoning(all.slice(0, end)), ...this.#content(all.slice(end + this.#reasoningEnd.length))]
  }

  #reasoning(text: string): Array<Chunk> {
    return text === "" ? [] : [Object.fromEntries(this.#choice.reasoningNames.map((name) => [name, text]))]
  }

  #content(text: string): Array<Chunk> {
    const known = Math.min(text.length, this.#again.length)
    if (text.slice(0, known) !== this.#again.slice(0, known)) this.divergence = "the text that was made again differs"
    this.#again = this.#again.slice(known)
    return text.length === known ? [] : [{ content: text.slice(known) }]
  }
}

/** Length of the longest end of a text with which `word` begins. */
const overlap = (text: string, word: string): number => {
  for (let length = Math.min(text.length, word.length - 1); length > 0; length--) if (text.endsWith(word.slice(0, length))) return length
  return 0
}
