import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ChatCompletionChunk, type ChatCompletionDelta } from "../../src/ChatCompletion.ts"
import * as ChatCompletionStream from "../../src/ChatCompletionStream.ts"
import { Parser } from "../../src/ServerSentEvents.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)

const chunkOf = (choices: ReadonlyArray<ChatCompletionChunk["choices"][number]>) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices
})

const text = (content: string) => chunkOf([{ index: 0, delta: { content }, finish_reason: null }])
const call = (args: string) => chunkOf([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: args } }] } }])
const finish = chunkOf([{ index: 0, delta: {}, finish_reason: "stop" }])
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const done = "data: [DONE]\n\n"

const run = (bytes: Stream.Stream<Uint8Array>) =>
  Effect.gen(function* () {
    const chunks: Array<ChatCompletionChunk> = []
    const result = yield* ChatCompletionStream.decode(bytes).pipe(
      Stream.runForEach((chunk) => Effect.sync(() => chunks.push(chunk))),
      Effect.result
    )
    return { chunks, tag: result._tag === "Failure" ? result.failure.reason._tag : undefined }
  })

const decodeChunk = Schema.decodeUnknownSync(ChatCompletionChunk)

// Event by event, each parsed and decoded as a whole.
const readWhole = (bytes: Uint8Array) => {
  const chunks: Array<unknown> = []
  let end: "done" | "bad" | undefined
  const parser = new Parser({
    onEvent: (data) => {
      if (end !== undefined) return
      if (data === "[DONE]") end = "done"
      else {
        try {
          chunks.push(decodeChunk(JSON.parse(data)))
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
  // Keys that come twice: the last one counts.
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

describe("a stream of chunks that are alike", () => {
  it.effect.prop(
    "is told as its events are, however it is written, broken and cut",
    {
      parts: Arbitrary.array(part, { minLength: 1, maxLength: 8 }),
      byte: pick(0x01, 0x0a, 0x22, 0x5c, 0xe2, 0xff),
      broken: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5000 })),
      cut: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 }))
    },
    ({ broken, byte, cut, parts }) =>
      Effect.gen(function* () {
        const bytes = utf8(parts.join(""))
        // About half of the streams have a byte that does not belong there.
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
          if (expected.end === "done") assert.isUndefined(tag)
          else if (expected.end === "bad") assert.strictEqual(tag, "MalformedChunk")
          else assert.include([undefined, "StreamTruncated"], tag)
        }
      }),
    { arbitrary: { runs: 400 }, timeout: 60_000 }
  )

  it.effect("tells chunks that share nothing", () =>
    Effect.gen(function* () {
      const alike = [...Arr.makeBy(20, () => text("a")), ...Arr.makeBy(20, () => call("{"))]
      const bytes = utf8(alike.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("") + done)
      const told = yield* Stream.runCollect(ChatCompletionStream.decode(Stream.succeed(bytes)))
      const objects = new Set<unknown>()
      let count = 0
      const visit = (value: unknown) => {
        if (typeof value !== "object" || value === null) return
        objects.add(value)
        count++
        Object.values(value).forEach(visit)
      }
      told.forEach(visit)
      assert.strictEqual(objects.size, count)
    })
  )
})
