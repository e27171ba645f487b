/**
 * The group `recordings`: what real servers sent, byte for byte. Each is read as an independent reader reads it, by `JSON.parse` for each event and
 * a fold, in one piece and split at every byte. What this project decides differently is listed one by one, with the reason.
 *
 * @since 0.1.0
 */
import decided from "../../recordings/decisions.json" with { type: "json" }
import recorded from "../../recordings/recordings.json" with { type: "json" }
import { fold, type Folded } from "../client/Fold.ts"
import { recordingPrefix } from "./Basis.ts"
import type { Case } from "./Case.ts"
import type * as Schema from "effect/Schema"

/**
 * A recorded response. `isCut` is set if the connection broke before the end of its framing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recording {
  readonly server: string
  readonly name: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly isCut?: boolean | undefined
}

/**
 * What this project decides about a response, and why. `expect` replaces the independent reading if that differs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decision {
  readonly recording: string
  readonly reason: string
  readonly expect?: Case["expect"]
}

/**
 * Every recording.
 *
 * @category recordings
 * @since 0.1.0
 */
export const all: ReadonlyArray<Recording> = recorded as ReadonlyArray<Recording>

/**
 * What is decided differently from the independent reading.
 *
 * @category recordings
 * @since 0.1.0
 */
export const decisions: ReadonlyArray<Decision> = decided as ReadonlyArray<Decision>

/**
 * The name by which a case cites a recording.
 *
 * @category getters
 * @since 0.1.0
 */
export const nameOf = ({ name, server }: Pick<Recording, "server" | "name">): string => `${server}/${name}`

const isStream = ({ headers }: Recording) => headers["content-type"]?.startsWith("text/event-stream") === true

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const dataOf = (event: string) =>
  event
    .split("\n")
    .filter((line) => line.startsWith("data: "))
    .map((line) => line.slice("data: ".length))
    .join("\n")

/**
 * The bodies of a response: one, or that of each event but `[DONE]`.
 *
 * @category reading
 * @since 0.1.0
 */
export const bodiesOf = (recording: Recording): ReadonlyArray<unknown> => {
  if (!isStream(recording)) return [parse(recording.body)]
  const events = recording.body.split("\n\n").map(dataOf)
  return events.filter((data) => data !== "" && data !== "[DONE]").map(parse)
}

/**
 * What a response says.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = (recording: Recording): Folded => fold(bodiesOf(recording))

const hasError = (body: unknown) => typeof body === "object" && body !== null && "error" in body

const present = (value: object) => JSON.parse(JSON.stringify(value)) as Schema.Json

const expectationOf = (recording: Recording): Case["expect"] => {
  const bodies = bodiesOf(recording)
  const { choices, usage } = read(recording)
  const text = choices.map((choice) => choice.text)
  if (recording.status !== 200) return { outcome: "error", house: { status: recording.status } }
  if (recording.isCut === true) return { outcome: "error", text, house: { reason: "ConnectionLost" } }
  if (bodies.some(hasError)) return { outcome: "error", text, house: { reason: "StreamFault" } }
  const outcome = isStream(recording) ? "chunks" : "completion"
  return { outcome, answer: present({ choices, usage }) }
}

const slug = (recording: Recording) =>
  nameOf(recording)
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/-$/, "")

const request = { model: "alfred-4.2", messages: [{ role: "user", content: "Hi" }] }

// Fetch may drop what it has not delivered when a connection breaks, so that the client gets the time to read it.
const cut = [{ step: "delay", ms: 300 }, { step: "fin" }] as const

// Longer responses are cut into pieces: a write for every byte of all of them takes longer than the rest of the suite.
const mostBytes = 700

const toCase = (recording: Recording): Case => {
  const name = nameOf(recording)
  const decision = decisions.find((item) => item.recording === name)
  const isContract = recording.server.startsWith("vllm-") && decision?.expect === undefined
  // Reasoning is an extension of vLLM, which the published specification does not have.
  const level = read(recording).choices.some(({ reasoning }) => reasoning !== "") ? "SHOULD" : "MUST"
  const { body, headers, isCut, status } = recording
  const source = [`${recordingPrefix}${name}`] as const
  return {
    id: `recordings/${slug(recording)}`,
    rule: decision?.reason ?? `The response ${name} is read as an independent reader reads it`,
    ...(isContract ? { level, basis: "contract", keyword: level, source } : { level: "SHOULD", basis: "house", source }),
    side: "client",
    since: "0.2.0",
    needs: [],
    operation: { kind: isStream(recording) ? "stream" : "json", request, client: { retry: { attempts: 1 } } },
    server: [[{ step: "head", status, headers }, { step: "write", utf8: body }, ...(isCut === true ? cut : [])]],
    expect: decision?.expect ?? expectationOf(recording),
    axes: { split: status === 200 ? ["whole", body.length > mostBytes ? "pieces" : "bytes"] : ["whole"] }
  }
}

/**
 * The cases of the group.
 *
 * @category cases
 * @since 0.1.0
 */
export const cases: ReadonlyArray<Case> = all.map(toCase)
