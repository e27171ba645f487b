import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Socket } from "node:net"
import { clientOf, completion, failure, key, nowhere, request, serveBytes } from "../Loopback.ts"
import { assertSecret } from "../Secret.ts"

const head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

const bytes = (text: string, end: (socket: Socket) => void = (socket) => socket.end()) =>
  serveBytes((socket) => void socket.write(text, () => end(socket)))

const askAt = (baseUrl: string) => Effect.flatMap(clientOf({ baseUrl }), (client) => client.createChatCompletion(request))

describe("a connection", () => {
  it.live("that is refused says so, and where", () =>
    Effect.gen(function* () {
      const baseUrl = yield* nowhere
      const { error, reason } = yield* failure(askAt(baseUrl), "ConnectFailed")
      assert.deepStrictEqual([reason.origin, reason.code], [baseUrl, "ECONNREFUSED"])
      assert.isTrue(error.isRetryable)
      assertSecret(error, key)
    })
  )

  it.live("to a host that does not exist says so", () =>
    Effect.gen(function* () {
      const { reason } = yield* failure(askAt("http://no-such-host.invalid"), "ConnectFailed")
      assert.strictEqual(reason.origin, "http://no-such-host.invalid")
    })
  )

  it.live.each<[string, (socket: Socket) => void]>([
    ["closed", (socket) => socket.end()],
    ["reset", (socket) => socket.resetAndDestroy()]
  ])("that is %s before the headers is lost there", ([, end]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(askAt(yield* serveBytes(end)), "ConnectionLost")
      assert.strictEqual(reason.phase, "headers")
      assert.isTrue(error.isRetryable)
    })
  )

  it.live.each<[string, string, (socket: Socket) => void]>([
    ["closed before the length it promised", `${head}content-length: 500\r\n\r\n{"id":"c`, (socket) => socket.end()],
    ["closed before its last chunk", `${head}transfer-encoding: chunked\r\n\r\n8\r\n{"id":"c\r\n`, (socket) => socket.end()],
    ["reset", `${head}content-length: 500\r\n\r\n{"id":"c`, (socket) => setTimeout(() => socket.resetAndDestroy(), 20)],
    ["framed wrong", `${head}transfer-encoding: chunked\r\n\r\nzz\r\n{"id":"c\r\n`, (socket) => socket.end()]
  ])("that is %s is lost in the body", ([, text, end]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(askAt(yield* bytes(text, end)), "ConnectionLost")
      assert.strictEqual(reason.phase, "body")
      assert.isFalse(error.isRetryable)
    })
  )

  it.live("that answers with something else than HTTP is lost", () =>
    Effect.gen(function* () {
      yield* failure(askAt(yield* bytes("SSH-2.0-OpenSSH_9.6\r\n")), "ConnectionLost")
    })
  )

  it.live("whose body ends with it may be whole", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* askAt(yield* bytes(`${head}\r\n${JSON.stringify(completion)}`)), completion)
    })
  )
})
