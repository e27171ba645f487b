/**
 * What limits and usage cost: `node apps/gateway/test/limits-cost.ts`. Six limits a request, as in the design.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { GatewayMetrics } from "../src/GatewayMetrics.ts"
import { type Admission, Limiter } from "../src/limits/Limiter.ts"
import type { LimitRule } from "../src/limits/LimitRule.ts"
import { Calendar } from "../src/limits/Period.ts"
import { UsageSpool } from "../src/usage/UsageSpool.ts"
import * as RedisServer from "./RedisServer.ts"

const rule = (scope: LimitRule["scope"], kind: LimitRule["kind"]): LimitRule => ({
  scope,
  scopeId: scope,
  modelId: undefined,
  kind,
  amount: 1_000_000_000,
  mode: "enforce"
})
const rules = [
  rule("key", "requests_per_minute"),
  rule("key", "tokens_per_minute"),
  rule("key", "concurrent_streams"),
  rule("team", "budget_per_month"),
  rule("team", "tokens_per_day"),
  rule("model", "requests_per_minute")
]
const estimate = { prompt: 500, completion: 500, price: { input: 150_000, cached: 75_000, output: 600_000 } }
const usage = { prompt: 490, completion: 120, cached: 0, reasoning: 0 }
const options = {
  calendar: new Calendar(DateTime.zoneMakeNamedUnsafe("Europe/Paris")),
  whenAway: "open" as const,
  lease: 60_000,
  metrics: new GatewayMetrics()
}

const percentile = (values: ReadonlyArray<number>, share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? 0

const inMemory = () => {
  const limiter = new Limiter({ ...options, redis: undefined })
  const once = () => (limiter.admit(rules, estimate) as Admission).settle(usage)
  for (let i = 0; i < 20_000; i++) once()
  const count = 100_000
  const begin = process.cpuUsage()
  for (let i = 0; i < count; i++) once()
  const { system, user } = process.cpuUsage(begin)
  limiter.close()
  return (system + user) / count
}

const inRedis = async () => {
  const server = new RedisServer.RedisServer(6399)
  await server.start()
  const limiter = new Limiter({ ...options, redis: { url: server.url, timeout: 1000, prefix: "cost" } })
  while (limiter.isDegraded) await sleep(5)
  const times: Array<number> = []
  for (let i = 0; i < 12_000; i++) {
    const begin = performance.now()
    const admission = (await limiter.admit(rules, estimate)) as Admission
    if (i >= 2000) times.push(performance.now() - begin)
    admission.settle(usage)
  }
  limiter.close()
  await server.kill()
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) }
}

const spooled = () => {
  const folder = mkdtempSync(join(tmpdir(), "paradigm-cost-"))
  const spool = UsageSpool.open({ folder, maxBytes: 1e9 })
  const event = {
    ...usage,
    id: "019c0000-0000-7000-8000-000000000000",
    startedAt: Date.now(),
    endedAt: Date.now(),
    keyId: "key",
    teamId: "team",
    modelId: "model",
    replicaId: "http://127.0.0.1:8000",
    gatewayId: "gateway:1",
    endUser: "",
    clientId: "019c0000-0000-7000-8000-000000000000",
    upstreamId: "019c0000-0000-7000-8000-000000000000",
    status: 200,
    outcome: "ok" as const,
    attempts: 1,
    usageSource: "reported" as const,
    costPico: 123_456_789n
  }
  const count = 50_000
  const begin = process.cpuUsage()
  for (let i = 0; i < count; i++) spool.append(event)
  const { system, user } = process.cpuUsage(begin)
  spool.close()
  rmSync(folder, { recursive: true })
  return (system + user) / count
}

const micro = (value: number) => `${value.toFixed(1)} us`
console.log(`in memory, admit and settle six limits:  ${micro(inMemory())} of CPU`)
if (RedisServer.isInstalled) {
  const { p50, p99 } = await Effect.runPromise(Effect.promise(inRedis))
  console.log(`in Redis, admit on loopback:             p50 ${micro(p50 * 1000)}, p99 ${micro(p99 * 1000)}`)
}
console.log(`spool, an event:                         ${micro(spooled())} of CPU`)
