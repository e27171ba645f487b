// The page of administrators in a real Chromium, on a gateway with a database.
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Simulator } from "@paradigm-effect/simulator"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Writable } from "node:stream"
import { fileURLToPath } from "node:url"
import { type Browser, chromium, type Page } from "playwright"
import { build } from "vite"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Sql from "../src/control/Sql.ts"
import * as Gateway from "../src/Gateway.ts"
import { parse } from "../src/GatewayConfig.ts"
import { LineWriter } from "../src/LineWriter.ts"

const secret = "the-secret-of-the-first-administrator"
const folder = mkdtempSync(join(tmpdir(), "paradigm-page-"))
const scope = Effect.runSync(Scope.make())
// Screenshots for the documentation are written only where somebody asks for them.
const screenshots = process.env["PARADIGM_SCREENSHOTS"]

let browser: Browser
let page: Page
let gateway: Gateway.Gateway
let simulator: Simulator.Simulator
const problems: Array<string> = []
let log = ""

interface Found {
  readonly args: ReadonlyArray<string>
  readonly env: Record<string, string>
  readonly executablePath: string
}

beforeAll(async () => {
  await build({ configFile: fileURLToPath(new URL("../page/vite.config.ts", import.meta.url)) })
  const module = (await import(new URL("../../../conformance/chromium.ts", import.meta.url).href)) as {
    readonly find: () => Promise<Found>
  }
  const { args, env, executablePath } = await module.find()
  browser = await chromium.launch({ args: [...args], env, executablePath })
  simulator = await Simulator.start()
  const config = await Effect.runPromise(
    Effect.provide(
      parse("{ models: {}, keys: {}, listen: { port: 0 }, operator: { port: 0 } }", "gateway.yaml", "database"),
      NodeFileSystem.layer
    )
  )
  const writer = new LineWriter(
    new Writable({
      write: (chunk, _, done) => {
        log += String(chunk)
        done()
      }
    })
  )
  const admin = { secret: Redacted.make(secret), hosts: new Set<string>() }
  const database = { sql: Sql.sqlite(join(folder, "paradigm.db")), stateFile: join(folder, "state.json") }
  gateway = await Effect.runPromise(Scope.provide(Gateway.start({ ...config, admin }, writer, database), scope))
  page = await browser.newPage({ viewport: { width: 1280, height: 860 } })
  // A refused request is a failed resource for the browser.
  page.on(
    "console",
    (message) => message.type() === "error" && !message.text().startsWith("Failed to load") && problems.push(message.text())
  )
  page.on("pageerror", (error) => problems.push(error.message))
}, 120_000)

afterAll(async () => {
  await browser.close()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await simulator.close()
  rmSync(folder, { recursive: true, force: true })
})

const operatorUrl = () => gateway.operatorUrl ?? assert.fail("no operator's listener")

const shoot = async (name: string) => {
  if (screenshots === undefined) return
  mkdirSync(screenshots, { recursive: true })
  await page.screenshot({ path: join(screenshots, `${name}.png`) })
}

const chat = (key: string, model: string) =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "Say hello" }] })
  })

const open = async (section: string) => {
  await page.getByRole("link", { name: section }).click()
  // The section before has a heading, too.
  await page.locator(`h2#${section}`).waitFor()
}

// In the order of a first day: each step works on what the one before made.
describe("the page of administrators", () => {
  let key = ""
  const hostile = `<img src=x onerror="window.owned=1">`

  it("asks for the secret of an administrator, and says so when it is wrong", async () => {
    await page.goto(`${operatorUrl()}/admin`)
    await page.getByLabel("Secret of an administrator").fill("wrong")
    await page.getByRole("button", { name: "Sign in" }).click()
    await page.getByRole("alert").filter({ hasText: "not the secret of an administrator" }).waitFor()
    await shoot("sign-in")
    await page.getByLabel("Secret of an administrator").fill(secret)
    await page.getByRole("button", { name: "Sign in" }).click()
    await page.getByText("root (admin)").waitFor()
  })

  it("adds a model, which is served without a restart", async () => {
    await page.getByRole("button", { name: "New model" }).click()
    await page.getByLabel("Name", { exact: true }).fill("alfred-4.2")
    await page.getByLabel("Aliases").fill("alfred")
    await page.getByLabel("Base URL of a replica").fill(`${simulator.url}/v1`)
    await page.getByRole("button", { name: "Create" }).click()
    await page.getByRole("row", { name: /alfred-4.2, alfred.*healthy, 0 in flight/ }).waitFor()
    await page.getByRole("button", { name: "Test" }).click()
    await page.getByText("It answers, and lists the model.").waitFor()
  })

  it("says which field is wrong, and keeps what was written", async () => {
    await page.getByRole("button", { name: "Add replica" }).click()
    await page.getByLabel("Base URL", { exact: true }).fill("ftp://nowhere")
    await page.getByRole("button", { name: "Add", exact: true }).click()
    await page.getByRole("alert").filter({ hasText: "http or https URL" }).waitFor()
    assert.strictEqual(await page.getByLabel("Base URL", { exact: true }).inputValue(), "ftp://nowhere")
    await page.getByRole("button", { name: "Cancel" }).click()
  })

  it("makes a key and shows its secret once", async () => {
    await open("keys")
    await page.getByRole("button", { name: "New key" }).click()
    await page.getByLabel("Name", { exact: true }).fill(hostile)
    await page.getByLabel("Models").fill("alfred")
    await page.getByRole("button", { name: "Create" }).click()
    key = await page.locator(".secret code").innerText()
    assert.match(key, /^pdk_/)
    await shoot("keys")
    assert.strictEqual((await chat(key, "alfred-4.2")).status, 200)
    await page.getByRole("button", { name: "Done" }).click()
    await page.reload()
    await page.getByRole("row", { name: /valid/ }).waitFor()
    assert.notInclude(await page.content(), key)
  })

  it("shows hostile names as text", async () => {
    assert.strictEqual(await page.getByText(hostile).count(), 1)
    assert.isUndefined(await page.evaluate("window.owned"))
  })

  it("rotates and revokes a key", async () => {
    await page.getByRole("button", { name: "Rotate" }).click()
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click()
    const second = await page.locator(".secret code").innerText()
    assert.strictEqual((await chat(key, "alfred")).status, 401)
    assert.strictEqual((await chat(second, "alfred")).status, 200)
    page.once("dialog", (dialog) => void dialog.accept())
    await page.getByRole("button", { name: "Revoke" }).click()
    await page.getByRole("cell", { name: "revoked" }).waitFor()
    assert.strictEqual((await chat(second, "alfred")).status, 401)
  })

  it("makes teams and limits", async () => {
    await open("teams")
    await page.getByRole("button", { name: "New team" }).click()
    await page.getByLabel("Name").fill("Physics")
    await page.getByRole("button", { name: "Create" }).click()
    const row = page.getByRole("row", { name: /Physics/ })
    const id = await row.locator("code").innerText()
    await open("limits")
    await page.getByRole("button", { name: "New limit" }).click()
    await page.getByLabel("Of a").selectOption("team")
    await page.getByLabel("Its id").fill(id)
    await page.getByLabel("Unit").selectOption("tokens_per_day")
    await page.getByLabel("Amount").fill("100000")
    await page.getByRole("button", { name: "Create" }).click()
    await page.getByRole("cell", { name: "tokens a day" }).waitFor()
  })

  it("asks before it archives what others use", async () => {
    await open("models")
    await shoot("models")
    const asked: Array<string> = []
    const answer = (dialog: { message: () => string; accept: () => Promise<void> }) => {
      asked.push(dialog.message())
      void dialog.accept()
    }
    page.on("dialog", answer)
    await page.getByRole("button", { name: "Archive" }).click()
    await page.getByRole("button", { name: "Archive" }).waitFor({ state: "detached" })
    page.off("dialog", answer)
    assert.lengthOf(asked, 2)
    assert.include(asked[1], "granted to 1 keys")
  })

  it("lists who changed what, and no secret", async () => {
    await open("audit")
    await page.getByRole("row", { name: /archive model/ }).waitFor()
    await shoot("audit")
    const text = await page.content()
    for (const hidden of [key, secret]) assert.notInclude(text, hidden)
  })

  it("has a name for every control, and is operated by the keyboard", async () => {
    for (const section of ["models", "keys", "teams", "limits", "audit"]) {
      await open(section)
      const nameless = await page.locator("button, a, input, select, textarea").evaluateAll((elements) =>
        elements
          .filter((element) => {
            const labels = (element as unknown as { readonly labels?: { readonly length: number } | null }).labels
            return (element.textContent ?? "").trim() === "" && (labels === null || labels === undefined || labels.length === 0)
          })
          .map(({ outerHTML }) => outerHTML)
      )
      assert.deepStrictEqual(nameless, [], section)
      assert.strictEqual(
        await page
          .locator("main table, main h2")
          .count()
          .then((count) => count > 0),
        true
      )
    }
    await open("teams")
    await page.getByRole("button", { name: "New team" }).focus()
    await page.keyboard.press("Enter")
    await page.getByRole("dialog").waitFor()
    await page.keyboard.press("Escape")
    await page.getByRole("dialog").waitFor({ state: "detached" })
  })

  it("signs out, after which its cookie is worth nothing", async () => {
    const cookies = await page.context().cookies()
    await page.getByRole("button", { name: "Sign out" }).click()
    await page.getByLabel("Secret of an administrator").waitFor()
    const [cookie] = cookies
    const answer = await fetch(`${operatorUrl()}/admin/v1/session`, { headers: { cookie: `${cookie?.name}=${cookie?.value}` } })
    assert.strictEqual(answer.status, 401)
  })

  it("broke none of the rules of its content policy, and left no secret in the log", async () => {
    const answer = await fetch(`${operatorUrl()}/admin/`)
    assert.include(answer.headers.get("content-security-policy"), "default-src 'none'")
    assert.strictEqual((await fetch(`${operatorUrl()}/admin/assets/..%2f..%2fpackage.json`)).status, 404)
    assert.deepStrictEqual(problems, [])
    for (const hidden of [key, secret]) assert.notInclude(log, hidden)
  })
})
