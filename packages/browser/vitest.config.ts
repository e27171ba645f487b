import { playwright } from "@vitest/browser-playwright"
import type { Plugin } from "vite"
import { defineConfig } from "vitest/config"
import { find } from "../../conformance/chromium.ts"

// A backend of the page's own origin: completes with the request as the server saw it.
const backend: Plugin = {
  name: "backend",
  configureServer: ({ middlewares }) => {
    middlewares.use("/backend", ({ headers, method, originalUrl }, response) => {
      const content = JSON.stringify({ method, url: originalUrl, cookie: headers.cookie, authorization: headers.authorization })
      const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }]
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "m", choices }))
    })
  }
}

const { args, env, executablePath } = await find()

export default defineConfig({
  plugins: [backend],
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
