// Runs the examples of one module in a thread, and reports the output of each line. The examples are modules of a loader hook, so that no file is
// written.
import { registerHooks } from "node:module"
import { format } from "node:util"
import { parentPort, workerData } from "node:worker_threads"

export interface Task {
  readonly url: string
  readonly source: string
}

export interface Report {
  readonly url: string
  /** The text that `console.log` printed at a line. */
  readonly printed?: { readonly line: number; readonly text: string }
  readonly failure?: string
}

const examples = new Map((workerData as ReadonlyArray<Task>).map(({ source, url }) => [url, source]))
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is not a window
const report = (message: Report) => parentPort?.postMessage(message)

registerHooks({
  resolve: (specifier, context, next) => (examples.has(specifier) ? { url: specifier, shortCircuit: true } : next(specifier, context)),
  load: (url, context, next) => {
    const source = examples.get(url)
    if (source === undefined) return next(url, context)
    // On the first line, which is blank, so that the other lines keep their numbers in the file of the example.
    const prefix = `const console = globalThis.consoleOf(${JSON.stringify(url)});`
    return { format: "module-typescript", source: prefix + source, shortCircuit: true }
  }
})

const consoleOf = (url: string): Console => {
  const log = (...values: ReadonlyArray<unknown>) => {
    const [, line] = new RegExp(`${url.replaceAll(/[.?]/g, "\\$&")}:(\\d+):`).exec(new Error("here").stack ?? "") ?? []
    report({ url, printed: { line: Number(line), text: format(...values) } })
  }
  return Object.assign(Object.create(console) as Console, { log })
}
Object.assign(globalThis, { consoleOf })

const failureOf = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error))

process.on("uncaughtException", (error) => {
  const failure = failureOf(error)
  const url = [...examples.keys()].find((url) => failure.includes(url))
  for (const each of url === undefined ? examples.keys() : [url]) report({ url: each, failure })
})

for (const url of examples.keys()) import(url).catch((error: unknown) => report({ url, failure: failureOf(error) }))
