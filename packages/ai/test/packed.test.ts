// The packed packages in a project of their own, with the snippets of the README as its programs.
import { execFile } from "node:child_process"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { install, pnpm } from "../../node/test/pnpm.ts"
import { call, serve, streamed, whole } from "./ModelServer.ts"

const run = promisify(execFile)
const packages = fileURLToPath(new URL("../..", import.meta.url))
const require = createRequire(import.meta.url)
const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc")

const readme = await readFile(new URL("../README.md", import.meta.url), "utf8")
const snippets = Array.from(readme.matchAll(/^```ts\n(.*?)^```/gms), ([, text = ""]) => text)

let project = ""

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "packed-ai-"))
  const names = ["ai", "core", "node"]
  for (const name of names) await run(process.execPath, [tsc, "-b", "tsconfig.src.json"], { cwd: join(packages, name) })
  await Promise.all(names.map((name) => pnpm(join(packages, name), "pack", "--pack-destination", project)))
  const tarballs = await readdir(project)
  const tarball = (name: string) => `file:${join(project, tarballs.find((file) => file.includes(`effect-${name}-`)) ?? name)}`
  const versionOf = async (name: string) =>
    (JSON.parse(await readFile(require.resolve(`${name}/package.json`), "utf8")) as { version: string }).version
  const manifest = {
    private: true,
    type: "module",
    dependencies: {
      "@paradigm-effect/ai": tarball("ai"),
      "@paradigm-effect/node": tarball("node"),
      "@types/node": await versionOf("@types/node"),
      effect: await versionOf("effect")
    }
  }
  const options = { target: "es2023", module: "nodenext", types: ["node"], strict: true, noEmit: true }
  const skipped = { allowImportingTsExtensions: true, skipLibCheck: false, lib: ["es2023", "dom", "dom.iterable"] }
  await writeFile(join(project, "package.json"), JSON.stringify(manifest))
  await writeFile(join(project, "pnpm-workspace.yaml"), `overrides:\n  "@paradigm-effect/core": ${tarball("core")}\n`)
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...options, ...skipped }, include: ["*.ts"] }))
  for (const [at, text] of snippets.entries()) await writeFile(join(project, `snippet-${at}.ts`), text)
  await install(project)
}, 180_000)

afterAll(() => rm(project, { recursive: true, force: true }))

const server = serve((body) => {
  const last = body.messages.at(-1)
  if (body["response_format"] !== undefined) return whole({ content: '{"name":"Paris","population":2100000}' })
  if (body["stream"] === true) return streamed([{ content: "Hel" }, { content: "lo!" }])
  if (last?.role !== "user")
    return whole({
      content: `It is ${body.messages
        .map(({ content }) => content)
        .slice(-2)
        .join(" and ")}.`
    })
  const calls = [call("get_weather", '{"city":"Paris"}'), call("get_time", '{"city":"Paris"}', { id: "c2" })]
  return whole({ tool_calls: calls }, "tool_calls")
})

describe("the packed package", () => {
  it.each(["true", "false"])("compiles the snippets of the README, exactOptionalPropertyTypes %s", async (isExact) => {
    const { stdout } = await run(process.execPath, [tsc, "-p", project, "--exactOptionalPropertyTypes", isExact]).catch(
      (error: { readonly stdout: string }) => error
    )
    assert.strictEqual(stdout, "")
  })

  it.live.each([
    [0, "Hello!"],
    [1, 'It is {"celsius":18} and 12:00.\n'],
    [2, "Paris\n"]
  ])("runs snippet %i of the README", ([at, expected]) =>
    Effect.gen(function* () {
      const { baseUrl } = yield* server
      const env = { ...process.env, PARADIGM_API_KEY: "sk-0123456789abcdef", PARADIGM_BASE_URL: baseUrl }
      const { stdout } = yield* Effect.promise(() => run(process.execPath, [join(project, `snippet-${at}.ts`)], { env }))
      assert.strictEqual(stdout, expected)
    })
  )

  it("exports its modules and nothing internal", async () => {
    const code = `
      const found = Object.keys(await import("@paradigm-effect/ai")).concat(Object.keys(await import("@paradigm-effect/ai/ParadigmLanguageModel")))
      const inner = await import("@paradigm-effect/ai/internal/parts").then(() => "open", ({ code }) => code)
      console.log(JSON.stringify([found, inner]))`
    await writeFile(join(project, "exports.mjs"), code)
    const { stdout } = await run(process.execPath, [join(project, "exports.mjs")])
    assert.deepStrictEqual(JSON.parse(stdout), [
      ["ParadigmLanguageModel", "Config", "completion", "layer", "make", "model", "withConfigOverride"],
      "ERR_PACKAGE_PATH_NOT_EXPORTED"
    ])
  })
})
