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
    case 504:
      return new GatewayFailure({ status, detail: "The model server did not answer in time.", cause })
  }
  return new GatewayFailure({ status: 502, detail: "The model server failed.", cause })
}

const upstreamFailure = (forwarded: Forwarded, status: number, headers: Readonly<Record<string, string | undefined>>, body: string) => {
  const after = headers["retry-after"]
  const retryAfter = after === undefined ? {} : { "retry-after": after }
  if (status === 429) {
    return new GatewayFailure({
      status,
      detail: "Too many requests for the model server.",
      headers: retryAfter,
      cause: "the model server answered 429"
    })
  }
  if (status === 503) {
    return new GatewayFailure({
      status,
      detail: "The model server is overloaded or not ready.",
      headers: retryAfter,
      cause: "the model server answered 503"
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
  return describe(ErrorBody.toReason({ status, headers, body, model: forwarded.model, url: forwarded.target.url, now: 0 }), status)
}

// Bytes are looked at as text, a character of Latin-1 for each: so nothing is decoded, and nothing can be lost.
const textOf = (bytes: Buffer) => bytes.toString("latin1")
const utf8Of = (text: string) => new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0)))

// Past the last complete event, 0 where none is: a blank line ends one, whatever the line ends are.
const endOfEvents = (text: string): number => {
  const ends = (text.includes("\r") ? ["\n\n", "\n\r\n", "\r\r", "\r\r\n"] : ["\n\n"]).map((blank) => {
    const at = text.lastIndexOf(blank)
    return at === -1 ? 0 : at + blank.length
  })
  return Math.max(...ends)
}

// Past the event `[DONE]`, 0 where there is none. In a JSON text no line can begin with `data:`.
const endOfDone = (events: string): number => {
  for (let at = events.indexOf("[DONE]"); at !== -1; at = events.indexOf("[DONE]", at + 6)) {
    if (!/(^|[\r\n])data: ?$/.test(events.slice(Math.max(0, at - 8), at))) continue
    const after = events.slice(at + 6)
    const blank = /\n\n|\n\r\n|\r\r\n?/.exec(after)
    if (/^[\r\n]/.test(after) && blank !== null) return at + 6 + blank.index + blank[0].length
  }
  return 0
}

// How much of a refusal's body is read, and for how long: it may never end.
const maxErrorBody = 64 * 1024
const refusalMillis = 2000
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
    let held: Array<string> = []
    let heldBytes = 0
    // The last two of what is held.
    let tail = ""
    let settled = false
    let patience: ReturnType<typeof setTimeout> | undefined

    const settle = (effect: Effect.Effect<Relayed, GatewayFailure>) => {
      if (settled) return
      settled = true
      release()
      resume(effect)
    }
    const onDrain = () => controller?.resume()
    const release = () => {
      clearTimeout(patience)
      response.off("drain", onDrain)
    }
    const hold = (text: string) => {
      held.push(text)
      heldBytes += text.length
      tail = (tail + text.slice(-2)).slice(-2)
      if (heldBytes > maxHeldBytes) controller?.abort(tooLarge)
    }
    const finish = (failure: GatewayFailure | undefined) => settle(Effect.succeed({ status, bytes, failure }))

    const breakOff = (failure: GatewayFailure) => {
      if (settled) return
      if (!response.headersSent) return settle(Effect.fail(failure))
      response.end(toStreamEnd(failure))
      finish(failure)
    }

    const onStreamData = (chunk: Buffer) => {
      const text = textOf(chunk)
      // What is held ends no event, but its last two bytes may begin an end: reading all of it again would be quadratic.
      const end = endOfEvents(tail + text) - tail.length
      if (end <= 0) return hold(text)
      const events = held.join("") + text.slice(0, end)
      held = []
      heldBytes = 0
      tail = ""
      const last = endOfDone(events)
      if (last > 0) {
        bytes += last
        response.end(events.slice(0, last), "latin1")
        finish(undefined)
        // Held back by a slow client, the model server's connection would never come to its end, and never be free again.
        controller?.resume()
        return
      }
      bytes += events.length
      if (!response.write(events, "latin1")) controller?.pause()
      if (end < text.length) hold(text.slice(end))
    }

    const onError = () => {
      const answer = utf8Of(held.join(""))
      // A model server may answer with what it was sent.
      const text = target.apiKey === undefined ? answer : answer.replaceAll(Redacted.value(target.apiKey), "<redacted>")
      breakOff(upstreamFailure(forwarded, status, headers, text))
    }

    const onStreamEnd = () => {
      breakOff(new GatewayFailure({ status: 502, detail: "The model server broke off the stream.", cause: "ended without [DONE]" }))
    }

    dispatcher.dispatch(
      {
        origin: target.url.origin,
        path: target.url.pathname + target.url.search,
        method: "POST",
        headers: {
          accept: stream ? "text/event-stream, application/json" : "application/json",
          "accept-encoding": "identity",
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
        onResponseStart(started, statusCode, received) {
          status = statusCode
          headers = Object.fromEntries(Object.entries(received).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]))
          if (status !== 200) {
            patience = setTimeout(() => {
              onError()
              started.abort(new Error("Its refusal never ends"))
            }, refusalMillis)
            return
          }
          const type = headers["content-type"] ?? "no content type"
          const encoding = headers["content-encoding"] ?? "identity"
          const wanted = stream ? "text/event-stream" : "application/json"
          if (type.split(";", 1)[0]?.trim().toLowerCase() !== wanted || encoding !== "identity") {
            const cause = `the model server answered 200 with ${type}${encoding === "identity" ? "" : `, ${encoding}`}`
            breakOff(new GatewayFailure({ status: 502, detail: "The model server did not answer with a completion.", cause }))
            return started.abort(new Error("It is no completion"))
          }
          if (!stream) return
          response.on("drain", onDrain)
          response.writeHead(200, {
            "content-type": wanted,
            "x-request-id": requestId,
            "cache-control": "no-cache",
            "x-accel-buffering": "no"
          })
          response.flushHeaders()
        },
        onResponseData(started, chunk) {
          // A model server that goes on after its end, or writes an error without one, is not listened to.
          if (settled) return started.abort(new Error("It is enough"))
          if (response.headersSent) return onStreamData(chunk)
          hold(textOf(chunk))
          if (status !== 200 && heldBytes > maxErrorBody) onError()
        },
        onResponseEnd() {
          if (settled) return
          if (response.headersSent) return onStreamEnd()
          if (status !== 200) return onError()
          const answer = held.join("")
          // Empty, cut off, or a page that calls itself JSON: told by its ends, since reading it whole would cost what a relay saves.
          if (!/^\s*\{/.test(answer) || !/\}\s*$/.test(answer.slice(-64))) {
            return breakOff(
              new GatewayFailure({
                status: 502,
                detail: "The model server did not answer with a completion.",
                cause: "its JSON is no object"
              })
            )
          }
          bytes = heldBytes
          response.writeHead(200, { "content-type": "application/json", "content-length": bytes, "x-request-id": requestId })
          response.end(answer, "latin1")
          finish(undefined)
        },
        onResponseError(_, error) {
          if (left) return
          if (status !== 0 && status !== 200) return onError()
          breakOff(error instanceof GatewayFailure ? error : lost(error))
        }
      }
    )
    return Effect.sync(() => {
      left = true
      release()
      controller?.abort(new Error("The client left"))
    })
  })
