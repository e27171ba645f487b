/**
 * `pnpm bench gateway`: the cost of the gateway in comparison with a bare `node:http` pipe, nginx, Portkey and LiteLLM, those that are installed.
 * CPU time is that of all threads of a gateway. Gateways take turns, and a ratio is the median of the ratios of the rounds.
 * Prints a page of tables; `--write` also writes it to `docs/benchmarks-gateway.md`. `--rounds N` defaults to 3, `--only NAME` selects gateways.
 */
import { writeFileSync } from "node:fs"
import { cpus, loadavg, totalmem } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { median } from "../report.ts"
import { type Gateway, gateways, ModelServer, ours, type RunningGateway } from "./gateways.ts"
import { type Load, percentile, run } from "./load.ts"
import type { Plan } from "./modelServer.ts"

const { values: options } = parseArgs({
  args: process.argv.slice(3),
  options: {
    write: { type: "boolean", default: false },
    rounds: { type: "string", default: "3" },
    only: { type: "string", multiple: true }
  }
})
const rounds = Number(options.rounds)
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  console.error("--rounds takes a whole number of at least 1")
  process.exit(2)
}

interface Scenario {
  readonly name: string
  readonly plan: Plan
  readonly load: Load
  /** Units of a request: events of a stream, or 1. */
  readonly units: number
}

const json = { delay: 0, events: 0, perWrite: 1, gap: 0 }
const request = { requests: 2000, concurrency: 16, prompt: 1000, stream: false }
const costs: ReadonlyArray<Scenario> = [
  { name: "JSON, a request", plan: json, load: request, units: 1 },
  {
    name: "stream in bursts of 40, an event",
    plan: { delay: 0, events: 800, perWrite: 40, gap: 0 },
    load: { requests: 100, concurrency: 4, prompt: 1000, stream: true },
    units: 800
  },
  {
    name: "stream, one event a write, an event",
    plan: { delay: 0, events: 100, perWrite: 1, gap: 5 },
    load: { requests: 100, concurrency: 50, prompt: 1000, stream: true },
    units: 100
  },
  { name: "prompt of 10,000 characters, a request", plan: json, load: { ...request, requests: 1000, prompt: 10_000 }, units: 1 },
  { name: "prompt of 100,000 characters, a request", plan: json, load: { ...request, requests: 400, prompt: 100_000 }, units: 1 }
]
const slow = { ...json, delay: 20 }
const latencies: ReadonlyArray<Scenario> = [1, 4, 16].map((concurrency) => ({
  name: `c = ${concurrency}`,
  plan: slow,
  load: { requests: 40 + concurrency * 25, concurrency, prompt: 1000, stream: false },
  units: 1
}))
const crowd: Scenario = {
  name: "1,000 streams",
  plan: { delay: 0, events: 50, perWrite: 1, gap: 20 },
  load: { requests: 1000, concurrency: 1000, prompt: 1000, stream: true },
  units: 50
}

const number = (value: number, digits = value < 10 ? 2 : value < 100 ? 1 : 0) =>
  Number.isNaN(value) ? "–" : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const [loadBefore = 0] = loadavg()
const model = await ModelServer.start()
const direct: Pick<RunningGateway, "url" | "headers" | "cpuNanos" | "name"> = {
  name: "direct",
  url: `${model.origin}/v1/chat/completions`,
  headers: {},
  cpuNanos: 0
}

// What a gateway was measured with: by scenario, a value of each round.
type Values = Map<string, Array<number>>
const add = (values: Values, name: string, value: number) => void values.set(name, [...(values.get(name) ?? []), value])
const of = (values: Values | undefined, name: string) => {
  const found = values?.get(name)
  return found === undefined ? Number.NaN : median(found)
}

const started: Array<RunningGateway> = []
// Also if the benchmark fails.
process.on("exit", () => {
  for (const gateway of started) gateway.kill()
})
const skipped: Array<string> = []
const memoryAtRest = new Map<string, number>()

const start = async (gateway: Gateway) => {
  if (gateway.missing !== undefined) return void skipped.push(`${gateway.name}: ${gateway.missing}`)
  try {
    const running = await gateway.start(model.origin)
    started.push(running)
    await sleep(1500)
    memoryAtRest.set(running.name, running.memory)
  } catch (error) {
    skipped.push(`${gateway.name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

for (const gateway of gateways) {
  if (options.only === undefined || gateway.name === "node:http pipe" || options.only.includes(gateway.name)) await start(gateway)
}
for (const problem of skipped) console.error(`NOT MEASURED: ${problem}`)

const cpu = new Map<string, Values>(started.map(({ name }) => [name, new Map()]))
const added = new Map<string, Values>(started.map(({ name }) => [name, new Map()]))
const failures: Array<string> = []

// A gateway that fails under a load is not measured with it again.
const attempt = async (gateway: RunningGateway, scenario: Scenario) => {
  const failed = `${gateway.name}, ${scenario.name}: `
  if (failures.some((failure) => failure.startsWith(failed))) return undefined
  try {
    const result = await run(gateway, scenario.load)
    // Work after the last answer, for example a log, is the gateway's as well.
    await sleep(20)
    return result
  } catch (error) {
    failures.push(failed + (error instanceof Error ? error.message : String(error)))
    return undefined
  }
}

// The rounds up to 0 warm up: the compiler needs some thousand requests.
for (let round = -1; round <= rounds; round++) {
  for (const scenario of costs) {
    await model.plan(scenario.plan)
    for (const gateway of started) {
      const result = await attempt(gateway, scenario)
      if (round < 1 || result === undefined) continue
      add(cpu.get(gateway.name) ?? new Map(), scenario.name, result.cpuMicros / result.durations.length / scenario.units)
    }
  }
  if (round < 1) continue
  for (const scenario of latencies) {
    await model.plan(scenario.plan)
    const base = await run(direct as RunningGateway, scenario.load)
    for (const gateway of started) {
      const result = await attempt(gateway, scenario)
      if (result === undefined) continue
      for (const share of [0.5, 0.99]) {
        const value = percentile(result.durations, share) - percentile(base.durations, share)
        add(added.get(gateway.name) ?? new Map(), `${scenario.name} ${share}`, value)
      }
    }
  }
}

await model.plan(crowd.plan)
const crowds: Array<ReadonlyArray<string>> = []
for (const gateway of started) {
  const result = await attempt(gateway, crowd)
  if (result === undefined) continue
  const memory = gateway.memory
  crowds.push([
    gateway.name,
    number(percentile(result.gaps, 0.5), 0),
    number(percentile(result.gaps, 0.99), 0),
    number(result.cpuMicros / result.durations.length / crowd.units),
    number(memory, 0)
  ])
}

// What only ours has: keys, and replicas.
const own: Array<ReadonlyArray<string>> = []
const isOurs = started.some(({ name }) => name === "paradigm-gateway")
if (isOurs) {
  const closed = "http://127.0.0.1:9"
  const [plain] = started.filter(({ name }) => name === "paradigm-gateway")
  const many = await ours({ keys: 5000 }).start(model.origin)
  started.push(many)
  const failing = await ours({ replicas: [closed] }).start(model.origin)
  started.push(failing)
  await model.plan(json)
  const wrong = { ...request, status: 401, headers: { authorization: "Bearer pk-wrong-0123456789" } }
  const perRequest = async (gateway: RunningGateway, load: Load) => {
    const found: Array<number> = []
    for (let round = 0; round <= rounds; round++) {
      const { cpuMicros, durations } = await run(gateway, load)
      if (round > 0) found.push(cpuMicros / durations.length)
    }
    return number(median(found), 0)
  }
  if (plain !== undefined) {
    own.push(["a request, 1 key", await perRequest(plain, request)])
    own.push(["a request, 5,001 keys", await perRequest(many, request)])
    own.push(["a request with a wrong key, 5,001 keys", await perRequest(many, wrong)])
    own.push(["a request, one of two replicas refuses connections", await perRequest(failing, request)])
  }
  // They have no rows of their own.
  await Promise.all(started.splice(-2).map((gateway) => gateway.stop()))
}

const base = started[0]?.name ?? ""
const ratio = (name: string, scenario: string) => {
  const [values, bases] = [cpu.get(name)?.get(scenario), cpu.get(base)?.get(scenario)]
  if (values === undefined || bases === undefined) return "–"
  return `${number(median(values.map((value, i) => value / (bases[i] ?? Number.NaN))))}x`
}

const [processor] = cpus()
const page = `# Benchmarks of the gateway

\`pnpm bench gateway --write\` writes this page. It ran on ${new Date().toISOString().slice(0, 10)}, with Node ${process.versions.node}, ${cpus().length} x
${processor?.model.trim() ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${rounds} rounds. Every gateway is one worker on the same machine as the model server and the client.
The load average was ${number(loadBefore, 1)} before: times depend on it, ratios of CPU time hardly do.
${skipped.map((problem) => `\nNot measured: ${problem}.\n`).join("")}
## CPU time

Microseconds of CPU of all threads of a gateway, and the ratio to the first line in the same round. The model server answers at once. A JSON answer is 1 KB, a prompt
1,000 characters.

${table(
  ["", ...costs.map(({ name }) => name)],
  started.map(({ name }) => [
    name,
    ...costs.map((scenario) => `${number(of(cpu.get(name), scenario.name))} (${ratio(name, scenario.name)})`)
  ])
)}

## Added time

Milliseconds at the median and at p99 that a gateway adds to a model server that answers after 20 ms, with c requests at once.

${table(
  ["", ...latencies.map(({ name }) => name)],
  started.map(({ name }) => [
    name,
    ...latencies.map(
      (scenario) => `${number(of(added.get(name), `${scenario.name} 0.5`))} / ${number(of(added.get(name), `${scenario.name} 0.99`))}`
    )
  ])
)}

## 1,000 streams at once

Streams of 50 events, one each 20 ms: the longest time between two reads of a stream in milliseconds, microseconds of CPU an event, and memory (MiB) after it. The
client, which reads all streams, and the model server share the machine.

${table(["", "longest gap, median", "longest gap, p99", "CPU an event", "memory"], crowds)}

## Start and rest

Milliseconds from the start of the process to its first answer, and memory in MiB after 1.5 seconds.

${table(
  ["", "start", "memory"],
  started.map(({ name, startMillis }) => [name, number(startMillis, 0), number(memoryAtRest.get(name) ?? Number.NaN, 0)])
)}
${own.length === 0 ? "" : `\n## Keys and failover\n\nMicroseconds of CPU of paradigm-gateway.\n\n${table(["", "CPU"], own)}\n`}${failures.length === 0 ? "" : `\n## Failures\n\n${failures.map((failure) => `- ${failure}`).join("\n")}\n`}`

console.log(page)
if (options.write) writeFileSync(fileURLToPath(new URL("../../../../docs/benchmarks-gateway.md", import.meta.url)), page)
await Promise.all(started.map((gateway) => gateway.stop()))
model.stop()
