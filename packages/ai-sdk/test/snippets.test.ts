// The snippets of the README and of the guide, and the examples of docstrings, compile and run.
import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, describe, it } from "vitest"
import * as exported from "../src/index.ts"
import { serveEach } from "./Loopback.ts"
import { failure, stream, whole } from "./Reply.ts"

const run = promisify(execFile)
const root = fileURLToPath(new URL("..", import.meta.url))
// Beside the test, so that imports resolve as they do for a user who has installed the package.
const folder = mkdtempSync(fileURLToPath(new URL("snippets-", import.meta.url)))
afterAll(() => rmSync(folder, { recursive: true }))

const read = (path: string) => readFileSync(join(root, path), "utf8")
const sources = readdirSync(join(root, "src")).map((name) => join("src", name))

const snippets = ["README.md", "../../docs/guide/ai-sdk.md", ...sources].flatMap((page) =>
  Array.from(read(page).matchAll(/^( \* )?```[tj]s\n(.*?)^(?: \* )?```/gms), ([, comment, text = ""], index) => {
    const name = `${basename(page)}-${index + 1}`
    const code = comment === undefined ? text : text.replaceAll(/^ \* ?/gm, "")
    const file = join(folder, `${name}.ts`)
    writeFileSync(file, code)
    return { name, file, code }
  })
)

// What a snippet prints that has no `// => `.
const outputs: Readonly<Record<string, string>> = {
  "README.md-1": "Hello!",
  "README.md-3": "Ada\n",
  "README.md-4": "Hello!\n",
  "README.md-5": "Set PARADIGM_API_KEY.\n"
}

const outputOf = (name: string, code: string) =>
  outputs[name] ?? Array.from(code.matchAll(/\/\/ => (.*)/g), ([, output]) => `${output}\n`).join("")

describe("the snippets", () => {
  it("compile", async () => {
    const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc")
    const flags =
      "--ignoreConfig --noEmit --strict --skipLibCheck --allowImportingTsExtensions --module nodenext --target es2023 --types node"
    const args = [compiler, ...flags.split(" "), ...snippets.map(({ file }) => file)]
    const { stdout } = await run(process.execPath, args).catch((error: { readonly stdout: string }) => error)
    assert.strictEqual(stdout, "")
  })

  it.each(snippets)("print what they say: $name", async ({ code, file, name }) => {
    await using server = await serveEach(({ body, headers }) => {
      if (headers.authorization !== "Bearer a-key") return failure(401, { error: "Unauthorized" })
      if (body.stream === true) return stream([{ content: "Hello!" }])
      return whole({ content: body.response_format === undefined ? "Hello!" : '{"name":"Ada"}' })
    })
    const env = { ...process.env, PARADIGM_API_KEY: "a-key", PARADIGM_BASE_URL: server.baseUrl }
    const { stdout } = await run(process.execPath, [file], { env })
    assert.strictEqual(stdout, outputOf(name, code))
  })

  it("of every function that the package exports are in its docstring", () => {
    const documented = sources.flatMap((path) =>
      Array.from(read(path).matchAll(/@example(?:(?!\*\/).)*\*\/\nexport const (\w+)/gs), ([, name = ""]) => name)
    )
    assert.sameMembers(documented, Object.keys(exported))
  })

  it("have the route of the example", () => {
    const withoutComments = (text: string) => text.replaceAll(/^\s*\/\/.*\n/gm, "")
    const route = snippets.find(({ name }) => name === "README.md-2")?.code ?? ""
    assert.strictEqual(withoutComments(route), withoutComments(read("../../examples/next-ai-sdk/app/api/chat/route.ts")))
  })
})
