/**
 * Bundles the client with promises of a runtime package, with the parts of Effect that it needs, into `dist/promise`. Runs in the package's
 * directory, after `tsc`.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { Bundle } from "./declarations.ts"

const core = (name: string) => fileURLToPath(new URL(`../dist/${name}`, import.meta.url))

const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { readonly dependencies: Readonly<Record<string, string>> }
const external = Object.keys(dependencies).filter((name) => !name.startsWith("@paradigm-effect/"))

const declarations = new Bundle((name) => core(`${name}.d.ts`))
const entry = resolve("dist/WithoutEffect.d.ts")
declarations.keep(entry)
declarations.write(entry, "dist/promise")

const license = readFileSync(resolve(dirname(fileURLToPath(import.meta.resolve("effect/package.json"))), "LICENSE"), "utf8")
writeFileSync("dist/promise/LICENSE-effect", license)

await build({
  entryPoints: ["dist/promise.js"],
  outfile: "dist/promise/index.js",
  bundle: true,
  minify: true,
  format: "esm",
  platform: "neutral",
  mainFields: ["module", "main"],
  target: "es2023",
  external: ["node:*", ...external],
  // The bundle is of the built packages.
  alias: { "@paradigm-effect/core": core("") },
  banner: { js: "// Contains parts of Effect (https://effect.website), MIT license: see LICENSE-effect." },
  logLevel: "warning"
})
