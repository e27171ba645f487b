import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Fetch } from "effect/http/FetchHttpClient"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Socket } from "node:net"
import { resolveOptions } from "../../src/client/options.ts"
import { Secrets } from "../../src/errors/redaction.ts"
import type { ParadigmErrorReason } from "../../src/ParadigmError.ts"
import * as ParadigmClient from "../../src/ParadigmClient.ts"
import * as Transport from "../../src/Transport.ts"
import { type Failing, fromTransport } from "../../src/transport/mapError.ts"
import { clientOf, completion, failure, key, nowhere, request, serveBytes } from "../Loopback.ts"
import { assertSecret } from "../Secret.ts"

const head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

const bytes = (text: string, end: (socket: Socket) => void = (socket) => socket.end()) =>
  serveBytes((socket) => void socket.write(text, () => end(socket)))

const askAt = (baseUrl: string) => Effect.flatMap(clientOf({ baseUrl }), (client) => client.createChatCompletion(request))

describe("a connection", () => {
  it.live("fails with ConnectFailed, its origin and code if it is refused", () =>
    Effect.gen(function* () {
      const baseUrl = yield* nowhere
      const { error, reason } = yield* failure(askAt(baseUrl), "ConnectFailed")
      assert.deepStrictEqual([reason.origin, reason.code], [baseUrl, "ECONNREFUSED"])
      assert.isTrue(error.isRetryable)
      assertSecret(error, key)
    })
  )

  it.live("fails with ConnectFailed if the host is unknown", () =>
    Effect.gen(function* () {
      const { reason } = yield* failure(askAt("http://no-such-host.invalid"), "ConnectFailed")
      assert.strictEqual(reason.origin, "http://no-such-host.invalid")
    })
  )

  it.live.each<[string, (socket: Socket) => void]>([
    ["closed", (socket) => socket.end()],
    ["reset", (socket) => socket.resetAndDestroy()]
  ])("fails with a retryable ConnectionLost if it is %s before the headers", ([, end]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(askAt(yield* serveBytes(end)), "ConnectionLost")
      assert.strictEqual(reason.phase, "headers")
      assert.isTrue(error.isRetryable)
    })
  )

  it.live.each<[string, string, (socket: Socket) => void]>([
    ["closed before its content-length", `${head}content-length: 500\r\n\r\n{"id":"c`, (socket) => socket.end()],
    ["closed before its last chunk", `${head}transfer-encoding: chunked\r\n\r\n8\r\n{"id":"c\r\n`, (socket) => socket.end()],
    ["reset", `${head}content-length: 500\r\n\r\n{"id":"c`, (socket) => setTimeout(() => socket.resetAndDestroy(), 20)],
    ["framed wrongly", `${head}transfer-encoding: chunked\r\n\r\nzz\r\n{"id":"c\r\n`, (socket) => socket.end()]
  ])("fails with ConnectionLost in the body if it is %s", ([, text, end]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(askAt(yield* bytes(text, end)), "ConnectionLost")
      assert.strictEqual(reason.phase, "body")
      assert.isFalse(error.isRetryable)
    })
  )

  it.live("fails with ConnectionLost if the server does not speak HTTP", () =>
    Effect.gen(function* () {
      yield* failure(askAt(yield* bytes("SSH-2.0-OpenSSH_9.6\r\n")), "ConnectionLost")
    })
  )

  it.live("delivers a body that ends with the connection", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* askAt(yield* bytes(`${head}\r\n${JSON.stringify(completion)}`)), completion)
    })
  )
})

const failing: Failing = {
  origin: "http://host",
  limits: Result.getOrThrow(resolveOptions({ apiKey: key })).timeouts,
  secrets: new Secrets()
}
failing.secrets.add(key)

const reasonOf = (cause: unknown, phase: "headers" | "body" = "headers") =>
  fromTransport({ reason: { _tag: "TransportError", cause } }, phase, failing)

const error = (message: string, more: object = {}, name?: string) =>
  Object.assign(name === undefined ? new TypeError(message) : Object.assign(new Error(message), { name }), more)

const fetchFailed = (code: string, message = "", name = "Error") => error("fetch failed", { cause: error(message, { code }, name) })

// The exceptions of runtimes, with the reason before the headers. In the body every one of them is a lost connection.
const known: ReadonlyArray<readonly [runtime: string, cause: Error, tag: ParadigmErrorReason["_tag"]]> = [
  ["Node, refused", fetchFailed("ECONNREFUSED"), "ConnectFailed"],
  [
    "Node, refused on every address",
    error("fetch failed", { cause: new AggregateError([error("x", { code: "ECONNREFUSED" })]) }),
    "ConnectFailed"
  ],
  ["Node, unknown host", fetchFailed("ENOTFOUND"), "ConnectFailed"],
  ["Node, no name server", fetchFailed("EAI_AGAIN"), "ConnectFailed"],
  ["Node, refused by a proxy", Object.assign(new Error(), { code: "PROXY_407" }), "ConnectFailed"],
  ["Node, unreachable", fetchFailed("EHOSTUNREACH"), "ConnectFailed"],
  ["Node, reset", fetchFailed("ECONNRESET"), "ConnectionLost"],
  ["Node, broken pipe", fetchFailed("EPIPE"), "ConnectionLost"],
  ["undici, closed", fetchFailed("UND_ERR_SOCKET", "other side closed", "SocketError"), "ConnectionLost"],
  ["undici, terminated", error("terminated", { cause: error("other side closed", {}, "SocketError") }), "ConnectionLost"],
  ["undici, not HTTP", error("fetch failed", { cause: error("Response does not match", {}, "HTTPParserError") }), "ConnectionLost"],
  ["undici, a wrong chunk", error("terminated", { cause: error("Parse Error", { code: "HPE_INVALID_CHUNK_SIZE" }) }), "ConnectionLost"],
  ["Node, cut in a compressed body", error("unexpected end of file", { code: "Z_BUF_ERROR" }), "ConnectionLost"],
  ["node-fetch, cut", error("Premature close", { code: "ERR_STREAM_PREMATURE_CLOSE" }), "ConnectionLost"],
  ["Node, a client hung up", error("socket hang up", { code: "ECONNRESET" }), "ConnectionLost"],
  [
    "Deno, refused",
    error("error sending request for url (http://host/): client error (Connect): tcp connect error: Connection refused"),
    "ConnectFailed"
  ],
  [
    "Deno, unknown host",
    error("error sending request for url (http://host/): client error (Connect): dns error: failed to lookup"),
    "ConnectFailed"
  ],
  [
    "Deno, closed",
    error("error sending request for url (http://host/): client error (SendRequest): connection closed before message completed"),
    "ConnectionLost"
  ],
  ["Deno, cut", error("error reading a body from connection"), "ConnectionLost"],
  ["Deno, reset", error("Connection reset by peer (os error 104)", {}, "ConnectionReset"), "ConnectionLost"],
  ["Deno, an end too early", error("unexpected", {}, "UnexpectedEof"), "ConnectionLost"],
  [
    "Bun, refused",
    error("Unable to connect. Is the computer able to access the url?", { code: "ConnectionRefused" }, "Error"),
    "ConnectFailed"
  ],
  ["Bun, no socket", error("Was there a typo in the url or port?", { code: "FailedToOpenSocket" }, "Error"), "ConnectFailed"],
  ["Bun, closed", error("The socket connection was closed unexpectedly.", { code: "ECONNRESET" }, "Error"), "ConnectionLost"],
  ["Chromium", error("Failed to fetch"), "ConnectFailed"],
  ["Chromium, in a body", error("network error"), "ConnectionLost"],
  ["Firefox", error("NetworkError when attempting to fetch resource."), "ConnectFailed"],
  ["Firefox, in a body", error("Error in input stream"), "ConnectionLost"],
  ["Safari", error("Load failed"), "ConnectFailed"],
  ["Safari, lost", error("The network connection was lost."), "ConnectionLost"]
]

describe("the exception of a runtime", () => {
  it.each(known)("maps to its reason: %s", (_, cause, tag) => {
    const reason = reasonOf(cause)
    assert.strictEqual(reason._tag, tag)
    assert.isTrue(reason.isRetryable)
    const inBody = reasonOf(cause, "body")
    assert.deepStrictEqual([inBody._tag, inBody.isRetryable], ["ConnectionLost", false])
  })

  it.each<[string, Error]>([
    ["Node, self-signed", fetchFailed("DEPTH_ZERO_SELF_SIGNED_CERT")],
    ["Node, expired", fetchFailed("CERT_HAS_EXPIRED")],
    ["Node, no TLS", fetchFailed("ERR_SSL_WRONG_VERSION_NUMBER")],
    ["Deno", error("client error (Connect): invalid peer certificate: UnknownIssuer")]
  ])("is one of TLS: %s", (_, cause) => {
    assert.deepStrictEqual([reasonOf(cause)._tag, reasonOf(cause).isRetryable], ["TlsFailed", false])
  })

  it.each(["UND_ERR_CONNECT_TIMEOUT", "ETIMEDOUT"])("maps to Timeout of connect: %s", (code) => {
    assert.strictEqual(reasonOf(fetchFailed(code)).message, "The call took longer than timeouts.connect (10s)")
  })

  it.each(["NotCapable", "PermissionDenied"])("maps to a missing permission: %s", (name) => {
    assert.match(reasonOf(error("Requires net access", {}, name)).message, /^baseUrl .*--allow-net/)
  })

  it.each<[string, unknown, string]>([
    ["an error of a custom fetch", new RangeError("my mistake"), "RangeError: my mistake"],
    ["an unknown cause", error("fetch failed", { cause: new Error("bad port") }), "TypeError: fetch failed"],
    ["a code that is not one of a connection", error("no", { code: "ERR_INVALID_ARG_TYPE" }), "TypeError: no"],
    ["an abort that is not ours", new DOMException("This operation was aborted", "AbortError"), "AbortError: This operation was aborted"],
    ["a text", "no", "Error: no"],
    ["undefined", undefined, "Error: undefined"],
    ["an object", { status: 1 }, "Error: an object"]
  ])("is unknown, not retryable, and kept as cause: %s", (_, cause, message) => {
    for (const phase of ["headers", "body"] as const) {
      const reason = reasonOf(cause, phase)
      assert(reason._tag === "TransportFailed")
      assert.deepStrictEqual([reason.phase, reason.isRetryable], [phase, false])
      assert.strictEqual(reason.message, `Unknown exception: ${message}`)
      assert.instanceOf(reason.cause, Error)
    }
  })

  it("is kept as cause without the key", () => {
    const cause = Object.assign(new TypeError(`Headers.append: "Bearer ${key}" is an invalid header value.`), { request: { key } })
    assertSecret(reasonOf(cause), key)
    assert.include(reasonOf(cause).message, '"Bearer <redacted>"')
  })
})

describe("a custom fetch", () => {
  it.live.each<[string, () => Promise<Response>]>([
    [
      "throws",
      () => {
        throw new RangeError(`my mistake ${key}`)
      }
    ],
    [
      "rejects",
      async () => {
        throw new RangeError(`my mistake ${key}`)
      }
    ],
    [
      "fails in the body",
      async () =>
        new Response(
          new ReadableStream({
            pull: () => {
              throw new RangeError(`my mistake ${key}`)
            }
          }),
          {
            headers: { "content-type": "text/event-stream" }
          }
        )
    ]
  ])("that %s fails the call once, with its exception as cause", ([, fetch]) =>
    Effect.gen(function* () {
      let calls = 0
      const counting = () => (calls++, fetch())
      const program = Effect.flatMap(ParadigmClient.makeWith(Transport.fromFetch(), { apiKey: key }), (client) =>
        Stream.runDrain(client.streamChatCompletion(request))
      )
      const { error } = yield* failure(Effect.provideService(program, Fetch, counting), "TransportFailed")
      assert.strictEqual(calls, 1)
      assert.strictEqual(error.attempts.length, 1)
      assert.deepStrictEqual([(error.cause as Error).name, (error.cause as Error).message], ["RangeError", "my mistake <redacted>"])
      assertSecret(error, key)
    })
  )
})
