// A server on loopback that gives one reply after the other, and the replies as data.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** What a server sends. `body` is written piece by piece. */
export interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: ReadonlyArray<string>
  /** After the body: the end of the response, nothing more, or a broken connection. */
  readonly after?: "end" | "hold" | "cut"
}

type Json = Readonly<Record<string, unknown>>

const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }

export const event = (value: unknown): string => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`

const head = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1_700_000_000, model: "m" }

export const choice = (delta: Json, finish_reason: string | null = null) => ({
  ...head,
  choices: [{ index: 0, delta, logprobs: null, finish_reason }]
})

/** A stream as vLLM sends it: a chunk with the role, one chunk per delta, the finish reason, the usage, and the marker of the end. */
export const stream = (deltas: ReadonlyArray<Json>, finish: string | null = "stop", end: ReadonlyArray<unknown> = []): Reply => ({
  body: [
    choice({ role: "assistant", content: "" }),
    ...deltas.map((delta) => choice(delta)),
    ...(finish === null ? [] : [choice({}, finish)]),
    ...(end.length > 0 ? end : [{ ...head, choices: [], usage }, "[DONE]"])
  ].map(event)
})

/** A whole answer. */
export const whole = (message: Json, finish_reason: string = "stop", more: Json = {}): Reply => ({
  headers: { "content-type": "application/json" },
  body: [
    JSON.stringify({
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: null, ...message }, logprobs: null, finish_reason }],
      usage,
      ...more
    })
  ]
})

export const failure = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: [typeof body === "string" ? body : JSON.stringify(body)]
})

/** A fragment of a call. */
export const call = (fields: Json, index: number | undefined = 0): Json => ({ tool_calls: [{ index, type: "function", ...fields }] })

export interface Seen {
  readonly path: string | undefined
  readonly headers: IncomingHttpHeaders
  // oxlint-disable-next-line typescript/no-explicit-any -- the fields of the requests of many tests
  readonly body: any
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>
  readonly at: number
}

const write = (response: ServerResponse, { body, headers = {}, status = 200, after = "end" }: Reply) => {
  response.writeHead(status, { "content-type": "text/event-stream", "x-request-id": "r-1", ...headers })
  for (const piece of body) response.write(piece)
  if (after === "end") response.end()
  // After the body has left.
  if (after === "cut") setImmediate(() => response.destroy())
}

export interface Loopback extends AsyncDisposable {
  readonly baseUrl: string
  readonly seen: ReadonlyArray<Seen>
  /** The body of a request. */
  readonly body: (index: number) => Seen["body"]
}

/** Starts a server. The last reply is repeated. */
export const serve = async (...replies: ReadonlyArray<Reply>): Promise<Loopback> => {
  const seen: Array<Seen> = []
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*").setHeader("access-control-expose-headers", "*")
    if (request.method === "OPTIONS") {
      response.writeHead(204, { "access-control-allow-headers": "authorization, content-type, user-agent" }).end()
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    response.once("close", resolve)
    let text = ""
    request.setEncoding("utf8").on("data", (more: string) => (text += more))
    request.on("end", () => {
      const reply = replies[Math.min(seen.length, replies.length - 1)]
      seen.push({ path: request.url, headers: request.headers, body: JSON.parse(text), closed: promise, at: performance.now() })
      if (reply === undefined) response.destroy()
      else write(response, reply)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    seen,
    body: (index) => {
      const request = seen[index]
      if (request === undefined) throw new Error(`There were ${seen.length} requests`)
      return request.body
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}
