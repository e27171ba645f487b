/**
 * Bytes on a connection of their own: what no HTTP client sends, and the responses that come back.
 *
 * @since 0.1.0
 */
import type { RawWrite } from "./ServerCase.ts"

/**
 * A connection. `read` gives what comes next, and `undefined` once the other side has ended or reset it.
 *
 * @category models
 * @since 0.1.0
 */
export interface RawSocket {
  readonly write: (bytes: Uint8Array) => Promise<void>
  readonly read: () => Promise<Uint8Array | undefined>
  readonly close: () => void
}

/**
 * Opens a connection to an origin, as the runtime can.
 *
 * @category models
 * @since 0.1.0
 */
export type OpenSocket = (origin: URL) => Promise<RawSocket>

/**
 * What came back.
 *
 * @category models
 * @since 0.1.0
 */
export interface RawAnswer {
  /** Of every whole response, but for informational ones. */
  readonly statuses: ReadonlyArray<number>
  readonly text: string
  readonly bytes: number
  readonly endAt: number
  /** Whether the server had ended the connection. */
  readonly closed: boolean
}

const encoder = new TextEncoder()

const rendered = (write: RawWrite): Uint8Array => {
  if ("utf8" in write) return encoder.encode(write.utf8)
  const body = write.json === undefined ? new Uint8Array() : encoder.encode(JSON.stringify(write.json))
  const isChunked = write.framing === "chunked"
  const framing = isChunked ? "transfer-encoding: chunked" : `content-length: ${body.length}`
  const head = encoder.encode(
    [...write.head, ...(write.json === undefined ? [] : [framing, "content-type: application/json"]), "\r\n"].join("\r\n")
  )
  const middle = Math.floor(body.length / 2)
  const chunk = (bytes: Uint8Array) => [encoder.encode(`${bytes.length.toString(16)}\r\n`), bytes, encoder.encode("\r\n")]
  const framed = isChunked
    ? [...chunk(body.subarray(0, middle)), ...chunk(body.subarray(middle)), encoder.encode("0\r\n\r\n")]
    : [body.subarray(0, body.length - (write.withhold ?? 0))]
  return Uint8Array.from([head, ...framed].flatMap((bytes) => [...bytes]))
}

// Latin-1, so that an index into the text is one into the bytes.
const latin1 = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")

const endOfChunked = (text: string, from: number): number | undefined => {
  for (let at = from; ;) {
    const lineEnd = text.indexOf("\r\n", at)
    const size = lineEnd === -1 ? Number.NaN : Number.parseInt(text.slice(at, lineEnd), 16)
    if (Number.isNaN(size) || text.length < lineEnd + 2 + size + 2) return undefined
    at = lineEnd + 2 + size + 2
    if (size === 0) return at
  }
}

/** The statuses of whole responses, and whether the text ends with one. */
const responses = (text: string, closed: boolean) => {
  const statuses: Array<number> = []
  let at = 0
  while (at < text.length) {
    const headEnd = text.indexOf("\r\n\r\n", at)
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text.slice(at, at + 12))?.[1] ?? Number.NaN)
    if (headEnd === -1 || Number.isNaN(status)) break
    const head = text.slice(at, headEnd)
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    const from = headEnd + 4
    const none = status < 200 || status === 204 || status === 304
    const end = none
      ? from
      : /\r\ntransfer-encoding: *chunked/i.test(head)
        ? endOfChunked(text, from)
        : length === undefined
          ? closed
            ? text.length
            : undefined
          : from + Number(length)
    if (end === undefined || end > text.length) break
    if (status >= 200) statuses.push(status)
    at = end
  }
  return statuses
}

/**
 * Writes one after the other, waiting after each whole request for its response, and reads until `wanted` responses have come, the server has
 * ended the connection, or the signal fires.
 *
 * @category running
 * @since 0.1.0
 */
export const play = async (
  writes: ReadonlyArray<RawWrite>,
  options: {
    readonly open: OpenSocket
    readonly origin: URL
    readonly wanted: number
    readonly leave: boolean
    readonly signal: AbortSignal
  }
): Promise<RawAnswer> => {
  const start = performance.now()
  const socket = await options.open(options.origin)
  let text = ""
  let closed = false
  const gone = new Promise<undefined>((resolve) => {
    if (options.signal.aborted) resolve(undefined)
    options.signal.addEventListener("abort", () => resolve(undefined))
  })
  const until = async (count: number) => {
    while (!closed && !options.signal.aborted && responses(text, closed).length < count) {
      const bytes = await Promise.race([socket.read(), gone])
      if (bytes === undefined) closed = !options.signal.aborted
      else text += latin1(bytes)
    }
  }
  try {
    let whole = 0
    for (const write of writes) {
      await socket.write(rendered(write))
      if (!("head" in write) || (write.withhold ?? 0) > 0) continue
      whole += 1
      await until(whole)
    }
    if (!options.leave) await until(options.wanted)
  } finally {
    socket.close()
  }
  return { statuses: responses(text, closed), text, bytes: text.length, endAt: performance.now() - start, closed }
}
