/** Requests of the tests: with fetch, and with a bare socket where the connection itself is looked at. */
import type { Simulator } from "@paradigm-effect/simulator/Simulator"
import { connect } from "node:net"

export const chat = (content: string, more: object = {}) => ({ model: "alfred-4.2", messages: [{ role: "user", content }], ...more })

export const post = (
  { url }: Pick<Simulator, "url">,
  body: unknown,
  { path = "/v1/chat/completions", headers = {}, signal }: { path?: string; headers?: Record<string, string>; signal?: AbortSignal } = {}
) =>
  fetch(url + path, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
    ...(signal === undefined ? {} : { signal })
  })

/** The JSON of a whole answer; whoever asks knows its shape. */
export const json = async (simulator: Pick<Simulator, "url">, body: unknown, path?: string) =>
  JSON.parse(await (await post(simulator, body, path === undefined ? {} : { path })).text())

/** The data of the events of a stream. */
export const events = (text: string): ReadonlyArray<string> =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice(6))

/** What a bare socket gets, read by read, and how the connection ended. */
export const raw = ({ url }: Pick<Simulator, "url">, body: unknown, headers: Record<string, string> = {}) => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const text = JSON.stringify(body)
  const lines = Object.entries({ host: "x", "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers })
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${text}`)
  const reads: Array<string> = []
  let error: string | undefined
  socket.on("data", (bytes) => reads.push(bytes.toString("latin1")))
  socket.on("error", (cause: NodeJS.ErrnoException) => (error = cause.code))
  const ended = new Promise<string>((resolve) => {
    socket.on("end", () => socket.end())
    socket.on("close", () => resolve(error ?? "fin"))
  })
  const says = async (pattern: RegExp) => {
    while (!pattern.test(reads.join(""))) {
      if (socket.destroyed) throw new Error(`The connection ended without ${String(pattern)}.`)
      await Promise.race([new Promise((resolve) => socket.once("data", resolve)), ended])
    }
  }
  return { socket, reads, ended, says, text: () => reads.join("") }
}

/** Waits until something is so; the test's own time limit ends it otherwise. */
export const until = async (isSo: () => boolean) => {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2))
}
