import { playwright } from "@vitest/browser-playwright"
import { defineConfig } from "vitest/config"
import { find } from "../../conformance/chromium.ts"

const { args, env, executablePath } = await find()

export default defineConfig({
  // A dependency that is found while tests run makes vite load the page anew, and the tests run twice.
  optimizeDeps: { exclude: ["effect"] },
  test: {
    globalSetup: ["@paradigm-effect/conformance/VitestSetup", "../fetch/test/SettlingServer.ts"],
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { args: [...args], env, executablePath } }),
      instances: [{ browser: "chromium" }]
    }
  }
})
