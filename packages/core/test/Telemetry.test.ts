import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Otlp from "effect/observability/Otlp"
import * as Queue from "effect/Queue"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import type { ServerResponse } from "node:http"
import type { Anomaly } from "../src/Anomaly.ts"
import type { ChatCompletionRequest } from "../src/ChatCompletion.ts"
import * as ParadigmClient from "../src/ParadigmClient.ts"
import * as Telemetry from "../src/Telemetry.ts"
import * as Transport from "../src/Transport.ts"
import { type Answer, chunk, clientOf, completion, event, json, key, request, serve, sse } from "./Loopback.ts"
import { assertSecret } from "./Secret.ts"

type Client = ParadigmClient.ParadigmClient["Service"]
type Value = string | number | boolean | ReadonlyArray<Value>
type Attributes = Readonly<Record<string, Value>>

interface AnyValue {
  readonly stringValue?: string
  readonly intValue?: number | string
  readonly doubleValue?: number
  readonly boolValue?: boolean
  readonly arrayValue?: { readonly values: ReadonlyArray<AnyValue> }
}

interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}

const toValue = ({ arrayValue, boolValue, doubleValue, intValue, stringValue }: AnyValue): Value =>
  arrayValue?.values.map(toValue) ?? stringValue ?? doubleValue ?? boolValue ?? Number(intValue)

const toAttributes = (pairs: ReadonlyArray<KeyValue>): Attributes =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, toValue(value)]))

interface Sent {
  readonly name: string
  readonly attributes: ReadonlyArray<KeyValue>
}

interface SentSpan extends Sent {
  readonly kind: number
  readonly spanId: string
  readonly parentSpanId?: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { readonly code: number }
  readonly events: ReadonlyArray<Sent>
}

interface Point {
  readonly attributes: ReadonlyArray<KeyValue>
  readonly count?: number
  readonly sum?: number
  readonly asInt?: number
  readonly explicitBounds?: ReadonlyArray<number>
}

interface SentMetric {
  readonly name: string
  readonly unit: string
  readonly description: string
  readonly histogram?: { readonly dataPoints: ReadonlyArray<Point> }
  readonly sum?: { readonly isMonotonic: boolean; readonly dataPoints: ReadonlyArray<Point> }
}

interface Payload {
  readonly resourceSpans?: ReadonlyArray<{ readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<SentSpan> }> }>
  readonly resourceMetrics?: ReadonlyArray<{ readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<SentMetric> }> }>
  readonly resourceLogs?: ReadonlyArray<{
    readonly scopeLogs: ReadonlyArray<{
      readonly logRecords: ReadonlyArray<{ readonly severityText: string; readonly body: AnyValue }>
    }>
  }>
}

// Spans, metrics and logs of an effect that a collector received over Effect's exporter and real sockets.
const collect = Effect.fnUntraced(function* (effect: Effect.Effect<unknown, unknown, Scope.Scope>) {
  const { baseUrl, requests } = yield* serve(json({}))
  const exporter = Otlp.layerJson({ baseUrl, resource: { serviceName: "test" } }).pipe(Layer.provide(FetchHttpClient.layer))
  yield* effect.pipe(Effect.exit, Effect.scoped, Effect.provide(exporter), Effect.provideService(Metric.MetricRegistry, new Map()))
  const payloads = Array.from(yield* Queue.takeAll(requests), ({ body }) => JSON.parse(body) as Payload)
  const spans = payloads
    .flatMap(({ resourceSpans = [] }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))
    .map((span) => ({ ...span, attributes: toAttributes(span.attributes) }))
  const metrics = payloads
    .flatMap(({ resourceMetrics = [] }) => resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics)))
    .filter(({ name }) => /^(gen_ai|paradigm)\./.test(name))
  const logs = payloads.flatMap(({ resourceLogs = [] }) =>
    resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
  )
  const call = spans.find(({ name }) => name.startsWith("chat "))
  assert(call !== undefined)
  return { call, attempts: spans.filter(({ name }) => name === "POST"), spans, metrics, logs, text: JSON.stringify(payloads) }
})

const durationOf = ({ endTimeUnixNano, startTimeUnixNano }: SentSpan | { endTimeUnixNano: string; startTimeUnixNano: string }) =>
  Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e9

const pointsOf = (metrics: ReadonlyArray<SentMetric>, name: string) => {
  const metric = metrics.find((metric) => metric.name === name)
  assert(metric !== undefined, `no metric ${name}`)
  const points = (metric.histogram ?? metric.sum)?.dataPoints ?? []
  return { ...metric, points: points.map((point) => ({ ...point, attributes: toAttributes(point.attributes) })) }
}

const callOf = (
  answer: Answer,
  run: (client: Client) => Effect.Effect<unknown, unknown, Scope.Scope>,
  options: Partial<ParadigmClient.Options> = {}
) =>
  Effect.gen(function* () {
    const { baseUrl, requests } = yield* serve(answer)
    const client = yield* clientOf({ baseUrl, ...options })
    const found = yield* collect(run(client))
    const server = { "server.address": "127.0.0.1", "server.port": Number(new URL(baseUrl).port) }
    return { ...found, baseUrl, requests: Array.from(yield* Queue.takeAll(requests)), server }
  })

const create =
  (of: ChatCompletionRequest = request) =>
  (client: Client) =>
    client.createChatCompletion(of)

const usage = {
  prompt_tokens: 11,
  completion_tokens: 7,
  total_tokens: 18,
  prompt_tokens_details: { cached_tokens: 5, cache_write_tokens: 3 },
  completion_tokens_details: { reasoning_tokens: 2 }
}
const counters = {
  "gen_ai.client.inference.usage.input_tokens": 11,
  "gen_ai.client.inference.usage.output_tokens": 7,
  "gen_ai.client.inference.usage.cache_read.input_tokens": 5,
  "gen_ai.client.inference.usage.cache_write.input_tokens": 3,
  "gen_ai.client.inference.usage.reasoning.output_tokens": 2
}
const timings = [
  "gen_ai.client.inference.duration",
  "gen_ai.client.inference.time_to_first_chunk",
  "gen_ai.client.inference.time_per_output_chunk"
]

// A response whose events a test writes one at a time.
const written = Effect.fnUntraced(function* () {
  const response = yield* Deferred.make<ServerResponse>()
  const answer: Answer = (open) => {
    open.writeHead(200, { "content-type": "text/event-stream" })
    open.flushHeaders()
    Deferred.doneUnsafe(response, Effect.succeed(open))
  }
  const write = (...events: ReadonlyArray<unknown>) =>
    Effect.map(Deferred.await(response), (open) => void open.write(events.map(event).join("")))
  const abort = Effect.map(Deferred.await(response), (open) => void open.destroy())
  return { abort, answer, write }
})

describe("a completion", () => {
  it.effect("has a span with the attributes of the request, the response and the server", () =>
    Effect.gen(function* () {
      const sent: ChatCompletionRequest = {
        ...request,
        temperature: 0.5,
        top_p: 0.9,
        top_k: 40,
        seed: 42,
        n: 2,
        max_tokens: 9,
        max_completion_tokens: 8,
        stop: ["a", "b"],
        frequency_penalty: 0.1,
        presence_penalty: 0.2,
        reasoning_effort: "low",
        response_format: { type: "json_object" }
      }
      const { call, server } = yield* callOf(json({ ...completion, usage }), create(sent))
      assert.strictEqual(call.name, "chat alfred")
      assert.strictEqual(call.kind, 3)
      assert.strictEqual(call.status.code, 1)
      assert.deepStrictEqual(call.attributes, {
        ...server,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "paradigm",
        "gen_ai.request.model": "alfred",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.seed": 42,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.max_tokens": 8,
        "gen_ai.request.stop_sequences": ["a", "b"],
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "alfred",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.cache_write.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2
      })
    })
  )

  it.effect("has no attributes for absent fields", () =>
    Effect.gen(function* () {
      const { usage: _, ...bare } = completion
      const { call, server } = yield* callOf(json(bare), create({ ...request, n: 1, response_format: { type: "text" } }))
      assert.deepStrictEqual(call.attributes, {
        ...server,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "paradigm",
        "gen_ai.request.model": "alfred",
        "gen_ai.output.type": "text",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "alfred",
        "gen_ai.response.finish_reasons": ["stop"]
      })
    })
  )

  it.effect("has the finish reason error for a choice without one", () =>
    Effect.gen(function* () {
      const [choice] = completion.choices
      const { call } = yield* callOf(json({ ...completion, choices: [choice, { ...choice, index: 1, finish_reason: null }] }), create())
      assert.deepStrictEqual(call.attributes["gen_ai.response.finish_reasons"], ["stop", "error"])
    })
  )

  it.effect("records its duration in seconds and its tokens as integers, and no time of chunks", () =>
    Effect.gen(function* () {
      const { call, metrics, server } = yield* callOf(json({ ...completion, usage }), create())
      const names = {
        ...server,
        "server.port": String(server["server.port"]),
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "paradigm",
        "gen_ai.request.model": "alfred",
        "gen_ai.response.model": "alfred"
      }
      assert.sameMembers(
        metrics.map(({ name }) => name),
        ["gen_ai.client.inference.duration", ...Object.keys(counters)]
      )
      const duration = pointsOf(metrics, "gen_ai.client.inference.duration")
      assert.strictEqual(duration.unit, "s")
      assert.lengthOf(duration.points, 1)
      assert.deepInclude(duration.points[0], { count: 1, sum: durationOf(call), attributes: { ...names, unit: "s" } })
      assert.deepStrictEqual(
        duration.points[0]?.explicitBounds,
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
      )
      for (const [name, asInt] of Object.entries(counters)) {
        const { points, sum, unit } = pointsOf(metrics, name)
        assert.strictEqual(unit, "{token}")
        assert.isTrue(sum?.isMonotonic)
        assert.lengthOf(points, 1)
        assert.deepInclude(points[0], { asInt, attributes: { ...names, unit, "gen_ai.token.modality": "unknown" } })
      }
    })
  )

  it.effect("records 0 tokens for a response without usage", () =>
    Effect.gen(function* () {
      const { usage: _, ...bare } = completion
      const { metrics } = yield* callOf(json(bare), create())
      for (const name of Object.keys(counters)) assert.deepInclude(pointsOf(metrics, name).points[0], { asInt: 0 })
    })
  )
})

describe("an HTTP request", () => {
  it.live("has a span below that of the call, also for each retry", () =>
    Effect.gen(function* () {
      let requests = 0
      const answer: Answer = (response, seen) =>
        json(++requests < 3 ? { detail: "full" } : completion, requests < 3 ? 503 : 200)(response, seen)
      const { attempts, baseUrl, call, server } = yield* callOf(answer, create(), { retry: { baseDelay: 1 } })
      const common = { ...server, "http.request.method": "POST", "url.full": `${baseUrl}/api/v3/chat/completions` }
      assert.deepStrictEqual(
        attempts.map(({ attributes, kind, parentSpanId, status }) => [attributes, kind, parentSpanId === call.spanId, status.code]),
        [
          [{ ...common, "http.response.status_code": 503, "error.type": "503" }, 3, true, 2],
          [{ ...common, "http.response.status_code": 503, "error.type": "503" }, 3, true, 2],
          [{ ...common, "http.response.status_code": 200 }, 3, true, 1]
        ]
      )
      assert.strictEqual(call.status.code, 1)
      assert.notProperty(call.attributes, "error.type")
    })
  )

  it.live("names the reason of a failure without a response", () =>
    Effect.gen(function* () {
      const { attempts, call } = yield* callOf((response) => void response.destroy(), create())
      assert.strictEqual(attempts[0]?.attributes["error.type"], "ConnectionLost")
      assert.strictEqual(call.attributes["error.type"], "ConnectionLost")
    })
  )
})

describe("a stream", () => {
  it.effect("records the time to the first chunk and between reads, and has the attributes of its completion", () =>
    Effect.gen(function* () {
      const { answer, write } = yield* written()
      const read = yield* Queue.unbounded<void>()
      const { call, metrics } = yield* callOf(answer, (client) =>
        Effect.gen(function* () {
          const fiber = yield* client.streamChatCompletion(request).pipe(
            Stream.runForEach(() => Queue.offer(read, undefined)),
            Effect.forkChild
          )
          yield* write()
          yield* TestClock.adjust("2 seconds")
          yield* write(chunk("a"))
          yield* Queue.take(read)
          yield* TestClock.adjust("500 millis")
          // Two chunks of one read are one observation.
          yield* write(chunk("b"), chunk("c"))
          yield* Queue.take(read)
          yield* Queue.take(read)
          yield* TestClock.adjust("250 millis")
          yield* write({ ...chunk("", "stop"), usage }, "[DONE]")
          yield* Fiber.join(fiber)
        })
      )
      assert.deepInclude(call.attributes, {
        "gen_ai.request.stream": true,
        "gen_ai.response.time_to_first_chunk": 2,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.output_tokens": 7
      })
      assert.strictEqual(durationOf(call), 2.75)
      const values = timings.map((name) => {
        const { points, unit } = pointsOf(metrics, name)
        assert.deepInclude(points[0]?.attributes, { "gen_ai.response.model": "alfred", "gen_ai.provider.name": "paradigm" })
        return [unit, points.length, points[0]?.count, points[0]?.sum]
      })
      assert.deepStrictEqual(values, [
        ["s", 1, 1, 2.75],
        ["s", 1, 1, 2],
        ["s", 1, 2, 0.75]
      ])
    })
  )

  it.live.each([
    ["left after its first chunk", 1],
    ["read to its end", undefined]
  ] as const)("records the failure of a stream %s without the key", ([, most]) =>
    Effect.gen(function* () {
      const failing = sse(chunk("Hel"), { error: { message: `no such key: ${key}`, code: 500 } })
      const { call, text } = yield* callOf(failing, (client) =>
        Effect.gen(function* () {
          const { chunks } = yield* client.streamWithResponse(request)
          yield* Stream.runDrain(most === undefined ? chunks : Stream.take(chunks, most))
        })
      )
      assert.strictEqual(call.attributes["error.type"], "StreamFault")
      assert.notInclude(text, key)
    })
  )

  it.live("records the failure of the attempt that replaced an aborted one", () =>
    Effect.gen(function* () {
      let attempts = 0
      const answer: Answer = (response, seen) =>
        (attempts++ === 0 ? sse(chunk("", "abort"), "[DONE]") : json({ detail: "No." }, 400))(response, seen)
      const { call } = yield* callOf(answer, (client) => Stream.runDrain(client.streamChatCompletion(request)), {
        retry: { maxAttempts: 2, baseDelay: 1 }
      })
      assert.strictEqual(call.attributes["error.type"], "RequestRejected")
    })
  )

  it.live("records the partial completion and the reason if it fails midway", () =>
    Effect.gen(function* () {
      const { abort, answer, write } = yield* written()
      const { call, metrics } = yield* callOf(answer, (client) =>
        Effect.gen(function* () {
          const arrived = yield* Deferred.make<void>()
          const fiber = yield* client.streamChatCompletion(request).pipe(
            Stream.runForEach(() => Deferred.succeed(arrived, undefined)),
            Effect.forkChild
          )
          yield* write({ ...chunk("a"), usage })
          yield* Deferred.await(arrived)
          yield* abort
          yield* Fiber.join(fiber)
        })
      )
      assert.strictEqual(call.status.code, 2)
      assert.deepInclude(call.attributes, {
        "error.type": "ConnectionLost",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["error"],
        "gen_ai.usage.input_tokens": 11
      })
      assert.deepInclude(pointsOf(metrics, "gen_ai.client.inference.duration").points[0]?.attributes, { "error.type": "ConnectionLost" })
      for (const [name, asInt] of Object.entries(counters)) assert.deepInclude(pointsOf(metrics, name).points[0], { asInt })
    })
  )

  it.effect("records the reason, 0 tokens and no time of chunks if it fails before its first chunk", () =>
    Effect.gen(function* () {
      const { call, metrics } = yield* callOf(json({ detail: "no" }, 422), (client) =>
        Stream.runDrain(client.streamChatCompletion(request))
      )
      assert.deepInclude(call.attributes, { "error.type": "RequestRejected", "gen_ai.request.stream": true })
      assert.notProperty(call.attributes, "gen_ai.response.id")
      assert.notIncludeMembers(
        metrics.map(({ name }) => name),
        timings.slice(1)
      )
      assert.deepInclude(pointsOf(metrics, "gen_ai.client.inference.usage.input_tokens").points[0], { asInt: 0 })
    })
  )

  it.effect("records the interruption of its reader", () =>
    Effect.gen(function* () {
      const { answer, write } = yield* written()
      const { call, metrics } = yield* callOf(answer, (client) =>
        Effect.gen(function* () {
          yield* Effect.forkChild(write(chunk("a")))
          yield* Stream.runDrain(Stream.take(client.streamChatCompletion(request), 1))
        })
      )
      assert.deepInclude(call.attributes, { "error.type": "interrupted", "gen_ai.response.finish_reasons": ["error"] })
      assert.deepInclude(pointsOf(metrics, "gen_ai.client.inference.duration").points[0]?.attributes, { "error.type": "interrupted" })
    })
  )

  it.effect("has no response model in the time to the first chunk if that chunk has no model", () =>
    Effect.gen(function* () {
      const { metrics } = yield* callOf(
        sse({ ...chunk("a"), model: "" }, { ...chunk("b", "stop"), model: "alfred-4.2" }, "[DONE]"),
        (client) => Stream.runDrain(client.streamChatCompletion(request))
      )
      assert.notProperty(pointsOf(metrics, timings[1] ?? "").points[0]?.attributes, "gen_ai.response.model")
    })
  )
})

describe("anomalies", () => {
  const anomaly = {
    repair: "usage" as const,
    path: "usage.total_tokens",
    expected: "integer of at least 0",
    raw: '"the secret of the user"',
    count: 1
  }
  const end = (anomalies: ReadonlyArray<Anomaly>, options: Telemetry.TelemetryOptions = {}) =>
    Effect.gen(function* () {
      const observation = yield* Telemetry.make(options).observe(request, new URL("https://paradigm.test/x"), false)
      yield* observation.end(Exit.void, undefined, anomalies)
      yield* observation.end(Exit.void, undefined, anomalies)
    })

  it.effect("are counted by repair, and are events of the span without raw text", () =>
    Effect.gen(function* () {
      const { call, logs, metrics, text } = yield* collect(
        end([anomaly, { ...anomaly, repair: "logprobs", path: "choices[0].logprobs", count: 300 }])
      )
      const { points, unit } = pointsOf(metrics, "paradigm.client.anomalies")
      assert.strictEqual(unit, "{anomaly}")
      assert.deepStrictEqual(
        points.map(({ asInt, attributes }) => [attributes["paradigm.anomaly.repair"], asInt, attributes["server.address"]]),
        [
          ["usage", 1, "paradigm.test"],
          ["logprobs", 300, "paradigm.test"]
        ]
      )
      assert.deepStrictEqual(
        call.events.map(({ attributes, name }) => [name, toAttributes(attributes)]),
        [
          [
            "paradigm.anomaly",
            {
              "paradigm.anomaly.repair": "usage",
              "paradigm.anomaly.path": "usage.total_tokens",
              "paradigm.anomaly.expected": "integer of at least 0",
              "paradigm.anomaly.count": 1
            }
          ],
          [
            "paradigm.anomaly",
            {
              "paradigm.anomaly.repair": "logprobs",
              "paradigm.anomaly.path": "choices[0].logprobs",
              "paradigm.anomaly.expected": "integer of at least 0",
              "paradigm.anomaly.count": 300
            }
          ]
        ]
      )
      assert.lengthOf(logs, 0)
      assert.notInclude(text, "the secret of the user")
    })
  )

  it.effect("are events with raw text if content is recorded", () =>
    Effect.gen(function* () {
      const { call } = yield* collect(end([anomaly], { recordContent: true }))
      assert.strictEqual(toAttributes(call.events[0]?.attributes ?? [])["paradigm.anomaly.raw"], anomaly.raw)
    })
  )

  it.effect("are logged at the level Debug, to the loggers of the application", () =>
    Effect.gen(function* () {
      const { logs, text } = yield* collect(
        end([{ ...anomaly, count: 2 }]).pipe(Effect.provideService(References.MinimumLogLevel, "Debug"))
      )
      assert.deepStrictEqual(
        logs.map(({ body, severityText }) => [severityText, toValue(body)]),
        [["Debug", "Repaired the response at usage.total_tokens: expected integer of at least 0 (usage, 2 times)"]]
      )
      assert.notInclude(text, "the secret of the user")
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))
      yield* end([anomaly]).pipe(Effect.provide(Logger.layer([logger])), Effect.provideService(References.MinimumLogLevel, "All"))
      assert.lengthOf(lines, 1)
      yield* end([anomaly]).pipe(Effect.provide(Logger.layer([logger])))
      assert.lengthOf(lines, 1)
    })
  )
})

describe("content", () => {
  const conversation: ChatCompletionRequest = {
    model: "alfred",
    messages: [
      { role: "system", content: "Answer briefly." },
      {
        role: "user",
        name: "ada",
        content: [
          { type: "text", text: "Weather here?" },
          { type: "image_url", image_url: { url: "https://example.com/a.png" } },
          { type: "image_url", image_url: { url: "data:image/png;base64,aGk=" } },
          { type: "input_audio", input_audio: { data: "aGk=", format: "wav" } },
          { type: "file", file: { file_id: "file-1" } }
        ]
      },
      {
        role: "assistant",
        content: null,
        reasoning: "I need the weather.",
        tool_calls: [
          { id: "call-1", type: "function", function: { name: "weather", arguments: '{"city":"Paris"}' } },
          { id: "call-2", type: "function", function: { name: "weather", arguments: '{"city":' } }
        ]
      },
      { role: "tool", tool_call_id: "call-1", content: "rainy, 14°C" }
    ],
    tools: [{ type: "function", function: { name: "weather", description: "the description", parameters: { type: "object" } } }]
  }
  const answer = json({
    ...completion,
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: null,
          refusal: "I cannot.",
          tool_calls: [{ id: "call-3", type: "function", function: { name: "weather", arguments: '{"city":"Lyon"}' } }]
        },
        finish_reason: "tool_calls"
      },
      { index: 1, message: { role: "assistant", content: "It rains.", reasoning_content: "Rain." }, finish_reason: "stop" }
    ]
  })

  it.effect("is recorded without the key", () =>
    Effect.gen(function* () {
      const said = { role: "user" as const, content: `My key is ${key}` }
      const echo = json({ ...completion, usage: { prompt_tokens: key }, choices: [{ index: 0, message: said, finish_reason: "stop" }] })
      const { call } = yield* callOf(echo, create({ ...request, messages: [said] }), { telemetry: Telemetry.make({ recordContent: true }) })
      assertSecret([call.attributes, call.events], key)
      assert.include(String(call.attributes["gen_ai.output.messages"]), "My key is <redacted>")
    })
  )

  it.effect("is recorded as messages of parts with recordContent, and tools by name", () =>
    Effect.gen(function* () {
      const { call } = yield* callOf(answer, create(conversation), { telemetry: Telemetry.make({ recordContent: true }) })
      const recorded = (name: string): unknown => JSON.parse(String(call.attributes[name]))
      assert.deepStrictEqual(recorded("gen_ai.input.messages"), [
        { role: "system", parts: [{ type: "text", content: "Answer briefly." }] },
        {
          role: "user",
          name: "ada",
          parts: [
            { type: "text", content: "Weather here?" },
            { type: "uri", modality: "image", uri: "https://example.com/a.png" },
            { type: "blob", modality: "image", mime_type: "image/png", content: "aGk=" },
            { type: "blob", modality: "audio", mime_type: "audio/wav", content: "aGk=" },
            { type: "file", file: { file_id: "file-1" } }
          ]
        },
        {
          role: "assistant",
          parts: [
            { type: "reasoning", content: "I need the weather." },
            { type: "tool_call", id: "call-1", name: "weather", arguments: { city: "Paris" } },
            { type: "tool_call", id: "call-2", name: "weather", arguments: '{"city":' }
          ]
        },
        { role: "tool", parts: [{ type: "tool_call_response", id: "call-1", response: "rainy, 14°C" }] }
      ])
      assert.deepStrictEqual(recorded("gen_ai.output.messages"), [
        {
          role: "assistant",
          parts: [
            { type: "refusal", content: "I cannot." },
            { type: "tool_call", id: "call-3", name: "weather", arguments: { city: "Lyon" } }
          ]
        },
        {
          role: "assistant",
          parts: [
            { type: "reasoning", content: "Rain." },
            { type: "text", content: "It rains." }
          ]
        }
      ])
      assert.deepStrictEqual(recorded("gen_ai.tool.definitions"), [{ type: "function", name: "weather" }])
    })
  )

  it.effect("is not recorded by default, and the key never", () =>
    Effect.gen(function* () {
      const quiet = yield* callOf(answer, create(conversation))
      assert.notMatch(quiet.text, /briefly|Weather|Paris|rainy|rains|the description/)
      const loud = yield* callOf(answer, create(conversation), { telemetry: Telemetry.make({ recordContent: true }) })
      for (const { text } of [quiet, loud]) assert.notInclude(text, key)
    })
  )
})

describe("the traceparent header", () => {
  const headerOf = (options: Partial<ParadigmClient.Options>, within: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>) =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const client = yield* clientOf({ baseUrl, ...options })
      yield* within(client.createChatCompletion(request))
      return (yield* Queue.take(requests)).headers["traceparent"]
    })
  const propagate = { telemetry: Telemetry.make({ propagateTrace: true }) }
  const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" }
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })

  it.effect("is not sent by default", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* headerOf({}, Effect.withTracer(tracer)))
    })
  )

  it.effect("names the span of the HTTP request", () =>
    Effect.gen(function* () {
      const header = yield* headerOf(propagate, Effect.withTracer(tracer))
      const span = spans.at(-1)
      assert.strictEqual(span?.name, "POST")
      assert.strictEqual(header, `00-${span?.traceId}-${span?.spanId}-01`)
    })
  )

  it.effect("has the flag of a trace that is not sampled", () =>
    Effect.gen(function* () {
      const parent = Tracer.externalSpan({ ...trace, sampled: false })
      const header = yield* headerOf(propagate, (effect) => effect.pipe(Effect.withParentSpan(parent), Effect.withTracer(tracer)))
      assert.strictEqual(header, `00-${trace.traceId}-${spans.at(-1)?.spanId}-00`)
    })
  )

  it.effect("is not sent without a tracer, or with tracing turned off", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* headerOf(propagate, (effect) => effect))
      assert.isUndefined(yield* headerOf(propagate, Effect.withSpan("native")))
      assert.isUndefined(
        yield* headerOf(propagate, (effect) =>
          effect.pipe(Effect.withSpan("off"), Effect.withTracer(tracer), Effect.provideService(References.TracerEnabled, false))
        )
      )
    })
  )

  it.effect("continues the trace of an application without a tracer", () =>
    Effect.gen(function* () {
      const header = yield* headerOf(propagate, (effect) =>
        effect.pipe(Effect.withSpan("native"), Effect.withParentSpan(Tracer.externalSpan(trace)))
      )
      assert.strictEqual(header, `00-${trace.traceId}-${trace.spanId}-01`)
    })
  )

  it.effect("is not sent with ids that W3C does not allow", () =>
    Effect.gen(function* () {
      for (const parent of [
        { ...trace, traceId: "0".repeat(32) },
        { ...trace, spanId: "1" },
        { ...trace, traceId: "x\r\ny" }
      ]) {
        assert.isUndefined(yield* headerOf(propagate, Effect.withParentSpan(Tracer.externalSpan(parent))))
      }
    })
  )
})

describe("a span", () => {
  it.effect("has the annotations, links, sampling and parent of Effect", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.NativeSpan> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const linked = Tracer.externalSpan({ traceId: "1".repeat(32), spanId: "2".repeat(16) })
      const start = Telemetry.make().observe(request, new URL("https://paradigm.test"), false)
      yield* TestClock.adjust("1 second")
      yield* start.pipe(
        Effect.linkSpans(linked),
        Effect.annotateSpans("tenant", "acme"),
        Effect.withSpan("parent"),
        Effect.withTracer(tracer)
      )
      const [parent, span] = spans
      assert(span !== undefined)
      assert.strictEqual(span.attributes.get("tenant"), "acme")
      assert.strictEqual(Option.getOrUndefined(span.parent), parent)
      assert.deepStrictEqual(
        span.links.map(({ span }) => span.spanId),
        [linked.spanId]
      )
      assert.isTrue(span.sampled)
      assert.strictEqual(span.status.startTime, yield* Clock.currentTimeNanos)
      yield* start.pipe(Effect.provideService(Tracer.MinimumTraceLevel, "Error"), Effect.withTracer(tracer))
      assert.isFalse(spans.at(-1)?.sampled)
      const count = spans.length
      yield* start.pipe(Effect.withTracer(tracer), Effect.provideService(References.TracerEnabled, false))
      assert.lengthOf(spans, count)
    })
  )
})

describe("a client on fetch", () => {
  it.effect("reports nothing by default", () =>
    Effect.gen(function* () {
      const { baseUrl, requests } = yield* serve(json(completion))
      const call = (options: Partial<ParadigmClient.Options>) =>
        Effect.gen(function* () {
          const client = yield* ParadigmClient.makeWith(Transport.fromFetch(), { apiKey: key, baseUrl, ...options })
          yield* client.createChatCompletion(request)
          yield* Stream.runDrain(client.streamChatCompletion(request)).pipe(Effect.exit)
          return (yield* Metric.snapshot).filter(({ id }) => id.startsWith("gen_ai."))
        }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
      assert.lengthOf(yield* call({}), 0)
      assert.isNotEmpty(yield* call({ telemetry: Telemetry.make() }))
      assert.lengthOf(yield* Queue.takeAll(requests), 4)
    })
  )
})

describe("metrics", () => {
  it.effect("can be read by their attributes", () =>
    Effect.gen(function* () {
      const observation = yield* Telemetry.make().observe(request, new URL("https://paradigm.test"), false)
      yield* observation.end(Exit.void, { ...completion, usage })
      const attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "paradigm",
        "gen_ai.request.model": "alfred",
        "gen_ai.response.model": "alfred",
        "server.address": "paradigm.test",
        "server.port": "443"
      }
      const { count } = yield* Metric.value(Metric.withAttributes(Telemetry.inferenceDuration, attributes))
      assert.strictEqual(count, 1)
      const tokens = Metric.withAttributes(Telemetry.inputTokens, { ...attributes, "gen_ai.token.modality": "unknown" })
      assert.strictEqual((yield* Metric.value(tokens)).count, 11n)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})
