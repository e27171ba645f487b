import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { ParadigmClient } from "../src/ParadigmClient.ts"
import * as ParadigmConfig from "../src/ParadigmConfig.ts"
import { completion, failure, fetchClient, json, key, request, serve } from "./Loopback.ts"
import { assertSecret } from "./Secret.ts"

const fromEnvironment = (env: Record<string, string>) =>
  Layer.build(ParadigmConfig.layer).pipe(
    Effect.provide(fetchClient),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord(env))
  )

describe("the environment", () => {
  it.live("says where the endpoint is, and the key", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const context = yield* fromEnvironment({ PARADIGM_API_KEY: key, PARADIGM_BASE_URL: `${baseUrl}/api/v2` })
      yield* Context.get(context, ParadigmClient).createChatCompletion(request)
      const { headers, path } = yield* Queue.take(requests)
      assert.deepStrictEqual([path, headers.authorization], ["/api/v2/chat/completions", `Bearer ${key}`])
      yield* fromEnvironment({ PARADIGM_API_KEY: key })
    })
  )

  it.effect.each<[string, Record<string, string>, string]>([
    ["no key", {}, "PARADIGM_API_KEY"],
    ["an empty key", { PARADIGM_API_KEY: "" }, "PARADIGM_API_KEY"],
    ["a key with a line end", { PARADIGM_API_KEY: `${key}\n` }, "PARADIGM_API_KEY"],
    ["a base URL that is none", { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: "paradigm" }, "PARADIGM_BASE_URL"],
    [
      "a base URL with a password",
      { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: `https://x:${encodeURIComponent(key)}@host` },
      "PARADIGM_BASE_URL"
    ]
  ])("with %s is refused by the name of the variable", ([, env, option]) =>
    Effect.gen(function* () {
      const { error, reason } = yield* failure(fromEnvironment(env), "InvalidConfiguration")
      assert.strictEqual(reason.option, option)
      assert.include(error.message, option)
      assertSecret(error, key)
      assertSecret(error, encodeURIComponent(key))
    })
  )
})
