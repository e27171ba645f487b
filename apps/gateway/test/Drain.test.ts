import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { setTimeout as sleep } from "node:timers/promises"
import { Agent, request } from "undici"
import * as Gateway from "./GatewayUnderTest.ts"

vi.setConfig({ testTimeout: 60_000 })

describe("a gateway that stops", () => {
  it.live("closes the connections of clients that go on asking, and cuts off none of their answers", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(
        (exchange) =>
          void setTimeout(
            () => exchange.answer(200, '{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{}}]}'),
            // Of different length, so that some request is always in flight.
            20 + Math.random() * 200
          ),
        { shutdown: { grace: 20_000 } }
      )
      const agent = yield* Effect.acquireRelease(
        Effect.sync(() => new Agent({ connections: 32, pipelining: 1 })),
        (agent) => Effect.promise(() => agent.destroy())
      )
      const statuses: Array<number> = []
      const worker = async () => {
        for (;;) {
          try {
            const headers = { authorization: `Bearer ${Gateway.key}`, "content-type": "application/json" }
            const url = `${gateway.origin}/v1/chat/completions`
            const response = await request(url, { method: "POST", headers, body: Gateway.chat(), dispatcher: agent })
            statuses.push(response.statusCode)
            await response.body.dump()
          } catch {
            // Nothing listens any more.
            return
          }
        }
      }
      const workers = Array.from({ length: 32 }, worker)
      while (statuses.length < 64) yield* Effect.promise(() => sleep(10))
      const begin = performance.now()
      yield* gateway.drain
      assert.isBelow(performance.now() - begin, 5000)
      yield* Effect.promise(() => Promise.all(workers))
      assert.deepEqual(new Set(statuses), new Set([200]))
    })
  )
})
