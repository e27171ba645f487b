import * as Authentication from "@paradigm-effect/gateway/Authentication"
import * as Gateway from "@paradigm-effect/gateway/Gateway"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8")
const snippets = [...readme.matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1] ?? "")
const typescript = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc")

const run = (file: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) =>
  Effect.callback<{ readonly code: number; readonly output: string }>((resume) => {
    const child = execFile(process.execPath, [file, ...args], { env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resume(Effect.succeed({ code: error === null ? 0 : 1, output: stdout + stderr }))
    )
    return Effect.sync(() => child.kill())
  })

const serve = (routes: Layer.Layer<never, never, HttpServer.HttpServer>) =>
  Effect.flatMap(Layer.build(Layer.provideMerge(routes, NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))), (context) =>
    Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), context)
  )

describe("README.md", () => {
  it("has a snippet for Effect and one for promises", () => assert.strictEqual(snippets.length, 2))

  it.live.each(snippets.map((snippet, index) => ({ snippet, index })))(
    "snippet $index compiles, and prints the answer twice",
    ({ index, snippet }) =>
      Effect.gen(function* () {
        // Beside this test, so that imports resolve as they do for a user who has installed the packages.
        const folder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(new URL("readme-", import.meta.url).pathname)),
          (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
        )
        const file = join(folder, `snippet${index}.ts`)
        writeFileSync(file, snippet)
        const flags = [
          "--ignoreConfig",
          "--noEmit",
          "--strict",
          "--skipLibCheck",
          "--module",
          "nodenext",
          "--target",
          "es2023",
          "--types",
          "node"
        ]
        const checked = yield* run(typescript, [...flags, "--allowImportingTsExtensions", file])
        assert.strictEqual(checked.output, "")
        const upstream = yield* serve(Simulator.layer({ models: ["alfred-4.2"] }))
        const baseUrl = yield* serve(
          Gateway.layer({
            models: new Map([["alfred-4.2", { url: new URL("/v1/chat/completions", upstream), model: "alfred-4.2", apiKey: undefined }]]),
            keys: [{ name: "reader", sha256: yield* Authentication.sha256("a-key"), models: undefined }],
            maxBodyBytes: 1024 * 1024
          })
        )
        const ran = yield* run(file, [], { PARADIGM_API_KEY: "a-key", PARADIGM_BASE_URL: baseUrl })
        assert.strictEqual(ran.code, 0, ran.output)
        assert.match(ran.output, /^Say hello\n\s*Say\s+hello\s+$/)
      }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))),
    30_000
  )
})
