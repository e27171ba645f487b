// Writes the binary: one file, without dependencies. CommonJS, since an ES module that imports `node:http` loads all that it can lead to,
// which takes a quarter of the start.
import { build } from "esbuild"

await build({
  entryPoints: ["src/main.ts"],
  outfile: "dist/paradigm-simulator.cjs",
  bundle: true,
  minify: true,
  platform: "node",
  target: "node22.19",
  format: "cjs",
  legalComments: "none",
  logLevel: "warning"
})
