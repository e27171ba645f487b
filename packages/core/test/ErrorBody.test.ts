import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as ErrorBody from "../src/ErrorBody.ts"
import type { ParadigmErrorReason } from "../src/ParadigmError.ts"

const now = Date.UTC(2030, 0, 1)
const url = new URL("https://host.example/v1/chat/completions?sig=s3cret")

const reasonOf = (status: number, body: unknown, headers: Record<string, string> = {}): ParadigmErrorReason =>
  ErrorBody.toReason({ status, headers, body: typeof body === "string" ? body : JSON.stringify(body), model: "alfred", url, now })

const json = (value: unknown): Record<string, unknown> => JSON.parse(JSON.stringify(value))

const assertMatches = (actual: ParadigmErrorReason | undefined, expected: Record<string, unknown>) => {
  const pairs = Object.keys(expected).map((key) => [key, actual === undefined ? undefined : Reflect.get(actual, key)])
  assert.deepStrictEqual(Object.fromEntries(pairs), expected)
}

type Case = readonly [
  name: string,
  status: number,
  body: unknown,
  expected: Record<string, unknown> & { readonly _tag: ParadigmErrorReason["_tag"] }
]

const cases: ReadonlyArray<Case> = [
  [
    "v3 envelope",
    400,
    { id: null, code: 400, error: "bad_request", detail: "Bad things", doc_url: "https://docs.example.com/errors#bad_request" },
    { _tag: "RequestRejected", status: 400, detail: "Bad things", fields: {} }
  ],
  ["v3 envelope, unauthorized", 401, { id: null, code: 401, error: "unauthorized", detail: "No" }, { _tag: "Unauthorized", detail: "No" }],
  ["v3 envelope, forbidden", 403, { id: null, code: 403, error: "forbidden", detail: "No" }, { _tag: "Forbidden", detail: "No" }],
  [
    "v3 envelope, unknown model",
    404,
    { id: null, code: 404, error: "not_found", detail: "Model not found" },
    { _tag: "ModelNotFound", status: 404, detail: "Model not found", model: "alfred" }
  ],
  ["v3 envelope without detail", 400, { id: null, code: 400, error: "bad_request" }, { _tag: "RequestRejected", detail: "bad_request" }],
  ["v3 envelope with a null detail", 400, { error: "bad_request", detail: null }, { _tag: "RequestRejected", detail: "bad_request" }],
  [
    "v3 envelope of a failure",
    500,
    { id: "r-1", code: 500, error: "internal_server_error", detail: "Oh" },
    { _tag: "ServerFault", status: 500, detail: "Oh", isRetryable: false }
  ],
  [
    "v3 validation",
    422,
    {
      id: null,
      code: 422,
      error: "validation_error",
      detail: "Invalid input",
      fields: {
        model: [{ error: "required", detail: "This field is required." }],
        n: [
          { error: "min_value", detail: "Too small." },
          { error: "odd", detail: "Odd." }
        ]
      }
    },
    {
      _tag: "RequestRejected",
      status: 422,
      detail: "Invalid input",
      fields: { model: ["This field is required."], n: ["Too small.", "Odd."] }
    }
  ],
  [
    "v3 validation, nested",
    422,
    {
      error: "validation_error",
      detail: "Invalid input",
      fields: { messages: { "1": { role: [{ error: "required", detail: "This field is required." }] } } }
    },
    { _tag: "RequestRejected", fields: { "messages[1].role": ["This field is required."] } }
  ],
  [
    "v3 validation with texts only",
    422,
    { error: "validation_error", detail: "Invalid input", fields: { model: [{ error: "required" }] } },
    { _tag: "RequestRejected", fields: { model: ["required"] } }
  ],
  [
    "v3 validation, some with details",
    422,
    { error: "validation_error", fields: { n: [{ error: "min_value", detail: "Too small." }, { error: "odd" }] } },
    { _tag: "RequestRejected", detail: "validation_error", fields: { n: ["Too small.", "odd"] } }
  ],
  [
    "maintenance, full shutdown",
    503,
    {
      detail: "Service unavailable",
      error: "service_maintenance",
      mode: "full_shutdown",
      reason: "Upgrade of the disks",
      started_at: "2026-01-02T03:04:05Z",
      endpoint_category_names: ["chat"]
    },
    {
      _tag: "Maintenance",
      status: 503,
      detail: "Upgrade of the disks",
      mode: "full_shutdown",
      startedAt: "2026-01-02T03:04:05Z",
      isRetryable: false
    }
  ],
  [
    "maintenance, bare",
    503,
    { error: "service_maintenance", detail: "Down", mode: "warning_banner", reason: "", started_at: null },
    { _tag: "Maintenance", detail: "Down", mode: "warning_banner", startedAt: undefined, isRetryable: false }
  ],
  ["v2, error and code", 403, { error: "No access to this model", code: 403 }, { _tag: "Forbidden", detail: "No access to this model" }],
  [
    "v2, not found",
    404,
    { code: 404, error: "not_found", detail: "No such path" },
    { _tag: "NotFound", code: "not_found", detail: "No such path" }
  ],
  [
    "DRF, authentication",
    401,
    { detail: "Invalid token." },
    { _tag: "Unauthorized", status: 401, detail: "Invalid token.", isRetryable: false }
  ],
  ["DRF, permission", 403, { detail: "Not permitted." }, { _tag: "Forbidden", status: 403, detail: "Not permitted.", isRetryable: false }],
  [
    "DRF, method",
    405,
    { detail: 'Method "GET" not allowed.' },
    { _tag: "RequestRejected", status: 405, detail: 'Method "GET" not allowed.' }
  ],
  ["DRF, accept", 406, { detail: "Could not satisfy the request Accept header." }, { _tag: "RequestRejected", status: 406 }],
  ["DRF, content type", 415, { detail: 'Unsupported media type "text/plain" in request.' }, { _tag: "RequestRejected", status: 415 }],
  ["DRF, malformed JSON", 400, { detail: "JSON parse error - x" }, { _tag: "RequestRejected", detail: "JSON parse error - x", fields: {} }],
  [
    "DRF, throttled",
    429,
    { detail: "Request was throttled. Expected available in 7 seconds." },
    { _tag: "RateLimited", status: 429, detail: "Request was throttled. Expected available in 7 seconds.", isRetryable: true }
  ],
  ["DRF, list of details", 400, { detail: ["One.", "Two."] }, { _tag: "RequestRejected", detail: "One. Two.", fields: {} }],
  ["DRF, list", 400, ["One.", "Two."], { _tag: "RequestRejected", detail: "One. Two.", fields: {} }],
  [
    "DRF validation",
    400,
    { model: ["This field is required."], messages: ["Empty.", "Wrong."] },
    {
      _tag: "RequestRejected",
      status: 400,
      detail: undefined,
      fields: { model: ["This field is required."], messages: ["Empty.", "Wrong."] },
      isRetryable: false
    }
  ],
  [
    "DRF validation by index",
    400,
    { messages: { "1": { role: ["Wrong."] } } },
    { _tag: "RequestRejected", fields: { "messages[1].role": ["Wrong."] } }
  ],
  [
    "DRF validation by position",
    400,
    { messages: [{}, { role: ["Wrong."], content: { parts: ["Empty."] } }] },
    { _tag: "RequestRejected", fields: { "messages[1].role": ["Wrong."], "messages[1].content.parts": ["Empty."] } }
  ],
  [
    "DRF validation of all together",
    400,
    { non_field_errors: ["Either, or.", "Not both."], stop: ["Too many."] },
    { _tag: "RequestRejected", detail: "Either, or. Not both.", fields: { stop: ["Too many."] } }
  ],
  [
    "vLLM, bad request",
    400,
    { error: { message: "top_p must be in (0, 1]", type: "BadRequestError", param: "top_p", code: 400 } },
    { _tag: "RequestRejected", status: 400, detail: "top_p must be in (0, 1]", fields: {} }
  ],
  [
    "vLLM, unknown model",
    404,
    { error: { message: "The model `x` does not exist.", type: "NotFoundError", param: "model", code: 404 } },
    { _tag: "ModelNotFound", detail: "The model `x` does not exist.", model: "alfred" }
  ],
  [
    "vLLM, flat",
    400,
    { object: "error", message: "Too long", type: "BadRequestError", param: null, code: 400 },
    { _tag: "RequestRejected", detail: "Too long", fields: {} }
  ],
  ["vLLM, bad key", 401, { error: "Unauthorized" }, { _tag: "Unauthorized", detail: "Unauthorized" }],
  [
    "vLLM, queue full",
    503,
    { error: { message: "Queue full", type: "ServiceUnavailable", code: 503 } },
    { _tag: "ServerFault", isRetryable: true }
  ],
  [
    "vLLM, internal",
    500,
    { error: { message: "boom", type: "InternalServerError", param: null, code: 500 } },
    { _tag: "ServerFault", status: 500, detail: "boom", isRetryable: false }
  ],
  [
    "OpenAI, code is a string",
    429,
    { error: { message: "Slow down", type: "requests", code: "rate_limit_exceeded" } },
    { _tag: "RateLimited", detail: "Slow down" }
  ],
  ["OpenAI, message is null", 500, { error: { message: null, type: null } }, { _tag: "ServerFault", detail: undefined }],
  [
    "FastAPI",
    422,
    {
      detail: [
        { loc: ["body", "messages", 0, "role"], msg: "Field required", type: "missing" },
        { loc: ["body", "n"], msg: "Too small", type: "greater_than" },
        { loc: ["body", "n"], msg: "Odd", type: "odd" },
        { loc: ["body"], msg: "Not an object", type: "dict" }
      ]
    },
    {
      _tag: "RequestRejected",
      status: 422,
      fields: { "messages[0].role": ["Field required"], n: ["Too small", "Odd"], "": ["Not an object"] }
    }
  ],
  [
    "FastAPI, field named like a method",
    422,
    { detail: ["constructor", "toString", "hasOwnProperty", "valueOf"].map((name) => ({ loc: ["body", name], msg: "No" })) },
    { _tag: "RequestRejected", fields: { constructor: ["No"], toString: ["No"], hasOwnProperty: ["No"], valueOf: ["No"] } }
  ],
  ["FastAPI, one message", 400, { detail: "There was an error parsing the body" }, { _tag: "RequestRejected", fields: {} }],
  [
    "problem details",
    400,
    { type: "about:blank", title: "Bad Request", status: 400, detail: "Wrong" },
    { _tag: "RequestRejected", detail: "Wrong", fields: {} }
  ],
  [
    "HTML",
    502,
    "<!DOCTYPE html><html><h1>502 Bad Gateway</h1></html>",
    { _tag: "ServerFault", status: 502, detail: undefined, isRetryable: true }
  ],
  ["HTML after blanks", 504, "\r\n\t <html></html>", { _tag: "ServerFault", status: 504, detail: undefined, isRetryable: true }],
  [
    "plain text",
    503,
    "upstream connect error\n",
    { _tag: "ServerFault", status: 503, detail: "upstream connect error", isRetryable: true }
  ],
  ["a JSON string", 500, '"no luck"', { _tag: "ServerFault", detail: "no luck" }],
  ["empty", 500, "", { _tag: "ServerFault", status: 500, detail: undefined, excerpt: "" }],
  ["blank", 400, " \n ", { _tag: "RequestRejected", detail: undefined, fields: {} }],
  ["empty object", 400, {}, { _tag: "RequestRejected", detail: undefined, fields: {} }],
  ["empty list", 400, [], { _tag: "RequestRejected", fields: {} }],
  ["null", 400, "null", { _tag: "RequestRejected", fields: {} }],
  ["a number", 400, "42", { _tag: "RequestRejected", fields: {} }],
  ["a body that broke off", 400, '{"detail":"Too lo', { _tag: "RequestRejected", excerpt: '{"detail":"Too lo' }],
  ["payment", 402, { detail: "Pay" }, { _tag: "QuotaExceeded", status: 402, isRetryable: false }],
  ["request timeout", 408, "", { _tag: "RequestRejected", status: 408, isRetryable: true }],
  ["conflict", 409, "", { _tag: "RequestRejected", status: 409, isRetryable: true }],
  ["too large", 413, "", { _tag: "RequestRejected", status: 413, isRetryable: false }],
  ["unknown 4xx", 418, "", { _tag: "RequestRejected", status: 418, isRetryable: false }],
  ["validation", 422, "", { _tag: "RequestRejected", status: 422, isRetryable: false }],
  ["not implemented", 501, "", { _tag: "ServerFault", status: 501, isRetryable: false }],
  ["bad gateway", 502, "", { _tag: "ServerFault", status: 502, isRetryable: true }],
  ["overloaded", 529, "", { _tag: "ServerFault", status: 529 }],
  ["unknown 5xx", 599, "", { _tag: "ServerFault", status: 599 }]
]

describe("toReason", () => {
  it.each(cases)("%s (%i)", (_, status, body, expected) => {
    const reason = reasonOf(status, body)
    assertMatches(reason, expected)
    assert.strictEqual("status" in reason ? reason.status : undefined, status)
    assert.strictEqual("excerpt" in reason ? reason.excerpt : undefined, typeof body === "string" ? body : JSON.stringify(body))
  })

  it("keeps a field named __proto__ and changes no prototype", () => {
    const reason = reasonOf(400, '{"__proto__":["No."],"model":["Bad."]}')
    assert.deepStrictEqual(json(reason)["fields"], JSON.parse('{"__proto__":["No."],"model":["Bad."]}'))
    assert.notProperty({}, "model")
  })

  it("quotes at most 4096 characters of a body, and at most 500 in the message", () => {
    const long = "x".repeat(60_000)
    for (const body of [long, `<html>${long}`, { a: long }, { detail: long }, { error: { message: long } }, { detail: [long] }]) {
      const reason = reasonOf(500, body)
      assert.isAtMost("excerpt" in reason ? (reason.excerpt?.length ?? Number.NaN) : Number.NaN, 4096)
      assert.isAtMost(reason.message.length, 1000)
    }
  })

  it("has the delay of retry-after", () => {
    for (const status of [429, 503]) {
      const reason = reasonOf(status, "", { "retry-after": "7" })
      assert.strictEqual("retryAfter" in reason && reason.retryAfter !== undefined && Duration.toMillis(reason.retryAfter), 7000)
    }
    assert.include(reasonOf(429, "", { "retry-after": "7" }).message, "7s")
    assert.isUndefined(json(reasonOf(429, ""))["retryAfter"])
  })
})

const fields = (reason: ParadigmErrorReason) => {
  const { code, docUrl, param, type } = json(reason)
  return { code, type, param, docUrl }
}

describe("code, type, param and docUrl", () => {
  const none = { code: undefined, type: undefined, param: undefined, docUrl: undefined }
  const docUrl = "https://docs.example.com/errors#bad_request"

  it.each<[string, unknown, Partial<typeof none> | Record<string, string>]>([
    ["v3 envelope", { id: null, code: 400, error: "bad_request", detail: "Bad things", doc_url: docUrl }, { code: "bad_request", docUrl }],
    ["v3 envelope without error", { code: 400, detail: "Bad things" }, { code: "400" }],
    ["v3 envelope with null", { code: null, error: null, detail: "Bad things", doc_url: null }, {}],
    ["v2 with a sentence", { error: "No access to this", code: 403 }, { code: "403" }],
    ["v2 with a code", { error: "Unauthorized" }, { code: "Unauthorized" }],
    [
      "OpenAI",
      { error: { message: "Too long", type: "invalid_request_error", param: "messages", code: "context_length_exceeded" } },
      { code: "context_length_exceeded", type: "invalid_request_error", param: "messages" }
    ],
    [
      "vLLM",
      { error: { message: "Odd", type: "Bad Request", param: "body.temperature", code: 400 } },
      { code: "400", type: "Bad Request", param: "body.temperature" }
    ],
    ["LiteLLM", { error: { message: "Odd", type: null, param: null, code: "400" } }, { code: "400" }],
    [
      "vLLM, flat",
      { object: "error", message: "Odd", type: "BadRequestError", param: null, code: 400 },
      { code: "400", type: "BadRequestError" }
    ],
    ["the members beside a nested error", { error: { message: "Odd" }, code: 7, doc_url: docUrl }, { code: "7", docUrl }],
    ["FastAPI with an object", { detail: { error: "quota_low", message: "Odd", code: "Q1" } }, { code: "quota_low" }],
    ["members of other types", { error: { message: "Odd", type: 1, param: ["x"], code: {} }, doc_url: 5 }, {}],
    ["DRF", { detail: "Odd" }, {}],
    ["no JSON", "Odd", {}]
  ])("%s", (_, body, expected) => {
    for (const status of [400, 401, 402, 403, 404, 418, 429, 500, 503]) {
      assert.deepStrictEqual(fields(reasonOf(status, body)), { ...none, ...expected })
    }
    if (typeof body === "string") return
    const fault = ErrorBody.fromEvent(body, "", "error")
    assert(fault !== undefined)
    assert.deepStrictEqual(fields(fault), { ...none, ...expected })
  })

  it("are members of Maintenance", () => {
    const body = { detail: "Down", error: "service_maintenance", doc_url: docUrl }
    assert.deepStrictEqual(fields(reasonOf(503, body)), { ...none, code: "service_maintenance", docUrl })
  })

  it("are read from the error of a choice", () => {
    const choice = { index: 0, delta: {}, error: { message: "boom", code: "E1", type: "t", param: "p" } }
    const fault = ErrorBody.fromEvent({ choices: [choice] }, "")
    assert(fault !== undefined)
    assert.deepStrictEqual(fields(fault), { ...none, code: "E1", type: "t", param: "p" })
  })
})

describe("404", () => {
  it.each<[string, unknown]>([
    ["vLLM", { error: { message: "The model `nope` does not exist.", type: "NotFoundError", param: "model", code: 404 } }],
    ["vLLM, without param", { error: { message: "The model `nope` does not exist.", type: "NotFoundError", param: null, code: 404 } }],
    ["vLLM, flat", { object: "error", message: "The model `nope` does not exist.", type: "NotFoundError", param: null, code: 404 }],
    ["Ollama", { error: { message: "model 'nope' not found", type: "not_found_error", param: null, code: null } }],
    ["OpenAI", { error: { message: "It is gone", type: "invalid_request_error", param: null, code: "model_not_found" } }],
    ["Azure", { error: { code: "DeploymentNotFound", message: "The API deployment for this resource does not exist." } }],
    ["OpenRouter, which names it", { error: { message: "No endpoints found for alfred.", code: 404 } }],
    ["Paradigm v3", { code: 404, error: "not_found", detail: "Model not found." }],
    ["param alone", { error: { message: "Unknown value", param: "body.model" } }],
    ["a JSON string", '"no such model"']
  ])("is about the model: %s", (_, body) => {
    assertMatches(reasonOf(404, body), { _tag: "ModelNotFound", model: "alfred" })
  })

  it.each<[string, unknown]>([
    ["FastAPI", { detail: "Not Found" }],
    ["DRF", { detail: "Not found." }],
    ["Paradigm, another path", { code: 404, error: "not_found", detail: "No such path" }],
    ["llama.cpp", { error: { message: "File Not Found", type: "not_found_error", code: 404 } }],
    ["Ollama, a path", "404 page not found"],
    ["nginx", "<html><head><title>404 Not Found</title></head><body>The model</body></html>"],
    ["OpenAI, a path", { error: { message: "Invalid URL (POST /v1/models/chat)", code: "unknown_url", param: null } }],
    ["text about models", "no route to the model server"],
    ["mlx-lm, an image", { error: "Only 'text' content type is supported." }],
    ["mlx-lm, no message", { error: "Cannot apply chat template to an empty conversation. Provide at least one message." }],
    ["a path that contains models", { detail: "No route /models/chat/completions" }],
    ["empty", ""],
    ["empty object", {}],
    ["null", "null"]
  ])("is about the URL: %s", (_, body) => {
    const reason = reasonOf(404, body)
    assertMatches(reason, { _tag: "NotFound", url: "https://host.example/v1/chat/completions" })
    assert.match(reason.message, /https:\/\/host\.example\/v1\/chat\/completions \(404\).*check baseUrl/)
    assert.notInclude(JSON.stringify(reason), "s3cret")
  })

  it("is not required for ModelNotFound if the code is model_not_found, except for errors of the key, the rate or the server", () => {
    const body = { error: { message: "Nope", code: "model_not_found" } }
    assert.strictEqual(reasonOf(400, body)._tag, "ModelNotFound")
    for (const [status, tag] of [
      [401, "Unauthorized"],
      [403, "Forbidden"],
      [429, "RateLimited"],
      [503, "ServerFault"]
    ] as const) {
      assert.strictEqual(reasonOf(status, body)._tag, tag)
    }
  })

  it("quotes at most 200 characters of the model", () => {
    const reason = ErrorBody.toReason({ status: 404, headers: {}, body: '{"detail":"no model"}', model: "m".repeat(9999), url, now })
    assert.isAtMost(reason.message.length, 400)
  })
})

describe("a used-up quota", () => {
  it.each<[number, unknown]>([
    [402, ""],
    [402, { error: { message: "Insufficient Balance", code: "invalid_request_error" } }],
    [429, { error: { message: "You exceeded your current quota", type: "insufficient_quota", param: null, code: "insufficient_quota" } }],
    [429, { error: { message: "No", type: "insufficient_quota", code: null } }],
    [429, { error: { message: "No", type: "x", code: "billing_hard_limit_reached" } }],
    [429, { error: "insufficient_quota", detail: "No" }]
  ])("is not retried: %i %j", (status, body) => {
    assertMatches(reasonOf(status, body, { "retry-after": "1" }), { _tag: "QuotaExceeded", status, isRetryable: false })
  })

  it.each([{ error: { message: "insufficient_quota", code: "rate_limit_exceeded" } }, { detail: "insufficient_quota" }, ""])(
    "needs a code or type: %j",
    (body) => {
      assert.strictEqual(reasonOf(429, body)._tag, "RateLimited")
    }
  )
})

describe("requestId", () => {
  it.each<[Record<string, string>, string | undefined]>([
    [{}, undefined],
    [{ "x-request-id": "a" }, "a"],
    [{ "request-id": "a" }, "a"],
    [{ "apim-request-id": "a" }, "a"],
    [{ "x-litellm-call-id": "a" }, "a"],
    [{ "x-litellm-call-id": "b", "x-request-id": "a" }, "a"],
    [{ "x-litellm-call-id": "b", "x-request-id": "" }, "b"]
  ])("of %j", (headers, id) => {
    assert.strictEqual(ErrorBody.requestId(headers), id)
  })

  it("has at most 500 characters", () => {
    assert.strictEqual(ErrorBody.requestId({ "x-request-id": "a".repeat(9999) })?.length, 500)
  })
})

// A long path with thousands of members: 56 KB blocked the process for a minute, because V8 hashes long strings by their length alone.
describe("a body of long paths and many problems", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`)
  const members = (count: number) => Object.fromEntries(names(count).map((name) => [name, "x"]))
  const nested = (depth: number, leaf: unknown): unknown => (depth === 0 ? leaf : { ["k".repeat(1000)]: nested(depth - 1, leaf) })
  const long = "k".repeat(16_400)

  const kinds: ReadonlyArray<readonly [string, (count: number) => unknown]> = [
    ["a long name", (count) => ({ [long]: members(count) })],
    ["a long name in a v3 envelope", (count) => ({ error: "validation_error", detail: "x", fields: { [long]: members(count) } })],
    ["a long name in a nested error", (count) => ({ error: { message: "x", fields: { [long]: members(count) } } })],
    ["long names inside one another", (count) => nested(14, members(count))],
    ["a list of problems", (count) => ({ [long]: names(count) })],
    ["lists of objects", (count) => ({ [long]: names(count).map((name) => ({ [name]: ["x"] })) })],
    ["FastAPI", (count) => ({ detail: names(count).map((name) => ({ loc: ["body", long, name], msg: "x" })) })],
    ["FastAPI with long messages", (count) => ({ detail: names(count).map((name) => ({ loc: ["body", name], msg: long })) })],
    ["many short names", (count) => members(count)]
  ]

  it.each(kinds)("lists at most 20 of them, by paths of at most 200 characters, and counts the rest: %s", (_, body) => {
    const reason = reasonOf(422, body(4000))
    assert(reason._tag === "RequestRejected")
    const { "…": rest, ...listed } = reason.fields
    assert.strictEqual(Object.values(listed).flat().length, 20)
    assert.deepStrictEqual(rest, ["3980 more"])
    for (const [path, problems] of Object.entries(listed)) {
      assert.isAtMost(path.length, 200)
      for (const problem of problems) assert.isAtMost(problem.length, 300)
    }
    assert.isAtMost(reason.message.length, 20 * 520)
  })

  it.each(kinds)("takes time in proportion to their number: %s", (_, body) => {
    const millis = (count: number) => {
      const text = JSON.stringify(body(count))
      const times = Array.from({ length: 5 }, () => {
        const start = performance.now()
        reasonOf(422, text)
        return performance.now() - start
      })
      return Math.min(...times)
    }
    millis(100)
    // Eight times as many problems would take 64 times as long if each was compared with each other. Repeated, because load disturbs a measurement.
    let ratio = Infinity
    for (let i = 0; i < 5 && ratio >= 30; i++) ratio = millis(4000) / Math.max(millis(500), 0.2)
    assert.isBelow(ratio, 30)
  })
})

describe("retryAfter", () => {
  const minute = 60_000
  it.each<[string, Record<string, string>, number | undefined]>([
    ["no header", {}, undefined],
    ["seconds", { "retry-after": "120" }, 120_000],
    ["zero", { "retry-after": "0" }, 0],
    ["fraction of a second", { "retry-after": "1.5" }, 1500],
    ["date", { "retry-after": "Tue, 01 Jan 2030 00:01:00 GMT" }, minute],
    ["date that has passed", { "retry-after": "Mon, 31 Dec 2029 23:59:00 GMT" }, 0],
    ["date in the second old form", { "retry-after": "Tuesday, 01-Jan-30 00:01:00 GMT" }, minute],
    ["date in the third old form", { "retry-after": "Tue Jan  1 00:01:00 2030" }, minute],
    ["milliseconds", { "retry-after-ms": "250" }, 250],
    ["seconds of the provider, from LiteLLM", { "llm_provider-retry-after": "7" }, 7000],
    ["seconds of the provider and of the proxy", { "llm_provider-retry-after": "7", "retry-after": "9" }, 9000],
    ["text of the provider", { "llm_provider-retry-after": "soon" }, undefined],
    ["fraction of a millisecond", { "retry-after-ms": "2.5" }, 2.5],
    ["milliseconds and seconds", { "retry-after-ms": "250", "retry-after": "9" }, 250],
    ["broken milliseconds and seconds", { "retry-after-ms": "soon", "retry-after": "9" }, 9000],
    ["negative seconds", { "retry-after": "-5" }, undefined],
    ["negative milliseconds", { "retry-after-ms": "-5" }, undefined],
    ["empty", { "retry-after": "" }, undefined],
    ["text", { "retry-after": "soon" }, undefined],
    ["text that a lenient parser reads as a date", { "retry-after": "try again in 5" }, undefined],
    ["text and number", { "retry-after": "foo 1" }, undefined],
    ["two values", { "retry-after": "5, 6" }, undefined],
    ["exponent", { "retry-after": "1e3" }, undefined],
    ["hexadecimal", { "retry-after": "0x10" }, undefined],
    ["infinity", { "retry-after": "Infinity" }, undefined],
    ["invalid date", { "retry-after": "Tue, 99 Foo 2030 99:99:99 GMT" }, undefined],
    ["unit", { "retry-after": "5s" }, undefined]
  ])("%s", (_, headers, expected) => {
    const wait = ErrorBody.retryAfter(headers, now)
    assert.strictEqual(wait === undefined ? undefined : Duration.toMillis(wait), expected)
  })

  it("reads a date as GMT in any time zone", () => {
    const zone = process.env["TZ"]
    process.env["TZ"] = "America/New_York"
    try {
      for (const date of ["Tue, 01 Jan 2030 00:01:00 GMT", "Tue Jan  1 00:01:00 2030"]) {
        const wait = ErrorBody.retryAfter({ "retry-after": date }, now)
        assert.strictEqual(wait === undefined ? undefined : Duration.toMillis(wait), minute)
      }
    } finally {
      if (zone === undefined) delete process.env["TZ"]
      else process.env["TZ"] = zone
    }
  })
})

describe("fromEvent", () => {
  it.each<[unknown, string, string | undefined]>([
    [{ errors: [{ message: "quota" }] }, "quota", undefined],
    [{ errors: ["quota"] }, "quota", "quota"],
    [{ status: "error", message: "boom" }, "boom", undefined],
    [{ base_resp: { status_code: 1008, status_msg: "insufficient balance" } }, "insufficient balance", "1008"],
    [{ base_resp: { status_code: 1008, status_msg: "insufficient balance" }, choices: null }, "insufficient balance", "1008"],
    [{ code: 1301, message: "sensitive" }, "sensitive", "1301"],
    [{ error: {} }, "the server did not say what", undefined]
  ])("reads the words of %j", (value, detail, code) => {
    const fault = ErrorBody.fromEvent(value, JSON.stringify(value))
    assert.deepStrictEqual([fault?.detail, fault?.code], [detail, code])
  })

  it.each<unknown>([
    { error: "", usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } },
    { error: {}, usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } },
    { error: false },
    { error: false, choices: [] },
    { error: {}, choices: [] },
    { error: "", choices: [] },
    { errors: [], choices: [] },
    { base_resp: { status_code: 0, status_msg: "" }, choices: [] },
    { code: 0, message: "ok" },
    { code: 200, message: "ok" }
  ])("reads no error in %j", (value) => {
    assert.isUndefined(ErrorBody.fromEvent(value, JSON.stringify(value)))
  })

  it("reads an unescaped error with thousands of spaces within a second", () => {
    const start = performance.now()
    assert.isDefined(ErrorBody.fromText(`{"error": "a${" ".repeat(100_000)}"b"`))
    assert.isBelow(performance.now() - start, 1000)
  })

  const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [] }

  it.each<[string, string, string | undefined, Record<string, unknown>]>([
    [
      "nested",
      '{"error":{"message":"boom","type":"InternalServerError","param":null,"code":500}}',
      undefined,
      { detail: "boom", type: "InternalServerError", status: 500 }
    ],
    ["nested, code as a text", '{"error":{"message":"boom","code":"400"}}', undefined, { detail: "boom", status: 400 }],
    ["nested, code as a string", '{"error":{"message":"boom","code":"context_length"}}', undefined, { detail: "boom", status: undefined }],
    ["nested, code that is no error status", '{"error":{"message":"boom","code":200}}', undefined, { detail: "boom", status: undefined }],
    ["nested and empty", '{"error":{}}', undefined, { detail: "the server did not say what", type: undefined, status: undefined }],
    [
      "flat",
      '{"object":"error","message":"too long","type":"BadRequestError","code":400}',
      undefined,
      { detail: "too long", type: "BadRequestError", status: 400 }
    ],
    ["string", '{"error":"Unauthorized"}', undefined, { detail: "Unauthorized" }],
    [
      "v3 envelope",
      '{"id":null,"code":429,"error":"rate_limited","detail":"Slow"}',
      undefined,
      { detail: "Slow", code: "rate_limited", type: undefined, status: 429 }
    ],
    ["beside a chunk's fields", JSON.stringify({ ...chunk, error: { message: "boom" } }), undefined, { detail: "boom" }],
    ["named event", '{"message":"boom","code":503}', "error", { detail: "boom", status: 503 }],
    ["named event, nested", '{"error":{"message":"boom"}}', "error", { detail: "boom" }],
    ["named event, plain text", "it broke", "error", { detail: "it broke" }],
    ["named event, JSON string", '"it broke"', "error", { detail: "it broke" }],
    ["named event, empty", "", "error", { detail: "the server did not say what" }],
    ["named event, null", "null", "error", {}],
    [
      "in a choice",
      JSON.stringify({
        ...chunk,
        choices: [
          { index: 0, delta: {} },
          { index: 1, error: { message: "boom", code: 502 } }
        ]
      }),
      undefined,
      { detail: "boom", status: 502 }
    ],
    [
      "in a choice, as a string",
      JSON.stringify({ ...chunk, choices: [{ index: 0, delta: {}, error: "boom" }] }),
      undefined,
      { detail: "boom" }
    ],
    [
      "a choice that finished with an error",
      JSON.stringify({ ...chunk, choices: [{ index: 0, delta: { content: "x" }, finish_reason: "error" }] }),
      undefined,
      { detail: "the server did not say what" }
    ]
  ])("%s", (_, source, event, expected) => {
    let value: unknown
    try {
      value = JSON.parse(source)
    } catch {
      value = undefined
    }
    const fault = ErrorBody.fromEvent(value, source, event)
    assertMatches(fault, { ...expected, _tag: "StreamFault", excerpt: source, isRetryable: false })
    if (event === undefined) assert.deepStrictEqual(json(ErrorBody.fromText(source)), json(fault))
  })

  it.each<[string, string]>([
    ["chunk", JSON.stringify(chunk)],
    ["null error", JSON.stringify({ ...chunk, error: null })],
    ["null error in a choice", JSON.stringify({ ...chunk, choices: [{ index: 0, delta: {}, error: null, finish_reason: "stop" }] })],
    ["content that speaks of errors", JSON.stringify({ ...chunk, choices: [{ index: 0, delta: { content: '{"error":"x"}' } }] })],
    ["number", "42"],
    ["null", "null"],
    ["list", '[{"error":"x"}]'],
    ["string", '"error"'],
    ["empty object", "{}"],
    ["choices that are a string", '{"choices":"error"}'],
    ["choices of other things", '{"choices":[null,1,"error"]}'],
    ["no JSON", "error"]
  ])("returns undefined: %s", (_, source) => {
    assert.isUndefined(ErrorBody.fromText(source))
  })
})

describe("any text", () => {
  const names = [
    "error detail message fields loc msg code type object choices finish_reason delta index mode reason 0 1 body",
    "constructor __proto__ toString valueOf toJSON hasOwnProperty length non_field_errors"
  ].flatMap((line) => line.split(" "))
  const leaf = Arbitrary.schema(
    Schema.Union([Schema.Null, Schema.Boolean, Schema.Finite, Schema.String, Schema.Literals(["error", "service_maintenance", "", "400"])])
  )
  const below = (depth: number): Arbitrary.Arbitrary<unknown> =>
    depth === 0
      ? leaf
      : Arbitrary.flatMap(Arbitrary.schema(Schema.Literals(["leaf", "list", "object", "object"])), (kind): Arbitrary.Arbitrary<unknown> => {
          const child = below(depth - 1)
          if (kind === "leaf") return leaf
          if (kind === "list") return Arbitrary.array(child, { maxLength: 3 })
          const entry = Arbitrary.all([Arbitrary.schema(Schema.Literals(names)), child])
          return Arbitrary.map(Arbitrary.array(entry, { maxLength: 4 }), (entries) => Object.fromEntries(entries))
        })

  const statuses = [200, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504, 599]
  const assertReadable = (body: string) => {
    for (const status of statuses) {
      const reason = reasonOf(status, body, { "retry-after": body })
      assert.isString(reason.message)
      assert.isString(JSON.stringify(reason))
    }
    for (const event of ["message", "error"]) ErrorBody.fromEvent(body, body, event)
    ErrorBody.fromText(body)
  }

  it.prop("is read without throwing", { body: Schema.String }, ({ body }) => assertReadable(body), { arbitrary: { runs: 300 } })

  it.prop("is read without throwing, as JSON", { value: below(4) }, ({ value }) => assertReadable(JSON.stringify(value)), {
    arbitrary: { runs: 1000 }
  })

  it.each([
    ["lists in lists", `{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}`],
    ["objects in objects", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`],
    ["fields in fields", `{"detail":"x","fields":${'{"a":'.repeat(10_000)}["x"]${"}".repeat(10_000)}}`],
    ["lists that never end", "[".repeat(60_000)],
    ["places that are no names", '{"detail":[{"loc":[{"toString":1,"valueOf":2}],"msg":"x"},{"loc":[[],null,{}]},{"loc":"x"},null]}'],
    ["a message that is no text", '{"detail":{"a":1},"message":["x"],"error":["y"]}']
  ])("is read without throwing, being %s", (_, body) => assertReadable(body))
})
