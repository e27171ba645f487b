// A relay to a page on plain node:http. The request to the model ends when the page leaves.
import { Paradigm } from "@paradigm-effect/node"
import { createServer } from "node:http"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import type { ReadableStream } from "node:stream/web"

const paradigm = Paradigm.connect()

const server = createServer(async (request, response) => {
  const question = new URL(request.url ?? "/", "http://localhost").searchParams.get("q") ?? "Say hello"
  const answer = paradigm.chat.completions
    .stream({ model: "alfred-4.2", messages: [{ role: "user", content: question }] })
    .toResponse({ keepAlive: 15_000 })
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  // Fails when the page leaves, and then cancels the body.
  if (answer.body !== null) await pipeline(Readable.fromWeb(answer.body as ReadableStream), response).catch(() => {})
})

server.listen(Number(process.env["PORT"] ?? 3000), "127.0.0.1", () => console.log(server.address()))
process.once("SIGTERM", () => {
  server.close()
  server.closeAllConnections()
  void paradigm.close()
})
