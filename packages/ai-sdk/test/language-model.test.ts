// What users of the AI SDK's functions see, over real sockets.
import {
  extractReasoningMiddleware,
  generateObject,
  generateText,
  isStepCount,
  NoObjectGeneratedError,
  Output,
  streamObject,
  ToolChoiceViolationError,
  wrapLanguageModel
} from "ai"
import { assert, describe, expect, it } from "vitest"
import { z } from "zod"
import { serve } from "./Loopback.ts"
import { call, choice, event, type Reply, stream, whole } from "./Reply.ts"
import { modelOf, prompt, used, tools, run, doStream, done } from "./Runs.ts"

describe("the finish reason", () => {
  const now = call({ id: "c1", function: { name: "now", arguments: "{}" } })
  const cases: ReadonlyArray<[raw: string, delta: Record<string, unknown>, unified: string]> = [
    ["stop", { content: "a" }, "stop"],
    ["stop", now, "tool-calls"],
    ["tool_calls", now, "tool-calls"],
    ["function_call", { function_call: { name: "now", arguments: "{}" } }, "tool-calls"],
    ["length", { content: "a" }, "length"],
    ["content_filter", { content: "a" }, "content-filter"],
    ["stop", { refusal: "No." }, "content-filter"],
    ["repetition", { content: "a" }, "other"]
  ]
  it.each(cases)("%s of a stream with %j is %s", async (raw, delta, unified) => {
    await using server = await serve(stream([delta], raw))
    const { parts } = await doStream(server)
    expect(parts.at(-1)).toMatchObject({ type: "finish", finishReason: { unified, raw } })
  })

  it.each(cases)("%s of an answer with %j is %s", async (raw, message, unified) => {
    await using server = await serve(whole(message, raw))
    const { finishReason, rawFinishReason } = await generateText({ model: modelOf(server), prompt: "go" })
    assert.deepStrictEqual({ unified, raw }, { unified: finishReason, raw: rawFinishReason as string })
  })
})

describe("generateText", () => {
  it("runs tools in several steps", async () => {
    const calls = [
      { id: "c1", type: "function", function: { name: "read", arguments: '{"path":"a"}' } },
      { type: "function", function: { name: "now", arguments: "" } }
    ]
    await using server = await serve(whole({ reasoning: "hm", tool_calls: calls }, "tool_calls"), whole({ content: "Done." }))
    used.length = 0
    const { steps, text } = await generateText({ model: modelOf(server), prompt: "go", tools, stopWhen: isStepCount(3) })
    assert.strictEqual(text, "Done.")
    assert.lengthOf(steps, 2)
    assert.deepStrictEqual(used, [
      ["read", { path: "a" }],
      ["now", {}]
    ])
    const [, assistant, first, second] = server.body(1).messages
    assert.strictEqual(assistant.content, null)
    assert.strictEqual(assistant.reasoning, "hm")
    assert.deepStrictEqual(
      [first.tool_call_id, second.tool_call_id],
      assistant.tool_calls.map(({ id }: { id: string }) => id)
    )
    assert.match(second.tool_call_id, /./)
  })

  it("has the reasoning, the request, the response and the server's own fields", async () => {
    const metrics = { time_to_first_token_ms: 12 }
    await using server = await serve(whole({ content: "ok", reasoning: "hm" }, "stop", { metrics, system_fingerprint: "fp" }))
    const result = await modelOf(server).doGenerate({ prompt })
    assert.deepStrictEqual(result.content, [
      { type: "reasoning", text: "hm" },
      { type: "text", text: "ok" }
    ])
    assert.deepStrictEqual(result.providerMetadata, { paradigm: { metrics, system_fingerprint: "fp" } })
    assert.strictEqual(result.request?.url, `${server.baseUrl}/chat/completions`)
    assert.deepStrictEqual(result.request?.body, server.body(0))
    assert.strictEqual(result.response?.headers?.["x-request-id"], "r-1")
    assert.strictEqual(result.response?.id, "chatcmpl-1")
    assert.deepStrictEqual(result.response?.timestamp, new Date(1_700_000_000_000))
    expect(result.response?.body).toMatchObject({ object: "chat.completion" })
  })

  it("reports what the client repaired", async () => {
    await using server = await serve(whole({ content: "ok", tool_calls: [null] }))
    const { providerMetadata } = await generateText({ model: modelOf(server), prompt: "go" })
    expect(providerMetadata).toMatchObject({ paradigm: { anomalies: [{ repair: "tool-calls" }] } })
  })

  it("lets the AI SDK check that a required tool was called", async () => {
    await using server = await serve(whole({ content: "no" }))
    const error = await generateText({ model: modelOf(server), prompt: "go", tools, toolChoice: "required" }).catch(
      (error: unknown) => error
    )
    assert.isTrue(ToolChoiceViolationError.isInstance(error), String(error))
    assert.strictEqual(server.body(0).tool_choice, "required")
  })
})

describe("structured output", () => {
  const schema = z.object({ name: z.string(), age: z.number() })

  it("of generateObject sends the schema with its name and description", async () => {
    await using server = await serve(whole({ content: '{"name":"Ada","age":36}' }))
    const { object, warnings } = await generateObject({
      model: modelOf(server),
      prompt: "go",
      schema,
      schemaName: "a person",
      schemaDescription: "Who."
    })
    assert.deepStrictEqual(object, { name: "Ada", age: 36 })
    assert.deepStrictEqual(warnings, [])
    const { json_schema, type } = server.body(0).response_format
    assert.strictEqual(type, "json_schema")
    expect(json_schema).toMatchObject({ name: "a_person", description: "Who.", strict: true, schema: { required: ["name", "age"] } })
  })

  it("without a schema asks for any JSON object", async () => {
    await using server = await serve(whole({ content: "{}" }))
    await generateText({ model: modelOf(server), prompt: "go", output: Output.json() })
    assert.deepStrictEqual(server.body(0).response_format, { type: "json_object" })
  })

  it("of streamObject arrives in parts", async () => {
    await using server = await serve(stream([{ content: '{"name":"A' }, { content: 'da","age"' }, { content: ":36}" }]))
    const { object, partialObjectStream } = streamObject({ model: modelOf(server), prompt: "go", schema })
    const partials: Array<unknown> = []
    for await (const partial of partialObjectStream) partials.push(partial)
    assert.deepStrictEqual(await object, { name: "Ada", age: 36 })
    assert.deepInclude(partials, { name: "A" })
    assert.strictEqual(server.body(0).response_format.type, "json_schema")
  })

  it("that only came as reasoning is an error with usage, and a warning says why", async () => {
    await using server = await serve(whole({ content: null, reasoning: '{"name":"Ada","age":36}' }))
    const error = await generateObject({ model: modelOf(server), prompt: "go", schema }).catch((error: unknown) => error)
    assert.isTrue(NoObjectGeneratedError.isInstance(error), String(error))
    expect(error).toMatchObject({ finishReason: "stop", usage: { inputTokens: 3 } })
    const { warnings } = await modelOf(server).doGenerate({ prompt, responseFormat: { type: "json" } })
    expect(warnings).toMatchObject([{ type: "other", message: expect.stringMatching(/reasoning and no text/) }])
  })
})

describe("reasoning", () => {
  it.each([
    ["reasoning", { reasoning: "hm" }],
    ["reasoning_content", { reasoning_content: "hm" }],
    ["both fields", { reasoning: "hm", reasoning_content: "hm" }]
  ])("in %s is read once and goes back", async (_, delta) => {
    await using server = await serve(stream([delta, call({ id: "c1", function: { name: "now", arguments: "{}" } })], "tool_calls"), done)
    const seen = await run(server)
    assert.strictEqual(seen.reasoning, "hm")
    assert.strictEqual(server.body(1).messages[1].reasoning, "hm")
  })

  it("goes back as reasoning_content to an older server", async () => {
    await using server = await serve(
      stream([{ reasoning: "hm" }, call({ id: "c1", function: { name: "now", arguments: "{}" } })], "tool_calls"),
      done
    )
    await run(server, {}, { reasoningField: "reasoning_content" })
    const [, assistant] = server.body(1).messages
    assert.strictEqual(assistant.reasoning_content, "hm")
    assert.notProperty(assistant, "reasoning")
  })

  it("in think tags is split by the AI SDK's middleware", async () => {
    await using server = await serve(stream([{ content: "hm" }, { content: "m</th" }, { content: "ink>ok" }]))
    const model = wrapLanguageModel({
      model: modelOf(server),
      middleware: extractReasoningMiddleware({ tagName: "think", startWithReasoning: true })
    })
    const seen = await run(server, { model, tools: {} })
    assert.strictEqual(seen.reasoning, "hmm")
    assert.strictEqual(seen.text, "ok")
  })
})

describe("the blocks of a stream", () => {
  it("have ids that no other block of any step has", async () => {
    const now = call({ id: "c1", function: { name: "now", arguments: "{}" } })
    await using server = await serve(stream([{ content: "a" }, { reasoning: "hm" }, { content: "b" }, now], "tool_calls"), done)
    const seen = await run(server)
    assert.lengthOf(seen.ids, 5)
    assert.lengthOf(new Set(seen.ids), 5)
    assert.strictEqual(seen.text, "abok")
  })

  it("have the ids of generateId", async () => {
    let next = 0
    await using server = await serve(stream([{ content: "a" }, { reasoning: "hm" }]))
    const seen = await run(server, {}, { generateId: () => `id-${next++}` })
    assert.deepStrictEqual(seen.ids, ["id-0", "id-1"])
  })
})

describe("a stream", () => {
  it.each<[string, Reply]>([
    [
      "with null roles",
      { body: [choice({ role: null, content: "ok" }), choice({ role: null, content: null }, "stop"), "[DONE]"].map(event) }
    ],
    [
      "with a whole message in a chunk",
      {
        body: [
          { ...choice({}), choices: [{ index: 0, message: { role: "assistant", content: "ok" }, finish_reason: "stop" }] },
          "[DONE]"
        ].map(event)
      }
    ],
    ["without [DONE]", stream([{ content: "ok" }], "stop", [""])],
    ["in carriage returns", { body: [choice({ content: "ok" }, "stop"), "[DONE]"].map((value) => event(value).replaceAll("\n", "\r\n")) }],
    ["in single bytes", { body: [...stream([{ content: "ok" }]).body.join("")] }]
  ])("%s is read", async (_, reply) => {
    await using server = await serve(reply)
    const seen = await run(server)
    assert.deepStrictEqual(seen.errors, [])
    assert.strictEqual(seen.text, "ok")
  })

  it("takes the usage of an event without choices", async () => {
    const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
    await using server = await serve(stream([{ content: "ok" }], "stop", [{ id: "usage-1", model: "m", usage }, "[DONE]"]))
    const { result, text } = await run(server)
    assert.strictEqual(text, "ok")
    assert.deepStrictEqual((await result.usage).raw, usage)
  })

  it("asks for the usage, and merges the stream options of the caller", async () => {
    await using server = await serve(done)
    await run(server, { providerOptions: { paradigm: { stream_options: { continuous_usage_stats: true } } } })
    assert.deepStrictEqual(server.body(0).stream_options, { include_usage: true, continuous_usage_stats: true })
  })

  it("has raw chunks on request", async () => {
    await using server = await serve(done)
    const raw = (await doStream(server, { includeRawChunks: true })).parts.filter(({ type }) => type === "raw")
    assert.lengthOf(raw, 4)
    expect(raw[1]).toMatchObject({ rawValue: { choices: [{ delta: { content: "ok" } }] } })
    assert.isEmpty((await doStream(server)).parts.filter(({ type }) => type === "raw"))
  })

  it("begins with its warnings and the head of the response", async () => {
    await using server = await serve(done)
    const { parts, request, response } = await doStream(server, { providerOptions: { paradigm: { n: 2 } } })
    expect(parts[0]).toMatchObject({ type: "stream-start", warnings: [{ type: "unsupported", feature: "providerOptions.paradigm.n" }] })
    assert.deepStrictEqual(parts[1], { type: "response-metadata", id: "chatcmpl-1", modelId: "m", timestamp: new Date(1_700_000_000_000) })
    assert.deepStrictEqual(request?.body, server.body(0))
    assert.strictEqual(response?.headers?.["x-request-id"], "r-1")
  })

  it("closes the connection when it is cancelled", async () => {
    await using server = await serve({ ...stream([{ content: "a" }], null, [""]), after: "hold" })
    const { stream: parts } = await modelOf(server).doStream({ prompt })
    await parts.cancel()
    await server.seen[0]?.closed
  })
})
