/**
 * Exchanges with a real server, as `simulator record` writes them and `--replay` reads them: one JSON object a line.
 *
 * Credentials are not in them: of the request only its method, path and body are kept, of the response the headers of a short list, and
 * what the client sent as a credential is taken out of the bodies.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Milliseconds = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * A part of the body as it arrived: milliseconds since the request was complete, and text; bytes that are no UTF-8 are in base64.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Piece = Schema.Union([
  Schema.Tuple([Milliseconds, Schema.String]),
  Schema.Tuple([Milliseconds, Schema.Struct({ base64: Schema.String })])
])
/** @since 0.1.0 */
export type Piece = typeof Piece.Type

/**
 * A request and its response.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RecordedExchange = Schema.Struct({
  method: Schema.String,
  /** Path without the query. */
  path: Schema.String,
  /** Body of the request: JSON, or the text of one that is none; `null` without a body. */
  request: Schema.Unknown,
  status: Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 })),
  headers: Schema.Record(Schema.String, Schema.String),
  /** Milliseconds from the request to the headers. */
  headersAt: Milliseconds,
  pieces: Schema.Array(Piece),
  /** Milliseconds from the request to the end. */
  endsAt: Milliseconds,
  /** The connection broke before the end of the body. */
  isCut: Schema.Boolean
}).annotate({ identifier: "RecordedExchange" })
/** @since 0.1.0 */
export type RecordedExchange = typeof RecordedExchange.Type

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(RecordedExchange))

/**
 * Reads a recording. Fails with the line and the reason if one is no exchange.
 *
 * @example
 * ```ts
 * import * as RecordedExchange from "@paradigm-effect/simulator/RecordedExchange"
 *
 * console.log(RecordedExchange.parse("")._tag) // => Failure
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<ReadonlyArray<RecordedExchange>, string> => {
  const exchanges: Array<RecordedExchange> = []
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue
    const exchange = decode(line)
    if (Result.isFailure(exchange)) return Result.fail(`Line ${index + 1} is no recorded exchange: ${exchange.failure.message}`)
    exchanges.push(exchange.success)
  }
  return exchanges.length === 0 ? Result.fail("It holds no exchange.") : Result.succeed(exchanges)
}

/**
 * The bytes of a piece.
 *
 * @example
 * ```ts
 * import * as RecordedExchange from "@paradigm-effect/simulator/RecordedExchange"
 *
 * console.log(RecordedExchange.bytesOf([0, "data"]).length) // => 4
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const bytesOf = ([, content]: Piece): Buffer =>
  typeof content === "string" ? Buffer.from(content) : Buffer.from(content.base64, "base64")

/**
 * JSON in which the order of keys makes no difference.
 *
 * @example
 * ```ts
 * import * as RecordedExchange from "@paradigm-effect/simulator/RecordedExchange"
 *
 * console.log(RecordedExchange.canonical({ b: 1, a: 2 })) // => {"a":2,"b":1}
 * ```
 *
 * @category rendering
 * @since 0.1.0
 */
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner
  ) ?? "null"

/**
 * A body of a request as it is recorded and compared.
 *
 * @example
 * ```ts
 * import * as RecordedExchange from "@paradigm-effect/simulator/RecordedExchange"
 *
 * console.log(RecordedExchange.requestOf(Buffer.from('{"n":1}'))) // => { n: 1 }
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const requestOf = (body: Uint8Array): unknown => {
  if (body.length === 0) return null
  const text = Buffer.from(body).toString()
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
