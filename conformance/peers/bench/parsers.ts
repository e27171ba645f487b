/**
 * Event-stream parsers, from memory: bytes in, the data of events out. Each push is what one network read would bring.
 */
import * as ServerSentEvents from "@paradigm-effect/core/ServerSentEvents"
import { createParser } from "eventsource-parser"
import type { Seen } from "./subjects.ts"

/** Parses pieces. Counts the events and the length of their data. */
export type ParserSubject = (pieces: ReadonlyArray<Uint8Array>) => Seen

class Count implements Seen {
  pieces = 0
  length = 0
  add(data: string) {
    this.pieces += 1
    this.length += data.length
  }
}

const theirs: ParserSubject = (pieces) => {
  const count = new Count()
  const decoder = new TextDecoder()
  const parser = createParser({ onEvent: ({ data }) => count.add(data) })
  for (const piece of pieces) parser.feed(decoder.decode(piece, { stream: true }))
  return count
}

const ours: ParserSubject = (pieces) => {
  const count = new Count()
  const parser = new ServerSentEvents.Parser({ onEvent: (data) => count.add(data) })
  for (const piece of pieces) parser.push(piece)
  return count
}

export const parsers = { eventsourceParser: theirs, parser: ours } satisfies Record<string, ParserSubject>

export type ParserName = keyof typeof parsers
