/**
 * A gateway on a free port, and a client of it that sees bytes, headers, and how an answer ended.
 */
import { assert } from "@effect/vitest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http"
import { Writable } from "node:stream"
import { sha256 } from "../src/Authentication.ts"
import type { ControlOptions } from "../src/control/ControlPlane.ts"
import * as Gateway from "../src/Gateway.ts"
import * as GatewayConfig from "../src/GatewayConfig.ts"
import { LineWriter } from "../src/LineWriter.ts"
import * as Upstream from "./ScriptedUpstream.ts"

/** A key that may use every model. */
export const key = "pk-test-all"
/** A key that may use `alfred` alone. */
export const limitedKey = "pk-test-alfred"
/** What the gateway sends to `alfred`'s model server. */
export const upstreamKey = "vllm-secret-0123"

/** A running gateway. */
export interface GatewayUnderTest extends Gateway.Gateway {
  readonly origin: string
  /** What it has logged. */
  readonly log: ReadonlyArray<string>
}

/** Settings of a gateway, as in its configuration file. `model` is added to every model. */
export interface Settings {
  readonly model?: Readonly<Record<string, unknown>>
  readonly [name: string]: unknown
}

/** Makes a configuration whose models `alfred` (there: `org/alfred`) and `other` are at these upstreams. */
export const configure = (upstreams: ReadonlyArray<string>, { model = {}, ...settings }: Settings = {}, origin?: GatewayConfig.Origin) => {
  const replicas = upstreams.map((origin) => ({ baseUrl: `${origin}/v1` }))
  const file = {
    listen: { port: 0 },
    operator: { port: 0 },
    models: {
      alfred: { name: "org/alfred", apiKey: { env: "UPSTREAM_KEY" }, health: { path: null }, replicas, ...model },
      other: { health: { path: null }, replicas, ...model }
    },
    keys: { all: { sha256: sha256(key) }, limited: { sha256: sha256(limitedKey), models: ["alfred"] } },
    ...settings
  }
  return GatewayConfig.parse(JSON.stringify(file), "test", origin).pipe(
    Effect.provide(NodeFileSystem.layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ UPSTREAM_KEY: upstreamKey }))
  )
}

/** Starts a gateway that runs until the scope ends. */
export const startWith = Effect.fnUntraced(function* (
  upstreams: ReadonlyArray<string>,
  settings?: Settings,
  control?: ControlOptions
): Effect.fn.Return<GatewayUnderTest, unknown, Scope.Scope> {
  const log: Array<string> = []
  const lines = new Writable({
    write: (line: Buffer, _, done) => {
      log.push(line.toString("utf8").trimEnd())
      done()
    }
  })
  const gateway = yield* Gateway.start(
    yield* configure(upstreams, settings, control === undefined ? "file" : "database"),
    new LineWriter(lines),
    control
  )
  return { ...gateway, origin: gateway.url, log }
})

/** Starts a gateway in front of one upstream. */
export const start = (upstream: string, settings?: Settings) => startWith([upstream], settings)

/** Starts a model server that answers as told, and a gateway in front of it. */
export const inFrontOf = Effect.fnUntraced(function* (answer: (exchange: Upstream.Exchange) => void, settings: Settings = {}) {
  const upstream = yield* Upstream.start(answer)
  return { upstream, gateway: yield* start(upstream.origin, settings) }
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
export const open = (gateway: Pick<GatewayUnderTest, "origin">, call: Call = {}): Effect.Effect<IncomingMessage, Error, Scope.Scope> =>
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
export const ask = (gateway: Pick<GatewayUnderTest, "origin">, call: Call = {}): Effect.Effect<Answer, Error> =>
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
