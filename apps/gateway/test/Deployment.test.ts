import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { install, pnpm } from "../../../packages/node/test/pnpm.ts"
import { sha256 } from "../src/Authentication.ts"
import { freePort } from "./FreePort.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 120_000 })

const packageFolder = fileURLToPath(new URL("..", import.meta.url))
const document = readFileSync(new URL("../../../docs/operate/deployment.md", import.meta.url), "utf8")
const event = (text: string) =>
  `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`
const done = "data: [DONE]\n\n"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "gateway-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const child = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { cwd, stdio: ["ignore", "pipe", "inherit"] })),
    (child) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = once(child, "exit")
        child.kill("SIGTERM")
        await ended
      })
  )

const hasNginx = spawnSync("nginx", ["-v"]).status === 0
if (!hasNginx)
  console.warn("nginx is not installed: its configuration in docs/operate/deployment.md is not tried (Debian: apt-get install nginx-light)")

// nginx with the configuration of the documentation, on a free port.
const startNginx = Effect.fnUntraced(function* (gateway: string) {
  const path = yield* folder
  const port = yield* Effect.promise(freePort)
  // Its workers are another user if it is started by root.
  chmodSync(path, 0o755)
  const [, shown = ""] = /```nginx\n([^]*?)```/.exec(document) ?? []
  const site = shown.replace("127.0.0.1:8080", new URL(gateway).host).replace("listen 443", `listen 127.0.0.1:${port}`)
  assert.notStrictEqual(site, shown)
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${path}/${name};`).join(" ")
  const config = `daemon off; pid ${path}/pid; error_log stderr crit; events {} http { access_log off; ${temporary} ${site} }`
  writeFileSync(join(path, "nginx.conf"), config)
  yield* child("nginx", ["-e", "stderr", "-c", join(path, "nginx.conf")], path)
  const origin = `http://127.0.0.1:${port}`
  yield* Effect.promise(async () => {
    for (let i = 0; i < 500; i++) {
      const isUp = await fetch(`${origin}/health`).then(
        ({ status }) => status === 200,
        () => false
      )
      if (isUp) return
      await sleep(20)
    }
    assert.fail("nginx does not start")
  })
  return origin
})

describe.runIf(hasNginx)("nginx in front", () => {
  it.live("passes events one by one, refusals, large requests, and the end of a client", () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf((exchange) => {
        exchange.head()
        exchange.chunk(event("a"))
      })
      const origin = yield* startNginx(gateway.origin)
      const response = yield* Gateway.open({ origin }, { body: Gateway.chat({ stream: true }) })
      const [first] = (yield* Effect.promise(() => once(response, "data"))) as [Buffer]
      assert.strictEqual(first.toString(), event("a"))
      upstream.exchanges[0]?.chunk(event("b") + done)
      assert.strictEqual((yield* Gateway.read(response)).text, event("b") + done)
      const refused = yield* Gateway.ask({ origin }, { headers: { authorization: "Bearer wrong" } })
      assert.strictEqual(refused.status, 401)
      assert.include(refused.text, "The key is not known.")
      const large = yield* Gateway.open({ origin }, { body: Gateway.chat({ stream: true, user: "x".repeat(10_000_000) }) })
      assert.strictEqual(large.statusCode, 200)
      large.destroy()
      assert.isNumber(yield* Effect.promise(() => upstream.exchanges[1]?.closed ?? Promise.resolve(undefined)))
    })
  )
})

describe("the packed package", () => {
  it.live("starts in an empty folder, and has no dependency", () =>
    Effect.gen(function* () {
      const project = yield* folder
      yield* Effect.promise(async () => {
        execFileSync(process.execPath, ["bundle.ts"], { cwd: packageFolder })
        await pnpm(packageFolder, "pack", "--pack-destination", project)
        const [tarball = ""] = readdirSync(project)
        writeFileSync(
          join(project, "package.json"),
          JSON.stringify({ private: true, dependencies: { "@paradigm-effect/gateway": `file:${tarball}` } })
        )
        await install(project)
      })
      assert.deepStrictEqual(readdirSync(join(project, "node_modules", "@paradigm-effect")), ["gateway"])
      const command = join(project, "node_modules", ".bin", "paradigm-gateway")
      assert.include(execFileSync(command, ["key"], { encoding: "utf8" }), "sha256")
      const models = { alfred: { replicas: [{ baseUrl: `${yield* Upstream.refused}/v1` }], health: { path: null } } }
      const config = { operator: { port: 0 }, models, keys: { me: { sha256: sha256(Gateway.key) } } }
      writeFileSync(join(project, "gateway.yaml"), JSON.stringify(config))
      const { stdout } = yield* child(command, ["--config", "gateway.yaml", "--port", "0"], project)
      const said = yield* Effect.promise(async () => {
        let output = ""
        for await (const text of stdout) {
          output += String(text)
          if (/listens on/.test(output)) break
        }
        return output
      })
      const [, origin = ""] = /listens on (http:\/\/[^ ]+) for alfred/.exec(said) ?? []
      const [, operator = ""] = /documentation: (http:\/\/[^" ]+)/.exec(said) ?? []
      const get = (url: string) => Effect.promise(() => fetch(url).then((response) => response.text()))
      assert.include(yield* get(`${origin}/openapi.json`), '"openapi"')
      assert.include(yield* get(`${operator}/docs`), "<html")
      assert.include(yield* get(`${operator}/metrics`), "http_server_active_requests")
      assert.strictEqual((yield* Gateway.ask({ origin })).status, 502)
    })
  )
})
