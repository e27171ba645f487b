import { defineConfig } from "vitest/config"

export default defineConfig({
  // A compiler of declarations takes half a gigabyte.
  test: { globalSetup: "@paradigm-effect/conformance/VitestSetup", maxConcurrency: 2 }
})
