/**
 * Measures the bundled simulator as a process of its own, on Linux:
 *
 * - `node test/measure.ts cost [other bundle]`: CPU time per event without waits, then CPU and memory of 2,000 streams at 20 tokens/s.
 * - `node test/measure.ts start [other bundle]`: time from the start of the process to its first line.
 * - `node test/measure.ts ledger [calls]`: each entry of the ledger against the usage that its client read, over so many mixed calls
 *   (100,000 by default).
 *
 * With another bundle, both are measured in turns, so that a busy machine is equally unfair to both.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { Agent, request } from "node:http"
import { fileURLToPath } from "node:url"
import type { Entry, LedgerReport } from "@paradigm-effect/simulator/Ledger"

const bundle = fileURLToPath(new URL("../dist/paradigm-simulator.cjs", import.meta.url))

// What fails here must not leave servers behind.
const children = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of children) child.kill()
})

const start = (file: string, ...args: ReadonlyArray<string>): Promise<{ readonly child: ChildProcess; readonly url: URL }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [file, "--port", "0", "--log-level", "none", ...args])
    children.add(child)
    child.stdout.once("data", (line) => resolve({ child, url: new URL(/http:\S+/.exec(String(line))![0]) }))
    child.stderr.pipe(process.stderr)
  })

const stop = async (child: ChildProcess) => {
  const gone = once(child, "close")
  child.kill()
  await gone
  children.delete(child)
}

const cpuSeconds = ({ pid }: ChildProcess) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}
const peakMegabytes = ({ pid }: ChildProcess) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024
const median = (numbers: ReadonlyArray<number>) => numbers.toSorted((one, other) => one - other)[numbers.length >> 1] ?? NaN

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

interface Asking {
  readonly path?: string
  readonly leaveAfter?: number
  readonly id?: string
}

// Sends a chat request, counts its events, and gives the last usage that it tells.
const ask = (url: URL, body: object, { id, leaveAfter = Infinity, path = "/v1/chat/completions" }: Asking = {}) =>
  new Promise<{ readonly events: number; readonly prompt: number; readonly completion: number; readonly left: boolean }>(
    (resolve, reject) => {
      const text = JSON.stringify(body)
      const headers = {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(text),
        ...(id === undefined ? {} : { "x-request-id": id })
      }
      const sent = request({ agent, host: url.hostname, port: url.port, path, method: "POST", headers }, (response) => {
        let events = 0
        let tail = ""
        response.on("data", (part: Buffer) => {
          for (let at = part.indexOf("data: "); at !== -1; at = part.indexOf("data: ", at + 6)) events++
          tail = (tail + part.toString("latin1", Math.max(0, part.length - 2000))).slice(-2000)
          if (events < leaveAfter) return
          sent.destroy()
          resolve({ events, prompt: 0, completion: 0, left: true })
        })
        response.on("error", () => undefined)
        response.on("end", () => {
          const usage = tail.slice(tail.lastIndexOf('"usage":'))
          const of = (name: string) => Number(new RegExp(`"${name}":(\\d+)`).exec(usage)?.[1] ?? 0)
          resolve({ events, prompt: of("prompt_tokens"), completion: of("completion_tokens"), left: false })
        })
      })
      sent.on("error", (error) => (leaveAfter < Infinity ? undefined : reject(error)))
      sent.end(text)
    }
  )

const stream = (max_tokens: number) => ({
  messages: [{ role: "user", content: "Tell me something long." }],
  stream: true,
  max_tokens,
  ignore_eos: true
})

const many = async (url: URL, streams: number, tokens: number) =>
  (await Promise.all(Array.from({ length: streams }, () => ask(url, stream(tokens))))).reduce((sum, { events }) => sum + events, 0)

const cost = async (bundles: ReadonlyArray<string>) => {
  const all = await Promise.all(bundles.map((file) => start(file, "--mode", "random")))
  const rates = all.map((): Array<number> => [])
  for (const { url } of all) await many(url, 200, 200)
  for (let round = 0; round < 5; round++) {
    for (const [at, { child, url }] of all.entries()) {
      const before = cpuSeconds(child)
      const events = await many(url, 500, 400)
      rates[at]!.push(events / (cpuSeconds(child) - before))
    }
  }
  for (const [at, { child }] of all.entries()) {
    console.log(`${bundles[at]}: ${Math.round(median(rates[at]!))} events/s of CPU time (${rates[at]!.map(Math.round).join(", ")})`)
    await stop(child)
  }
  for (const file of bundles) {
    const { child, url } = await start(file, "--mode", "random", "--inter-token-latency", "50")
    const [before, begun] = [cpuSeconds(child), performance.now()]
    const events = await many(url, 2000, 500)
    const [wall, used] = [(performance.now() - begun) / 1000, cpuSeconds(child) - before]
    const memory = `${Math.round(peakMegabytes(child))} MB at most`
    console.log(`${file}: 2000 streams of 500 tokens: ${events} events in ${wall.toFixed(1)} s, ${used.toFixed(1)} s of CPU, ${memory}`)
    await stop(child)
  }
}

const startTime = async (bundles: ReadonlyArray<string>) => {
  const times = bundles.map((): Array<readonly [wall: number, cpu: number]> => [])
  for (let round = 0; round < 15; round++) {
    for (const [at, file] of bundles.entries()) {
      const begun = performance.now()
      const { child } = await start(file)
      times[at]!.push([performance.now() - begun, cpuSeconds(child) * 1000])
      await stop(child)
    }
  }
  for (const [at, file] of bundles.entries()) {
    const [wall, cpu] = [0, 1].map((which) => Math.round(median(times[at]!.map((time) => time[which as 0 | 1]))))
    console.log(`${file}: listens after ${wall} ms, of which ${cpu} ms are CPU time (medians of 15)`)
  }
}

const ledger = async (calls: number) => {
  const { child, url } = await start(bundle, "--mode", "random", "--enable-scale-out", "--max-num-seqs", "64")
  const entries = new Map<string, Entry>()
  const collect = async () => {
    const report = (await (await fetch(new URL("/__ledger", url))).json()) as LedgerReport
    for (const entry of report.newest) entries.set(entry.id.slice(entry.id.lastIndexOf("-") + 1), entry)
    return report
  }
  const said = new Map<string, { readonly prompt: number; readonly completion: number; readonly left: boolean }>()
  let next = 0
  const worker = async () => {
    while (next < calls) {
      const number = next++
      const id = String(number)
      const isStream = number % 2 === 0
      const leaves = isStream && number % 10 === 0
      const options = isStream ? { stream: true, stream_options: { include_usage: true } } : {}
      // Every other one that leaves does so about when its answer ends.
      const limit = leaves && number % 20 === 0 ? { max_tokens: 5000, ignore_eos: true } : { max_tokens: 1 + (number % 30) }
      const asking = { id, leaveAfter: leaves ? 2 : Infinity }
      const body =
        number % 3 === 0
          ? { prompt: `text ${number}`, ...limit, ...options }
          : { messages: [{ role: "user", content: `call ${number}` }], n: 1 + (number % 2), ...limit, ...options }
      said.set(id, await ask(url, body, number % 3 === 0 ? { ...asking, path: "/v1/completions" } : asking))
      if (number % 400 === 0) await collect()
    }
  }
  await Promise.all(Array.from({ length: 32 }, worker))
  let report = await collect()
  while (report.open > 0) report = await collect()

  const sums = { read: 0, prompt: 0, completion: 0, left: 0, leftButFinished: 0 }
  const different: Array<string> = []
  for (const [id, { completion, left, prompt }] of said) {
    const entry = entries.get(id)
    if (entry === undefined) different.push(`${id} is not in the ledger`)
    else if (left) {
      sums.left++
      if (entry.outcome === "finished") sums.leftButFinished++
      if (entry.outcome !== "finished" && entry.outcome !== "left") different.push(`${id} left, and is ${entry.outcome}`)
    } else {
      sums.read++
      sums.prompt += prompt
      sums.completion += completion
      if (entry.outcome !== "finished" || entry.promptTokens !== prompt || entry.completionTokens !== completion) {
        different.push(`${id} read ${prompt} + ${completion} tokens, and the ledger says ${JSON.stringify(entry)}`)
      }
    }
  }
  // What the ledger has of those that left as the system had their last byte.
  const unread = Array.from(said).flatMap(([id, { left }]) => (left && entries.get(id)?.outcome === "finished" ? [entries.get(id)!] : []))
  const expected = {
    requests: sums.read + unread.length,
    promptTokens: unread.reduce((sum, { promptTokens }) => sum + promptTokens, sums.prompt),
    completionTokens: unread.reduce((sum, { completionTokens }) => sum + completionTokens, sums.completion)
  }
  console.log("clients", sums)
  console.log("ledger ", report.outcomes.finished, "left:", report.outcomes.left)
  console.log(
    "equal  ",
    JSON.stringify(expected) === JSON.stringify(report.outcomes.finished) && different.length === 0 && report.requests === calls
  )
  for (const line of different.slice(0, 20)) console.log(line)
  await stop(child)
}

const [what = "cost", argument] = process.argv.slice(2)
const bundles = argument === undefined ? [bundle] : [argument, bundle]
await (what === "ledger" ? ledger(Number(argument ?? 100_000)) : what === "start" ? startTime(bundles) : cost(bundles))
agent.destroy()
