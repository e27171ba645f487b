import * as Authentication from "@paradigm-effect/gateway/Authentication"
import * as Gateway from "@paradigm-effect/gateway/Gateway"
import * as GatewayConfig from "@paradigm-effect/gateway/GatewayConfig"
import { LineWriter } from "@paradigm-effect/gateway/LineWriter"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { Writable } from "node:stream"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const guides = readdirSync(join(root, "docs", "guide"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"))
const pages = ["README.md", ...guides.map((name) => join("docs", "guide", name)).toSorted()]
// Beside this test, so that imports resolve as they do for a user who has installed the packages.
const folder = mkdtempSync(fileURLToPath(new URL("readme-", import.meta.url)))
afterAll(() => rmSync(folder, { recursive: true }))

const snippets = pages.flatMap((page) =>
  Array.from(readFileSync(join(root, page), "utf8").matchAll(/^```ts\n(.*?)^```/gms), ([, text = ""], index) => {
    const file = join(folder, `${page.replaceAll(/\W+/g, "-")}-${index + 1}.ts`)
    writeFileSync(file, text)
    return { page, name: `${page}, snippet ${index + 1}`, file, isRun: !text.startsWith("// not run: ") }
  })
)

const run = (file: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) =>
  Effect.callback<{ readonly code: number; readonly output: string }>((resume) => {
    const child = execFile(process.execPath, [file, ...args], { env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resume(Effect.succeed({ code: error === null ? 0 : 1, output: stdout + stderr }))
    )
    return Effect.sync(() => child.kill())
  })

// A gateway in front of a simulated model that repeats the prompt.
const gateway = Effect.gen(function* () {
  const upstream = (yield* Simulator.scoped()).url
  const config = yield* GatewayConfig.parse(
    JSON.stringify({
      listen: { port: 0 },
      operator: false,
      models: { "alfred-4.2": { replicas: [{ baseUrl: `${upstream}/v1` }] } },
      keys: { reader: { sha256: Authentication.sha256("a-key") } }
    }),
    "of the test"
  )
  return (yield* Gateway.start(config, new LineWriter(new Writable({ write: (_line, _encoding, done) => done() })))).url
}).pipe(Effect.provide(NodeFileSystem.layer))

describe("README.md", () => {
  it("has a snippet for Effect and one for promises", () =>
    assert.lengthOf(
      snippets.filter(({ page }) => page === "README.md"),
      2
    ))
})

describe("the snippets of README.md and the guides", () => {
  it.live(
    "compile",
    () =>
      Effect.gen(function* () {
        const typescript = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc")
        const flags = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--allowImportingTsExtensions"]
        const platform = ["--module", "nodenext", "--target", "es2023", "--types", "node"]
        const { output } = yield* run(typescript, [...flags, ...platform, ...snippets.map(({ file }) => file)])
        assert.strictEqual(output, "")
      }),
    60_000
  )

  it.live.each(snippets.filter(({ isRun }) => isRun))(
    "$name prints the answer",
    ({ file, page }) =>
      Effect.gen(function* () {
        const { code, output } = yield* run(file, [], { PARADIGM_API_KEY: "a-key", PARADIGM_BASE_URL: yield* gateway })
        assert.strictEqual(code, 0, output)
        // The README asks for a completion and for a stream.
        assert.match(output, page === "README.md" ? /^Say hello\n\s*S\s*a\s*y\s*h\s*e\s*l\s*l\s*o\s+$/ : /\w/)
      }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))),
    60_000
  )
})
