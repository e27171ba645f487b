import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as ParadigmClient from "../../src/ParadigmClient.ts"
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
    ["/below/a/prefix", "/below/a/prefix/api/v3/chat/completions"],
    ["/below/a/prefix/api/v3/", "/below/a/prefix/api/v3/chat/completions"],
    ["/api/v2?tenant=x", "/api/v2/chat/completions?tenant=x"],
    ["/#part", "/api/v3/chat/completions"]
  ])("that is …%s leads to %s", ([suffix = "", path]) =>
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
  ])("with a key that holds %s are refused, without quoting it", ([, apiKey = ""]) =>
    Effect.gen(function* () {
      for (const spelling of [apiKey, Redacted.make(apiKey)]) {
        const { error, reason } = yield* refusal({ apiKey: spelling })
        assert.strictEqual(reason.option, "apiKey")
        assert.isFalse(error.isRetryable)
        assertSecret(error, key)
      }
    })
  )

  it.effect("without a key are refused", () =>
    Effect.gen(function* () {
      for (const apiKey of ["", undefined, null, 42] as ReadonlyArray<string>) {
        assert.strictEqual((yield* refusal({ apiKey })).reason.option, "apiKey")
      }
      assert.strictEqual((yield* refusal({ apiKey: Redacted.make("") })).reason.option, "apiKey")
    })
  )

  it.effect.each([
    "",
    "paradigm.example.com",
    "/api/v3",
    "//paradigm.example.com",
    "http://",
    "https://exa mple.com",
    "ftp://paradigm.example.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "ws://paradigm.example.com",
    "http://[::1",
    "http://host:99999"
  ])("with the base URL %j are refused", (baseUrl) =>
    Effect.gen(function* () {
      const { error, reason } = yield* refusal({ baseUrl })
      assert.strictEqual(reason.option, "baseUrl")
      assert.include(error.message, "baseUrl")
    })
  )

  it.effect.each(["https://someone:s3cret@paradigm.example.com", "https://s3cret@paradigm.example.com/api/v3", "https://:s3cret@host"])(
    "with a secret in the base URL are refused, without quoting it (%#)",
    (baseUrl) =>
      Effect.gen(function* () {
        const { error, reason } = yield* refusal({ baseUrl })
        assert.strictEqual(reason.option, "baseUrl")
        assertSecret(error, "s3cret")
      })
  )

  it.effect("with headers that HTTP does not allow are refused, without quoting their values", () =>
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

  it.live("of a call with headers that HTTP does not allow send nothing", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientOf({ baseUrl })
      const { error } = yield* failure(client.createChatCompletion(request, { headers: { "x-a": "s3cret\n" } }), "InvalidConfiguration")
      assertSecret(error, "s3cret")
      assert.strictEqual(yield* Queue.size(requests), 0)
    })
  )

  it.live("need no base URL, and take a key that is redacted", () =>
    Effect.gen(function* () {
      yield* clientOf({ apiKey: Redacted.make(key) })
      const { baseUrl, requests } = yield* serve(json(completion))
      yield* (yield* clientOf({ baseUrl, apiKey: Redacted.make(key) })).createChatCompletion(request)
      assert.strictEqual((yield* Queue.take(requests)).headers.authorization, `Bearer ${key}`)
    })
  )
})
