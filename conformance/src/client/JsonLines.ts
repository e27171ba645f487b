/**
 * JSON lines: one JSON value a line, in UTF-8, where 0x0A alone ends a line.
 *
 * Many readers of lines end one at U+2028 or U+2029 as well, which JSON allows inside a string. A writer that escapes them is read by all; a reader
 * that splits bytes reads all.
 *
 * @since 0.1.0
 */

/**
 * Encodes a value as one line, with U+2028 and U+2029 escaped.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (value: unknown): string =>
  `${JSON.stringify(value).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029")}\n`

/**
 * Thrown when a line is longer than a reader takes.
 *
 * @category errors
 * @since 0.1.0
 */
export class LineTooLong extends Error {
  override readonly name = "LineTooLong"
}

const newline = 0x0a

/**
 * Splits bytes into lines. Bytes that are not UTF-8 become U+FFFD.
 *
 * @category decoding
 * @since 0.1.0
 */
export class LineReader {
  #pieces: Array<Uint8Array> = []
  #length = 0
  readonly #mostBytes: number

  constructor(mostBytes: number = 64 * 1024 * 1024) {
    this.#mostBytes = mostBytes
  }

  /** The lines that these bytes end. Throws `LineTooLong` when the line that they leave open has more bytes than allowed. */
  read(bytes: Uint8Array): ReadonlyArray<string> {
    const lines: Array<string> = []
    let from = 0
    for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, from)) {
      this.#keep(bytes.subarray(from, at))
      lines.push(this.rest())
      from = at + 1
    }
    this.#keep(bytes.subarray(from))
    return lines
  }

  /** What came after the last line end. */
  rest(): string {
    const decoder = new TextDecoder()
    const line = this.#pieces.map((piece) => decoder.decode(piece, { stream: true })).join("") + decoder.decode()
    this.#pieces = []
    this.#length = 0
    return line
  }

  #keep(piece: Uint8Array) {
    this.#length += piece.length
    if (this.#length > this.#mostBytes) throw new LineTooLong(`a line has more than ${this.#mostBytes} bytes`)
    // The caller may use its buffer again.
    if (piece.length > 0) this.#pieces.push(piece.slice())
  }
}
