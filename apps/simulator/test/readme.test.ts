import { afterAll, assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const text = readFileSync(new URL("../README.md", import.meta.url), "utf8")
// Beside this test, so that imports resolve as they do for a user who has installed the package.
const folder = mkdtempSync(fileURLToPath(new URL("readme-", import.meta.url)))
afterAll(() => rmSync(folder, { recursive: true }))

const snippets = Array.from(text.matchAll(/^```ts\n(.*?)^```/gms), ([, code = ""], index) => ({ code, index }))

describe("the snippets of README.md", () => {
  it("are there", () => assert.isAbove(snippets.length, 2))

  it.each(snippets)("number $index prints what its comments say", async ({ code, index }) => {
    const file = join(folder, `${index}.ts`)
    writeFileSync(file, code)
    const printed = await new Promise<string>((resolve) => {
      execFile(process.execPath, [file], (_, out, err) => resolve(out + err))
    })
    const said = Array.from(code.matchAll(/^console\.log\(.*\) \/\/ (.*)$/gm), ([, line]) => line)
    assert.strictEqual(printed, said.map((line) => `${line}\n`).join(""))
  })
})
