import * as Certificate from "@paradigm-effect/conformance/Certificate"
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { createServer, request as sendRequest, type RequestListener } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Server } from "node:net"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const run = promisify(execFile)
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const key = "sk-deno-0123456789"

const answer: RequestListener = (_, response) => {
  const choices = [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }]
  response.setHeader("content-type", "application/json")
  response.end(JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "m", choices }))
}

const listening = async (server: Server) => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())) }
}

// Runs the program with no permission but these.
const program = async (permissions: ReadonlyArray<string>, options: object, env: Readonly<Record<string, string>> = {}) => {
  const args = [
    "run",
    "--no-check",
    "--no-prompt",
    "--config",
    path("../deno.json"),
    ...permissions,
    path("program.ts"),
    JSON.stringify(options)
  ]
  const { stdout } = await run(path("../node_modules/.bin/deno"), args, { env: { ...process.env, NO_COLOR: "1", ...env } })
  return stdout.trim()
}

describe("a program of Deno", () => {
  it("needs the permission to reach the host, and no other", async () => {
    await using server = await listening(createServer(answer))
    const options = { apiKey: key, baseUrl: `http://${server.host}` }
    assert.strictEqual(await program([`--allow-net=${server.host}`], options), "Hello")
    assert.match(await program([], options), /^InvalidConfiguration: baseUrl .*--allow-net/)
  })

  it("reads the environment if it may", async () => {
    await using server = await listening(createServer(answer))
    const env = { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: `http://${server.host}` }
    const permissions = [`--allow-net=${server.host}`, "--allow-env=PARADIGM_API_KEY,LIGHTON_API_KEY,PARADIGM_BASE_URL"]
    assert.strictEqual(await program(permissions, {}, env), "Hello")
    assert.match(await program(permissions.slice(0, 1), {}, env), /^InvalidConfiguration: PARADIGM_API_KEY is not set/)
  })

  it("connects through a proxy, with its credential", async () => {
    await using server = await listening(createServer(answer))
    const seen: Array<string | undefined> = []
    const forward = createServer((incoming, outgoing) => {
      seen.push(incoming.url, incoming.headers["proxy-authorization"])
      const forwarded = sendRequest(incoming.url ?? "", { method: incoming.method, headers: incoming.headers }, (response) =>
        response.pipe(outgoing)
      )
      incoming.pipe(forwarded)
    })
    await using proxy = await listening(forward)
    const options = { apiKey: key, baseUrl: `http://${server.host}`, proxy: `http://user:p%40ss@${proxy.host}` }
    assert.strictEqual(await program([`--allow-net=${server.host},${proxy.host}`], options), "Hello")
    assert.deepStrictEqual(seen, [`http://${server.host}/api/v3/chat/completions`, `Basic ${btoa("user:p@ss")}`])
  })

  it("trusts the authorities of caCerts, and sends cert", async () => {
    const [own, client] = [await Certificate.make(), await Certificate.make()]
    const options = { ...own, ca: client.cert, requestCert: true, rejectUnauthorized: true }
    await using server = await listening(createTlsServer(options, answer))
    const permissions = [`--allow-net=${server.host}`]
    const base = { apiKey: key, baseUrl: `https://${server.host}`, retry: false }
    assert.strictEqual(await program(permissions, { ...base, caCerts: [own.cert], cert: client.cert, key: client.key }), "Hello")
    assert.match(await program(permissions, base), /^TlsFailed/)
  })

  it.each<[object, RegExp]>([
    [{ proxy: "nonsense" }, /^InvalidConfiguration: proxy is not the URL of a proxy$/],
    [{ cert: "nonsense" }, /^InvalidConfiguration: cert is refused by Deno.createHttpClient$/],
    [{ client: {}, proxy: "http://127.0.0.1:9" }, /^InvalidConfiguration: proxy cannot be combined with client$/],
    [{ caCert: [] }, /unknown option caCert: did you mean caCerts\?/]
  ])("is told which option is wrong: %j", async (options, message) => {
    assert.match(await program([], { apiKey: key, ...options }), message)
  })
})
