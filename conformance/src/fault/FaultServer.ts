/**
 * A server that does to its clients, byte by byte, what a script says, and reports what it saw of them.
 *
 * It listens on loopback, on a control port and the origins that `Origins` lists. The script of a case is put to the control port over HTTP, by whoever
 * runs the case (a page too), and bound to a path of all origins:
 *
 * - `GET /`: the origins
 * - `PUT /runs/R/cases/T`, body: a `Script`
 * - `POST /runs/R/cases/T/release`: lets `waitFor release` go on
 * - `GET /runs/R/cases/T/report?until=request|head|closed&waitMs=N`: a `Report`, once that has happened or the time is over
 * - `DELETE /runs/R/cases/T`: ends its connections and forgets it
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import { once } from "node:events"
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer, type Socket } from "node:net"
import { setImmediate, setTimeout } from "node:timers/promises"
import { createServer as createTlsServer } from "node:tls"
import * as Schema from "effect/Schema"
import * as Certificate from "./Certificate.ts"
import { type FaultRequest, header, makeReader } from "./FaultRequest.ts"
import { FaultListeners, http2Before, proxyTo } from "./FaultListeners.ts"
import { actions } from "./FaultScript.ts"
import type { Attempt, Origin, Origins, Preflight, Report, Until } from "./Report.ts"
import { Script } from "./Script.ts"

const decodeScript = Schema.decodeUnknownSync(Script)

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface LiveAttempt extends Mutable<Omit<Attempt, "writes">> {
  readonly writes: Array<readonly [at: number, bytes: number]>
}

/** One announced case, what was seen of it, and who waits for news of it. */
class LiveCase {
  readonly script: Script
  readonly start = performance.now()
  readonly attempts: Array<LiveAttempt> = []
  readonly preflights: Array<Preflight> = []
  readonly sockets = new Set<Socket>()
  released = false
  private listeners = new Set<() => void>()

  constructor(script: Script) {
    this.script = script
  }

  now() {
    return Math.round(performance.now() - this.start)
  }

  changed() {
    for (const listener of this.listeners) listener()
  }

  /** Resolves once `condition` holds, or when the time is over or the signal fires. */
  async until(condition: () => boolean, signal: AbortSignal) {
    while (!condition() && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.listeners.delete(done)
          signal.removeEventListener("abort", done)
          resolve()
        }
        this.listeners.add(done)
        signal.addEventListener("abort", done)
      })
    }
  }

  reached(until: Until) {
    switch (until) {
      case "request":
        return this.attempts.length > 0
      case "head":
        return this.attempts.some((attempt) => attempt.bytesWritten > 0)
      case "closed":
        return this.attempts.length > 0 && this.attempts.every((attempt) => attempt.closed !== undefined)
    }
  }

  report(): Report {
    return { attempts: this.attempts, preflights: this.preflights }
  }
}

const write = async (socket: Socket, bytes: Buffer) => {
  if (socket.destroyed) return
  if (!socket.write(bytes)) await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => undefined)
  // Lets the client's side of the loopback take this write by itself.
  await setImmediate()
}

const userOf = (body: string): string => {
  try {
    const { user } = JSON.parse(Buffer.from(body, "base64").toString("utf8")) as { readonly user?: unknown }
    return typeof user === "string" ? user : ""
  } catch {
    return ""
  }
}

/** Plays the script of one request; whether the connection may serve another one. */
const play = async (socket: Socket, live: LiveCase, attempt: LiveAttempt, left: AbortSignal): Promise<boolean> => {
  const script = live.script.attempts[live.attempts.indexOf(attempt)] ?? [{ step: "head", status: 500, framing: "length" }]
  for await (const action of actions(script, live.script.variant ?? {}, userOf(attempt.body))) {
    if (left.aborted) return false
    switch (action._tag) {
      case "Write":
        attempt.bytesWritten += action.bytes.length
        attempt.writes.push([live.now(), action.bytes.length])
        if (attempt.writes.length > 1000) attempt.writes.shift()
        await write(socket, action.bytes)
        live.changed()
        break
      case "Delay":
        await setTimeout(action.ms, undefined, { signal: left }).catch(() => undefined)
        break
      case "WaitFor":
        await live.until(() => (action.event === "release" ? live.released : socket.writableLength === 0), left)
        break
      case "Stall":
        await live.until(() => false, left)
        return false
      case "Fin":
        attempt.closed ??= { by: "server", how: "fin", at: live.now() }
        socket.end()
        return false
      case "Rst":
        attempt.closed ??= { by: "server", how: "rst", at: live.now() }
        socket.resetAndDestroy()
        return false
      case "End":
        if (action.keepAlive) return true
        attempt.closed ??= { by: "server", how: "fin", at: live.now() }
        socket.end()
        return false
    }
  }
  return false
}

// A reason of its own: the one that would be made for each connection is an error with a stack.
const left = "the client left"

const cors = { "access-control-allow-origin": "*", "access-control-allow-methods": "GET, PUT, POST, DELETE" } as const

const preflightResponse = (request: FaultRequest) =>
  Buffer.from(
    [
      "HTTP/1.1 204 ",
      ...Object.entries(cors).map(([name, value]) => `${name}: ${value}`),
      `access-control-allow-headers: ${header(request.headers, "access-control-request-headers") ?? ""}`,
      "access-control-max-age: 0",
      "connection: close",
      "\r\n"
    ].join("\r\n"),
    "latin1"
  )

const preflightRefusal = "HTTP/1.1 403 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

const casePath = /^(\/runs\/[^/?]+\/cases\/[^/?]+)(.*)$/

class Running {
  readonly cases = new Map<string, LiveCase>()
  readonly sockets = new Set<Socket>()
  private connections = 0

  /** The case of a request: by its path, or else by its bearer token. */
  find(request: FaultRequest): readonly [live: LiveCase, path: string] | undefined {
    const [, prefix, rest] = casePath.exec(request.target) ?? []
    const byPath = prefix === undefined ? undefined : this.cases.get(prefix)
    if (byPath !== undefined) return [byPath, rest ?? ""]
    const authorization = header(request.headers, "authorization")
    const byToken = [...this.cases.values()].find(({ script }) => script.token !== undefined && authorization === `Bearer ${script.token}`)
    return byToken === undefined ? undefined : [byToken, request.target]
  }

  /** Whether the next answer of a request's case does not wait for the body. */
  isEarly(request: FaultRequest): boolean {
    const live = this.find(request)?.[0]
    const [head] = live?.script.attempts[live.attempts.length] ?? []
    return request.method !== "OPTIONS" && head?.step === "head" && head.early === true
  }

  async serve(socket: Socket, origin: Origin) {
    const connection = ++this.connections
    this.sockets.add(socket)
    socket.setNoDelay(true)
    const leave = new AbortController()
    const served: Array<readonly [LiveCase, LiveAttempt]> = []
    const closed = (how: "fin" | "rst") => {
      for (const [live, attempt] of served) {
        attempt.closed ??= { by: "client", how, at: live.now() }
        live.changed()
      }
      leave.abort(left)
    }
    socket.on("end", () => {
      closed("fin")
      socket.end()
    })
    socket.on("error", () => closed("rst"))
    socket.on("close", () => {
      closed("fin")
      this.sockets.delete(socket)
      for (const [live] of served) live.sockets.delete(socket)
    })
    const read = makeReader(socket)
    const next = () => read((request) => this.isEarly(request))
    for (let request = await next(); request !== undefined; request = await next()) {
      const found = this.find(request)
      if (request.method === "OPTIONS") {
        const asked = header(request.headers, "access-control-request-headers") ?? ""
        found?.[0].preflights.push({
          origin,
          method: header(request.headers, "access-control-request-method") ?? "",
          headers: asked
            .split(",")
            .map((name) => name.trim())
            .filter((name) => name !== "")
        })
        socket.end(found?.[0].script.refusesPreflight === true ? preflightRefusal : preflightResponse(request))
        return
      }
      if (found === undefined) {
        socket.end("HTTP/1.1 404 \r\ncontent-length: 0\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\r\n")
        return
      }
      const [live, path] = found
      const attempt: LiveAttempt = {
        origin,
        connection,
        reused: served.length > 0,
        at: live.now(),
        method: request.method,
        path,
        headers: request.headers,
        body: request.body.toString("base64"),
        writes: [],
        bytesWritten: 0
      }
      live.attempts.push(attempt)
      live.sockets.add(socket)
      served.push([live, attempt])
      live.changed()
      if (!(await play(socket, live, attempt, leave.signal))) return
    }
  }

  /** What is asked of the control port, and over it: the status of the answer, and its body. */
  async control(method: string, target: string, body: string, origins: Origins): Promise<readonly [status: number, body?: unknown]> {
    const url = new URL(target, "http://control")
    if (method === "OPTIONS") return [204]
    if (method === "GET" && url.pathname === "/") return [200, origins]
    const [, key = "", rest] = casePath.exec(url.pathname) ?? []
    if (method === "PUT" && rest === "") {
      try {
        this.cases.set(key, new LiveCase(decodeScript(JSON.parse(body), { onExcessProperty: "error" })))
      } catch (error) {
        return [400, { error: error instanceof Error ? error.message : String(error) }]
      }
      return [201, { a: origins.a + key, b: origins.b + key }]
    }
    const live = this.cases.get(key)
    if (live === undefined) return [404, { error: `no such case: ${url.pathname}` }]
    if (method === "DELETE" && rest === "") {
      this.cases.delete(key)
      for (const socket of live.sockets) socket.destroy()
      return [204]
    }
    if (method === "POST" && rest === "/release") {
      live.released = true
      live.changed()
      return [204]
    }
    if (method === "GET" && rest === "/report") {
      const until = url.searchParams.get("until")
      if (until === "request" || until === "head" || until === "closed") {
        await live.until(() => live.reached(until), AbortSignal.timeout(Number(url.searchParams.get("waitMs") ?? 5000)))
      }
      return [200, live.report()]
    }
    return [405, { error: `${method} ${url.pathname} is nothing this server does` }]
  }
}

const answerControl = async (request: IncomingMessage, response: ServerResponse, running: Running, origins: Origins) => {
  const parts: Array<Buffer> = []
  for await (const part of request) parts.push(part)
  const [status, body] = await running.control(request.method ?? "", request.url ?? "/", Buffer.concat(parts).toString("utf8"), origins)
  response.writeHead(status, { "content-type": "application/json", "access-control-allow-headers": "content-type", ...cors })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

/**
 * A running fault server. `ask` is its control port for callers in the same process, without a connection: it takes the address and the request of
 * a fetch, and gives the body of the answer, or rejects with the error in it. `close` ends every connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultServer extends Origins {
  readonly controlUrl: string
  readonly ask: (url: string, init?: { readonly method?: string; readonly body?: string }) => Promise<unknown>
  readonly close: () => Promise<void>
}

/**
 * Starts a fault server on free loopback ports, or its first origin on the port that is given. Rejects when that is taken.
 *
 * @category constructors
 * @since 0.1.0
 */
export const start = async (options: { readonly port?: number | undefined } = {}): Promise<FaultServer> => {
  const running = new Running()
  const own = new FaultListeners()
  const served = (name: Origin) => (socket: Socket) => void running.serve(socket, name)
  const authority = await Certificate.authority()
  const loopback = ["localhost", "127.0.0.1"]
  const secure = async (name: Origin, identity: Promise<Certificate.Identity>) =>
    (await own.listen(createTlsServer(await identity, served(name)))).replace("http:", "https:")
  const plain = (name: Origin) => createServer({ allowHalfOpen: true }, served(name))
  const a = await own.listen(plain("a"), { port: options.port })
  const misnamed = await secure("misnamed", authority.issue({ names: ["upstream.invalid"] }))
  const control = createHttpServer((request, response) => void answerControl(request, response, running, origins))
  const controlUrl = await own.listen(control)
  const v6 = await own.listen(plain("v6"), { host: "::1" }).catch(() => undefined)
  const origins: Origins = {
    a,
    b: await own.listen(plain("b")),
    ...(v6 === undefined ? {} : { v6 }),
    denied: a.replace("127.0.0.1", "localhost"),
    closed: await own.closed(a),
    tls: await secure("tls", Certificate.make()),
    trusted: await secure("trusted", authority.issue({ names: loopback })),
    expired: await secure("expired", authority.issue({ names: loopback, until: new Date(Date.now() - 86_400_000) })),
    misnamed,
    h2: (await own.listen(http2Before(a, await authority.issue({ names: loopback })))).replace("http:", "https:"),
    proxy: await own.listen(proxyTo({ "upstream.invalid:80": a, "upstream.invalid:443": misnamed })),
    ca: authority.cert
  }
  return {
    ...origins,
    controlUrl,
    ask: async (url, { body = "", method = "GET" } = {}) => {
      const [status, answer] = await running.control(method, url, body, origins)
      // As over a connection, what was done to others can be noticed before the answer is.
      await setTimeout(1)
      if (status >= 400) throw new Error(`The fault server answered ${status} to ${method} ${url}: ${JSON.stringify(answer)}`)
      // A copy, as the control port gives one: what is found of a case does not change any more.
      return answer === undefined ? undefined : (JSON.parse(JSON.stringify(answer)) as unknown)
    },
    close: async () => {
      for (const socket of running.sockets) socket.destroy()
      await own.close()
    }
  }
}
