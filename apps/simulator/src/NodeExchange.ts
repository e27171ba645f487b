/**
 * Reading a body from, and sending a short response to, a connection of `node:http`.
 *
 * @since 0.1.0
 */
import type { IncomingMessage, ServerResponse } from "node:http"

/** Headers; an undefined one is not sent. */
export type Headers = Readonly<Record<string, string | undefined>>

const maxBodyBytes = 64 * 1024 * 1024

/** The first value of a header. */
export const header = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** The body, or `undefined` if it has more than 64 MiB. */
export const bodyOf = (request: IncomingMessage): Promise<Buffer | undefined> =>
  new Promise((resolve) => {
    const parts: Array<Buffer> = []
    let size = 0
    request.on("data", (part: Buffer) => {
      size += part.length
      if (size <= maxBodyBytes) parts.push(part)
    })
    request.on("end", () => resolve(size <= maxBodyBytes ? Buffer.concat(parts) : undefined))
    request.on("error", () => undefined)
  })

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

/** Sends a response with a body that is known. */
export const send = (response: ServerResponse, status: number, headers: Headers, body: string): void => {
  const known = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined)
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...Object.fromEntries(known) })
  response.end(body)
}
