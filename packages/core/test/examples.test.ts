// Every example of a docstring is checked and run, and every exported function has one.
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Worker } from "node:worker_threads"
import { API, SignatureKind, SymbolFlags } from "typescript/unstable/sync"
import { start } from "./ExampleServer.ts"
import type { Report } from "./ExampleWorker.ts"

// Exported functions without an example, by the reason.
const exempt: Readonly<Record<string, string>> = {}

const packages = fileURLToPath(new URL("../..", import.meta.url))

const names = ["core", "node", "browser", "deno", "fetch", "ai"]

const modules = names.flatMap((name) =>
  readdirSync(`${packages}${name}/src`)
    .filter((file) => file.endsWith(".ts") && file !== "index.ts")
    .map((file) => `${name}/src/${file}`)
)

interface Example {
  readonly module: string
  /** The declaration of the example, and its line. */
  readonly name: string
  /** Beside its module, so that its imports are resolved as those of the package. */
  readonly file: string
  readonly url: string
  /** The code. Its lines have the numbers of the module. */
  readonly source: string
  /** The expected output of `console.log`, by line. */
  readonly expected: ReadonlyMap<number, string>
}

const comment = /^[ \t]*\/\*\*$.*?^[ \t]*\*\/$/gms
const fence = /^[ \t]*\* @example\b.*\n[ \t]*\* ```ts\n(.*?)^[ \t]*\* ```$/gms

const lineAt = (text: string, offset: number) => text.slice(0, offset).split("\n").length

const examplesOf = (module: string): ReadonlyArray<Example> => {
  const text = readFileSync(packages + module, "utf8")
  return [...text.matchAll(comment)].flatMap((found) => {
    const after = text.slice(found.index + found[0].length)
    const [, declared] = /^\n\s*(?:export )?(?:declare )?(?:const|function|class|interface|type|readonly)? ?([\w$]+)/.exec(after) ?? []
    return [...found[0].matchAll(fence)].map((block) => {
      const code = block[1] ?? ""
      const line = lineAt(text, found.index + block.index + block[0].indexOf(code))
      const lines = code.split("\n").map((line) => line.replace(/^[ \t]*\* ?/, ""))
      const expected = new Map<number, string>()
      let call = 0
      for (const [i, content] of lines.entries()) {
        if (content.includes("console.log(")) call = line + i
        const [, output] = /\/\/ => (.*)$/.exec(content) ?? []
        if (output !== undefined) expected.set(call, output)
      }
      const file = `${packages}${module.replace(/\.ts$/, "")}.example-${line}.ts`
      return {
        module,
        name: `${declared ?? "module"}, line ${line}`,
        file,
        url: pathToFileURL(file).href,
        source: "\n".repeat(line - 1) + lines.join("\n"),
        expected
      }
    })
  })
}

const examples = modules.flatMap(examplesOf)

// Tags whose example is not a block of TypeScript and would not be checked.
const empty = modules.filter((module) => {
  const tags = readFileSync(packages + module, "utf8").match(/^[ \t]*\* @example\b/gm) ?? []
  return tags.length !== examples.filter((example) => example.module === module).length
})

// The compiler's errors in the examples, and the exported functions without one.
const compile = () => {
  const config = `${packages}core/tsconfig.examples.json`
  const files: Readonly<Record<string, string>> = {
    ...Object.fromEntries(examples.map(({ file, source }) => [file, source])),
    [config]: JSON.stringify({
      extends: "../../tsconfig.base.json",
      compilerOptions: {
        noEmit: true,
        composite: false,
        declarationMap: false,
        allowImportingTsExtensions: true,
        rewriteRelativeImportExtensions: false,
        lib: ["ES2024", "ESNext.Disposable", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
        types: ["node"]
      },
      files: [...modules.map((module) => packages + module), ...examples.map(({ file }) => file)]
    })
  }
  const api = new API({
    cwd: packages,
    fs: { readFile: (file) => files[file], fileExists: (file) => (Object.hasOwn(files, file) ? true : undefined) }
  })
  try {
    const [project] = api.updateSnapshot({ openProjects: [config] }).getProjects()
    if (project === undefined) throw new Error("The compiler opened no project")
    const { checker, program } = project
    const errors = [...program.getProgramDiagnostics(), ...program.getGlobalDiagnostics()].map(({ text }) => text)
    for (const { file, module, source } of examples) {
      for (const { pos, text } of [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]) {
        errors.push(`${module}:${lineAt(source, pos)}: ${text}`)
      }
    }
    const missing = modules.flatMap((module) => {
      const file = program.getSourceFile(packages + module)
      const symbol = file && checker.getSymbolAtLocation(file)
      if (symbol === undefined) return []
      return checker
        .getExportsOfModule(symbol)
        .filter((exported) => {
          // A re-export has its example at its declaration.
          if ((exported.flags & SymbolFlags.Alias) !== 0 || (exported.flags & SymbolFlags.Value) === 0) return false
          const type = checker.getTypeOfSymbol(exported)
          if (type === undefined || checker.getSignaturesOfType(type, SignatureKind.Call).length === 0) return false
          return !exported.getJsDocTags(checker).some(({ name }) => name === "example")
        })
        .map(({ name }) => `${module}: ${name}`)
    })
    return { errors, missing }
  } finally {
    api.close()
  }
}

class Run {
  readonly printed = new Map<number, Array<string>>()
  readonly failures: Array<string> = []
}

// Runs the examples of a module until the thread exits.
const run = (module: string, runs: ReadonlyMap<string, Run>, baseUrl: string) =>
  new Promise<void>((resolve) => {
    const own = examples.filter((example) => example.module === module)
    const worker = new Worker(new URL("ExampleWorker.ts", import.meta.url), {
      workerData: own.map(({ source, url }) => ({ source, url })),
      env: { PARADIGM_BASE_URL: baseUrl, PARADIGM_API_KEY: "sk-example-of-a-docstring" },
      execArgv: [],
      stdout: true,
      stderr: true
    })
    const fail = (failure: string) => own.forEach(({ url }) => runs.get(url)?.failures.push(failure))
    const timer = setTimeout(() => {
      fail(`An example of ${module} did not end within 20 seconds`)
      void worker.terminate()
    }, 20_000)
    worker.on("message", ({ failure, printed, url }: Report) => {
      const run = runs.get(url)
      if (failure !== undefined) run?.failures.push(failure)
      if (printed !== undefined) run?.printed.set(printed.line, [...(run.printed.get(printed.line) ?? []), printed.text])
    })
    worker.on("error", (error) => fail(String(error)))
    worker.on("exit", () => {
      clearTimeout(timer)
      resolve()
    })
  })

const runAll = async () => {
  const server = await start()
  const runs = new Map(examples.map(({ url }) => [url, new Run()]))
  const waiting = [...new Set(examples.map(({ module }) => module))]
  const next = async (): Promise<void> => {
    const module = waiting.shift()
    if (module === undefined) return
    await run(module, runs, server.baseUrl)
    return next()
  }
  await Promise.all([next(), next(), next()])
  server.close()
  return runs
}

const oneLine = (text: string | undefined) => text?.replaceAll(/\s+/g, " ").trim()

describe("the examples of docstrings", () => {
  let compiled: ReturnType<typeof compile>
  let runs: ReadonlyMap<string, Run>
  beforeAll(async () => {
    compiled = compile()
    runs = await runAll()
  }, 180_000)

  it("compile without errors", () => {
    assert.deepStrictEqual(compiled.errors, [])
  })

  it("exist for every exported function", () => {
    assert.deepStrictEqual(empty, [], "modules with an @example that has no ```ts block")
    assert.deepStrictEqual(
      compiled.missing.filter((name) => !Object.hasOwn(exempt, name)),
      []
    )
  })

  for (const { expected, module, name, url } of examples) {
    it(`run and print the expected output: ${module}, ${name}`, () => {
      const run = runs.get(url)
      assert.deepStrictEqual(run?.failures, [])
      for (const [line, text] of expected) {
        assert.strictEqual(oneLine(run?.printed.get(line)?.join("\n")), oneLine(text), `${module}:${line}`)
      }
    })
  }
})
