/**
 * What a server answered, as far as it came: head, bytes, when they were read, and the events and choices in them.
 *
 * @since 0.1.0
 */

/**
 * One event of a stream, as it was written. `lines` are all its lines, comments too.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnswerEvent {
  readonly lines: ReadonlyArray<string>
  readonly data: string
  /** The data, parsed; `undefined` where it is no JSON. */
  readonly json: unknown
  /** Which read brought its last byte, from 0. */
  readonly read: number
}

/**
 * An answer. Times are milliseconds since the request was sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly headAt: number
  readonly endAt: number
  readonly reads: ReadonlyArray<readonly [at: number, bytes: number]>
  readonly bytes: Uint8Array
  /** How it ended: as its framing says, because the runner left, or otherwise. */
  readonly end: "whole" | "left" | "broken"
  readonly text: string
  readonly isUtf8: boolean
  readonly json: unknown
  /** None where the answer is no event stream. */
  readonly events: ReadonlyArray<AnswerEvent>
  /** What of the last event came after its last blank line. */
  readonly rest: string
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isUtf8 = (bytes: Uint8Array, whole: boolean) => {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !whole })
    return true
  } catch {
    return false
  }
}

// A blank line may follow any line end; bytes are looked at, since a read may end inside a character.
const eventsOf = (bytes: Uint8Array, reads: Answer["reads"]) => {
  const events: Array<AnswerEvent> = []
  let lines: Array<string> = []
  let lineStart = 0
  let eventStart = 0
  let read = 0
  let readEnd = reads[0]?.[1] ?? 0
  for (let at = 0; at < bytes.length; at++) {
    while (at >= readEnd && read + 1 < reads.length) readEnd += reads[++read]?.[1] ?? 0
    const isCr = bytes[at] === 13
    if (!isCr && bytes[at] !== 10) continue
    const line = new TextDecoder().decode(bytes.subarray(lineStart, at))
    if (isCr && bytes[at + 1] === 10) at++
    lineStart = at + 1
    if (line !== "") {
      lines.push(line)
      continue
    }
    if (lines.length > 0) {
      const data = lines
        .filter((item) => /^data(:|$)/.test(item))
        .map((item) => item.replace(/^data:? ?/, ""))
        .join("\n")
      events.push({ lines, data, json: parse(data), read })
    }
    lines = []
    eventStart = lineStart
  }
  return { events, rest: new TextDecoder().decode(bytes.subarray(eventStart)) }
}

/**
 * An answer, from what was read of it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  seen: Pick<Answer, "status" | "headers" | "headAt" | "endAt" | "reads" | "end"> & { readonly pieces: ReadonlyArray<Uint8Array> }
): Answer => {
  const { pieces, ...head } = seen
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  const text = new TextDecoder().decode(bytes)
  const isStream = /^text\/event-stream/i.test(seen.headers["content-type"] ?? "")
  return {
    ...head,
    bytes,
    text,
    isUtf8: isUtf8(bytes, seen.end === "whole"),
    json: parse(text),
    ...(isStream ? eventsOf(bytes, seen.reads) : { events: [], rest: "" })
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * The chunks of a stream, in order: every event with choices.
 *
 * @category getters
 * @since 0.1.0
 */
export const chunks = (answer: Answer): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  answer.events.flatMap(({ json }) => (isObject(json) && Array.isArray(json["choices"]) ? [json] : []))

/**
 * The choices of a chunk or a completion, but for those that are none.
 *
 * @category getters
 * @since 0.1.0
 */
export const choices = (body: unknown): ReadonlyArray<Readonly<Record<string, unknown>>> => {
  const list: unknown = isObject(body) ? body["choices"] : undefined
  return Array.isArray(list) ? list.filter(isObject) : []
}

/**
 * What one choice says in a chunk (`delta`) or a completion (`message`).
 *
 * @category getters
 * @since 0.1.0
 */
export const said = (choice: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const value = choice["delta"] ?? choice["message"]
  return isObject(value) ? value : {}
}

const bodies = (answer: Answer) => (answer.events.length > 0 ? chunks(answer) : [answer.json])

const byChoice = <A>(answer: Answer, empty: A, fold: (before: A, choice: Readonly<Record<string, unknown>>) => A): ReadonlyArray<A> => {
  const folded: Array<A> = []
  for (const choice of bodies(answer).flatMap(choices)) {
    const index = choice["index"]
    if (typeof index !== "number" || !(index >= 0 && index < 1000)) continue
    while (folded.length <= index) folded.push(empty)
    folded[index] = fold(folded[index] ?? empty, choice)
  }
  return folded
}

/**
 * Content by choice, streamed or not.
 *
 * @category getters
 * @since 0.1.0
 */
export const text = (answer: Answer): ReadonlyArray<string> =>
  byChoice(answer, "", (before, choice) => {
    const { content } = said(choice)
    return typeof content === "string" ? before + content : before
  })

/**
 * The last finish reason by choice, streamed or not; `null` where there is none.
 *
 * @category getters
 * @since 0.1.0
 */
export const finish = (answer: Answer): ReadonlyArray<unknown> =>
  byChoice<unknown>(answer, null, (before, choice) => choice["finish_reason"] ?? before)

/**
 * The last usage, streamed or not.
 *
 * @category getters
 * @since 0.1.0
 */
export const usage = (answer: Answer): Readonly<Record<string, unknown>> | undefined =>
  bodies(answer)
    .map((body) => (isObject(body) ? body["usage"] : undefined))
    .findLast(isObject)
