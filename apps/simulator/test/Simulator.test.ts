import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { createServer, type Server, ServerResponse } from "node:http"
import { connect, type Socket } from "node:net"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as VllmRequest from "@paradigm-effect/simulator/VllmRequest"

// Node's server on a free port. Connections that never asked anything are closed with it: `close` alone waits for them.
const nodeServer = (make: () => Server, options: { readonly disablePreemptiveShutdown?: boolean } = { disablePreemptiveShutdown: true }) =>
  Layer.effect(
    HttpServer.HttpServer,
    Effect.gen(function* () {
      const server = make()
      const http = yield* NodeHttpServer.make(() => server, { port: 0, host: "127.0.0.1", ...options })
      yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
      return http
    })
  )

// A simulator, with what it logs. TestClock stands at 0, so `created` is 0.
const start = Effect.fnUntraced(function* (
  options: Partial<Simulator.Options> = {},
  server: Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError> = nodeServer(() => createServer())
) {
  const logs = yield* Queue.unbounded<string>()
  const logger = Logger.make<unknown, void>(({ message }) => void Queue.offerUnsafe(logs, String(message)))
  const context = yield* Layer.build(
    Simulator.layer({ models: ["alfred-4.2"], ...options }).pipe(Layer.provideMerge(server), Layer.provide(Logger.layer([logger])))
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  return { url: HttpServer.formatAddress(address), port: NetAddress.isInetAddress(address) ? address.port : 0, logs }
})

const ask = (content: string, more: object = {}) => ({ model: "alfred-4.2", messages: [{ role: "user", content }], ...more })

const send = (url: string, body: unknown, init: Omit<RequestInit, "headers"> & { readonly headers?: Record<string, string> } = {}) =>
  Effect.promise(() =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
      headers: { "content-type": "application/json", ...init.headers }
    })
  )

const complete = Effect.fnUntraced(function* (url: string, body: unknown, headers: Record<string, string> = {}) {
  const response = yield* send(url, body, { headers })
  const text = yield* Effect.promise(() => response.text())
  return { status: response.status, headers: response.headers, text }
})

const json = Effect.fnUntraced(function* (url: string, body: unknown) {
  return JSON.parse((yield* complete(url, body)).text)
})

// One read of the body after another; "" at its end.
const reader = (response: Response) => {
  const source = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  return Effect.map(
    Effect.promise(() => source.read()),
    ({ value }) => value ?? ""
  )
}

const chunksOf = (text: string) => {
  const events = text.split("\n\n")
  assert.deepStrictEqual(events.splice(-2), ["data: [DONE]", ""])
  return events.map((event) => JSON.parse(event.slice("data: ".length)))
}

describe("a completion", () => {
  it.effect("has every key, null where unset", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const response = yield* complete(url, ask("Say it again"), { "x-request-id": "one" })
      assert.strictEqual(response.status, 200)
      assert.strictEqual(response.headers.get("content-type"), "application/json")
      assert.strictEqual(response.headers.get("x-request-id"), "one")
      assert.deepStrictEqual(JSON.parse(response.text), {
        id: "chatcmpl-one",
        object: "chat.completion",
        created: 0,
        model: "alfred-4.2",
        choices: [
          {
            index: 0,
            message: {
              role: "assistant",
              content: "Say it again",
              refusal: null,
              annotations: null,
              audio: null,
              function_call: null,
              tool_calls: [],
              reasoning: null
            },
            logprobs: null,
            finish_reason: "stop",
            stop_reason: null,
            token_ids: null
          }
        ],
        service_tier: null,
        system_fingerprint: null,
        usage: { prompt_tokens: 4, total_tokens: 7, completion_tokens: 3, prompt_tokens_details: null },
        prompt_logprobs: null,
        prompt_token_ids: null,
        kv_transfer_params: null
      })
    })
  )

  it.effect("echoes the text of the last user message", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const messages = [
        { role: "user", content: "first" },
        { role: "user", content: ["a", { type: "text", text: "b" }, { type: "image_url", image_url: { url: "data:," } }] },
        { role: "assistant", content: null, tool_calls: [] }
      ]
      const reply = yield* json(url, { model: "alfred-4.2", messages })
      assert.strictEqual(reply.choices[0].message.content, "a\nb")
    })
  )

  it.effect("ends where it is told to", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const end = Effect.fnUntraced(function* (more: object) {
        const { choices, usage } = yield* json(url, ask("one two three four", more))
        return [choices[0].message.content, choices[0].finish_reason, choices[0].stop_reason, usage.completion_tokens]
      })
      assert.deepStrictEqual(yield* end({ max_tokens: 2 }), ["one two", "length", null, 2])
      assert.deepStrictEqual(yield* end({ max_tokens: 2, max_completion_tokens: 3 }), ["one two three", "length", null, 3])
      assert.deepStrictEqual(yield* end({ stop: "three" }), ["one two ", "stop", "three", 3])
      assert.deepStrictEqual(yield* end({ stop: ["x", "wo"] }), ["one t", "stop", "wo", 2])
      assert.deepStrictEqual(yield* end({ seed: null, n: null, stop: null, tools: null }), ["one two three four", "stop", null, 4])
    })
  )

  it.effect("tolerates fields it does not know, and takes its id from the body or makes one", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const unknown = { user: "u", functions: [{}], function_call: "none", guided_choice: ["a"], vllm_xargs: {}, whatever: { deep: [1] } }
      assert.strictEqual((yield* json(url, ask("hi", { ...unknown, request_id: "two" }))).id, "chatcmpl-two")
      const made = yield* complete(url, ask("hi", { request_id: "line\nfeed" }), { "x-request-id": "with space" })
      assert.match(JSON.parse(made.text).id, /^chatcmpl-[0-9a-f]{32}$/)
      assert.strictEqual(JSON.parse(made.text).id, `chatcmpl-${made.headers.get("x-request-id")}`)
    })
  )
})

describe("a stream", () => {
  it.effect("is role, deltas, finish, usage and [DONE], byte for byte", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const body = ask("Hé 🌊", { stream: true, stream_options: { include_usage: true } })
      const response = yield* complete(url, body, { "x-request-id": "s" })
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream; charset=utf-8")
      assert.strictEqual(response.headers.get("x-request-id"), "s")
      const head = `{"id":"chatcmpl-s","object":"chat.completion.chunk","created":0,"model":"alfred-4.2","choices":[`
      const events = [
        `${head}{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`,
        `${head}{"index":0,"delta":{"content":"Hé"},"logprobs":null,"finish_reason":null}]}`,
        `${head}{"index":0,"delta":{"content":" 🌊"},"logprobs":null,"finish_reason":null}]}`,
        `${head}{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop","stop_reason":null}]}`,
        `${head}],"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}}`,
        "[DONE]"
      ]
      assert.strictEqual(response.text, events.map((event) => `data: ${event}\n\n`).join(""))
    })
  )

  it.effect("carries the last token on the finish chunk when the limit cut it, and the stop string when one ended it", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const last = Effect.fnUntraced(function* (more: object) {
        return chunksOf((yield* complete(url, ask("one two three", { stream: true, ...more }))).text).at(-1).choices[0]
      })
      const cut = { index: 0, delta: { content: " two" }, logprobs: null, finish_reason: "length", stop_reason: null }
      assert.deepStrictEqual(yield* last({ max_tokens: 2 }), cut)
      const stopped = { index: 0, delta: { content: "" }, logprobs: null, finish_reason: "stop", stop_reason: "two" }
      assert.deepStrictEqual(yield* last({ stop: "two" }), stopped)
    })
  )

  it.effect("has a role and a finish chunk though there is nothing to say", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const chunks = chunksOf((yield* complete(url, ask("", { stream: true }))).text)
      assert.deepStrictEqual(
        chunks.map((chunk) => [chunk.choices[0].delta, chunk.choices[0].finish_reason]),
        [
          [{ role: "assistant", content: "" }, null],
          [{ content: "" }, "stop"]
        ]
      )
    })
  )

  it.effect("interleaves its choices, and says the same as the answer that is not streamed", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ mode: "random" })
      const request = ask("hi", { n: 3, seed: 7 })
      const whole = yield* json(url, request)
      const chunks = chunksOf((yield* complete(url, { ...request, stream: true })).text)
      const texts = ["", "", ""]
      for (const { choices } of chunks) texts[choices[0].index] += choices[0].delta.content
      assert.deepStrictEqual(
        texts,
        whole.choices.map((choice: { message: { content: string } }) => choice.message.content)
      )
      assert.strictEqual(new Set(texts).size, 3)
      assert.deepStrictEqual(
        chunks.slice(0, 9).map((chunk) => chunk.choices[0].index),
        [0, 1, 2, 0, 1, 2, 0, 1, 2]
      )
      assert.strictEqual(chunks.filter((chunk) => chunk.choices[0].finish_reason !== null).length, 3)
      assert.isTrue(chunks.every((chunk) => !("usage" in chunk)))
      assert.deepStrictEqual(yield* json(url, { ...request, request_id: "x" }), { ...whole, id: "chatcmpl-x" })
      assert.notDeepEqual((yield* json(url, { ...request, seed: 8 })).choices, whole.choices)
    })
  )

  it.effect("is written event by event, each in its own turn of the event loop", () =>
    Effect.gen(function* () {
      const writes: Array<{ readonly text: string; readonly corked: number | undefined }> = []
      // Node corks a socket from the first write of a turn to the end of it, so that its writes leave together.
      class Recorder extends ServerResponse {
        override write(chunk: Uint8Array): boolean {
          writes.push({ text: new TextDecoder().decode(chunk), corked: this.socket?.writableCorked })
          return super.write(chunk)
        }
      }
      const recording = nodeServer(() => createServer({ ServerResponse: Recorder }))
      const { url } = yield* start({}, recording)
      const { text } = yield* complete(url, ask("one two three", { stream: true, n: 2 }))
      assert.deepStrictEqual(
        writes.map((write) => write.text),
        ["", ...text.split(/(?<=\n\n)/)]
      )
      assert.isTrue(writes.every(({ corked }) => corked === 0))
    })
  )

  it.effect("counts usage as it goes when asked", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const counts = Effect.fnUntraced(function* (options: object) {
        const { text } = yield* complete(url, ask("a b c", { stream: true, n: 2, max_tokens: 2, stream_options: options }))
        return chunksOf(text).map((chunk) => chunk.usage?.completion_tokens)
      })
      assert.deepStrictEqual(yield* counts({ include_usage: true, continuous_usage_stats: true }), [0, 0, 1, 1, 2, 2, 4])
      assert.deepStrictEqual(yield* counts({ include_usage: true }), [undefined, undefined, undefined, undefined, undefined, undefined, 4])
      assert.deepStrictEqual(yield* counts({ include_usage: false }), [undefined, undefined, undefined, undefined, undefined, undefined])
    })
  )
})

describe("refusals", () => {
  const messages = [{ role: "user", content: "secret words" }]
  const model = "alfred-4.2"
  const table: ReadonlyArray<readonly [body: unknown, param: string | null, says: RegExp]> = [
    ["", null, /not valid JSON/],
    ["{", null, /not valid JSON/],
    ["\u0000", null, /not valid JSON/],
    ["[]", null, /body: Expected object/],
    ["null", null, /body: Expected object/],
    [{ messages }, "model", /^model: Field required/],
    [{ model: 1, messages }, "model", /^model: Expected string/],
    [{ model }, "messages", /^messages: Field required/],
    [{ model, messages: "hi" }, "messages", /^messages: Expected array/],
    [{ model, messages: [] }, "messages", /^messages: .*at least 1/],
    [{ model, messages: [null] }, "messages[0]", /messages\[0\]/],
    [{ model, messages: [...messages, { content: "hi" }] }, "messages[1].role", /^messages\[1\]\.role: Field required/],
    [{ model, messages: [{ role: "user", content: 5 }] }, "messages[0].content", /^messages\[0\]\.content: Expected string/],
    [{ model, messages, stream: "yes" }, "stream", /^stream: Expected boolean/],
    [{ model, messages, max_tokens: 0 }, "max_tokens", /^max_tokens: Expected a value between 1/],
    [{ model, messages, max_tokens: "5" }, "max_tokens", /^max_tokens: Expected number/],
    [{ model, messages, max_tokens: 1.5 }, "max_tokens", /^max_tokens: Expected an integer/],
    [{ model, messages, n: 0 }, "n", /^n: /],
    [{ model, messages, n: 1e6 }, "n", /^n: /],
    [{ model, messages, seed: "1" }, "seed", /^seed: /],
    [{ model, messages, seed: 0.5 }, "seed", /^seed: Expected an integer/],
    [{ model, messages, temperature: -1 }, "temperature", /^temperature: /],
    [{ model, messages, top_p: 0 }, "top_p", /^top_p: /],
    [{ model, messages, presence_penalty: 3 }, "presence_penalty", /^presence_penalty: /],
    [{ model, messages, stop: [""] }, "stop[0]", /^stop/],
    [{ model, messages, stop: 5 }, "stop", /^stop: /],
    [{ model, messages, logit_bias: { "\u001b[31m": "x" } }, "logit_bias.?[31m", /^logit_bias/],
    [{ model, messages, response_format: { type: "yaml" } }, "response_format.type", /^response_format\.type: /],
    [{ model, messages, stream_options: { include_usage: true } }, "stream_options", /`stream_options`.*`stream`/],
    [{ model, messages, stream: true, stream_options: { include_usage: 1 } }, "stream_options.include_usage", /include_usage/],
    [{ model, messages, tools: [] }, "tools", /`tools` must not be empty/],
    [{ model, messages, tools: [{ function: {} }] }, "tools[0].function.name", /Field required/],
    [{ model, messages, tool_choice: "auto" }, "tool_choice", /`tool_choice` needs `tools`/],
    [
      { model, messages, tools: [{ function: { name: "f" } }], tool_choice: { type: "function", function: { name: "g" } } },
      "tool_choice",
      /names none/
    ],
    [{ model, messages, top_logprobs: 2 }, "top_logprobs", /`top_logprobs` needs `logprobs`/],
    [{ model, messages, prompt_logprobs: 1, stream: true }, "prompt_logprobs", /not available/],
    [{ model, messages, structured_outputs: { regex: "a", choice: ["a"] } }, "structured_outputs", /not several/],
    [{ model, messages, min_tokens: 5, max_tokens: 4 }, "min_tokens", /`min_tokens`/],
    [{ model, messages, max_tokens: 100 }, "max_tokens", /maximum context length is 100 tokens/],
    [{ model, messages: [{ role: "user", content: "a ".repeat(200) }] }, "messages", /maximum context length is 100 tokens/]
  ]

  it.effect("are 400 in vLLM's shape and name the field", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ maxModelLen: 100 })
      for (const [body, param, says] of table) {
        const response = yield* complete(url, body)
        const { error, ...rest } = JSON.parse(response.text)
        const label = JSON.stringify(body)
        assert.deepStrictEqual(rest, {}, label)
        assert.deepStrictEqual([response.status, error.code, error.type, error.param], [400, 400, "BadRequestError", param], label)
        assert.match(error.message, says, label)
      }
    })
  )

  it.effect("are never a 500, whatever stands in a field", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ maxModelLen: 100, mode: "random" })
      const odd = [
        null,
        true,
        false,
        0,
        -1,
        1.5,
        1e308,
        2 ** 63,
        "",
        "x",
        [],
        {},
        [[]],
        [null],
        ["", 1],
        { a: { b: [] } },
        [{ function: 1 }]
      ]
      const fields = Object.keys(VllmRequest.VllmRequest.fields).concat("function_call", "guided_json", "__proto__", "constructor")
      const counts = new Map<number, number>()
      for (const field of fields) {
        for (const value of odd) {
          const body = `{"model":"alfred-4.2","messages":[{"role":"user","content":"a"}],${JSON.stringify(field)}:${JSON.stringify(value)}}`
          const { status, text } = yield* complete(url, body)
          counts.set(status, (counts.get(status) ?? 0) + 1)
          if (status !== 200) assert.strictEqual(JSON.parse(text).error.code, status, body)
        }
      }
      assert.sameMembers([...counts.keys()], [200, 400, 404])
    })
  )

  it.effect("are 404 for a model that is not there", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const response = yield* complete(url, { model: "other", messages })
      assert.strictEqual(response.status, 404)
      assert.deepStrictEqual(JSON.parse(response.text), {
        error: { message: "The model `other` does not exist.", type: "NotFoundError", param: "model", code: 404 }
      })
    })
  )

  it.effect("are 400 for forms and for bytes that are no text, 413 for a body over 64 MiB", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const type of ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=b", "application/jsonp"]) {
        const response = yield* complete(url, ask("hi"), { "content-type": type })
        assert.strictEqual(response.status, 400, type)
        assert.match(response.text, /application\/json/)
      }
      assert.strictEqual((yield* complete(url, ask("hi"), { "content-type": "Application/JSON; charset=utf-8" })).status, 200)
      const bytes = yield* send(url, "", { body: new Uint8Array([0x22, 0xff, 0x22]) })
      assert.match(yield* Effect.promise(() => bytes.text()), /not valid UTF-8/)
      const large = yield* send(url, "", { body: new Uint8Array(64 * 1024 * 1024 + 1) })
      assert.strictEqual(large.status, 413)
      assert.strictEqual(JSON.parse(yield* Effect.promise(() => large.text())).error.code, 413)
    })
  )

  it.effect("leave one line in the log, without what was sent", () =>
    Effect.gen(function* () {
      const { logs, url } = yield* start()
      yield* complete(url, { model: "other", messages }, { "x-request-id": "r" })
      yield* complete(url, { model, messages, request_id: "\n", logit_bias: { "\n": "x" } })
      const lines = [yield* Queue.take(logs), yield* Queue.take(logs)]
      assert.strictEqual(lines[0], "chatcmpl-r rejected: 404 NotFoundError, model")
      assert.match(lines[1] ?? "", /^chatcmpl-[0-9a-f]{32} rejected: 400 BadRequestError, logit_bias\.\?$/)
    })
  )
})

describe("other routes", () => {
  const call = Effect.fnUntraced(function* (url: string, init: RequestInit = {}) {
    const response = yield* Effect.promise(() => fetch(url, init))
    return { status: response.status, headers: response.headers, text: yield* Effect.promise(() => response.text()) }
  })

  it.effect("list the models as cards", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ models: ["a", "b"], maxModelLen: 4096 })
      const card = { object: "model", created: 0, owned_by: "vllm", parent: null, max_model_len: 4096 }
      assert.deepStrictEqual(JSON.parse((yield* call(`${url}/v1/models`)).text), {
        object: "list",
        data: [
          { ...card, id: "a", root: "a" },
          { ...card, id: "b", root: "b" }
        ]
      })
    })
  )

  it.effect("tell health and version, and refuse the rest as FastAPI does", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const health = yield* call(`${url}/health`)
      assert.deepStrictEqual([health.status, health.text, health.headers.get("content-length")], [200, "", "0"])
      assert.hasAllKeys(JSON.parse((yield* call(`${url}/version`)).text), ["version"])
      const missing = yield* call(`${url}/v1/completions`, { method: "POST", body: "{}" })
      assert.deepStrictEqual([missing.status, missing.text], [404, `{"detail":"Not Found"}`])
      assert.match(missing.headers.get("x-request-id") ?? "", /^[0-9a-f]{32}$/)
      const method = yield* call(`${url}/v1/chat/completions?x=1`)
      assert.deepStrictEqual([method.status, method.text, method.headers.get("allow")], [405, `{"detail":"Method Not Allowed"}`, "POST"])
      assert.strictEqual((yield* call(`${url}/%`)).status, 404)
    })
  )

  it.effect("let a page of any origin in", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ apiKey: Redacted.make("k") })
      const headers = { origin: "https://page.example", "access-control-request-headers": "authorization,content-type" }
      const preflight = yield* call(`${url}/v1/chat/completions`, { method: "OPTIONS", headers })
      assert.strictEqual(preflight.status, 204)
      assert.strictEqual(preflight.headers.get("access-control-allow-origin"), "*")
      assert.strictEqual(preflight.headers.get("access-control-allow-headers"), "authorization,content-type")
    })
  )

  it.effect("want the key under /v1 only, however the path is spelled", () =>
    Effect.gen(function* () {
      const { logs, url } = yield* start({ apiKey: Redacted.make("sesame oil") })
      const status = (path: string, authorization?: string) =>
        Effect.map(call(`${url}${path}`, authorization === undefined ? {} : { headers: { authorization } }), (response) => [
          response.status,
          response.text
        ])
      const refused = [401, `{"error":"Unauthorized"}`]
      for (const path of ["/v1/models", "//v1/models", "/%761/models", "/v1/nothing", "/v1/chat/completions"]) {
        assert.deepStrictEqual(yield* status(path), refused, path)
        assert.deepStrictEqual(yield* status(path, "Bearer sesame"), refused, path)
        assert.deepStrictEqual(yield* status(path, "sesame oil"), refused, path)
      }
      assert.strictEqual((yield* complete(url, ask("hi"))).status, 401)
      assert.strictEqual((yield* status("/v1/models", "Bearer sesame oil"))[0], 200)
      assert.strictEqual((yield* status("/v1/models", "bearer sesame oil"))[0], 200)
      assert.strictEqual((yield* status("/health"))[0], 200)
      assert.strictEqual((yield* complete(url, ask("open"), { authorization: "Bearer sesame oil" })).status, 200)
      assert.notInclude(yield* Queue.take(logs), "sesame")
    })
  )
})

describe("time", () => {
  const pacing = { timeToFirstToken: "1 hour", interTokenLatency: "1 minute" } as const

  it.effect("headers go out at once, and each token when it is due, in a read of its own", () =>
    Effect.gen(function* () {
      const { url } = yield* start(pacing)
      const read = reader(yield* send(url, ask("one two three", { stream: true })))
      yield* TestClock.adjust("1 hour")
      yield* Effect.repeat(read, { until: (text) => text.includes(`"one"`) })
      for (const token of [" two", " three"]) {
        const next = yield* Effect.forkChild(read)
        yield* TestClock.adjust("59 seconds")
        // A round trip over another connection: whatever was written before it has arrived.
        yield* Effect.promise(() => fetch(`${url}/health`))
        assert.isUndefined(next.pollUnsafe())
        yield* TestClock.adjust("1 second")
        const text = yield* Fiber.join(next)
        assert.strictEqual(JSON.parse(text.split("\n\n")[0]?.slice(6) ?? "").choices[0].delta.content, token)
      }
    })
  )

  it.effect("an answer that is not streamed takes as long", () =>
    Effect.gen(function* () {
      const { url } = yield* start(pacing)
      const reply = yield* Effect.forkChild(json(url, ask("one two three", { n: 2 })))
      // Two clocks: the request has to be there before its time passes.
      yield* Effect.promise(() => fetch(`${url}/health`)).pipe(Effect.repeat({ times: 3 }))
      yield* TestClock.adjust("61 minutes")
      yield* Effect.promise(() => fetch(`${url}/health`))
      assert.isUndefined(reply.pollUnsafe())
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(reply)).usage.completion_tokens, 6)
    })
  )
})

describe("the end of a connection", () => {
  const body = JSON.stringify(ask("one two three", { stream: true }))
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n`

  const leave: ReadonlyArray<readonly [how: string, (socket: Socket) => void]> = [
    ["closes", (socket) => socket.destroy()],
    ["ends its side", (socket) => socket.end()],
    ["resets", (socket) => socket.resetAndDestroy()]
  ]
  for (const [how, act] of leave) {
    it.effect(`stops the generation when the client ${how}`, () =>
      Effect.gen(function* () {
        const { logs, port } = yield* start({ interTokenLatency: "1 minute" })
        const socket = yield* Effect.acquireRelease(
          Effect.sync(() => connect(port, "127.0.0.1")),
          (socket) => Effect.sync(() => socket.destroy())
        )
        yield* Effect.callback<void>((resume) => {
          let seen = ""
          socket.on("error", () => {})
          socket.on("data", (bytes) => {
            seen += String(bytes)
            if (seen.includes(`"one"`)) resume(Effect.void)
          })
          socket.write(`${head}x-request-id: gone\r\n\r\n${body}`)
        })
        act(socket)
        assert.strictEqual(yield* Queue.take(logs), "chatcmpl-gone aborted by client after 1 token")
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(yield* Queue.size(logs), 0)
      })
    )
  }

  it.effect("stops it before the first token, and when nothing is streamed", () =>
    Effect.gen(function* () {
      const { logs, url } = yield* start({ timeToFirstToken: "1 minute", interTokenLatency: "1 minute" })
      for (const stream of [true, false]) {
        const controller = new AbortController()
        const reply = fetch(`${url}/v1/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json", "x-request-id": "early" },
          body: JSON.stringify(ask("one two", { stream })),
          signal: controller.signal
        }).then(
          (response) => response.text(),
          () => ""
        )
        yield* Effect.promise(() => fetch(`${url}/health`)).pipe(Effect.repeat({ times: 3 }))
        controller.abort()
        yield* Effect.promise(() => reply.catch(() => ""))
        assert.strictEqual(yield* Queue.take(logs), "chatcmpl-early aborted by client after 0 tokens")
      }
    })
  )

  it.effect("is a line in the log when all went well too", () =>
    Effect.gen(function* () {
      const { logs, url } = yield* start()
      yield* complete(url, ask("a secret of four"), { "x-request-id": "a" })
      yield* complete(url, ask("a secret of four", { stream: true, max_tokens: 1 }), { "x-request-id": "b" })
      assert.strictEqual(yield* Queue.take(logs), "chatcmpl-a finished: stop, 4 tokens")
      assert.strictEqual(yield* Queue.take(logs), "chatcmpl-b finished: length, 1 token")
    })
  )

  it.effect("comes at once when the server stops, and never looks like a whole answer", () =>
    Effect.gen(function* () {
      // The clock stands still: a server that waited for its streams would wait for ever.
      const { logs, read } = yield* Effect.scoped(
        Effect.gen(function* () {
          const { logs, url } = yield* start(
            { interTokenLatency: "1 minute" },
            nodeServer(() => createServer(), {})
          )
          const streamed = reader(yield* send(url, ask("one two", { stream: true }), { headers: { "x-request-id": "cut" } }))
          yield* Effect.repeat(streamed, { until: (text) => text.includes(`"one"`) })
          return { logs, read: streamed }
        })
      )
      assert.strictEqual(yield* Queue.take(logs), "chatcmpl-cut stopped with the server after 1 token")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(read)))
    })
  )
})
