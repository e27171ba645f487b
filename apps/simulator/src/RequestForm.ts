/**
 * The fields of a request, one by one: what the server's validator takes, and what it says of the others.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { ChatRequest } from "./ChatRequest.ts"
import type { Problem } from "./ErrorReply.ts"
import * as MessageForm from "./MessageForm.ts"
import type { Profile } from "./Profile.ts"

type Body = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Body => typeof value === "object" && value !== null && !Array.isArray(value)

type Kind = "int" | "float" | "bool" | "string" | "list" | "dict"

const kinds: Readonly<Record<string, Kind>> = {
  model: "string",
  stream: "bool",
  stream_options: "dict",
  max_tokens: "int",
  max_completion_tokens: "int",
  min_tokens: "int",
  n: "int",
  seed: "int",
  stop_token_ids: "list",
  include_stop_str_in_output: "bool",
  ignore_eos: "bool",
  temperature: "float",
  top_p: "float",
  top_k: "int",
  min_p: "float",
  repetition_penalty: "float",
  presence_penalty: "float",
  frequency_penalty: "float",
  logit_bias: "dict",
  logprobs: "bool",
  top_logprobs: "int",
  prompt_logprobs: "int",
  return_token_ids: "bool",
  tools: "list",
  parallel_tool_calls: "bool",
  include_reasoning: "bool",
  chat_template_kwargs: "dict",
  add_generation_prompt: "bool",
  continue_final_message: "bool",
  request_id: "string",
  user: "string"
}

const words: Readonly<Record<Kind, string>> = {
  int: "integer",
  float: "number",
  bool: "boolean",
  string: "string",
  list: "list",
  dict: "dictionary"
}

const truths = new Map<unknown, boolean>([
  ...["true", "t", "yes", "y", "on", "1"].map((text) => [text, true] as const),
  ...["false", "f", "no", "n", "off", "0"].map((text) => [text, false] as const),
  [1, true],
  [0, false]
])

// The value as the validator takes it, numbers from texts included, or what is wrong with it.
const coerce = (kind: Kind, value: unknown): Result.Result<unknown, { readonly type: string; readonly message: string }> => {
  const should = `Input should be a valid ${words[kind]}`
  const wrong = (type: string, more = "") => Result.fail({ type: `${kind}_${type}`, message: should + more })
  switch (kind) {
    case "int":
    case "float": {
      if (typeof value === "boolean") return Result.succeed(Number(value))
      if (typeof value === "string") {
        const parsed = value.trim() === "" ? NaN : Number(value)
        const fits = Number.isFinite(parsed) && (kind === "float" || Number.isInteger(parsed))
        return fits ? Result.succeed(parsed) : wrong("parsing", `, unable to parse string as ${kind === "int" ? "an integer" : "a number"}`)
      }
      if (typeof value !== "number" && typeof value !== "bigint") return wrong("type")
      if (kind === "int" && typeof value === "number" && !Number.isInteger(value)) {
        return wrong("from_float", ", got a number with a fractional part")
      }
      return Result.succeed(value)
    }
    case "bool": {
      const truth = typeof value === "boolean" ? value : truths.get(typeof value === "string" ? value.toLowerCase() : value)
      if (truth !== undefined) return Result.succeed(truth)
      return typeof value === "string" || typeof value === "number" ? wrong("parsing", ", unable to interpret input") : wrong("type")
    }
    case "string":
      return typeof value === "string" ? Result.succeed(value) : wrong("type")
    case "list":
      return Array.isArray(value) ? Result.succeed(value) : wrong("type")
    case "dict":
      return isRecord(value) ? Result.succeed(value) : wrong("type")
  }
}

const mostStops = 4
const int64 = 2n ** 63n

const stopProblems = (stop: unknown, strict: boolean): ReadonlyArray<Problem> => {
  if (typeof stop === "string") return []
  const notText = { type: "string_type", path: ["stop", "str"], message: "Input should be a valid string", input: stop }
  const path = ["stop", "list[str]"]
  if (!Array.isArray(stop)) return [notText, { type: "list_type", path, message: "Input should be a valid list", input: stop }]
  if (strict && stop.length > mostStops) {
    const message = `List should have at most ${mostStops} items after validation, not ${stop.length}`
    const context = { field_type: "List", max_length: mostStops, actual_length: stop.length }
    return [notText, { type: "too_long", path, message, input: stop, context }]
  }
  const bad = stop.flatMap((item, index) =>
    typeof item === "string" ? [] : [{ ...notText, path: [...path, index], input: item as unknown }]
  )
  return bad.length === 0 ? [] : [notText, ...bad]
}

const seedProblem = (seed: unknown): ReadonlyArray<Problem> => {
  const value = typeof seed === "bigint" ? seed : typeof seed === "number" && Number.isInteger(seed) ? BigInt(seed) : 0n
  const [limit, type, words] =
    value >= int64
      ? [int64 - 1n, "less_than_equal", "less"]
      : value < -int64
        ? [-int64, "greater_than_equal", "greater"]
        : [undefined, "", ""]
  if (limit === undefined) return []
  const message = `Input should be ${words} than or equal to ${limit}`
  return [{ type, path: ["seed"], message, input: seed, context: { [words === "less" ? "le" : "ge"]: limit } }]
}

/**
 * The body with what could be coerced, or the problems of every field, in the order of the server's own list of fields.
 *
 * @category decoding
 * @since 0.1.0
 */
export const read = (body: Body, profile: Profile): Result.Result<ChatRequest, ReadonlyArray<Problem>> => {
  const problems: Array<Problem> = []
  const values: Record<string, unknown> = { ...body }
  const { messages } = body
  if (messages === undefined) problems.push({ type: "missing", path: ["messages"], message: "Field required", input: body })
  else if (!Array.isArray(messages)) {
    problems.push({ type: "list_type", path: ["messages"], message: "Input should be a valid list", input: messages })
  } else {
    for (const [index, message] of messages.entries()) problems.push(...MessageForm.problems(message, index, profile.errors.knowsHarmony))
  }
  for (const [name, kind] of Object.entries(kinds)) {
    const value = body[name]
    if (value === undefined || value === null) continue
    const coerced = coerce(kind, value)
    if (Result.isFailure(coerced)) problems.push({ ...coerced.failure, path: [name], input: value })
    else values[name] = coerced.success
  }
  problems.push(...seedProblem(values["seed"]))
  if (body["stop"] != null) problems.push(...stopProblems(body["stop"], profile.errors.isStrict))
  if (typeof values["seed"] === "bigint") values["seed"] = Number(values["seed"])
  const { tools } = values
  if (Array.isArray(tools)) {
    for (const [index, tool] of tools.entries()) {
      const path = ["tools", index, "function"]
      const made: unknown = isRecord(tool) ? tool["function"] : undefined
      if (!isRecord(made)) problems.push({ type: "missing", path, message: "Field required", input: tool })
      else if (typeof made["name"] !== "string") {
        problems.push({ type: "missing", path: [...path, "name"], message: "Field required", input: made })
      }
    }
  }
  return problems.length === 0 ? Result.succeed(values as unknown as ChatRequest) : Result.fail(problems)
}
