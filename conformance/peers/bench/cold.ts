/**
 * Measures the first stream of a process, from the start of the process to the last chunk. Runs as JavaScript with our packages as they are
 * published, so that no subject pays for TypeScript.
 */
import { type Seen, type SubjectName, subjects } from "./subjects.ts"

/** CPU time (all threads, kernel included) and time since the process began. */
export interface Passed {
  readonly cpuMicros: number
  readonly wallMicros: number
}

/** Cost until the client is made, and until the last chunk is read. */
export interface ColdFinding extends Seen {
  readonly ready: Passed
  readonly done: Passed
}

const passed = (): Passed => {
  const { system, user } = process.cpuUsage()
  return { cpuMicros: user + system, wallMicros: performance.now() * 1000 }
}

const [name, baseUrl = ""] = process.argv.slice(2)
const stream = await subjects[name as SubjectName](baseUrl)
const ready = passed()
const { length, pieces } = await stream()
const finding: ColdFinding = { ready, done: passed(), length, pieces }
process.send?.(finding, () => process.exit(0))
