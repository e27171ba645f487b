import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as ParadigmClient from "../src/ParadigmClient.ts"
import * as Telemetry from "../src/Telemetry.ts"

const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }
const envelope = { id: "chatcmpl-1", created: 1, model: "alfred-at-work" }
const completion = {
  ...envelope,
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "the answer" }, finish_reason: "stop" }],
  usage
}
const chunk = (choice: object) => ({ ...envelope, object: "chat.completion.chunk", choices: [{ index: 0, delta: {}, ...choice }] })
const stream = [chunk({ delta: { content: "the answer" } }), { ...chunk({ finish_reason: "stop" }), usage }]
  .map((value) => `data: ${JSON.stringify(value)}\n\n`)
  .join("")

const request = (model: string) => ({
  model,
  messages: [{ role: "user" as const, content: "the question" }],
  temperature: 0.5,
  max_tokens: 9
})

// What a call leaves behind: its spans, and the headers of its requests.
const observe = Effect.fnUntraced(function* (
  options: Partial<ParadigmClient.Options>,
  answer: (attempt: number) => Response,
  call: (client: ParadigmClient.ParadigmClient["Service"]) => Effect.Effect<unknown, unknown>
) {
  const spans: Array<Tracer.NativeSpan> = []
  const sent: Array<Readonly<Record<string, string>>> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const http = HttpClient.make((request) =>
    Effect.sync(() => {
      sent.push({ ...request.headers })
      return HttpClientResponse.fromWeb(request, answer(sent.length))
    })
  )
  const client = yield* ParadigmClient.make({ apiKey: "sk-secret", baseUrl: "http://paradigm.test:8080", ...options }).pipe(
    Effect.provideService(HttpClient.HttpClient, http)
  )
  yield* call(client).pipe(Effect.result, Effect.withTracer(tracer))
  return { spans, sent, printed: JSON.stringify(spans.map((span) => [span.name, [...span.attributes]])) }
})

const json = (body: unknown, status = 200) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", "retry-after-ms": "1" } })
const events = () => new Response(stream, { headers: { "content-type": "text/event-stream" } })

describe("a call", () => {
  it.effect("has one span with the gen_ai attributes of its request and of its answer", () =>
    Effect.gen(function* () {
      const { spans } = yield* observe(
        {},
        () => json(completion),
        (client) => client.createChatCompletion(request("span-json"))
      )
      const [span, ...attempts] = spans
      assert(span !== undefined)
      assert.strictEqual(span.name, "chat span-json")
      assert.strictEqual(span.kind, "client")
      assert.lengthOf(attempts, 1)
      const attributes = Object.fromEntries(span.attributes)
      assert.deepInclude(attributes, {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "span-json",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "alfred-at-work",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "server.address": "paradigm.test",
        "server.port": 8080
      })
      assert.strictEqual(span.status._tag, "Ended")
    })
  )

  it.effect("has the same one when it streams, ended with the stream", () =>
    Effect.gen(function* () {
      const { spans } = yield* observe({}, events, (client) => Stream.runDrain(client.streamChatCompletion(request("span-stream"))))
      const attributes = Object.fromEntries(spans[0]?.attributes ?? [])
      assert.deepInclude(attributes, { "gen_ai.request.model": "span-stream", "gen_ai.usage.output_tokens": 7 })
      assert.strictEqual(spans[0]?.status._tag, "Ended")
    })
  )

  it.live("has a span of each attempt below its own", () =>
    Effect.gen(function* () {
      const { spans } = yield* observe(
        { retry: { baseDelay: 1 } },
        (attempt) => (attempt < 3 ? json({ detail: "full" }, 503) : json(completion)),
        (client) => client.createChatCompletion(request("span-retry"))
      )
      assert.lengthOf(spans, 4)
      const [call, ...attempts] = spans
      for (const attempt of attempts) {
        assert.deepStrictEqual([attempt.name, attempt.kind], ["POST", "client"])
        assert.strictEqual(attempt.parent._tag === "Some" ? attempt.parent.value.spanId : "", call?.spanId)
      }
      assert.deepStrictEqual(
        attempts.map(({ status }) => status._tag === "Ended" && status.exit._tag),
        ["Failure", "Failure", "Success"]
      )
      const server = { "http.request.method": "POST", "server.address": "paradigm.test", "server.port": 8080 }
      const url = "http://paradigm.test:8080/api/v3/chat/completions"
      assert.deepStrictEqual(Object.fromEntries(attempts[1]?.attributes ?? []), {
        ...server,
        "url.full": url,
        "http.response.status_code": 503,
        "error.type": "503"
      })
      assert.deepStrictEqual(Object.fromEntries(attempts[2]?.attributes ?? []), {
        ...server,
        "url.full": url,
        "http.response.status_code": 200
      })
    })
  )

  it.effect("names its failure, and has been interrupted when its stream was left", () =>
    Effect.gen(function* () {
      const failed = yield* observe(
        { retry: false },
        () => json({ detail: "no" }, 422),
        (client) => client.createChatCompletion(request("a"))
      )
      assert.deepInclude(Object.fromEntries(failed.spans[0]?.attributes ?? []), {
        "error.type": "RequestRejected",
        "http.response.status_code": 422
      })
      const left = yield* observe({}, events, (client) => Stream.runDrain(Stream.take(client.streamChatCompletion(request("a")), 1)))
      assert.strictEqual(left.spans[0]?.attributes.get("gen_ai.response.id"), "chatcmpl-1")
    })
  )

  it.effect("records neither key nor conversation, and the conversation only when asked", () =>
    Effect.gen(function* () {
      const call = (client: ParadigmClient.ParadigmClient["Service"]) => client.createChatCompletion(request("quiet"))
      const quiet = yield* observe({}, () => json(completion), call)
      assert.notMatch(quiet.printed, /sk-secret|the question|the answer/)
      const loud = yield* observe({ telemetry: { recordContent: true } }, () => json(completion), call)
      assert.match(loud.printed, /the question/)
      assert.match(loud.printed, /the answer/)
      assert.notInclude(loud.printed, "sk-secret")
    })
  )

  it.effect("sends no trace header unless asked", () =>
    Effect.gen(function* () {
      const call = (client: ParadigmClient.ParadigmClient["Service"]) => client.createChatCompletion(request("headers"))
      const quiet = yield* observe({}, () => json(completion), call)
      assert.notProperty(quiet.sent[0], "traceparent")
      assert.notProperty(quiet.sent[0], "b3")
      const asked = yield* observe({ telemetry: { propagateTrace: true } }, () => json(completion), call)
      const attempt = asked.spans[1]
      assert.strictEqual(asked.sent[0]?.["traceparent"], `00-${attempt?.traceId}-${attempt?.spanId}-01`)
    })
  )

  it.effect("counts its time, its first chunk and its tokens", () =>
    Effect.gen(function* () {
      yield* observe({}, events, (client) => Stream.runDrain(client.streamChatCompletion(request("metrics"))))
      const tags = { "gen_ai.operation.name": "chat", "gen_ai.request.model": "metrics" }
      const count = (metric: Metric.Histogram<number>, more: Readonly<Record<string, string>> = {}) =>
        Effect.map(Metric.value(Metric.withAttributes(metric, { ...tags, ...more })), (state) => [state.count, state.sum])
      assert.strictEqual((yield* count(Telemetry.operationDuration))[0], 1)
      assert.strictEqual((yield* count(Telemetry.timeToFirstChunk))[0], 1)
      assert.deepStrictEqual(yield* count(Telemetry.tokenUsage, { "gen_ai.token.type": "input" }), [1, 11])
      assert.deepStrictEqual(yield* count(Telemetry.tokenUsage, { "gen_ai.token.type": "output" }), [1, 7])
    })
  )
})
