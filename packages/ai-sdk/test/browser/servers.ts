// The servers of the tests in Chromium: the model server, and the route of the example as Next runs it.
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Readable } from "node:stream"
import type { ReadableStream } from "node:stream/web"
import type { TestProject } from "vitest/node"
import { serveScenes } from "../Loopback.ts"
import { call, failure, stream } from "../Reply.ts"
import { scenes } from "../Scenes.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly modelServer: string
    readonly route: string
  }
}

const conversation = [
  stream([{ reasoning: "They want the time." }, call({ id: "c1", function: { name: "now", arguments: "{}" } })], "tool_calls"),
  stream([{ content: "It is " }, { content: "noon." }]),
  failure(401, { error: "Unauthorized" })
]

const serveRoute = async (POST: (request: Request) => Promise<Response>) => {
  const server = createServer((incoming, outgoing) => {
    outgoing.setHeader("access-control-allow-origin", "*").setHeader("access-control-allow-headers", "content-type, user-agent")
    if (incoming.method === "OPTIONS") return void outgoing.writeHead(204).end()
    const body = Readable.toWeb(incoming) as BodyInit
    void POST(new Request("http://localhost/api/chat", { method: "POST", body, duplex: "half" } as RequestInit)).then((response) => {
      outgoing.writeHead(response.status, Object.fromEntries(response.headers))
      Readable.fromWeb(response.body as ReadableStream).pipe(outgoing)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/chat`, close }
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const model = await serveScenes({ ...scenes, conversation })
  const origin = new URL(model.baseUrl).origin
  Object.assign(process.env, { PARADIGM_BASE_URL: `${origin}/conversation/v1`, PARADIGM_API_KEY: "sk-0123456789abcdef" })
  const { POST } = await import("../../../../examples/next-ai-sdk/app/api/chat/route.ts")
  const route = await serveRoute(POST)
  project.provide("modelServer", origin)
  project.provide("route", route.url)
  return async () => {
    await route.close()
    await model[Symbol.asyncDispose]()
  }
}
