/**
 * A gateway on a free port, and a client of it that sees bytes, headers, and how an answer ended.
 */
import { assert } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http"
import { sha256 } from "../src/Authentication.ts"
import * as Gateway from "../src/Gateway.ts"
import * as GatewayConfig from "../src/GatewayConfig.ts"
import * as Upstream from "./ScriptedUpstream.ts"

/** A key that may use every model. */
export const key = "pk-test-all"
/** A key that may use `alfred` alone. */
export const limitedKey = "pk-test-alfred"
/** What the gateway sends to `alfred`'s model server. */
export const upstreamKey = "vllm-secret-0123"

/** A running gateway. */
export interface GatewayUnderTest {
  readonly origin: string
  /** What it has logged. */
  readonly log: ReadonlyArray<string>
}

/** Starts a gateway that lives as long as the scope; its models `alfred` (there: `org/alfred`) and `other` are at `upstream`. */
export const start = Effect.fnUntraced(function* (
  upstream: string,
  options: { readonly maxBodyBytes?: number } = {}
): Effect.fn.Return<GatewayUnderTest, unknown, Scope.Scope> {
  const file = {
    models: {
      alfred: { baseUrl: `${upstream}/v1`, model: "org/alfred", apiKeyVariable: "UPSTREAM_KEY" },
      other: { baseUrl: `${upstream}/v1` }
    },
    keys: {
      all: { sha256: yield* sha256(key) },
      limited: { sha256: yield* sha256(limitedKey), models: ["alfred"] }
    },
    ...options
  }
  const config = yield* GatewayConfig.parse(JSON.stringify(file), "test").pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ UPSTREAM_KEY: upstreamKey }))
  )
  const log: Array<string> = []
  const logger = Logger.make((entry) => void log.push(Logger.formatLogFmt.log(entry)))
  const layer = Gateway.layer(config).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 0 })),
    Layer.provideMerge(Logger.layer([logger]))
  )
  const context = yield* Layer.build(layer)
  const origin = yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), context)
  return { origin, log }
})

/** Starts a model server that answers as told, and a gateway in front of it. */
export const inFrontOf = Effect.fnUntraced(function* (
  answer: (exchange: Upstream.Exchange) => void,
  options: { readonly maxBodyBytes?: number } = {}
) {
  const upstream = yield* Upstream.start(answer)
  return { upstream, gateway: yield* start(upstream.origin, options) }
})

/** A request; what is left out is that of a client that does everything right. */
export interface Call {
  readonly method?: string
  readonly path?: string
  /** `undefined` leaves a header out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: string | Uint8Array
}

/** An answer. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
  readonly text: string
  /** Whether it ended as HTTP wants it, rather than by a broken connection. */
  readonly whole: boolean
}

/** The body of a request that is right. */
export const chat = (more: object = {}) => JSON.stringify({ model: "alfred", messages: [{ role: "user", content: "hi" }], ...more })

/** Sends a request, and gives the answer when its head is there. Interrupting it, or closing the scope, closes the connection. */
export const open = (gateway: GatewayUnderTest, call: Call = {}): Effect.Effect<IncomingMessage, Error, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => {
        const body = Buffer.from(call.body ?? chat())
        const method = call.method ?? "POST"
        const headers = {
          authorization: `Bearer ${key}`,
          "content-type": "application/json",
          "content-length": String(body.length),
          ...call.headers
        }
        const sent = request(`${gateway.origin}${call.path ?? "/api/v3/chat/completions"}`, {
          method,
          agent: false,
          headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined))
        })
        sent.on("error", () => undefined)
        return { sent, body }
      }),
      ({ sent }) => Effect.sync(() => void sent.destroy())
    ),
    ({ body, sent }) =>
      Effect.callback<IncomingMessage, Error>((resume) => {
        sent.once("response", (response) => {
          response.on("error", () => undefined)
          resume(Effect.succeed(response))
        })
        sent.once("error", (error) => resume(Effect.fail(error)))
        sent.end(body)
        return Effect.sync(() => void sent.destroy())
      })
  )

/** Reads what is left of an answer. */
export const read = (response: IncomingMessage): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    response.on("data", (chunk: Buffer) => chunks.push(chunk))
    response.once("close", () => {
      const bytes = Buffer.concat(chunks)
      const { complete, headers, statusCode = 0 } = response
      resume(Effect.succeed({ status: statusCode, headers, bytes, text: bytes.toString("utf8"), whole: complete }))
    })
  })

/** Sends a request and reads the whole answer. */
export const ask = (gateway: GatewayUnderTest, call: Call = {}): Effect.Effect<Answer, Error> =>
  Effect.scoped(Effect.flatMap(open(gateway, call), read))

/** The same for a stream. */
export const askStream = (gateway: GatewayUnderTest): Effect.Effect<Answer, Error> => ask(gateway, { body: chat({ stream: true }) })

/** An error's body in the v3 envelope. */
export interface Envelope {
  readonly id: string
  readonly code: number
  readonly error: string
  readonly detail: string
  readonly fields?: Readonly<Record<string, ReadonlyArray<{ readonly error: string; readonly detail: string }>>>
}

/** The error that an answer must be: in the v3 envelope, and telling nothing of the gateway's inside. */
export const errorOf = (answer: Answer, status: number, word: string): Envelope => {
  assert.strictEqual(answer.status, status, answer.text)
  assert.strictEqual(answer.headers["content-type"], "application/json")
  const envelope: Envelope = JSON.parse(answer.text)
  assert.strictEqual(envelope.code, status)
  assert.strictEqual(envelope.error, word)
  assert.strictEqual(envelope.id, answer.headers["x-request-id"])
  assert.isAbove(envelope.detail.length, 10)
  const keys = ["id", "code", "error", "detail", ...(envelope.fields === undefined ? [] : ["fields"])]
  assert.deepStrictEqual(Object.keys(envelope), keys)
  for (const inside of ["127.0.0.1", "org/alfred", upstreamKey, key, "    at ", "node_modules", "ECONN", "UND_ERR"]) {
    assert.notInclude(answer.text, inside)
  }
  return envelope
}
