/**
 * One request to a model server whose whole answer is JSON.
 */
import type { Dispatcher } from "undici"
import { type StageTimeouts, UpstreamCall, type UpstreamRequest } from "./UpstreamCall.ts"

// An answer may have the ids of a long prompt.
const maxBytes = 64 * 1024 * 1024

/** Sends a request. `then` gets the status, 0 if there is no answer, and the parsed body of status 200. */
export const askJson = (
  dispatcher: Dispatcher,
  request: UpstreamRequest,
  timeouts: StageTimeouts,
  then: (status: number, value: unknown) => void
): UpstreamCall => {
  const parts: Array<Buffer> = []
  let size = 0
  let status = 0
  const call = new UpstreamCall(dispatcher, request, timeouts, {
    onHead: (given) => {
      status = given
      if (status === 200) return call.expect("idle")
      call.drain()
      then(status, undefined)
    },
    onData: (bytes) => {
      parts.push(bytes)
      size += bytes.length
      if (size <= maxBytes) return
      call.abort()
      then(0, undefined)
    },
    onEnd: () => {
      let value: unknown
      try {
        value = JSON.parse(Buffer.concat(parts).toString("utf8"))
      } catch {
        return then(0, undefined)
      }
      then(status, value)
    },
    onError: () => then(0, undefined)
  })
  return call
}
