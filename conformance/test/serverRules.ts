/**
 * The requests that the reference server rejects as vLLM does, one rule each; the bug `allows-RULE` lets one through.
 */
import { Refusal } from "./serverModel.ts"

type Json = Record<string, unknown>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)
const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const nameOf = (tool: unknown) => (isObject(tool) && isObject(tool["function"]) ? tool["function"]["name"] : undefined)

const rules: Readonly<Record<string, (request: Json) => boolean>> = {
  "tool-choice-without-tools": ({ tool_choice, tools }) => tool_choice !== undefined && tools === undefined,
  "tool-choice-unknown": ({ tool_choice, tools }) =>
    isObject(tool_choice) && Array.isArray(tools) && !tools.some((tool) => nameOf(tool) === nameOf(tool_choice)),
  "tools-empty": ({ tools }) => Array.isArray(tools) && tools.length === 0,
  "top-logprobs-without-logprobs": ({ logprobs, top_logprobs }) => top_logprobs !== undefined && logprobs !== true,
  "top-logprobs-too-many": ({ top_logprobs }) => Number(top_logprobs ?? 0) > 20,
  "five-stops": ({ stop }) => listOf(stop).length > 4,
  "empty-stop": ({ stop }) => listOf(stop).includes(""),
  "max-tokens-zero": ({ max_tokens }) => max_tokens === 0,
  "n-zero": ({ n }) => n === 0,
  "top-p-out-of-range": ({ top_p }) => Number(top_p ?? 0) > 1,
  "response-format-without-schema": ({ response_format: format }) =>
    isObject(format) && format["type"] === "json_schema" && format["json_schema"] === undefined,
  "user-content-null": ({ messages }) => listOf(messages).some((one) => isObject(one) && one["role"] === "user" && one["content"] === null),
  "limit-beyond-the-model": ({ max_tokens }) => Number(max_tokens ?? 0) > 100_000
}

/** Rejects what vLLM rejects. */
export const checkRules = (request: Json, bug: string | undefined) => {
  for (const [name, isBroken] of Object.entries(rules)) {
    if (bug !== `allows-${name}` && isBroken(request)) throw new Refusal(400, `The rule ${name} is broken.`)
  }
}
