// Every example of a public module is compiled and run, and every function that it exports has one.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: Readonly<Record<string, string>> }
const modules = Object.values(exports).filter((path) => path.endsWith(".ts") && !path.endsWith("index.ts"))

const docstring = /^\/\*\*$.*?^ \*\/\n(?<declaration>[^\n]*)$/gms
const example = /^ \* @example\n \* ```ts\n(?<code>.*?)^ \* ```$/gms

const examples = modules.flatMap((path) => {
  const text = readFileSync(join(root, path), "utf8")
  return Array.from(text.matchAll(docstring)).flatMap(([comment, declaration = ""]) =>
    Array.from(comment.matchAll(example), ([, code = ""]) => ({
      name: `${path} ${/\w+(?= = |\()/.exec(declaration)?.[0] ?? ""}`,
      code: code.replaceAll(/^ \* ?/gm, ""),
      said: Array.from(code.matchAll(/^ \* console\.log\(.*\) \/\/ => (.*)$/gm), ([, line]) => line)
    }))
  )
})

// Beside this test, so that imports resolve as they do for a user who has installed the package.
const folder = mkdtempSync(fileURLToPath(new URL("examples-", import.meta.url)))
afterAll(() => rmSync(folder, { recursive: true }))

describe("the examples of docstrings", () => {
  it("are there for every exported function of a public module", () => {
    const without = modules.flatMap((path) => {
      const text = readFileSync(join(root, path), "utf8")
      return Array.from(text.matchAll(docstring))
        .filter(([comment]) => /^export const \w+ = (async )?\(/m.test(comment) && !comment.includes("@example"))
        .map(([, declaration]) => `${path}: ${declaration}`)
    })
    assert.deepStrictEqual(without, [])
    assert.isAbove(examples.length, 10)
  })

  it("compile", () => {
    const files = examples.map(({ code }, index) => {
      const file = join(folder, `${index}.ts`)
      writeFileSync(file, code)
      return file
    })
    const config = join(folder, "tsconfig.json")
    const compilerOptions = { composite: false, incremental: false, declarationMap: false }
    writeFileSync(config, JSON.stringify({ extends: "../../tsconfig.test.json", compilerOptions, include: [], files }))
    const compiled = spawnSync(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", config], {
      encoding: "utf8"
    })
    assert.deepStrictEqual([compiled.stdout, compiled.status], ["", 0])
  })

  it("print what they say", () => {
    // One process for all of them: most of their time is its start.
    const main = join(folder, "all.ts")
    const names = examples.map(({ code, name }, index) => {
      writeFileSync(join(folder, `${index}.ts`), code)
      return `# ${name}`
    })
    writeFileSync(main, names.map((name, index) => `console.log(${JSON.stringify(name)})\nawait import("./${index}.ts")\n`).join(""))
    const expected = examples.flatMap(({ said }, index) => [names[index], ...said])
    assert.deepStrictEqual(execFileSync(process.execPath, [main], { encoding: "utf8" }).trimEnd().split("\n"), expected)
    assert.isTrue(examples.every(({ said }) => said.length > 0))
  })
})
