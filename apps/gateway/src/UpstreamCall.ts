/**
 * One request to a model server, on undici's bare `dispatch`, which costs less than any layer above it. Each stage has a time limit.
 */
import type { Dispatcher } from "undici"

/** A request to a model server. */
export interface UpstreamRequest {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string
}

/** Maximum duration of each stage, in milliseconds. */
export interface StageTimeouts {
  /** From the request to the head of the response. */
  readonly response: number
  /** From the head of a stream to its first event. */
  readonly firstEvent: number
  /** Between two events. */
  readonly idle: number
}

export type Stage = keyof StageTimeouts

/** A stage took too long. */
export class StageTimeout extends Error {
  constructor(stage: Stage) {
    super(`No ${stage === "response" ? "response" : "event"} in time`)
  }
}

/** Receives the body of a response. No method runs after `onEnd` or `onError`. */
export interface UpstreamBody {
  readonly onData: (bytes: Buffer) => void
  readonly onEnd: () => void
  readonly onError: (error: unknown) => void
}

/** Receives a response. `onHead` runs before the body. */
export interface UpstreamSink extends UpstreamBody {
  readonly onHead: (status: number, headers: Readonly<Record<string, string | undefined>>) => void
}

/** A running request. */
export class UpstreamCall implements Dispatcher.DispatchHandler {
  readonly #sink: UpstreamSink
  readonly #timeouts: StageTimeouts
  #controller: Dispatcher.DispatchController | undefined
  #timer: NodeJS.Timeout | undefined
  #isOver = false
  #isPaused = false

  constructor(dispatcher: Dispatcher, request: UpstreamRequest, timeouts: StageTimeouts, sink: UpstreamSink) {
    this.#sink = sink
    this.#timeouts = timeouts
    this.expect("response")
    const { body, headers, url } = request
    dispatcher.dispatch({ origin: url.origin, path: url.pathname + url.search, method: "POST", headers, body }, this)
  }

  /** Begins a stage. Its time runs from now, and stops while the call is paused. */
  expect(stage: Stage): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!this.#isOver && !this.#isPaused) this.#timer = setTimeout(() => this.#fail(new StageTimeout(stage)), this.#timeouts[stage])
  }

  pause(): void {
    this.#isPaused = true
    clearTimeout(this.#timer)
    this.#controller?.pause()
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.expect("idle")
    this.#controller?.resume()
  }

  /** Ends the request and closes its connection. The sink hears nothing more. */
  abort(): void {
    this.#stop()
    this.#controller?.abort(new Error("The request was ended"))
  }

  /** Reads the response to its end without the sink, so that the connection can be used again. */
  drain(): void {
    this.#stop()
    this.#controller?.resume()
    this.#timer = setTimeout(() => this.#controller?.abort(new Error("The response does not end")), 1000).unref()
  }

  #stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#stop()
    this.#controller?.abort(new Error("The request failed"))
    this.#sink.onError(error)
  }

  // A defect of the sink ends the request, and not the process.
  #guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#stop()
      this.#controller?.abort(new Error("The request failed"))
      this.#sink.onError(error)
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#isOver) controller.abort(new Error("The request was ended"))
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    received: Readonly<Record<string, string | Array<string> | undefined>>
  ): void {
    // An informational response, for example 103, precedes the response.
    if (this.#isOver || status < 200) return
    const headers = Object.fromEntries(Object.entries(received).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]))
    this.#guard(() => this.#sink.onHead(status, headers))
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (!this.#isOver) this.#guard(() => this.#sink.onData(bytes))
  }

  onResponseEnd(): void {
    clearTimeout(this.#timer)
    if (this.#isOver) return
    this.#stop()
    this.#guard(() => this.#sink.onEnd())
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: unknown): void {
    clearTimeout(this.#timer)
    if (this.#isOver) return
    this.#stop()
    this.#sink.onError(error)
  }
}
