/**
 * CPU time to import a client in Node, more than an empty module takes, and the size of what is installed for it. Run as a script, it prints them;
 * `--check` fails if a bundle with promises exceeds its budget.
 */
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { publish, publishedNode } from "./published.ts"
import { median } from "./report.ts"

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const packages = path("../../../packages")
const modules = path("../node_modules")
const bundleOf = (name: string) => pathToFileURL(join(packages, name, "dist", "promise", "index.js")).href

/** A client to import. */
export interface Imported {
  readonly name: string
  readonly specifiers: ReadonlyArray<string>
  /** The packages that a user installs. */
  readonly installs: ReadonlyArray<string>
  /** Whether its cost is checked. */
  readonly isChecked?: boolean
}

// In multiples of the CPU time of an empty module: 30 ms where that takes 38 ms, and a quarter more for the noise of a busy machine.
const budget = 1

const ours = (name: string): Imported => ({
  name: `${name}/promise`,
  specifiers: [bundleOf(name)],
  installs: [`@paradigm-effect/${name}`],
  isChecked: true
})

export const imports: ReadonlyArray<Imported> = [
  ours("node"),
  ours("fetch"),
  ours("deno"),
  ours("browser"),
  {
    name: "node",
    // As it is published: its dependencies are TypeScript in the workspace.
    specifiers: [pathToFileURL(publishedNode("index.js")).href],
    installs: ["@paradigm-effect/node", "effect"]
  },
  { name: "openai", specifiers: ["openai"], installs: ["openai"] },
  { name: "ai", specifiers: ["ai", "@ai-sdk/openai-compatible"], installs: ["ai", "@ai-sdk/openai-compatible", "zod"] }
]

// In microseconds, from the start of the process.
const cpuOf = (specifiers: ReadonlyArray<string>): number => {
  const code = specifiers.map((specifier) => `import ${JSON.stringify(specifier)}\n`).join("")
  const report = "const { system, user } = process.cpuUsage(); process.stdout.write(String(system + user)); process.exit(0)"
  return Number(execFileSync(process.execPath, ["--input-type=module", "--eval", `${code}${report}`], { cwd: path("."), encoding: "utf8" }))
}

const sizeOf = (directory: string, isOwn: boolean): number =>
  readdirSync(directory, { withFileTypes: true }).reduce((sum, entry) => {
    if (entry.name === "node_modules" || (isOwn && ["test", "bundle"].includes(entry.name))) return sum
    const file = join(directory, entry.name)
    return sum + (entry.isDirectory() ? sizeOf(file, false) : entry.isFile() ? statSync(file).size : 0)
  }, 0)

// The directories of packages and of everything that they depend on.
const closure = (names: ReadonlyArray<string>, from: string, seen: Set<string>): Set<string> => {
  for (const name of names) {
    let parent = from
    while (!existsSync(join(parent, name)) && dirname(parent) !== parent) parent = dirname(parent)
    if (!existsSync(join(parent, name))) continue
    const directory = realpathSync(join(parent, name))
    if (seen.has(directory)) continue
    seen.add(directory)
    const { dependencies = {} } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
      readonly dependencies?: Readonly<Record<string, string>>
    }
    const own = join(directory, "node_modules")
    const beside = name.startsWith("@") ? dirname(dirname(directory)) : dirname(directory)
    closure(Object.keys(dependencies), existsSync(own) ? own : beside, seen)
  }
  return seen
}

/** What a client costs: CPU time in milliseconds, its multiple of an empty module's, and bytes. */
export interface Cost {
  readonly name: string
  readonly cpuMillis: number
  readonly ratio: number
  readonly installedBytes: number
  readonly packages: number
}

/** Measures the imports by turns. */
export const costs = async (subjects: ReadonlyArray<Imported>, rounds: number): Promise<ReadonlyArray<Cost>> => {
  if (subjects.some(({ isChecked }) => isChecked !== true)) await publish("cold.ts")
  const empty: Array<number> = []
  const found = new Map<string, Array<number>>(subjects.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    empty.push(cpuOf([]))
    for (const { name, specifiers } of subjects) found.get(name)?.push(cpuOf(specifiers))
  }
  const base = median(empty)
  return subjects.map(({ installs, name }) => {
    const more = median(found.get(name) ?? []) - base
    const directories = [...closure(installs, modules, new Set())]
    const installedBytes = directories.reduce((sum, directory) => sum + sizeOf(directory, directory.startsWith(packages)), 0)
    return { name, cpuMillis: more / 1000, ratio: more / base, installedBytes, packages: directories.length }
  })
}

if (import.meta.main) {
  const isCheck = process.argv.includes("--check")
  const subjects = isCheck ? imports.filter(({ isChecked }) => isChecked === true) : imports
  for (const { cpuMillis, installedBytes, name, packages, ratio } of await costs(subjects, isCheck ? 7 : 15)) {
    const size = `${(installedBytes / 1e6).toFixed(1)} MB in ${packages} packages`
    console.log(`${name}: ${cpuMillis.toFixed(1)} ms, ${ratio.toFixed(2)} of an empty module, ${size}`)
    if (!isCheck || ratio <= budget) continue
    console.error(`${name} takes more than ${budget} of an empty module`)
    process.exitCode = 1
  }
}
