/**
 * Measures the bundled simulator as a process of its own, on Linux:
 *
 * - `node test/measure.ts cost`: CPU time per event without waits, then CPU and memory of 2,000 streams at 20 tokens/s.
 * - `node test/measure.ts ledger [calls]`: the ledger against the sum of the usages of so many mixed calls (100,000 by default).
 */
import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { Agent, request } from "node:http"
import { fileURLToPath } from "node:url"

const bundle = fileURLToPath(new URL("../dist/paradigm-simulator.mjs", import.meta.url))

const start = (...args: ReadonlyArray<string>): Promise<{ readonly child: ChildProcess; readonly url: URL }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [bundle, "--port", "0", "--log-level", "none", ...args])
    child.stdout.once("data", (line) => resolve({ child, url: new URL(/http:\S+/.exec(String(line))![0]) }))
    child.stderr.pipe(process.stderr)
  })

const cpuSeconds = ({ pid }: ChildProcess) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}
const peakMegabytes = ({ pid }: ChildProcess) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

// Sends a chat request, counts its events, and gives the last usage that it tells.
const ask = (url: URL, body: object, path = "/v1/chat/completions", leaveAfter = Infinity) =>
  new Promise<{ readonly events: number; readonly prompt: number; readonly completion: number; readonly left: boolean }>(
    (resolve, reject) => {
      const text = JSON.stringify(body)
      const sent = request(
        {
          agent,
          host: url.hostname,
          port: url.port,
          path,
          method: "POST",
          headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text) }
        },
        (response) => {
          let events = 0
          let tail = ""
          response.setEncoding("latin1")
          response.on("data", (part: string) => {
            for (let at = part.indexOf("data: "); at !== -1; at = part.indexOf("data: ", at + 6)) events++
            tail = (tail + part).slice(-2000)
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
        }
      )
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

const cost = async () => {
  const fast = await start("--mode", "random")
  await Promise.all(Array.from({ length: 50 }, () => ask(fast.url, stream(100))))
  const before = cpuSeconds(fast.child)
  const counted = await Promise.all(Array.from({ length: 500 }, () => ask(fast.url, stream(400))))
  const events = counted.reduce((sum, { events }) => sum + events, 0)
  const seconds = cpuSeconds(fast.child) - before
  console.log(`${events} events in ${seconds.toFixed(2)} s of CPU: ${Math.round(events / seconds)} events/s on one core`)
  fast.child.kill()

  const many = await start("--mode", "random", "--inter-token-latency", "50")
  const from = cpuSeconds(many.child)
  const begun = performance.now()
  const open = await Promise.all(Array.from({ length: 2000 }, () => ask(many.url, stream(200))))
  const wall = (performance.now() - begun) / 1000
  const total = open.reduce((sum, { events }) => sum + events, 0)
  const used = cpuSeconds(many.child) - from
  console.log(
    `2000 streams at 20 tokens/s: ${total} events in ${wall.toFixed(1)} s, ${used.toFixed(1)} s of CPU, ${Math.round(peakMegabytes(many.child))} MB at most`
  )
  many.child.kill()
}

const ledger = async (calls: number) => {
  const { child, url } = await start("--mode", "random", "--enable-scale-out", "--max-num-seqs", "64")
  let next = 0
  const sums = { finished: 0, left: 0, prompt: 0, completion: 0 }
  const worker = async () => {
    while (next < calls) {
      const number = next++
      const isStream = number % 2 === 0
      const max_tokens = 1 + (number % 30)
      const options = isStream ? { stream: true, stream_options: { include_usage: true } } : {}
      const leaves = isStream && number % 10 === 0
      const answer =
        number % 3 === 0
          ? await ask(
              url,
              { prompt: `text ${number}`, max_tokens: leaves ? 5000 : max_tokens + 3, ignore_eos: leaves, ...options },
              "/v1/completions",
              leaves ? 2 : Infinity
            )
          : await ask(
              url,
              {
                messages: [{ role: "user", content: `call ${number}` }],
                max_tokens: leaves ? 5000 : max_tokens,
                ignore_eos: leaves,
                n: 1 + (number % 2),
                ...options
              },
              "/v1/chat/completions",
              leaves ? 2 : Infinity
            )
      if (answer.left) sums.left++
      else {
        sums.finished++
        sums.prompt += answer.prompt
        sums.completion += answer.completion
      }
    }
  }
  await Promise.all(Array.from({ length: 32 }, worker))
  for (;;) {
    const { open, outcomes } = (await (await fetch(new URL("/__ledger", url))).json()) as {
      open: number
      outcomes: Record<string, { requests: number; promptTokens: number; completionTokens: number }>
    }
    if (open > 0) continue
    console.log("usages", sums)
    console.log("ledger", outcomes["finished"], "left:", outcomes["left"])
    break
  }
  child.kill()
}

const [what = "cost", count = "100000"] = process.argv.slice(2)
await (what === "ledger" ? ledger(Number(count)) : cost())
agent.destroy()
