import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { sha256 } from "../src/Authentication.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 120_000 })

const completion = JSON.stringify({
  id: "c",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }]
})
const mebibyte = 1024 * 1024
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

// A gateway in a process of its own, of which the kernel says what it uses.
class GatewayProcess {
  readonly pid: number
  readonly origin: string

  constructor(pid: number, origin: string) {
    this.pid = pid
    this.origin = origin
  }

  /** CPU time of the main thread, in milliseconds. */
  get cpu(): number {
    return Number(readFileSync(`/proc/${this.pid}/task/${this.pid}/schedstat`, "utf8").split(" ", 1)[0]) / 1e6
  }

  #memory(field: "VmRSS" | "VmHWM"): number {
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))?.[1]) / 1024
  }

  /** Resident memory, in MiB. */
  get resident(): number {
    return this.#memory("VmRSS")
  }

  /** Highest resident memory since `forgetPeak`, in MiB. */
  get peak(): number {
    return this.#memory("VmHWM")
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, "5")
  }

  /** Asks for the health. Gives the CPU time that the main thread used meanwhile, which is the delay on a machine that does nothing else. */
  readonly health = Effect.gen({ self: this }, function* () {
    const before = this.cpu
    const { status } = yield* Gateway.ask(this, { method: "GET", path: "/health", body: "" })
    assert.strictEqual(status, 200)
    return this.cpu - before
  })
}

const start = Effect.gen(function* () {
  const upstream = yield* Upstream.start((exchange) => exchange.answer(200, completion))
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "gateway-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const file = join(folder, "gateway.json")
  const models = { alfred: { replicas: [{ baseUrl: `${upstream.origin}/v1` }], health: { path: null } } }
  writeFileSync(file, JSON.stringify({ operator: false, models, keys: { all: { sha256: sha256(Gateway.key) } } }))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [main, "--config", file, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] })),
    (child) =>
      Effect.promise(async () => {
        const ended = child.exitCode === null ? once(child, "exit") : undefined
        child.kill("SIGKILL")
        await ended
      })
  )
  const origin = yield* Effect.promise(async () => {
    let output = ""
    for await (const text of child.stdout) {
      output += String(text)
      const [, found] = /listens on (http:\/\/[^ ]+) for/.exec(output) ?? []
      if (found !== undefined) return found
    }
    return assert.fail(`It does not start: ${output}`)
  })
  child.stdout.resume()
  return new GatewayProcess(child.pid ?? 0, origin)
})

const message = (content: unknown) => JSON.stringify({ model: "alfred", messages: [{ role: "user", content }] })
const json = "application/json"
const forms = "application/x-www-form-urlencoded"
const members = Array.from({ length: 90_000 }, (_, i) => `"k${i}":1`).join(",")
const user = '"messages":[{"role":"user","content":"x"'
const bodies: ReadonlyArray<readonly [name: string, body: () => string, type: string, status: number]> = [
  ["a string of 18 MB", () => message("word ".repeat(3_600_000)), json, 200],
  ["escapes of 18 MB", () => `{"model":"alfred","messages":[{"role":"user","content":"${"\\u00e9".repeat(3_000_000)}"}]}`, json, 200],
  ["an image of 18 MB", () => message([{ type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(18e6)}` } }]), json, 200],
  [
    "9,000 messages",
    () => JSON.stringify({ model: "alfred", messages: Array.from({ length: 9000 }, () => ({ role: "user", content: "x" })) }),
    json,
    200
  ],
  ["9,000 wrong messages", () => `{"model":"alfred","messages":[${'{"role":5},'.repeat(9000)}{"role":5}]}`, json, 422],
  ["10 million wrong messages", () => `{"model":"alfred","messages":[${"1,".repeat(9_000_000)}1]}`, json, 413],
  [
    "a schema of 90,000 properties",
    () => `{"model":"alfred",${user}}],"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{${members}}}}}]}`,
    json,
    200
  ],
  ["a message of 90,000 members", () => `{"model":"alfred",${user},${members}}]}`, json, 200],
  ["90,000 members", () => `{"model":"alfred",${members},"messages":[]}`, json, 413],
  ["18 million levels", () => `{"model":"alfred","messages":${"[".repeat(18e6)}`, json, 413],
  ["a million fields of a form", () => `model=alfred&messages[0]role=user&messages[0]content=x${"&f=1".repeat(1_000_000)}`, forms, 413],
  ["a form of 4 MB", () => `model=alfred&messages[0]role=user&messages[0]content=${"x".repeat(3.9e6)}`, forms, 200]
]

// What a request may hold up the others, in milliseconds of CPU, and how often its size it may take in memory. The first requests of a process
// compile code, and the collector of garbage takes memory before it gives it back: both are in the bound of a small body.
const maxDelay = 100
const maxFactor = 5
const slack = 48

describe.runIf(existsSync("/proc/self/schedstat"))("a body", () => {
  it.live("does not hold up other requests, and takes a bounded multiple of its size in memory", () =>
    Effect.gen(function* () {
      const gateway = yield* start
      const unloaded: Array<number> = []
      for (let i = 0; i < 50; i++) unloaded.push(yield* gateway.health)
      const usual = unloaded.toSorted((a, b) => a - b)[25] ?? 0
      for (const [name, make, type, status] of bodies) {
        const body = make()
        const size = body.length / mebibyte
        const before = gateway.resident
        gateway.forgetPeak()
        const asked = yield* Effect.forkChild(Gateway.ask(gateway, { body, headers: { "content-type": type } }))
        const delays: Array<number> = []
        while (asked.pollUnsafe() === undefined) delays.push(yield* gateway.health)
        const answer = yield* Fiber.join(asked)
        assert.strictEqual(answer.status, status, `${name}: ${answer.text.slice(0, 300)}`)
        assert.isBelow(answer.text.length, 10_000, name)
        const worst = Math.max(...delays)
        const grown = gateway.peak - before
        if (process.env["BOUNDS"] !== undefined) {
          console.log(
            `${name}: /health ${worst.toFixed(1)} ms (usually ${usual.toFixed(2)} ms), ${(grown / size).toFixed(1)} x ${size.toFixed(1)} MiB`
          )
        }
        assert.isBelow(worst, Math.max(maxDelay, usual * 20), `${name}: /health takes ${worst} ms, usually ${usual} ms`)
        assert.isBelow(grown, size * maxFactor + slack, `${name}: ${grown} MiB for ${size} MiB`)
      }
    })
  )
})
