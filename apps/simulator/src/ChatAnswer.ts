/**
 * A chat answer as the engine sends it.
 *
 * @since 0.1.0
 */
import type { Answer } from "./Answer.ts"
import * as ChatChunks from "./ChatChunks.ts"
import { inBand, type OwnRefusal } from "./ErrorReply.ts"
import type { Frame, Rendering } from "./Exchange.ts"
import type { Profile } from "./Profile.ts"

/**
 * An answer to `/v1/chat/completions` in the form of its request.
 *
 * @category models
 * @since 0.1.0
 */
export class ChatAnswer implements Rendering {
  readonly #answer: Answer
  readonly #writing: ChatChunks.Writing

  constructor(answer: Answer, writing: ChatChunks.Writing) {
    this.#answer = answer
    this.#writing = writing
  }

  get id(): string {
    return this.#answer.id
  }

  get model(): string {
    return this.#answer.model
  }

  get stream(): boolean {
    return this.#writing.request.stream === true
  }

  get promptTokens(): number {
    return this.#answer.promptTokens.length
  }

  get tokens(): ReadonlyArray<number> {
    return this.#answer.choices.map(({ steps }) => steps.length)
  }

  get finishes(): ReadonlyArray<string> {
    return this.#answer.choices.map(({ finish }) => finish)
  }

  frames(): Iterable<Frame> {
    return ChatChunks.frames(this.#answer, this.#writing)
  }

  whole(): string {
    return ChatChunks.whole(this.#answer, this.#writing)
  }

  // A token that says nothing ends it, as where the engine aborts.
  abort(tokens: ReadonlyArray<number>): ChatAnswer {
    const choices = this.#answer.choices.map((choice, index) => {
      const kept = choice.steps.slice(0, tokens[index] ?? 0)
      const reasoningTokens = kept.filter(({ isReasoning }) => isReasoning).length
      return { ...choice, steps: kept, finish: "abort" as const, stopReason: null, reasoningTokens }
    })
    return new ChatAnswer({ ...this.#answer, choices }, this.#writing)
  }
}

/**
 * A stream that has begun when the engine refuses the request: its first event is the error.
 *
 * @category models
 * @since 0.1.0
 */
export class RefusedStream implements Rendering {
  readonly id = ""
  readonly model = ""
  readonly stream = true
  readonly promptTokens = 0
  readonly tokens = []
  readonly finishes = []
  readonly #event: string

  constructor(refusal: OwnRefusal, profile: Profile) {
    this.#event = inBand(refusal, profile)
  }

  frames(): Iterable<Frame> {
    return [this.#event, "[DONE]"].map((data) => ({ choice: -1, tokens: 0, data }))
  }

  whole(): string {
    return this.#event
  }

  abort(): RefusedStream {
    return this
  }
}
