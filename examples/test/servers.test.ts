// The relays of the examples: each streams an answer to a page, and ends the request to the model when the page leaves.
import { Paradigm } from "@paradigm-effect/node"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const chunk = (content: string, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`

// A model that answers "Hello!", and to "wait" begins and then waits.
const asked: Array<ServerResponse> = []
const model = createServer(async (request, response) => {
  let body = ""
  for await (const part of request) body += String(part)
  asked.push(response)
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.write(chunk("Hello"))
  if (!body.includes("wait")) response.end(`${chunk("!", "stop")}data: [DONE]\n\n`)
})

beforeAll(async () => {
  await once(model.listen(0, "127.0.0.1"), "listening")
  process.env["PARADIGM_API_KEY"] = "sk-example-of-a-relay"
  process.env["PARADIGM_BASE_URL"] = `http://127.0.0.1:${(model.address() as AddressInfo).port}`
})
afterAll(() => {
  model.closeAllConnections()
  model.close()
})

const textOf = ({ body }: Response) => Paradigm.fromReadableStream(body ?? assert.fail("no body")).text()

const leaves = async (open: (signal: AbortSignal) => Promise<Response>) => {
  const before = asked.length
  const controller = new AbortController()
  const response = await open(controller.signal)
  const reader = response.body?.getReader() ?? assert.fail("no body")
  await reader.read()
  const upstream = asked[before] ?? assert.fail("the model was not asked")
  const closed = upstream.closed ? undefined : once(upstream, "close")
  await reader.cancel()
  controller.abort()
  await closed
  assert.isFalse(upstream.writableFinished)
}

const post = (question: string, signal: AbortSignal | null = null) =>
  new Request("http://localhost/chat", { method: "POST", body: JSON.stringify({ question }), signal })

describe("a relay", () => {
  it("on node:http streams an answer, and cancels when the page leaves", async () => {
    const file = fileURLToPath(new URL("../servers/node-http.ts", import.meta.url))
    const child = spawn(process.execPath, [file], { env: { ...process.env, PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] })
    try {
      const [line] = (await once(child.stdout, "data")) as [Buffer]
      const origin = `http://127.0.0.1:${/port: (\d+)/.exec(String(line))?.[1]}`
      assert.strictEqual(await textOf(await fetch(origin)), "Hello!")
      await leaves((signal) => fetch(`${origin}?q=wait`, { signal }))
    } finally {
      child.kill("SIGTERM")
      await once(child, "exit")
    }
  })

  it("on Hono streams an answer, and cancels when the page leaves", async () => {
    const { app } = await import("../servers/hono.ts")
    assert.strictEqual(await textOf(await app.request(post("Say hello"))), "Hello!")
    await leaves(async (signal) => app.request(post("wait", signal)))
  })

  it("as a route handler of Next streams an answer, and cancels when the page leaves", async () => {
    const { POST } = await import("../servers/next-route.ts")
    assert.strictEqual(await textOf(await POST(post("Say hello"))), "Hello!")
    await leaves((signal) => POST(post("wait", signal)))
  })
})
