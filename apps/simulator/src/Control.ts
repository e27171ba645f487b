/**
 * The paths by which a simulator is read and changed while it runs: `/__ledger` and `/__config`.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Ledger } from "./Ledger.ts"
import { bodyOf, send } from "./NodeExchange.ts"
import type { Settings } from "./SimulatorConfig.ts"

/** What is controlled. */
export interface Controlled {
  readonly ledger: Ledger
  readonly settings: Settings
  readonly change: (changes: unknown) => Result.Result<Settings, string>
}

const json = { "content-type": "application/json" }

/** Answers a request to a path that begins with `/__`. */
export const answer = async (controlled: Controlled, path: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { method } = request
  if (path === "/__ledger") {
    if (method === "DELETE") controlled.ledger.clear()
    return send(response, 200, json, JSON.stringify(controlled.ledger.report()))
  }
  if (path !== "/__config") return send(response, 404, json, '{"error":"There are /__ledger and /__config."}')
  if (method === "GET") return send(response, 200, json, JSON.stringify(controlled.settings))
  const body = await bodyOf(request)
  const changed = Result.flatMap(
    Result.try({ try: (): unknown => JSON.parse(String(body)), catch: () => "The body is not valid JSON." }),
    (changes) => controlled.change(changes)
  )
  if (Result.isFailure(changed)) return send(response, 400, json, JSON.stringify({ error: changed.failure }))
  return send(response, 200, json, JSON.stringify(changed.success))
}
