import { APICallError } from "@ai-sdk/provider"
import { reasons } from "@paradigm-effect/core/ParadigmError"
import { generateText } from "ai"
import { inspect } from "node:util"
import { afterEach, assert, describe, expect, it, vi } from "vitest"
import { createParadigm, type ParadigmFailure, type ParadigmProviderSettings, paradigmErrorData } from "../src/index.ts"
import { serve } from "./Loopback.ts"
import { failure, type Reply, whole } from "./Reply.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

const apiKey = "sk-pdgm/4f0c+9d1e=="

afterEach(() => void vi.unstubAllEnvs())

const fail = async (settings: ParadigmProviderSettings, options: object = {}): Promise<unknown> => {
  try {
    const { text } = await generateText({ model: createParadigm({ apiKey, ...settings })("m"), prompt: "go", maxRetries: 0, ...options })
    return `answered ${text}`
  } catch (error) {
    return error
  }
}

describe("an APICallError", () => {
  it.each<[reply: Reply, reason: ParadigmFailure, status: number, isRetryable: boolean]>([
    [failure(400, { error: { message: "no", type: "BadRequestError", param: "temperature", code: 400 } }), "RequestRejected", 400, false],
    [failure(401, { error: "Unauthorized" }), "Unauthorized", 401, false],
    [failure(402, {}), "QuotaExceeded", 402, false],
    [failure(403, {}), "Forbidden", 403, false],
    [failure(404, { error: { message: "The model `m` does not exist.", param: "model" } }), "ModelNotFound", 404, false],
    [failure(404, "not here"), "NotFound", 404, false],
    [failure(408, {}), "RequestRejected", 408, true],
    [failure(409, {}), "RequestRejected", 409, true],
    [failure(429, {}), "RateLimited", 429, true],
    [failure(429, { error: { message: "no money", code: "insufficient_quota" } }), "QuotaExceeded", 429, false],
    [failure(500, {}), "ServerFault", 500, false],
    [failure(502, "<html>bad gateway</html>"), "ServerFault", 502, true],
    [failure(503, ""), "ServerFault", 503, true],
    [failure(503, { error: "service_maintenance", detail: "Back at noon.", mode: "full_shutdown" }), "Maintenance", 503, false],
    [failure(504, {}), "ServerFault", 504, true],
    [failure(307, "", { location: "https://example.com/v1/chat/completions" }), "RedirectRefused", 307, false],
    [failure(200, "<html>welcome</html>", { "content-type": "text/html" }), "UnexpectedResponse", 200, false],
    [failure(200, { object: "list" }), "UnexpectedResponse", 200, false],
    [failure(200, { error: { message: "dead", code: 503 } }), "StreamFault", 503, true],
    [failure(200, { error: { message: "bad", code: 400 } }), "StreamFault", 400, false],
    [whole({ content: "He" }, "abort"), "Aborted", 200, true]
  ])("of %j is %s", async (reply, reason, statusCode, isRetryable) => {
    await using server = await serve(reply)
    const error = await fail({ baseUrl: server.baseUrl })
    assert.isTrue(APICallError.isInstance(error), String(error))
    expect(error).toMatchObject({
      statusCode,
      isRetryable,
      url: `${server.baseUrl}/chat/completions`,
      responseHeaders: { "x-request-id": "r-1" }
    })
    // The conversation does not belong into logs.
    assert.deepStrictEqual((error as APICallError).requestBodyValues, { model: "m" })
    expect(paradigmErrorData(error)).toMatchObject({ reason, requestId: "r-1" })
    if (reply.body[0] !== "" && reason !== "Aborted" && reason !== "RedirectRefused") {
      assert.strictEqual((error as APICallError).responseBody, reply.body[0])
    }
  })

  it("names the fields that FastAPI refuses", async () => {
    await using server = await serve(
      failure(422, { detail: [{ type: "literal_error", loc: ["body", "reasoning_effort"], msg: "Input should be low" }] })
    )
    const error = await fail({ baseUrl: server.baseUrl })
    assert.match(String(error), /reasoning_effort: Input should be low/)
    assert.deepStrictEqual(paradigmErrorData(error)?.fields, { reasoning_effort: ["Input should be low"] })
  })

  it("has the code, the type, the field, and the delay", async () => {
    const body = { error: { message: "slow", type: "rate", param: "model", code: "too_fast" } }
    await using server = await serve(failure(429, body, { "retry-after": "2" }))
    const error = await fail({ baseUrl: server.baseUrl })
    expect(paradigmErrorData(error)).toMatchObject({ code: "too_fast", type: "rate", param: "model", retryAfter: 2000 })
    expect(error).toMatchObject({ responseHeaders: { "retry-after": "2" } })
  })

  it("of a refused connection has the URL and no status", async () => {
    const server = await serve()
    await server[Symbol.asyncDispose]()
    const error = await fail({ baseUrl: server.baseUrl })
    expect(error).toMatchObject({ isRetryable: true, statusCode: undefined, data: { reason: "ConnectFailed" } })
    expect(error).toMatchObject({ url: `${server.baseUrl}/chat/completions`, responseHeaders: undefined })
  })

  it("of a connection that breaks before the response can be retried", async () => {
    await using server = await serve()
    const error = await fail({ baseUrl: server.baseUrl })
    expect(error).toMatchObject({ isRetryable: true, data: { reason: "ConnectionLost", phase: "headers" } })
  })

  it("of a limit names the stage", async () => {
    await using server = await serve({ body: [], headers: { "content-type": "application/json" }, after: "hold" })
    const error = await fail({ baseUrl: server.baseUrl, timeouts: { total: 30 } })
    expect(error).toMatchObject({ isRetryable: false, data: { reason: "Timeout", stage: "total" } })
  })

  it("of an exception of the application's fetch has it as its cause", async () => {
    const fetch = () => Promise.reject(new RangeError("odd"))
    const error = await fail({ baseUrl: "http://127.0.0.1:9", fetch })
    expect(error).toMatchObject({
      isRetryable: false,
      message: expect.stringContaining("RangeError: odd"),
      data: { reason: "TransportFailed" }
    })
  })

  it("does not have the key, also if the server returns it", async () => {
    await using server = await serve(failure(400, { error: { message: `Bearer ${apiKey}` } }, { "x-echo": `Bearer ${apiKey}` }))
    const error = await fail({ baseUrl: `${server.baseUrl}?api-key=${apiKey}` })
    assert.isTrue(APICallError.isInstance(error))
    for (const text of [inspect(error, { depth: Infinity, showHidden: true }), JSON.stringify(error), String(error)]) {
      assert.notInclude(text, "4f0c")
    }
    expect(error).toMatchObject({ responseHeaders: { "x-echo": "Bearer <redacted>" }, url: `${server.baseUrl}/chat/completions` })
  })
})

describe("a short key", () => {
  it("is masked where it is a credential, and changes no other header", async () => {
    await using server = await serve(failure(400, {}, { "x-echo": "Bearer 1", "x-count": "101" }))
    const error = await fail({ apiKey: "1", baseUrl: server.baseUrl })
    expect(error).toMatchObject({ responseHeaders: { "x-echo": "Bearer <redacted>", "x-count": "101" } })
  })
})

describe("an error before the request", () => {
  it("of a missing key is a LoadAPIKeyError that names the variables", async () => {
    for (const name of ["PARADIGM_API_KEY", "LIGHTON_API_KEY"]) vi.stubEnv(name, undefined)
    const error = await fail({ apiKey: undefined, baseUrl: "http://127.0.0.1:9" })
    expect(error).toMatchObject({ name: "AI_LoadAPIKeyError", message: expect.stringMatching(/PARADIGM_API_KEY.*LIGHTON_API_KEY/) })
  })

  it.each([[""], ["a key"], [() => Promise.reject(new Error("vault is down"))], [() => ""]])(
    "of the key %s is a LoadAPIKeyError",
    async (apiKey) => {
      expect(await fail({ apiKey, baseUrl: "http://127.0.0.1:9" })).toMatchObject({ name: "AI_LoadAPIKeyError" })
    }
  )

  it("of a header that the client sets names it", async () => {
    const error = await fail({ baseUrl: "http://127.0.0.1:9" }, { headers: { authorization: "Basic x" } })
    expect(error).toMatchObject({ name: "AI_InvalidArgumentError", message: expect.stringContaining("from apiKey") })
  })
})

describe("paradigmErrorData", () => {
  it("of another error is undefined", () => {
    for (const other of [
      new Error("x"),
      undefined,
      new APICallError({ message: "x", url: "", requestBodyValues: {}, data: { reason: "x" } })
    ]) {
      assert.isUndefined(paradigmErrorData(other))
    }
  })

  it("has a name for every reason of a request that was sent", () => {
    const names: Readonly<Record<ParadigmFailure, true>> = {
      ConnectFailed: true,
      TlsFailed: true,
      Timeout: true,
      ConnectionLost: true,
      TransportFailed: true,
      RedirectRefused: true,
      Unauthorized: true,
      Forbidden: true,
      ModelNotFound: true,
      NotFound: true,
      QuotaExceeded: true,
      RequestRejected: true,
      RateLimited: true,
      Maintenance: true,
      ServerFault: true,
      UnexpectedResponse: true,
      StreamTruncated: true,
      StreamFault: true,
      Aborted: true,
      MalformedChunk: true,
      AnswerMismatch: true,
      Closed: true
    }
    assert.deepStrictEqual([...Object.keys(names), "InvalidConfiguration", "InvalidRequest"].toSorted(), reasons.toSorted())
  })
})
