// The packed package in a project of its own, installed by pnpm from the packages of the workspace, without Effect.
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { install, pnpm } from "../../node/test/pnpm.ts"
import { serve } from "./Loopback.ts"
import { stream, whole } from "./Reply.ts"

const run = promisify(execFile)
const folder = fileURLToPath(new URL("..", import.meta.url))
const require = createRequire(import.meta.url)
const compiler = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc")

const program = `import { createParadigm, type ParadigmChatOptions, type ParadigmErrorData, paradigmErrorData } from "@paradigm-effect/ai-sdk"
import { generateText } from "ai"

export const provider = createParadigm({ apiKey: "sk-0123456789abcdef", baseUrl: process.env["PARADIGM_BASE_URL"], timeouts: { idle: "30s" } })
export const model = provider("alfred-4.2")
export const options: ParadigmChatOptions = { min_p: 0.1 }
export const data = (error: unknown): ParadigmErrorData | undefined => paradigmErrorData(error)
const { text } = await generateText({ model, prompt: "Say hello", providerOptions: { paradigm: options } })
console.log(text)

// @ts-expect-error baseURL
export const typo = () => createParadigm({ baseURL: "https://paradigm.example.com" })
`

const required = `const { paradigm } = require("@paradigm-effect/ai-sdk")
const { streamText } = require("ai")
void (async () => {
  let text = ""
  for await (const more of streamText({ model: paradigm("m"), prompt: "go" }).textStream) text += more
  console.log(text)
})()
`

let project = ""

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "ai-sdk-"))
  await run(process.execPath, [compiler, "-b", "tsconfig.src.json"], { cwd: folder })
  await run(process.execPath, ["build.ts"], { cwd: folder })
  await pnpm(folder, "pack", "--pack-destination", project)
  const [tarball = ""] = (await readdir(project)).filter((name) => name.endsWith(".tgz"))
  const versionOf = async (name: string) => {
    const { version } = JSON.parse(await readFile(require.resolve(`${name}/package.json`), "utf8")) as { readonly version: string }
    return version
  }
  const dependencies = {
    "@paradigm-effect/ai-sdk": `file:${tarball}`,
    "@types/node": await versionOf("@types/node"),
    ai: await versionOf("ai"),
    zod: await versionOf("zod")
  }
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }))
  const compilerOptions = {
    target: "es2023",
    module: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    outDir: "out",
    rootDir: "src"
  }
  await writeFile(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...compilerOptions, skipLibCheck: true }, include: ["src"] })
  )
  await mkdir(join(project, "src"))
  await writeFile(join(project, "src", "index.ts"), program)
  await writeFile(join(project, "required.cjs"), required)
  await install(project)
}, 180_000)

afterAll(() => rm(project, { recursive: true, force: true }))

const installed = () => join(project, "node_modules", "@paradigm-effect", "ai-sdk")

describe("the packed package", () => {
  it("installs neither Effect nor the core", async () => {
    const packages = (await readdir(join(project, "node_modules", ".pnpm"))).join("\n")
    assert.match(packages, /^@ai-sdk\+provider@/m)
    assert.notMatch(packages, /^(effect|@paradigm-effect\+core)@/m)
  })

  it("has one program of at most 200 KB, its declarations and the licences of what it bundles", async () => {
    const files = (await readdir(installed(), { recursive: true })).filter((name) => /\.|LICENSE/.test(name)).toSorted()
    assert.deepStrictEqual(files, [
      "LICENSE",
      "README.md",
      "dist/LICENSE-ai-sdk-provider",
      "dist/LICENSE-effect",
      "dist/errors.d.ts",
      "dist/index.d.ts",
      "dist/index.js",
      "dist/options.d.ts",
      "dist/provider.d.ts",
      "package.json"
    ])
    const code = await readFile(join(installed(), "dist", "index.js"), "utf8")
    assert.isBelow(code.length, 200 * 1024)
    assert.deepStrictEqual(new Set(code.match(/\bfrom"[^"]+"/g)), new Set(['from"@ai-sdk/provider"']))
  })

  it("names no type of Effect or of the core in its declarations", async () => {
    for (const name of ["errors", "index", "options", "provider"]) {
      const text = await readFile(join(installed(), "dist", `${name}.d.ts`), "utf8")
      const imports = text.match(/(?<=^(?:import|export) .*from ")[^"]+/gm) ?? []
      for (const from of imports) assert.match(from, /^(\.\/|@ai-sdk\/provider$)/)
    }
  })

  it("compiles and runs as a module", async () => {
    await using server = await serve(whole({ content: "Hello!" }))
    const { stdout: problems } = await run(process.execPath, [compiler, "-p", "."], { cwd: project }).catch(
      (error: { readonly stdout: string }) => error
    )
    assert.strictEqual(problems, "")
    const env = { ...process.env, PARADIGM_BASE_URL: server.baseUrl }
    const { stdout } = await run(process.execPath, [join("out", "index.js")], { cwd: project, env })
    assert.strictEqual(stdout, "Hello!\n")
    assert.strictEqual(server.body(0).min_p, 0.1)
  })

  it("runs from CommonJS", async () => {
    await using server = await serve(stream([{ content: "Hel" }, { content: "lo!" }]))
    const env = { ...process.env, PARADIGM_BASE_URL: server.baseUrl, PARADIGM_API_KEY: "sk-0123456789abcdef" }
    const { stdout } = await run(process.execPath, ["required.cjs"], { cwd: project, env })
    assert.strictEqual(stdout, "Hello!\n")
  })
})
