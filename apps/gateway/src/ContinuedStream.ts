/**
 * How the chunks of another replica become those of the stream that a client already reads.
 */
import type { Chunk, Transcript } from "./Transcript.ts"
import type { Withheld } from "./Withheld.ts"

/** What of a chunk the client sees. */
export interface Shown {
  /** The model's name, as it was asked for. */
  readonly name: string
  readonly withheld: Withheld
  /** The client asked for no reasoning. */
  readonly hidesReasoning: boolean
}

/** Reads the chunks of one attempt. */
export interface ChunkReader {
  /** Events to forward, as Latin-1; `undefined` for the event as it came. */
  readonly read: (chunk: Chunk) => string | undefined
  /** Why the answer is not the one that the client has the beginning of. */
  readonly divergence: string | undefined
  /** Runs a callback when everything that was read is forwarded. */
  readonly finish: (then: () => void) => void
  /** Takes events that come later than the chunks they are of. Runs also when there is a divergence. */
  onEvents?: (events: string) => void
  readonly stop: () => void
}

const latin1 = (text: string) => Buffer.from(text).toString("latin1")

/** An event, as Latin-1. */
export const eventOf = (chunk: object): string => latin1(`data: ${JSON.stringify(chunk)}\n\n`)

/** What a choice of a continued chunk says. */
export interface Said {
  readonly delta: Chunk
  readonly ids?: unknown
  readonly finish?: unknown
  readonly stop?: unknown
}

/** Writes chunks of a stream of one choice, as its first replica did. */
export class ChunkWriter {
  readonly #transcript: Transcript
  readonly #shown: Shown

  constructor(transcript: Transcript, shown: Shown) {
    this.#transcript = transcript
    this.#shown = shown
  }

  /** An event of the stream; nothing if it would say nothing. */
  chunk({ delta, finish = null, ids, stop = null }: Said, usage: Chunk): string {
    const { hidesReasoning, name, withheld } = this.#shown
    const shown = hidesReasoning ? withoutReasoning(delta) : delta
    this.#transcript.choice(0).addDelta({ delta: shown, finish_reason: finish })
    if (Object.keys(shown).length === 0 && finish === null && withheld.ids) return ""
    return eventOf({
      ...this.#transcript.head,
      object: "chat.completion.chunk",
      model: name,
      choices: [
        {
          index: 0,
          delta: shown,
          logprobs: null,
          finish_reason: finish,
          ...(finish === null ? {} : { stop_reason: stop }),
          token_ids: withheld.ids ? null : (ids ?? null)
        }
      ],
      ...(withheld.usage === "none" ? { usage } : {})
    })
  }

  /** The event of the usage alone. */
  usage(usage: Chunk): string {
    const { name, withheld } = this.#shown
    if (withheld.usage === "all") return ""
    return eventOf({ ...this.#transcript.head, object: "chat.completion.chunk", model: name, choices: [], usage: withoutNulls(usage) })
  }
}

/** The members of an object that are something. */
export const withoutNulls = (members: Chunk): Chunk => Object.fromEntries(Object.entries(members).filter(([, member]) => member !== null))

/** A delta without its reasoning. */
export const withoutReasoning = (delta: Chunk): Chunk =>
  Object.fromEntries(Object.entries(delta).filter(([name]) => name !== "reasoning" && name !== "reasoning_content"))

/** A reader that is done with a chunk when it has read it. */
export const immediate = {
  finish: (then: () => void): void => then(),
  stop: (): void => undefined
}

/** A reader that only watches: events go on as they came. */
export class WatchingReader implements ChunkReader {
  readonly finish = immediate.finish
  readonly stop = immediate.stop
  readonly divergence = undefined
  readonly #transcript: Transcript

  constructor(transcript: Transcript) {
    this.#transcript = transcript
    // A replica that failed before the first event may have sent ids.
    for (const choice of transcript.choices) choice.forgetIds()
  }

  read(chunk: Chunk): undefined {
    this.#transcript.add(chunk)
  }
}
