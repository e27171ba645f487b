import { assert, describe, it } from "@effect/vitest"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Chat from "effect/ai/Chat"
import * as LanguageModel from "effect/ai/LanguageModel"
import { collect, modelOf } from "./ModelServer.ts"

// Repeats the last message of the user.
const simulator = Effect.map(Simulator.scoped({ models: ["alfred-4.2"] }), ({ url }) => url)

describe("a language model on the simulator", () => {
  it.live("generates, streams and remembers", () =>
    Effect.gen(function* () {
      const url = `${yield* simulator}/v1`
      const program = Effect.gen(function* () {
        const chat = yield* Chat.empty
        const first = yield* chat.generateText({ prompt: "Say hello" })
        const { error, parts } = yield* collect(chat.streamText({ prompt: "Say naïve façade 🌊" }))
        const history = yield* chat.exportJson
        return { first, error, parts, history }
      })
      const { error, first, history, parts } = yield* Effect.provide(program, modelOf(url, { temperature: 0 }))
      assert.strictEqual(first.text, "Say hello")
      assert.strictEqual(first.finishReason, "stop")
      assert.isAbove(first.usage.inputTokens.total ?? 0, 0)
      assert.isUndefined(error)
      assert.strictEqual(parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join(""), "Say naïve façade 🌊")
      const finish = parts.at(-1)
      assert(finish?.type === "finish")
      assert.isAbove(finish.usage.outputTokens.total ?? 0, 0)
      assert.include(history, "Say hello")
    })
  )

  it.live("fails as the server refuses", () =>
    Effect.gen(function* () {
      const url = `${yield* simulator}/v1`
      const ask = LanguageModel.generateText({ prompt: "x" })
      const error = yield* Effect.flip(Effect.provide(ask, modelOf(url, { temperature: -1 })))
      assert(error.reason._tag === "InvalidRequestError")
      assert.match(error.message, /temperature/)
      const streamed = Stream.runDrain(LanguageModel.streamText({ prompt: "x" }))
      const other = yield* Effect.flip(Effect.provide(streamed, modelOf(`${url}/nothing`)))
      assert(other.reason._tag === "InvalidRequestError")
      assert.strictEqual(other.reason.parameter, "baseUrl")
    })
  )
})
