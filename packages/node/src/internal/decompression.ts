// Decompresses bodies. The client does not request compression, but proxies may compress without a request.
import type { Transform } from "node:stream"

// Loaded if needed: most bodies are not compressed.
const zlib = () => process.getBuiltinModule("node:zlib")

const decoders: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ["gzip", () => zlib().createGunzip()],
  ["x-gzip", () => zlib().createGunzip()],
  ["deflate", () => zlib().createInflate()],
  ["br", () => zlib().createBrotliDecompress()],
  ["zstd", () => zlib().createZstdDecompress()]
])

/** Receives a body, piece by piece. */
export interface Sink {
  readonly onData: (bytes: Uint8Array) => void
  readonly onEnd: () => void
  readonly onError: (error: Error) => void
}

/** A decompressor that writes to a sink. */
export interface Decompressor {
  readonly write: (bytes: Uint8Array) => void
  readonly end: () => void
  /** Emits the bytes that were decompressed before the error, then the error. */
  readonly fail: (error: Error) => void
  readonly destroy: () => void
}

/**
 * The decompressor for a `content-encoding`, which lists encodings in the order in which they were applied. `undefined` when the body is
 * not compressed or an encoding is unknown.
 */
export const decompressor = (contentEncoding: string | undefined, sink: Sink): Decompressor | undefined => {
  const encodings = (contentEncoding ?? "")
    .split(",")
    .map((encoding) => encoding.trim().toLowerCase())
    .filter((encoding) => encoding !== "" && encoding !== "identity")
  const makes = encodings.map((encoding) => decoders.get(encoding)).filter((make) => make !== undefined)
  if (makes.length < encodings.length) return undefined
  const transforms = makes.toReversed().map((make) => make())
  const first = transforms[0]
  if (first === undefined) return undefined
  for (const [i, transform] of transforms.entries()) {
    transform.on("error", sink.onError)
    const next = transforms[i + 1]
    if (next === undefined) transform.on("data", sink.onData).on("end", sink.onEnd)
    else transform.pipe(next)
  }
  return {
    write: (bytes) => void first.write(bytes),
    end: () => void first.end(),
    // A write of nothing is handled after all writes before it.
    fail: (error) => void first.write(new Uint8Array(0), () => setImmediate(() => sink.onError(error))),
    destroy: () => {
      for (const transform of transforms) transform.destroy()
    }
  }
}
