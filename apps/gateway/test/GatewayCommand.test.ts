import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { sha256 } from "../src/Authentication.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 60_000 })

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const event = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
const done = "data: [DONE]\n\n"

class Process {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  output = ""

  constructor(args: ReadonlyArray<string>) {
    this.child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] })
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => (this.output += text))
    this.ended = once(this.child, "exit").then(([code]: Array<number | null>) => code ?? null)
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output)
      if (found !== null) return found
      if (this.child.exitCode !== null) throw new Error(`It ended without ${pattern}: ${this.output}`)
      await sleep(10)
    }
  }
}

const start = (args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => new Process(args)),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      })
  )

const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const running = yield* start(args)
  const code = yield* Effect.promise(() => running.ended)
  return { code, output: running.output }
}, Effect.scoped)

// A gateway in front of a stream that has begun and does not end.
const startGateway = Effect.fnUntraced(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "gateway-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const upstream = yield* Upstream.start((exchange) => {
    exchange.head()
    exchange.chunk(event)
  })
  const file = join(folder, "gateway.yaml")
  const write = (model: string, more = "") =>
    writeFileSync(
      file,
      `models: { ${model}: { replicas: [{ baseUrl: "${upstream.origin}/v1" }], health: { path: null } } }\nkeys: { me: { sha256: ${sha256(Gateway.key)} } }\n${more}`
    )
  write("alfred")
  const gateway = yield* start(["--config", file, "--port", "0"])
  const [, origin = ""] = yield* Effect.promise(() => gateway.says(/listens on (http:\/\/[^ ]+) for alfred/))
  const models = Effect.map(
    Gateway.ask({ origin }, { method: "GET", path: "/v1/models", body: "" }),
    ({ text }) => JSON.parse(text).data[0].id as string
  )
  return { file, gateway, models, origin, upstream, write }
})

describe("paradigm-gateway", () => {
  it.live("reloads on SIGHUP and when its file changes, and keeps its configuration when the new one is invalid", () =>
    Effect.gen(function* () {
      const { gateway, models, write } = yield* startGateway()
      write("second")
      yield* Effect.promise(() => gateway.says(/The configuration was reloaded/))
      assert.strictEqual(yield* models, "second")
      write("third", "unknown: 1\n")
      yield* Effect.promise(() => gateway.says(/not reloaded[^]*line 3: unknown/))
      assert.strictEqual(yield* models, "second")
      write("fourth")
      gateway.child.kill("SIGHUP")
      yield* Effect.promise(() => gateway.says(/reloaded[^]*reloaded[^]*reloaded/))
      assert.strictEqual(yield* models, "fourth")
      assert.isNull(gateway.child.exitCode)
    })
  )

  it.live("drains on SIGTERM and ends with 0", () =>
    Effect.gen(function* () {
      const { gateway, origin, upstream } = yield* startGateway()
      const response = yield* Gateway.open({ origin }, { body: Gateway.chat({ stream: true }) })
      gateway.child.kill("SIGTERM")
      yield* Effect.promise(() => gateway.says(/Stopping/))
      upstream.exchanges[0]?.chunk(done)
      assert.strictEqual((yield* Gateway.read(response)).text, event + done)
      assert.strictEqual(yield* Effect.promise(() => gateway.ended), 0)
      assert.include(gateway.output, '"outcome":"ok"')
    })
  )

  it.live("ends at once at a second signal", () =>
    Effect.gen(function* () {
      const { gateway, origin } = yield* startGateway()
      yield* Gateway.open({ origin }, { body: Gateway.chat({ stream: true }) })
      gateway.child.kill("SIGTERM")
      yield* Effect.promise(() => gateway.says(/Stopping/))
      gateway.child.kill("SIGTERM")
      assert.strictEqual(yield* Effect.promise(() => gateway.ended), 1)
    })
  )

  it.live("serves on when nobody reads its log any more", () =>
    Effect.gen(function* () {
      const { gateway, models } = yield* startGateway()
      gateway.child.stdout?.destroy()
      for (let i = 0; i < 4; i++) assert.strictEqual(yield* models, "alfred")
      assert.isNull(gateway.child.exitCode)
    })
  )

  it.live("serves what its database has, without a configuration", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "gateway-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const data = join(folder, "paradigm.db")
      const upstream = yield* Upstream.start((exchange) => exchange.answer(404, "{}"))
      const gateway = yield* start(["--data", data, "--port", "0"])
      const [, origin = ""] = yield* Effect.promise(() => gateway.says(/listens on (http:\/\/[^ ]+) for the models of its database/))
      yield* run(["models", "create", "alfred", "--replica", `${upstream.origin}/v1`, "--data", data])
      const { output } = yield* run(["keys", "create", "me", "--data", data])
      const { secret } = JSON.parse(output) as { readonly secret: string }
      const models = Effect.map(
        Gateway.ask({ origin }, { method: "GET", path: "/v1/models", body: "", headers: { authorization: `Bearer ${secret}` } }),
        ({ text }) => text
      )
      while (!(yield* models).includes('"id":"alfred"')) yield* Effect.sleep(50)
      gateway.child.kill("SIGTERM")
      assert.strictEqual(yield* Effect.promise(() => gateway.ended), 0)
      assert.notInclude(gateway.output, secret)
    })
  )

  it.live("check reports every mistake with its line, and warns of replicas that do not answer", () =>
    Effect.gen(function* () {
      const { file, write } = yield* startGateway()
      const refused = yield* Upstream.refused
      write("alfred", "unknown: 1\n")
      const wrong = yield* run(["check", file])
      assert.notStrictEqual(wrong.code, 0)
      assert.include(wrong.output, "line 3: unknown")
      writeFileSync(file, `models: { a: { replicas: [{ baseUrl: "${refused}/v1" }] } }\nkeys: { me: { sha256: "${"0".repeat(64)}" } }\n`)
      const unreachable = yield* run(["check", file])
      assert.strictEqual(unreachable.code, 0)
      assert.include(unreachable.output, "is a valid configuration")
      assert.match(unreachable.output, /Warning: the replica .* cannot be reached \(ECONNREFUSED\)/)
    })
  )
})
