/**
 * Paths of the endpoint, and what the headers of a request ask for.
 */
import type { IncomingMessage } from "node:http"
import type { Dialect } from "./GatewayFailure.ts"

/** What a path asks for, and the dialect of its errors. */
export interface Route {
  readonly dialect: Dialect
  readonly kind: "chat" | "models" | "model" | "usage"
  readonly model?: string
}

/** The route of a path; `undefined` for a path where nothing is. */
export const routeOf = (path: string): Route | undefined => {
  const [, prefix, rest] = /^\/(api\/v[23]|v1)\/(.+)$/.exec(path) ?? []
  if (prefix === undefined || rest === undefined) return undefined
  const dialect = prefix === "v1" ? "openai" : "paradigm"
  if (rest === "chat/completions") return { dialect, kind: "chat" }
  if (rest === "models" || rest === "usage") return { dialect, kind: rest }
  if (!rest.startsWith("models/")) return undefined
  try {
    return { dialect, kind: "model", model: decodeURIComponent(rest.slice("models/".length)) }
  } catch {
    return undefined
  }
}

/** Whether a client takes what the endpoint answers. */
export const accepts = (accept: string | undefined) =>
  accept === undefined ||
  accept.trim() === "" ||
  accept
    .split(",")
    .some(
      (range) =>
        /^\s*(\*\/\*|application\/(json|\*)|text\/(event-stream|\*))\s*(;|$)/i.test(range) && !/;\s*q=0(\.0*)?\s*(;|$)/i.test(range)
    )

/** The id of a request: the client's, or a new one. */
export const requestIdOf = ({ headers }: IncomingMessage) => {
  const given = headers["x-request-id"]
  return typeof given === "string" && /^[\w.:-]{1,128}$/.test(given) ? given : crypto.randomUUID()
}
