import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import { ParadigmClient } from "../src/ParadigmClient.ts"
import { completion, failure, fetchClient, json, key, request, serve } from "./Loopback.ts"
import { assertSecret } from "./Secret.ts"

const fromEnvironment = (env: Record<string, string>) =>
  Layer.build(HttpClientTransport.layerConfig).pipe(
    Effect.provide(fetchClient),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord(env))
  )

describe("the environment", () => {
  it.live("has the base URL and the key", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const context = yield* fromEnvironment({ PARADIGM_API_KEY: key, PARADIGM_BASE_URL: `${baseUrl}/api/v2` })
      yield* Context.get(context, ParadigmClient).createChatCompletion(request)
      const { headers, path } = yield* Queue.take(requests)
      assert.deepStrictEqual([path, headers.authorization], ["/api/v2/chat/completions", `Bearer ${key}`])
      yield* fromEnvironment({ PARADIGM_API_KEY: key })
    })
  )

  it.live.each<[string, Record<string, string>]>([
    ["LIGHTON_API_KEY alone", { LIGHTON_API_KEY: key }],
    ["PARADIGM_API_KEY of both", { LIGHTON_API_KEY: "another-key", PARADIGM_API_KEY: key }],
    ["LIGHTON_API_KEY if the other is empty", { LIGHTON_API_KEY: key, PARADIGM_API_KEY: "" }]
  ])("has the key: %s", ([, env]) =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const context = yield* fromEnvironment({ ...env, PARADIGM_BASE_URL: baseUrl })
      yield* Context.get(context, ParadigmClient).createChatCompletion(request)
      assert.strictEqual((yield* Queue.take(requests)).headers.authorization, `Bearer ${key}`)
    })
  )

  it.effect("counts an empty base URL as absent", () => fromEnvironment({ PARADIGM_API_KEY: key, PARADIGM_BASE_URL: "" }))

  it.effect.each<[string, Record<string, string>, string]>([
    ["no key", {}, "PARADIGM_API_KEY"],
    ["an empty key", { PARADIGM_API_KEY: "" }, "PARADIGM_API_KEY"],
    ["a key with a line end", { PARADIGM_API_KEY: `${key}\n` }, "PARADIGM_API_KEY"],
    ["another variable's key with a line end", { LIGHTON_API_KEY: `${key}\n` }, "LIGHTON_API_KEY"],
    ["an invalid base URL", { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: "paradigm" }, "PARADIGM_BASE_URL"],
    [
      "a base URL with a password",
      { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: `https://x:${encodeURIComponent(key)}@host` },
      "PARADIGM_BASE_URL"
    ]
  ])("fails with InvalidConfiguration and the name of the variable: %s", ([, env, option]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(fromEnvironment(env), "InvalidConfiguration")
      assert.strictEqual(reason.option, option)
      assert.include(error.message, option)
      assertSecret(error, key)
      assertSecret(error, encodeURIComponent(key))
    })
  )
})
