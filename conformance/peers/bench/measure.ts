/**
 * One measurement, in a process of its own: a subject works until it is warm, then does what is measured, and says what that cost.
 */
import { Socket } from "node:net"
import { type ParserName, parsers } from "./parsers.ts"
import { type Seen, type SubjectName, subjects } from "./subjects.ts"
import { type Mode, pieces, type Text } from "./Wire.ts"

/** What a measurement is asked for: a client to stream from a base URL, or a parser to be given a stream's bytes. */
export type Task =
  | { readonly kind: "client"; readonly name: SubjectName; readonly warmUp: ReadonlyArray<string>; readonly baseUrl: string }
  | { readonly kind: "parser"; readonly name: ParserName; readonly mode: Mode; readonly text: Text; readonly tokens: number }

/** What it found, of one stream. */
export interface Finding extends Seen {
  readonly cpuMicros: number
  readonly wallMicros: number
  /** How often the process took bytes from the network. */
  readonly reads: number
}

let reads = 0
// oxlint-disable-next-line typescript/unbound-method -- it is called with the socket it belongs to
const { push } = Socket.prototype as { readonly push: (this: Socket, chunk: unknown, encoding?: BufferEncoding) => boolean }
Socket.prototype.push = function (this: Socket, chunk: unknown, encoding?: BufferEncoding) {
  if (chunk !== null) reads += 1
  return push.call(this, chunk, encoding)
}

// Long enough for the compiler to be done, and for what is measured to outweigh the clocks' grain.
const warmUpMillis = 700
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

const measure = async (work: () => Seen | Promise<Seen>): Promise<Finding> => {
  globalThis.gc?.()
  reads = 0
  const wall = performance.now()
  const cpu = process.cpuUsage()
  const { seen, times } = await repeat(work, measuredMillis, 1)
  const { system, user } = process.cpuUsage(cpu)
  return {
    cpuMicros: (user + system) / times,
    wallMicros: ((performance.now() - wall) * 1000) / times,
    reads: reads / times,
    pieces: seen.pieces,
    length: seen.length
  }
}

const run = async (task: Task): Promise<Finding> => {
  if (task.kind === "parser") {
    const bytes = pieces(task.mode, task.text, task.tokens)
    const parse = () => parsers[task.name](bytes)
    await repeat(parse, warmUpMillis, 2)
    return measure(parse)
  }
  const subject = subjects[task.name]
  for (const url of task.warmUp) await repeat(await subject(url), warmUpMillis, 2)
  return measure(await subject(task.baseUrl))
}

const finding = await run(JSON.parse(process.argv[2] ?? "") as Task)
process.send?.(finding, () => process.exit(0))
