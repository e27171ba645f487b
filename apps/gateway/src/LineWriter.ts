/**
 * Writes log lines to a stream, and never fails: a closed pipe, a full disk or a slow reader costs lines, not requests. Lost lines are counted.
 */
import * as Cause from "effect/Cause"
import * as Logger from "effect/Logger"
import type { Writable } from "node:stream"

// Bytes that wait for a slow reader before lines are dropped.
const maxWaiting = 4 * 1024 * 1024

/** A destination of lines. */
export class LineWriter {
  readonly #stream: Writable
  /** Number of lines that were not written. */
  dropped = 0
  /** Receives every line as well, also those that are dropped. It must not throw. */
  onLine: ((line: string) => void) | undefined = undefined

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on("error", () => {
      this.dropped++
    })
  }

  write(line: string): void {
    this.onLine?.(line)
    if (this.#stream.destroyed || this.#stream.writableLength > maxWaiting) this.dropped++
    else this.#stream.write(`${line}\n`)
  }
}

/** Effect's logger on a writer: one JSON object a line. */
export const logger = (writer: LineWriter): Logger.Logger<unknown, void> =>
  Logger.make(({ cause, date, logLevel, message }) => {
    const parts = (Array.isArray(message) ? message : [message]).map((part: unknown) =>
      part instanceof Error ? part.message : String(part)
    )
    writer.write(
      JSON.stringify({
        time: date.toISOString(),
        level: logLevel.toUpperCase(),
        message: parts.join(" "),
        cause: cause.reasons.length === 0 ? undefined : Cause.pretty(cause)
      })
    )
  })
