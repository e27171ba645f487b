// A client, and a server with the responses of a test, over sockets on loopback.
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import type { ChatCompletion, ChatCompletionRequest } from "../src/ChatCompletion.ts"
import * as ParadigmClient from "../src/ParadigmClient.ts"
import { ParadigmError, type ParadigmErrorReason } from "../src/ParadigmError.ts"

export const key = "sk-pdgm/4f0c+9d1e=="
export const request = { model: "alfred", messages: [{ role: "user", content: "Hello" }] } satisfies ChatCompletionRequest

export const completion = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1700000000,
  model: "alfred",
  choices: [{ index: 0, message: { role: "assistant", content: "Hi é😀" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
} satisfies ChatCompletion

export const chunk = (content: string, finish_reason: string | null = null) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices: [{ index: 0, delta: { content }, finish_reason }]
})

export const event = (value: unknown) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`

export interface Seen {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: ReadonlyArray<string>
  readonly body: string
  /** Succeeds when the connection is closed. */
  readonly closed: Effect.Effect<void>
}

const listen = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)))
    }),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

export const closeOf = (socket: Socket) => {
  const closed = Deferred.makeUnsafe<void>()
  if (socket.destroyed) Deferred.doneUnsafe(closed, Effect.void)
  socket.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
  return Deferred.await(closed)
}

export type Answer = (response: ServerResponse, seen: Seen) => void

export const serve = Effect.fnUntraced(function* (answer: Answer) {
  const requests = yield* Queue.unbounded<Seen>()
  const server = createServer((incoming, response) => {
    const closed = closeOf(incoming.socket)
    const parts: Array<Buffer> = []
    incoming.on("data", (part: Buffer) => parts.push(part))
    incoming.on("end", () => {
      const { headers, method, rawHeaders, url: path } = incoming
      const seen = { method, path, headers, rawHeaders, body: Buffer.concat(parts).toString(), closed }
      Queue.offerUnsafe(requests, seen)
      answer(response, seen)
    })
  })
  const baseUrl = yield* listen(server)
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  return { baseUrl, requests }
})

// A server that writes raw bytes to every connection.
export const serveBytes = Effect.fnUntraced(function* (answer: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.once("data", () => answer(socket))
  })
  const baseUrl = yield* listen(server)
  yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
  return baseUrl
})

export const fetchClient = FetchHttpClient.layer.pipe(Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" })))

export const clientOf = (options: Partial<ParadigmClient.Options> = {}) =>
  HttpClientTransport.makeClient({ apiKey: key, retry: false, ...options }).pipe(Effect.provide(fetchClient))

export const json =
  (value: unknown, status = 200, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers })
    response.end(typeof value === "string" ? value : JSON.stringify(value))
  }

export const sse =
  (...events: ReadonlyArray<unknown>): Answer =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "x-request-id": "r-1" })
    response.end(events.map(event).join(""))
  }

export const begin =
  (contentType: string, text: string): Answer =>
  (response) => {
    response.writeHead(200, { "content-type": contentType })
    response.write(text)
  }

export const create = (answer: Answer, options?: Partial<ParadigmClient.Options>) =>
  Effect.gen(function* () {
    const { baseUrl } = yield* serve(answer)
    return yield* (yield* clientOf({ baseUrl, ...options })).createChatCompletion(request)
  })

export const stream = (answer: Answer, options?: Partial<ParadigmClient.Options>) =>
  Effect.gen(function* () {
    const { baseUrl } = yield* serve(answer)
    return yield* Stream.runCollect((yield* clientOf({ baseUrl, ...options })).streamChatCompletion(request))
  })

export const failure = <Tag extends ParadigmErrorReason["_tag"], R>(effect: Effect.Effect<unknown, ParadigmError, R>, tag: Tag) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, ParadigmError)
    assert.strictEqual(error.reason._tag, tag, error.message)
    return { error, reason: error.reason as Extract<ParadigmErrorReason, { _tag: Tag }> }
  })

/** What a promise is rejected with. */
export const thrownBy = async (promise: PromiseLike<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail("did not throw")
}

/** The `ParadigmError` of a promise, which must have this reason. */
export const failureOf = async (promise: PromiseLike<unknown>, tag: string) => {
  const error = await thrownBy(promise)
  assert.instanceOf(error, ParadigmError, String(error))
  assert.strictEqual(error.reason._tag, tag, error.message)
  return error
}

/** A response whose connection is destroyed in the middle of the body. */
export const breakOff =
  (status: number, headers: Record<string, string>, text: string): Answer =>
  (response) => {
    response.writeHead(status, headers)
    response.write(text, () => setTimeout(() => response.destroy(), 20))
  }

/** An origin without a listening server. */
export const nowhere = Effect.scoped(serveBytes(() => {}))
