import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import parsePrometheus from "parse-prometheus-text-format"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 30_000 })

const completion = JSON.stringify({
  id: "c",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 }
})
const answering = (exchange: Upstream.Exchange) => exchange.answer(200, completion)

const eventually = Effect.fnUntraced(function* (condition: () => boolean) {
  const deadline = performance.now() + 20_000
  while (!condition() && performance.now() < deadline) yield* Effect.promise(() => sleep(10))
  assert.isTrue(condition())
})

interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}
interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly kind: number
  readonly attributes: ReadonlyArray<Attribute>
  readonly status: { readonly code: number }
}
interface Log {
  readonly traceId?: string
  readonly spanId?: string
  readonly body: { readonly stringValue?: string }
  readonly attributes: ReadonlyArray<Attribute>
}
interface Export {
  readonly resourceSpans?: ReadonlyArray<{ readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<Span> }> }>
  readonly resourceLogs?: ReadonlyArray<{ readonly scopeLogs: ReadonlyArray<{ readonly logRecords: ReadonlyArray<Log> }> }>
  readonly resourceMetrics?: ReadonlyArray<{
    readonly resource: { readonly attributes: ReadonlyArray<Attribute> }
    readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<{ readonly name: string }> }>
  }>
}

const attributesOf = ({ attributes }: { readonly attributes: ReadonlyArray<Attribute> }) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

// A collector of OTLP's JSON. With `status`, it answers with that.
class Collector {
  readonly exports: Array<Export> = []
  readonly contentTypes = new Set<string | undefined>()
  readonly server: Server
  text = ""

  constructor(status: number) {
    this.server = createServer((request, response) => {
      let body = ""
      this.contentTypes.add(request.headers["content-type"])
      request.on("data", (bytes: Buffer) => (body += bytes.toString("utf8")))
      request.on("end", () => {
        this.text += body
        if (request.headers["content-type"] === "application/json") this.exports.push(JSON.parse(body) as Export)
        response.writeHead(status, { "content-type": "application/json" }).end("{}")
      })
    })
  }

  static readonly start = (status = 200) =>
    Effect.acquireRelease(
      Effect.callback<Collector>((resume) => {
        const collector = new Collector(status)
        collector.server.listen(0, "127.0.0.1", () => resume(Effect.succeed(collector)))
      }),
      ({ server }) =>
        Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
    )

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  get spans(): ReadonlyArray<Span> {
    return this.exports.flatMap(({ resourceSpans = [] }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
    )
  }

  get logs(): ReadonlyArray<Log> {
    return this.exports.flatMap(({ resourceLogs = [] }) =>
      resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
    )
  }

  get metrics(): ReadonlySet<string> {
    return new Set(
      this.exports.flatMap(({ resourceMetrics = [] }) =>
        resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics.map(({ name }) => name)))
      )
    )
  }
}

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const callerSpan = "00f067aa0ba902b7"
const traced = { headers: { traceparent: `00-${traceId}-${callerSpan}-01`, tracestate: "vendor=1" } }
const [serverKind, clientKind] = [2, 3]

describe("telemetry over OTLP", () => {
  it.live("has a span of the server, and one of the client for each attempt, whose context the model server gets", () =>
    Effect.gen(function* () {
      const collector = yield* Collector.start()
      const failing = yield* Upstream.start(({ socket }) => void socket.resetAndDestroy())
      const working = yield* Upstream.start(answering)
      const telemetry = { endpoint: collector.url, protocol: "http/json" }
      const gateway = yield* Gateway.startWith([failing.origin, working.origin], { telemetry })
      // One of the requests begins at the replica that fails.
      for (let i = 0; i < 12; i++) assert.strictEqual((yield* Gateway.ask(gateway, traced)).status, 200)
      assert.isAbove(failing.exchanges.length, 0)
      yield* eventually(() => collector.spans.filter(({ kind }) => kind === serverKind).length === 12)
      const { spans } = collector
      const servers = spans.filter(({ kind }) => kind === serverKind)
      for (const span of servers) {
        assert.strictEqual(span.traceId, traceId)
        assert.strictEqual(span.parentSpanId, callerSpan)
        const attributes = attributesOf(span)
        assert.strictEqual(attributes["gen_ai.request.model"], "alfred")
        assert.strictEqual(String(attributes["http.response.status_code"]), "200")
        assert.strictEqual(attributes["paradigm.gateway.outcome"], "ok")
      }
      const clients = spans.filter(({ kind }) => kind === clientKind)
      const ids = new Set(servers.map(({ spanId }) => spanId))
      assert.isTrue(clients.every(({ parentSpanId = "" }) => ids.has(parentSpanId)))
      const attempts = [...failing.exchanges, ...working.exchanges]
      assert.sameMembers(
        clients.map(({ spanId }) => `00-${traceId}-${spanId}-01`),
        attempts.map(({ headers }) => headers["traceparent"] ?? "")
      )
      assert.isTrue(attempts.every(({ headers }) => headers["tracestate"] === "vendor=1"))
      assert.strictEqual(clients.filter(({ status }) => status.code === 2).length, failing.exchanges.length)
    })
  )

  it.live("has the lines of the log, with their trace, and every metric of the scrape", () =>
    Effect.gen(function* () {
      const collector = yield* Collector.start()
      const { gateway } = yield* Gateway.inFrontOf(answering, { telemetry: { endpoint: collector.url, protocol: "http/json" } })
      yield* Gateway.ask(gateway)
      yield* Gateway.ask(gateway, { body: Gateway.chat({ model: "none" }) })
      yield* eventually(() => collector.logs.length >= 2 && collector.spans.filter(({ kind }) => kind === serverKind).length === 2)
      const [ok, refused] = collector.logs.map((log) => ({ log, fields: attributesOf(log) }))
      assert.strictEqual(ok?.log.body.stringValue, "request")
      assert.strictEqual(ok?.fields["outcome"], "ok")
      assert.strictEqual(ok?.fields["model"], "alfred")
      assert.strictEqual(refused?.fields["outcome"], "refused")
      assert.isTrue(collector.spans.some(({ spanId, traceId }) => spanId === ok?.log.spanId && traceId === ok?.log.traceId))
      yield* eventually(() => collector.metrics.size > 0)
      const text = yield* Effect.promise(() => fetch(`${gateway.operatorUrl}/metrics`).then((response) => response.text()))
      const dotless = [...collector.metrics].map((name) => name.replaceAll(".", "_"))
      for (const { name } of parsePrometheus(text)) assert.include(dotless, name)
      for (const secret of [Gateway.key, Gateway.upstreamKey]) assert.notInclude(collector.text, secret)
    })
  )

  it.live("is sent as protobuf by default", () =>
    Effect.gen(function* () {
      const collector = yield* Collector.start()
      const { gateway } = yield* Gateway.inFrontOf(answering, { telemetry: { endpoint: collector.url } })
      yield* Gateway.ask(gateway)
      yield* eventually(() => collector.text.includes("alfred"))
      assert.deepStrictEqual([...collector.contentTypes], ["application/x-protobuf"])
    })
  )

  it.live.each(["refuses", "is not there"])("costs no request if the collector %s", (how) =>
    Effect.gen(function* () {
      const endpoint = how === "refuses" ? (yield* Collector.start(500)).url : yield* Upstream.refused
      const { gateway } = yield* Gateway.inFrontOf(answering, { telemetry: { endpoint } })
      for (let i = 0; i < 20; i++) assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
    })
  )
})

describe("metrics", () => {
  const scrape = Effect.gen(function* () {
    const failing = yield* Upstream.start(({ socket }) => void socket.resetAndDestroy())
    const working = yield* Upstream.start(answering)
    const gateway = yield* Gateway.startWith([failing.origin, working.origin])
    for (let i = 0; i < 12; i++) yield* Gateway.ask(gateway)
    return yield* Effect.promise(() => fetch(`${gateway.operatorUrl}/metrics`).then((response) => response.text()))
  })

  it.live("are read by a parser of Prometheus' format", () =>
    Effect.gen(function* () {
      const families = new Map(parsePrometheus(yield* scrape).map((family) => [family.name, family]))
      const requests = families.get("http_server_request_duration_seconds")
      assert.strictEqual(requests?.type, "HISTOGRAM")
      assert.strictEqual(requests?.metrics[0]?.buckets?.["+Inf"], "12")
      const tokens = families.get("gen_ai_server_usage_tokens_total")
      const input = tokens?.metrics.find(({ labels }) => labels?.["gen_ai_token_type"] === "input")
      assert.strictEqual(input?.value, "36")
    })
  )

  const promtool = spawnSync("promtool", ["--version"]).status === 0
  if (!promtool) console.warn("promtool is not installed: the metrics are not linted (Debian's package prometheus has it)")

  it.live.runIf(promtool)("are without a finding of promtool", () =>
    Effect.gen(function* () {
      const { status, stderr, stdout } = spawnSync("promtool", ["check", "metrics"], { input: yield* scrape, encoding: "utf8" })
      assert.strictEqual(status, 0, `${stdout}${stderr}`)
    })
  )

  it.live("have all that the dashboard shows", () =>
    Effect.gen(function* () {
      const dashboard = readFileSync(new URL("../../../docs/operate/grafana-dashboard.json", import.meta.url), "utf8")
      const { panels } = JSON.parse(dashboard) as {
        readonly panels: ReadonlyArray<{ readonly targets: ReadonlyArray<{ readonly expr: string }> }>
      }
      const exprs = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
      // Names of metrics precede a selector, a range or the end of a function's argument, and have an underscore. Labels are in braces or after `by`.
      const named = exprs.flatMap((expr) =>
        [
          ...expr
            .replaceAll(/\{[^}]*\}/g, "")
            .replaceAll(/by \([^)]*\)/g, "")
            .matchAll(/\b[a-z]+_[a-z_]+\b(?!\s*\()/g)
        ].map(([name]) => name)
      )
      assert.isAbove(new Set(named).size, 8)
      const text = yield* scrape
      for (const name of named) assert.match(text, new RegExp(`^${name}(\\{| )`, "m"))
    })
  )
})
