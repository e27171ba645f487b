import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import { toStandardJsonSchema } from "@valibot/to-json-schema"
import { setTimeout as sleep } from "node:timers/promises"
import * as v from "valibot"
import { z } from "zod"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import type { ChatMessage } from "../src/ChatCompletion.ts"
import * as ParadigmClient from "../src/ParadigmClient.ts"
import { isParadigmError, ParadigmError, StreamTruncated } from "../src/ParadigmError.ts"
import * as ParadigmPromise from "../src/ParadigmPromise.ts"
import { responseFormat, type StandardSchema, tool } from "../src/StandardSchema.ts"
import {
  type Answer,
  begin,
  chunk,
  completion,
  event,
  failureOf,
  fetchClient,
  json,
  key,
  request,
  serve,
  sse,
  thrownBy
} from "./Loopback.ts"

interface Meeting {
  readonly paradigm: ParadigmPromise.ParadigmPromise
  /** The bodies that the server received. */
  readonly bodies: () => Promise<ReadonlyArray<Record<string, unknown>>>
  readonly baseUrl: string
  /** Resolves when the connection of the next request is closed. */
  readonly closed: () => Promise<void>
}

const meet = (
  answers: Answer | ReadonlyArray<Answer>,
  use: (meeting: Meeting) => Promise<void>,
  options?: Partial<ParadigmClient.Options>
) =>
  Effect.gen(function* () {
    let count = 0
    const list = Array.isArray(answers) ? (answers as ReadonlyArray<Answer>) : [answers as Answer]
    const { baseUrl, requests } = yield* serve((response, seen) => (list[count++] ?? list.at(-1)!)(response, seen))
    const client = HttpClientTransport.makeClient({ apiKey: key, baseUrl, retry: false, ...options })
    const paradigm = ParadigmPromise.make(Effect.provide(client, fetchClient))
    const bodies = async () =>
      (await Effect.runPromise(Queue.clear(requests))).map(({ body }) => JSON.parse(body) as Record<string, unknown>)
    const closed = async () => {
      const { closed } = await Effect.runPromise(Queue.take(requests))
      await Effect.runPromise(closed)
    }
    yield* Effect.promise(() => use({ paradigm, bodies, baseUrl, closed }))
    yield* Effect.promise(() => paradigm.close())
  }).pipe(Effect.scoped, Effect.runPromise)

const unhandledDuring = async (use: () => Promise<void>): Promise<ReadonlyArray<unknown>> => {
  const unhandled: Array<unknown> = []
  const note = (error: unknown) => unhandled.push(error)
  const others = process.listeners("unhandledRejection")
  process.removeAllListeners("unhandledRejection")
  process.on("unhandledRejection", note)
  try {
    await use()
    await sleep(50)
  } finally {
    process.off("unhandledRejection", note)
    for (const other of others) process.on("unhandledRejection", other)
  }
  return unhandled
}

const whole = [chunk("Hel"), chunk("lo"), chunk("", "stop")]
const hello = sse(...whole, "[DONE]")

const endless = begin("text/event-stream", event(chunk("a")) + event(chunk("b")))

const calling = (...calls: ReadonlyArray<readonly [name: string, args: string]>) => ({
  ...completion,
  choices: [
    {
      index: 0,
      finish_reason: "tool_calls",
      message: {
        role: "assistant",
        content: null,
        tool_calls: calls.map(([name, args], i) => ({ id: `call-${i}`, type: "function", function: { name, arguments: args } }))
      }
    }
  ]
})

const callChunks = [
  {
    ...chunk(""),
    choices: [
      {
        index: 0,
        delta: {
          role: "assistant",
          tool_calls: [{ index: 0, id: "call-0", type: "function", function: { name: "add", arguments: '{"a":1' } }]
        }
      }
    ]
  },
  { ...chunk(""), choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: ',"b":2}' } }] } }] },
  chunk("", "tool_calls")
]

const add = tool({
  name: "add",
  description: "Adds two numbers",
  parameters: z.object({ a: z.number(), b: z.number() }),
  function: ({ a, b }) => a + b
})

describe("stream", () => {
  it("emits events in the order of openai's helpers", () =>
    meet(hello, async ({ paradigm }) => {
      const events: Array<unknown> = []
      const stream = paradigm.chat.completions.stream(request)
      stream
        .on("connect", () => events.push("connect"))
        .on("chunk", (_, snapshot) => events.push(["chunk", snapshot.choices[0]?.message.content]))
        .on("content", (delta, snapshot) => events.push(["content", delta, snapshot]))
        .on("content.done", ({ content }) => events.push(["content.done", content]))
        .on("message", ({ content }) => events.push(["message", content]))
        .on("finalContent", (content) => events.push(["finalContent", content]))
        .on("end", () => events.push("end"))
      await stream.done()
      assert.deepStrictEqual(events, [
        "connect",
        ["chunk", "Hel"],
        ["content", "Hel", "Hel"],
        ["chunk", "Hello"],
        ["content", "lo", "Hello"],
        ["chunk", "Hello"],
        ["content.done", "Hello"],
        ["message", "Hello"],
        ["finalContent", "Hello"],
        "end"
      ])
      assert.deepStrictEqual([stream.ended, stream.errored, stream.aborted], [true, false, false])
    }))

  it("resolves with the text, the message and the completion", () =>
    meet(hello, async ({ bodies, paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      assert.strictEqual(await stream.finalContent(), "Hello")
      assert.strictEqual(await stream.text(), "Hello")
      assert.strictEqual((await stream.finalMessage()).content, "Hello")
      assert.strictEqual((await stream.finalChatCompletion()).choices[0]?.finish_reason, "stop")
      assert.deepStrictEqual(await stream.finalCompletion(), await stream.finalChatCompletion())
      assert.deepStrictEqual(await bodies(), [{ ...request, stream: true }])
      assert.strictEqual(stream.messages.length, 2)
    }))

  it("is an async iterable of the chunks, with events", () =>
    meet(hello, async ({ paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      let text = ""
      stream.on("content", (delta) => (text += delta))
      const chunks: Array<unknown> = []
      for await (const chunk of stream) chunks.push(chunk)
      assert.deepStrictEqual(chunks, whole)
      assert.strictEqual(text, "Hello")
      assert.strictEqual(await stream.finalContent(), "Hello")
    }))

  it("delivers all chunks to a loop while a promise reads on", () =>
    meet(hello, async ({ paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      const iterator = stream[Symbol.asyncIterator]()
      assert.deepStrictEqual((await iterator.next()).value, whole[0])
      assert.strictEqual(await stream.finalContent(), "Hello")
      assert.deepStrictEqual((await iterator.next()).value, whole[1])
      assert.deepStrictEqual((await iterator.next()).value, whole[2])
      assert.isTrue((await iterator.next()).done)
    }))

  it("refuses a loop that would miss chunks", () =>
    meet(endless, async ({ paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      await stream.emitted("content")
      assert.throws(() => stream[Symbol.asyncIterator](), /miss chunks/)
      stream.on("abort", () => {})
      stream.abort()
    }))

  it("reports the arguments of tool calls", () =>
    meet(sse(...callChunks, "[DONE]"), async ({ paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      const events: Array<unknown> = []
      stream.on("tool_calls.function.arguments.delta", ({ arguments: whole, arguments_delta: delta, name }) =>
        events.push([name, delta, whole])
      )
      stream.on("tool_calls.function.arguments.done", ({ arguments: whole, index }) => events.push([index, whole]))
      stream.on("functionToolCall", ({ name }) => events.push(name))
      assert.deepStrictEqual(await stream.finalFunctionToolCall(), { name: "add", arguments: '{"a":1,"b":2}' })
      assert.deepStrictEqual(events, [["add", '{"a":1', '{"a":1'], ["add", ',"b":2}', '{"a":1,"b":2}'], [0, '{"a":1,"b":2}'], "add"])
    }))

  it("closes the connection when its loop is left", () =>
    meet(endless, async ({ closed, paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      for await (const _ of stream) break
      await closed()
      await failureOf(stream.finalContent(), "Closed")
      assert.isTrue(stream.errored)
    }))

  it("rejects with the reason of its signal when it is aborted", () =>
    meet(endless, async ({ closed, paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      const aborted = stream.emitted("abort")
      stream.on("content", () => stream.abort())
      const error = await thrownBy(stream.finalContent())
      assert.strictEqual((error as Error).name, "AbortError")
      assert.strictEqual(await aborted, error)
      assert.isTrue(stream.aborted)
      await closed()
    }))

  it("rejects with the reason of the caller's signal", () =>
    meet(endless, async ({ closed, paradigm }) => {
      const controller = new AbortController()
      const stream = paradigm.chat.completions.stream(request, { signal: controller.signal })
      stream.on("content", () => controller.abort(new Error("stop")))
      assert.strictEqual(String(await thrownBy(stream.done())), "Error: stop")
      await closed()
    }))

  it("gives its error the stack of the call, and the partial completion", () =>
    meet(sse(chunk("Hel")), async ({ paradigm }) => {
      const myFunction = () => paradigm.chat.completions.stream(request)
      const stream = myFunction()
      const seen = stream.emitted("error")
      const error = await failureOf(stream.finalContent(), "StreamTruncated")
      assert.match(error.stack ?? "", /^ParadigmError: StreamTruncated.*\n    at myFunction /)
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hel")
      assert.strictEqual(await seen, error)
    }))

  it("is one unhandled rejection if it fails without a listener, and none with one", () =>
    meet(json("no", 500), async ({ paradigm }) => {
      const unhandled = await unhandledDuring(async () => {
        paradigm.chat.completions.stream(request)
        paradigm.chat.completions.stream(request).on("content", () => {})
        const listened = paradigm.chat.completions.stream(request)
        const failed = new Promise((resolve) => listened.on("error", resolve))
        assert.instanceOf(await failed, ParadigmError)
        await failureOf(paradigm.chat.completions.stream(request).finalContent(), "ServerFault")
        await sleep(100)
      })
      assert.deepStrictEqual(
        unhandled.map((error) => (error as ParadigmError).reason._tag),
        ["ServerFault", "ServerFault"]
      )
    }))

  it("fails with the exception of a listener", () =>
    meet(hello, async ({ paradigm }) => {
      const stream = paradigm.chat.completions.stream(request).on("content", () => {
        throw new Error("in the listener")
      })
      assert.strictEqual(String(await thrownBy(stream.done())), "Error: in the listener")
    }))

  it("removes listeners with off, and after once", () =>
    meet(hello, async ({ paradigm }) => {
      const seen: Array<string> = []
      const listener = (delta: string) => void seen.push(`off ${delta}`)
      const stream = paradigm.chat.completions.stream(request).on("content", listener)
      stream.off("content", listener).once("content", (delta) => void seen.push(`once ${delta}`))
      await stream.done()
      assert.deepStrictEqual(seen, ["once Hel"])
    }))

  it("ends when the client is closed", () =>
    meet(endless, async ({ paradigm }) => {
      const stream = paradigm.chat.completions.stream(request)
      stream.on("content", () => void paradigm.close())
      await failureOf(stream.done(), "Closed")
    }))
})

const schemas: ReadonlyArray<readonly [string, StandardSchema<{ readonly name: string; readonly size: number }>]> = [
  ["zod", z.object({ name: z.string(), size: z.number() })],
  ["valibot", toStandardJsonSchema(v.object({ name: v.string(), size: v.number() }))],
  ["Effect", Schema.toStandardJSONSchemaV1(Schema.toStandardSchemaV1(Schema.Struct({ name: Schema.String, size: Schema.Number })))]
]

const answering = (content: string, more: object = {}) =>
  json({ ...completion, choices: [{ index: 0, message: { role: "assistant", content, ...more }, finish_reason: "stop" }] })

describe("parse", () => {
  for (const [library, schema] of schemas) {
    it(`decodes the text by a schema of ${library}, and sends its JSON Schema`, () =>
      meet(answering('{"name":"Paris","size":2}'), async ({ bodies, paradigm }) => {
        const parsed = await paradigm.chat.completions.parse({ ...request, response_format: schema })
        assert.deepStrictEqual(parsed.choices[0]?.message.parsed, { name: "Paris", size: 2 })
        const [body] = await bodies()
        const { json_schema: format } = body!["response_format"] as {
          readonly json_schema: { readonly schema: object; readonly strict: boolean }
        }
        assert.strictEqual(format.strict, true)
        assert.deepInclude(format.schema, { type: "object", required: ["name", "size"] })
        assert.notProperty(format.schema, "$schema")
      }))

    it(`names the problem that a schema of ${library} finds`, () =>
      meet(answering('{"name":"Paris","size":"big"}'), async ({ paradigm }) => {
        const error = await failureOf(paradigm.chat.completions.parse({ ...request, response_format: schema }), "AnswerMismatch")
        assert.match(error.message, /size: /)
        assert.strictEqual(error.partial?.choices[0]?.message.content, '{"name":"Paris","size":"big"}')
      }))
  }

  const city = z.object({ name: z.string() })

  it("takes a format with a name, and returns the response", () =>
    meet(answering('```json\n{"name":"Paris"}\n```'), async ({ bodies, paradigm }) => {
      const asked = paradigm.chat.completions.parse({
        ...request,
        response_format: responseFormat(city, "city", { description: "A city" })
      })
      const { data, response } = await asked.withResponse()
      assert.strictEqual(data.choices[0]?.message.parsed?.name, "Paris")
      assert.strictEqual(response.headers.get("content-type"), "application/json")
      assert.deepInclude((await bodies())[0]?.["response_format"], { type: "json_schema" })
    }))

  it("has no parsed value in a message that is sent again", () =>
    meet(answering('{"name":"Paris"}'), async ({ bodies, paradigm }) => {
      const { choices } = await paradigm.chat.completions.parse({ ...request, response_format: city })
      const messages: Array<ChatMessage> = [...request.messages]
      if (choices[0] !== undefined) messages.push(choices[0].message)
      await paradigm.chat.completions.create({ ...request, messages })
      assert.deepStrictEqual((await bodies())[1]?.["messages"], [...request.messages, { role: "assistant", content: '{"name":"Paris"}' }])
    }))

  it("has null for a refusal", () =>
    meet(answering("", { refusal: "no" }), async ({ paradigm }) => {
      const { choices } = await paradigm.chat.completions.parse({ ...request, response_format: city })
      assert.deepStrictEqual([choices[0]?.message.parsed, choices[0]?.message.refusal], [null, "no"])
    }))

  it("rejects a schema without a JSON Schema before sending", () =>
    meet(answering("{}"), async ({ bodies, paradigm }) => {
      const bare = v.object({ name: v.string() })
      const error = await failureOf(paradigm.chat.completions.parse({ ...request, response_format: bare }), "InvalidRequest")
      assert.match(error.message, /valibot schemas have no JSON Schema of their own/)
      assert.deepStrictEqual(await bodies(), [])
      const jsonSchema = { type: "object", properties: { name: { type: "string" } } }
      await failureOf(
        paradigm.chat.completions.parse({ ...request, response_format: responseFormat(bare, "city", { jsonSchema }) }),
        "AnswerMismatch"
      )
    }))

  it("has the stack of its call", () =>
    meet(json("no", 500), async ({ paradigm }) => {
      const myFunction = async () => await paradigm.chat.completions.parse({ ...request, response_format: city })
      assert.match((await failureOf(myFunction(), "ServerFault")).stack ?? "", /\n    at myFunction /)
    }))

  it("decodes the text of a stream at its end", () =>
    meet(sse(chunk('{"name":'), chunk('"Paris"}', "stop"), "[DONE]"), async ({ paradigm }) => {
      const stream = paradigm.chat.completions.stream({ ...request, response_format: city })
      const done = stream.emitted("content.done")
      assert.deepStrictEqual((await stream.finalMessage()).parsed, { name: "Paris" })
      assert.deepStrictEqual((await done).parsed, { name: "Paris" })
    }))
})

describe("runTools", () => {
  const answered = json(completion)
  const run = (calls: ReturnType<typeof calling>, tools: ParadigmPromise.RunToolsRequest["tools"], options?: object) =>
    [calls, tools, options] as const

  it("executes calls and sends their results until the model answers", () =>
    meet([json(calling(["add", '{"a":1,"b":2}'])), json(calling(["add", '{"a":3,"b":4}'])), answered], async ({ bodies, paradigm }) => {
      const runner = paradigm.chat.completions.runTools({ ...request, tools: [add] })
      const results: Array<string> = []
      runner.on("functionToolCallResult", (result) => results.push(result))
      assert.strictEqual(await runner.finalContent(), completion.choices[0]?.message.content)
      assert.deepStrictEqual(results, ["3", "7"])
      assert.strictEqual(await runner.finalFunctionToolCallResult(), "7")
      assert.deepStrictEqual(await runner.totalUsage(), { prompt_tokens: 3, completion_tokens: 6, total_tokens: 9 })
      const sent = await bodies()
      assert.strictEqual(sent.length, 3)
      assert.deepInclude((sent[0]!["tools"] as ReadonlyArray<{ function: object }>)[0]?.function, {
        name: "add",
        description: "Adds two numbers"
      })
      assert.deepStrictEqual((sent[1]!["messages"] as ReadonlyArray<object>).at(-1), {
        role: "tool",
        tool_call_id: "call-0",
        content: "3"
      })
    }))

  it("executes the calls of one message in parallel, and answers them in their order", () =>
    meet([json(calling(["slow", "{}"], ["fast", "{}"])), answered], async ({ paradigm }) => {
      let release = () => {}
      const released = new Promise<void>((resolve) => (release = resolve))
      const runner = paradigm.chat.completions.runTools({
        ...request,
        tools: [
          tool({ name: "slow", parameters: z.object({}), function: () => released.then(() => "slow") }),
          tool({ name: "fast", parameters: z.object({}), function: () => (release(), "fast") })
        ]
      })
      await runner.done()
      assert.deepStrictEqual(
        runner.messages.flatMap(({ content, role }) => (role === "tool" ? [content] : [])),
        ["slow", "fast"]
      )
    }))

  it("takes tools in the form of openai, with text or parsed arguments", () =>
    meet([json(calling(["raw", '{"a":1}'], ["parsed", '{"a":2}'])), answered], async ({ paradigm }) => {
      const seen: Array<unknown> = []
      const raw = (args: string) => void seen.push(args)
      const parsed = (args: { readonly a: number }) => void seen.push(args.a)
      const parameters = { type: "object", properties: { a: { type: "number" } } }
      const runner = paradigm.chat.completions.runTools({
        ...request,
        tools: [
          { type: "function", function: { function: raw, parameters, description: "Raw" } },
          { type: "function", function: { function: parsed, parse: JSON.parse, parameters, description: "Parsed" } }
        ]
      })
      await runner.done()
      assert.sameMembers(seen, [2, '{"a":1}'])
    }))

  it("tells the model of unknown tools and invalid arguments", () =>
    meet([json(calling(["subtract", "{}"], ["add", '{"a":"x"}'], ["add", "{"])), answered], async ({ paradigm }) => {
      const runner = paradigm.chat.completions.runTools({ ...request, tools: [add] })
      await runner.done()
      const told = runner.messages.flatMap(({ content, role }) => (role === "tool" && typeof content === "string" ? [content] : []))
      assert.strictEqual(told[0], "There is no tool subtract. The tools are add.")
      assert.match(String(told[1]), /^The arguments of add are invalid: a: /)
      assert.strictEqual(told[2], "The arguments of add are invalid: it is not JSON")
    }))

  const failing = tool({
    name: "fail",
    parameters: z.object({}),
    function: () => {
      throw new RangeError("out of range")
    }
  })

  it("fails with the exception of a tool, or tells it to the model", () =>
    meet([json(calling(["fail", "{}"])), json(calling(["fail", "{}"])), answered], async ({ bodies, paradigm }) => {
      const [, tools] = run(calling(), [failing])
      assert.strictEqual(
        String(await thrownBy(paradigm.chat.completions.runTools({ ...request, tools }).done())),
        "RangeError: out of range"
      )
      await paradigm.chat.completions.runTools({ ...request, tools }, { toolErrors: "tell" }).done()
      const last = (await bodies()).at(-1)?.["messages"] as ReadonlyArray<{ readonly content: string }>
      assert.strictEqual(last.at(-1)?.content, "The tool fail failed: out of range")
    }))

  it("ends after maxChatCompletions", () =>
    meet(json(calling(["add", '{"a":1,"b":2}'])), async ({ bodies, paradigm }) => {
      const runner = paradigm.chat.completions.runTools({ ...request, tools: [add] }, { maxChatCompletions: 2 })
      assert.strictEqual(await runner.finalContent(), null)
      assert.strictEqual((await bodies()).length, 2)
      assert.strictEqual(runner.allChatCompletions().length, 2)
    }))

  it("ends after the result of a forced call", () =>
    meet(json(calling(["add", '{"a":1,"b":2}'])), async ({ bodies, paradigm }) => {
      const tool_choice = { type: "function", function: { name: "add" } } as const
      const runner = paradigm.chat.completions.runTools({ ...request, tools: [add], tool_choice })
      assert.strictEqual(await runner.finalFunctionToolCallResult(), "3")
      assert.strictEqual((await bodies()).length, 1)
    }))

  it("does not run calls that were cut off", () =>
    meet(
      json({ ...calling(["add", '{"a":1']), choices: [{ ...calling(["add", "{"]).choices[0]!, finish_reason: "length" }] }),
      async ({ paradigm }) => {
        await failureOf(paradigm.chat.completions.runTools({ ...request, tools: [add] }).done(), "AnswerMismatch")
      }
    ))

  it("aborts a tool that runs", () =>
    meet(json(calling(["wait", "{}"])), async ({ paradigm }) => {
      let signal: AbortSignal | undefined
      const wait = tool({
        name: "wait",
        parameters: z.object({}),
        function: (_, context) => {
          signal = context.signal
          context.abort()
          return new Promise(() => {})
        }
      })
      const error = await thrownBy(paradigm.chat.completions.runTools({ ...request, tools: [wait] }).done())
      assert.strictEqual((error as Error).name, "AbortError")
      assert.isTrue(signal?.aborted)
    }))

  it("streams its completions", () =>
    meet([sse(...callChunks, "[DONE]"), hello], async ({ paradigm }) => {
      const runner = paradigm.chat.completions.runTools({ ...request, tools: [add], stream: true })
      let text = ""
      runner.on("content", (delta) => (text += delta))
      const chunks: Array<unknown> = []
      for await (const chunk of runner) chunks.push(chunk)
      assert.strictEqual(chunks.length, 6)
      assert.deepStrictEqual([text, await runner.finalContent()], ["Hello", "Hello"])
    }))

  it("refuses wrong tools and options before sending", () =>
    meet(answered, async ({ bodies, paradigm }) => {
      const { completions } = paradigm.chat
      await failureOf(completions.runTools({ ...request, tools: [] }).done(), "InvalidRequest")
      await failureOf(completions.runTools({ ...request, tools: [add, add] }).done(), "InvalidRequest")
      await failureOf(completions.runTools({ ...request, tools: [{ type: "function", function: {} }] as never }).done(), "InvalidRequest")
      await failureOf(completions.runTools({ ...request, tools: [add] }, { maxChatCompletions: 0 }).done(), "InvalidConfiguration")
      await failureOf(completions.runTools({ ...request, tools: [add] }, { toolErrors: "ignore" as never }).done(), "InvalidConfiguration")
      assert.deepStrictEqual(await bodies(), [])
    }))
})

describe("toResponse", () => {
  const bodyOf = ({ body }: Response) => body ?? assert.fail("no body")

  it("has the headers of an event stream and ends with [DONE]", () =>
    meet(hello, async ({ paradigm }) => {
      const response = paradigm.chat.completions.stream(request).toResponse({ headers: { "x-tenant": "t" } })
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream; charset=utf-8")
      assert.strictEqual(response.headers.get("cache-control"), "no-cache, no-transform")
      assert.strictEqual(response.headers.get("x-tenant"), "t")
      const text = await response.text()
      assert.strictEqual(text, [...whole, "[DONE]"].map(event).join(""))
    }))

  it("is read by fromReadableStream, also as lines", () =>
    meet(hello, async ({ paradigm }) => {
      const sent = await paradigm.chat.completions.create({ ...request, stream: true })
      const received = ParadigmPromise.fromReadableStream(bodyOf(ParadigmPromise.toResponse(sent)))
      let text = ""
      received.on("content", (delta) => (text += delta))
      assert.deepStrictEqual([await received.finalContent(), text], ["Hello", "Hello"])
      const lines = paradigm.chat.completions.stream(request).toReadableStream()
      assert.strictEqual(await ParadigmPromise.fromReadableStream(lines).text(), "Hello")
    }))

  it("is read by a client of a page's backend", () =>
    meet(hello, async ({ paradigm }) => {
      const relayed = Effect.gen(function* () {
        const { baseUrl } = yield* serve((response) => {
          const made = paradigm.chat.completions.stream(request).toResponse()
          response.writeHead(200, Object.fromEntries(made.headers))
          void made.body?.pipeTo(new WritableStream({ write: (bytes) => void response.write(bytes), close: () => void response.end() }))
        })
        const client = ParadigmPromise.make(Effect.provide(HttpClientTransport.makeClient({ apiKey: key, baseUrl }), fetchClient))
        return yield* Effect.promise(() => client.chat.completions.stream(request).text())
      })
      assert.strictEqual(await Effect.runPromise(Effect.scoped(relayed)), "Hello")
    }))

  it("reports an error as an event, without the application's hosts", () =>
    meet(sse(chunk("Hel")), async ({ baseUrl, paradigm }) => {
      const response = paradigm.chat.completions.stream(request).toResponse()
      const text = await response.text()
      assert.include(text, '{"error":{"message":"The answer is incomplete","type":"StreamTruncated"')
      assert.notInclude(text, baseUrl)
      assert.notInclude(text, "[DONE]")
      const read = ParadigmPromise.fromReadableStream(bodyOf(paradigm.chat.completions.stream(request).toResponse()))
      const error = await failureOf(read.text(), "StreamFault")
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hel")
    }))

  it("quotes the server about the page's request, and takes another description", () =>
    meet(json({ detail: "too long" }, 422), async ({ paradigm }) => {
      assert.include(await paradigm.chat.completions.stream(request).toResponse().text(), '"message":"too long","type":"RequestRejected"')
      const describeError = (error: unknown) => (isParadigmError(error) ? `code ${error.reason._tag}` : "other")
      assert.include(
        await paradigm.chat.completions.stream(request).toResponse({ describeError }).text(),
        '"message":"code RequestRejected"'
      )
    }))

  it("closes the connection when its body is cancelled", () =>
    meet(endless, async ({ closed, paradigm }) => {
      const reader = bodyOf(paradigm.chat.completions.stream(request).toResponse()).getReader()
      await reader.read()
      await reader.cancel()
      await closed()
    }))

  it("sends comments while no chunk arrives", () =>
    meet(begin("text/event-stream", event(chunk("a"))), async ({ paradigm }) => {
      const reader = bodyOf(paradigm.chat.completions.stream(request).toResponse({ keepAlive: 5 })).getReader()
      const decoder = new TextDecoder()
      let text = ""
      // Comments may also precede the chunk.
      while (!text.endsWith(`${event(chunk("a"))}: keep-alive\n\n`)) text += decoder.decode((await reader.read()).value)
      assert.match(text, /^(: keep-alive\n\n)*data: /)
      await reader.cancel()
    }))
})

describe("fromReadableStream", () => {
  it("fails with the reason of a stream of this program, and with ConnectionLost otherwise", async () => {
    const failing = (error: unknown) => new ReadableStream<Uint8Array>({ start: (controller) => controller.error(error) })
    await failureOf(ParadigmPromise.fromReadableStream(failing(new TypeError("network error"))).text(), "ConnectionLost")
    const reason = new StreamTruncated({ chunks: 1, isDone: false, excerpt: "" })
    await failureOf(ParadigmPromise.fromReadableStream(failing(new ParadigmError({ reason }))).text(), "StreamTruncated")
  })

  it("cancels the body when its loop is left or its signal is aborted", async () => {
    let cancelled = 0
    const body = () =>
      new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode(event(chunk("a")))),
        cancel: () => void cancelled++
      })
    for await (const _ of ParadigmPromise.fromReadableStream(body())) break
    const controller = new AbortController()
    const run = ParadigmPromise.fromReadableStream(body(), { signal: controller.signal })
    run.on("content", () => controller.abort(new Error("stop")))
    assert.strictEqual(String(await thrownBy(run.done())), "Error: stop")
    await sleep(10)
    assert.strictEqual(cancelled, 2)
  })
})

describe("models", () => {
  const model = { id: "alfred-4.2", object: "model", created: 1, owned_by: "lighton" }

  it("are listed, and iterated", () =>
    meet(json({ object: "list", data: [model, { id: "other" }] }), async ({ paradigm }) => {
      const { data } = await paradigm.models.list()
      assert.deepStrictEqual(data, [model, { id: "other", object: "model", created: 0, owned_by: "" }])
      const ids: Array<string> = []
      for await (const { id } of paradigm.models.list()) ids.push(id)
      assert.deepStrictEqual(ids, ["alfred-4.2", "other"])
    }))

  it("are requested beside the completions, with the key", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(model))
      const paradigm = ParadigmPromise.make(Effect.provide(HttpClientTransport.makeClient({ apiKey: key, baseUrl }), fetchClient))
      const { data, response } = yield* Effect.promise(() => paradigm.models.retrieve("org/alfred 4").withResponse())
      assert.deepStrictEqual([data.id, response.status], ["alfred-4.2", 200])
      const { body, headers, method, path } = yield* Queue.take(requests)
      assert.deepStrictEqual([method, path, body, headers.authorization], ["GET", "/api/v3/models/org/alfred%204", "", `Bearer ${key}`])
      yield* Effect.promise(() => paradigm.close())
    }).pipe(Effect.scoped, Effect.runPromise))

  it("fail with NotFound and a hint if the endpoint has no list", () =>
    meet(json({ detail: "Not Found" }, 404), async ({ paradigm }) => {
      const error = await failureOf(paradigm.models.list(), "NotFound")
      assert.match(error.message, /api\/v3\/models.*check baseUrl/)
    }))

  it("fail with UnexpectedResponse if the body has none", () =>
    meet(json({ status: "ok" }), async ({ paradigm }) => {
      await failureOf(paradigm.models.list(), "UnexpectedResponse")
      await failureOf(paradigm.models.retrieve(""), "InvalidRequest")
    }))
})

describe("withOptions", () => {
  it("returns a client with other defaults, member by member", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const paradigm = ParadigmPromise.make(
        Effect.provide(HttpClientTransport.makeClient({ apiKey: key, baseUrl, headers: { "x-a": "1", "x-b": "1" } }), fetchClient)
      )
      const other = paradigm
        .withOptions({ headers: { "x-b": "2" } })
        .withOptions({ extraBody: { tenant: "t" }, retry: { maxAttempts: 2 }, timeouts: { total: "1m" } })
      yield* Effect.promise(() => other.chat.completions.create(request))
      const { body, headers } = yield* Queue.take(requests)
      assert.deepStrictEqual([headers["x-a"], headers["x-b"], JSON.parse(body).tenant], ["1", "2", "t"])
      yield* Effect.promise(() => paradigm.close())
      yield* Effect.promise(() => failureOf(other.chat.completions.create(request), "Closed"))
    }).pipe(Effect.scoped, Effect.runPromise))

  it("throws for a wrong option", () =>
    meet(json(completion), async ({ paradigm }) => {
      assert.throws(() => paradigm.withOptions({ baseUrl: "http://localhost" } as object), /unknown option baseUrl/)
      assert.throws(() => ParadigmPromise.withHelpers({} as never), /client of this library/)
    }))
})

describe("onAttempt", () => {
  it("reports each attempt with its delay, and log lines without the key", () => {
    const lines: Array<string> = []
    const log = (level: string) => (line: string) => void lines.push(`${level} ${line.replace(/\d+ ms/g, "n ms")}`)
    const logger = { error: log("error"), warn: log("warn"), debug: log("debug") }
    const attempts: Array<ParadigmClient.Attempt> = []
    const logged = ParadigmClient.logTo(logger, "debug")
    const onAttempt = (attempt: ParadigmClient.Attempt) => {
      attempts.push(attempt)
      logged(attempt)
      throw new Error("ignored")
    }
    return meet(
      [json({ detail: key }, 503, { "x-request-id": `r-${key}` }), json(completion, 200, { "x-request-id": "r-2" })],
      async ({ paradigm }) => {
        await paradigm.chat.completions.create(request)
        assert.deepStrictEqual(
          attempts.map(({ number, reason, requestId, status }) => [number, reason, status, requestId]),
          [
            [1, "ServerFault", 503, "r-<redacted>"],
            [2, undefined, 200, "r-2"]
          ]
        )
        assert.isNumber(attempts[0]?.delayMillis)
        assert.deepStrictEqual(lines, [
          "warn paradigm: ServerFault 503 after n ms (attempt 1, request r-<redacted>), next in n ms",
          "debug paradigm: 200 after n ms (attempt 2, request r-2)"
        ])
      },
      { retry: { baseDelay: 1 }, onAttempt }
    )
  })
})
