import { assert, describe, it, vi } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { once } from "node:events"
import { setImmediate } from "node:timers/promises"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 20_000 })

const event = (text: string, end = "\n") =>
  `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: text } }] })}${end}${end}`
const done = (end = "\n") => `data: [DONE]${end}${end}`

const eventually = Effect.fnUntraced(function* (condition: () => boolean) {
  const deadline = performance.now() + 10_000
  while (!condition() && performance.now() < deadline) yield* Effect.promise(() => setImmediate())
})

describe("the pace", () => {
  it.live("is the client's: the model server is held back", () =>
    Effect.gen(function* () {
      const piece = event("x".repeat(65_400))
      const pieces = 1500
      let written = 0
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        void (async () => {
          exchange.head()
          for (let i = 0; i < pieces; i++) {
            const more = exchange.chunk(piece)
            written += piece.length
            if (!more) await once(exchange.socket, "drain")
          }
          exchange.chunk(done())
          exchange.end()
        })()
      })
      const response = yield* Gateway.open(gateway, { body: Gateway.chat({ stream: true }) })
      let before = -1
      while (written !== before) {
        before = written
        yield* Effect.sleep("150 millis")
      }
      assert.isBelow(written, (piece.length * pieces) / 4)
      let length = 0
      response.on("data", (chunk: Buffer) => (length += chunk.length))
      yield* Effect.promise(() => once(response, "end"))
      assert.strictEqual(length, piece.length * pieces + done().length)
    })
  )
})

describe("a client that leaves", () => {
  const leaving = Effect.fnUntraced(function* (
    answer: (exchange: Upstream.Exchange) => void,
    stream: boolean,
    waitFor: "request" | "event"
  ) {
    const asked = yield* Deferred.make<Upstream.Exchange>()
    const { gateway } = yield* Gateway.inFrontOf((exchange) => {
      answer(exchange)
      Deferred.doneUnsafe(asked, Effect.succeed(exchange))
    })
    const arrived = yield* Deferred.make<void>()
    const client = yield* Effect.forkChild(
      Effect.scoped(
        Effect.gen(function* () {
          const response = yield* Gateway.open(gateway, { body: Gateway.chat({ stream }) })
          yield* Effect.promise(() => once(response, "readable"))
          yield* Deferred.succeed(arrived, undefined)
          return yield* Effect.never
        })
      )
    )
    const exchange = yield* Deferred.await(asked)
    if (waitFor === "event") yield* Deferred.await(arrived)
    const leftAt = performance.now()
    yield* Fiber.interrupt(client)
    const closedAt = yield* Effect.promise(() => exchange.closed)
    assert.isBelow(closedAt - leftAt, 10_000)
    yield* eventually(() => gateway.log.length > 0)
    assert.include(gateway.log.join(), '"outcome":"client_left"')
    return gateway
  })

  it.live("in the middle of a stream ends the model server's work", () =>
    leaving(
      (exchange) => {
        exchange.head()
        const timer = setInterval(() => exchange.chunk(event("more")), 10)
        void exchange.closed.then(() => clearInterval(timer))
      },
      true,
      "event"
    )
  )

  it.live("in the middle of a stream has the usage of what came in its record", () =>
    Effect.gen(function* () {
      let sent = 0
      const gateway = yield* leaving(
        (exchange) => {
          exchange.head()
          for (; sent < 7; sent++) {
            const usage = JSON.stringify({ prompt_tokens: 3, total_tokens: 4 + sent, completion_tokens: 1 + sent })
            exchange.chunk(event("more").replace("}\n\n", `,"usage":${usage}}\n\n`))
          }
        },
        true,
        "event"
      )
      assert.deepStrictEqual(JSON.parse(gateway.log[0] ?? "{}").usage, { prompt: 3, completion: 7, cached: 0, reasoning: 0 })
    })
  )

  it.live("while the model server is held back ends it, too", () =>
    leaving(
      (exchange) => {
        exchange.head()
        for (let i = 0; i < 200; i++) exchange.chunk(event("x".repeat(100_000)))
      },
      true,
      "event"
    )
  )

  it.live.each([true, false])("before the model server has answered ends it, too (stream: %s)", (stream) =>
    leaving(() => undefined, stream, "request")
  )

  it.live("harms nobody else", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf((exchange) => {
        exchange.head()
        if (exchange.user === "stays") {
          exchange.chunk(event("a") + done())
          return exchange.end()
        }
        const timer = setInterval(() => exchange.chunk(event("more")), 1)
        void exchange.closed.then(() => clearInterval(timer))
      })
      const leaver = Effect.scoped(
        Effect.gen(function* () {
          const response = yield* Gateway.open(gateway, { body: Gateway.chat({ stream: true }) })
          yield* Effect.promise(() => once(response, "data"))
        })
      )
      yield* Effect.forEach(Array.from({ length: 50 }), () => leaver, { concurrency: 10 })
      const answer = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, user: "stays" }) })
      assert.strictEqual(answer.text, event("a") + done())
    })
  )
})

describe("a gateway that stops", () => {
  it.live("breaks its streams off, so that none looks complete, and ends the model server's work", () =>
    Effect.gen(function* () {
      const upstream = yield* Upstream.start((exchange) => exchange.head())
      const scope = yield* Scope.make()
      const gateway = yield* Scope.provide(Gateway.start(upstream.origin), scope)
      const opening = yield* Effect.forkChild(Gateway.open(gateway, { body: Gateway.chat({ stream: true }) }))
      yield* eventually(() => upstream.exchanges.length > 0)
      upstream.exchanges[0]?.chunk(event("a"))
      const answer = yield* Effect.forkChild(Gateway.read(yield* Fiber.join(opening)))
      yield* Scope.close(scope, Exit.void)
      const { text, whole } = yield* Fiber.join(answer)
      assert.strictEqual(text.slice(0, event("a").length), event("a"))
      assert.include(text, '"code":503')
      assert.isTrue(text.endsWith(done()))
      assert.isTrue(whole)
      yield* Effect.promise(() => upstream.exchanges[0]?.closed ?? Promise.reject(new Error("no request")))
      assert.include(gateway.log.join(), '"outcome":"drained"')
    })
  )
})
