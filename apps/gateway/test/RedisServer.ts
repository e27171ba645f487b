/**
 * A real Redis on a free port of the loopback interface, that a test stops, freezes and starts again.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { createClient } from "redis"
import { freePort } from "./FreePort.ts"

/** Whether `redis-server` is installed. `.ci/run` installs it. */
export const isInstalled: boolean = spawnSync("redis-server", ["--version"]).status === 0

if (!isInstalled) {
  console.error(
    "\n!!! redis-server is MISSING: the limits of several gateways are NOT TESTED. Install Debian's package redis-server. !!!\n"
  )
}

/** One Redis. */
export class RedisServer {
  readonly port: number
  #process: ChildProcess | undefined

  constructor(port: number) {
    this.port = port
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const args = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"]
    this.#process = spawn("redis-server", args, { stdio: "ignore" })
    for (let i = 0; i < 500; i++) {
      if (await this.run("PING").catch(() => undefined)) return
      await sleep(10)
    }
    throw new Error("redis-server does not start")
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal)
  }

  async kill(): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, "exit")
    child.kill("SIGKILL")
    await exited
  }

  /** Runs one command on a connection of its own. */
  async run(...command: Array<string>): Promise<unknown> {
    const client = createClient({ url: this.url, socket: { reconnectStrategy: false } })
    client.on("error", () => undefined)
    await client.connect()
    try {
      return await client.sendCommand(command)
    } finally {
      client.destroy()
    }
  }
}

/** Starts a Redis that runs until the scope ends. */
export const start: Effect.Effect<RedisServer, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = new RedisServer(await freePort())
    await server.start()
    return server
  }),
  (server) => Effect.promise(() => server.kill())
)
