import { assert, describe, it } from "@effect/vitest"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

// The program: what it wrote so far, its first line, and its exit code.
const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}, file = main) => {
  const child = spawn(process.execPath, [file, ...args], { env: { ...process.env, NO_COLOR: "1", ...env } })
  const written = { out: "", err: "" }
  const started = new Promise<string>((resolve) => {
    child.stdout.on("data", (bytes) => {
      written.out += String(bytes)
      const line = /^(Simulator listens on|Records) .*$/m.exec(written.out)
      if (line !== null) resolve(line[0])
    })
    child.on("close", () => resolve(""))
  })
  child.stderr.on("data", (bytes) => (written.err += String(bytes)))
  const exit = once(child, "close").then(([code]) => Number(code))
  return { child, written, started, exit }
}

const urlOf = (line: string) => /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? ""

const ask = (url: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ messages: [{ role: "user", content: "hush hush" }], ...body })
  })

describe("the command", () => {
  it("says where it listens and for which models, and ends with 0 on SIGTERM, with abort for what it was saying", async () => {
    const simulator = run(["--port", "0", "--model", "a", "--model", "b", "--mode", "random", "--inter-token-latency", "1 minute"], {
      PARADIGM_SIMULATOR_API_KEY: "sesame"
    })
    const line = await simulator.started
    const url = urlOf(line)
    assert.strictEqual(line, `Simulator listens on ${url} for a, b, with an API key. Ctrl-C stops it.`)
    assert.strictEqual((await fetch(`${url}/v1/models`)).status, 401)
    const response = await ask(url, { model: "b", stream: true }, { authorization: "Bearer sesame", "x-request-id": "r" })
    assert.strictEqual(response.status, 200)
    const text = response.text()
    simulator.child.kill("SIGTERM")
    assert.strictEqual(await simulator.exit, 0)
    assert.match(await text, /"finish_reason":"abort"[^]*\[DONE\]/)
    const [first, second, ...rest] = simulator.written.out.trim().split("\n")
    assert.strictEqual(first, line)
    assert.match(second ?? "", /INFO .*chatcmpl-r stopped with the server after [01] tokens? \{ model: 'b' \}$/)
    assert.deepStrictEqual([rest, simulator.written.err], [[], ""])
  })

  it("lets answers end within its time when it is told to stop", async () => {
    const simulator = run(["--port", "0", "--inter-token-latency", "100 millis", "--shutdown-timeout", "1 minute"])
    const response = await ask(urlOf(await simulator.started), { stream: true })
    simulator.child.kill("SIGINT")
    assert.match(await response.text(), /"finish_reason":"stop"[^]*\[DONE\]/)
    assert.strictEqual(await simulator.exit, 0)
  })

  it("takes all flags, and more settings from a file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "simulator-"))
    const file = join(folder, "settings.json")
    writeFileSync(file, JSON.stringify({ faultScript: [{ kind: "status", status: 429 }], script: [{ answer: "Scripted." }] }))
    const flags = ["--profile", "vllm-0.19", "--seed", "3", "--time-to-first-token", "1", "--time-to-first-token-spread", "0.5"]
    const more = ["--prefill-per-token", "0.1", "--prefill-spread", "0.1", "--inter-token-spread", "0.1", "--slowdown", "2"]
    const limits = ["--max-num-seqs", "4", "--max-num-queued-reqs", "8", "--max-model-len", "1000", "--sse-keep-alive-interval", "1 second"]
    const faults = [
      "--fault",
      '{"rate": 1, "path": "/v1/models", "fault": {"kind": "status", "status": 307, "headers": {"location": "/x"}}}'
    ]
    const switches = [...faults, "--enable-request-id-headers", "--enable-scale-out", "--images", "--settings", file]
    const simulator = run(["--port", "0", ...flags, ...more, ...limits, ...switches])
    const url = urlOf(await simulator.started)
    assert.strictEqual((await ask(url, {})).status, 429)
    const response = await ask(url, {})
    assert.strictEqual((await response.json()).choices[0].message.content, "Scripted.")
    assert.isString(response.headers.get("x-request-id"))
    const redirect = await fetch(`${url}/v1/models`, { redirect: "manual" })
    assert.deepStrictEqual([redirect.status, redirect.headers.get("location")], [307, "/x"])
    const config = await (await fetch(`${url}/__config`)).json()
    assert.deepInclude(config, {
      seed: 3,
      timeToFirstToken: 1,
      prefillPerToken: 0.1,
      slowdown: 2,
      maxRunning: 4,
      maxUnfinished: 8,
      keepAlive: 1000
    })
    simulator.child.kill("SIGTERM")
    assert.strictEqual(await simulator.exit, 0)
    rmSync(folder, { recursive: true })
  })

  it("refuses flags that make no sense, with code 1 and a line that names them", async () => {
    const table = [
      ["--port", "70000"],
      ["--inter-token-latency", "-5 millis"],
      ["--profile", "gpt"],
      ["--slowdown", "0"],
      ["--fault", '{"rat": 0.1, "fault": {"kind": "html"}}'],
      ["--settings", "/nowhere.json"]
    ] as const
    for (const [flag, value] of table) {
      const simulator = run([flag, value])
      assert.strictEqual(await simulator.exit, 1, flag)
      assert.include(simulator.written.err, flag === "--profile" || flag === "--settings" ? value : flag.replace("--slowdown", "slowdown"))
      assert.notInclude(simulator.written.err, "    at ")
    }
  })
})

describe("the command record", () => {
  it("writes down what a server answers, for --replay, and ends with 0 on SIGTERM", async () => {
    const folder = mkdtempSync(join(tmpdir(), "simulator-"))
    const file = join(folder, "recording.jsonl")
    const server = run(["--port", "0", "--mode", "random"], { PARADIGM_SIMULATOR_API_KEY: "sesame-street" })
    const upstream = urlOf(await server.started)
    const recorder = run(["record", "--upstream", upstream, "--to", file, "--port", "0"])
    const line = await recorder.started
    const url = /Ask (\S+) in/.exec(line)?.[1] ?? ""
    assert.strictEqual(line, `Records ${upstream} to ${file}. Ask ${url} in its place. Ctrl-C stops it.`)
    const said = await (await ask(url, { stream: true }, { authorization: "Bearer sesame-street" })).text()
    recorder.child.kill("SIGTERM")
    assert.strictEqual(await recorder.exit, 0)
    assert.deepStrictEqual([recorder.written.err, statSync(file).mode & 0o777], ["", 0o600])
    assert.notInclude(readFileSync(file, "utf8"), "sesame")

    const replay = run(["--port", "0", "--replay", file, "--replay-speed", "0"])
    assert.strictEqual(await (await ask(urlOf(await replay.started), { stream: true })).text(), said)
    for (const { child, exit } of [server, replay]) {
      child.kill("SIGTERM")
      assert.strictEqual(await exit, 0)
    }
    rmSync(folder, { recursive: true })
  })

  it("refuses a server that is none, a file that cannot be written, and a recording that is none", async () => {
    const table = [
      [["record", "--upstream", "localhost", "--to", "x"], /--upstream[^]*http:\/\/127\.0\.0\.1:8000/],
      [["record", "--upstream", "http://localhost:1", "--to", "/nowhere/x"], /Cannot record to \/nowhere\/x: ENOENT/],
      [["--replay", "/nowhere"], /Cannot read the recording \/nowhere/],
      [["--replay", main], /The recording .* cannot be used\. Line 1 is no recorded exchange/]
    ] as const
    for (const [args, message] of table) {
      const command = run(args)
      assert.strictEqual(await command.exit, 1)
      assert.match(command.written.err, message)
      assert.notInclude(command.written.err, "    at ")
    }
  })
})

describe("the bundle", () => {
  it("is one file without dependencies, which serves", async () => {
    const root = fileURLToPath(new URL("..", import.meta.url))
    execFileSync(process.execPath, [join(root, "bundle.mjs")], { cwd: root })
    const folder = mkdtempSync(join(tmpdir(), "simulator-"))
    const file = join(folder, "paradigm-simulator.cjs")
    writeFileSync(file, readFileSync(join(root, "dist", "paradigm-simulator.cjs")))
    const simulator = run(["--port", "0"], {}, file)
    const response = await ask(urlOf(await simulator.started), {})
    assert.strictEqual((await response.json()).choices[0].message.content, "hush hush")
    simulator.child.kill("SIGTERM")
    assert.strictEqual(await simulator.exit, 0)
    rmSync(folder, { recursive: true })
  })
})
