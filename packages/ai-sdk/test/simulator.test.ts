// Against the simulator, which speaks as vLLM does.
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import { generateText, streamText } from "ai"
import { afterAll, assert, beforeAll, describe, expect, it } from "vitest"
import { createParadigm, type ParadigmProvider } from "../src/index.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

const apiKey = "sk-0123456789abcdef"
let simulator: Simulator.Simulator
let baseUrl = ""
let paradigm: ParadigmProvider

beforeAll(async () => {
  simulator = await Simulator.start({ models: ["alfred-4.2"], interTokenLatency: "1 millis", apiKey })
  baseUrl = `${simulator.url}/v1`
  paradigm = createParadigm({ apiKey, baseUrl })
})

afterAll(() => simulator.close())

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
