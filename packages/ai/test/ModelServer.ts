// A model server that plays prepared answers over a socket on loopback, and a language model on it.
import { ParadigmLanguageModel } from "@paradigm-effect/ai"
import { Paradigm } from "@paradigm-effect/node"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import { createServer, type IncomingHttpHeaders, type Server } from "node:http"
import type { AddressInfo } from "node:net"

export const apiKey = "sk-pdgm/4f0c+9d1e=="

export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
  /** Destroys the connection after the body. */
  readonly isCut?: boolean
}

interface Message {
  readonly role: string
  readonly content: unknown
  readonly reasoning?: string
  readonly reasoning_content?: string
  readonly tool_call_id?: string
  readonly tool_calls?: ReadonlyArray<{
    readonly id: string
    readonly type?: string
    readonly function: { readonly name: string; readonly arguments: string }
  }>
}

interface Body extends Readonly<Record<string, unknown>> {
  readonly messages: ReadonlyArray<Message>
  readonly tools?: ReadonlyArray<{ readonly type: string; readonly function: Readonly<Record<string, unknown>> }>
}

export interface Seen {
  readonly headers: IncomingHttpHeaders
  readonly body: Body
}

const head = { id: "chatcmpl-1", created: 1_700_000_000, model: "alfred-4.2-fp8" }
export const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }

/** A whole answer. */
export const whole = (message: object, finish_reason: string | null = "stop", more: object = {}): Answer => ({
  headers: { "content-type": "application/json", "x-request-id": "r-1" },
  body: JSON.stringify({
    ...head,
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: null, ...message }, finish_reason }],
    usage,
    ...more
  })
})

export const event = (value: unknown) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`

export const chunk = (delta: object, finish_reason: string | null = null) => ({
  ...head,
  object: "chat.completion.chunk",
  choices: [{ index: 0, delta, finish_reason }]
})

export const lastUsage = { ...head, object: "chat.completion.chunk", choices: [], usage }

/** A streamed answer of these events as they are. */
export const raw = (...events: ReadonlyArray<unknown>): Answer => ({
  headers: { "content-type": "text/event-stream", "x-request-id": "r-1" },
  body: events.map(event).join("")
})

/** A complete streamed answer. */
export const streamed = (deltas: ReadonlyArray<object>, finish_reason = "stop"): Answer =>
  raw(chunk({ role: "assistant", content: "" }), ...deltas.map((delta) => chunk(delta)), chunk({}, finish_reason), lastUsage, "[DONE]")

export const call = (name: string | undefined, text: string | undefined, more: object = { id: "c1" }) => ({
  index: 0,
  type: "function",
  ...more,
  function: { ...(name !== undefined && { name }), ...(text !== undefined && { arguments: text }) }
})

export const refusal = (status: number, body: object, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body)
})

const listen = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

const addressOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

/** Serves the answers in order, the last one repeatedly, or the answer to each request. */
export const serve = Effect.fnUntraced(function* (answers: ReadonlyArray<Answer> | ((body: Body) => Answer)) {
  const requests: Array<Seen> = []
  const server = createServer((incoming, response) => {
    let text = ""
    incoming.setEncoding("utf8").on("data", (part: string) => (text += part))
    incoming.on("end", () => {
      const body = JSON.parse(text) as Body
      const answer = typeof answers === "function" ? answers(body) : answers[Math.min(requests.length, answers.length - 1)]
      requests.push({ headers: incoming.headers, body })
      response.writeHead(answer?.status ?? 200, answer?.headers)
      if (answer?.isCut === true) response.write(answer.body, () => setImmediate(() => response.destroy()))
      else response.end(answer?.body)
    })
  })
  yield* listen(server)
  return { baseUrl: addressOf(server), requests }
})

/** A server that begins its answer with this text and never ends it. `closed` succeeds when the client has closed the connection. */
export const hang = Effect.fnUntraced(function* (text: string) {
  const closed = yield* Deferred.make<void>()
  const asked = yield* Deferred.make<void>()
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.write(text)
      Deferred.doneUnsafe(asked, Effect.void)
    })
    response.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
  })
  yield* listen(server)
  return { baseUrl: addressOf(server), asked: Deferred.await(asked), closed: Deferred.await(closed) }
})

/** A language model on a server of these answers. */
export const modelOf = (baseUrl: string, config?: Omit<ParadigmLanguageModel.ModelConfig, "model">) =>
  ParadigmLanguageModel.model("alfred-4.2", config).pipe(Layer.provide(Paradigm.layer({ apiKey, baseUrl, retry: false })))

/** Runs a program with a language model whose server plays the answers. Returns the requests too. */
export const play = Effect.fnUntraced(function* <A, E>(
  answers: ReadonlyArray<Answer>,
  program: Effect.Effect<A, E, LanguageModel.LanguageModel>,
  config?: Omit<ParadigmLanguageModel.ModelConfig, "model">
) {
  const { baseUrl, requests } = yield* serve(answers)
  const value = yield* Effect.provide(program, modelOf(baseUrl, config))
  return { value, requests }
}, Effect.scoped)

type Parts = Array<{ readonly type: Response.AnyPart["type"] }>

/** Collects the parts of a stream, and what it fails with. */
export const collect = <A extends { readonly type: Response.AnyPart["type"] }, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.suspend(() => {
    const parts: Array<A> = []
    return Stream.runForEach(stream, (part) => Effect.sync(() => parts.push(part))).pipe(
      Effect.match({ onFailure: (error) => ({ parts, error }), onSuccess: () => ({ parts, error: undefined }) })
    )
  })

/** The types of parts. Repeated types count once: how many deltas there are depends on the network. */
export const typesOf = (parts: Readonly<Parts>) =>
  parts
    .map(({ type }) => type)
    .filter((type, at, types) => type !== types[at - 1])
    .join(" ")
