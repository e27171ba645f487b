import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Paradigm } from "../src/index.ts"

const refusal = (options: Paradigm.Options) => Effect.scoped(Effect.flip(Effect.provide(Paradigm.Client, Paradigm.layer(options))))

describe("Paradigm.layer in a page", () => {
  it.effect("refuses a key without allowKeyInBrowser, without quoting it", () =>
    Effect.gen(function* () {
      const error = yield* refusal({ apiKey: "a-secret" })
      assert.strictEqual(error.reason._tag, "InvalidConfiguration")
      assert.include(error.message, "allowKeyInBrowser")
      assert.notInclude(JSON.stringify(error), "a-secret")
    })
  )

  it.effect("suggests the option of other clients' users", () =>
    Effect.gen(function* () {
      const error = yield* refusal({ apiKey: "a-secret", dangerouslyAllowBrowser: true } as Paradigm.Options)
      assert.include(error.message, "unknown option dangerouslyAllowBrowser: did you mean allowKeyInBrowser?")
    })
  )

  it.effect("accepts a key with allowKeyInBrowser", () =>
    Effect.scoped(Effect.provide(Paradigm.Client, Paradigm.layer({ apiKey: "a-secret", allowKeyInBrowser: true })))
  )
})
