import { fileURLToPath } from "node:url"
import { defineConfig } from "vite"

// The page of administrators, in `dist/page`: the bundle of the gateway takes it from there.
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "/admin/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { outDir: "../dist/page", emptyOutDir: true, modulePreload: false, assetsInlineLimit: 0, sourcemap: false },
  logLevel: "warn"
})
