import { assert, describe, it } from "@effect/vitest"
import * as ChatTemplate from "../src/ChatTemplate.ts"
import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
import * as Schema from "effect/Schema"

// A lone surrogate cannot be sent: it becomes U+FFFD, as in any UTF-8.
const wellFormed = (text: string) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text))

const texts = [
  "",
  " ",
  "Say it again",
  "HELLO  WORLD\n\t x",
  "0 00 007 1234567890",
  "a b  c\u00a0d",
  "água naïve żółty λόγος 東京 한국어",
  "👩‍🔬 family 👨‍👩‍👧‍👦, flag 🇫🇷 🌊",
  "\ufeffafter a mark",
  '`print("a\\tb")`'
]

describe("the tokenizer", () => {
  it("gives each text back", () => {
    for (const text of texts) assert.strictEqual(Tokenizer.decode(Tokenizer.encode(text)), text)
  })

  it.prop("gives any text back", { text: Schema.String }, ({ text }) => {
    assert.strictEqual(Tokenizer.decode(Tokenizer.encode(text)), wellFormed(text))
  })

  it("has about three characters a token in English, and several tokens for a character outside of ASCII", () => {
    assert.deepStrictEqual(
      Tokenizer.encode("Hello world").map((id) => Tokenizer.decode([id])),
      ["Hell", "o", " worl", "d"]
    )
    assert.strictEqual(Tokenizer.encode("🌊").length, 4)
    assert.strictEqual(Tokenizer.encode("é").length, 2)
  })

  it("makes tokens only", () => {
    for (const text of texts) for (const id of Tokenizer.encode(text)) assert.isTrue(Tokenizer.isToken(id), String(id))
    for (const id of [-1, 1.5, 300, 512, 511 + 12 * 11, 2048, 2048 + 27, Tokenizer.vocabularySize])
      assert.isFalse(Tokenizer.isToken(id), String(id))
  })

  it("gives the text of each cut in two back, however the bytes of a character are divided", () => {
    for (const text of texts) {
      const ids = Tokenizer.encode(text)
      for (let cut = 0; cut <= ids.length; cut++) {
        const decoder = new Tokenizer.Decoder()
        let joined = ""
        for (const id of ids.slice(0, cut)) joined += decoder.push(id)
        assert.strictEqual(decoder.pending, Tokenizer.endsInside(ids.slice(0, cut)))
        assert.isTrue(text.startsWith(joined))
        for (const id of ids.slice(cut)) joined += decoder.push(id)
        assert.strictEqual(joined + decoder.end(), text)
      }
    }
  })

  it("decodes bytes that are no character as the platform does", () => {
    for (const bytes of [[0xe2, 0xe2, 0x41], [0x80], [0xff, 0x41], [0xf0, 0x9f, 0x41], [0xc3], [0xe0, 0x80]]) {
      assert.strictEqual(Tokenizer.decode(bytes), new TextDecoder().decode(new Uint8Array(bytes)))
    }
    assert.strictEqual(Tokenizer.decode([0xe2, ...Tokenizer.encode("on")]), "\ufffdon")
  })

  it("knows special tokens only where it is told to, and hides control tokens", () => {
    const text = "<think>\nSo</think><|im_end|>"
    assert.notInclude(Tokenizer.encode(text), Tokenizer.special.thinkStart)
    const ids = Tokenizer.encodeSpecial(text)
    assert.deepStrictEqual([ids[0], ids.at(-1)], [Tokenizer.special.thinkStart, Tokenizer.special.messageEnd])
    assert.strictEqual(Tokenizer.decode(ids), "<think>\nSo</think>")
    assert.strictEqual(Tokenizer.decode(ids, true), text)
  })
})

describe("the chat template", () => {
  const conversation = {
    context: { tools: [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }], reasoning_effort: "low" },
    messages: [
      { role: "system", content: 'Be <|im_end|> brief: "ö"\n' },
      { role: "user", content: "Weather in Zürich?" },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { type: "function", function: { name: 'get_"x"', arguments: '{"city": "Zürich\\n"}' } },
          { type: "function", function: { name: "b", arguments: "not JSON" } }
        ]
      },
      { role: "tool", content: "18 degrees" },
      { role: "user", content: [{ type: "text", text: "And this?" }, { type: "image_url" }] }
    ]
  }

  it("is read back whole, with the tokens of an answer", () => {
    const ids = ChatTemplate.render(conversation)
    const kept = [Tokenizer.special.thinkStart, ...Tokenizer.encode("\nHm 🌊").slice(0, -1)]
    assert.deepStrictEqual(ChatTemplate.read([...ids, ...kept]), { ...conversation, length: ids.length, kept })
  })

  it("is read back with the last message open, as the tokens that are there already", () => {
    const messages = [
      { role: "user", content: "Count" },
      { role: "assistant", content: "1, 2," }
    ]
    const ids = ChatTemplate.render({ messages }, { continueFinalMessage: true })
    const read = ChatTemplate.read(ids)
    assert.deepStrictEqual(read?.messages, messages.slice(0, 1))
    assert.strictEqual(Tokenizer.decode(read?.kept ?? []), "1, 2,")
  })

  it.prop("is read back with any texts", { role: Schema.String, content: Schema.String }, ({ content, role }) => {
    const message = { role: wellFormed(role).replaceAll("\n", ""), content: wellFormed(content) }
    if (message.role === "context") return
    assert.deepStrictEqual(ChatTemplate.read(ChatTemplate.render({ messages: [message] }))?.messages, [message])
  })

  it("does not read prompts of another form", () => {
    const user = ChatTemplate.render({ messages: [{ role: "user", content: "Hi" }] }, { addGenerationPrompt: false })
    for (const ids of [[], Tokenizer.encode("Once upon"), user]) assert.isUndefined(ChatTemplate.read(ids))
  })
})
