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

/** Sends a response with a body that is known. */
export const send = (response: ServerResponse, status: number, headers: Headers, body: string): void => {
  const known = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined)
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...Object.fromEntries(known) })
  response.end(body)
}
