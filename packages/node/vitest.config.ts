import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { globalSetup: "@paradigm-effect/conformance/VitestSetup" }
})
