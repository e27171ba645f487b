/**
 * The response of a model server: its head decides who reads the body.
 */
import type { Refusal } from "./UpstreamFailure.ts"
import type { UpstreamBody, UpstreamSink } from "./UpstreamCall.ts"

// What is read of a refusal's body, and for how long: it may never end.
const maxRefusal = 64 * 1024
const refusalMillis = 2000

/** What is told of a response. */
export interface ResponseEvents {
  readonly onHead: (status: number, headers: Refusal["headers"]) => void
  /** Status 200 with the content type. */
  readonly onAnswer: () => void
  readonly onRefusal: (refusal: Refusal) => void
  /** Status 200 with something else. */
  readonly onUnexpected: (cause: string) => void
}

/** Reads a response: its answer goes to `body`. */
export class ResponseSink implements UpstreamSink {
  readonly #type: string
  readonly #events: ResponseEvents
  #body: UpstreamBody

  constructor(type: string, body: UpstreamBody, events: ResponseEvents) {
    this.#type = type
    this.#body = body
    this.#events = events
  }

  onHead(status: number, headers: Refusal["headers"]): void {
    this.#events.onHead(status, headers)
    if (status !== 200) {
      this.#body = new RefusalBody(status, headers, this.#events.onRefusal)
      return
    }
    const given = headers["content-type"] ?? "no content type"
    const encoding = headers["content-encoding"] ?? "identity"
    if (given.split(";", 1)[0]?.trim().toLowerCase() === this.#type && encoding === "identity") this.#events.onAnswer()
    else this.#events.onUnexpected(`200 with ${given}${encoding === "identity" ? "" : `, ${encoding}`}`)
  }

  onData(bytes: Buffer): void {
    this.#body.onData(bytes)
  }

  onEnd(): void {
    this.#body.onEnd()
  }

  onError(error: unknown): void {
    this.#body.onError(error)
  }
}

// Collects a refusal, whose body may never end.
class RefusalBody implements UpstreamBody {
  readonly #status: number
  readonly #headers: Refusal["headers"]
  readonly #onRefusal: (refusal: Refusal) => void
  readonly #parts: Array<Buffer> = []
  readonly #patience: NodeJS.Timeout
  #size = 0
  #isOver = false

  constructor(status: number, headers: Refusal["headers"], onRefusal: (refusal: Refusal) => void) {
    this.#status = status
    this.#headers = headers
    this.#onRefusal = onRefusal
    this.#patience = setTimeout(() => this.onEnd(), refusalMillis).unref()
  }

  onData(bytes: Buffer): void {
    this.#parts.push(bytes)
    this.#size += bytes.length
    if (this.#size > maxRefusal) this.onEnd()
  }

  onEnd(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#patience)
    this.#onRefusal({ status: this.#status, headers: this.#headers, body: Buffer.concat(this.#parts).toString("utf8") })
  }

  onError(): void {
    this.onEnd()
  }
}
