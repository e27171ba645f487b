/**
 * A chat answer as the engine sends it.
 *
 * @since 0.1.0
 */
import type { Answer } from "./Answer.ts"
import * as ChatChunks from "./ChatChunks.ts"
import type { Frame, Rendering } from "./Exchange.ts"

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

  abort(tokens: ReadonlyArray<number>): ChatAnswer {
    const choices = this.#answer.choices.map(({ steps }, index) => ({
      steps: steps.first(tokens[index] ?? 0),
      finish: "abort" as const,
      stopReason: null
    }))
    return new ChatAnswer({ ...this.#answer, choices }, this.#writing)
  }
}

/**
 * A stream that is an error, after a 200.
 *
 * @category models
 * @since 0.1.0
 */
export class ErrorStream implements Rendering {
  readonly id = ""
  readonly model: string
  readonly stream = true
  readonly promptTokens = 0
  readonly tokens = []
  readonly finishes = ["error"]
  readonly #events: ReadonlyArray<string>

  constructor(events: ReadonlyArray<string>, model: string) {
    this.#events = events
    this.model = model
  }

  frames(): Iterable<Frame> {
    return this.#events.map((data) => ({ choice: -1, tokens: 0, data }))
  }

  whole(): string {
    return this.#events.join("")
  }

  abort(): ErrorStream {
    return this
  }
}
