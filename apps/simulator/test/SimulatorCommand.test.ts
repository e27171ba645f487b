import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

// The program in `command-main.ts`: what it wrote so far, its first line, and its exit code.
const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) => {
  const child = spawn(process.execPath, [fileURLToPath(new URL("command-main.ts", import.meta.url)), ...args], {
    env: { ...process.env, NO_COLOR: "1", ...env }
  })
  const written = { out: "", err: "" }
  const started = new Promise<string>((resolve) => {
    child.stdout.on("data", (bytes) => {
      written.out += String(bytes)
      const line = /^Simulator listens on .*$/m.exec(written.out)
      if (line !== null) resolve(line[0])
    })
  })
  child.stderr.on("data", (bytes) => (written.err += String(bytes)))
  const exit = once(child, "close").then(([code]) => Number(code))
  return { child, written, started, exit }
}

describe("the command", () => {
  it("says where it listens and for which models, serves, and stops quietly on Ctrl-C", async () => {
    const simulator = run(["--port", "0", "--model", "a", "--model", "b", "--mode", "random", "--inter-token-latency", "1 minute"], {
      PARADIGM_SIMULATOR_API_KEY: "sesame"
    })
    const line = await simulator.started
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? ""
    assert.strictEqual(line, `Simulator listens on ${url} for a, b, with an API key. Ctrl-C stops it.`)
    assert.strictEqual((await fetch(`${url}/v1/models`)).status, 401)
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer sesame", "content-type": "application/json", "x-request-id": "r" },
      body: JSON.stringify({ model: "b", messages: [{ role: "user", content: "hush" }], stream: true })
    })
    assert.strictEqual(response.status, 200)
    await response.body?.getReader().read()
    simulator.child.kill("SIGINT")
    assert.strictEqual(await simulator.exit, 130)
    const [first, second, ...rest] = simulator.written.out.trim().split("\n")
    assert.strictEqual(first, line)
    assert.match(second ?? "", /INFO .*chatcmpl-r stopped with the server after [01] tokens? \{ model: 'b' \}$/)
    assert.deepStrictEqual([rest, simulator.written.err], [[], ""])
  })

  it("refuses flags that make no sense, with code 1 and a line that names them", async () => {
    const table = [
      ["--port", "70000"],
      ["--mode", "parrot"],
      ["--seed", "1.5"],
      ["--time-to-first-token", "soon"],
      ["--inter-token-latency", "-5 millis"]
    ] as const
    for (const [flag, value] of table) {
      const simulator = run([flag, value])
      assert.strictEqual(await simulator.exit, 1, flag)
      assert.include(simulator.written.err, flag)
      assert.notInclude(simulator.written.err, "    at ")
    }
  })
})
