/**
 * Writes `dist/bundle/paradigm-gateway.js`, the binary without dependencies, beside it the documentation page and the page of administrators, which are
 * loaded on demand, and `dist/gateway.schema.json`.
 */
import { build } from "esbuild"
import { cpSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { jsonSchema } from "./src/ConfigFile.ts"

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

// Names of chunks have a hash of their content.
rmSync(path("dist/bundle"), { recursive: true, force: true })

await build({
  entryPoints: { "paradigm-gateway": path("src/main.ts") },
  outdir: path("dist/bundle"),
  splitting: true,
  bundle: true,
  minify: true,
  keepNames: true,
  platform: "node",
  target: "node22",
  format: "esm",
  legalComments: "none",
  // CommonJS modules of dependencies require Node's modules.
  banner: { js: 'import { createRequire as __createRequire } from "node:module";const require=__createRequire(import.meta.url);' }
})

// The page of administrators, which Vite has built.
cpSync(path("dist/page"), path("dist/bundle/page"), { recursive: true })

writeFileSync(path("dist/gateway.schema.json"), `${jsonSchema()}\n`)
