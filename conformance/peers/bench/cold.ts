/**
 * The first stream of a process of its own: what it cost from the start of the process to the last chunk. Runs as JavaScript, with our packages as
 * they are published, so that no subject pays for TypeScript.
 */
import { registerHooks } from "node:module"
import { type Seen, type SubjectName, subjects } from "./subjects.ts"

/** CPU time (all threads, kernel included) and time since the process began. */
export interface Passed {
  readonly cpuMicros: number
  readonly wallMicros: number
}

/** When the client was made, and when the last chunk had come. */
export interface ColdFinding extends Seen {
  readonly ready: Passed
  readonly done: Passed
}

const passed = (): Passed => {
  const { system, user } = process.cpuUsage()
  return { cpuMicros: user + system, wallMicros: performance.now() * 1000 }
}

// In the workspace our packages are their sources; published they are what was built of them.
registerHooks({
  resolve: (specifier, context, next) => {
    const found = next(specifier, context)
    const url = found.url.replace(/(\/packages\/\w+\/)src\/(.*)\.ts$/, "$1dist/$2.js")
    return url === found.url ? found : { ...found, url, format: "module" }
  }
})

const [name, baseUrl = ""] = process.argv.slice(2)
const stream = await subjects[name as SubjectName](baseUrl)
const ready = passed()
const { length, pieces } = await stream()
const finding: ColdFinding = { ready, done: passed(), length, pieces }
process.send?.(finding, () => process.exit(0))
