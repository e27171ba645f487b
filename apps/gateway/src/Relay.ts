/**
 * The way of an answer from the model server to the client: bytes pass through, at the client's pace. A stream is cut only between events,
 * so that a model server that dies in the middle of one leaves room for an error that the client can read.
 *
 * undici's `dispatch` is used bare, and writes to the Node response: every layer between costs more than the relay itself.
 */
import * as ErrorBody from "@paradigm-effect/core/ErrorBody"
import type { ParadigmErrorReason } from "@paradigm-effect/core/ParadigmError"
import { toServerResponse } from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Redacted from "effect/Redacted"
import type { Dispatcher } from "undici"
import type { UpstreamTarget } from "./GatewayConfig.ts"
import { GatewayFailure, toStreamEnd } from "./GatewayFailure.ts"

/** Node's side of the answer. */
export type NodeResponse = Extract<ReturnType<typeof toServerResponse>, { flushHeaders: () => void }>

/** The Node response behind a request; `undefined` where it came over HTTP/2. */
export const responseOf = (request: HttpServerRequest): NodeResponse | undefined => {
  const response = toServerResponse(request)
  return "flushHeaders" in response ? response : undefined
}

/** One request to be forwarded. */
export interface Forwarded {
  readonly target: UpstreamTarget
  readonly body: string
  readonly stream: boolean
  readonly requestId: string
  /** The model's name as the client knows it. */
  readonly model: string
}

/** How an answer went, once its first byte was out. */
export interface Relayed {
  readonly status: number
  readonly bytes: number
  /** The failure after the first byte; the client was told. */
  readonly failure: GatewayFailure | undefined
}

const codeOf = (error: unknown): string => {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined
  return typeof code === "string" ? code : "unknown"
}

const lost = (error: unknown): GatewayFailure => {
  const cause = codeOf(error)
  return /TIMEOUT|ETIMEDOUT/.test(cause)
    ? new GatewayFailure({ status: 504, detail: "The model server did not answer in time.", cause })
    : new GatewayFailure({ status: 502, detail: "The model server cannot be reached, or broke off.", cause })
}

const describe = (reason: ParadigmErrorReason, status: number): GatewayFailure => {
  const detail = "detail" in reason && reason.detail !== undefined ? reason.detail : undefined
  const cause = `the model server answered ${status}`
  switch (status) {
    case 400:
    case 404:
    case 422: {
      const fields = reason._tag === "RequestRejected" && Object.keys(reason.fields).length > 0 ? reason.fields : undefined
      return new GatewayFailure({ status, detail: detail ?? "The model server refused the request.", fields, cause })
    }
    case 503:
      return new GatewayFailure({ status, detail: "The model server is overloaded or not ready.", cause })
    case 504:
      return new GatewayFailure({ status, detail: "The model server did not answer in time.", cause })
  }
  return new GatewayFailure({ status: 502, detail: "The model server failed.", cause })
}

const upstreamFailure = (forwarded: Forwarded, status: number, headers: Readonly<Record<string, string | undefined>>, body: string) => {
  if (status === 429) {
    const after = headers["retry-after"]
    return new GatewayFailure({
      status,
      detail: "Too many requests for the model server.",
      headers: after === undefined ? {} : { "retry-after": after },
      cause: "the model server answered 429"
    })
  }
  // A 401 or 403 of the model server is about the gateway's own credential: its words are not for the client.
  if (status === 401 || status === 403) {
    return new GatewayFailure({
      status: 502,
      detail: "The model server failed.",
      cause: `the model server answered ${status} to the gateway's key`
    })
  }
  return describe(ErrorBody.toReason({ status, headers, body, model: forwarded.model, now: 0 }), status)
}

// Past the last complete event: a blank line ends one, whatever the line ends are.
const endOfEvents = (bytes: Buffer): number => {
  const ends = ["\n\n", "\r\n\r\n", "\r\r"].map((blank) => {
    const at = bytes.lastIndexOf(blank, bytes.length, "latin1")
    return at === -1 ? 0 : at + blank.length
  })
  return Math.max(...ends)
}

const endsWithDone = (events: Buffer) =>
  /(^|[\r\n])data: ?\[DONE\][\r\n]+$/.test(events.toString("latin1", Math.max(0, events.length - 24)))

const maxErrorBody = 64 * 1024
const maxHeldBytes = 64 * 1024 * 1024

const tooLarge = new GatewayFailure({ status: 502, detail: "The model server's answer is too large." })

/**
 * Forwards a request and relays its answer. Fails only before the first byte went out; interrupting it, as the server does when the
 * client leaves, ends the request to the model server at once.
 */
export const relay = (dispatcher: Dispatcher, forwarded: Forwarded, response: NodeResponse): Effect.Effect<Relayed, GatewayFailure> =>
  Effect.callback<Relayed, GatewayFailure>((resume) => {
    const { body, requestId, stream, target } = forwarded
    let controller: Dispatcher.DispatchController | undefined
    let left = false
    let status = 0
    let headers: Record<string, string | undefined> = {}
    let bytes = 0
    let held: Array<Buffer> = []
    let heldBytes = 0
    let done = false
    let settled = false

    const settle = (effect: Effect.Effect<Relayed, GatewayFailure>) => {
      if (settled) return
      settled = true
      response.off("drain", onDrain)
      resume(effect)
    }
    const onDrain = () => controller?.resume()
    const hold = (chunk: Buffer) => {
      held.push(chunk)
      heldBytes += chunk.length
    }
    const write = (chunk: Buffer) => {
      bytes += chunk.length
      if (!response.write(chunk)) controller?.pause()
    }
    const finish = (failure: GatewayFailure | undefined) => settle(Effect.succeed({ status, bytes, failure }))

    const breakOff = (failure: GatewayFailure) => {
      if (!response.headersSent) return settle(Effect.fail(failure))
      if (stream) response.end(toStreamEnd(failure))
      // A JSON answer has no place for an error: only a broken connection says that it is not whole.
      else response.destroy()
      finish(failure)
    }

    const onStreamData = (chunk: Buffer) => {
      const pending = heldBytes === 0 ? chunk : Buffer.concat([...held, chunk])
      const end = endOfEvents(pending)
      if (end === 0) {
        hold(chunk)
        if (heldBytes > maxHeldBytes) controller?.abort(tooLarge)
        return
      }
      held = []
      heldBytes = 0
      const events = pending.subarray(0, end)
      done = endsWithDone(events)
      if (end < pending.length && !done) hold(pending.subarray(end))
      write(events)
      if (done) {
        response.end()
        finish(undefined)
      }
    }

    const onStreamEnd = () => {
      if (done) return
      breakOff(new GatewayFailure({ status: 502, detail: "The model server broke off the stream.", cause: "ended without [DONE]" }))
    }

    dispatcher.dispatch(
      {
        origin: target.url.origin,
        path: target.url.pathname + target.url.search,
        method: "POST",
        headers: {
          accept: stream ? "text/event-stream, application/json" : "application/json",
          "content-type": "application/json",
          "x-request-id": requestId,
          ...(target.apiKey === undefined ? {} : { authorization: `Bearer ${Redacted.value(target.apiKey)}` })
        },
        body
      },
      {
        onRequestStart(started) {
          controller = started
          if (left) started.abort(new Error("The client left"))
        },
        onResponseStart(_, statusCode, received) {
          status = statusCode
          headers = Object.fromEntries(Object.entries(received).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]))
          const type = stream ? "text/event-stream" : "application/json"
          if (status !== 200 || !headers["content-type"]?.toLowerCase().startsWith(type)) return
          const streamHeaders = stream ? { "cache-control": "no-cache", "x-accel-buffering": "no" } : {}
          response.on("drain", onDrain)
          if (!stream) return
          response.writeHead(200, { "content-type": type, "x-request-id": requestId, ...streamHeaders })
          response.flushHeaders()
        },
        onResponseData(_, chunk) {
          if (response.headersSent) {
            if (!done) onStreamData(chunk)
            return
          }
          if (status === 200 || heldBytes < maxErrorBody) hold(chunk)
          if (heldBytes > maxHeldBytes) controller?.abort(tooLarge)
        },
        onResponseEnd() {
          if (response.headersSent) return onStreamEnd()
          const answer = Buffer.concat(held)
          const isJson = /^application\/json/i.test(headers["content-type"] ?? "")
          if (status !== 200) return breakOff(upstreamFailure(forwarded, status, headers, answer.toString("utf8")))
          if (stream || !isJson) {
            const cause = `the model server answered 200 with ${headers["content-type"] ?? "no content type"}`
            return breakOff(new GatewayFailure({ status: 502, detail: "The model server did not answer with a completion.", cause }))
          }
          bytes = answer.length
          response.writeHead(200, { "content-type": "application/json", "content-length": bytes, "x-request-id": requestId })
          response.end(answer)
          finish(undefined)
        },
        onResponseError(_, error) {
          if (left || done) return
          breakOff(error instanceof GatewayFailure ? error : lost(error))
        }
      }
    )
    return Effect.sync(() => {
      left = true
      response.off("drain", onDrain)
      controller?.abort(new Error("The client left"))
    })
  })
