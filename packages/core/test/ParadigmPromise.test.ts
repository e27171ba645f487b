import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { getEventListeners } from "node:events"
import type { ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as HttpClientTransport from "../src/HttpClientTransport.ts"
import type { ChatCompletionChunk } from "../src/ChatCompletion.ts"
import type { ChunkStream } from "../src/CompletionStream.ts"
import * as ParadigmClient from "../src/ParadigmClient.ts"
import { ParadigmError } from "../src/ParadigmError.ts"
import * as ParadigmPromise from "../src/ParadigmPromise.ts"
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

const streamed = { ...request, stream: true } as const

const connect = (baseUrl: string, options: Partial<ParadigmClient.Options> = {}) =>
  ParadigmPromise.make(Effect.provide(HttpClientTransport.makeClient({ apiKey: key, baseUrl, retry: false, ...options }), fetchClient))

interface Meeting {
  readonly paradigm: ParadigmPromise.ParadigmPromise
  /** Resolves when the server has received the next request. The function resolves when the connection of that request is closed. */
  readonly asked: () => Promise<() => Promise<void>>
  readonly requests: () => Promise<number>
}

const meet = (answer: Answer, use: (meeting: Meeting) => Promise<void>, options?: Partial<ParadigmClient.Options>) =>
  Effect.gen(function* () {
    const { baseUrl, requests } = yield* serve(answer)
    const paradigm = connect(baseUrl, options)
    yield* Effect.promise(() =>
      use({
        paradigm,
        asked: async () => {
          const { closed } = await Effect.runPromise(Queue.take(requests))
          return () => Effect.runPromise(closed)
        },
        requests: () => Effect.runPromise(Queue.size(requests))
      })
    )
    yield* Effect.promise(() => paradigm.close())
  }).pipe(Effect.scoped, Effect.runPromise)

const failureOfValue = (error: unknown) => {
  assert.instanceOf(error, ParadigmError)
  return error.reason._tag
}

const unhandledDuring = async (use: () => Promise<void>): Promise<ReadonlyArray<unknown>> => {
  const unhandled: Array<unknown> = []
  const note = (error: unknown) => unhandled.push(error)
  const others = process.listeners("unhandledRejection")
  process.removeAllListeners("unhandledRejection")
  process.on("unhandledRejection", note)
  try {
    await use()
  } finally {
    process.off("unhandledRejection", note)
    for (const other of others) process.on("unhandledRejection", other)
  }
  return unhandled
}

const collect = async (chunks: AsyncIterable<ChatCompletionChunk>) => {
  const all: Array<ChatCompletionChunk> = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}

const whole = [chunk("Hel"), chunk("lo"), chunk("", "stop")]
const endless = begin("text/event-stream", event(chunk("a")) + event(chunk("b")))

describe("create", () => {
  it("resolves with the completion", () =>
    meet(json(completion), async ({ paradigm }) => {
      assert.deepStrictEqual(await paradigm.chat.completions.create(request), completion)
      assert.deepStrictEqual(await paradigm.chat.completions.create({ ...request, stream: false }), completion)
    }))

  it("resolves with an async iterable of the chunks", () =>
    meet(sse(...whole, "[DONE]"), async ({ paradigm }) => {
      assert.deepStrictEqual(await collect(await paradigm.chat.completions.create(streamed)), whole)
    }))

  it("resolves with a stream when the response begins", () =>
    meet(
      (response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.flushHeaders()
      },
      async ({ asked, paradigm }) => {
        const chunks = await paradigm.chat.completions.create(streamed)
        const closed = await asked()
        await chunks.close()
        await closed()
      }
    ))

  it("returns the response with the completion", () =>
    meet(json(completion, 200, { "x-request-id": "r-1", "x-other": "o" }), async ({ paradigm }) => {
      const { data, response } = await paradigm.chat.completions.create(request).withResponse()
      assert.deepStrictEqual(data, completion)
      assert.deepStrictEqual([response.status, response.requestId, response.headers.get("x-other")], [200, "r-1", "o"])
    }))

  it("returns the response with a stream", () =>
    meet(sse(...whole, "[DONE]"), async ({ paradigm }) => {
      const { data, response } = await paradigm.chat.completions.create(streamed).withResponse()
      assert.deepStrictEqual([response.status, response.requestId], [200, "r-1"])
      assert.deepStrictEqual(await collect(data), whole)
    }))

  it("sends one request, however often its promise is used", () =>
    meet(json(completion), async ({ paradigm, requests }) => {
      const promise = paradigm.chat.completions.create(request)
      await Promise.all([promise, promise.then((completion) => completion.id), promise.withResponse(), promise.withResponse()])
      assert.strictEqual(await requests(), 1)
    }))

  it("supports concurrent calls", () =>
    meet(json(completion), async ({ paradigm }) => {
      const all = await Promise.all(Array.from({ length: 20 }, () => paradigm.chat.completions.create(request)))
      for (const one of all) assert.deepStrictEqual(one, completion)
    }))
})

describe("an error", () => {
  it.each([
    [401, { detail: "no" }, "Unauthorized"],
    [404, { detail: "no" }, "NotFound"],
    [422, { detail: "no" }, "RequestRejected"],
    [500, "no", "ServerFault"]
  ] as const)("of the server rejects the promise with its reason (%i)", (status, body, tag) =>
    meet(json(body, status, { "x-request-id": "r-1" }), async ({ paradigm }) => {
      for (const call of [
        () => paradigm.chat.completions.create(request),
        () => paradigm.chat.completions.create(streamed),
        () => paradigm.chat.completions.create(request).withResponse()
      ]) {
        const error = await failureOf(call(), tag)
        assert.deepStrictEqual([error.status, error.requestId], [status, "r-1"])
        assert.instanceOf(error, Error)
      }
    })
  )

  it("in the stream is thrown by the loop, with the partial completion", () =>
    meet(sse(chunk("Hel"), chunk("lo"), { error: { message: "boom" } }), async ({ paradigm }) => {
      const chunks = await paradigm.chat.completions.create(streamed)
      const received: Array<unknown> = []
      const error = await failureOf(
        (async () => {
          for await (const chunk of chunks) received.push(chunk)
        })(),
        "StreamFault"
      )
      assert.deepStrictEqual(received, [chunk("Hel"), chunk("lo")])
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hello")
    }))

  it("of a truncated stream is thrown by the loop", () =>
    meet(sse(chunk("Hel")), async ({ paradigm }) => {
      await failureOf(collect(await paradigm.chat.completions.create(streamed)), "StreamTruncated")
    }))

  it("in the options is thrown when the client is created", () => {
    const createClient = () => connect("http://127.0.0.1:9", { apiKey: `${key}\n` })
    try {
      createClient()
      assert.fail("it did not throw")
    } catch (error) {
      assert.instanceOf(error, ParadigmError)
      assert.strictEqual(error.reason._tag, "InvalidConfiguration")
      assert.notInclude(error.message, key)
    }
  })

  it("in the request rejects the promise before sending", () =>
    meet(json(completion), async ({ paradigm, requests }) => {
      const wrong: ReadonlyArray<unknown> = [{ model: "m" }, { ...request, n: Number.NaN }, { stream: true }, {}, undefined, null, 42]
      for (const value of wrong) await failureOf(paradigm.chat.completions.create(value as typeof request), "InvalidRequest")
      assert.strictEqual(await requests(), 0)
    }))

  it("of a call that is not awaited is one unhandled rejection", () =>
    meet(json("no", 500), async ({ paradigm }) => {
      const unhandled = await unhandledDuring(async () => {
        void paradigm.chat.completions.create(request)
        void paradigm.chat.completions.create(streamed)
        void paradigm.chat.completions.create(request).withResponse()
        void paradigm.chat.completions.create({ ...request, n: Number.NaN })
        await sleep(200)
      })
      assert.deepStrictEqual(unhandled.map((error) => (error as ParadigmError).reason._tag).toSorted(), [
        "InvalidRequest",
        "ServerFault",
        "ServerFault",
        "ServerFault"
      ])
    }))

  it("of the promise that withResponse replaces is not an unhandled rejection", () =>
    meet(json("no", 500), async ({ paradigm }) => {
      const unhandled = await unhandledDuring(async () => {
        await failureOf(paradigm.chat.completions.create(request).withResponse(), "ServerFault")
        await sleep(50)
      })
      assert.deepStrictEqual(unhandled, [])
    }))

  it("has the stack of its call", () =>
    meet(json("no", 500), async ({ paradigm }) => {
      const myFunction = async () => await paradigm.chat.completions.create(request)
      const error = await failureOf(myFunction(), "ServerFault")
      const [first, second] = (error.stack ?? "").split("\n    at ")
      assert.strictEqual(first, `ParadigmError: ${error.message}`)
      assert.match(String(second), /^myFunction .*ParadigmPromise\.test\.ts:\d+:\d+/)
    }))

  it("of a stream has the stack of its call", () =>
    meet(sse(chunk("Hel")), async ({ paradigm }) => {
      const myFunction = async () => await paradigm.chat.completions.create(streamed)
      const error = await failureOf(collect(await myFunction()), "StreamTruncated")
      assert.match(error.stack ?? "", /^ParadigmError: StreamTruncated.*\n    at myFunction /)
    }))

  it("of a stream that is not read is not an unhandled rejection", () =>
    meet(sse(chunk("a"), { error: "boom" }), async ({ paradigm }) => {
      const unhandled = await unhandledDuring(async () => {
        const controller = new AbortController()
        const chunks = await paradigm.chat.completions.create(streamed, { signal: controller.signal })
        void chunks[Symbol.asyncIterator]()
        controller.abort(new Error("late"))
        await sleep(100)
      })
      assert.deepStrictEqual(unhandled, [])
    }))
})

describe("a loop over the chunks", () => {
  it("closes the connection on break", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const received: Array<unknown> = []
      for await (const chunk of await paradigm.chat.completions.create(streamed)) {
        received.push(chunk)
        break
      }
      assert.deepStrictEqual(received, [chunk("a")])
      await (
        await asked()
      )()
    }))

  it("closes the connection and rethrows when its body throws", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const enough = new Error("enough")
      const error = await thrownBy(
        (async () => {
          for await (const _ of await paradigm.chat.completions.create(streamed)) throw enough
        })()
      )
      assert.strictEqual(error, enough)
      await (
        await asked()
      )()
    }))

  it("closes the connection when its iterator returns before the first chunk", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const iterator = (await paradigm.chat.completions.create(streamed))[Symbol.asyncIterator]()
      assert.deepStrictEqual(await iterator.return?.(), { done: true, value: undefined })
      assert.deepStrictEqual(await iterator.next(), { done: true, value: undefined })
      await (
        await asked()
      )()
    }))

  it("ends when the stream is closed", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const chunks = await paradigm.chat.completions.create(streamed)
      const received: Array<unknown> = []
      for await (const chunk of chunks) {
        received.push(chunk)
        if (received.length === 2) void sleep(20).then(() => chunks.close())
      }
      assert.deepStrictEqual(received, [chunk("a"), chunk("b")])
      await (
        await asked()
      )()
      await chunks.close()
    }))

  it("continues after the last chunk of an earlier loop", () =>
    meet(sse(...whole, "[DONE]"), async ({ paradigm }) => {
      const chunks = await paradigm.chat.completions.create(streamed)
      const iterator = chunks[Symbol.asyncIterator]()
      assert.deepStrictEqual((await iterator.next()).value, whole[0])
      assert.deepStrictEqual(await collect(chunks), whole.slice(1))
      assert.deepStrictEqual(await collect(chunks), [])
    }))

  it("may request several chunks concurrently", () =>
    meet(sse(...whole, "[DONE]"), async ({ paradigm }) => {
      const iterator = (await paradigm.chat.completions.create(streamed))[Symbol.asyncIterator]()
      const steps = await Promise.all(Array.from({ length: 5 }, () => iterator.next()))
      assert.deepStrictEqual(
        steps.map(({ value }) => value),
        [...whole, undefined, undefined]
      )
    }))
})

describe("a wrong argument", () => {
  const throwing = () => {
    throw new TypeError("thrown by the caller")
  }
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  }
  it.each<[string, unknown, unknown, string, string]>([
    ["options null", request, null, "InvalidConfiguration", "options must be an object"],
    ["options that are a text", request, "fast", "InvalidConfiguration", "options must be an object"],
    ["options that are a list", streamed, [], "InvalidConfiguration", "options must be an object"],
    ["options that throw", request, { get retry() { return throwing() } }, "InvalidConfiguration", "options cannot be read"], // prettier-ignore
    ["revoked options", streamed, revoked(), "InvalidConfiguration", "options cannot be read"],
    ["a member that throws", request, { retry: revoked() }, "InvalidConfiguration", "options cannot be read"],
    ["a controller as the signal", request, { signal: new AbortController() }, "InvalidConfiguration", "signal must be an AbortSignal"],
    ["a controller as the signal of a stream", streamed, { signal: new AbortController() }, "InvalidConfiguration", "signal must be"],
    ["a signal that is null", streamed, { signal: null }, "InvalidConfiguration", "signal must be"],
    ["an encoder that throws", request, { encode: throwing }, "InvalidConfiguration", "encode is a function that failed"],
    ["an encoder that returns nothing", streamed, { encode: () => {} }, "InvalidConfiguration", "encode is a function that failed"],
    ["no request", undefined, undefined, "InvalidRequest", "not a chat completion request"],
    ["a null request", null, {}, "InvalidRequest", "not a chat completion request"],
    ["a stream that throws", { ...request, get stream() { return throwing() } }, {}, "InvalidRequest", "Unexpected exception when read"], // prettier-ignore
    ["a revoked request", revoked(), {}, "InvalidRequest", "Unexpected exception when read"],
    ["a stream that is a text", { ...request, stream: "true" }, {}, "InvalidRequest", "[stream: Expected boolean]"],
    ["extraBody.stream of a whole call", request, { extraBody: { stream: true } }, "InvalidRequest", "[stream: Expected false]"],
    ["extraBody.stream of a stream", streamed, { extraBody: { stream: false } }, "InvalidRequest", "[stream: Expected true]"]
  ])("rejects: %s", (_, request, options, tag, message) =>
    meet(
      () => assert.fail("was sent"),
      async ({ paradigm }) => {
        const promise = paradigm.chat.completions.create(request as typeof streamed, options as ParadigmPromise.PromiseCallOptions)
        const error = await failureOf(promise, tag)
        assert.include(error.message, message)
        assert.notInclude(error.message, "streamChatCompletion")
      }
    )
  )

  it.each([
    ["a model that changes", () => request, {}],
    ["a model of extraBody", () => request, { extraBody: { model: "other" } }]
  ] as const)("reads once: %s", (_, make, options) =>
    meet(json({ error: { message: "no such model", code: "model_not_found" } }, 404), async ({ paradigm }) => {
      let reads = 0
      const given = new Proxy(make(), {
        get: (target, name) => (name === "model" && reads++ > 0 ? 7 : Reflect.get(target, name))
      })
      for (const stream of [false, true]) {
        reads = 0
        const promise = paradigm.chat.completions.create(stream ? { ...given, stream } : given, options)
        const { reason } = await failureOf(promise, "ModelNotFound")
        assert.strictEqual(Reflect.get(reason, "model"), "extraBody" in options ? "other" : request.model)
      }
    })
  )
})

describe("an abort", () => {
  const reason = new Error("the user left")

  it("before the call rejects with its reason before sending", () =>
    meet(json(completion), async ({ paradigm, requests }) => {
      const signal = AbortSignal.abort(reason)
      assert.strictEqual(await thrownBy(paradigm.chat.completions.create(request, { signal })), reason)
      assert.strictEqual(await thrownBy(paradigm.chat.completions.create(streamed, { signal })), reason)
      await sleep(50)
      assert.strictEqual(await requests(), 0)
    }))

  it.each<[string, Answer]>([
    ["before the response", () => {}],
    ["in the middle of the body", begin("application/json", '{"id":')]
  ])("%s closes the connection and rejects with its reason", (_, answer) =>
    meet(answer, async ({ asked, paradigm }) => {
      const controller = new AbortController()
      const promise = paradigm.chat.completions.create(request, { signal: controller.signal })
      const closed = await asked()
      await sleep(30)
      controller.abort(reason)
      assert.strictEqual(await thrownBy(promise), reason)
      await closed()
    })
  )

  it("before the response of a stream closes the connection and rejects with its reason", () =>
    meet(
      () => {},
      async ({ asked, paradigm }) => {
        const controller = new AbortController()
        const promise = paradigm.chat.completions.create(streamed, { signal: controller.signal })
        const closed = await asked()
        controller.abort(reason)
        assert.strictEqual(await thrownBy(promise), reason)
        await closed()
      }
    ))

  it("during a loop closes the connection and throws its reason", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const controller = new AbortController()
      const received: Array<unknown> = []
      const loop = async () => {
        for await (const chunk of await paradigm.chat.completions.create(streamed, { signal: controller.signal })) {
          received.push(chunk)
          if (received.length === 2) void sleep(20).then(() => controller.abort(reason))
        }
      }
      assert.strictEqual(await thrownBy(loop()), reason)
      assert.deepStrictEqual(received, [chunk("a"), chunk("b")])
      await (
        await asked()
      )()
    }))

  it("within a loop ends it without another chunk", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const controller = new AbortController()
      const received: Array<unknown> = []
      const loop = async () => {
        for await (const chunk of await paradigm.chat.completions.create(streamed, { signal: controller.signal })) {
          received.push(chunk)
          controller.abort(reason)
        }
      }
      assert.strictEqual(await thrownBy(loop()), reason)
      assert.deepStrictEqual(received, [chunk("a")])
      await (
        await asked()
      )()
    }))

  it("of a stream that is not read closes the connection at once", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const controller = new AbortController()
      const chunks = await paradigm.chat.completions.create(streamed, { signal: controller.signal })
      const closed = await asked()
      controller.abort(reason)
      await closed()
      assert.strictEqual(await thrownBy(collect(chunks)), reason)
      assert.strictEqual(await thrownBy(chunks.finalCompletion()), reason)
    }))

  it("between two reads closes the connection at once", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const controller = new AbortController()
      const iterator = (await paradigm.chat.completions.create(streamed, { signal: controller.signal }))[Symbol.asyncIterator]()
      await iterator.next()
      controller.abort(reason)
      await (
        await asked()
      )()
      assert.strictEqual(await thrownBy(iterator.next()), reason)
    }))

  it("by AbortSignal.timeout rejects with its TimeoutError", () =>
    meet(
      () => {},
      async ({ paradigm }) => {
        const error = await thrownBy(paradigm.chat.completions.create(request, { signal: AbortSignal.timeout(30) }))
        assert.instanceOf(error, DOMException)
        assert.strictEqual(error.name, "TimeoutError")
      }
    ))

  it("without a reason rejects with an AbortError", () =>
    meet(
      () => {},
      async ({ asked, paradigm }) => {
        const controller = new AbortController()
        const promise = paradigm.chat.completions.create(request, { signal: controller.signal })
        await asked()
        controller.abort()
        const error = await thrownBy(promise)
        assert.instanceOf(error, DOMException)
        assert.strictEqual(error.name, "AbortError")
      }
    ))

  it("after the end has no effect", () =>
    meet(sse(...whole, "[DONE]"), async ({ paradigm }) => {
      const controller = new AbortController()
      const chunks = await paradigm.chat.completions.create(streamed, { signal: controller.signal })
      assert.deepStrictEqual(await collect(chunks), whole)
      controller.abort(reason)
      assert.strictEqual((await chunks.finalCompletion()).choices[0]?.message.content, "Hello")
      assert.deepStrictEqual(await collect(chunks), [])
    }))

  it("of one call does not affect the others", () =>
    meet(
      (response, { body }) => (body.includes("stay") ? setTimeout(() => json(completion)(response, {} as never), 50) : undefined),
      async ({ asked, paradigm }) => {
        const controller = new AbortController()
        const staying = paradigm.chat.completions.create({ ...request, user: "stay" })
        const leaving = paradigm.chat.completions.create(request, { signal: controller.signal })
        await asked()
        await asked()
        controller.abort(reason)
        assert.strictEqual(await thrownBy(leaving), reason)
        assert.deepStrictEqual(await staying, completion)
      }
    ))

  it("has no listener left after a call", () =>
    meet(
      (response, seen) => (seen.body.includes('"stream":true') ? sse(...whole, "[DONE]") : json(completion))(response, seen),
      async ({ paradigm }) => {
        const { signal } = new AbortController()
        for (let time = 0; time < 20; time++) {
          await paradigm.chat.completions.create(request, { signal })
          await collect(await paradigm.chat.completions.create(streamed, { signal }))
          for await (const _ of await paradigm.chat.completions.create(streamed, { signal })) break
          await (await paradigm.chat.completions.create(streamed, { signal })).close()
          await paradigm.chat.completions.create({ ...request, n: Number.NaN }, { signal }).catch(() => {})
        }
        assert.strictEqual(getEventListeners(signal, "abort").length, 0)
      }
    ))
})

const writeSlowly = async (response: ServerResponse) => {
  for (let number = 0; number < 20; number++) {
    response.write(event(chunk(String(number))))
    if (number % 3 === 0) await sleep(7)
  }
  response.end(event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }) + event("[DONE]"))
}

describe("a stream", () => {
  it("resolves with its completion, however many chunks were read", () =>
    meet(sse(...whole, "[DONE]"), async ({ paradigm }) => {
      for (const read of [0, 1, 3, 4]) {
        const chunks = await paradigm.chat.completions.create(streamed)
        const iterator = chunks[Symbol.asyncIterator]()
        for (let time = 0; time < read; time++) await iterator.next()
        const { choices, object } = await chunks.finalCompletion()
        assert.strictEqual(object, "chat.completion")
        assert.deepStrictEqual(choices, [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }])
        assert.deepStrictEqual((await chunks.finalCompletion()).choices, choices)
      }
    }))

  it("rejects finalCompletion with its error when it fails", () =>
    meet(sse(chunk("Hel"), { error: { message: "boom" } }), async ({ paradigm }) => {
      const chunks = await paradigm.chat.completions.create(streamed)
      const error = await failureOf(chunks.finalCompletion(), "StreamFault")
      assert.strictEqual(error.partial?.choices[0]?.message.content, "Hel")
      await failureOf(chunks.finalCompletion(), "StreamFault")
    }))

  it("rejects finalCompletion with Closed after break", () =>
    meet(endless, async ({ paradigm }) => {
      const chunks = await paradigm.chat.completions.create(streamed)
      for await (const _ of chunks) break
      await failureOf(chunks.finalCompletion(), "Closed")
    }))

  it("rejects finalCompletion with Closed when it is closed before it is read", () =>
    meet(endless, async ({ paradigm }) => {
      const chunks = await paradigm.chat.completions.create(streamed)
      await chunks.close()
      await failureOf(chunks.finalCompletion(), "Closed")
    }))

  it("converts to a ReadableStream of JSON lines", () =>
    meet(sse(...whole, "[DONE]"), async ({ paradigm }) => {
      const text = await new Response((await paradigm.chat.completions.create(streamed)).toReadableStream()).text()
      assert.deepStrictEqual(
        text
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line)),
        whole
      )
    }))

  it("fails its ReadableStream with its error", () =>
    meet(sse(chunk("a"), { error: "boom" }), async ({ paradigm }) => {
      const reader = (await paradigm.chat.completions.create(streamed)).toReadableStream().getReader()
      assert.isFalse((await reader.read()).done)
      await failureOf(reader.read(), "StreamFault")
    }))

  it("closes the connection when its ReadableStream is cancelled", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const reader = (await paradigm.chat.completions.create(streamed)).toReadableStream().getReader()
      await reader.read()
      await reader.cancel()
      await (
        await asked()
      )()
    }))

  it("keeps every chunk for a slow reader", () =>
    meet(
      (response) => {
        begin("text/event-stream", "")(response, {} as never)
        void writeSlowly(response)
      },
      async ({ paradigm }) => {
        const received: Array<unknown> = []
        for await (const chunk of await paradigm.chat.completions.create(streamed)) {
          received.push(chunk)
          await sleep(5)
        }
        assert.deepStrictEqual(
          received.slice(0, -1),
          Array.from({ length: 20 }, (_, number) => chunk(String(number)))
        )
      }
    ))
})

describe("close", () => {
  it("rejects a pending call with Closed", () =>
    meet(
      () => {},
      async ({ asked, paradigm }) => {
        const waiting = thrownBy(paradigm.chat.completions.create(request))
        const closed = await asked()
        await paradigm.close()
        assert.strictEqual(failureOfValue(await waiting), "Closed")
        await closed()
      }
    ))

  it("ends a stream during a loop with Closed", () =>
    meet(endless, async ({ asked, paradigm }) => {
      const chunks = await paradigm.chat.completions.create(streamed)
      const closed = await asked()
      const loop = thrownBy(collect(chunks)).then(failureOfValue)
      await sleep(20)
      await paradigm.close()
      await closed()
      assert.strictEqual(await loop, "Closed")
    }))

  it("closes the connection of a stream that is not read", () =>
    meet(endless, async ({ asked, paradigm }) => {
      await paradigm.chat.completions.create(streamed)
      const closed = await asked()
      await paradigm.close()
      await closed()
    }))

  it("may be called twice and before any call", async () => {
    const paradigm = connect("http://127.0.0.1:9")
    await paradigm.close()
    await paradigm.close()
    await failureOf(paradigm.chat.completions.create(request), "Closed")
  })
})

// Every pending promise settles when the stream is closed or aborted, whether or not the server continues to send.
describe("a pending promise", () => {
  const silent: Answer = begin("text/event-stream", event(chunk("a")))
  const dripping: Answer = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.write(event(chunk("a")))
    const timer = setInterval(() => response.write(": drip\n\n"), 5)
    response.once("close", () => clearInterval(timer))
  }
  const waits = {
    next: (stream: ChunkStream) => stream[Symbol.asyncIterator]().next(),
    loop: (stream: ChunkStream) => collect(stream),
    finalCompletion: (stream: ChunkStream) => stream.finalCompletion(),
    read: (stream: ChunkStream) => {
      const reader = stream.toReadableStream().getReader()
      return reader.read().then(() => reader.read())
    }
  }
  const ends = {
    close: ({ stream }: Ending) => void stream.close(),
    return: ({ stream }: Ending) => void stream[Symbol.asyncIterator]().return?.(),
    "client.close": ({ paradigm }: Ending) => void paradigm.close(),
    abort: ({ controller }: Ending) => controller.abort(new Error("stop")),
    dispose: ({ stream }: Ending) => void stream[Symbol.asyncDispose]()
  }
  interface Ending {
    readonly stream: ChunkStream
    readonly paradigm: ParadigmPromise.ParadigmPromise
    readonly controller: AbortController
  }
  const quiet = new Set(["close", "return", "dispose"])

  for (const [server, answer] of Object.entries({ silent, dripping })) {
    for (const [waiting, wait] of Object.entries(waits)) {
      for (const [ending, end] of Object.entries(ends)) {
        it(`settles: ${waiting}, ended by ${ending}, ${server} server`, () =>
          meet(answer, async ({ asked, paradigm }) => {
            const controller = new AbortController()
            const stream = await paradigm.chat.completions.create(streamed, { signal: controller.signal })
            const closed = await asked()
            if (waiting === "next") await stream[Symbol.asyncIterator]().next()
            const settled = wait(stream).then(
              () => "resolved",
              (error: unknown) => (error instanceof ParadigmError ? error.reason._tag : String(error))
            )
            await sleep(20)
            end({ stream, paradigm, controller })
            const expected =
              ending === "abort" ? "Error: stop" : ending === "client.close" || waiting === "finalCompletion" ? "Closed" : "resolved"
            assert.strictEqual(await settled, expected)
            assert.strictEqual(quiet.has(ending) || expected !== "resolved", true)
            await closed()
          }))
      }
    }
  }

  it("settles when the ReadableStream is cancelled", () =>
    meet(silent, async ({ asked, paradigm }) => {
      const reader = (await paradigm.chat.completions.create(streamed)).toReadableStream().getReader()
      const closed = await asked()
      await reader.read()
      const pending = reader.read()
      await sleep(20)
      await reader.cancel()
      assert.isTrue((await pending).done)
      await closed()
    }))
})

describe("a stream without references", () => {
  it("closes its connection when it is garbage-collected", () =>
    meet(endless, async ({ asked, paradigm }) => {
      setFlagsFromString("--expose-gc")
      const collectGarbage = runInNewContext("gc") as () => void
      const drop = async () => void (await (await paradigm.chat.completions.create(streamed))[Symbol.asyncIterator]().next())
      await drop()
      const closed = await asked()
      const timer = setInterval(collectGarbage, 20)
      await closed()
      clearInterval(timer)
    }))
})

describe("asyncDispose", () => {
  it("closes a client and a stream", () =>
    meet(endless, async ({ asked, paradigm }) => {
      {
        await using stream = await paradigm.chat.completions.create(streamed)
        assert.isDefined(stream)
      }
      await (
        await asked()
      )()
      await paradigm[Symbol.asyncDispose]()
      await failureOf(paradigm.chat.completions.create(request), "Closed")
    }))
})
