/**
 * Chooses the recorded responses of the group `recordings` from those of the core's tests: one of each shape, preferably of the newest vLLM, and
 * those that cases cite. A shape is the status, the fields of each event with their types, and the finish reasons. `node choose-recordings.ts`
 * writes `recordings/recordings.json`; a test says when it is due.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { brotliDecompressSync } from "node:zlib"
import { recordingPrefix } from "./src/case/Basis.ts"
import * as ServerCases from "./src/server/ServerCases.ts"
import * as Recordings from "./src/case/Recordings.ts"
import * as Cases from "./src/case/Cases.ts"

interface Exchange extends Omit<Recordings.Recording, "body"> {
  readonly pieces: ReadonlyArray<string>
}

// Larger bodies tell no more, and take their time byte by byte.
const mostBytes = 2400

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null

// Lists of log probabilities differ in nothing but their lengths.
const unlike = /^\.(prompt_logprobs|choices\.logprobs\.content\.(top_logprobs|bytes))\./

const fieldsOf = (value: unknown, path: string, found: Set<string>) => {
  if (!isObject(value)) return found.add(`${path}:${value === null ? "null" : typeof value}`)
  if (Object.keys(value).length === 0) found.add(`${path}:empty`)
  for (const [key, item] of Object.entries(value)) fieldsOf(item, Array.isArray(value) ? path : `${path}.${key}`, found)
  return found
}

const shapeOf = (recording: Recordings.Recording) => {
  const bodies = Recordings.bodiesOf(recording)
  const shapes = bodies.map((body) =>
    [...fieldsOf(body, "", new Set())]
      .filter((field) => !unlike.test(field))
      .toSorted()
      .join()
  )
  const { choices } = Recordings.read(recording)
  const finished = choices.map(({ finish }) => finish ?? "").toSorted()
  return [recording.status, recording.isCut, [...new Set(shapes)].toSorted().join(";"), finished.join()].join("#")
}

const path = new URL("recordings/recordings.json", import.meta.url)

/** The chosen recordings, as the file has them. */
export const choose = (): string => {
  const source = new URL("../packages/core/test/data/recordings.json.br", import.meta.url)
  const exchanges = JSON.parse(brotliDecompressSync(readFileSync(source)).toString()) as ReadonlyArray<Exchange>
  const cited = new Set(
    [...Cases.written, ...ServerCases.all].flatMap((item) => item.source.filter((at) => at.startsWith(recordingPrefix)))
  )
  const decided = new Set(Recordings.decisions.map((decision) => decision.recording))
  const rank = ({ server }: Exchange) => (server.startsWith("vllm-0.32") ? 0 : server.startsWith("vllm") ? 1 : 2)
  const shapes = new Set<string>()
  const chosen = exchanges
    // A server that is gone has no status.
    .filter(({ status }) => Number.isInteger(status))
    .map(({ pieces, ...rest }) => ({ rank: rank({ pieces, ...rest }), recording: { ...rest, body: pieces.join("") } }))
    .toSorted((a, b) => a.rank - b.rank || a.recording.body.length - b.recording.body.length)
    .flatMap(({ recording }) => {
      const name = Recordings.nameOf(recording)
      const shape = shapeOf(recording)
      const isWanted = cited.has(recordingPrefix + name) || decided.has(name) || (!shapes.has(shape) && recording.body.length <= mostBytes)
      if (!isWanted) return []
      shapes.add(shape)
      return [recording]
    })
    .toSorted((a, b) => (Recordings.nameOf(a) < Recordings.nameOf(b) ? -1 : 1))
  return `[\n${chosen.map((recording) => JSON.stringify(recording)).join(",\n")}\n]\n`
}

/** Whether the file is what it should be. */
export const isCurrent = (): boolean => readFileSync(path, "utf8") === choose()

if (import.meta.main) writeFileSync(path, choose())
