/**
 * Writes `dist/paradigm-gateway.js`, the binary in one file without dependencies, and `dist/gateway.schema.json`.
 */
import { build } from "esbuild"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { jsonSchema } from "./src/ConfigFile.ts"

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

await build({
  entryPoints: [path("src/main.ts")],
  outfile: path("dist/paradigm-gateway.js"),
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

writeFileSync(path("dist/gateway.schema.json"), `${jsonSchema()}\n`)
