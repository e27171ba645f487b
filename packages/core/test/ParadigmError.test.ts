import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { inspect } from "node:util"
import * as Errors from "../src/ParadigmError.ts"
import { ParadigmError, type ParadigmErrorReason } from "../src/ParadigmError.ts"

type Tag = ParadigmErrorReason["_tag"]

const answer = { status: 418, detail: "why", excerpt: "body" }

interface Example {
  readonly reason: ParadigmErrorReason
  readonly message: string
  readonly isRetryable: boolean
}

const examples: { readonly [T in Tag]: ReadonlyArray<Example & { readonly reason: { readonly _tag: T } }> } = {
  InvalidConfiguration: [
    {
      reason: new Errors.InvalidConfiguration({ option: "apiKey", detail: "is missing" }),
      message: "apiKey is missing",
      isRetryable: false
    },
    {
      reason: new Errors.InvalidConfiguration({ option: "baseURL", detail: "unknown option baseURL: did you mean baseUrl?" }),
      message: "unknown option baseURL: did you mean baseUrl?",
      isRetryable: false
    }
  ],
  InvalidRequest: [
    {
      reason: new Errors.InvalidRequest({
        detail: "it is not valid",
        fields: { "messages[1].role": ["Missing key"], n: ["Odd", "Small"] }
      }),
      message: "The request was not sent: it is not valid [messages[1].role: Missing key; n: Odd, Small]",
      isRetryable: false
    },
    {
      reason: new Errors.InvalidRequest({ detail: "it is not valid", fields: {} }),
      message: "The request was not sent: it is not valid",
      isRetryable: false
    }
  ],
  ConnectFailed: [
    {
      reason: new Errors.ConnectFailed({ origin: "http://host", code: "ECONNREFUSED" }),
      message: "Could not connect to http://host (ECONNREFUSED)",
      isRetryable: true
    },
    {
      reason: new Errors.ConnectFailed({ origin: "http://host", code: undefined }),
      message: "Could not connect to http://host: unreachable, or refused by CORS",
      isRetryable: true
    }
  ],
  TlsFailed: [
    {
      reason: new Errors.TlsFailed({ origin: "https://host", code: "CERT_HAS_EXPIRED" }),
      message: "No trusted TLS connection to https://host (CERT_HAS_EXPIRED)",
      isRetryable: false
    }
  ],
  Timeout: [
    ["connect", true],
    ["headers", false],
    ["firstChunk", false],
    ["idle", false],
    ["total", false]
  ].map(([stage, isRetryable]) => ({
    reason: new Errors.Timeout({ stage: stage as Errors.Timeout["stage"], limit: Duration.seconds(90) }),
    message: `The call took longer than timeouts.${stage} (90s)`,
    isRetryable: isRetryable === true
  })),
  ConnectionLost: [
    {
      reason: new Errors.ConnectionLost({ phase: "headers", code: "ECONNRESET" }),
      message: "The connection was lost before the response (ECONNRESET)",
      isRetryable: true
    },
    {
      reason: new Errors.ConnectionLost({ phase: "body", code: undefined }),
      message: "The connection was lost during the response",
      isRetryable: false
    }
  ],
  RedirectRefused: [
    {
      reason: new Errors.RedirectRefused({ status: 307, url: "https://other/v2" }),
      message: "The server redirects to https://other/v2; set baseUrl to the final URL",
      isRetryable: false
    },
    {
      reason: new Errors.RedirectRefused({ status: 0, url: undefined }),
      message: "The server redirects; set baseUrl to the final URL",
      isRetryable: false
    }
  ],
  Unauthorized: [
    {
      reason: new Errors.Unauthorized({ ...answer, status: 401 }),
      message: "The server does not accept the API key (401): why",
      isRetryable: false
    }
  ],
  Forbidden: [
    {
      reason: new Errors.Forbidden({ ...answer, status: 403 }),
      message: "The API key does not permit this request (403): why",
      isRetryable: false
    }
  ],
  ModelNotFound: [
    {
      reason: new Errors.ModelNotFound({ ...answer, status: 404, model: "alfred" }),
      message: 'The server does not know the model "alfred" (404): why',
      isRetryable: false
    }
  ],
  NotFound: [
    {
      reason: new Errors.NotFound({ ...answer, status: 404, url: "https://host/v1/chat/completions" }),
      message: "The server has nothing at https://host/v1/chat/completions (404): why; check baseUrl and its path",
      isRetryable: false
    }
  ],
  QuotaExceeded: [
    {
      reason: new Errors.QuotaExceeded({ ...answer, status: 402 }),
      message: "The quota of the account is used up (402): why",
      isRetryable: false
    }
  ],
  TransportFailed: [
    {
      reason: new Errors.TransportFailed({ phase: "headers", exception: "TypeError", cause: new TypeError("boom") }),
      message: "Unknown exception: TypeError: boom",
      isRetryable: false
    },
    {
      reason: new Errors.TransportFailed({ phase: "body", exception: "TypeError" }),
      message: "Unknown exception: TypeError",
      isRetryable: false
    }
  ],
  Aborted: [
    {
      reason: new Errors.Aborted({ choices: [0] }),
      message: "The model server aborted the answer",
      isRetryable: true
    }
  ],
  RequestRejected: [
    {
      reason: new Errors.RequestRejected({ ...answer, status: 422, fields: { n: ["Odd"] } }),
      message: "The server rejected the request (422): why [n: Odd]",
      isRetryable: false
    },
    {
      reason: new Errors.RequestRejected({ ...answer, status: 400, param: "n", fields: {} }),
      message: "The server rejected the request (400): why (field n)",
      isRetryable: false
    },
    {
      reason: new Errors.RequestRejected({ ...answer, status: 400, detail: "n is odd", param: "n", fields: {} }),
      message: "The server rejected the request (400): n is odd",
      isRetryable: false
    },
    ...[400, 405, 406, 408, 409, 413, 415, 418, 499].map((status) => ({
      reason: new Errors.RequestRejected({ status, detail: undefined, excerpt: "", fields: {} }),
      message: `The server rejected the request (${status})`,
      isRetryable: status === 408 || status === 409
    }))
  ],
  RateLimited: [
    {
      reason: new Errors.RateLimited({ ...answer, status: 429, retryAfter: Duration.seconds(3) }),
      message: "Too many requests (429): why; retry after 3s",
      isRetryable: true
    },
    {
      reason: new Errors.RateLimited({ ...answer, status: 429, detail: undefined, retryAfter: undefined }),
      message: "Too many requests (429)",
      isRetryable: true
    }
  ],
  Maintenance: [
    {
      reason: new Errors.Maintenance({ ...answer, status: 503, mode: "full_shutdown", startedAt: undefined }),
      message: "The service is under maintenance (503): why",
      isRetryable: false
    }
  ],
  ServerFault: [500, 501, 502, 503, 504, 505, 599].map((status) => ({
    reason: new Errors.ServerFault({ ...answer, status, retryAfter: undefined }),
    message: `The server failed (${status}): why`,
    isRetryable: status === 502 || status === 503 || status === 504
  })),
  UnexpectedResponse: [
    {
      reason: new Errors.UnexpectedResponse({ status: 200, contentType: "text/html", detail: "it is not JSON", excerpt: "<html>" }),
      message: "The response (200, text/html) is not a chat completion: it is not JSON",
      isRetryable: false
    },
    {
      reason: new Errors.UnexpectedResponse({ status: 204, contentType: undefined, detail: "it is empty", excerpt: "" }),
      message: "The response (204, no content type) is not a chat completion: it is empty",
      isRetryable: false
    }
  ],
  StreamTruncated: [
    {
      reason: new Errors.StreamTruncated({ chunks: 0 }),
      message: "The stream ended after 0 chunks",
      isRetryable: false
    },
    {
      reason: new Errors.StreamTruncated({ chunks: 3 }),
      message: "The stream ended after 3 chunks without a finish reason",
      isRetryable: false
    },
    {
      reason: new Errors.StreamTruncated({ chunks: 3, isDone: true }),
      message: "The stream ended with [DONE] after 3 chunks without a finish reason; see the option acceptUnfinished",
      isRetryable: false
    }
  ],
  StreamFault: [
    {
      reason: new Errors.StreamFault({ detail: "boom", type: "InternalServerError", status: 500, excerpt: "{}" }),
      message: "The server reported an error in its response: boom",
      isRetryable: false
    }
  ],
  MalformedChunk: [
    {
      reason: new Errors.MalformedChunk({ detail: "it is not JSON", text: "nonsense" }),
      message: "The stream has an event that is not a chunk: it is not JSON",
      isRetryable: false
    }
  ],
  Closed: [
    {
      reason: new Errors.Closed({ what: "client" }),
      message: "The client was closed before the call had ended",
      isRetryable: false
    }
  ],
  AnswerMismatch: [
    {
      reason: new Errors.AnswerMismatch({ detail: "city: Missing key", text: "{}" }),
      message: "The model's answer does not fit: city: Missing key",
      isRetryable: false
    }
  ]
}

const all: ReadonlyArray<Example> = Object.values(examples).flat()

const partial = {
  id: "c",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant" as const, content: "Hel" }, finish_reason: null }]
}
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const attempts = [{ reason: "ServerFault", status: 503, requestId: "r-0", durationMillis: 5, delayMillis: 500 }] as const

const full = (reason: ParadigmErrorReason) => new ParadigmError({ reason, requestId: "r-1", partial, usage, attempts })

describe("a reason", () => {
  it.each(all)("has the message: $message", ({ isRetryable, message, reason }) => {
    assert.strictEqual(reason.message, message)
    assert.strictEqual(reason.isRetryable, isRetryable)
    assert.instanceOf(reason, Error)
  })
})

describe("ParadigmError", () => {
  it.each(all)("has the message, status and retryability of its reason: $reason._tag, $message", ({ isRetryable, message, reason }) => {
    const error = new ParadigmError({ reason })
    assert.strictEqual(error.message, `${reason._tag}: ${message}`)
    assert.strictEqual(full(reason).message, `${reason._tag}: ${message} (request r-1)`)
    assert.strictEqual(error.isRetryable, isRetryable)
    assert.strictEqual(error.status, "status" in reason ? reason.status : undefined)
    assert.instanceOf(error, Error)
    assert.strictEqual(error.name, "ParadigmError")
    assert.include(error.stack, error.message)
    assert.include(String(error), message)
  })

  it.each(all)("is inspected, cloned and serialized with its reason: $reason._tag, $message", ({ message, reason }) => {
    for (const error of [new ParadigmError({ reason }), full(reason)]) {
      for (const options of [{}, { depth: 10 }, { depth: 10, showHidden: true }, { customInspect: false }]) {
        assert.include(inspect(error, options), reason._tag)
      }
      assert.include(structuredClone(error).stack, message)
      const written = JSON.parse(JSON.stringify(error))
      assert.deepInclude(written, { _tag: "ParadigmError", message: error.message, isRetryable: error.isRetryable })
      assert.strictEqual(written.reason._tag, reason._tag)
      for (const [name, value] of Object.entries(reason)) {
        if (typeof value === "string" || typeof value === "number") assert.strictEqual(written.reason[name], value)
      }
    }
  })

  it("serializes exactly its details to JSON", () => {
    const error = full(new Errors.MalformedChunk({ detail: "it is not JSON", text: "nonsense" }))
    assert.deepStrictEqual(JSON.parse(JSON.stringify(error)), {
      _tag: "ParadigmError",
      message: "MalformedChunk: The stream has an event that is not a chunk: it is not JSON (request r-1)",
      isRetryable: false,
      requestId: "r-1",
      attempts,
      reason: { _tag: "MalformedChunk", isRetryable: false, detail: "it is not JSON", text: "nonsense" },
      partial,
      usage
    })
    assert.notProperty(JSON.parse(JSON.stringify(new ParadigmError({ reason: error.reason }))), "partial")
  })

  it("serializes to plain JSON at every depth", () => {
    const visit = (value: unknown) => {
      if (typeof value !== "object" || value === null) return assert.notInclude(["function", "symbol", "bigint"], typeof value)
      if (!Array.isArray(value)) assert.isTrue(Object.getPrototypeOf(value) === Object.prototype)
      Object.values(value).forEach(visit)
    }
    for (const { reason } of all) visit(full(reason).toJSON())
  })

  it("has an empty list of attempts when nothing was sent, in JSON too", () => {
    const error = new ParadigmError({ reason: new Errors.InvalidConfiguration({ option: "apiKey", detail: "is missing" }) })
    assert.deepStrictEqual(error.attempts, [])
    assert.deepStrictEqual(JSON.parse(JSON.stringify(error)).attempts, [])
    assert.deepStrictEqual(error.with({ requestId: "r" }).attempts, [])
  })

  it("has the chain of causes of its reason: as cause, in JSON, inspected and cloned", () => {
    const cause = Object.assign(new TypeError("fetch failed", { cause: new RangeError("bad port") }), { code: "E_PORT" })
    const reason = new Errors.TransportFailed({ phase: "headers", exception: "TypeError", cause })
    for (const error of [new ParadigmError({ reason }), new ParadigmError({ reason }).with({ requestId: "r" })]) {
      assert.strictEqual(error.cause, cause)
      assert.notInclude(Object.keys(error), "cause")
      assert.deepStrictEqual(JSON.parse(JSON.stringify(error)).cause, {
        name: "TypeError",
        message: "fetch failed",
        code: "E_PORT",
        cause: { name: "RangeError", message: "bad port" }
      })
      assert.match(inspect(error), /fetch failed[^]*bad port/)
      assert.match(inspect(structuredClone(error)), /fetch failed[^]*bad port/)
    }
    assert.notProperty(JSON.parse(JSON.stringify(new ParadigmError({ reason: new Errors.Aborted({ choices: [0] }) }))), "cause")
  })

  it("has the time to wait in milliseconds", () => {
    const about = { status: 429, detail: undefined, excerpt: "" }
    const limited = (retryAfter: Duration.Duration | undefined) =>
      new ParadigmError({ reason: new Errors.RateLimited({ ...about, retryAfter }) })
    assert.strictEqual(limited(Duration.seconds(3)).retryAfter, 3000)
    assert.isUndefined(limited(undefined).retryAfter)
    assert.isUndefined(new ParadigmError({ reason: new Errors.Aborted({ choices: [0] }) }).retryAfter)
  })

  it("serializes anomalies", () => {
    const anomalies = [{ repair: "usage" as const, path: "usage", expected: "object", raw: "{}", count: 1 }]
    const error = new ParadigmError({ reason: new Errors.Aborted({ choices: [0] }), anomalies })
    assert.deepStrictEqual(JSON.parse(JSON.stringify(error)).anomalies, anomalies)
  })

  it("has a list of all tags", () => {
    assert.deepStrictEqual(Errors.reasons.toSorted(), Object.keys(examples).toSorted())
  })

  it("keeps its message when cloned", () => {
    for (const { reason } of all) assert.strictEqual(structuredClone(full(reason)).message, full(reason).message)
  })

  it("keeps the other details when it gets more", () => {
    const reason = new Errors.StreamTruncated({ chunks: 1 })
    const error = full(reason).with({ requestId: "r-2" })
    assert.instanceOf(error, ParadigmError)
    assert.deepStrictEqual(
      [error.reason, error.requestId, error.partial, error.usage, error.attempts],
      [reason, "r-2", partial, usage, attempts]
    )
  })

  it("is recognized by isParadigmError", () => {
    const error = new ParadigmError({ reason: new Errors.StreamTruncated({ chunks: 0 }) })
    assert.isTrue(Errors.isParadigmError(error))
    for (const other of [new Error("x"), error.reason, null, undefined, "ParadigmError", { _tag: "ParadigmError" }]) {
      assert.isFalse(Errors.isParadigmError(other))
    }
  })

  it("quotes at most 4096 characters of a text", () => {
    assert.strictEqual(Errors.excerpt("short"), "short")
    assert.strictEqual(Errors.excerpt("x".repeat(4096)), "x".repeat(4096))
    assert.strictEqual(Errors.excerpt("x".repeat(4097)), `${"x".repeat(4095)}…`)
  })
})

const failing = (reason: ParadigmErrorReason): Effect.Effect<"done", ParadigmError> => Effect.fail(new ParadigmError({ reason }))

const tagOf = <R extends ParadigmErrorReason>(reason: R) => Effect.succeed<R["_tag"]>(reason._tag)

const handlingOne = (reason: ParadigmErrorReason) =>
  Effect.catchReason(failing(reason), "ParadigmError", "RateLimited", (reason, error) => {
    expectTypeOf(reason).toEqualTypeOf<Errors.RateLimited>()
    expectTypeOf(error.requestId).toEqualTypeOf<string | undefined>()
    return Effect.succeed(reason.retryAfter)
  })

const handlingSome = (reason: ParadigmErrorReason) =>
  Effect.catchReasons(
    failing(reason),
    "ParadigmError",
    {
      RateLimited: (reason) => Effect.succeed(reason.status),
      ConnectFailed: (reason) => Effect.succeed([reason.origin])
    },
    (reason) => {
      expectTypeOf(reason).toEqualTypeOf<Exclude<ParadigmErrorReason, Errors.RateLimited | Errors.ConnectFailed>>()
      return Effect.succeed(reason._tag)
    }
  )

const handlingAll = (reason: ParadigmErrorReason) =>
  Effect.catchReasons(
    failing(reason),
    "ParadigmError",
    {
      InvalidConfiguration: tagOf,
      InvalidRequest: tagOf,
      ConnectFailed: tagOf,
      TlsFailed: tagOf,
      Timeout: tagOf,
      ConnectionLost: tagOf,
      RedirectRefused: tagOf,
      Unauthorized: tagOf,
      Forbidden: tagOf,
      ModelNotFound: tagOf,
      NotFound: tagOf,
      QuotaExceeded: tagOf,
      TransportFailed: tagOf,
      Aborted: tagOf,
      RequestRejected: tagOf,
      RateLimited: tagOf,
      Maintenance: tagOf,
      ServerFault: tagOf,
      UnexpectedResponse: tagOf,
      StreamTruncated: tagOf,
      StreamFault: tagOf,
      MalformedChunk: tagOf,
      AnswerMismatch: tagOf,
      Closed: tagOf
    },
    (other) => {
      expectTypeOf(other).toEqualTypeOf<never>()
      return Effect.die(other)
    }
  )

describe("handling", () => {
  const limited = new Errors.RateLimited({ ...answer, status: 429, retryAfter: Duration.seconds(3) })
  const refused = new Errors.ConnectFailed({ origin: "http://host", code: undefined })

  it.effect("catches one reason with its members, and not the others", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* handlingOne(limited), Duration.seconds(3))
      const error = yield* Effect.flip(handlingOne(refused))
      expectTypeOf(error).toEqualTypeOf<ParadigmError>()
      assert.strictEqual(error.reason, refused)
    })
  )

  it.effect("catches several reasons, and the others together", () =>
    Effect.gen(function* () {
      expectTypeOf(handlingSome(limited)).toEqualTypeOf<
        Effect.Effect<number | Array<string> | "done" | Exclude<Tag, "RateLimited" | "ConnectFailed">>
      >()
      assert.strictEqual(yield* handlingSome(limited), 429)
      assert.deepStrictEqual(yield* handlingSome(refused), ["http://host"])
      assert.strictEqual(yield* handlingSome(new Errors.StreamTruncated({ chunks: 0 })), "StreamTruncated")
    })
  )

  it.effect("has no reason left after catching all", () =>
    Effect.gen(function* () {
      expectTypeOf(handlingAll(limited)).toEqualTypeOf<Effect.Effect<Tag | "done">>()
      for (const { reason } of all) assert.strictEqual(yield* handlingAll(reason), reason._tag)
    })
  )

  it.effect("is caught by its tag", () =>
    Effect.gen(function* () {
      const reason = yield* failing(refused).pipe(Effect.catchTag("ParadigmError", (error) => Effect.succeed(error.reason)))
      assert.strictEqual(reason, refused)
    })
  )
})

describe("an uncaught error", () => {
  it("prints neither the frames of its reason nor the members without a value", () => {
    const reason = new Errors.RateLimited({ status: 429, detail: "Slow", excerpt: "", retryAfter: undefined })
    const error = new ParadigmError({ reason, requestId: undefined })
    const [, ...members] = inspect(error, { customInspect: false }).split("reason: ")
    assert.notMatch(members.join(), /\n\s+at /)
    assert.deepStrictEqual(
      Object.keys(error).filter((name) => Reflect.get(error, name) === undefined),
      []
    )
  })
})
