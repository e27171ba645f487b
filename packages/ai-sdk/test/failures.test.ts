// Failed, broken and aborted calls, as users of the AI SDK's functions see them.
import { APICallError } from "@ai-sdk/provider"
import { generateText, RetryError, streamText } from "ai"
import { assert, describe, expect, it } from "vitest"
import { serve } from "./Loopback.ts"
import { call, choice, event, failure, type Reply, stream, whole } from "./Reply.ts"
import { modelOf, prompt, run, doStream, done, ofTypes } from "./Runs.ts"

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
