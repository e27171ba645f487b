import { generateText, jsonSchema, tool, type ToolSet } from "ai"
import { assert, describe, expect, it } from "vitest"
import { z } from "zod"
import { createParadigm, type ParadigmChatOptions, type ParadigmProviderSettings } from "../src/index.ts"
import { serve } from "./Loopback.ts"
import { whole } from "./Reply.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

/** The body of the request for a call, and the warnings. */
const ask = async (options: object, settings: ParadigmProviderSettings = {}) => {
  await using server = await serve(whole({ content: "ok" }))
  const model = createParadigm({ apiKey: "sk-pdgm/4f0c+9d1e==", baseUrl: server.baseUrl, ...settings })("m")
  const { warnings } = await generateText({ model, prompt: "go", ...options })
  const { messages: _, model: __, ...body } = server.body(0)
  return { body, warnings, headers: server.seen[0]?.headers }
}

describe("a request", () => {
  it("has every setting of the AI SDK, without a warning", async () => {
    const { body, warnings } = await ask({
      maxOutputTokens: 10,
      temperature: 0.5,
      topP: 0.9,
      topK: 5,
      presencePenalty: 0.1,
      frequencyPenalty: 0.2,
      stopSequences: ["END"],
      seed: 7,
      reasoning: "xhigh"
    })
    assert.deepStrictEqual(body, {
      max_tokens: 10,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 5,
      presence_penalty: 0.1,
      frequency_penalty: 0.2,
      stop: ["END"],
      seed: 7,
      reasoning_effort: "xhigh"
    })
    assert.deepStrictEqual(warnings, [])
  })

  it("has nothing that was not set", async () => {
    const { body } = await ask({ stopSequences: [], reasoning: "provider-default", tools: {} })
    assert.deepStrictEqual(body, {})
  })

  it.each(["none", "minimal", "low", "medium", "high", "xhigh", "max"] as const)(
    "has the reasoning level %s and nothing else",
    async (reasoning) => {
      assert.deepStrictEqual((await ask({ reasoning })).body, { reasoning_effort: reasoning })
    }
  )

  it.each([
    ["max", "high", { reasoning_effort: "high" }],
    ["none", null, {}]
  ] as const)("has a level in place of %s, with a warning", async (reasoning, replacement, expected) => {
    const { body, warnings } = await ask({ reasoning }, { reasoningLevels: { [reasoning]: replacement } })
    assert.deepStrictEqual(body, expected)
    expect(warnings).toMatchObject([{ type: "compatibility", feature: `reasoning ${reasoning}` }])
  })

  it("has the headers of the provider and of the call", async () => {
    const { headers } = await ask({ headers: { "x-tenant": "call" } }, { headers: { "x-tenant": "provider", "x-team": "a" } })
    expect(headers).toMatchObject({ "x-tenant": "call", "x-team": "a" })
    assert.match(headers?.["user-agent"] ?? "", /^ai\/7/)
  })
})

describe("providerOptions.paradigm", () => {
  it("is sent at the top of the request, objects whole", async () => {
    const paradigm: ParadigmChatOptions = {
      min_p: 0.1,
      chat_template_kwargs: { enable_thinking: false, nested: { a: [1] } },
      structured_outputs: { regex: "a+" },
      stop_token_ids: [1, 2],
      parallel_tool_calls: false
    }
    const { body, warnings } = await ask({ providerOptions: { paradigm, other: { ignored: true } } })
    assert.deepStrictEqual(body, paradigm)
    assert.deepStrictEqual(warnings, [])
  })

  it("may have a field that is not listed, and overrides a setting", async () => {
    const { body } = await ask({ topK: 5, providerOptions: { paradigm: { top_k: 6, of_tomorrow: { a: 1 } } } })
    assert.deepStrictEqual(body, { top_k: 6, of_tomorrow: { a: 1 } })
  })

  it.each(["model", "messages", "tools", "tool_choice", "stream", "n", "functions", "function_call"])(
    "does not override %s, and warns",
    async (name) => {
      await using server = await serve(whole({ content: "ok" }))
      const model = createParadigm({ apiKey: "sk-pdgm/4f0c+9d1e==", baseUrl: server.baseUrl })("m")
      const { warnings } = await generateText({ model, prompt: "go", providerOptions: { paradigm: { [name]: "evil" } } })
      assert.deepStrictEqual(server.body(0), { model: "m", messages: [{ role: "user", content: "go" }] })
      expect(warnings).toMatchObject([{ type: "unsupported", feature: `providerOptions.paradigm.${name}` }])
    }
  )

  it("has no stream options in a request for a whole answer", async () => {
    const { body } = await ask({ providerOptions: { paradigm: { stream_options: { continuous_usage_stats: true } } } })
    assert.deepStrictEqual(body, {})
  })

  it("with a wrong value is an error that names the field, and nothing is sent", async () => {
    const error = await ask({ providerOptions: { paradigm: { min_p: "high" } } }).catch((error: unknown) => error)
    expect(error).toMatchObject({ name: "AI_InvalidArgumentError", argument: "min_p", message: expect.stringContaining("min_p") })
  })
})

describe("the tools of a request", () => {
  const tools: ToolSet = { now: tool({ description: "The time.", inputSchema: z.object({ zone: z.string() }), strict: true }) }

  it("have their description, schema and strictness", async () => {
    const { body } = await ask({ tools, toolChoice: "auto" })
    expect(body.tools).toMatchObject([
      {
        type: "function",
        function: { name: "now", description: "The time.", strict: true, parameters: { type: "object", required: ["zone"] } }
      }
    ])
  })

  it("have properties although the tool has no parameters", async () => {
    const { body } = await ask({ tools: { now: tool({ inputSchema: jsonSchema({ type: "object" }) }) } })
    assert.deepStrictEqual(body.tools[0].function.parameters, { properties: {}, type: "object" })
  })

  it.each([
    ["auto", "auto"],
    ["none", "none"],
    ["required", "required"],
    [
      { type: "tool", toolName: "now" },
      { type: "function", function: { name: "now" } }
    ]
  ])("are chosen by %j", async (toolChoice, expected) => {
    const called = { id: "c1", type: "function", function: { name: "now", arguments: '{"zone":"Z"}' } }
    await using server = await serve(
      toolChoice === "none" || toolChoice === "auto" ? whole({ content: "ok" }) : whole({ tool_calls: [called] })
    )
    const model = createParadigm({ apiKey: "sk-pdgm/4f0c+9d1e==", baseUrl: server.baseUrl })("m")
    await generateText({ model, prompt: "go", tools, toolChoice: toolChoice as "auto" })
    assert.deepStrictEqual(server.body(0).tool_choice, expected)
  })

  it("that another provider runs are reported", async () => {
    const search = {
      type: "provider" as const,
      isProviderExecuted: true as const,
      id: "openai.web_search" as const,
      args: {},
      inputSchema: z.object({})
    }
    const { body, warnings } = await ask({ tools: { search } })
    assert.deepStrictEqual(body, {})
    expect(warnings).toMatchObject([{ type: "unsupported", feature: "tool openai.web_search" }])
  })

  it("with examples of their input are reported", async () => {
    const { warnings } = await ask({ tools: { now: tool({ inputSchema: z.object({}), inputExamples: [{ input: {} }] }) } })
    expect(warnings).toMatchObject([{ type: "unsupported", feature: "inputExamples of the tool now" }])
  })
})
