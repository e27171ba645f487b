/**
 * Reads HTTP/1.1 requests off a socket: the third of the fault server that knows what clients say.
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import type { Socket } from "node:net"

/**
 * A request as it came.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultRequest {
  readonly method: string
  readonly target: string
  readonly headers: ReadonlyArray<readonly [string, string]>
  readonly body: Buffer
}

/**
 * The value of the first header of a name, which is given in lower case.
 *
 * @category reading
 * @since 0.1.0
 */
export const header = (headers: FaultRequest["headers"], name: string) => headers.find(([other]) => other.toLowerCase() === name)?.[1]

/**
 * Reads requests off a socket one by one. Bytes of the next one wait in the buffer.
 *
 * @category reading
 * @since 0.1.0
 */
export const makeReader = (socket: Socket) => {
  let buffer = Buffer.alloc(0)
  let ended = false
  let isDiscarding = false
  let wake: (() => void) | undefined
  socket.on("data", (bytes) => {
    if (isDiscarding) return
    buffer = Buffer.concat([buffer, typeof bytes === "string" ? Buffer.from(bytes) : bytes])
    wake?.()
  })
  for (const event of ["end", "close"]) {
    socket.on(event, () => {
      ended = true
      wake?.()
    })
  }
  const more = async () => {
    if (ended) return false
    await new Promise<void>((resolve) => (wake = resolve))
    return true
  }
  const take = (length: number) => {
    const bytes = buffer.subarray(0, length)
    buffer = buffer.subarray(length)
    return bytes
  }
  const line = async () => {
    while (!buffer.includes("\r\n")) if (!(await more())) return undefined
    return take(buffer.indexOf("\r\n") + 2)
      .subarray(0, -2)
      .toString("latin1")
  }
  const exactly = async (length: number) => {
    while (buffer.length < length) if (!(await more())) return undefined
    return take(length)
  }
  const chunked = async () => {
    const chunks: Array<Buffer> = []
    for (;;) {
      const size = Number.parseInt((await line()) ?? "", 16)
      if (Number.isNaN(size)) return undefined
      const bytes = await exactly(size)
      if (bytes === undefined || (await line()) === undefined) return undefined
      if (size === 0) return Buffer.concat(chunks)
      chunks.push(bytes)
    }
  }
  /**
   * The next whole request; undefined when the connection ends before it does. One that is answered early comes without its body: what the client
   * sends from then on is taken, and lost.
   */
  return async (isEarly: (request: FaultRequest) => boolean): Promise<FaultRequest | undefined> => {
    const [method, target] = (await line())?.split(" ") ?? []
    if (method === undefined || target === undefined) return undefined
    const headers: Array<readonly [string, string]> = []
    for (;;) {
      const text = await line()
      if (text === undefined) return undefined
      if (text === "") break
      const colon = text.indexOf(":")
      headers.push([text.slice(0, colon), text.slice(colon + 1).trim()])
    }
    const early = { method, target, headers, body: Buffer.alloc(0) }
    if (isEarly(early)) {
      isDiscarding = true
      buffer = Buffer.alloc(0)
      return early
    }
    const isChunked = header(headers, "transfer-encoding")?.includes("chunked") === true
    const body = isChunked ? await chunked() : await exactly(Number(header(headers, "content-length") ?? 0))
    return body === undefined ? undefined : { method, target, headers, body }
  }
}
