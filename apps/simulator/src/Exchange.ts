/**
 * One generation on one connection: its frames leave when the scheduler makes their tokens, unless a fault, the client or the end of
 * the server comes in between.
 *
 * @since 0.1.0
 */
import type { ServerResponse } from "node:http"
import { ChunkWriter, Drip } from "./BodyWriter.ts"
import { type Failure, ofStatus, type OwnRefusal } from "./ErrorReply.ts"
import type { Fault } from "./Faults.ts"
import type { Outcome } from "./Ledger.ts"
import type { Phase, Running } from "./Lifecycle.ts"
import type { Scheduler, Ticket, Timer, Work } from "./Scheduler.ts"

/**
 * One event of a stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Frame {
  /** Index of the choice. Counts only if `tokens` is not 0. */
  readonly choice: number
  /** How many tokens of the choice the frame carries: 0 for a role, for usage and for the end. */
  readonly tokens: number
  /** What stands after `data: `. */
  readonly data: string
}

/**
 * An answer as bytes. Answers of all endpoints have this form.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rendering {
  readonly id: string
  readonly model: string
  readonly stream: boolean
  readonly promptTokens: number
  /** Tokens of each choice. */
  readonly tokens: ReadonlyArray<number>
  /** Why each choice ends. */
  readonly finishes: ReadonlyArray<string>
  readonly frames: () => Iterable<Frame>
  readonly whole: () => string
  /** The same answer, ended with `abort` after these tokens of each choice. */
  readonly abort: (tokens: ReadonlyArray<number>) => Rendering
}

/**
 * How an exchange ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExchangeEnd {
  readonly outcome: Outcome
  readonly status: number
  readonly completionTokens: number
  readonly finishes: ReadonlyArray<string>
  readonly timeToFirstToken: number | null
}

/**
 * What an exchange needs of its server.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExchangeHost {
  readonly timer: Timer
  readonly scheduler: Scheduler
  /** Headers of the response. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Headers that are known only when a whole answer is ready. */
  readonly wholeHeaders: () => Readonly<Record<string, string>>
  /** An error as the data of the events that end a stream. */
  readonly errorEvents: (refusal: OwnRefusal) => ReadonlyArray<string>
  /** An error as a response. */
  readonly errorReply: (refusal: OwnRefusal) => { readonly status: number; readonly body: string }
  readonly onToken: (tokens: number, sinceLast: number | undefined) => void
  readonly onStart: () => void
  /** The server goes to a phase, and runs again after so many milliseconds. */
  readonly onPhase: (phase: Phase, returnsAfter: number | undefined) => void
  readonly onEnd: (end: ExchangeEnd) => void
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((sum, number) => sum + number, 0)

/**
 * One generation on one connection.
 *
 * @category models
 * @since 0.1.0
 */
export class Exchange implements Work, Running {
  readonly rendering: Rendering
  readonly fault: Fault | undefined
  readonly #strikesAt: number | undefined
  readonly #host: ExchangeHost
  readonly #response: ServerResponse
  readonly #drip: Drip | undefined
  readonly #writer: ChunkWriter
  readonly #frames: Iterator<Frame> | undefined
  readonly #made: Array<number>
  readonly #planned: number
  readonly #longest: number
  readonly #begunAt: number
  #ticket: Ticket | undefined
  #next: IteratorResult<Frame> | undefined
  #sent = 0
  #steps = 0
  #total = 0
  #lastTokenAt: number | undefined
  #lastWriteAt = 0
  #firstTokenAfter: number | null = null
  #over = false
  #isMarred = false
  #isStarted = false
  #isWritten = false

  /** The fault strikes after `strikesAt` tokens; see `Faults.placeOf`. */
  constructor(host: ExchangeHost, response: ServerResponse, rendering: Rendering, fault?: Fault, strikesAt?: number) {
    this.#host = host
    this.#strikesAt = strikesAt
    this.#response = response
    this.#writer = new ChunkWriter(response)
    this.rendering = rendering
    this.fault = fault
    this.#made = rendering.tokens.map(() => 0)
    this.#planned = sum(rendering.tokens)
    this.#longest = Math.max(0, ...rendering.tokens)
    this.#frames = rendering.stream ? rendering.frames()[Symbol.iterator]() : undefined
    this.#begunAt = host.timer.now()
    if (fault?.kind === "drip") this.#drip = new Drip(host.timer, response, fault.bytes ?? 16, fault.pause ?? 50)
    if (fault?.kind === "split") this.#drip = new Drip(host.timer, response, 1, 0)
  }

  get promptTokens(): number {
    return this.rendering.promptTokens
  }

  get choices(): number {
    return this.rendering.tokens.length
  }

  /** Tokens made so far, of all choices. */
  get total(): number {
    return this.#total
  }

  /** Tokens that the whole answer has, of all choices. */
  get planned(): number {
    return this.#planned
  }

  /** Enters the queue. Returns false if it is full: nothing was sent then. */
  begin(): boolean {
    const fault = this.fault
    const strikes = fault?.kind === "reset" || fault?.kind === "truncate" || fault?.kind === "stall"
    if (strikes && this.#strikesAt === undefined) {
      this.#response.once("close", this.#left)
      this.#strike(fault.kind)
      return true
    }
    const ticket = this.#host.scheduler.submit(this)
    if (ticket === undefined) return false
    this.#ticket = ticket
    this.#response.once("close", this.#left)
    if (this.rendering.stream) {
      this.#response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", ...this.#host.headers })
      this.#response.flushHeaders()
    }
    this.#lastWriteAt = this.#host.timer.now()
    this.#meetFault()
    return true
  }

  started(): void {
    this.#isStarted = true
    this.#host.onStart()
  }

  /** Whether it left the queue. */
  get isStarted(): boolean {
    return this.#isStarted
  }

  /** Tokens that it holds in the cache. */
  get cached(): number {
    return this.#isStarted ? this.promptTokens + this.#total : 0
  }

  step(most: number): "more" | "pause" | "done" {
    const now = this.#host.timer.now()
    for (let left = most; left > 0; left--) {
      if (this.#over || this.#isWritten) return "done"
      this.#make(now)
      if (this.#meetFault()) return "done"
      const isLast = this.#frames === undefined ? this.#steps >= this.#longest : this.#next?.done === true
      if (!isLast) continue
      this.#finish()
      return "done"
    }
    return this.#flush() ? "more" : "pause"
  }

  #make(now: number): void {
    this.#steps++
    const before = this.#total
    if (this.#frames === undefined) this.#count()
    else this.#emit(this.#frames)
    if (this.#total === before) return
    this.#firstTokenAfter ??= now - this.#begunAt
    this.#host.onToken(this.#total - before, this.#lastTokenAt === undefined ? undefined : now - this.#lastTokenAt)
    this.#lastTokenAt = now
  }

  /** Sends a comment if nothing was sent for `interval` milliseconds. */
  keepAlive(now: number, interval: number): void {
    if (!this.rendering.stream || this.#over || this.#isWritten || now - this.#lastWriteAt < interval) return
    this.#write(": keep-alive\n\n")
    this.#flush()
  }

  /** The answer ends with `abort`, as if the server were told to stop. */
  abort(): void {
    if (this.#over || this.#isWritten) return
    const aborted = this.rendering.abort(this.#made)
    if (this.#frames === undefined) this.#sendWhole(200, aborted.whole())
    else {
      // The frames that were sent are the first ones of the aborted answer too.
      let at = 0
      for (const frame of aborted.frames()) if (at++ >= this.#sent) this.#writeFrame(frame)
    }
    this.#end("aborted", 200, aborted.finishes)
    this.#close()
  }

  /** The engine dies: an error event ends the stream, and a whole answer is the error. */
  fail({ inBand, whole }: Failure): void {
    if (this.#over || this.#isWritten) return
    if (this.rendering.stream) {
      for (const data of this.#host.errorEvents(inBand)) this.#write(`data: ${data}\n\n`)
      this.#end("failed", 200, ["error"])
      return this.#close()
    }
    const reply = this.#host.errorReply(whole)
    this.#sendWhole(reply.status, reply.body)
    this.#end("failed", reply.status, ["error"])
    this.#close()
  }

  /** The process is gone: the connection closes as it is. */
  kill(): void {
    if (this.#over) return
    this.#end("failed", this.#response.headersSent ? this.#response.statusCode : 0, ["error"])
    this.#response.socket?.destroy()
  }

  #count(): void {
    for (const [choice, tokens] of this.rendering.tokens.entries()) {
      if ((this.#made[choice] ?? 0) >= tokens) continue
      this.#made[choice] = (this.#made[choice] ?? 0) + 1
      this.#total++
    }
  }

  #emit(frames: Iterator<Frame>): void {
    for (;;) {
      this.#next ??= frames.next()
      if (this.#next.done === true) return
      const frame = this.#next.value
      const made = (this.#made[frame.choice] ?? 0) + frame.tokens
      if (frame.tokens > 0 && made > this.#steps) return
      this.#made[frame.choice] = made
      this.#total += frame.tokens
      this.#next = undefined
      this.#writeFrame(frame)
    }
  }

  #writeFrame(frame: Frame): void {
    this.#sent++
    if (this.fault?.kind === "noDone" && frame.data === "[DONE]") return
    this.#write(`data: ${frame.data}\n\n`)
  }

  #write(text: string): void {
    if (this.#drip === undefined) this.#writer.add(text)
    else this.#drip.write(text)
  }

  // What was written leaves. False: the client reads too slowly, and the next token waits.
  #flush(): boolean {
    this.#lastWriteAt = this.#host.timer.now()
    return this.#writer.flush(() => this.#ticket !== undefined && this.#host.scheduler.resume(this.#ticket))
  }

  #sendWhole(status: number, body: string): void {
    this.#head(status, body)
    if (this.#drip === undefined) this.#response.write(body)
    else this.#drip.write(body)
  }

  #head(status: number, body: string): void {
    this.#response.writeHead(status, {
      "content-length": Buffer.byteLength(body),
      "content-type": "application/json",
      ...this.#host.headers,
      ...(status === 200 ? this.#host.wholeHeaders() : {})
    })
  }

  #finish(): void {
    if (this.#frames === undefined) this.#sendWhole(200, this.rendering.whole())
    this.#isWritten = true
    this.#close(() => this.#end("finished", 200, this.rendering.finishes))
  }

  /** True if the fault ended the exchange. */
  #meetFault(): boolean {
    const fault = this.fault
    if (fault === undefined || this.#isMarred || this.#total < (this.#strikesAt ?? 0)) return false
    switch (fault.kind) {
      case "garbage":
        this.#isMarred = true
        if (this.rendering.stream) this.#write(`data: ${fault.text ?? '{"id":"chatcmpl-'}\n\n`)
        return false
      case "error":
        this.#failOnPurpose(fault.status, fault.message)
        return true
      case "reset":
      case "truncate":
      case "stall":
        this.#strike(fault.kind)
        return true
      case "abort":
        this.abort()
        return true
      case "phase":
        this.#isMarred = true
        this.#flush()
        this.#host.onPhase(fault.phase, fault.returnsAfter)
        return this.#over
      default:
        return false
    }
  }

  #failOnPurpose(status = 500, message = "The simulator was asked for this error."): void {
    const refusal = ofStatus(status, message)
    this.fail({ inBand: refusal, whole: refusal })
  }

  // Of a whole answer, its head and the first half are sent before.
  #strike(kind: "reset" | "truncate" | "stall"): void {
    if (!this.rendering.stream && this.#ticket !== undefined) {
      const body = this.rendering.whole()
      this.#head(200, body)
      this.#response.write(body.slice(0, body.length >> 1))
    }
    this.#flush()
    if (kind === "stall") return this.#ticket === undefined ? undefined : this.#host.scheduler.leave(this.#ticket)
    this.#end("failed", this.#response.headersSent ? 200 : 0, ["error"])
    const { socket } = this.#response
    // What was written leaves first.
    socket?.write("", () => (kind === "reset" ? socket.resetAndDestroy() : socket.end(() => socket.destroy())))
  }

  readonly #left = (): void => this.#end("left", this.#response.headersSent ? this.#response.statusCode : 0, ["abort"])

  #end(outcome: Outcome, status: number, finishes: ReadonlyArray<string>): void {
    if (this.#over) return
    this.#over = true
    if (this.#ticket !== undefined) this.#host.scheduler.leave(this.#ticket)
    this.#host.onEnd({ outcome, status, finishes, completionTokens: this.#total, timeToFirstToken: this.#firstTokenAfter })
  }

  // Calls `sent` when the system has the last byte.
  #close(sent?: () => void): void {
    this.#flush()
    if (this.#drip === undefined) this.#response.end(sent)
    else this.#drip.end(() => this.#response.end(sent))
  }
}
