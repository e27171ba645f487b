import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright"
import { find } from "../../../conformance/chromium.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import type { programs } from "./page.ts"
import { answer } from "./ScriptedAnswers.ts"

vi.setConfig({ testTimeout: 120_000 })

// A page of an origin of its own, in a real browser.
const openPage = Effect.gen(function* () {
  const bundled = yield* Effect.promise(() =>
    build({
      entryPoints: [fileURLToPath(new URL("page.ts", import.meta.url))],
      bundle: true,
      write: false,
      format: "iife",
      logLevel: "error"
    })
  )
  const script = bundled.outputFiles[0]?.text ?? ""
  const server = yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((request, response) => {
        const isScript = request.url === "/page.js"
        response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8")
        response.end(isScript ? script : "<script src=/page.js></script>")
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
  const browser = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const { args, env, executablePath } = await find()
      return chromium.launch({ args: [...args], env, executablePath })
    }),
    (browser) => Effect.promise(() => browser.close())
  )
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const page = yield* Effect.promise(() => browser.newPage())
  yield* Effect.promise(() => page.goto(origin))
  const run = (name: keyof typeof programs, gateway: string, key = Gateway.key) =>
    Effect.promise(() =>
      page.evaluate(
        ([name, gateway, key]) => (globalThis as unknown as { run: (...args: Array<string>) => Promise<unknown> }).run(name, gateway, key),
        [name, gateway, key] as const
      )
    )
  return { origin, run }
})

describe("our client in a page of another origin", () => {
  it.live("completes, streams, calls tools, lists models, is told of errors, and leaves", () =>
    Effect.gen(function* () {
      const { run } = yield* openPage
      const { gateway, upstream } = yield* Gateway.inFrontOf(answer)
      const { origin } = gateway
      assert.deepStrictEqual(yield* run("completes", origin), { text: "Hello!", model: "alfred", hasId: true })
      assert.strictEqual(yield* run("streams", origin), "Hello!")
      assert.deepStrictEqual(yield* run("calls", origin), [["add", '{"a":1,"b":2}']])
      assert.deepStrictEqual(yield* run("lists", origin), ["alfred", "other"])
      assert.include(yield* run("isRefused", origin), { tag: "RequestRejected" })
      assert.include(yield* run("asksForNone", origin), { tag: "ModelNotFound" })
      assert.include(yield* run("completes", origin, "wrong").pipe(Effect.sandbox, Effect.flip, Effect.map(String)), "The key is not known")
      assert.include(yield* run("breaksOff", origin), { partial: "Hel" })
      assert.strictEqual(yield* run("leaves", origin), "left")
      assert.isNumber(yield* Effect.promise(() => upstream.exchanges.at(-1)?.closed ?? Promise.resolve(undefined)))
    })
  )

  it.live("is refused by the browser if its origin is not allowed", () =>
    Effect.gen(function* () {
      const { origin, run } = yield* openPage
      const refusing = yield* Gateway.inFrontOf(answer, { cors: { origins: ["https://example.com"] } })
      assert.include(yield* run("isRefused", refusing.gateway.origin), { tag: "ConnectFailed" })
      assert.lengthOf(refusing.upstream.exchanges, 0)
      const allowing = yield* Gateway.inFrontOf(answer, { cors: { origins: [origin] } })
      assert.strictEqual(yield* run("streams", allowing.gateway.origin), "Hello!")
    })
  )
})
