/**
 * The rest of a body whose request is refused.
 */
import type { IncomingMessage } from "node:http"

// What is read of a body that is refused, so that the client sends all of it and reads the response, and for how long.
const maxDrained = 4 * 1024 * 1024
const drainMillis = 2000

/** Reads and forgets. A client that still sends its body reads the response only if the connection stays open for a while. */
export const discard = (request: IncomingMessage): void => {
  let drained = 0
  const end = () => {
    clearTimeout(timer)
    if (!request.complete) request.destroy()
  }
  const timer = setTimeout(end, drainMillis).unref()
  request.removeAllListeners("data")
  request.on("data", (chunk: Buffer) => {
    drained += chunk.length
    if (drained > maxDrained) end()
  })
  request.once("end", () => clearTimeout(timer))
  request.once("close", () => clearTimeout(timer))
  request.resume()
}
