import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as AiError from "effect/ai/AiError"
import * as ParadigmError from "@paradigm-effect/core/ParadigmError"
import { toAiError } from "../../src/internal/errors.ts"

const answered = { status: 400, detail: "no", excerpt: '{"detail":"no"}' }
const fault = { detail: "no", excerpt: "{}" }

type Expected = readonly [
  reason: ParadigmError.ParadigmErrorReason,
  tag: AiError.AiErrorReason["_tag"],
  isRetryable: boolean,
  members?: Readonly<Record<string, unknown>>
]

// Every reason. Some of them depend on a member.
const reasons: { readonly [Tag in ParadigmError.ParadigmErrorReason["_tag"]]: ReadonlyArray<Expected> } = {
  InvalidConfiguration: [
    [
      new ParadigmError.InvalidConfiguration({ option: "timeouts.idle", detail: "is wrong" }),
      "InvalidRequestError",
      false,
      { parameter: "timeouts.idle" }
    ],
    [new ParadigmError.InvalidConfiguration({ option: "apiKey", detail: "is missing" }), "AuthenticationError", false, { kind: "Unknown" }]
  ],
  InvalidRequest: [
    [
      new ParadigmError.InvalidRequest({ detail: "no", fields: { temperature: ["Expected number"] } }),
      "InvalidRequestError",
      false,
      { parameter: "temperature" }
    ]
  ],
  ConnectFailed: [
    [
      new ParadigmError.ConnectFailed({ origin: "http://localhost:1", code: "ECONNREFUSED" }),
      "NetworkError",
      true,
      { reason: "TransportError", method: "POST", url: "http://localhost:1" }
    ]
  ],
  TlsFailed: [[new ParadigmError.TlsFailed({ origin: "https://localhost:1", code: "CERT_HAS_EXPIRED" }), "NetworkError", true]],
  Timeout: [[new ParadigmError.Timeout({ stage: "idle", limit: Duration.seconds(1) }), "NetworkError", true]],
  ConnectionLost: [[new ParadigmError.ConnectionLost({ phase: "body", code: "ECONNRESET" }), "NetworkError", true]],
  TransportFailed: [[new ParadigmError.TransportFailed({ phase: "headers", exception: "TypeError" }), "NetworkError", true]],
  RedirectRefused: [
    [new ParadigmError.RedirectRefused({ status: 302, url: undefined }), "InvalidRequestError", false, { parameter: "baseUrl" }]
  ],
  Unauthorized: [[new ParadigmError.Unauthorized({ ...answered, status: 401 }), "AuthenticationError", false, { kind: "InvalidKey" }]],
  Forbidden: [
    [new ParadigmError.Forbidden({ ...answered, status: 403 }), "AuthenticationError", false, { kind: "InsufficientPermissions" }]
  ],
  ModelNotFound: [
    [new ParadigmError.ModelNotFound({ ...answered, status: 404, model: "m" }), "InvalidRequestError", false, { parameter: "model" }]
  ],
  NotFound: [
    [new ParadigmError.NotFound({ ...answered, status: 404, url: "http://h/x" }), "InvalidRequestError", false, { parameter: "baseUrl" }]
  ],
  QuotaExceeded: [[new ParadigmError.QuotaExceeded({ ...answered, status: 402 }), "QuotaExhaustedError", false]],
  RequestRejected: [
    [
      new ParadigmError.RequestRejected({ ...answered, fields: { "messages[0].role": ["required"] } }),
      "InvalidRequestError",
      false,
      { parameter: "messages[0].role" }
    ],
    [
      new ParadigmError.RequestRejected({ ...answered, fields: {}, param: "temperature" }),
      "InvalidRequestError",
      false,
      { parameter: "temperature" }
    ],
    [new ParadigmError.RequestRejected({ ...answered, fields: {}, code: "content_filter" }), "ContentPolicyError", false],
    [new ParadigmError.RequestRejected({ ...answered, fields: {}, status: 409 }), "InternalProviderError", true]
  ],
  RateLimited: [
    [
      new ParadigmError.RateLimited({ ...answered, status: 429, retryAfter: Duration.seconds(2) }),
      "RateLimitError",
      true,
      { retryAfter: Duration.seconds(2) }
    ],
    [new ParadigmError.RateLimited({ ...answered, status: 429, retryAfter: undefined }), "RateLimitError", true]
  ],
  Maintenance: [
    [
      new ParadigmError.Maintenance({ ...answered, status: 503, mode: "full_shutdown", startedAt: undefined }),
      "InternalProviderError",
      true
    ]
  ],
  ServerFault: [[new ParadigmError.ServerFault({ ...answered, status: 503, retryAfter: undefined }), "InternalProviderError", true]],
  UnexpectedResponse: [
    [
      new ParadigmError.UnexpectedResponse({ status: 200, contentType: "text/html", detail: "it is not JSON", excerpt: "<html>" }),
      "InvalidResponseError",
      false
    ]
  ],
  StreamTruncated: [[new ParadigmError.StreamTruncated({ chunks: 3 }), "InvalidResponseError", false]],
  StreamFault: [
    [new ParadigmError.StreamFault({ ...fault, status: undefined }), "InternalProviderError", true],
    [new ParadigmError.StreamFault({ ...fault, status: 503 }), "InternalProviderError", true],
    [new ParadigmError.StreamFault({ ...fault, status: 409 }), "InternalProviderError", true],
    [new ParadigmError.StreamFault({ ...fault, status: 429 }), "RateLimitError", true],
    [new ParadigmError.StreamFault({ ...fault, status: 401 }), "AuthenticationError", false, { kind: "InvalidKey" }],
    [new ParadigmError.StreamFault({ ...fault, status: 402 }), "QuotaExhaustedError", false],
    [new ParadigmError.StreamFault({ ...fault, status: 403 }), "AuthenticationError", false, { kind: "InsufficientPermissions" }],
    [new ParadigmError.StreamFault({ ...fault, status: 400, param: "seed" }), "InvalidRequestError", false, { parameter: "seed" }],
    [new ParadigmError.StreamFault({ ...fault, status: 400, type: "content_policy_violation" }), "ContentPolicyError", false]
  ],
  Aborted: [[new ParadigmError.Aborted({ choices: [0] }), "InternalProviderError", true]],
  MalformedChunk: [[new ParadigmError.MalformedChunk({ detail: "no", text: "{" }), "InvalidResponseError", false]],
  AnswerMismatch: [[new ParadigmError.AnswerMismatch({ detail: "no", text: "{" }), "InvalidOutputError", true]],
  Closed: [[new ParadigmError.Closed({ what: "client" }), "UnknownError", false]]
}

describe("an error of the client", () => {
  for (const [tag, cases] of Object.entries(reasons)) {
    it.each(cases.map((each) => [each] as const))(
      `${tag} becomes the right AiError, %#`,
      ([reason, expected, isRetryable, members = {}]) => {
        const error = new ParadigmError.ParadigmError({ reason, requestId: "r-1" })
        const converted = toAiError("streamText", error)
        assert.strictEqual(converted.reason._tag, expected)
        assert.strictEqual(converted.isRetryable, isRetryable)
        assert.deepInclude({ ...converted.reason }, members)
        assert.strictEqual(converted.reason.cause, error)
        assert.match(converted.message, /^ParadigmLanguageModel\.streamText: /)
      }
    )
  }

  it("says what the client says, and has the response and the client's reason", () => {
    const reason = new ParadigmError.ServerFault({
      status: 503,
      detail: "overloaded",
      code: "busy",
      excerpt: '{"detail":"overloaded"}',
      retryAfter: Duration.seconds(3)
    })
    const converted = toAiError("generateText", new ParadigmError.ParadigmError({ reason, requestId: "r-1" }))
    assert(converted.reason._tag === "InternalProviderError")
    assert.include(converted.message, "ServerFault: The server failed (503): overloaded (request r-1)")
    assert.deepStrictEqual(converted.reason.http, { response: { status: 503, headers: {} }, body: '{"detail":"overloaded"}' })
    assert.deepStrictEqual(converted.reason.metadata, {
      paradigm: { reason: "ServerFault", status: 503, code: "busy", requestId: "r-1", retryAfter: 3000, isRetryable: true }
    })
  })

  it.each([new ParadigmError.StreamTruncated({ chunks: 1 }), new ParadigmError.ConnectionLost({ phase: "body", code: "ECONNRESET" })])(
    "survives being encoded and decoded, without the partial completion: $_tag",
    (reason) => {
      const partial = { id: "c", object: "chat.completion", created: 1, model: "m", choices: [] }
      const converted = toAiError("generateText", new ParadigmError.ParadigmError({ reason, partial }))
      const encoded = Schema.encodeSync(AiError.AiError)(converted)
      assert.notInclude(JSON.stringify(encoded), "partial")
      assert.strictEqual(Schema.decodeSync(AiError.AiError)(encoded).message, converted.message)
    }
  )
})
