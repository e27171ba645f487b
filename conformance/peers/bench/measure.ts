/**
 * One measurement, in a process of its own: warms up a client or the parsers, measures them, and sends the result to the parent process.
 */
import { Socket } from "node:net"
import { type ParserName, parsers } from "./parsers.ts"
import { type Seen, type SubjectName, subjects } from "./subjects.ts"
import { type Mode, pieces, type Text } from "./Wire.ts"

/** Measures a client that streams from a base URL. */
export interface ClientTask {
  readonly kind: "client"
  readonly name: SubjectName
  readonly warmUp: ReadonlyArray<string>
  readonly baseUrl: string
}

/** Measures the parsers by turns in one process: they differ by less than two processes do. */
export interface ParsersTask {
  readonly kind: "parsers"
  readonly mode: Mode
  readonly text: Text
  readonly tokens: number
}

/** The result, for one stream. */
export interface Finding extends Seen {
  readonly cpuMicros: number
  readonly wallMicros: number
  /** Number of network reads. */
  readonly reads: number
}

let reads = 0
// oxlint-disable-next-line typescript/unbound-method -- it is called with the socket it belongs to
const { push } = Socket.prototype as { readonly push: (this: Socket, chunk: unknown, encoding?: BufferEncoding) => boolean }
Socket.prototype.push = function (this: Socket, chunk: unknown, encoding?: BufferEncoding) {
  if (chunk !== null) reads += 1
  return push.call(this, chunk, encoding)
}

// The compiler needs seconds for a large client. The measured time must be long in comparison with the resolution of the clocks.
const warmUpMillis = { client: 2500, parser: 700 }
const measuredMillis = 1000

const repeat = async (work: () => Seen | Promise<Seen>, millis: number, atLeast: number) => {
  const start = performance.now()
  let times = 0
  let seen: Seen = { pieces: 0, length: 0 }
  while (times < atLeast || performance.now() - start < millis) {
    seen = await work()
    times += 1
  }
  return { seen, times }
}

/** Starts a stopwatch. Returns the function that reads it. */
const watch = () => {
  const wall = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { system, user } = process.cpuUsage(cpu)
    return { cpuMicros: user + system, wallMicros: (performance.now() - wall) * 1000 }
  }
}

const measure = async (work: () => Seen | Promise<Seen>): Promise<Finding> => {
  globalThis.gc?.()
  reads = 0
  const passed = watch()
  const { seen, times } = await repeat(work, measuredMillis, 1)
  const { cpuMicros, wallMicros } = passed()
  const { length, pieces } = seen
  return { cpuMicros: cpuMicros / times, wallMicros: wallMicros / times, reads: reads / times, pieces, length }
}

const client = async ({ baseUrl, name, warmUp }: ClientTask): Promise<Finding> => {
  const subject = subjects[name]
  for (const url of warmUp) await repeat(await subject(url), warmUpMillis.client, 2)
  return measure(await subject(baseUrl))
}

const byTurns = async ({ mode, text, tokens }: ParsersTask): Promise<Readonly<Record<ParserName, Finding>>> => {
  const bytes = pieces(mode, text, tokens)
  const names = Object.keys(parsers) as ReadonlyArray<ParserName>
  for (const name of names) await repeat(() => parsers[name](bytes), warmUpMillis.parser, 2)
  const found = names.map((name) => ({ name, seen: parsers[name](bytes), cpuMicros: 0, wallMicros: 0 }))
  const end = performance.now() + measuredMillis
  let turns = 0
  for (; performance.now() < end; turns++) {
    for (const finding of turns % 2 === 0 ? found : found.toReversed()) {
      const passed = watch()
      finding.seen = parsers[finding.name](bytes)
      const { cpuMicros, wallMicros } = passed()
      finding.cpuMicros += cpuMicros
      finding.wallMicros += wallMicros
    }
  }
  return Object.fromEntries(
    found.map(({ cpuMicros, name, seen: { length, pieces }, wallMicros }) => [
      name,
      { cpuMicros: cpuMicros / turns, wallMicros: wallMicros / turns, reads: bytes.length, pieces, length }
    ])
  ) as Record<ParserName, Finding>
}

const task = JSON.parse(process.argv[2] ?? "") as ClientTask | ParsersTask
const result = await (task.kind === "client" ? client(task) : byTurns(task))
process.send?.(result, () => process.exit(0))
