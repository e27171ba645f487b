/**
 * Turns the steps of one attempt into what is put on the socket, in order: the third of the fault server that knows bytes and no sockets.
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import { constants, createBrotliCompress, createDeflate, createGzip, createZstdCompress } from "node:zlib"
import type { Coding, Script, Step, Variant } from "./Script.ts"

/**
 * One thing to do to the connection. `write` hands over all its bytes in one call, so that they travel together where the network lets them.
 *
 * @category models
 * @since 0.1.0
 */
export type Action =
  | { readonly _tag: "Write"; readonly bytes: Buffer }
  | { readonly _tag: "Delay"; readonly ms: number }
  | { readonly _tag: "WaitFor"; readonly event: "release" | "clientRead" }
  | { readonly _tag: "Stall" | "Fin" | "Rst" }
  | { readonly _tag: "End"; readonly keepAlive: boolean }

type Head = Extract<Step, { readonly step: "head" }>
type Write = Extract<Step, { readonly step: "write" }>

const eols = { lf: "\n", cr: "\r", crlf: "\r\n" } as const

type Text = (utf8: string) => Buffer

const makeText =
  (variant: Variant, user: string): Text =>
  (utf8) =>
    Buffer.from(utf8.replaceAll("{{user}}", user).replaceAll("\n", eols[variant.eol ?? "lf"]), "utf8")

function* pieces(step: Write, text: Text): Generator<Buffer> {
  if ("utf8" in step) yield text(step.utf8)
  else if ("base64" in step) yield Buffer.from(step.base64, "base64")
  else {
    const piece = text(step.repeat.utf8)
    for (let i = 0; i < step.repeat.times; i++) yield piece
  }
}

const compressors = {
  br: () => [createBrotliCompress(), constants.BROTLI_OPERATION_FLUSH] as const,
  deflate: () => [createDeflate(), constants.Z_SYNC_FLUSH] as const,
  gzip: () => [createGzip(), constants.Z_SYNC_FLUSH] as const,
  zstd: () => [createZstdCompress(), constants.ZSTD_e_flush] as const
}

/** Compresses write by write: what has been written can be read at once, as servers that stream compressed must see to. */
class Compressor {
  readonly #stream
  readonly #flush: number
  #out: Array<Buffer> = []

  constructor(coding: Coding) {
    const [stream, flush] = compressors[coding]()
    this.#stream = stream
    this.#flush = flush
    stream.on("data", (chunk: Buffer) => this.#out.push(chunk))
  }

  write(bytes: Buffer) {
    return new Promise<Buffer>((resolve) => {
      this.#stream.write(bytes)
      this.#stream.flush(this.#flush, () => resolve(this.#take()))
    })
  }

  end() {
    return new Promise<Buffer>((resolve) => {
      this.#stream.once("end", () => resolve(this.#take()))
      this.#stream.end()
    })
  }

  #take() {
    const bytes = Buffer.concat(this.#out)
    this.#out = []
    return bytes
  }
}

const compressorOf = ({ coding }: Variant) => (coding === undefined ? undefined : new Compressor(coding))

const headBytes = (head: Head, length: number | undefined, variant: Variant) => {
  const own = Object.entries(head.headers ?? {}).flatMap(([name, value]) =>
    typeof value === "string" ? [[name.toLowerCase(), value] as const] : value.map((item) => [name.toLowerCase(), item] as const)
  )
  const defaults: Array<readonly [string, string]> = []
  const framing = head.framing ?? "chunked"
  if (framing === "chunked") defaults.push(["transfer-encoding", "chunked"])
  if (length !== undefined) defaults.push(["content-length", String(length)])
  if (variant.coding !== undefined) defaults.push(["content-encoding", variant.coding])
  defaults.push(["connection", head.keepAlive === true ? "keep-alive" : "close"])
  if (head.cors !== false) {
    defaults.push(["access-control-allow-origin", "*"], ["access-control-expose-headers", "*"])
  }
  const headers = [...defaults.filter(([name]) => !own.some(([other]) => other === name)), ...own]
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`HTTP/1.1 ${head.status} \r\n${lines.join("")}\r\n`, "latin1")
}

// Of a text that is repeated more often than this, so many repeats, and so many bytes of them at most, are put on the socket in one write.
const batch = { pieces: 64, bytes: 16_384 } as const

// Without a common measure with the length of events: from one to the next, other places are cut.
const pieceSizes = [1, 2, 3, 5, 7, 11]

const chunk = (bytes: Buffer) => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")])

/**
 * What to do, step by step, to answer one request of `user`.
 *
 * @category rendering
 * @since 0.1.0
 */
export async function* actions(steps: Script["attempts"][number], variant: Variant, user: string): AsyncGenerator<Action> {
  const split = variant.split ?? "each"
  const text = makeText(variant, user)
  const compressor = compressorOf(variant)
  let head: Head | undefined
  let waiting: Array<Buffer> = []

  const framed = (bytes: Buffer) => ((head?.framing ?? "chunked") === "chunked" ? chunk(bytes) : bytes)
  const flush = (): ReadonlyArray<Action> => {
    if (waiting.length === 0) return []
    const bytes = Buffer.concat(waiting)
    waiting = []
    return [{ _tag: "Write", bytes }]
  }
  const body = function* (bytes: Buffer): Generator<Action> {
    if (bytes.length === 0) return
    if (split === "whole") waiting.push(framed(bytes))
    else if (split === "each") yield { _tag: "Write", bytes: framed(bytes) }
    else {
      const sizes = split === "bytes" ? [1] : pieceSizes
      for (let from = 0, i = 0; from < bytes.length; i++) {
        const size = sizes[i % sizes.length] ?? 1
        yield { _tag: "Write", bytes: framed(bytes.subarray(from, from + size)) }
        from += size
      }
    }
  }
  // A write for each of ten thousand repeats takes seconds, and shows no more than one for each batch.
  const repeated = function* (bytes: Buffer, times: number): Generator<Action> {
    if (bytes.length === 0) return
    if (split !== "each" || times <= batch.pieces) {
      for (let i = 0; i < times; i++) yield* body(bytes)
      return
    }
    const piece = framed(bytes)
    const most = Math.max(1, Math.min(batch.pieces, Math.floor(batch.bytes / piece.length)))
    for (let left = times; left > 0; left -= most)
      yield { _tag: "Write", bytes: Buffer.concat(Array<Buffer>(Math.min(left, most)).fill(piece)) }
  }

  for (const [at, step] of steps.entries()) {
    switch (step.step) {
      case "head": {
        head = step
        const rest = steps.slice(at + 1)
        const computed = step.framing === "length" ? (step.length ?? (await encodedLength(rest, variant, text))) : step.length
        const bytes = headBytes(step, computed, variant)
        if (split === "whole") waiting.push(bytes)
        else yield { _tag: "Write", bytes }
        break
      }
      case "write":
        if ("repeat" in step && compressor === undefined) yield* repeated(text(step.repeat.utf8), step.repeat.times)
        else for (const piece of pieces(step, text)) yield* body(compressor === undefined ? piece : await compressor.write(piece))
        break
      case "rawBytes":
        yield* flush()
        yield { _tag: "Write", bytes: "utf8" in step ? Buffer.from(step.utf8, "utf8") : Buffer.from(step.base64, "base64") }
        break
      case "delay":
        yield* flush()
        yield { _tag: "Delay", ms: step.ms }
        break
      case "waitFor":
        yield* flush()
        yield { _tag: "WaitFor", event: step.event }
        break
      case "stall":
        yield* flush()
        yield { _tag: "Stall" }
        return
      case "fin":
        yield* flush()
        yield { _tag: "Fin" }
        return
      case "rst":
        yield* flush()
        yield { _tag: "Rst" }
        return
    }
  }
  if (compressor !== undefined) yield* body(await compressor.end())
  if (head !== undefined && (head.framing ?? "chunked") === "chunked") waiting.push(Buffer.from("0\r\n\r\n"))
  yield* flush()
  yield { _tag: "End", keepAlive: head?.keepAlive === true && head.framing !== "close" }
}

const encodedLength = async (steps: ReadonlyArray<Step>, variant: Variant, text: Text) => {
  const compressor = compressorOf(variant)
  let total = 0
  for (const step of steps) {
    if (step.step !== "write") continue
    for (const piece of pieces(step, text)) total += (compressor === undefined ? piece : await compressor.write(piece)).length
  }
  return compressor === undefined ? total : total + (await compressor.end()).length
}
