// The snippets of the package's README compile and run, and the route in it is the one of the example.
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, describe, it } from "vitest"
import { serveEach } from "./Loopback.ts"
import { failure, stream, whole } from "./Reply.ts"

const run = promisify(execFile)
const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const root = pathOf("..")
// Beside the test, so that imports resolve as they do for a user who has installed the package.
const folder = mkdtempSync(pathOf("readme-"))
afterAll(() => rmSync(folder, { recursive: true }))

const snippets = Array.from(readFileSync(join(root, "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```/gms), ([, text = ""], index) => {
  const file = join(folder, `snippet-${index + 1}.ts`)
  writeFileSync(file, text)
  return { name: `${index + 1}`, file, text }
})

const outputs: Readonly<Record<string, string>> = { 1: "Hello!", 2: "", 3: "Ada\n", 4: "Hello!\n", 5: "Set PARADIGM_API_KEY.\n" }

describe("the snippets of the README", () => {
  it("compile", async () => {
    const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc")
    const flags =
      "--ignoreConfig --noEmit --strict --skipLibCheck --allowImportingTsExtensions --module nodenext --target es2023 --types node"
    const args = [compiler, ...flags.split(" "), ...snippets.map(({ file }) => file)]
    const { stdout } = await run(process.execPath, args).catch((error: { readonly stdout: string }) => error)
    assert.strictEqual(stdout, "")
  })

  it.each(snippets)("print what they say: $name", async ({ file, name }) => {
    await using server = await serveEach(({ body, headers }) => {
      if (headers.authorization !== "Bearer a-key") return failure(401, { error: "Unauthorized" })
      if (body.stream === true) return stream([{ content: "Hel" }, { content: "lo!" }])
      return whole({ content: body.response_format === undefined ? "Hello!" : '{"name":"Ada"}' })
    })
    const env = { ...process.env, PARADIGM_API_KEY: "a-key", PARADIGM_BASE_URL: server.baseUrl }
    const { stdout } = await run(process.execPath, [file], { env })
    assert.strictEqual(stdout, outputs[name])
  })

  it("have the route of the example", () => {
    const withoutComments = (text: string) => text.replaceAll(/^\s*\/\/.*\n/gm, "")
    const example = readFileSync(join(root, "../../examples/next-ai-sdk/app/api/chat/route.ts"), "utf8")
    assert.strictEqual(withoutComments(snippets[1]?.text ?? ""), withoutComments(example))
  })
})
