// What users of the AI SDK's functions see, over real sockets.
import { APICallError, type LanguageModelV4StreamPart } from "@ai-sdk/provider"
import {
  extractReasoningMiddleware,
  generateObject,
  generateText,
  isStepCount,
  NoObjectGeneratedError,
  Output,
  RetryError,
  streamObject,
  streamText,
  tool,
  ToolChoiceViolationError,
  wrapLanguageModel
} from "ai"
import { assert, describe, expect, it } from "vitest"
import { z } from "zod"
import { createParadigm, type ParadigmProviderSettings } from "../src/index.ts"
import { type Loopback, serve } from "./Loopback.ts"
import { call, choice, event, failure, type Reply, stream, whole } from "./Reply.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

const apiKey = "sk-pdgm/4f0c+9d1e=="

const modelOf = ({ baseUrl }: Loopback, settings: ParadigmProviderSettings = {}) => createParadigm({ apiKey, baseUrl, ...settings })("m")

const prompt = [{ role: "user" as const, content: [{ type: "text" as const, text: "go" }] }]

const used: Array<unknown> = []
const tools = {
  now: tool({ inputSchema: z.object({}), execute: (input) => (used.push(["now", input]), "12:00") }),
  read: tool({ inputSchema: z.object({ path: z.string() }), execute: (input) => (used.push(["read", input]), "text") })
}

/** Runs a stream with tools, in at most three steps, and collects what its user sees. */
const run = async (server: Loopback, options: Partial<Parameters<typeof streamText>[0]> = {}, settings: ParadigmProviderSettings = {}) => {
  used.length = 0
  const types: Array<string> = []
  const errors: Array<unknown> = []
  const ids: Array<string> = []
  let text = ""
  let reasoning = ""
  const result = streamText({
    model: modelOf(server, settings),
    prompt: "go",
    tools,
    stopWhen: isStepCount(3),
    maxRetries: 0,
    onError: () => {},
    ...(options as object)
  })
  let finish: { readonly finishReason: string; readonly rawFinishReason: string | undefined } | undefined
  for await (const part of result.fullStream) {
    types.push(part.type)
    if (part.type === "error") errors.push(part.error)
    if (part.type === "text-delta") text += part.text
    if (part.type === "reasoning-delta") reasoning += part.text
    if (part.type === "text-start" || part.type === "reasoning-start" || part.type === "tool-input-start") ids.push(part.id)
    if (part.type === "finish-step") finish ??= { finishReason: part.finishReason, rawFinishReason: part.rawFinishReason }
  }
  return { types, errors, ids, text, reasoning, finish, used: [...used], result }
}

const doStream = async (server: Loopback, options: object = {}, settings: ParadigmProviderSettings = {}) => {
  const result = await modelOf(server, settings).doStream({ prompt, ...options })
  const parts: Array<LanguageModelV4StreamPart> = []
  for await (const part of result.stream) parts.push(part)
  return { ...result, parts }
}

const done = stream([{ content: "ok" }])
const ofTypes = (types: ReadonlyArray<string>, prefix: string) => types.filter((type) => type.startsWith(prefix))

describe("a tool call in a stream", () => {
  it.each<[what: string, deltas: ReadonlyArray<Record<string, unknown>>, calls: ReadonlyArray<unknown>]>([
    ["without arguments", [call({ id: "c1", function: { name: "now" } })], [["now", {}]]],
    ["with empty arguments", [call({ id: "c1", function: { name: "now", arguments: "" } })], [["now", {}]]],
    ["with null arguments", [call({ id: "c1", function: { name: "now", arguments: null } })], [["now", {}]]],
    [
      "with arguments before its name",
      [call({ id: "c1", function: { arguments: '{"pa' } }), call({ function: { name: "read", arguments: 'th":"a"}' } })],
      [["read", { path: "a" }]]
    ],
    [
      "with an empty name before its name",
      [call({ id: "c1", function: { name: "", arguments: "" } }), call({ function: { name: "read", arguments: '{"path":"a"}' } })],
      [["read", { path: "a" }]]
    ],
    ["whose id is a number", [call({ id: 123, function: { name: "now", arguments: "{}" } })], [["now", {}]]],
    [
      "whose arguments are an object",
      [call({ id: "c1", function: { name: "read", arguments: { path: "a" } } })],
      [["read", { path: "a" }]]
    ],
    ["without an index", [{ tool_calls: [{ id: "c1", function: { name: "now", arguments: "{}" } }] }], [["now", {}]]],
    [
      "whose name is in every fragment",
      [call({ id: "c1", function: { name: "read", arguments: '{"path"' } }), call({ function: { name: "read", arguments: ':"a"}' } })],
      [["read", { path: "a" }]]
    ],
    [
      "that repeats its arguments",
      [call({ id: "c1", function: { name: "read", arguments: '{"path":"a"}' } }), call({ function: { arguments: '{"path":"a"}' } })],
      [["read", { path: "a" }]]
    ],
    [
      "in the legacy form",
      [{ function_call: { name: "read", arguments: '{"path":' } }, { function_call: { arguments: '"a"}' } }],
      [["read", { path: "a" }]]
    ],
    [
      "and another with the same index and another id",
      [
        call({ id: "c1", function: { name: "read", arguments: '{"path":"a"}' } }),
        call({ id: "c2", function: { name: "read", arguments: '{"path":"b"}' } })
      ],
      [
        ["read", { path: "a" }],
        ["read", { path: "b" }]
      ]
    ],
    [
      "and another with the same index and another name",
      [call({ function: { name: "read", arguments: '{"path":"a"}' } }), call({ function: { name: "now", arguments: "{}" } })],
      [
        ["read", { path: "a" }],
        ["now", {}]
      ]
    ],
    [
      "and another that interleaves",
      [
        call({ id: "c1", function: { name: "read", arguments: '{"path":' } }),
        call({ id: "c2", function: { name: "read", arguments: '{"path":' } }, 1),
        call({ function: { arguments: '"a"}' } }),
        call({ function: { arguments: '"b"}' } }, 1)
      ],
      [
        ["read", { path: "a" }],
        ["read", { path: "b" }]
      ]
    ],
    [
      "and another with the higher index first",
      [
        call({ id: "c2", function: { name: "now", arguments: "{}" } }, 1),
        call({ id: "c1", function: { name: "read", arguments: '{"path":"a"}' } }, 0)
      ],
      [
        ["read", { path: "a" }],
        ["now", {}]
      ]
    ]
  ])("%s runs the tool", async (_, deltas, calls) => {
    await using server = await serve(stream(deltas, "tool_calls"), done)
    const seen = await run(server)
    assert.deepStrictEqual(seen.errors, [])
    assert.deepStrictEqual(seen.used, calls)
    assert.strictEqual(seen.text, "ok")
    assert.lengthOf(server.seen, 2)
    const [assistant, ...results] = server.body(1).messages.slice(1)
    assert.deepStrictEqual(
      assistant.tool_calls.map(({ id }: { id: string }) => id),
      results.map(({ tool_call_id }: { tool_call_id: string }) => tool_call_id)
    )
    assert.lengthOf(ofTypes(seen.types, "tool-input-start"), calls.length)
    assert.lengthOf(ofTypes(seen.types, "tool-input-end"), calls.length)
  })

  it.each([[undefined], [""], [null]])("with the id %j gets one that no other step has", async (id) => {
    const step = stream([call({ id, function: { name: "now", arguments: "{}" } })], "tool_calls")
    await using server = await serve(step, step, done)
    const seen = await run(server)
    assert.strictEqual(seen.text, "ok")
    assert.lengthOf(seen.used, 2)
    const calls = server.body(2).messages.flatMap(({ tool_calls = [] }) => tool_calls)
    const results = server.body(2).messages.flatMap(({ tool_call_id = [] }) => tool_call_id)
    assert.lengthOf(new Set(results), 2)
    assert.deepStrictEqual(
      calls.map(({ id }: { id: string }) => id),
      results
    )
  })

  it("ends open text and reasoning first", async () => {
    await using server = await serve(
      stream([{ reasoning: "hm" }, { content: "so" }, call({ id: "c1", function: { name: "now", arguments: "{}" } })], "tool_calls")
    )
    const { parts } = await doStream(server)
    const types = parts.map(({ type }) => type)
    const expected =
      "stream-start response-metadata reasoning-start reasoning-delta reasoning-end text-start text-delta text-end tool-input-start tool-input-delta tool-input-end tool-call finish"
    assert.deepStrictEqual(types, expected.split(" "))
  })

  it("that never gets a name is one error that says so", async () => {
    await using server = await serve(stream([{ content: "a" }, call({ id: "c1", function: { arguments: "{}" } })], "tool_calls"))
    const seen = await run(server)
    assert.strictEqual(seen.text, "a")
    assert.lengthOf(seen.errors, 1)
    assert.match(String(seen.errors[0]), /name/)
    assert.deepStrictEqual(seen.used, [])
    assert.strictEqual(seen.finish?.finishReason, "error")
    assert.lengthOf(server.seen, 1)
  })

  it("cut off by max_tokens goes back as an object", async () => {
    await using server = await serve(stream([call({ id: "c1", function: { name: "read", arguments: '{"path": "a' } })], "length"), done)
    const seen = await run(server)
    assert.deepStrictEqual(seen.used, [])
    assert.strictEqual(seen.finish?.finishReason, "length")
    assert.strictEqual(server.body(1).messages[1].tool_calls[0].function.arguments, "{}")
  })
})

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

describe("an error", () => {
  const unavailable = { error: { message: "engine dead", type: "ServiceUnavailable", code: 503 } }

  it.each<[string, Reply]>([
    ["in place of the first chunk", { body: [unavailable, "[DONE]"].map(event) }],
    ["after the chunk with the role", { body: [choice({ role: "assistant", content: "" }), unavailable, "[DONE]"].map(event) }],
    ["in place of the stream", { headers: { "content-type": "application/json" }, body: [JSON.stringify(unavailable)] }],
    ["with its status", failure(503, unavailable)]
  ])("%s is retried by the AI SDK", async (_, reply) => {
    await using server = await serve({ ...reply, headers: { ...reply.headers, "retry-after-ms": "1" } }, done)
    const seen = await run(server, { maxRetries: 1 })
    assert.deepStrictEqual(seen.errors, [])
    assert.strictEqual(seen.text, "ok")
    assert.lengthOf(server.seen, 2)
  })

  it("is retried after the time that the server asks for", async () => {
    await using server = await serve(
      failure(429, { error: { message: "slow down" } }, { "retry-after-ms": "700", "retry-after": "30" }),
      whole({ content: "ok" })
    )
    const { text } = await generateText({ model: modelOf(server), prompt: "go", maxRetries: 1 })
    assert.strictEqual(text, "ok")
    assert.isAbove((server.seen[1]?.at ?? 0) - (server.seen[0]?.at ?? 0), 690)
  })

  it("that repeats ends in the AI SDK's RetryError with the last one", async () => {
    await using server = await serve(failure(503, unavailable, { "retry-after-ms": "1" }))
    const error = await generateText({ model: modelOf(server), prompt: "go", maxRetries: 1 }).catch((error: unknown) => error)
    assert.isTrue(RetryError.isInstance(error))
    expect(error).toMatchObject({ reason: "maxRetriesExceeded", lastError: { statusCode: 503 } })
    assert.lengthOf(server.seen, 2)
  })

  it("in the middle ends the open block, is an APICallError, and ends the stream", async () => {
    await using server = await serve(
      stream([{ content: "a" }], null, [{ error: { message: "engine dead", type: "InternalServerError", code: 500 } }, "[DONE]"])
    )
    const { parts } = await doStream(server)
    assert.deepStrictEqual(
      parts.slice(-4).map(({ type }) => type),
      ["text-delta", "text-end", "error", "finish"]
    )
    const part = parts.at(-2)
    const error: unknown = part?.type === "error" ? part.error : undefined
    assert.isTrue(APICallError.isInstance(error))
    expect(error).toMatchObject({
      statusCode: 500,
      message: expect.stringContaining("engine dead"),
      responseHeaders: { "x-request-id": "r-1" }
    })
    expect(parts.at(-1)).toMatchObject({ finishReason: { unified: "error" } })
  })

  it.each<[string, Reply, reason: string, unified: string]>([
    ["is cut off", { ...stream([{ content: "a" }], null, [""]) }, "StreamTruncated", "interrupted"],
    ["ends with [DONE] alone", stream([{ content: "a" }], null, ["[DONE]"]), "StreamTruncated", "interrupted"],
    ["breaks off", { ...stream([{ content: "a" }], null, [""]), after: "cut" }, "ConnectionLost", "interrupted"],
    ["is aborted by the server", stream([{ content: "a" }], "abort"), "Aborted", "interrupted"],
    ["has an event that is not JSON", stream([{ content: "a" }], null, ["{oops"]), "MalformedChunk", "error"],
    ["has a flat error", stream([{ content: "a" }], null, [{ object: "error", message: "dead", code: 500 }]), "StreamFault", "error"],
    ["has an error of a text", stream([{ content: "a" }], null, [{ error: "dead" }]), "StreamFault", "error"]
  ])("says that a stream %s", async (_, reply, reason, unified) => {
    await using server = await serve(reply)
    const seen = await run(server)
    assert.strictEqual(seen.text, "a")
    assert.lengthOf(seen.errors, 1)
    expect(seen.errors[0]).toMatchObject({ name: "AI_APICallError", data: { reason } })
    assert.strictEqual(seen.finish?.finishReason, unified)
    assert.lengthOf(server.seen, 1)
  })

  it("in the middle is not retryable, whatever its status", async () => {
    await using server = await serve(stream([{ content: "a" }], null, [unavailable, "[DONE]"]))
    const seen = await run(server, { maxRetries: 1 })
    expect(seen.errors).toMatchObject([{ statusCode: 503, isRetryable: false }])
    assert.lengthOf(server.seen, 1)
  })

  it("in a call ends its input, and runs no tool", async () => {
    await using server = await serve(stream([call({ id: "c1", function: { name: "now", arguments: "{}" } })], null, [""]))
    const seen = await run(server)
    assert.deepStrictEqual(seen.used, [])
    assert.deepStrictEqual(ofTypes(seen.types, "tool"), ["tool-input-start", "tool-input-delta", "tool-input-end"])
    assert.strictEqual(seen.finish?.finishReason, "interrupted")
  })
})

describe("an abort", () => {
  const holding = { ...stream([{ content: "a" }], null, [""]), after: "hold" as const }

  it("in a stream is an abort part and no error, and closes the connection", async () => {
    await using server = await serve(holding)
    const controller = new AbortController()
    let isCalled = false
    const types: Array<string> = []
    const { fullStream } = streamText({
      model: modelOf(server),
      prompt: "go",
      abortSignal: controller.signal,
      onAbort: () => void (isCalled = true),
      onError: () => {}
    })
    for await (const part of fullStream) {
      types.push(part.type)
      if (part.type === "text-delta") controller.abort()
    }
    assert.strictEqual(types.at(-1), "abort")
    assert.notInclude(types, "error")
    assert.isTrue(isCalled)
    await server.seen[0]?.closed
  })

  it("before the first output rejects with the signal's reason", async () => {
    await using server = await serve({ body: [event(choice({ role: "assistant", content: "" }))], after: "hold" })
    const controller = new AbortController()
    const reason = new Error("enough")
    const result = modelOf(server).doStream({ prompt, abortSignal: controller.signal })
    while (server.seen.length === 0) await new Promise((resolve) => setImmediate(resolve))
    controller.abort(reason)
    assert.strictEqual(await Promise.resolve(result).catch((error: unknown) => error), reason)
    await server.seen[0]?.closed
  })

  it("of a whole answer rejects with the caller's error, and closes the connection", async () => {
    await using server = await serve({ body: [], headers: { "content-type": "application/json" }, after: "hold" })
    const signal = AbortSignal.timeout(30)
    const error = await Promise.resolve(modelOf(server).doGenerate({ prompt, abortSignal: signal })).catch((error: unknown) => error)
    expect(error).toMatchObject({ name: "TimeoutError" })
    assert.strictEqual(error, signal.reason)
    await server.seen[0]?.closed
  })

  it("before the call sends nothing", async () => {
    await using server = await serve(whole({ content: "ok" }))
    const signal = AbortSignal.abort()
    const error = await Promise.resolve(modelOf(server).doGenerate({ prompt, abortSignal: signal })).catch((error: unknown) => error)
    expect(error).toMatchObject({ name: "AbortError" })
    assert.isEmpty(server.seen)
  })
})
