import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { inspect } from "node:util"
import { resolveCall, resolveOptions, type Runtime, type Settings } from "../../src/client/options.ts"
import { environmentOf } from "../../src/Environment.ts"
import { noTelemetry } from "../../src/client/noTelemetry.ts"
import { version } from "../../src/client/version.ts"
import type * as ParadigmClient from "../../src/ParadigmClient.ts"
import type { ParadigmError } from "../../src/ParadigmError.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import { clientOf, completion, failure, json, key, request, serve } from "../Loopback.ts"
import { assertSecret } from "../Secret.ts"

const refusal = (options: Partial<ParadigmClient.Options>) => failure(clientOf(options), "InvalidConfiguration")

describe("a base URL", () => {
  it.live.each([
    ["", "/api/v3/chat/completions"],
    ["/", "/api/v3/chat/completions"],
    ["/api/v3", "/api/v3/chat/completions"],
    ["/api/v3/", "/api/v3/chat/completions"],
    ["/api/v3//", "/api/v3/chat/completions"],
    ["/api/v2", "/api/v2/chat/completions"],
    ["/api/v2/", "/api/v2/chat/completions"],
    ["/v1", "/v1/chat/completions"],
    ["/v1/", "/v1/chat/completions"],
    ["/v1beta/openai", "/v1beta/openai/chat/completions"],
    ["/v1beta/openai/", "/v1beta/openai/chat/completions"],
    ["/openai/deployments/d?api-version=2026-01-01", "/openai/deployments/d/chat/completions?api-version=2026-01-01"],
    ["/api", "/api/chat/completions"],
    ["/below/a/prefix", "/below/a/prefix/chat/completions"],
    ["/v1/chat/completions", "/v1/chat/completions"],
    ["/v1/chat/completions/", "/v1/chat/completions"],
    ["/chat/completions?x=1", "/chat/completions?x=1"],
    ["/chat/completions/v1", "/chat/completions/v1/chat/completions"],
    ["/v1/xchat/completions", "/v1/xchat/completions/chat/completions"],
    ["/a%20b/v1", "/a%20b/v1/chat/completions"],
    ["?tenant=x", "/api/v3/chat/completions?tenant=x"],
    ["/below/a/prefix/api/v3/", "/below/a/prefix/api/v3/chat/completions"],
    ["/api/v2?tenant=x", "/api/v2/chat/completions?tenant=x"],
    ["/#part", "/api/v3/chat/completions"]
  ])("…%s resolves to %s", ([suffix = "", path]) =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const url = new URL(`${baseUrl}${suffix}`)
      for (const spelling of [`${baseUrl}${suffix}`, url]) {
        yield* (yield* clientOf({ baseUrl: spelling })).createChatCompletion(request)
        assert.strictEqual((yield* Queue.take(requests)).path, path)
      }
      assert.strictEqual(url.href, new URL(`${baseUrl}${suffix}`).href)
    })
  )
})

describe("options", () => {
  it.effect.each([
    ["a line feed at the end", `${key}\n`],
    ["both line ends", `${key}\r\nx-admin: 1`],
    ["a carriage return", `${key}\r`],
    ["NUL", `${key}\0`],
    ["a space", `${key} x`],
    ["a tab", `${key}\t`],
    ["a letter that is not ASCII", `${key}é`],
    ["a letter that is not Latin-1", `${key}水`],
    ["a byte order mark", `\ufeff${key}`],
    ["DEL", `${key}\u007f`]
  ])("are refused with a key that has %s, without quoting it", ([, apiKey = ""]) =>
    Effect.gen(function* () {
      for (const spelling of [apiKey, Redacted.make(apiKey)]) {
        const { error, reason } = yield* refusal({ apiKey: spelling })
        assert.strictEqual(reason.option, "apiKey")
        assert.isFalse(error.isRetryable)
        assertSecret(error, key)
      }
    })
  )

  it.effect("are refused without a key", () =>
    Effect.gen(function* () {
      for (const apiKey of ["", undefined, null, 42, {}, []] as ReadonlyArray<string>) {
        assert.strictEqual((yield* refusal({ apiKey })).reason.option, "apiKey")
      }
      assert.strictEqual((yield* refusal({ apiKey: Redacted.make("") })).reason.option, "apiKey")
    })
  )

  it.effect.each([
    "",
    "paradigm.example.com",
    "/api/v3",
    "api/v3",
    "//paradigm.example.com",
    "http://",
    "https://exa mple.com",
    "ftp://paradigm.example.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "ws://paradigm.example.com",
    "http://[::1",
    "http://host:99999"
  ])("are refused with the base URL %j", (baseUrl) =>
    Effect.gen(function* () {
      const { error, reason } = yield* refusal({ baseUrl })
      assert.strictEqual(reason.option, "baseUrl")
      assert.include(error.message, "baseUrl")
    })
  )

  it.effect.each(["https://someone:s3cret@paradigm.example.com", "https://s3cret@paradigm.example.com/api/v3", "https://:s3cret@host"])(
    "are refused with a secret in the base URL, without quoting it (%#)",
    (baseUrl) =>
      Effect.gen(function* () {
        const { error, reason } = yield* refusal({ baseUrl })
        assert.strictEqual(reason.option, "baseUrl")
        assertSecret(error, "s3cret")
      })
  )

  it.effect("are refused with headers that HTTP does not allow, without quoting their values", () =>
    Effect.gen(function* () {
      for (const headers of [
        { "x-a": "s3cret\r\nx-b: 1" },
        { "x-a": "s3cret\0" },
        { "x-a": "s3cret水" },
        { "x a": "s3cret" },
        { "": "s3cret" }
      ]) {
        const { error, reason } = yield* refusal({ headers })
        assert.match(reason.option, /^headers/)
        assertSecret(error, "s3cret")
      }
    })
  )

  it.live("of a call with headers that HTTP does not allow are refused before sending", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientOf({ baseUrl })
      const { error } = yield* failure(client.createChatCompletion(request, { headers: { "x-a": "s3cret\n" } }), "InvalidConfiguration")
      assertSecret(error, "s3cret")
      assert.strictEqual(yield* Queue.size(requests), 0)
    })
  )

  it.live("need no base URL and accept a redacted key", () =>
    Effect.gen(function* () {
      yield* clientOf({ apiKey: Redacted.make(key) })
      const { baseUrl, requests } = yield* serve(json(completion))
      yield* (yield* clientOf({ baseUrl, apiKey: Redacted.make(key) })).createChatCompletion(request)
      assert.strictEqual((yield* Queue.take(requests)).headers.authorization, `Bearer ${key}`)
    })
  )
})

type Loose = { readonly [name: string]: unknown }

// Options of a JavaScript user, without types.
const loose = (options: Loose, runtime?: Runtime) => resolveOptions({ apiKey: key, ...options }, runtime)
const settings = (options: Loose, runtime?: Runtime) => Result.getOrThrow(loose(options, runtime))
const refused = (result: Result.Result<Settings, ParadigmError>) => {
  assert(Result.isFailure(result))
  const { reason } = result.failure
  assert(reason._tag === "InvalidConfiguration")
  assertSecret(result.failure, key)
  return reason
}

describe("an unknown option", () => {
  it.each<[Loose, string]>([
    [{ baseURL: "http://x" }, "unknown option baseURL: did you mean baseUrl?"],
    [{ base_url: "http://x" }, "unknown option base_url: did you mean baseUrl?"],
    [{ baseUri: "http://x" }, "unknown option baseUri: did you mean baseUrl?"],
    [{ url: "http://x" }, "unknown option url: did you mean baseUrl?"],
    [{ api_key: key }, "unknown option api_key: did you mean apiKey?"],
    [{ token: key }, "unknown option token: did you mean apiKey?"],
    [{ endpoint: "http://x" }, "unknown option endpoint: did you mean baseUrl?"],
    [{ host: "http://x" }, "unknown option host: did you mean baseUrl?"],
    [{ baseUrl: "localhost:8000" }, "baseUrl must be an absolute http:// or https:// URL"],
    [{ headers: { Connection: "close" } }, 'headers["connection"] is set by the client'],
    [{ headers: { Authorization: "Bearer x" } }, 'headers["authorization"] is set by the client, from apiKey'],
    [{ apikey: key }, "unknown option apikey: did you mean apiKey?"],
    [{ timeout: 5 }, "unknown option timeout: did you mean timeouts.total?"],
    [{ maxRetries: 5 }, "unknown option maxRetries: did you mean retry.maxAttempts?"],
    [{ max_retries: 5 }, "unknown option max_retries: did you mean retry.maxAttempts?"],
    [{ defaultHeaders: {} }, "unknown option defaultHeaders: did you mean headers?"],
    [{ extra_body: {} }, "unknown option extra_body: did you mean extraBody?"],
    [{ encoder: {} }, "unknown option encoder: did you mean encode?"],
    [{ rerty: {} }, "unknown option rerty: did you mean retry?"],
    [{ retries: 5 }, "unknown option retries: did you mean retry.maxAttempts?"],
    [{ timeouts: { header: 5 } }, "unknown option timeouts.header: did you mean timeouts.headers?"],
    [{ timeouts: { first_chunk: 5 } }, "unknown option timeouts.first_chunk: did you mean timeouts.firstChunk?"],
    [{ retry: { attempts: 5 } }, "unknown option retry.attempts: did you mean retry.maxAttempts?"],
    [
      { proxy: "x" },
      "unknown option proxy: the options are apiKey, headers, retry, timeouts, encode, telemetry, acceptUnfinished, extraBody, onAttempt, baseUrl"
    ],
    [{ retry: { maxRetries: 2 } }, "unknown option retry.maxRetries: did you mean retry.maxAttempts?"],
    [{ retry: { retries: 2 } }, "unknown option retry.retries: did you mean retry.maxAttempts?"],
    [{ timeouts: { timeout: 5 } }, "unknown option timeouts.timeout: did you mean timeouts.total?"],
    [{ timeouts: 30 }, "timeouts must be an object: the options are connect, headers, firstChunk, idle, total, keepAliveCounts"],
    [{ retry: 2 }, "retry must be an object: the options are maxAttempts, baseDelay, maxDelay, maxRetryAfter"],
    [{ timeouts: { total: "30" } }, 'timeouts.total is not a duration such as 500 (ms) or "30s"'],
    [{ retry: { x: 1 } }, "unknown option retry.x: did you mean retry.maxAttempts?"],
    [{ timeouts: { q: 1 } }, "unknown option timeouts.q: the options are connect, headers, firstChunk, idle, total, keepAliveCounts"]
  ])("is refused with a suggestion: %j", (options, message) => {
    assert.strictEqual(refused(loose(options)).message, message)
  })

  it.each([["constructor"], ["toString"], ["hasOwnProperty"], ["__proto__"]])("may be named like an inherited member: %s", (name) => {
    assert.strictEqual(refused(loose(JSON.parse(`{"${name}":1}`))).option, name)
    assert.strictEqual(refused(loose({ timeouts: JSON.parse(`{"${name}":1}`) })).option, `timeouts.${name}`)
  })

  it("is suggested only for a runtime with it", () => {
    const options = { dangerouslyAllowBrowser: true }
    assert.match(refused(loose(options)).message, /the options are/)
    assert.match(refused(loose(options, { options: ["allowKeyInBrowser"] })).message, /did you mean allowKeyInBrowser\?/)
    settings({ allowKeyInBrowser: true }, { options: ["allowKeyInBrowser"] })
  })

  it("is refused for a call too, and so is an option of the client", () => {
    const client = settings({})
    assert.strictEqual(refused(resolveCall(client, { maxRetries: 1 })).option, "maxRetries")
    assert.strictEqual(refused(resolveCall(client, { baseUrl: "http://x" })).option, "baseUrl")
    assert.strictEqual(refused(resolveCall(client, { signal: new AbortController().signal })).option, "signal")
  })

  it("counts as absent if it is undefined, and if it is inherited or not enumerable", () => {
    settings({ baseURL: undefined })
    settings(Object.create({ baseURL: "http://x" }))
    assert.isTrue(Result.isSuccess(resolveOptions(Object.assign(Object.create({ baseURL: "http://x" }), { apiKey: key }))))
    assert.isTrue(Result.isSuccess(resolveOptions(Object.defineProperty({ apiKey: key }, "baseURL", { value: "http://x" }))))
  })

  it("has a bounded name in its error", () => {
    assert.isBelow(refused(loose({ ["x".repeat(100_000)]: 1 })).message.length, 400)
    assert.isBelow(refused(loose({ ["baseUr".repeat(10_000)]: 1 })).message.length, 400)
  })
})

describe("a wrong value", () => {
  const durations: ReadonlyArray<unknown> = [Number.NaN, -1, "-1s", "soon", "", true, {}, [], 10n]
  const flags: ReadonlyArray<unknown> = ["true", 0, 1, {}]
  const objects: ReadonlyArray<unknown> = ["x", 5, true, [], () => {}]
  const paths: ReadonlyArray<readonly [path: string, values: ReadonlyArray<unknown>]> = [
    ["apiKey", [42, {}, [], true, "", "a key"]],
    ["baseUrl", [42, {}, [], true, "x"]],
    ["timeouts", objects],
    ["timeouts.connect", durations],
    ["timeouts.headers", durations],
    ["timeouts.firstChunk", durations],
    ["timeouts.idle", durations],
    ["timeouts.total", durations],
    ["timeouts.keepAliveCounts", flags],
    ["retry", ["x", 5, true, []]],
    ["retry.maxAttempts", [0, -1, 1.5, Number.NaN, Infinity, "3", true]],
    ["retry.baseDelay", durations],
    ["retry.maxDelay", durations],
    ["retry.maxRetryAfter", durations],
    ["telemetry", [...objects, {}, { propagateTrace: true }]],
    ["acceptUnfinished", flags],
    ["encode", ["json", {}, true]],
    ["extraBody", objects],
    ["headers", ["x: y", 5, true]]
  ]
  const at = (path: string, value: unknown): Loose =>
    path.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as Loose

  it.each(paths)("is refused with the path of the option: %s", (path, values) => {
    for (const value of values) {
      for (const result of [
        loose(at(path, value)),
        path === "baseUrl" ? loose(at(path, value)) : resolveCall(settings({}), at(path, value))
      ]) {
        const { message, option } = refused(result)
        assert.strictEqual(option, path)
        assert.isTrue(message.startsWith(`${path} `), message)
      }
    }
  })

  it.each(paths)("is null: %s", (path) => {
    assert.match(refused(loose(at(path, null))).message, new RegExp(`^${path} must not be null`))
  })

  it.each(paths)("is not undefined, which counts as absent: %s", (path) => {
    if (path !== "apiKey") settings(at(path, undefined))
  })

  it("is refused for the options as a whole", () => {
    for (const value of [undefined, null, "x", 5, [], () => {}]) assert.strictEqual(refused(resolveOptions(value)).option, "options")
    for (const value of [null, "x", 5, []]) assert.strictEqual(refused(resolveCall(settings({}), value)).option, "options")
  })
})

describe("resolved options", () => {
  it("have defaults", () => {
    const { acceptUnfinished, baseUrl, extraBody, headers, retry, telemetry, timeouts } = settings({})
    assert.strictEqual(telemetry, noTelemetry)
    assert.strictEqual(baseUrl.href, "https://paradigm.lighton.ai/api/v3/chat/completions")
    assert.deepStrictEqual(
      { acceptUnfinished, extraBody, headers, retry, timeouts },
      {
        acceptUnfinished: false,
        extraBody: {},
        headers: {},
        retry: { maxAttempts: 3, baseDelay: 500, maxDelay: 8000, maxRetryAfter: 60_000 },
        timeouts: { connect: 10_000, headers: 600_000, firstChunk: 600_000, idle: 120_000, total: Infinity, keepAliveCounts: false }
      }
    )
  })

  it("of a call override those of the client member by member", () => {
    const client = settings({
      headers: { "X-A": "1", "X-B": "1" },
      retry: { maxAttempts: 5, baseDelay: "1s" },
      timeouts: { idle: "1s", total: 7, keepAliveCounts: true },
      acceptUnfinished: true,
      extraBody: { a: 1, b: 1 }
    })
    const call = Result.getOrThrow(
      resolveCall(client, {
        headers: { "x-b": "2" },
        retry: { baseDelay: 5 },
        timeouts: { idle: Duration.seconds(2) },
        extraBody: { b: 2 }
      })
    )
    assert.deepStrictEqual(call.headers, { "x-a": "1", "x-b": "2" })
    assert.deepStrictEqual(call.retry, { maxAttempts: 5, baseDelay: 5, maxDelay: 8000, maxRetryAfter: 60_000 })
    assert.deepInclude(call.timeouts, { idle: 2000, total: 7, keepAliveCounts: true, headers: 600_000 })
    assert.isTrue(call.acceptUnfinished)
    assert.deepStrictEqual(call.extraBody, { a: 1, b: 2 })
    assert.strictEqual(call.baseUrl, client.baseUrl)
    assert.deepStrictEqual(client.headers, { "x-a": "1", "x-b": "1" })
    assert.strictEqual(client.timeouts.idle, 1000)
  })

  it("make one attempt with retry: false, of the client or the call", () => {
    assert.strictEqual(settings({ retry: false }).retry.maxAttempts, 1)
    assert.strictEqual(Result.getOrThrow(resolveCall(settings({}), { retry: false })).retry.maxAttempts, 1)
    assert.strictEqual(Result.getOrThrow(resolveCall(settings({ retry: false }), { retry: { maxAttempts: 2 } })).retry.maxAttempts, 2)
  })

  it("are those of the client for a call without options", () => {
    const client = settings({})
    assert.strictEqual(Result.getOrThrow(resolveCall(client, undefined)), client)
  })

  it("print without the key", () => {
    assertSecret(settings({ headers: { "api-key": key } }).secrets.error, key)
    assert.notInclude(inspect({ ...settings({}), headers: {} }, { depth: 10, showHidden: true }), key)
  })
})

describe("headers", () => {
  const expected = { "x-a": "1", "x-b": "2" }
  it.each<[string, unknown]>([
    ["an object", { "X-A": "1", "x-b": "2", "x-c": undefined }],
    ["a Headers", new Headers({ "X-A": "1", "x-b": "2" })],
    [
      "entries",
      [
        ["X-A", "1"],
        ["x-b", "2"]
      ]
    ],
    [
      "a Map",
      new Map([
        ["X-A", "1"],
        ["x-b", "2"]
      ])
    ],
    ["an object without a prototype", Object.assign(Object.create(null), expected)]
  ])("may be %s", (_, headers) => {
    assert.deepStrictEqual(settings({ headers }).headers, expected)
  })

  it.each([
    "accept",
    "Authorization",
    "Connection",
    "content-length",
    "Content-Type",
    "expect",
    "host",
    "keep-alive",
    "Proxy-Authorization",
    "proxy-connection",
    "te",
    "trailer",
    "Transfer-Encoding",
    "upgrade"
  ])("cannot be %s, which the client or the connection sets", (name) => {
    const { message, option } = refused(loose({ headers: { [name]: "x" } }))
    assert.strictEqual(option, `headers["${name.toLowerCase()}"]`)
    assert.include(message, "is set by the client")
  })

  it.each<[string, unknown]>([
    ["null", { "x-a": null }],
    ["a number", { "x-a": 5 }],
    ["a list", { "x-a": ["1"] }]
  ])("cannot have %s for a value", (_, headers) => {
    assert.strictEqual(refused(loose({ headers })).option, 'headers["x-a"]')
  })

  it.each<[string, unknown]>([
    ["texts", ["x-a"]],
    ["null", [null]],
    ["empty", [[]]],
    ["names that are numbers", [[1, "2"]]]
  ])("cannot have entries that are %s", (_, headers) => {
    assert.strictEqual(refused(loose({ headers })).option, "headers")
  })
})

describe("a runtime", () => {
  it("adds its product to the user agent, which a header overrides", () => {
    assert.deepStrictEqual(settings({}, { product: "node/24.0.0" }).headers, { "user-agent": `paradigm-effect/${version} node/24.0.0` })
    assert.deepStrictEqual(settings({ headers: { "User-Agent": "mine" } }, { product: "node/24.0.0" }).headers, { "user-agent": "mine" })
  })

  it("has a default of telemetry, which the option overrides", () => {
    const [first, second] = [Telemetry.make(), Telemetry.make()]
    assert.strictEqual(settings({}, { telemetry: first }).telemetry, first)
    assert.strictEqual(settings({ telemetry: second }, { telemetry: first }).telemetry, second)
  })

  it("reads options from its environment, which options override", () => {
    const environment = (name: string) => ({ LIGHTON_API_KEY: "a-key", PARADIGM_BASE_URL: "http://host/v1" })[name]
    const from = (options: Loose) => Result.getOrThrow(resolveOptions(options, { environment: environmentOf(environment) }))
    assert.strictEqual(Redacted.value(Effect.runSync(from({}).apiKey)), "a-key")
    assert.strictEqual(from({}).baseUrl.href, "http://host/v1/chat/completions")
    assert.strictEqual(Redacted.value(Effect.runSync(from({ apiKey: "b-key", baseUrl: undefined }).apiKey)), "b-key")
    assert.strictEqual(from({ apiKey: "b-key", baseUrl: "http://other" }).baseUrl.host, "other")
  })

  it("names the variable in errors", () => {
    const from = (env: Record<string, string>) => refused(resolveOptions({}, { environment: environmentOf((name) => env[name]) }))
    assert.strictEqual(from({}).option, "PARADIGM_API_KEY")
    assert.match(from({}).message, /^PARADIGM_API_KEY is not set.*LIGHTON_API_KEY.*apiKey/)
    assert.strictEqual(from({ LIGHTON_API_KEY: "a b" }).option, "LIGHTON_API_KEY")
    assert.strictEqual(from({ PARADIGM_API_KEY: "x", PARADIGM_BASE_URL: "x" }).option, "PARADIGM_BASE_URL")
  })
})

describe("the version", () => {
  it("equals the version in package.json (update src/client/version.ts)", () => {
    assert.strictEqual(version, JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version)
  })
})

describe("a key that is a function", () => {
  const keys = ["a-long-key-number-1", "a-long-key-number-2"]

  const asking = Effect.fnUntraced(function* (apiKey: ParadigmClient.ApiKey, statuses: ReadonlyArray<number>) {
    let i = 0
    const { baseUrl, requests } = yield* serve((response, seen) => {
      const status = statuses[i++] ?? 200
      json(status === 200 ? completion : `bad key ${seen.headers.authorization}`, status)(response, seen)
    })
    const client = yield* clientOf({ baseUrl, apiKey, retry: { baseDelay: 1 } })
    const result = yield* Effect.result(client.createChatCompletion(request))
    const used = Array.from(yield* Queue.takeBetween(requests, 1, 10), ({ headers }) => headers.authorization?.slice(7))
    return { result, used }
  })

  it.live.each<[string, ParadigmClient.ApiKey]>([
    ["a text", () => key],
    ["a Redacted", () => Redacted.make(key)],
    ["a promise of a text", async () => key],
    ["a promise of a Redacted", async () => Redacted.make(key)]
  ])("may return %s", ([, apiKey]) =>
    Effect.gen(function* () {
      const { used } = yield* asking(apiKey, [200])
      assert.deepStrictEqual(used, [key])
    })
  )

  it.live("is called for every attempt", () =>
    Effect.gen(function* () {
      let calls = 0
      const { used } = yield* asking(() => keys[calls++] ?? "none", [503, 200])
      assert.deepStrictEqual(used, keys)
    })
  )

  it.live("is called once more after a 401, and another key gets one more attempt", () =>
    Effect.gen(function* () {
      let calls = 0
      const { result, used } = yield* asking(() => keys[calls++] ?? "none", [401, 200])
      assert.deepStrictEqual([result._tag, used, calls], ["Success", keys, 2])
    })
  )

  it.live("fails after a second 401, without its keys in the error", () =>
    Effect.gen(function* () {
      let calls = 0
      const { result, used } = yield* asking(() => keys[calls++] ?? "none", [401, 401, 200])
      assert(Result.isFailure(result))
      assert.strictEqual(result.failure.reason._tag, "Unauthorized")
      assert.strictEqual(result.failure.attempts.length, 2)
      assert.deepStrictEqual([used, calls], [keys, 2])
      for (const key of keys) assertSecret(result.failure, key)
    })
  )

  it.effect.each<[string, () => unknown, string]>([
    [
      "throws",
      () => {
        throw new Error("no vault")
      },
      "apiKey is a function that failed"
    ],
    ["rejects", () => Promise.reject(new Error("no vault")), "apiKey is a function that failed"],
    ["returns undefined", () => undefined, "apiKey must be a string"],
    ["returns an empty text", () => "", "apiKey is empty"],
    ["returns a text with a line end", () => `${key}\n`, "apiKey has a space, line end"],
    ["resolves with a number", async () => 5, "apiKey must be a string"]
  ])("fails the call before sending if it %s", ([name, apiKey, message]) =>
    Effect.gen(function* () {
      const client = yield* clientOf({ baseUrl: "http://127.0.0.1:9", apiKey: apiKey as () => string })
      const { error, reason } = yield* failure(client.createChatCompletion(request), "InvalidConfiguration")
      assert.strictEqual(reason.option, "apiKey")
      assert.include(error.message, message)
      assert.deepStrictEqual(error.attempts, [])
      assertSecret(error, key)
      if (name === "throws" || name === "rejects") assert.strictEqual((error.cause as Error).message, "no vault")
    })
  )

  it.live("may be an option of a call", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientOf({ baseUrl })
      yield* client.createChatCompletion(request, { apiKey: async () => "a-key-of-the-call" })
      yield* client.createChatCompletion(request, { apiKey: Redacted.make("another-one") })
      yield* client.createChatCompletion(request)
      const used = Array.from(yield* Queue.takeN(requests, 3), ({ headers }) => headers.authorization)
      assert.deepStrictEqual(used, ["Bearer a-key-of-the-call", "Bearer another-one", `Bearer ${key}`])
    })
  )
})

describe("extraBody", () => {
  it.live("adds fields to the request, those of the call over those of the client", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientOf({ baseUrl, extraBody: { vendor: { a: 1 }, priority: 1 } })
      yield* client.createChatCompletion(request, { extraBody: { priority: 2 } })
      assert.deepStrictEqual(JSON.parse((yield* Queue.take(requests)).body), { ...request, vendor: { a: 1 }, priority: 2 })
    })
  )

  it.live("is validated with the request", () =>
    Effect.gen(function* () {
      const client = yield* clientOf({ extraBody: { temperature: "hot" } })
      const { reason } = yield* failure(client.createChatCompletion(request), "InvalidRequest")
      assert.deepStrictEqual(Object.keys(reason.fields), ["temperature"])
    })
  )
})
