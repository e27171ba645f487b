import { assert, describe, it } from "@effect/vitest"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Effect from "effect/Effect"
import { Replica } from "../src/Replica.ts"
import { Member, ReplicaPool } from "../src/ReplicaPool.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

const completion = JSON.stringify({
  id: "c",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "hi" }, finish_reason: "stop" }]
})

// Two replicas without requests in flight, and how often the first of them is chosen of 100 times.
const choose = (reports: readonly [string | undefined, string | undefined], passed = 0) => {
  let now = 0
  const replicas = ["http://a", "http://b"].map((origin, i) => {
    const replica = new Replica(origin, 1000, () => now)
    replica.reported(reports[i])
    return replica
  })
  now += passed
  const target = { url: new URL("http://a/v1"), model: "m", apiKey: undefined, weight: 1, maxConcurrent: undefined }
  const pool = new ReplicaPool(
    replicas.map((replica) => new Member(replica, target)),
    { size: 1, timeout: 1000 }
  )
  let first = 0
  for (let i = 0; i < 100; i++) {
    pool.apply({
      key: "k",
      excluded: new Set(),
      onFailure: () => assert.fail(),
      onReplica: (member) => {
        if (member === pool.members[0]) first++
        pool.release(member)
      }
    })
  }
  return first
}

const text = (waiting: number, usage: number) =>
  `TEXT named_metrics.num_requests_waiting=${waiting}.0, named_metrics.kv_cache_usage_perc=${usage}`
const json = (waiting: number, usage: number) =>
  `JSON {"named_metrics": {"num_requests_waiting": ${waiting}, "kv_cache_usage_perc": ${usage}}}`

describe("a load report", () => {
  it.each([
    ["requests wait at it", text(3, 0.1), text(0, 0.1)],
    ["its cache is fuller", text(0, 0.9), text(0, 0.2)],
    ["its report is JSON", json(3, 0.1), json(0, 0.1)],
    ["the other one reports nothing", text(3, 0.1), undefined]
  ])("makes a replica the second choice if %s", (_, first, second) => {
    assert.strictEqual(choose([first, second]), 0)
  })

  it("is not used after five seconds", () => {
    assert.isAbove(choose([text(3, 0.1), undefined], 5001), 10)
  })

  it.each(["", "TEXT", "TEXT named_metrics.num_requests_waiting=lots", "\u0000"])("that says nothing (%j) is ignored", (report) => {
    assert.isAbove(choose([report, undefined]), 10)
  })

  it.live("is asked for, and avoids a replica that others have loaded", () =>
    Effect.gen(function* () {
      const start = (report: string | undefined) =>
        Upstream.start((exchange) =>
          exchange.answer(200, completion, {
            "content-type": "application/json",
            ...(report === undefined ? {} : { "endpoint-load-metrics": report })
          })
        )
      const [busy, idle] = [yield* start(text(5, 0.9)), yield* start(text(0, 0.1))]
      const gateway = yield* Gateway.startWith([busy.origin, idle.origin])
      for (let i = 0; i < 20; i++) assert.strictEqual((yield* Gateway.ask(gateway)).status, 200)
      assert.isAtMost(busy.exchanges.length, 1)
      assert.isTrue(idle.exchanges.every(({ headers }) => headers["endpoint-load-metrics-format"] === "TEXT"))
    })
  )

  it.live("of the simulator is read", () =>
    Effect.gen(function* () {
      const simulator = yield* Effect.acquireRelease(
        Effect.promise(() => Simulator.start({ models: ["org/alfred"], mode: "echo" })),
        ({ close }) => Effect.promise(() => close())
      )
      const response = yield* Effect.promise(() =>
        fetch(`${simulator.url}/v1/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json", "endpoint-load-metrics-format": "TEXT" },
          body: Gateway.chat({ model: "org/alfred" })
        })
      )
      const replica = new Replica("http://a", 1000)
      const report = response.headers.get("endpoint-load-metrics")
      assert.isString(report)
      // Its numbers, changed to those of a replica whose cache is full.
      replica.reported(report?.replace(/kv_cache_usage_perc=[\d.]+/, "kv_cache_usage_perc=1.0"))
      assert.strictEqual(replica.load, 2)
    })
  )
})
