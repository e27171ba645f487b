/**
 * The response to the client, and its only writer. Writes of one tick are merged, a client that stops reading is given up, and an idle stream
 * gets heartbeats.
 */
import type { ServerResponse } from "node:http"
import { type Dialect, endMarker, type GatewayFailure, statusOf, toBody, toStreamEnd } from "./GatewayFailure.ts"

/** Settings of a response. */
export interface DownlinkOptions {
  readonly dialect: Dialect
  readonly requestId: string
  /** Headers of every response, for example those of CORS. */
  readonly headers: Readonly<Record<string, string>>
  /** Time between heartbeats of a stream without other bytes, in milliseconds. */
  readonly heartbeat: number
  /** Maximum time in which the client reads nothing, in milliseconds. */
  readonly writeStall: number
}

const heartbeat = ": keep-alive\n\n"
// Milliseconds from the first probe to the second.
const secondProbe = 50

/** One response. */
export class Downlink {
  readonly #response: ServerResponse
  readonly #options: DownlinkOptions
  #added: Readonly<Record<string, string>> = {}
  #pending = ""
  #heartbeats: NodeJS.Timeout | undefined
  #stall: NodeJS.Timeout | undefined
  #probes: NodeJS.Timeout | undefined

  /** Bytes of the body. */
  bytes = 0
  /** The status that was sent; 0 before. */
  status = 0
  /** Whether an event was written. Before the first, the request can be sent to another replica. */
  hasEvents = false
  /** Whether the client was given up because it stopped reading. */
  isStalled = false
  /** Runs when the client reads again after `write` returned false. */
  onDrain: (() => void) | undefined = undefined

  constructor(response: ServerResponse, options: DownlinkOptions) {
    this.#response = response
    this.#options = options
    response.on("drain", () => {
      clearTimeout(this.#stall)
      this.#stall = undefined
      this.onDrain?.()
    })
    response.once("close", () => this.#stop())
  }

  get isEnded(): boolean {
    return this.#response.writableEnded || this.#response.destroyed
  }

  /** Adds headers to the response. */
  addHeaders(headers: Readonly<Record<string, string>>): void {
    this.#added = { ...this.#added, ...headers }
  }

  /** Sends the head of a stream. From then on, a failure is an event. */
  commit(): void {
    if (this.status !== 0 || this.isEnded) return
    this.#head(200, { "content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no" })
    this.#response.flushHeaders()
    this.#heartbeats = setInterval(() => {
      if (this.#stall === undefined && this.#pending === "") this.#send(heartbeat)
    }, this.#options.heartbeat).unref()
  }

  /**
   * Finds out whether a client that ended its side of the connection still reads: bytes that it must ignore reset the connection of one that left. A
   * comment in a stream, else an informational response.
   */
  probe(): void {
    const once = () => {
      if (this.isEnded) clearInterval(this.#probes)
      else if (this.status === 0) this.#response.writeProcessing()
      else if (this.#pending === "" && this.#stall === undefined) this.#send(heartbeat)
    }
    clearInterval(this.#probes)
    this.#probes = setInterval(once, this.#options.heartbeat).unref()
    once()
    // The first write makes the kernel of a client that left reset the connection. The second one fails.
    setTimeout(once, secondProbe).unref()
  }

  /** Writes events, as Latin-1. Returns whether the client takes more at once. */
  write(events: string): boolean {
    if (events === "") return true
    this.commit()
    this.hasEvents = true
    if (this.#pending === "") process.nextTick(() => this.#flush())
    this.#pending += events
    return !this.#response.writableNeedDrain
  }

  /** Ends a stream with its marker. */
  endStream(marker: string = endMarker): void {
    this.commit()
    this.#end(marker)
  }

  /** Sends a whole response. */
  answer(
    body: Uint8Array | string,
    headers: Readonly<Record<string, string>> = { "content-type": "application/json" },
    status = 200
  ): void {
    if (this.status !== 0 || this.isEnded) return
    const length = typeof body === "string" ? Buffer.byteLength(body) : body.length
    this.#head(status, status === 204 ? headers : { ...headers, "content-length": String(length) })
    this.bytes = length
    this.#response.end(body)
  }

  /** Sends an error: as a response, or as the last event of a stream. */
  fail(failure: GatewayFailure): void {
    if (this.isEnded) return
    if (this.status !== 0) return this.#end(toStreamEnd(failure))
    const { dialect, requestId } = this.#options
    this.answer(toBody(failure, dialect, requestId), { ...failure.headers, "content-type": "application/json" }, statusOf(failure, dialect))
  }

  #head(status: number, headers: Readonly<Record<string, string>>): void {
    this.status = status
    this.#response.writeHead(status, { ...this.#options.headers, ...this.#added, ...headers, "x-request-id": this.#options.requestId })
  }

  #flush(): void {
    const text = this.#pending
    this.#pending = ""
    if (text !== "") this.#send(text)
  }

  #send(text: string): void {
    if (this.isEnded) return
    this.#heartbeats?.refresh()
    this.bytes += text.length
    if (this.#response.write(text, "latin1") || this.#stall !== undefined) return
    this.#stall = setTimeout(() => {
      this.isStalled = true
      this.#response.destroy()
    }, this.#options.writeStall).unref()
  }

  // The end is UTF-8, unlike the events of the model server.
  #end(end: string): void {
    this.#flush()
    this.#stop()
    if (this.isEnded) return
    this.bytes += Buffer.byteLength(end)
    this.#response.end(end)
  }

  #stop(): void {
    clearInterval(this.#heartbeats)
    clearInterval(this.#probes)
    clearTimeout(this.#stall)
  }
}
