// Against the simulator, which speaks as vLLM does.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import { generateText, streamText } from "ai"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { createServer } from "node:http"
import { afterAll, assert, beforeAll, describe, expect, it } from "vitest"
import { createParadigm, type ParadigmProvider } from "../src/index.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

const apiKey = "sk-0123456789abcdef"
const simulator = Simulator.layer({ models: ["alfred-4.2"], interTokenLatency: "1 millis", apiKey: Redacted.make(apiKey) })
const runtime = ManagedRuntime.make(
  simulator.pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 0 })),
    Layer.provide(Logger.layer([]))
  )
)
let baseUrl = ""
let paradigm: ParadigmProvider

beforeAll(async () => {
  baseUrl = `${await runtime.runPromise(HttpServer.addressFormattedWith(Effect.succeed))}/v1`
  paradigm = createParadigm({ apiKey, baseUrl })
})

afterAll(() => runtime.dispose())

describe("the simulator", () => {
  it("answers generateText with text and usage", async () => {
    const { finishReason, text, usage } = await generateText({ model: paradigm("alfred-4.2"), prompt: "Say hello" })
    assert.strictEqual(text, "Say hello")
    assert.strictEqual(finishReason, "stop")
    assert.isAbove(usage.totalTokens ?? 0, 0)
  })

  it("answers streamText piece by piece, with usage", async () => {
    const { textStream, usage } = streamText({ model: paradigm("alfred-4.2"), prompt: "one two three four" })
    const pieces: Array<string> = []
    for await (const piece of textStream) pieces.push(piece)
    assert.strictEqual(pieces.join(""), "one two three four")
    assert.isAbove(pieces.length, 1)
    assert.isAbove((await usage).outputTokens ?? 0, 0)
  })

  it("ends with the length that maxOutputTokens allows", async () => {
    const { finishReason } = await generateText({ model: paradigm("alfred-4.2"), prompt: "one two three four", maxOutputTokens: 1 })
    assert.strictEqual(finishReason, "length")
  })

  it.each([
    [() => paradigm("other"), { statusCode: 404, data: { reason: "ModelNotFound" } }],
    [() => createParadigm({ apiKey: "sk-fedcba9876543210", baseUrl })("alfred-4.2"), { statusCode: 401, data: { reason: "Unauthorized" } }]
  ])("refuses what vLLM refuses: %#", async (model, error) => {
    expect(await generateText({ model: model(), prompt: "go", maxRetries: 0 }).catch((error: unknown) => error)).toMatchObject(error)
  })
})
