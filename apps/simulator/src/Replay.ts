/**
 * Answers of a real server, played again: found by their request, with the pauses that they had.
 *
 * @since 0.1.0
 */
import type { ServerResponse } from "node:http"
import * as Result from "effect/Result"
import type { Outcome } from "./Ledger.ts"
import type { Running } from "./Lifecycle.ts"
import { bytesOf, canonical, type RecordedExchange } from "./RecordedExchange.ts"
import type { Timer } from "./Scheduler.ts"

const keyOf = ({ method, path }: Pick<RecordedExchange, "method" | "path">, request: unknown) => `${method} ${path} ${canonical(request)}`

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

// The names of the fields in which two bodies differ.
const differences = (one: unknown, other: unknown): ReadonlyArray<string> => {
  if (!isRecord(one) || !isRecord(other)) return ["body"]
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].filter((name) => canonical(one[name]) !== canonical(other[name]))
}

/**
 * A recording to answer from.
 *
 * @category models
 * @since 0.1.0
 */
export class Recorded {
  readonly #exchanges: ReadonlyArray<RecordedExchange>
  readonly #byRequest = new Map<string, { readonly exchanges: Array<RecordedExchange>; next: number }>()

  constructor(exchanges: ReadonlyArray<RecordedExchange>) {
    this.#exchanges = exchanges
    for (const exchange of exchanges) {
      const key = keyOf(exchange, exchange.request)
      const known = this.#byRequest.get(key)
      if (known === undefined) this.#byRequest.set(key, { exchanges: [exchange], next: 0 })
      else known.exchanges.push(exchange)
    }
  }

  /**
   * The exchange of a request with this body. One that was recorded several times is answered in that order, and then as the last time.
   * Fails with what differs from the nearest one.
   */
  find(method: string, path: string, body: unknown): Result.Result<RecordedExchange, string> {
    const known = this.#byRequest.get(keyOf({ method, path }, body))
    const found = known?.exchanges[Math.min(known.next, known.exchanges.length - 1)]
    if (known !== undefined && found !== undefined) {
      known.next++
      return Result.succeed(found)
    }
    const same = this.#exchanges.filter((exchange) => exchange.method === method && exchange.path === path)
    if (same.length === 0) return Result.fail(`No ${method} ${path} was recorded.`)
    const nearest = same
      .map((exchange) => differences(exchange.request, body))
      .reduce((least, names) => (names.length < least.length ? names : least))
    return Result.fail(
      `This request was not recorded: the nearest of ${same.length} to ${path} differs in ${nearest.join(", ")}. Record it, or ask as it was asked.`
    )
  }
}

/**
 * How a replay ended, and the tokens that the recorded answer tells of.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReplayEnd {
  readonly outcome: Outcome
  readonly status: number
  readonly timeToFirstToken: number | null
}

const framed = /^(connection|keep-alive|transfer-encoding|content-length)$/

/**
 * One recorded answer on one connection.
 *
 * @category models
 * @since 0.1.0
 */
export class Replay implements Running {
  readonly #timer: Timer
  readonly #response: ServerResponse
  readonly #exchange: RecordedExchange
  readonly #speed: number
  readonly #onEnd: (end: ReplayEnd) => void
  readonly #begunAt: number
  #next = 0
  #firstAfter: number | null = null
  #cancel: (() => void) | undefined
  #over = false

  /** `speed` 2 is twice as fast as it was, `Infinity` without pauses. */
  constructor(timer: Timer, response: ServerResponse, exchange: RecordedExchange, speed: number, onEnd: (end: ReplayEnd) => void) {
    this.#timer = timer
    this.#response = response
    this.#exchange = exchange
    this.#speed = speed
    this.#onEnd = onEnd
    this.#begunAt = timer.now()
  }

  /** Nothing: a recorded answer holds no cache. */
  readonly cached = 0

  begin(headers: Readonly<Record<string, string | undefined>>): void {
    this.#response.once("close", () => this.#end("left"))
    this.#wait(this.#exchange.headersAt, () => {
      this.#head(headers)
      this.#play()
    })
  }

  /** A recorded answer cannot end otherwise than it did: the connection closes. */
  abort(): void {
    this.kill()
  }

  /** As {@link abort}. */
  fail(): void {
    this.kill()
  }

  kill(): void {
    if (this.#over) return
    this.#end("failed")
    this.#response.socket?.destroy()
  }

  /** Nothing is sent that was not recorded. */
  keepAlive(): void {}

  // A response with a length was complete at once; others come in the chunks that they had.
  #head(headers: Readonly<Record<string, string | undefined>>): void {
    const { headers: recorded, isCut, pieces, status } = this.#exchange
    const kept = Object.fromEntries(Object.entries(recorded).filter(([name]) => !framed.test(name)))
    const isWhole = recorded["content-length"] !== undefined
    const size = pieces.reduce((size, piece) => size + bytesOf(piece).length, 0) + (isCut ? 1 : 0)
    this.#response.writeHead(status, { ...headers, ...kept, ...(isWhole ? { "content-length": size } : {}) })
    this.#response.flushHeaders()
  }

  readonly #play = (): void => {
    const { endsAt, pieces } = this.#exchange
    while (!this.#over) {
      const piece = pieces[this.#next]
      const time = piece === undefined ? endsAt : piece[0]
      if (this.#delay(time) > 0) return this.#wait(time, this.#play)
      if (piece === undefined) return this.#finish()
      this.#next++
      this.#firstAfter ??= this.#timer.now() - this.#begunAt
      if (!this.#response.write(bytesOf(piece))) return void this.#response.once("drain", this.#play)
    }
  }

  #finish(): void {
    if (!this.#exchange.isCut) return void this.#response.end(() => this.#end("finished"))
    const { socket } = this.#response
    socket?.write("", () => socket.destroy())
  }

  #delay(time: number): number {
    return this.#begunAt + time / this.#speed - this.#timer.now()
  }

  #wait(time: number, run: () => void): void {
    this.#cancel = this.#timer.after(Math.max(0, this.#delay(time)), run)
  }

  #end(outcome: Outcome): void {
    if (this.#over) return
    this.#over = true
    this.#cancel?.()
    const isCut = outcome === "left" && this.#exchange.isCut && this.#next === this.#exchange.pieces.length
    const status = this.#response.headersSent ? this.#exchange.status : 0
    this.#onEnd({ outcome: isCut ? "failed" : outcome, status, timeToFirstToken: this.#firstAfter })
  }
}

/**
 * The usage that a recorded answer tells of, with zeros where there is none.
 *
 * @category getters
 * @since 0.1.0
 */
export const usageOf = ({ pieces }: RecordedExchange): { readonly prompt: number; readonly completion: number } => {
  const body = Buffer.concat(pieces.map(bytesOf)).toString()
  const of = (name: string) => Number(Array.from(body.matchAll(new RegExp(`"${name}":\\s*(\\d+)`, "g"))).at(-1)?.[1] ?? 0)
  return { prompt: of("prompt_tokens"), completion: of("completion_tokens") }
}
