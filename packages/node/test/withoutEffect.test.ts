import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { ParadigmError } from "@paradigm-effect/core/ParadigmError"
import { build } from "esbuild"
import { execFile } from "node:child_process"
import { createServer } from "node:http"
import { createRequire } from "node:module"
import type { AddressInfo } from "node:net"
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { Paradigm } from "../src/index.ts"
import { install, pnpm } from "./pnpm.ts"

const run = promisify(execFile)
const require = createRequire(import.meta.url)
const packages = fileURLToPath(new URL("../..", import.meta.url))
const runtimes = ["node", "fetch", "deno", "browser"]
const newest = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc")
const compileWith = fileURLToPath(new URL("compileWith.ts", import.meta.url))

// A program without Effect, for a package.
const programFor = (name: string) => `import { Paradigm } from "@paradigm-effect/${name}/promise"

export const client = Paradigm.connect({ apiKey: "sk-0123456789abcdef", timeouts: { idle: "30s", total: "2 minutes" }${
  name === "browser" ? ", allowKeyInBrowser: true" : ""
} })
export const messages: Array<Paradigm.ChatMessage> = [{ role: "user", content: "Hello!" }]
export const ask = () => client.chat.completions.create({ model: "m", messages })
export const stream = () => client.chat.completions.create({ model: "m", messages, stream: true })
export const text = async () => {
  let text = ""
  for await (const chunk of await stream()) text += chunk.choices[0]?.delta.content ?? ""
  return text
}
export const reasonOf = (error: unknown) => {
  if (!Paradigm.isError(error)) return undefined
  if (error.reason._tag === "RateLimited") return error.retryAfter?.toFixed()
  return error.reason._tag === "RequestRejected" ? error.reason.detail : error.message
}
// @ts-expect-error temprature
export const typo = () => client.chat.completions.create({ model: "m", messages, temprature: 1 })
`

let project = ""

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "without-effect-"))
  await run(process.execPath, [newest, "-b", ...runtimes.map((name) => join(packages, name, "tsconfig.src.json"))])
  for (const name of runtimes) await run(process.execPath, [join(packages, "core", "bundle", "main.ts")], { cwd: join(packages, name) })
  await Promise.all(["core", ...runtimes].map((name) => pnpm(join(packages, name), "pack", "--pack-destination", project)))
  const tarball = (name: string) => `file:${join(project, `paradigm-effect-${name}-0.0.0.tgz`)}`
  const dependencies = Object.fromEntries(runtimes.map((name) => [`@paradigm-effect/${name}`, tarball(name)]))
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }))
  await writeFile(join(project, "pnpm-workspace.yaml"), `overrides:\n  "@paradigm-effect/core": ${tarball("core")}\n`)
  const options = {
    target: "es2023",
    lib: ["es2023", "esnext.disposable", "dom", "dom.iterable", "dom.asynciterable"],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    declaration: true,
    rootDir: "src"
  }
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["src"] }))
  await mkdir(join(project, "src"))
  for (const name of runtimes) await writeFile(join(project, "src", `${name}.ts`), programFor(name))
  await install(project)
}, 180_000)

afterAll(() => rm(project, { recursive: true, force: true }))

const promiseFace = async (name: string): Promise<{ readonly Paradigm: typeof Paradigm }> =>
  import(pathToFileURL(join(project, "node_modules", "@paradigm-effect", name, "dist", "promise", "index.js")).href)

describe("the packages without Effect", () => {
  it("install nothing but undici", async () => {
    const installed = (await readdir(join(project, "node_modules", ".pnpm"))).filter(
      (name) => !/^(@paradigm-effect|node_modules|lock)/.test(name)
    )
    assert.deepStrictEqual(
      installed.map((name) => name.replace(/@.*/, "")),
      ["undici"]
    )
  })

  it.each(runtimes)("are at most 250 KB: %s", async (name) => {
    assert.isAtMost((await stat(join(project, `paradigm-effect-${name}-0.0.0.tgz`))).size, 250_000)
  })

  it.each(runtimes)("name no type of Effect: %s", async (name) => {
    const directory = join(project, "node_modules", "@paradigm-effect", name, "dist", "promise")
    const files = (await readdir(directory)).filter((file) => file.endsWith(".d.ts"))
    for (const file of files)
      assert.notMatch(await readFile(join(directory, file), "utf8"), /^(?! ?\*).*(from |import\()"(effect|@)/m, file)
  })

  it.concurrent.each([
    ["typescript-5.7", "nodenext", "nodenext"],
    ["typescript-6", "preserve", "bundler"],
    ["typescript", "node16", "node16"]
  ])("compile with %s, module %s", async (compiler, module, moduleResolution) => {
    const outDir = join(project, `out-${compiler}`)
    const args =
      compiler === "typescript"
        ? [newest, "-p", project, "--module", module, "--moduleResolution", moduleResolution, "--outDir", outDir]
        : [compileWith, require.resolve(compiler), project, module, moduleResolution, outDir]
    const { stdout } = await run(process.execPath, args).catch((error: { readonly stdout: string }) => error)
    assert.strictEqual(stdout, "")
    assert.notMatch(await readFile(join(outDir, "node.d.ts"), "utf8"), /\bany\b/)
  })

  it.each(["node", "fetch"])("call the endpoint, and throw errors that the other copies of the library recognize: %s", async (name) => {
    const server = createServer((_, response) => {
      response.writeHead(429, { "content-type": "application/json", "retry-after": "7" })
      response.end(JSON.stringify({ error: { message: "Too many requests", code: "rate_limit_exceeded" } }))
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { Paradigm: Bundled } = await promiseFace(name)
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await using paradigm = Bundled.connect({ apiKey: "sk-0123456789abcdef", baseUrl, retry: false })
    const error: unknown = await paradigm.chat.completions
      .create({ model: "m", messages: [{ role: "user", content: "Hi" }] })
      .catch((error: unknown) => error)
    server.close()
    assert.notInstanceOf(error, ParadigmError)
    assert.instanceOf(error, Bundled.Error)
    assert(Paradigm.isError(error))
    assert.deepStrictEqual([error.reason._tag, error.retryAfter], ["RateLimited", 7000])
    const own = new ParadigmError({ reason: error.reason })
    assert.deepStrictEqual([Bundled.isError(own), Bundled.isError(new Error("other"))], [true, false])
  })
})

// A server that completes every request, and a program that calls it: it prints the text, or the message of the error.
const startServer = async () => {
  const choices = [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }]
  const server = createServer((_, response) => {
    response.setHeader("content-type", "application/json")
    response.end(JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "m", choices }))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    env: {
      ...process.env,
      PARADIGM_API_KEY: "sk-0123456789abcdef",
      PARADIGM_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    },
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve()))
  }
}

const call = `const paradigm = Paradigm.connect()
paradigm.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Hi" }] })
  .then(({ choices }) => console.log(choices[0].message.content), (error) => console.log(error.message))
  .then(() => paradigm.close())`
const face = "@paradigm-effect/node/promise"
const imported = `import { Paradigm } from "${face}"\n${call}`
const required = `const { Paradigm } = require("${face}")\n${call}`

describe("a program of Node", () => {
  const grants = () => [
    "--permission",
    `--allow-fs-read=${join(project, "*")}`,
    ...(process.allowedNodeEnvironmentFlags.has("--allow-net") ? ["--allow-net"] : [])
  ]

  it.each<[string, () => ReadonlyArray<string>]>([
    ["node --eval, as a module", () => ["--input-type=module", "--eval", imported]],
    ["node --eval, with require", () => ["--input-type=commonjs", "--eval", required]],
    [
      "node --eval, with a dynamic import",
      () => ["--input-type=commonjs", "--eval", `import("${face}").then(({ Paradigm }) => { ${call} })`]
    ],
    ["an eval worker", () => ["--eval", `new (require("node:worker_threads").Worker)(${JSON.stringify(required)}, { eval: true })`]],
    ["node --permission with the right to read the packages", () => [...grants(), join(project, "program.mjs")]],
    ["a file of CommonJS", () => [join(project, "program.cjs")]]
  ])("calls the endpoint: %s", async (_, args) => {
    await using server = await startServer()
    await writeFile(join(project, "program.mjs"), imported)
    await writeFile(join(project, "program.cjs"), required)
    const { stdout } = await run(process.execPath, args(), { cwd: project, env: server.env })
    assert.strictEqual(stdout, "Hello\n")
  })

  it.each(["esm", "cjs"] as const)("calls the endpoint when esbuild bundles it for Lambda: %s", async (format) => {
    await using server = await startServer()
    const outfile = join(project, "lambda", `index.${format === "esm" ? "mjs" : "cjs"}`)
    // undici is of CommonJS: its require needs a definition in a module.
    const banner = {
      js: format === "esm" ? 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' : ""
    }
    await build({
      stdin: { contents: imported, resolveDir: project },
      outfile,
      bundle: true,
      platform: "node",
      target: "node22",
      format,
      banner
    })
    const { stdout } = await run(process.execPath, [outfile], { cwd: tmpdir(), env: server.env })
    assert.strictEqual(stdout, "Hello\n")
  })

  it("fails the call with InvalidConfiguration if undici cannot be loaded", async () => {
    await using server = await startServer()
    const directory = await mkdtemp(join(tmpdir(), "without-undici-"))
    await cp(join(project, "node_modules", "@paradigm-effect", "node", "dist", "promise"), directory, {
      recursive: true,
      dereference: true
    })
    await writeFile(join(directory, "program.mjs"), imported.replace(face, "./index.js"))
    await writeFile(join(directory, "package.json"), JSON.stringify({ type: "module" }))
    const { stdout } = await run(process.execPath, [join(directory, "program.mjs")], { env: server.env })
    await rm(directory, { recursive: true })
    assert.match(stdout, /^InvalidConfiguration: dispatcher is missing, and undici cannot be loaded: install it/)
  })

  it("fails the call with the name of the right package in Bun, which replaces undici", async () => {
    await using server = await startServer()
    const bun = join(packages, "node", "node_modules", ".bin", "bun")
    const { stdout } = await run(bun, ["--eval", imported], { cwd: project, env: server.env })
    assert.match(stdout, /^InvalidConfiguration: dispatcher .*in Bun, import @paradigm-effect\/fetch/)
  })
})
