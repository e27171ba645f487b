import { context, propagation, trace } from "@opentelemetry/api"
import { InMemorySpanExporter, NodeTracerProvider, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node"
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { Paradigm } from "../src/index.ts"

const key = "sk-open-telemetry-0123456789"
const request = { model: "alfred-4.2", messages: [{ role: "user" as const, content: "Hi" }] }
const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
const chunk = (content: string, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "alfred-4.2", choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`

const tool = {
  type: "function" as const,
  function: { name: "add", parameters: { type: "object" }, function: () => "3" }
}

const seen: Array<IncomingHttpHeaders> = []
const statuses: Array<number> = []
const server = createServer(async (incoming, response) => {
  let body = ""
  for await (const part of incoming) body += String(part)
  seen.push(incoming.headers)
  const status = statuses.shift() ?? 200
  // Does not respond.
  if (status === 0) return
  if (status !== 200) return void response.writeHead(status, { "content-type": "application/json" }).end(`{"error":{"message":"${key}"}}`)
  if (body.includes('"stream":true')) {
    return void response
      .writeHead(200, { "content-type": "text/event-stream" })
      .end(`${chunk("Hello")}${chunk("!", "stop")}data: [DONE]\n\n`)
  }
  const choices = [{ index: 0, message: { role: "assistant", content: "Hello!" }, finish_reason: "stop" }]
  response.setHeader("content-type", "application/json")
  response.end(JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "alfred-4.2", choices, usage }))
})

const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
let baseUrl: string

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  provider.register()
})
beforeEach(() => {
  exporter.reset()
  seen.length = 0
})
afterAll(async () => {
  await provider.shutdown()
  for (const api of [trace, context, propagation]) api.disable()
  server.closeAllConnections()
  server.close()
})

const connect = (options: Paradigm.ConnectOptions = {}) =>
  Paradigm.connect({ apiKey: key, baseUrl, retry: { baseDelay: 1, maxDelay: 1 }, ...options })

const spansByName = (name: string): ReadonlyArray<ReadableSpan> => exporter.getFinishedSpans().filter((span) => span.name === name)

const inSpan = <A>(run: () => Promise<A>): Promise<A> =>
  trace.getTracer("application").startActiveSpan("application", (span) => run().finally(() => span.end()))

describe("the client with promises in an application with OpenTelemetry", () => {
  it("creates a span of the call and one of its request, below the active span, and sends the trace", async () => {
    await using paradigm = connect()
    await inSpan(() => paradigm.chat.completions.create(request))
    const [application, call, http] = ["application", "chat alfred-4.2", "POST"].map((name) => spansByName(name)[0] ?? assert.fail(name))
    assert.lengthOf(exporter.getFinishedSpans(), 3)
    assert.strictEqual(call?.parentSpanContext?.spanId, application?.spanContext().spanId)
    assert.strictEqual(http?.parentSpanContext?.spanId, call?.spanContext().spanId)
    assert.strictEqual(call?.kind, 2)
    assert.deepInclude(call?.attributes, {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "paradigm",
      "gen_ai.request.model": "alfred-4.2",
      "gen_ai.response.finish_reasons": ["stop"],
      "gen_ai.usage.input_tokens": 3,
      "server.address": "127.0.0.1"
    })
    assert.deepInclude(http?.attributes, { "http.request.method": "POST", "http.response.status_code": 200 })
    const { spanId, traceId } = http?.spanContext() ?? assert.fail("no span")
    assert.deepStrictEqual(
      seen.map(({ traceparent }) => traceparent),
      [`00-${traceId}-${spanId}-01`]
    )
    const [seconds = 0] = call?.startTime ?? []
    assert.isAtMost(Math.abs(seconds - Date.now() / 1000), 60)
    assert.notDeepEqual(call?.duration, [0, 0])
    assert.notInclude(JSON.stringify([call?.attributes, http?.attributes]), "Hello!")
  })

  it.each([
    [
      "a stream",
      async (paradigm: Paradigm.ParadigmPromise) => {
        for await (const _ of await paradigm.chat.completions.create({ ...request, stream: true }));
      }
    ],
    ["a stream with events", (paradigm: Paradigm.ParadigmPromise) => paradigm.chat.completions.stream(request).finalContent()],
    ["tools", (paradigm: Paradigm.ParadigmPromise) => paradigm.chat.completions.runTools({ ...request, tools: [tool] }).finalContent()],
    ["other options", (paradigm: Paradigm.ParadigmPromise) => paradigm.withOptions({ retry: false }).chat.completions.create(request)]
  ] as const)("creates them for a call with %s, also for the first two calls of a client", async (_, call) => {
    await using paradigm = connect()
    await Promise.all([inSpan<unknown>(() => call(paradigm)), inSpan<unknown>(() => call(paradigm))])
    const parents = spansByName("application").map((span) => span.spanContext().spanId)
    assert.sameMembers(
      spansByName("chat alfred-4.2").map(({ parentSpanContext }) => parentSpanContext?.spanId),
      parents
    )
    assert.lengthOf(spansByName("POST"), 2)
    assert.lengthOf(new Set(seen.map(({ traceparent }) => traceparent)), 2)
  })

  it("has a span for each attempt, with the status, and an error without the key", async () => {
    await using paradigm = connect()
    statuses.push(503, 401)
    await paradigm.chat.completions.create(request).catch(() => {})
    const [call] = spansByName("chat alfred-4.2")
    assert.deepStrictEqual(
      spansByName("POST").map(({ attributes, status }) => [attributes["http.response.status_code"], status.code]),
      [[503, 2], [401, 2]] // prettier-ignore
    )
    assert.strictEqual(call?.attributes["error.type"], "Unauthorized")
    assert.strictEqual(call?.status.code, 2)
    assert.match(call?.status.message ?? "", /^Unauthorized: .*401.*<redacted>/)
    for (const { attributes, events, status } of exporter.getFinishedSpans()) {
      assert.notInclude(JSON.stringify([attributes, events, status]), key)
    }
  })

  it("ends the span of a call that is aborted", async () => {
    await using paradigm = connect()
    statuses.push(0)
    const controller = new AbortController()
    const arrived = once(server, "request")
    const pending = paradigm.chat.completions.create(request, { signal: controller.signal }).catch(() => {})
    await arrived
    controller.abort()
    await pending
    assert.deepStrictEqual(
      spansByName("chat alfred-4.2").map(({ attributes }) => attributes["error.type"]),
      ["interrupted"]
    )
  })

  it("records the conversation and omits the header on request", async () => {
    await using paradigm = connect({ telemetry: Paradigm.telemetry({ recordContent: true, propagateTrace: false }) })
    await paradigm.chat.completions.create(request)
    const [call] = spansByName("chat alfred-4.2")
    assert.include(call?.attributes["gen_ai.output.messages"], "Hello!")
    assert.deepStrictEqual(
      seen.map(({ traceparent }) => traceparent),
      [undefined]
    )
  })

  it("suppresses the instrumentation of the HTTP client, which would send a second header", async () => {
    const suppressed: Array<unknown> = []
    const { subscribe, unsubscribe } = process.getBuiltinModule("node:diagnostics_channel")
    const listener = () => {
      suppressed.push(context.active().getValue(Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING")))
    }
    subscribe("undici:request:create", listener)
    await using paradigm = connect()
    await paradigm.chat.completions.create(request).finally(() => unsubscribe("undici:request:create", listener))
    assert.deepStrictEqual(suppressed, [true])
  })
})

describe("the client with promises in an application without OpenTelemetry", () => {
  it("sends no trace", async () => {
    trace.disable()
    await using paradigm = connect()
    await paradigm.chat.completions.create(request)
    assert.deepStrictEqual([seen[0]?.["traceparent"], exporter.getFinishedSpans()], [undefined, []])
  })
})
