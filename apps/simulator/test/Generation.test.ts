import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Generation from "@paradigm-effect/simulator/Generation"

const text = (answer: Generation.Answer) => answer.pieces.join("")
const echo = (prompt: string, options: Partial<Generation.Options> = {}) =>
  Generation.answer({ mode: "echo", prompt, seed: 0, index: 0, maxTokens: 1000, ...options })
const random = (options: Partial<Generation.Options> = {}) =>
  Generation.answer({ mode: "random", prompt: "p", seed: 0, index: 0, maxTokens: 1000, ...options })

describe("tokens", () => {
  it("are words with the white space before them, and pieces of long words", () => {
    assert.deepStrictEqual([...Generation.tokens("To be,\n or  not ")], ["To", " be,", "\n or", "  not", " "])
    assert.deepStrictEqual([...Generation.tokens("extraordinarily")], ["extraordinar", "ily"])
    assert.deepStrictEqual([...Generation.tokens("🌊".repeat(13))], ["🌊".repeat(12), "🌊"])
    assert.deepStrictEqual([...Generation.tokens("")], [])
  })

  it.effect.prop("joined are the text, and counted they are as many", [Schema.String], ([value]) =>
    Effect.sync(() => {
      const tokens = [...Generation.tokens(value)]
      assert.strictEqual(tokens.join(""), value)
      assert.strictEqual(Generation.count(value), tokens.length)
    })
  )
})

describe("echo", () => {
  it("gives the prompt back and stops", () => {
    assert.deepStrictEqual(echo("Hello, wörld"), { pieces: ["Hello,", " wörld"], tokens: 2, finishReason: "stop", stopReason: null })
    assert.deepStrictEqual(echo(""), { pieces: [], tokens: 0, finishReason: "stop", stopReason: null })
  })

  it("is cut at the limit, and a text that just fits is not", () => {
    assert.deepStrictEqual(echo("a b c", { maxTokens: 2 }), { pieces: ["a", " b"], tokens: 2, finishReason: "length", stopReason: null })
    assert.strictEqual(echo("a b c", { maxTokens: 3 }).finishReason, "stop")
  })
})

describe("stop strings", () => {
  it("end the answer before them, wherever tokens are cut", () => {
    assert.deepStrictEqual(echo("one two three four", { stop: ["o th"] }), {
      pieces: ["one", " tw"],
      tokens: 3,
      finishReason: "stop",
      stopReason: "o th"
    })
    assert.deepStrictEqual(echo("one two three", { stop: ["one"] }).pieces, [])
    assert.deepStrictEqual(echo("a b c d", { stop: ["x", " c"] }).pieces, ["a", " b"])
  })

  it("are kept when asked for", () => {
    assert.strictEqual(text(echo("one two three four", { stop: ["o th"], includeStop: true })), "one two th")
  })

  it("count only from the least number of tokens on, and not past the limit", () => {
    assert.strictEqual(text(echo("a b a b c", { stop: ["b"], minTokens: 3 })), "a b a ")
    assert.strictEqual(echo("a b c", { stop: ["c"], maxTokens: 2 }).finishReason, "length")
  })

  it.effect.prop("never show in the text, which is a prefix of the whole", [Schema.String, Schema.NonEmptyString], ([value, stop]) =>
    Effect.sync(() => {
      for (const prompt of [value, value + stop + value]) {
        const answer = echo(prompt, { stop: [stop] })
        assert.strictEqual(text(answer), prompt.includes(stop) ? prompt.slice(0, prompt.indexOf(stop)) : prompt)
        assert.strictEqual(answer.stopReason, prompt.includes(stop) ? stop : null)
        assert.isFalse(answer.pieces.includes(""))
      }
    })
  )
})

describe("random", () => {
  it("is the same for the same seed, index and prompt, and differs when one of them does", () => {
    assert.deepStrictEqual(random(), random())
    const texts = [random(), random({ seed: 1 }), random({ index: 1 }), random({ prompt: "q" })].map(text)
    assert.strictEqual(new Set(texts).size, texts.length)
  })

  it("has from 16 to 63 tokens, at least as many as asked, and goes on to the limit when told", () => {
    for (let seed = 0; seed < 200; seed++) assert.isTrue(random({ seed }).tokens >= 16 && random({ seed }).tokens < 64)
    assert.strictEqual(random({ minTokens: 100 }).tokens, 100)
    const endless = random({ ignoreEndOfText: true, maxTokens: 500 })
    assert.deepStrictEqual([endless.tokens, endless.finishReason], [500, "length"])
  })

  it("has characters of one to four bytes", () => {
    const bytes = new Set(Array.from(text(random({ ignoreEndOfText: true })), (character) => new TextEncoder().encode(character).length))
    assert.deepStrictEqual(
      [...bytes].sort((a, b) => a - b),
      [1, 2, 3, 4]
    )
  })
})
