/**
 * Bundles the package into one file, with the parts of Effect, of the core and of the AI SDK's utilities that it uses: who installs it, installs
 * nothing but `@ai-sdk/provider`, which every application of the AI SDK has. Copies the licences of what is bundled.
 */
import { build } from "esbuild"
import { copyFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

const { metafile } = await build({
  entryPoints: ["src/index.ts"],
  outfile: "dist/index.js",
  bundle: true,
  format: "esm",
  // No runtime's: an import of `node:` would fail here.
  platform: "neutral",
  target: "es2023",
  external: ["@ai-sdk/provider"],
  conditions: ["import"],
  // Names are kept for stack traces. The bundler of an application shortens them.
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  metafile: true,
  logLevel: "warning"
})

// The package that has the licence of each bundled one. All of the AI SDK has the same.
const licences: Readonly<Record<string, string>> = { effect: "effect", "@ai-sdk/provider-utils": "@ai-sdk/provider" }

const require = createRequire(import.meta.url)
const folderOf = /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//
const used = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs))
for (const name of new Set(used.flatMap((path) => folderOf.exec(path)?.[1] ?? []))) {
  const owner = licences[name]
  if (owner === undefined) throw new Error(`${name} is bundled without its licence`)
  const folder = dirname(require.resolve(`${owner}/package.json`))
  await copyFile(join(folder, "LICENSE"), join("dist", `LICENSE-${owner.replace("@", "").replace("/", "-")}`))
}
