import { NoSuchModelError } from "@ai-sdk/provider"
import { createProviderRegistry, generateText } from "ai"
import { afterEach, assert, describe, expect, it, vi } from "vitest"
import { createParadigm, paradigm } from "../src/index.ts"
import { serve } from "./Loopback.ts"
import { whole } from "./Reply.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

afterEach(() => void vi.unstubAllEnvs())

describe("createParadigm", () => {
  it("makes models, by a call and by name", () => {
    for (const model of [paradigm("alfred-4.2"), paradigm.languageModel("alfred-4.2")]) {
      expect(model).toMatchObject({ specificationVersion: "v4", provider: "paradigm", modelId: "alfred-4.2" })
    }
  })

  it("has no embeddings and no images", () => {
    for (const method of ["embeddingModel", "imageModel"] as const) {
      try {
        paradigm[method]("m")
        assert.fail("it made a model")
      } catch (error) {
        assert.isTrue(NoSuchModelError.isInstance(error))
        expect(error).toMatchObject({ modelType: method, modelId: "m" })
      }
    }
  })

  it.each<[Record<string, unknown>, RegExp]>([
    [{ baseURL: "https://a" }, /unknown option baseURL: did you mean baseUrl/],
    [{ baseUrl: "a" }, /baseUrl must be an absolute http/],
    [{ timeouts: { idle: "soon" } }, /timeouts.idle is not a duration/],
    [{ headers: { authorization: "x" } }, /authorization.* is set by the client/],
    [{ retry: false, nonsense: 1 }, /unknown option/]
  ])("refuses %j at once", (settings, message) => {
    assert.throws(() => createParadigm(settings), message)
  })

  it("accepts a missing key, for builds without the environment of the server", () => {
    createParadigm({ apiKey: undefined })
    createParadigm({ apiKey: "" })
  })

  it("reads the key and the address of the environment at the time of the call", async () => {
    await using server = await serve(whole({ content: "ok" }))
    vi.stubEnv("PARADIGM_BASE_URL", server.baseUrl)
    vi.stubEnv("PARADIGM_API_KEY", "sk-environment")
    const { text } = await generateText({ model: paradigm("m"), prompt: "go" })
    assert.strictEqual(text, "ok")
    assert.strictEqual(server.seen[0]?.headers.authorization, "Bearer sk-environment")
  })

  it("asks a key function for every call, and once more after a 401", async () => {
    await using server = await serve({ status: 401, body: ["{}"] }, whole({ content: "ok" }))
    let asked = 0
    const model = createParadigm({ apiKey: () => `sk-0123456789-${asked++}`, baseUrl: server.baseUrl })("m")
    const { text } = await generateText({ model, prompt: "go", maxRetries: 0 })
    assert.strictEqual(text, "ok")
    assert.deepStrictEqual(
      server.seen.map(({ headers }) => headers.authorization),
      ["Bearer sk-0123456789-0", "Bearer sk-0123456789-1"]
    )
  })

  it("uses the fetch of its settings, or the global one of the time of the call", async () => {
    const answer = () => Promise.resolve(new Response(whole({ content: "mine" }).body[0]))
    const options = { apiKey: "sk-0123456789abcdef", baseUrl: "http://127.0.0.1:9" }
    const later = createParadigm(options)("m")
    assert.strictEqual((await generateText({ model: createParadigm({ ...options, fetch: answer })("m"), prompt: "go" })).text, "mine")
    vi.stubGlobal("fetch", answer)
    try {
      assert.strictEqual((await generateText({ model: later, prompt: "go" })).text, "mine")
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it("belongs into a registry", async () => {
    await using server = await serve(whole({ content: "ok" }))
    const registry = createProviderRegistry({ paradigm: createParadigm({ apiKey: "sk-0123456789abcdef", baseUrl: server.baseUrl }) })
    const { text } = await generateText({ model: registry.languageModel("paradigm:m"), prompt: "go" })
    assert.strictEqual(text, "ok")
  })
})
