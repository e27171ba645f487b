// Attributes of spans by the GenAI and HTTP conventions.
import * as Exit from "effect/Exit"
import type { ChatCompletion, ChatCompletionRequest } from "../ChatCompletion.ts"
import type { TelemetryOptions } from "../Telemetry.ts"
import { toMessage } from "./conversation.ts"

/** The attributes of a request. */
export const requestAttributes = (
  request: ChatCompletionRequest,
  isStream: boolean,
  { recordContent }: TelemetryOptions,
  redact: (text: string) => string
) => {
  const { n, stop } = request
  const format = request.response_format?.type
  return {
    "gen_ai.request.stream": isStream || undefined,
    "gen_ai.request.max_tokens": request.max_completion_tokens ?? request.max_tokens,
    "gen_ai.request.temperature": request.temperature,
    "gen_ai.request.top_p": request.top_p,
    "gen_ai.request.top_k": request.top_k,
    "gen_ai.request.seed": request.seed,
    "gen_ai.request.frequency_penalty": request.frequency_penalty,
    "gen_ai.request.presence_penalty": request.presence_penalty,
    "gen_ai.request.stop_sequences": typeof stop === "string" ? [stop] : stop,
    "gen_ai.request.choice.count": n === 1 ? undefined : n,
    "gen_ai.request.reasoning.level": request.reasoning_effort,
    "gen_ai.output.type": format === "text" ? format : format?.startsWith("json") === true ? "json" : undefined,
    ...(recordContent === true && {
      "gen_ai.input.messages": redact(JSON.stringify(request.messages.map(toMessage))),
      "gen_ai.tool.definitions":
        request.tools &&
        JSON.stringify(request.tools.map((tool) => ({ type: tool.type, name: "function" in tool ? tool.function.name : tool.custom.name })))
    })
  }
}

/** The attributes of a whole or partial response. */
export const responseAttributes = (
  { choices, id, model }: ChatCompletion,
  { recordContent }: TelemetryOptions,
  redact: (text: string) => string
) => ({
  "gen_ai.response.id": id,
  "gen_ai.response.model": model,
  "gen_ai.response.finish_reasons": choices.map((choice) => choice.finish_reason ?? "error"),
  "gen_ai.output.messages": recordContent === true ? redact(JSON.stringify(choices.map(({ message }) => toMessage(message)))) : undefined
})

/** The attributes of the server. */
export const serverOf = (url: URL) => ({
  "server.address": url.hostname,
  "server.port": Number(url.port || (url.protocol === "https:" ? 443 : 80))
})

/** `error.type` of an exit: the tag of the error's reason, or `interrupted`. */
export const errorType = (exit: Exit.Exit<unknown, { readonly reason: { readonly _tag: string } }>): string | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const [reason] = exit.cause.reasons
  return reason?._tag === "Fail" ? reason.error.reason._tag : reason?._tag === "Interrupt" ? "interrupted" : "_OTHER"
}
