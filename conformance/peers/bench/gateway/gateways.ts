/**
 * The gateways of the benchmark: each is started in front of a model server, and measured by the CPU time and memory of its processes.
 */
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Plan } from "./modelServer.ts"

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** The key of the caller. */
export const key = "pk-bench-0123456789"
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

const portOf = async (child: ChildProcess): Promise<number> => {
  const [port] = (await once(child, "message")) as [number]
  return port
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

/** The model server. */
export class ModelServer {
  readonly #child: ChildProcess
  readonly origin: string

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.origin = `http://127.0.0.1:${port}`
  }

  static readonly start = async (): Promise<ModelServer> => {
    const child = fork(path("modelServer.ts"))
    return new ModelServer(child, await portOf(child))
  }

  /** Changes how requests are answered from now on. */
  async plan(plan: Plan): Promise<void> {
    this.#child.send(plan)
    await once(this.#child, "message")
  }

  stop(): void {
    this.#child.disconnect()
  }
}

const taskFiles = (pid: number): ReadonlyArray<string> => {
  try {
    return readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}`)
  } catch {
    return []
  }
}

const read = (file: string): string => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return ""
  }
}

/** A running gateway. */
export class RunningGateway {
  readonly name: string
  readonly url: string
  /** Headers of a request, besides its type. */
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds from the start of the process to its first answer. */
  readonly startMillis: number
  readonly #child: ChildProcess
  readonly #folder: string | undefined

  constructor(
    name: string,
    url: string,
    child: ChildProcess,
    startMillis: number,
    headers: Readonly<Record<string, string>>,
    folder?: string
  ) {
    this.name = name
    this.url = url
    this.headers = headers
    this.startMillis = startMillis
    this.#child = child
    this.#folder = folder
  }

  get #pids(): ReadonlyArray<number> {
    const { pid = 0 } = this.#child
    const found = [pid]
    for (const parent of found) {
      for (const task of taskFiles(parent)) found.push(...read(`${task}/children`).split(" ").filter(Boolean).map(Number))
    }
    return found
  }

  /** CPU time of all its processes and threads, in nanoseconds. */
  get cpuNanos(): number {
    return this.#pids.flatMap(taskFiles).reduce((sum, task) => sum + Number(read(`${task}/schedstat`).split(" ", 1)[0] ?? 0), 0)
  }

  /** Resident memory of all its processes, in MiB. */
  get memory(): number {
    return this.#pids.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024, 0)
  }

  /** Ends its processes without waiting for them. */
  kill(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): void {
    this.#child.kill(signal)
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, "exit")
    this.kill()
    await Promise.race([ended, sleep(3000, undefined, { ref: false }).then(() => this.kill("SIGKILL"))])
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }
}

// LiteLLM takes half a minute on an idle machine.
const patience = 120_000

// Waits until a gateway answers anything. Ends its process if it does not.
const answers = async (url: string, child: ChildProcess): Promise<void> => {
  const deadline = performance.now() + patience
  for (;;) {
    if (child.exitCode !== null) throw new Error(`it ended with code ${child.exitCode}`)
    try {
      await (await fetch(url, { signal: AbortSignal.timeout(1000) })).arrayBuffer()
      return
    } catch {
      if (performance.now() > deadline) {
        child.kill("SIGKILL")
        throw new Error(`it does not answer at ${url}`)
      }
      await sleep(5)
    }
  }
}

const temporary = () => mkdtempSync(join(tmpdir(), "bench-gateway-"))

/** A gateway that may be measured. `start` rejects if it does not start. */
export interface Gateway {
  readonly name: string
  /** Why it is not measured; `undefined` if it is. */
  readonly missing: string | undefined
  readonly start: (upstream: string) => Promise<RunningGateway>
}

const hasCommand = (command: string, ...args: ReadonlyArray<string>) => spawnSync(command, [...args], { stdio: "ignore" }).status === 0

/** The bare pipe. */
export const pipe: Gateway = {
  name: "node:http pipe",
  missing: undefined,
  start: async (upstream) => {
    const began = performance.now()
    const child = fork(path("pipe.ts"), [upstream])
    const port = await portOf(child)
    return new RunningGateway("node:http pipe", `http://127.0.0.1:${port}/v1/chat/completions`, child, performance.now() - began, {})
  }
}

const bundle = path("../../../../apps/gateway/dist/bundle/paradigm-gateway.js")

/** Ours, with further keys and replicas. */
export const ours = (more: { readonly keys?: number; readonly replicas?: ReadonlyArray<string> } = {}): Gateway => ({
  name: "paradigm-gateway",
  missing: hasCommand(process.execPath, bundle, "--version") ? undefined : "apps/gateway is not built: pnpm build",
  start: async (upstream) => {
    const folder = temporary()
    const port = await freePort()
    const replicas = [upstream, ...(more.replicas ?? [])].map((origin) => ({ baseUrl: `${origin}/v1` }))
    const others = Array.from({ length: more.keys ?? 0 }, (_, i) => [`k${i}`, { sha256: sha256(`other-${i}`) }])
    const config = {
      listen: { port },
      operator: { port: await freePort() },
      models: { bench: { replicas, health: { path: null } } },
      keys: { bench: { sha256: sha256(key) }, ...Object.fromEntries(others) }
    }
    writeFileSync(join(folder, "gateway.json"), JSON.stringify(config))
    const began = performance.now()
    const child = spawn(process.execPath, [bundle, "--config", join(folder, "gateway.json")], { stdio: ["ignore", "ignore", "inherit"] })
    await answers(`http://127.0.0.1:${port}/health`, child)
    const url = `http://127.0.0.1:${port}/v1/chat/completions`
    return new RunningGateway("paradigm-gateway", url, child, performance.now() - began, { authorization: `Bearer ${key}` }, folder)
  }
})

const nginx: Gateway = {
  name: "nginx",
  missing: hasCommand("nginx", "-v") ? undefined : "nginx is not installed (Debian: apt-get install nginx-light)",
  start: async (upstream) => {
    const folder = temporary()
    const port = await freePort()
    // Its workers are another user if it is started by root.
    chmodSync(folder, 0o755)
    const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n")
    writeFileSync(
      join(folder, "nginx.conf"),
      `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr crit;
events { worker_connections 8192; }
http {
  access_log off; client_max_body_size 20m; client_body_buffer_size 1m;
  ${temp}
  upstream model { server ${new URL(upstream).host}; keepalive 256; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}`
    )
    const began = performance.now()
    const child = spawn("nginx", ["-e", "stderr", "-c", join(folder, "nginx.conf")], { stdio: ["ignore", "ignore", "inherit"] })
    await answers(`http://127.0.0.1:${port}/`, child)
    return new RunningGateway("nginx", `http://127.0.0.1:${port}/v1/chat/completions`, child, performance.now() - began, {}, folder)
  }
}

const portkeyMain = (): string | undefined => {
  try {
    return join(dirname(fileURLToPath(import.meta.resolve("@portkey-ai/gateway/package.json"))), "build/start-server.js")
  } catch {
    return undefined
  }
}

const portkey: Gateway = {
  name: "Portkey",
  missing: portkeyMain() === undefined ? "@portkey-ai/gateway is not installed" : undefined,
  start: async (upstream) => {
    const port = await freePort()
    const began = performance.now()
    const child = spawn(process.execPath, [portkeyMain() ?? "", `--port=${port}`, "--headless"], {
      stdio: ["ignore", "ignore", "ignore"],
      env: { ...process.env, NODE_ENV: "production" }
    })
    await answers(`http://127.0.0.1:${port}/`, child)
    return new RunningGateway("Portkey", `http://127.0.0.1:${port}/v1/chat/completions`, child, performance.now() - began, {
      authorization: `Bearer ${key}`,
      "x-portkey-provider": "openai",
      "x-portkey-custom-host": `${upstream}/v1`
    })
  }
}

const litellmCommand = process.env["LITELLM"] ?? "litellm"

const litellm: Gateway = {
  name: "LiteLLM",
  missing: hasCommand(litellmCommand, "--help")
    ? undefined
    : "litellm is not installed (pip install 'litellm[proxy]', or LITELLM=its path)",
  start: async (upstream) => {
    const folder = temporary()
    const port = await freePort()
    // It refuses to start with a weak key.
    const master = `sk-${randomBytes(24).toString("hex")}`
    const params = { model: "openai/bench", api_base: `${upstream}/v1`, api_key: "none" }
    writeFileSync(join(folder, "config.yaml"), JSON.stringify({ model_list: [{ model_name: "bench", litellm_params: params }] }))
    const began = performance.now()
    const child = spawn(litellmCommand, ["--config", join(folder, "config.yaml"), "--port", String(port), "--host", "127.0.0.1"], {
      stdio: ["ignore", "ignore", "ignore"],
      env: { ...process.env, LITELLM_LOCAL_MODEL_COST_MAP: "True", LITELLM_MASTER_KEY: master }
    })
    await answers(`http://127.0.0.1:${port}/health/liveliness`, child)
    const url = `http://127.0.0.1:${port}/v1/chat/completions`
    return new RunningGateway("LiteLLM", url, child, performance.now() - began, { authorization: `Bearer ${master}` }, folder)
  }
}

/** All gateways. The first is the base of the ratios. */
export const gateways: ReadonlyArray<Gateway> = [pipe, nginx, ours(), portkey, litellm]
