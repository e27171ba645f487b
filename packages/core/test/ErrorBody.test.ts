import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as ErrorBody from "../src/ErrorBody.ts"
import type { ParadigmErrorReason } from "../src/ParadigmError.ts"

const now = Date.UTC(2030, 0, 1)

const reasonOf = (status: number, body: unknown, headers: Record<string, string> = {}): ParadigmErrorReason =>
  ErrorBody.toReason({ status, headers, body: typeof body === "string" ? body : JSON.stringify(body), model: "alfred", now })

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
    "v3 validation with words only",
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
  ["v2, not found", 404, { code: 404, error: "not_found", detail: "No such path" }, { _tag: "ModelNotFound", detail: "No such path" }],
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
    "OpenAI, code is a word",
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
  ["payment", 402, { detail: "Pay" }, { _tag: "RequestRejected", status: 402, isRetryable: false }],
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

  it("keeps a field named __proto__, and touches no prototype", () => {
    const reason = reasonOf(400, '{"__proto__":["No."],"model":["Bad."]}')
    assert.deepStrictEqual(json(reason)["fields"], JSON.parse('{"__proto__":["No."],"model":["Bad."]}'))
    assert.notProperty({}, "model")
  })

  it("quotes at most 4096 characters of a body, and says little of a long one in a line", () => {
    const long = "x".repeat(60_000)
    for (const body of [long, `<html>${long}`, { a: long }, { detail: long }, { error: { message: long } }, { detail: [long] }]) {
      const reason = reasonOf(500, body)
      assert.isAtMost("excerpt" in reason ? reason.excerpt.length : Number.NaN, 4096)
      assert.isAtMost(reason.message.length, 1000)
    }
  })

  it("carries how long to wait where it says so", () => {
    for (const status of [429, 503]) {
      const reason = reasonOf(status, "", { "retry-after": "7" })
      assert.strictEqual("retryAfter" in reason && reason.retryAfter !== undefined && Duration.toMillis(reason.retryAfter), 7000)
    }
    assert.include(reasonOf(429, "", { "retry-after": "7" }).message, "7s")
    assert.isUndefined(json(reasonOf(429, ""))["retryAfter"])
  })
})

describe("retryAfter", () => {
  const minute = 60_000
  it.each<[string, Record<string, string>, number | undefined]>([
    ["nothing", {}, undefined],
    ["seconds", { "retry-after": "120" }, 120_000],
    ["zero", { "retry-after": "0" }, 0],
    ["fraction of a second", { "retry-after": "1.5" }, 1500],
    ["date", { "retry-after": "Tue, 01 Jan 2030 00:01:00 GMT" }, minute],
    ["date that has passed", { "retry-after": "Mon, 31 Dec 2029 23:59:00 GMT" }, 0],
    ["date in the second old form", { "retry-after": "Tuesday, 01-Jan-30 00:01:00 GMT" }, minute],
    ["date in the third old form", { "retry-after": "Tue Jan  1 00:01:00 2030" }, minute],
    ["milliseconds", { "retry-after-ms": "250" }, 250],
    ["fraction of a millisecond", { "retry-after-ms": "2.5" }, 2.5],
    ["milliseconds and seconds", { "retry-after-ms": "250", "retry-after": "9" }, 250],
    ["broken milliseconds and seconds", { "retry-after-ms": "soon", "retry-after": "9" }, 9000],
    ["negative seconds", { "retry-after": "-5" }, undefined],
    ["negative milliseconds", { "retry-after-ms": "-5" }, undefined],
    ["empty", { "retry-after": "" }, undefined],
    ["word", { "retry-after": "soon" }, undefined],
    ["words that a lenient reader takes for a date", { "retry-after": "try again in 5" }, undefined],
    ["word and number", { "retry-after": "foo 1" }, undefined],
    ["two values", { "retry-after": "5, 6" }, undefined],
    ["exponent", { "retry-after": "1e3" }, undefined],
    ["hexadecimal", { "retry-after": "0x10" }, undefined],
    ["infinity", { "retry-after": "Infinity" }, undefined],
    ["date that is none", { "retry-after": "Tue, 99 Foo 2030 99:99:99 GMT" }, undefined],
    ["unit", { "retry-after": "5s" }, undefined]
  ])("%s", (_, headers, expected) => {
    const wait = ErrorBody.retryAfter(headers, now)
    assert.strictEqual(wait === undefined ? undefined : Duration.toMillis(wait), expected)
  })

  it("reads a date as Greenwich's in any time zone", () => {
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
  const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [] }

  it.each<[string, string, string | undefined, Record<string, unknown>]>([
    [
      "nested",
      '{"error":{"message":"boom","type":"InternalServerError","param":null,"code":500}}',
      undefined,
      { detail: "boom", type: "InternalServerError", status: 500 }
    ],
    ["nested, code as a text", '{"error":{"message":"boom","code":"400"}}', undefined, { detail: "boom", status: 400 }],
    ["nested, code as a word", '{"error":{"message":"boom","code":"context_length"}}', undefined, { detail: "boom", status: undefined }],
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
      { detail: "Slow", type: "rate_limited", status: 429 }
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
    ["choices that are none", '{"choices":"error"}'],
    ["choices of other things", '{"choices":[null,1,"error"]}'],
    ["no JSON", "error"]
  ])("finds none in: %s", (_, source) => {
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

  it.prop("is read without throwing, being JSON", { value: below(4) }, ({ value }) => assertReadable(JSON.stringify(value)), {
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
