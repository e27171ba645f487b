import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatCompletionChunk, ChatCompletionDelta } from "../../src/ChatCompletion.ts"
import { ChatCompletionAccumulator } from "../../src/ChatCompletionAccumulator.ts"
import { decodeChunk } from "../../src/contract/decode.ts"
import * as ChatCompletionStream from "../../src/ChatCompletionStream.ts"
import { Parser } from "../../src/ServerSentEvents.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)

const chunkOf = (choices: ReadonlyArray<object>): ChatCompletionChunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices: choices as ChatCompletionChunk["choices"]
})

const text = (content: string) => chunkOf([{ index: 0, delta: { content }, finish_reason: null }])
const call = (args: string) => chunkOf([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: args } }] } }])
const finish = chunkOf([{ index: 0, delta: {}, finish_reason: "stop" }])
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const done = "data: [DONE]\n\n"

const run = (bytes: Stream.Stream<Uint8Array>) =>
  Effect.gen(function* () {
    const chunks: Array<ChatCompletionChunk> = []
    const result = yield* ChatCompletionStream.decode(bytes, { acceptUnfinished: true }).pipe(
      Stream.runForEach((chunk) => Effect.sync(() => chunks.push(chunk))),
      Effect.result
    )
    return { chunks, tag: result._tag === "Failure" ? result.failure.reason._tag : undefined }
  })

// Reads event by event. Each is parsed and decoded as a whole.
const readWhole = (bytes: Uint8Array) => {
  const soFar = new ChatCompletionAccumulator()
  const chunks: Array<unknown> = []
  let end: "done" | "bad" | undefined
  const parser = new Parser({
    onEvent: (data) => {
      if (end !== undefined) return
      if (data.trim() === "") return
      if (data.trim() === "[DONE]") end = "done"
      else {
        try {
          const chunk = Result.getOrThrow(decodeChunk(JSON.parse(data), soFar))
          if (chunk !== undefined) chunks.push(soFar.add(chunk))
        } catch {
          end = "bad"
        }
      }
    }
  })
  parser.push(bytes)
  return { chunks, end }
}

const pick = <const A>(...values: ReadonlyArray<A>) =>
  Arbitrary.map(Arbitrary.schema(Schema.Literals(values.map((_, at) => at))), (at) => Arr.getUnsafe(values, at))

const words = Arbitrary.map(
  Arbitrary.array(
    pick(
      "a",
      "Hello",
      " ",
      "\n",
      "\r\n",
      '"',
      "\\",
      "\\n",
      "/",
      "\t",
      "\0",
      "\u007f",
      "é",
      "水",
      "😀",
      "\u2028",
      "\ufeff",
      "\ud83d",
      "data: [DONE]\n\n",
      '"}}]}',
      "{}",
      "x".repeat(30)
    ),
    { maxLength: 4 }
  ),
  (parts) => parts.join("")
)
const ascii = (json: string) => json.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
const spaced = (json: string) => json.replaceAll('":', '": ').replaceAll(',"', ', "')
const slashed = (json: string) => json.replaceAll("/", "\\/")

type Write = (content: string) => string
const chunk =
  (delta: (text: string) => ChatCompletionDelta): Write =>
  (content) =>
    JSON.stringify(chunkOf([{ index: 0, delta: delta(content), logprobs: null, finish_reason: null }]))
const shapes: ReadonlyArray<Write> = [
  chunk((content) => ({ content })),
  chunk((content) => ({ role: "assistant", content })),
  chunk((content) => ({ content, role: "assistant", reasoning: content })),
  chunk((reasoning) => ({ reasoning })),
  chunk((reasoning_content) => ({ reasoning_content, content: null })),
  chunk((refusal) => ({ refusal })),
  chunk((args) => ({ tool_calls: [{ index: 0, function: { arguments: args } }] })),
  chunk((args) => ({ tool_calls: [{ index: 1, id: "a", type: "function", function: { name: "f", arguments: args } }] })),
  chunk((args) => ({ function_call: { arguments: args } })),
  (content) =>
    JSON.stringify(
      chunkOf([
        { index: 0, delta: { content } },
        { index: 1, delta: { content } }
      ])
    ),
  (content) => JSON.stringify({ ...text(content), usage, service_tier: content }),
  (content) => JSON.stringify(chunkOf([{ index: 0, delta: { content }, logprobs: { content: [{ token: content, logprob: -1 }] } }])),
  // The last of two equal keys counts.
  (content) => JSON.stringify(text("")).replace('"content":""', `"content":"first","content":${JSON.stringify(content)}`),
  (content) => JSON.stringify(text("")).replace('"content":""', `"content":${JSON.stringify(content)},"content":"last"`),
  (content) => JSON.stringify(text("")).replace('{"content":""}', `{"content":${JSON.stringify(content)}},"delta":{"reasoning":"x"}`),
  (content) => JSON.stringify(text("")).replace('"content"', '"\\u0063ontent"').replace('""', JSON.stringify(content)),
  () => JSON.stringify(finish)
]

const wrap = (write: Write, content: string, [rewrite, end, field]: readonly [(json: string) => string, string, string]) =>
  `${field}${rewrite(write(content)).replaceAll(/[\r\n]/g, "")}${end}${end}`

const part = Arbitrary.flatMap(pick("run", "run", "run", "one", "other"), (kind): Arbitrary.Arbitrary<string> => {
  const style = Arbitrary.all([pick(ascii, spaced, slashed, String, String), pick("\n", "\n", "\r\n", "\r"), pick("data: ", "data:")])
  if (kind === "run") {
    return Arbitrary.map(
      Arbitrary.all([pick(...shapes), Arbitrary.array(words, { minLength: 2, maxLength: 6 }), style]),
      ([write, contents, style]) => contents.map((content) => wrap(write, content, style)).join("")
    )
  }
  if (kind === "one")
    return Arbitrary.map(Arbitrary.all([pick(...shapes), words, style]), ([write, content, style]) => wrap(write, content, style))
  return pick(
    ": keep-alive\n\n",
    "\n",
    "\r\n",
    ":\r",
    "id: 1\n",
    "event: message\n",
    "retry: 1\n\n",
    `data:  ${JSON.stringify(text("a"))}\n\n`,
    `data: ${JSON.stringify(text("b"))}\n: c\n\n`,
    `id: 2\ndata: ${JSON.stringify(text("b"))}\n\n`,
    `data: ${JSON.stringify(text("b")).replace('"choices"', '\ndata: "choices"')}\n\n`,
    `data: ${JSON.stringify(text("b"))}\r`,
    "data: nonsense\n\n",
    done
  )
})

const alike = (content: string) => `data: ${JSON.stringify(text(content))}\n\n`
const inPlaceOf = (json: string) => utf8(alike("!").replace('"!"', json))

describe("a stream of similar chunks", () => {
  it.effect.prop(
    "has the chunks of its events, however it is written, broken and split",
    {
      parts: Arbitrary.array(part, { minLength: 1, maxLength: 8 }),
      byte: pick(0x01, 0x0a, 0x22, 0x5c, 0xe2, 0xff),
      broken: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5000 })),
      cut: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 }))
    },
    ({ broken, byte, cut, parts }) =>
      Effect.gen(function* () {
        const bytes = utf8(parts.join(""))
        // About half of the streams have a wrong byte.
        if (broken < bytes.length) bytes[broken] = byte
        const expected = readWhole(bytes)
        const reads = Arr.chunksOf(bytes, cut).map((part) => Uint8Array.from(part))
        for (const stream of [
          Stream.fromIterable([bytes], { chunkSize: 1 }),
          Stream.fromIterable(reads, { chunkSize: 1 }),
          Stream.fromIterable(reads),
          Stream.fromIterable(
            Array.from(bytes, (byte) => Uint8Array.of(byte)),
            { chunkSize: 1 }
          )
        ]) {
          const { chunks, tag } = yield* run(stream)
          assert.deepStrictEqual(chunks, expected.chunks)
          if (expected.end === "done" && chunks.length > 0) assert.isUndefined(tag)
          else if (expected.end === "bad") assert.strictEqual(tag, "MalformedChunk")
          else assert.include([undefined, "StreamTruncated"], tag)
        }
      }),
    { arbitrary: { runs: 400 }, timeout: 60_000 }
  )

  it.effect.each<[string, Uint8Array]>([
    ["a raw tab", inPlaceOf('"a\tb"')],
    ["a raw control character", inPlaceOf('"a\u0001b"')],
    ["a raw control character after others that are long", inPlaceOf(`"${"x".repeat(100)}\u0001b"`)],
    ["DEL", inPlaceOf('"a\u007fb"')],
    ["an invalid escape", inPlaceOf('"a\\xb"')],
    ["an escape of a quote at its end", inPlaceOf('"a\\"')],
    ["half an escape", inPlaceOf('"a\\u00"')],
    ["half a surrogate pair, escaped", inPlaceOf('"\\ud83d"')],
    ["a surrogate pair, escaped", inPlaceOf('"\\ud83d\\ude00"')],
    ["escapes of marks", inPlaceOf('"\\"\\\\\\/"')],
    ["escapes of blanks", inPlaceOf('"\\n\\r\\t"')],
    ["escapes of old controls", inPlaceOf('"\\b\\f"')],
    ["every escape", inPlaceOf('"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"')],
    ["an empty string", inPlaceOf('""')],
    ["null", inPlaceOf("null")],
    ["a number", inPlaceOf("1")],
    ["a list", inPlaceOf('["a"]')],
    ["two strings", inPlaceOf('"a""b"')],
    ["a space before the string", inPlaceOf(' "a"')],
    ["a byte order mark", inPlaceOf('"\ufeffa"')],
    ["a byte that is no UTF-8", inPlaceOf('"é"').map((byte) => (byte === 0xa9 ? 0x22 : byte))],
    ["half a character at its end", Uint8Array.from([...inPlaceOf('"aé"')].filter((byte) => byte !== 0xa9))],
    ["no string at all", utf8(alike("").replace('"content":""', ""))],
    ["another key", utf8(alike("a").replace("content", "reasoning"))],
    ["one more key", utf8(alike("a").replace('"a"', '"a","role":"critic"'))],
    ["an error beside", utf8(alike("a").replace('{"id"', '{"error":null,"id"'))],
    ["another choice", utf8(alike("a").replace('"index":0', '"index":1'))],
    ["a finish", utf8(alike("a").replace('"finish_reason":null', '"finish_reason":"stop"'))],
    ["another id", utf8(alike("a").replace("chatcmpl-1", "chatcmpl-2"))],
    ["another name of the event", utf8(`event: x\n${alike("a")}`)],
    ["a second line", utf8(alike("a").replace("\n\n", "\ndata:\n\n"))],
    ["a line that is no JSON", utf8(alike("a").replace("\n\n", "\ndata: x\n\n"))],
    ["two blank lines", utf8(`${alike("a")}\n\n`)],
    ["no space before it", utf8(alike("a").replace("data: ", "data:"))],
    ["another line end", utf8(alike("a").replace("\n\n", "\r\n\r\n"))],
    ["half another line end", utf8(alike("a").replace("\n\n", "\n\r\n"))]
  ])("has the chunks of its events when one of them has %s", ([, odd]) =>
    Effect.gen(function* () {
      const before = utf8(alike("a") + alike("b") + alike("c"))
      const bytes = Uint8Array.from([...before, ...odd, ...before, ...utf8(done)])
      const expected = readWhole(bytes)
      for (const size of [bytes.length, 1, 7, 64, before.length, before.length + 20]) {
        const { chunks, tag } = yield* run(
          Stream.fromIterable(
            Arr.chunksOf(bytes, size).map((part) => Uint8Array.from(part)),
            { chunkSize: 1 }
          )
        )
        assert.deepStrictEqual(chunks, expected.chunks)
        assert.strictEqual(tag, expected.end === "done" ? undefined : "MalformedChunk")
      }
    })
  )

  it.effect("has the chunks of its events when an earlier read began one of them", () =>
    Effect.gen(function* () {
      for (const begun of ["event: error\r", "event: error\r\n", `event: error\n: ${"x".repeat(20_000)}\n`]) {
        const reads = [alike("a"), alike("b"), begun, alike("c"), done].map(utf8)
        const { chunks, tag } = yield* run(Stream.fromIterable(reads, { chunkSize: 1 }))
        assert.deepStrictEqual(chunks, [text("a"), text("b")])
        assert.strictEqual(tag, "StreamFault")
      }
    })
  )

  it.effect.each([(size: number) => new Uint8Array(size), (size: number) => Buffer.alloc(size)])(
    "copies the bytes that it keeps (%#)",
    (allocate) =>
      Effect.gen(function* () {
        const bytes = utf8(Arr.makeBy(20, (number) => alike(String(number))).join("") + done)
        const memory = allocate(50)
        const reads = function* () {
          for (const part of Arr.chunksOf(bytes, memory.length)) {
            memory.set(part)
            yield memory.subarray(0, part.length)
          }
        }
        const { chunks, tag } = yield* run(Stream.fromIterable(reads(), { chunkSize: 1 }))
        assert.isUndefined(tag)
        assert.deepStrictEqual(
          chunks,
          Arr.makeBy(20, (number) => text(String(number)))
        )
      })
  )

  it.effect.each<[string, (nested: object) => unknown]>([
    ["nowhere", () => text("a")],
    ["in tool calls", () => call("{")],
    ["in a delta", (extra) => chunkOf([{ index: 0, delta: { content: "a", extra } }])],
    ["in a choice", (extra) => chunkOf([{ index: 0, delta: { content: "a" }, extra }])],
    ["in logprobs", (extra) => chunkOf([{ index: 0, delta: { content: "a" }, logprobs: { content: [], extra } }])],
    ["in a chunk", (extra) => ({ ...text("a"), extra })],
    ["in usage", (extra) => ({ ...text("a"), usage: { ...usage, extra } })],
    ["in a tool call", (extra) => chunkOf([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: "{" }, extra }] } }])],
    ["in a function", (extra) => chunkOf([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: "{", extra } }] } }])]
  ])("emits chunks that share no object when a field nests %s", ([, shape]) =>
    Effect.gen(function* () {
      const bytes = utf8(`data: ${JSON.stringify(shape({ deep: [{}] }))}\n\n`.repeat(20) + done)
      const emitted = yield* Stream.runCollect(ChatCompletionStream.decode(Stream.succeed(bytes), { acceptUnfinished: true }))
      const objects = new Set<unknown>()
      let count = 0
      const visit = (value: unknown) => {
        if (typeof value !== "object" || value === null) return
        objects.add(value)
        count++
        Object.values(value).forEach(visit)
      }
      emitted.forEach(visit)
      assert.strictEqual(emitted.length, 20)
      assert.strictEqual(objects.size, count)
    })
  )
})
