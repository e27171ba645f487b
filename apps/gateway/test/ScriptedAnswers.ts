/**
 * The answers of the model server that clients are tried with.
 */
import type * as Upstream from "./ScriptedUpstream.ts"

/** Messages of a request. */
export const messages = [{ role: "user" as const, content: "hi" }]
const call = { index: 0, id: "call-1", type: "function" as const, function: { name: "add", arguments: '{"a":1,"b":2}' } }
const chunk = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "org/alfred", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`

/** Answers as a model server does: a tool call first, then a text; errors by the field `user`. */
export const answer = (exchange: Upstream.Exchange) => {
  const request = JSON.parse(exchange.body)
  if (exchange.user === "too-long") {
    const error = { message: "The prompt is too long.", type: "BadRequestError", param: "messages", code: 400 }
    return exchange.answer(400, JSON.stringify({ error }))
  }
  if (exchange.user === "dead") return exchange.answer(500, '{"error":{"message":"dead","code":500}}')
  const isCall = request.tools !== undefined && request.messages.at(-1).role !== "tool"
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  if (request.stream !== true) {
    const { index: _, ...whole } = call
    const message = isCall ? { role: "assistant", content: null, tool_calls: [whole] } : { role: "assistant", content: "Hello!" }
    const choices = [{ index: 0, message, logprobs: null, finish_reason: isCall ? "tool_calls" : "stop" }]
    return exchange.answer(200, JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "org/alfred", choices, usage }))
  }
  exchange.head()
  exchange.chunk(chunk({ role: "assistant", content: "" }))
  if (isCall) exchange.chunk(chunk({ tool_calls: [call] }) + chunk({}, "tool_calls"))
  else if (exchange.user === "breaks") {
    exchange.chunk(chunk({ content: "Hel" }))
    return exchange.socket.destroySoon()
  } else if (exchange.user !== "slow") exchange.chunk(chunk({ content: "Hello!" }) + chunk({}, "stop"))
  if (exchange.user === "slow") return undefined
  exchange.chunk("data: [DONE]\n\n")
  return exchange.end()
}
