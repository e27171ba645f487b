/**
 * How the body of a streamed response is written: in one system call for all that is due, or in drops.
 *
 * @since 0.1.0
 */
import type { ServerResponse } from "node:http"
import type { Timer } from "./Scheduler.ts"

/**
 * Writes the body of a streamed response: each text is an HTTP chunk of its own, and all texts up to a {@link flush} leave in one system
 * call. `ServerResponse` itself makes three writes of each text, which is most of what an event costs.
 */
export class ChunkWriter {
  readonly #response: ServerResponse
  #queued = ""
  #isAscii = true
  #flows = true

  /** The headers were sent before. */
  constructor(response: ServerResponse) {
    this.#response = response
  }

  add(text: string): void {
    // Without a socket, an earlier response of the connection is not over.
    if (this.#response.socket === null) {
      this.#flows = this.#response.write(text)
      return
    }
    const size = Buffer.byteLength(text)
    if (size !== text.length) this.#isAscii = false
    this.#queued += this.#response.chunkedEncoding ? `${size.toString(16)}\r\n${text}\r\n` : text
  }

  /** Returns false if the connection is full; `resume` is called when it is not any more. */
  flush(resume: () => void): boolean {
    const { socket } = this.#response
    if (this.#queued === "" || socket === null) {
      if (!this.#flows) this.#response.once("drain", resume)
      const flows = this.#flows
      this.#flows = true
      return flows
    }
    const flows = socket.write(this.#queued, this.#isAscii ? "latin1" : "utf8")
    this.#queued = ""
    this.#isAscii = true
    if (!flows) socket.once("drain", resume)
    return flows
  }
}

/** Writes in small pieces, one after another. */
export class Drip {
  readonly #queue: Array<Buffer> = []
  #waiting = false
  readonly #timer: Timer
  readonly #response: ServerResponse
  readonly #bytes: number
  readonly #pause: number
  #end: (() => void) | undefined

  constructor(timer: Timer, response: ServerResponse, bytes: number, pause: number) {
    this.#timer = timer
    this.#response = response
    this.#bytes = bytes
    this.#pause = pause
  }

  write(text: string): void {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; at += this.#bytes) this.#queue.push(bytes.subarray(at, at + this.#bytes))
    this.#next()
  }

  /** Calls `run` after the last piece. */
  end(run: () => void): void {
    this.#end = run
    this.#next()
  }

  #next(): void {
    if (this.#waiting || this.#response.destroyed) return
    const piece = this.#queue.shift()
    if (piece === undefined) return this.#end?.()
    this.#response.write(piece)
    this.#waiting = true
    this.#timer.after(this.#pause, () => {
      this.#waiting = false
      this.#next()
    })
  }
}
