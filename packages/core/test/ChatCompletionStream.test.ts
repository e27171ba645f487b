import { assert, describe, it } from "@effect/vitest"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ChatCompletionChunk, ChatCompletionDelta } from "../src/ChatCompletion.ts"
import { ChatCompletionAccumulator } from "../src/ChatCompletionAccumulator.ts"
import * as ChatCompletionStream from "../src/ChatCompletionStream.ts"
import { ConnectionLost, ParadigmError, type ParadigmErrorReason } from "../src/ParadigmError.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)

const chunkOf = (choices: ReadonlyArray<object>, more: object = {}): ChatCompletionChunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices: choices as ChatCompletionChunk["choices"],
  ...more
})

const delta = (delta: ChatCompletionDelta) => chunkOf([{ index: 0, delta, finish_reason: null }])
const text = (content: string) => delta({ content })
const finish = (reason = "stop") => chunkOf([{ index: 0, delta: {}, finish_reason: reason }])
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }

const groqError: object = { x_groq: { error: "boom" } }

const event = (value: unknown, end = "\n") => `data: ${typeof value === "string" ? value : JSON.stringify(value)}${end}${end}`
const done = "data: [DONE]\n\n"

interface Outcome {
  readonly chunks: ReadonlyArray<ChatCompletionChunk>
  readonly error: ParadigmError | undefined
}

const run = (bytes: Stream.Stream<Uint8Array, ParadigmErrorReason>, options?: ChatCompletionStream.Options) =>
  Effect.gen(function* () {
    const chunks: Array<ChatCompletionChunk> = []
    const exit = yield* ChatCompletionStream.decode(bytes, options).pipe(
      Stream.runForEach((chunk) => Effect.sync(() => chunks.push(chunk))),
      Effect.result
    )
    return { chunks, error: exit._tag === "Failure" ? exit.failure : undefined } satisfies Outcome
  })

const ofText = (...reads: ReadonlyArray<string>) => Stream.fromIterable(reads.map(utf8), { chunkSize: 1 })

const outcomeOf = (...reads: ReadonlyArray<string>) => run(ofText(...reads))

const assertComplete = ({ chunks, error }: Outcome, expected: ReadonlyArray<unknown>) => {
  assert.isUndefined(error)
  assert.deepStrictEqual(chunks, expected)
}

const assertFails = <Tag extends ParadigmErrorReason["_tag"]>({ error }: Outcome, tag: Tag) => {
  assert.instanceOf(error, ParadigmError)
  assert.strictEqual(error.reason._tag, tag)
  return { error, reason: error.reason as Extract<ParadigmErrorReason, { _tag: Tag }> }
}

// Splits bytes into reads: not at all, at each byte, with empty reads, and in groups.
const cuts = (bytes: Uint8Array): ReadonlyArray<Stream.Stream<Uint8Array>> => {
  const each = Array.from(bytes, (byte) => Uint8Array.of(byte))
  const every = (size: number) => Arr.chunksOf(bytes, size).map((part) => Uint8Array.from(part))
  return [
    Stream.fromIterable([bytes], { chunkSize: 1 }),
    Stream.fromIterable(each, { chunkSize: 1 }),
    Stream.fromIterable(each),
    Stream.fromIterable(
      each.flatMap((byte) => [new Uint8Array(0), byte]),
      { chunkSize: 3 }
    ),
    ...[2, 3, 7, 50, 64, 101].map((size) => Stream.fromIterable(every(size), { chunkSize: 1 })),
    Stream.fromIterable(every(31), { chunkSize: 4 })
  ]
}

describe("a complete stream", () => {
  const chunks = [delta({ role: "assistant", content: "" }), text("Hel"), text("lo 😀"), finish(), chunkOf([], { usage })]

  it.effect("emits its chunks, however it is split", () =>
    Effect.gen(function* () {
      for (const end of ["\n", "\r\n", "\r"]) {
        const bytes = utf8([...chunks, "[DONE]"].map((value) => event(value, end)).join(""))
        for (const cut of cuts(bytes)) assertComplete(yield* run(cut), chunks)
      }
    })
  )

  it.effect("emits its chunks when it is split once, anywhere", () =>
    Effect.gen(function* () {
      const bytes = utf8([text("a"), text("é"), finish(), "[DONE]"].map((value) => event(value)).join(""))
      for (let at = 0; at <= bytes.length; at++) {
        assertComplete(yield* run(Stream.fromIterable([bytes.subarray(0, at), bytes.subarray(at)], { chunkSize: 1 })), [
          text("a"),
          text("é"),
          finish()
        ])
      }
    })
  )

  it.effect.each<[string, string]>([
    ["with a space", "data: [DONE]\n\n"],
    ["without a space", "data:[DONE]\n\n"],
    ["ended by carriage returns", "data: [DONE]\r\r"],
    ["ended by both", "data: [DONE]\r\n\r\n"],
    ["with white space", "data:  [DONE] \n\n"],
    ["with a name", "event: done\ndata: [DONE]\n\n"],
    ["with an id", "id: 9\ndata: [DONE]\n\n"],
    ["after a comment", ": bye\n\ndata: [DONE]\n\n"],
    ["with a comment", ": bye\ndata: [DONE]\n: bye\n\n"]
  ])("ends at [DONE], %s", ([, marker]) =>
    Effect.gen(function* () {
      assertComplete(yield* outcomeOf(event(finish()), marker), [finish()])
      assertComplete(yield* outcomeOf(event(finish()) + marker), [finish()])
    })
  )

  it.effect("ends at [DONE] when one choice of several is finished", () =>
    Effect.gen(function* () {
      const accumulator = new ChatCompletionAccumulator()
      const chunks = [text("a"), chunkOf([{ index: 1, delta: { content: "b" } }]), finish()]
      assertComplete(yield* run(ofText(...chunks.map((chunk) => event(chunk)), done), { accumulator }), chunks)
      assert.deepStrictEqual(accumulator.anomalies.list, [
        { repair: "unfinished", path: "choices[1].finish_reason", expected: "string", raw: "", count: 1 }
      ])
    })
  )

  it.effect("ends at [DONE] without a finish reason with acceptUnfinished", () =>
    Effect.gen(function* () {
      assertComplete(yield* run(ofText(event(text("a")), done), { acceptUnfinished: true }), [text("a")])
      assertFails(yield* run(ofText(event(text("a"))), { acceptUnfinished: true }), "StreamTruncated")
      assertFails(yield* run(ofText(done), { acceptUnfinished: true }), "StreamTruncated")
    })
  )

  it.effect("emits nothing after [DONE]", () =>
    Effect.gen(function* () {
      const after = [event(text("b")), event({ error: { message: "late" } }), "data: nonsense\n\n", done].join("")
      assertComplete(yield* outcomeOf(event(finish()) + done + after), [finish()])
      assertComplete(yield* outcomeOf(event(finish()) + done, after), [finish()])
      assertComplete(yield* run(Stream.fromArray([event(finish()), done, after].map(utf8))), [finish()])
    })
  )

  it.effect("does not wait for more after [DONE]", () =>
    Effect.gen(function* () {
      assertComplete(yield* run(Stream.concat(ofText(event(finish()), done), Stream.never)), [finish()])
    })
  )

  it.effect("ignores a failure of the bytes after [DONE]", () =>
    Effect.gen(function* () {
      const lost = Stream.fail(new ConnectionLost({ phase: "body", code: undefined }))
      assertComplete(yield* run(Stream.concat(ofText(event(finish()) + done), lost)), [finish()])
    })
  )

  it.effect("closes its source at the end and when it is interrupted", () =>
    Effect.gen(function* () {
      let ends = 0
      const bytes = Stream.concat(ofText(event(text("a")), event(finish()), done), Stream.never).pipe(
        Stream.ensuring(Effect.sync(() => ends++))
      )
      assertComplete(yield* run(bytes), [text("a"), finish()])
      assert.strictEqual(ends, 1)
      yield* Stream.runDrain(Stream.take(ChatCompletionStream.decode(bytes), 1))
      assert.strictEqual(ends, 2)
    })
  )

  it.effect("may have comments, other fields, and JSON of several lines", () =>
    Effect.gen(function* () {
      const lines = JSON.stringify(text("b"), null, 2).split("\n")
      const outcome = yield* outcomeOf(
        "\ufeff: hello\n\nretry: 10\n\nid: 1\nevent: message\n" + event(text("a")),
        ": keep-alive\n\n",
        lines.map((line) => `data: ${line}\n`).join("") + "\n",
        event(finish()) + ": x\n\n" + done
      )
      assertComplete(outcome, [text("a"), text("b"), finish()])
    })
  )

  it.effect("may have a hundred thousand comments in as many reads", () =>
    Effect.gen(function* () {
      const comments = Stream.fromIterable(
        Arr.makeBy(100_000, () => utf8(": keep-alive\n\n")),
        { chunkSize: 1 }
      )
      assertComplete(yield* run(Stream.concat(comments, ofText(event(finish()), done))), [finish()])
    })
  )

  it.effect("emits ten thousand chunks in order", () =>
    Effect.gen(function* () {
      const expected = Arr.makeBy(10_000, (number) => text(`${number} `))
      assertComplete(yield* outcomeOf(expected.map((chunk) => event(chunk)).join("") + event(finish()) + done), [...expected, finish()])
    })
  )

  it.effect("keeps unknown fields", () =>
    Effect.gen(function* () {
      const chunk = { ...chunkOf([{ index: 0, delta: { content: "a", obfuscation: "xyz" }, token_ids: [1] }]), provider: { name: "p" } }
      assertComplete(yield* outcomeOf(event(chunk), event(finish()), done), [chunk, finish()])
    })
  )

  it.effect("ignores a null error", () =>
    Effect.gen(function* () {
      const chunk = chunkOf([{ index: 0, delta: { content: "a" }, error: null }], { error: null })
      assertComplete(yield* outcomeOf(event(chunk), event(finish())), [chunk, finish()])
    })
  )
})

describe("bytes that end without [DONE]", () => {
  const other = (more: object) => chunkOf([{ index: 1, delta: { content: "x" }, ...more }])

  it.effect.each<[string, ReadonlyArray<unknown>]>([
    ["the choice is finished", [text("a"), finish()]],
    ["the choice is finished, and usage followed", [text("a"), finish("length"), chunkOf([], { usage })]],
    ["the finish reason is unknown", [text("a"), finish("moon")]],
    ["all choices are finished", [text("a"), other({}), finish(), other({ finish_reason: "stop" })]]
  ])("are complete when %s", ([, chunks]) =>
    Effect.gen(function* () {
      assertComplete(yield* outcomeOf(...chunks.map((chunk) => event(chunk))), chunks)
    })
  )

  it.effect.each<[string, ReadonlyArray<unknown>]>([
    ["there is no event", []],
    ["no choice began", [chunkOf([], { usage })]],
    ["the choice is unfinished", [text("a")]],
    ["one of two choices is unfinished", [text("a"), other({}), finish()]],
    ["a tool call is unfinished", [delta({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: '{"a' } }] })]]
  ])("are truncated when %s", ([, chunks]) =>
    Effect.gen(function* () {
      const outcome = yield* outcomeOf(...chunks.map((chunk) => event(chunk)))
      assert.deepStrictEqual(outcome.chunks, chunks)
      const { error, reason } = assertFails(outcome, "StreamTruncated")
      assert.deepStrictEqual([reason.chunks, reason.isDone, reason.excerpt ?? ""], [chunks.length, false, ""])
      assert.isFalse(error.isRetryable)
      if (chunks.length === 0) assert.isUndefined(error.partial)
      else assert.strictEqual(error.partial?.object, "chat.completion")
    })
  )

  it.effect.each<[string, string]>([
    ["after half an event", 'data: {"id":'],
    ["after an event without its blank line", event(finish()).trimEnd()],
    ["in a comment", ": keep"],
    ["after [DONE] without its blank line", "data: [DONE]\n"]
  ])("are truncated when they end %s", ([, rest]) =>
    Effect.gen(function* () {
      const outcome = yield* outcomeOf(event(text("a")), rest)
      assert.deepStrictEqual(outcome.chunks, [text("a")])
      const { error } = assertFails(outcome, "StreamTruncated")
      assert.strictEqual(error.partial?.choices[0]?.message.content, "a")
      assert.isNull(error.partial?.choices[0]?.finish_reason)
    })
  )

  it.effect("are complete when the incomplete event comes after the finish reason", () =>
    Effect.gen(function* () {
      assertComplete(yield* outcomeOf(event(text("a")), event(finish()), "data: [DO"), [text("a"), finish()])
    })
  )
})

describe("bytes that end with [DONE]", () => {
  it.effect.each<[string, ReadonlyArray<unknown>]>([
    ["no choice began", [chunkOf([], { usage })]],
    ["the choice is unfinished", [text("a")]],
    ["the finish reason is empty", [text("a"), finish("")]],
    ["the finish reason is the text null", [text("a"), finish("null")]]
  ])("are truncated when %s", ([, chunks]) =>
    Effect.gen(function* () {
      const { error, reason } = assertFails(yield* outcomeOf(...chunks.map((chunk) => event(chunk)), done), "StreamTruncated")
      assert.deepStrictEqual([reason.chunks, reason.isDone, reason.excerpt ?? ""], [chunks.length, true, ""])
      assert.include(error.message, "[DONE]")
    })
  )
})

describe("bytes without a chunk", () => {
  it.effect.each<[string, string, boolean]>([
    ["[DONE] alone", done, true],
    ["a page", "<html><body>Bad gateway</body></html>", false],
    ["comments", ": hello\n\n: hello\n\n", false],
    ["events of another protocol", event({ type: "content_block_delta", delta: { text: "Hi" } }), false]
  ])("fail with an excerpt: %s", ([, source, isDone]) =>
    Effect.gen(function* () {
      for (const reads of [[source], Array.from(source)]) {
        const { error, reason } = assertFails(yield* outcomeOf(...reads), "StreamTruncated")
        assert.deepStrictEqual([reason.chunks, reason.isDone, reason.excerpt ?? ""], [0, isDone, source])
        assert.include(error.message, source.trim())
      }
    })
  )

  it.effect("fail with the description of an error that is not an event", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({ error: { code: 400, message: "exceeds the context", type: "invalid_request_error" } }, null, 2)
      for (const source of [body, `${body}\n`, `${body}\n\n${done}`]) {
        const { reason } = assertFails(yield* outcomeOf(source), "StreamFault")
        assert.deepStrictEqual([reason.detail, reason.status], ["exceeds the context", 400])
      }
    })
  )

  it.effect("fail with a bounded excerpt", () =>
    Effect.gen(function* () {
      const { error, reason } = assertFails(yield* outcomeOf("x".repeat(100_000)), "StreamTruncated")
      assert.strictEqual(reason.excerpt?.length, 4096)
      assert.isBelow(error.message.length, 400)
    })
  )
})

describe("an aborted completion", () => {
  const other = chunkOf([{ index: 1, delta: {}, finish_reason: "abort" }])

  it.effect.each<[string, ReadonlyArray<string>, ReadonlyArray<number>]>([
    ["with [DONE]", [event(text("a")), event(finish("abort")), event(chunkOf([], { usage })), done], [0]],
    ["without [DONE]", [event(text("a")), event(finish("abort"))], [0]],
    ["whose other choice is finished", [event(text("a")), event(finish()), event(other), done], [1]],
    ["whose other choice is unfinished", [event(text("a")), event(other)], [1]]
  ])("fails with the partial completion, %s", ([, reads, choices]) =>
    Effect.gen(function* () {
      const { error, reason } = assertFails(yield* outcomeOf(...reads), "Aborted")
      assert.deepStrictEqual(reason.choices, choices)
      assert.strictEqual(error.partial?.choices[0]?.message.content, "a")
      assert.isTrue(error.isRetryable)
    })
  )
})

describe("an error in the stream", () => {
  it.effect.each<[string, string, { detail?: string; type?: string; status?: number }]>([
    [
      "nested",
      event({ error: { message: "boom", type: "InternalServerError", param: null, code: 500 } }),
      { detail: "boom", type: "InternalServerError", status: 500 }
    ],
    [
      "flat",
      event({ object: "error", message: "boom", type: "BadRequestError", code: 400 }),
      { detail: "boom", type: "BadRequestError", status: 400 }
    ],
    ["a string", event({ error: "boom" }), { detail: "boom" }],
    ["a named event", "event: error\n" + event({ message: "boom" }), { detail: "boom" }],
    ["a named event that is not JSON", "event: error\n" + event("boom"), { detail: "boom" }],
    ["a named event that is a chunk", "event: error\n" + event(text("a")), {}],
    ["in a choice", event(chunkOf([{ index: 0, delta: {}, error: { message: "boom", code: 502 } }])), { detail: "boom", status: 502 }],
    ["a finish", event(finish("error")), {}],
    [
      "in a second choice",
      event(
        chunkOf([
          { index: 0, delta: {} },
          { index: 1, delta: {}, error: { message: "boom" } }
        ])
      ),
      { detail: "boom" }
    ],
    ["of Groq", event(chunkOf([{ index: 0, delta: {}, finish_reason: "stop" }], groqError)), { detail: "boom" }],
    ["a body without choices", event({ message: "boom", code: "overloaded" }), { detail: "boom" }],
    ["a detail", event({ detail: "boom" }), { detail: "boom" }],
    ["a text that is not escaped", `data: {"error": "it said "boom"."}\n\n`, { detail: 'it said "boom".' }],
    ["a field", 'error: {"code":400,"message":"boom","type":"invalid_request_error"}\n\n', { detail: "boom", status: 400 }],
    ["a field that is not JSON", "error: boom\n", { detail: "boom" }]
  ])("fails the stream with the partial completion: %s", ([, source, expected]) =>
    Effect.gen(function* () {
      const before = event(text("Hel")) + event(text("lo")) + event(chunkOf([], { usage }))
      for (const reads of [[before + source + done], [before, source, done], [before, source]]) {
        const outcome = yield* run(ofText(...reads), { requestId: "r-1" })
        assert.strictEqual(outcome.chunks.length, 3)
        const { error, reason } = assertFails(outcome, "StreamFault")
        for (const [key, value] of Object.entries(expected)) assert.strictEqual(Reflect.get(reason, key), value)
        assert.strictEqual(error.partial?.choices[0]?.message.content, "Hello")
        assert.deepStrictEqual(error.usage, usage)
        assert.strictEqual(error.requestId, "r-1")
        assert.isFalse(error.isRetryable)
      }
    })
  )

  it.effect("fails the stream without a partial when it is the first event", () =>
    Effect.gen(function* () {
      const outcome = yield* outcomeOf(event({ error: { message: "no" } }), done)
      assert.deepStrictEqual(outcome.chunks, [])
      const { error } = assertFails(outcome, "StreamFault")
      assert.isUndefined(error.partial)
      assert.isUndefined(error.usage)
    })
  )

  it.effect("comes after the chunks before it and ends the stream", () =>
    Effect.gen(function* () {
      const outcome = yield* outcomeOf(event(text("a")) + event({ error: "boom" }) + event(text("b")) + event({ error: "again" }) + done)
      assert.deepStrictEqual(outcome.chunks, [text("a")])
      assert.strictEqual(assertFails(outcome, "StreamFault").reason.detail, "boom")
    })
  )

  it.effect("fails the stream after the finish reason", () =>
    Effect.gen(function* () {
      for (const rest of [[done], []]) {
        const outcome = yield* outcomeOf(event(text("a")), event(finish()), event({ error: { message: "boom" } }), ...rest)
        assert.strictEqual(assertFails(outcome, "StreamFault").reason.detail, "boom")
      }
    })
  )

  it.effect.each<[string, unknown]>([
    ["false", false],
    ["an empty text", ""],
    ["zero", 0]
  ])("is absent when the error of a chunk is %s", ([, error]) =>
    Effect.gen(function* () {
      const { chunks } = yield* outcomeOf(event({ ...text("a"), error }), event(finish()), done)
      assert.strictEqual(chunks.length, 2)
    })
  )

  it.effect("is found between similar chunks", () =>
    Effect.gen(function* () {
      const alike = Arr.makeBy(50, (number) => text(String(number)))
      const outcome = yield* outcomeOf(
        alike.map((chunk) => event(chunk)).join("") + event({ ...text("x"), error: { message: "boom" } }) + event(text("y"))
      )
      assert.deepStrictEqual(outcome.chunks, alike)
      assert.strictEqual(assertFails(outcome, "StreamFault").reason.detail, "boom")
    })
  )
})

describe("an event that is not a chunk", () => {
  it.effect.each<[string, string, RegExp]>([
    ["text", "nonsense", /JSON/],
    ["half a JSON text", '{"id":"chatcmpl-1"', /JSON/],
    ["[DONE] and more", "[DONE]x", /JSON/],
    ["[done]", "[done]", /JSON/],
    ["[DONE] in two lines", "[DONE]\ndata: x", /JSON/],
    ["a number", "42", /./],
    ["a list", "[]", /./],
    ["a string", '"[DONE]"', /./],
    ["a chunk of another endpoint", JSON.stringify({ ...chunkOf([]), choices: [{ index: 0, text: "a" }] }), /choices\[0\]\.delta/],
    ["a chunk whose text is a number", JSON.stringify(text("a")).replace('"content":"a"', '"content":1'), /choices\[0\]\.delta\.content/]
  ])("fails the stream with the event's text and the path of the problem: %s", ([, source, detail]) =>
    Effect.gen(function* () {
      const outcome = yield* outcomeOf(event(text("a")), event(source), event(text("b")), done)
      assert.deepStrictEqual(outcome.chunks, [text("a")])
      const { error, reason } = assertFails(outcome, "MalformedChunk")
      assert.strictEqual(reason.text, source.replace("\ndata: ", "\n"))
      assert.match(reason.detail, detail)
      assert.include(error.message, reason.detail)
      assert.strictEqual(error.partial?.choices[0]?.message.content, "a")
      assert.isFalse(error.isRetryable)
    })
  )

  it.effect("is quoted up to 4096 characters, but not in the message", () =>
    Effect.gen(function* () {
      const { error, reason } = assertFails(yield* outcomeOf(event(`my diary ${"x".repeat(10_000)}`)), "MalformedChunk")
      assert.isAtMost(reason.text.length, 4096)
      assert.match(reason.text, /^my diary x/)
      assert.notInclude(error.message, "diary")
    })
  )

  it.effect("fails the stream when it is too large, however it is split", () =>
    Effect.gen(function* () {
      const large = text("x".repeat(400))
      const bytes = utf8(event(text("a")) + event(text("b")) + event(large) + event(finish()))
      for (const cut of cuts(bytes)) {
        assertComplete(yield* run(cut, { maxEventSize: 1000 }), [text("a"), text("b"), large, finish()])
        const outcome = yield* run(cut, { maxEventSize: 300 })
        assert.deepStrictEqual(outcome.chunks, [text("a"), text("b")])
        const { error, reason } = assertFails(outcome, "MalformedChunk")
        assert.include(reason.detail, "300")
        assert.include(reason.text, '"id":"chatcmpl-1"')
        assert.strictEqual(error.partial?.choices[0]?.message.content, "ab")
      }
    })
  )

  it.effect("fails the stream when it never ends", () =>
    Effect.gen(function* () {
      const endless = Stream.concat(ofText("data: "), Stream.forever(ofText("x".repeat(1000))))
      assertFails(yield* run(endless, { maxEventSize: 100_000 }), "MalformedChunk")
    })
  )
})

describe("bytes that fail", () => {
  it.effect("fail the stream with their reason and the partial completion", () =>
    Effect.gen(function* () {
      const lost = new ConnectionLost({ phase: "body", code: "ECONNRESET" })
      const bytes = Stream.concat(
        ofText(event(text("Hel")), event(text("lo")) + event(chunkOf([], { usage })) + 'data: {"id'),
        Stream.fail(lost)
      )
      const outcome = yield* run(bytes, { requestId: "r-1" })
      assert.strictEqual(outcome.chunks.length, 3)
      const { error, reason } = assertFails(outcome, "ConnectionLost")
      assert.strictEqual(reason, lost)
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hello")
      assert.isNull(error.partial?.choices[0]?.finish_reason)
      assert.deepStrictEqual(error.usage, usage)
      assert.strictEqual(error.requestId, "r-1")
      assert.isFalse(error.isRetryable)
    })
  )

  it.effect("fail the stream without a partial before the first chunk", () =>
    Effect.gen(function* () {
      const outcome = yield* run(Stream.fail(new ConnectionLost({ phase: "body", code: undefined })))
      assert.deepStrictEqual(outcome.chunks, [])
      assert.isUndefined(assertFails(outcome, "ConnectionLost").error.partial)
    })
  )

  it.effect("can be decoded again by another run", () =>
    Effect.gen(function* () {
      const chunks = ChatCompletionStream.decode(ofText(event(text("a")), event(finish())))
      const twice = [yield* Stream.runCollect(chunks), yield* Stream.runCollect(chunks)]
      assert.deepStrictEqual(twice, [
        [text("a"), finish()],
        [text("a"), finish()]
      ])
    })
  )
})
