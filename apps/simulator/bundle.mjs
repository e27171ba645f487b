// Writes the binary: one file, without dependencies.
import { build } from "esbuild"

await build({
  entryPoints: ["src/main.ts"],
  outfile: "dist/paradigm-simulator.mjs",
  bundle: true,
  minify: true,
  platform: "node",
  target: "node22.19",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  // Bundled CommonJS asks for `require`.
  banner: { js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);' }
})
