// Each program runs with this library, and with openai after a change of its import and its constructor.
import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { start } from "../../packages/core/test/ExampleServer.ts"

const run = promisify(execFile)
const programs = fileURLToPath(new URL("../migrating-from-openai/", import.meta.url))
const names = readdirSync(programs).filter((name) => name.endsWith(".ts"))

// Programs that use what openai names otherwise: the guide has the table.
const own = new Set(["errors.ts", "parse.ts", "azure.ts"])

// Beside the programs, so that imports are resolved.
const folder = mkdtempSync(join(programs, "openai-"))
afterAll(() => rmSync(folder, { recursive: true }))

const constructor = "Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })"
const inOpenai = (source: string) =>
  source
    .replace('import { Paradigm } from "@paradigm-effect/node"', 'import OpenAI from "openai"')
    .replace(constructor, 'new OpenAI({ apiKey: process.env["PARADIGM_API_KEY"], baseURL: `${process.env["PARADIGM_BASE_URL"]}/v1` })')

for (const name of names) if (!own.has(name)) writeFileSync(join(folder, name), inOpenai(readFileSync(join(programs, name), "utf8")))

let server: Awaited<ReturnType<typeof start>>
beforeAll(async () => {
  server = await start()
})
afterAll(() => server.close())

const outputOf = async (file: string) => {
  const env = { ...process.env, PARADIGM_API_KEY: "sk-example-of-a-program", PARADIGM_BASE_URL: server.baseUrl }
  const { stderr, stdout } = await run(process.execPath, [file], { env })
  assert.strictEqual(stderr, "")
  return stdout
}

describe("the programs of the migration guide", () => {
  it("compile with openai, too", async () => {
    const typescript = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc")
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
    // Those with this library are part of the project that the package's typecheck compiles.
    const files = names.filter((name) => !own.has(name)).map((name) => join(folder, name))
    const { stdout } = await run(process.execPath, [typescript, ...flags, ...files]).catch((error: { readonly stdout: string }) => error)
    assert.strictEqual(stdout, "")
  })

  it.each(names.filter((name) => !own.has(name)))("print the same as with openai: %s", async (name) => {
    assert.include(readFileSync(join(programs, name), "utf8"), constructor)
    const output = await outputOf(join(programs, name))
    assert.notStrictEqual(output, "")
    assert.strictEqual(output, await outputOf(join(folder, name)))
  })

  it.each([
    ["errors.ts", "Hello!\n404 NotFound\n"],
    ["parse.ts", "Hello!\nHello!\n"],
    ["azure.ts", "Hello!\n"]
  ])("run: %s", async (name, expected) => {
    assert.strictEqual(await outputOf(join(programs, name)), expected)
  })
})
