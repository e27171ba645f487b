/**
 * Sends requests to a gateway, and measures what each takes.
 */
import { Agent, request as send } from "node:http"
import type { RunningGateway } from "./gateways.ts"

/** What requests are sent. */
export interface Load {
  readonly requests: number
  readonly concurrency: number
  /** Characters of the prompt. */
  readonly prompt: number
  readonly stream: boolean
  /** Expected status; 200 by default. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** The result, in milliseconds and microseconds. */
export interface Result {
  /** Duration of each request, in milliseconds, sorted. */
  readonly durations: ReadonlyArray<number>
  /** Longest time between two reads of each stream, in milliseconds, sorted. */
  readonly gaps: ReadonlyArray<number>
  /** CPU time of the gateway, in microseconds. */
  readonly cpuMicros: number
}

/** A percentile of sorted values. */
export const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

const bodyOf = ({ prompt, stream }: Load) =>
  Buffer.from(
    JSON.stringify({
      model: "bench",
      stream,
      messages: [{ role: "user", content: "lorem ipsum ".repeat(prompt / 12 + 1).slice(0, prompt) }]
    })
  )

class Sender {
  readonly durations: Array<number> = []
  readonly gaps: Array<number> = []
  readonly #agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  readonly #url: URL
  readonly #load: Load
  readonly #body: Buffer
  readonly #headers: Readonly<Record<string, string>>

  constructor({ headers, url }: RunningGateway, load: Load) {
    this.#url = new URL(url)
    this.#load = load
    this.#body = bodyOf(load)
    this.#headers = {
      "content-type": "application/json",
      "content-length": String(this.#body.length),
      ...headers,
      ...load.headers
    }
  }

  once(): Promise<void> {
    const { status = 200, stream } = this.#load
    const began = performance.now()
    return new Promise((resolve, reject) => {
      const sent = send({
        agent: this.#agent,
        host: this.#url.hostname,
        port: this.#url.port,
        path: this.#url.pathname,
        method: "POST",
        headers: this.#headers
      })
      sent.once("error", reject)
      sent.once("response", (response) => {
        let last: number | undefined
        let gap = 0
        let tail = ""
        response.on("data", (bytes: Buffer) => {
          const now = performance.now()
          if (last !== undefined) gap = Math.max(gap, now - last)
          last = now
          tail = (tail + bytes.toString("latin1", Math.max(0, bytes.length - 40))).slice(-40)
        })
        response.once("close", () => {
          this.durations.push(performance.now() - began)
          if (stream) this.gaps.push(gap)
          if (response.statusCode !== status) reject(new Error(`status ${response.statusCode}: ${tail}`))
          else if (!response.complete || (stream && !tail.includes("[DONE]"))) reject(new Error("the answer is not complete"))
          else resolve()
        })
      })
      sent.end(this.#body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

// A slow gateway sends fewer requests.
const maxMillis = 3000

/** Sends the requests, at most `concurrency` at a time. Rejects if an answer is not as expected. */
export const run = async (gateway: RunningGateway, load: Load): Promise<Result> => {
  const sender = new Sender(gateway, load)
  let left = load.requests
  const deadline = performance.now() + maxMillis
  const worker = async () => {
    while (left-- > 0 && performance.now() < deadline) await sender.once()
  }
  const before = gateway.cpuNanos
  try {
    await Promise.all(Array.from({ length: load.concurrency }, worker))
  } finally {
    sender.close()
  }
  const sorted = (values: Array<number>) => values.toSorted((a, b) => a - b)
  return { durations: sorted(sender.durations), gaps: sorted(sender.gaps), cpuMicros: (gateway.cpuNanos - before) / 1000 }
}
