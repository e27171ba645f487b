import * as Certificate from "@paradigm-effect/conformance/Certificate"
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { createServer, request as sendRequest } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Server } from "node:net"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Paradigm } from "../src/index.ts"

const run = promisify(execFile)
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const key = "sk-fetch-0123456789"
const request = { model: "m", messages: [{ role: "user" as const, content: "Hello" }] }

const choices = [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }]
const completion = JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "m", choices })

const listening = async (server: Server) => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())) }
}

const inBun = async (options: object, env: Readonly<Record<string, string>> = {}) => {
  const { stdout } = await run(path("../node_modules/.bin/bun"), [path("program.ts"), JSON.stringify(options)], {
    env: { ...process.env, ...env }
  })
  return stdout.trim()
}

describe("the option fetch", () => {
  it("sends the requests, with fetchOptions and without redirects", async () => {
    const seen: Array<[string, RequestInit & { readonly cf?: unknown }]> = []
    const fetch = async (url: URL, init: RequestInit) => (seen.push([url.href, init]), new Response(completion))
    await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: "http://paradigm.test", fetch, fetchOptions: { cf: { cacheTtl: 0 } } })
    assert.strictEqual((await paradigm.chat.completions.create(request)).id, "c")
    const [[url, init] = ["", {}]] = seen
    assert.strictEqual(url, "http://paradigm.test/api/v3/chat/completions")
    assert.deepStrictEqual([init.method, init.redirect, init.cf], ["POST", "manual", { cacheTtl: 0 }])
    assert.match(new Headers(init.headers).get("user-agent") ?? "", /^paradigm-effect\/\S+ node\.js\/\d+$/)
  })

  it.each<[object, RegExp]>([
    [{ fetch: "fetch" }, /fetch must be a function/],
    [{ fetchOptions: 1 }, /fetchOptions must be an object/],
    [{ fetchOptions: { redirect: "follow" } }, /fetchOptions.redirect is set by the client/],
    [{ fetchOption: {} }, /unknown option fetchOption: did you mean fetchOptions\?/]
  ])("is refused if it is wrong: %j", (options, message) => {
    assert.throws(() => Paradigm.connect({ apiKey: key, ...options }), message)
  })
})

describe("a program of Bun", () => {
  it("reads the environment", async () => {
    const agents: Array<string | undefined> = []
    await using server = await listening(
      createServer(({ headers }, response) => {
        agents.push(headers["user-agent"])
        response.setHeader("content-type", "application/json").end(completion)
      })
    )
    assert.strictEqual(await inBun({}, { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: `http://${server.host}` }), "Hello")
    assert.match(agents[0] ?? "", /^paradigm-effect\/\S+ bun\/\d+\.\d+\.\d+$/)
  })

  it("connects through the proxy of fetchOptions", async () => {
    await using server = await listening(
      createServer((_, response) => void response.setHeader("content-type", "application/json").end(completion))
    )
    const seen: Array<string | undefined> = []
    const forward = createServer((incoming, outgoing) => {
      seen.push(incoming.url)
      const forwarded = sendRequest(incoming.url ?? "", { method: incoming.method, headers: incoming.headers }, (response) =>
        response.pipe(outgoing)
      )
      incoming.pipe(forwarded)
    })
    await using proxy = await listening(forward)
    const options = { apiKey: key, baseUrl: `http://${server.host}`, fetchOptions: { proxy: `http://${proxy.host}` } }
    assert.strictEqual(await inBun(options), "Hello")
    assert.deepStrictEqual(seen, [`http://${server.host}/api/v3/chat/completions`])
  })

  it("trusts the authority of fetchOptions", async () => {
    const certificate = await Certificate.make()
    const server = createTlsServer(
      certificate,
      (_, response) => void response.setHeader("content-type", "application/json").end(completion)
    )
    await using secure = await listening(server)
    const options = { apiKey: key, baseUrl: `https://${secure.host}`, retry: false }
    assert.strictEqual(await inBun({ ...options, fetchOptions: { tls: { ca: certificate.cert } } }), "Hello")
    assert.match(await inBun(options), /^TlsFailed/)
  })
})
