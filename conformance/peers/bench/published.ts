/**
 * Prepares a program with our packages as they are published. In the workspace they are TypeScript sources, which take longer to load.
 */
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

const directory = path("../node_modules/.published")

// The dependencies of a package, without our own packages.
const dependencies = (modules: string): ReadonlyArray<string> =>
  readdirSync(modules).flatMap((name) => {
    if (name.startsWith(".") || name === "@paradigm-effect") return []
    return name.startsWith("@") ? readdirSync(`${modules}/${name}`).map((inner) => `${name}/${inner}`) : [name]
  })

const stage = (name: string): void => {
  const source = path(`../../../packages/${name}`)
  const target = `${directory}/node_modules/@paradigm-effect/${name}`
  const { publishConfig, ...manifest } = JSON.parse(readFileSync(`${source}/package.json`, "utf8")) as {
    readonly publishConfig: { readonly exports: object }
  }
  cpSync(`${source}/dist`, `${target}/dist`, { recursive: true })
  writeFileSync(`${target}/package.json`, JSON.stringify({ ...manifest, exports: publishConfig.exports }))
  for (const dependency of dependencies(`${source}/node_modules`)) {
    const link = `${target}/node_modules/${dependency}`
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(`${source}/node_modules/${dependency}`, link)
  }
}

/** The path of a file of the package for Node, after `publish`. */
export const publishedNode = (file: string) => `${directory}/node_modules/@paradigm-effect/node/dist/${file}`

/** Builds our packages and compiles a program of this directory. Returns the path of the JavaScript file. */
export const publish = async (program: string): Promise<string> => {
  execFileSync(
    path("../node_modules/.bin/tsc"),
    ["-b", path("../../../packages/node/tsconfig.src.json"), path("../../../packages/ai/tsconfig.src.json")],
    { stdio: "inherit" }
  )
  rmSync(directory, { recursive: true, force: true })
  for (const name of ["core", "node", "ai"]) stage(name)
  const outfile = `${directory}/program.mjs`
  await build({ entryPoints: [path(program)], outfile, bundle: true, packages: "external", format: "esm", platform: "node" })
  return outfile
}
