// A server whose streams never end: `silent` sends one chunk, and `dripping` also sends comments. `/closed/ID` tells whether the connection of
// the stream `ID` ended. It may be a `globalSetup` of vitest.
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { TestProject } from "vitest/node"

declare module "vitest" {
  interface ProvidedContext {
    readonly settlingUrl: string
  }
}

const chunk = {
  id: "c",
  object: "chat.completion.chunk",
  created: 1,
  model: "alfred",
  choices: [{ index: 0, delta: { content: "a" }, finish_reason: null }]
}

const openToPages = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, content-type"
}

export const start = async () => {
  const ends = new Map<string, Promise<string>>()
  const server = createServer((incoming, outgoing) => {
    const [, kind = "", id = ""] = (incoming.url ?? "").split("/")
    if (incoming.method === "OPTIONS") return void outgoing.writeHead(204, openToPages).end()
    if (kind === "closed") {
      const late = new Promise<string>((resolve) => setTimeout(() => resolve("false"), 3000).unref())
      void Promise.race([ends.get(id) ?? "unknown", late]).then((text) => outgoing.writeHead(200, openToPages).end(text))
      return
    }
    ends.set(id, new Promise((resolve) => outgoing.once("close", () => resolve("true"))))
    outgoing.writeHead(200, { ...openToPages, "content-type": "text/event-stream" })
    outgoing.write(`data: ${JSON.stringify(chunk)}\n\n`)
    if (kind !== "dripping") return
    const timer = setInterval(() => outgoing.write(": drip\n\n"), 5)
    outgoing.once("close", () => clearInterval(timer))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close, [Symbol.asyncDispose]: close }
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const { close, url } = await start()
  project.provide("settlingUrl", url)
  return close
}
