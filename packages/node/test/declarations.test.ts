// The packed packages in a project of their own, installed by pnpm, which hides the dependencies of dependencies.
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { install, pnpm } from "./pnpm.ts"

const run = promisify(execFile)
const packages = fileURLToPath(new URL("../..", import.meta.url))
const require = createRequire(import.meta.url)
const newest = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc")
const compileWith = fileURLToPath(new URL("compileWith.ts", import.meta.url))

// Exports of a caller without type annotations, and imported types.
const program = `import { Paradigm } from "@paradigm-effect/node"
import * as Effect from "effect/Effect"

export const client = Paradigm.connect({ apiKey: "sk-0123456789abcdef" })
export const layer = Paradigm.layer({ apiKey: "sk-0123456789abcdef" })
export const messages: Array<Paradigm.ChatMessage> = [{ role: "user", content: "Hello!" }]
export const ask = () => client.chat.completions.create({ model: "m", messages, temperature: undefined, stop: "a", top_p: null })
export const stream = () => client.chat.completions.create({ model: "m", messages, stream: true })
export const withResponse = () => ask().withResponse()
export const choice = async () => (await ask()).choices[0]
export const message = async () => (await ask()).choices[0]?.message
export const calls = async () => (await ask()).choices[0]?.message.tool_calls
export const usage = async () => (await ask()).usage
export const logprobs = async () => (await ask()).choices[0]?.logprobs
export async function* chunks() {
  for await (const chunk of await stream()) yield chunk
}
export const effect = Effect.gen(function* () {
  const paradigm = yield* Paradigm.Client
  return yield* paradigm.createChatCompletion({ model: "m", messages })
})
export const reason = (error: Paradigm.Error) => error.reason

export const roundTrip = async () => {
  const answer = await message()
  if (answer !== undefined) messages.push(answer)
}

// @ts-expect-error temprature
export const typo = () => client.chat.completions.create({ model: "m", messages, temprature: 1 })
`

const modules = `import * as Core from "@paradigm-effect/node"
import * as Schemas from "@paradigm-effect/node/Schemas"

export const schema = Schemas.ContractSchema.ChatCompletion
export const unknownFields = Core.ChatCompletion.unknownFields
export const encode = Core.RequestEncoding.encodeJson
export const tool = Schemas.ChatTool.toolMessage
export const api = Schemas.ParadigmApi.path
`

// Effect's declarations name `Storage`, so the project has the types of a browser. It has no others: @types/node is not needed.
const options = {
  target: "es2023",
  lib: ["es2023", "dom", "dom.iterable"],
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  declaration: true,
  rootDir: "src"
}

let project = ""

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "declarations-"))
  await run(process.execPath, [newest, "-b", "tsconfig.src.json"], { cwd: join(packages, "node") })
  await Promise.all(["core", "node"].map((name) => pnpm(join(packages, name), "pack", "--pack-destination", project)))
  const tarballs = (await readdir(project)).filter((name) => name.endsWith(".tgz"))
  const tarball = (name: string) => `file:${join(project, tarballs.find((file) => file.includes(name)) ?? name)}`
  const effect = JSON.parse(await readFile(require.resolve("effect/package.json"), "utf8")) as { readonly version: string }
  const manifest = {
    private: true,
    type: "module",
    dependencies: { "@paradigm-effect/node": tarball("effect-node"), effect: effect.version }
  }
  await writeFile(join(project, "package.json"), JSON.stringify(manifest))
  await writeFile(join(project, "pnpm-workspace.yaml"), `overrides:\n  "@paradigm-effect/core": ${tarball("effect-core")}\n`)
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["src"] }))
  await mkdir(join(project, "src"))
  await writeFile(join(project, "src", "index.ts"), program)
  await writeFile(join(project, "src", "modules.ts"), modules)
  await install(project)
}, 180_000)

afterAll(() => rm(project, { recursive: true, force: true }))

describe("the packed declarations", () => {
  // Each module setting is checked by the newest compiler, and by an older one.
  it.concurrent.each([
    ["typescript-5.7", "nodenext", "nodenext"],
    ["typescript-5.9", "node16", "node16"],
    ["typescript-6", "preserve", "bundler"],
    ["typescript", "nodenext", "nodenext"],
    ["typescript", "node16", "node16"],
    ["typescript", "preserve", "bundler"]
  ])("compile with %s, module %s, and can be named by a caller", async (compiler, module, moduleResolution) => {
    const outDir = join(project, `out-${compiler}-${module}`)
    const args =
      compiler === "typescript"
        ? [newest, "-p", project, "--module", module, "--moduleResolution", moduleResolution, "--outDir", outDir]
        : [compileWith, require.resolve(compiler), project, module, moduleResolution, outDir]
    const { stdout } = await run(process.execPath, args).catch((error: { readonly stdout: string }) => error)
    assert.strictEqual(stdout, "")
    const declarations = await readFile(join(outDir, "index.d.ts"), "utf8")
    assert.include(declarations, "Paradigm.ChatCompletion")
    assert.notMatch(declarations, /\bany\b|paradigm-effect\/core/)
  })

  it("of the contract are at most 30 KB", async () => {
    const seen = new Map<string, number>()
    const load = async (file: string): Promise<void> => {
      const text = await readFile(file, "utf8")
      seen.set(file, Buffer.byteLength(text))
      const imports = Array.from(text.matchAll(/from "(\.[^"]+)\.ts"/g), ([, path = ""]) => join(dirname(file), `${path}.d.ts`))
      for (const path of imports) if (!seen.has(path)) await load(path)
    }
    await load(join(packages, "core", "dist", "ChatCompletion.d.ts"))
    const sum = [...seen.values()].reduce((a, b) => a + b, 0)
    assert.isAtMost(sum, 30 * 1024, [...seen.keys()].join())
  })
})
