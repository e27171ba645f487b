import { playwright } from "@vitest/browser-playwright"
import { defineConfig } from "vitest/config"
import { find } from "../../conformance/chromium.ts"

const { args, env, executablePath } = await find()

export default defineConfig({
  test: {
    projects: [
      { test: { name: "node", include: ["test/*.test.ts"] } },
      {
        // A dependency that is found while tests run makes vite load the page anew, and the tests run twice.
        optimizeDeps: {
          include: [
            "@ai-sdk/provider",
            "@ai-sdk/provider-utils",
            "@ai-sdk/react",
            "ai",
            "react",
            "react/jsx-dev-runtime",
            "react-dom/client",
            "zod"
          ],
          exclude: ["effect"]
        },
        test: {
          name: "chromium",
          include: ["test/browser/*.test.tsx"],
          globalSetup: "test/browser/servers.ts",
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({ launchOptions: { args: [...args], env, executablePath } }),
            instances: [{ browser: "chromium" }]
          }
        }
      }
    ]
  }
})
