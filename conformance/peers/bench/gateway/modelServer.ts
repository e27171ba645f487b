/**
 * The model server of the gateway's benchmark, in a process of its own. It answers every POST by the plan that the parent process sent last.
 */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** How requests are answered. */
export interface Plan {
  /** Milliseconds until the answer begins. */
  readonly delay: number
  /** Number of events of a stream; 0 for a JSON answer. */
  readonly events: number
  /** Events in a write. */
  readonly perWrite: number
  /** Milliseconds between writes; 0 for none. */
  readonly gap: number
}

const completion = JSON.stringify({
  id: "chatcmpl-0123456789",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "bench",
  choices: [{ index: 0, message: { role: "assistant", content: "word ".repeat(150) }, finish_reason: "stop" }],
  usage: { prompt_tokens: 20, completion_tokens: 150, total_tokens: 170 }
})

const chunk = (delta: object, finish: string | null) =>
  `data: ${JSON.stringify({
    id: "chatcmpl-0123456789",
    object: "chat.completion.chunk",
    created: 1_700_000_000,
    model: "bench",
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }]
  })}\n\n`
const event = chunk({ content: " word" }, null)
const end = `${chunk({}, "stop")}data: [DONE]\n\n`

let plan: Plan = { delay: 0, events: 0, perWrite: 1, gap: 0 }

const stream = (response: ServerResponse, { events, gap, perWrite }: Plan) => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  const piece = event.repeat(perWrite)
  let sent = 0
  const write = (): void => {
    if (response.destroyed) return
    if (sent >= events) return void response.end(end)
    sent += perWrite
    response.write(piece)
    if (gap > 0) setTimeout(write, gap)
    else if (response.writableNeedDrain) response.once("drain", write)
    else setImmediate(write)
  }
  write()
}

const answer = (response: ServerResponse, now: Plan) => {
  if (now.events > 0) return stream(response, now)
  response.writeHead(200, { "content-type": "application/json", "content-length": String(Buffer.byteLength(completion)) })
  response.end(completion)
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const now = plan
  request.resume()
  request.on("end", () => {
    if (now.delay > 0) setTimeout(answer, now.delay, response, now)
    else answer(response, now)
  })
})

process.on("message", (next: Plan) => {
  plan = next
  process.send?.("planned")
})
process.on("disconnect", () => process.exit(0))
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => process.send?.((server.address() as AddressInfo).port))
