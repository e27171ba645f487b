import { assert, beforeEach, describe, it } from "@effect/vitest"
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

const seenBy = async (options: Paradigm.Options) => {
  await using paradigm = Paradigm.connect(options)
  const { choices } = await paradigm.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Hello" }] })
  return JSON.parse(choices[0]?.message.content ?? "") as Readonly<
    Record<"method" | "url" | "cookie" | "authorization", string | undefined>
  >
}

describe("a backend of the page's own origin", () => {
  beforeEach(() => {
    document.cookie = "session=of-the-page; path=/"
  })

  it("is a relative base URL, without a key and with the cookies of the page", async () => {
    const { authorization, cookie, method, url } = await seenBy({ baseUrl: "/backend/v1" })
    assert.deepStrictEqual([method, url, authorization], ["POST", "/backend/v1/chat/completions", undefined])
    assert.include(cookie, "session=of-the-page")
  })

  it("may have any path", async () => {
    const { url } = await seenBy({ url: "/backend/any/path/?team=a" })
    assert.strictEqual(url, "/backend/any/path/?team=a")
    const absolute = await seenBy({ url: new URL("/backend", location.href), baseUrl: "/ignored" })
    assert.strictEqual(absolute.url, "/backend")
  })

  it("receives no cookies with credentials: omit, and by default with a key", async () => {
    assert.isUndefined((await seenBy({ baseUrl: "/backend", credentials: "omit" })).cookie)
    const withKey = await seenBy({ baseUrl: "/backend", apiKey: "a-key-of-the-user", allowKeyInBrowser: true })
    assert.deepStrictEqual([withKey.cookie, withKey.authorization], [undefined, "Bearer a-key-of-the-user"])
    const both = await seenBy({ baseUrl: "/backend", apiKey: "a-key-of-the-user", allowKeyInBrowser: true, credentials: "include" })
    assert.include(both.cookie, "session=of-the-page")
  })

  it.each<[string, unknown, RegExp]>([
    ["no address and no key", {}, /apiKey is missing/],
    [
      "a credentials mode that does not exist",
      { baseUrl: "/backend", credentials: "yes" },
      /credentials must be omit, same-origin or include/
    ],
    ["an address that is not a URL", { url: "http://" }, /baseUrl must be an absolute http/],
    ["a key that the page may not hold", { baseUrl: "/backend", apiKey: "a-key-of-the-user" }, /allowKeyInBrowser must be true/]
  ])("is refused with %s", (_, options, message) => {
    assert.throws(() => Paradigm.connect(options as Paradigm.Options), message)
  })
})
