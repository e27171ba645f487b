// Repairs responses that the validator refuses, or accepts although they deviate from the contract. A known deviation has
// a repair with a name. Any other field of a wrong type is removed, unless it is essential: the text, the calls, and the index of the choice
// they belong to. Each repair is noted as an anomaly, and has a case in conformance/cases/client/repair.json. Values are changed in place.
import * as Predicate from "effect/Predicate"
import type { Anomalies, Repair } from "../Anomaly.ts"
import type { ChatCompletionAccumulator } from "../ChatCompletionAccumulator.ts"
import { AllProblems, type Fields } from "../errors/FieldErrors.ts"
import { jsonText } from "../json/jsonText.ts"
import { callId, isText, unplaced } from "../stream/toolCalls.ts"
import { problemsOf, type Validator } from "./validator.ts"

type Json = Record<string, unknown>

const isObject: (value: unknown) => value is Json = Predicate.isObject
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const toNumber = (value: unknown) => (isText(value) ? Number(value) : value)
const toText = (value: unknown) => (typeof value === "number" ? String(value) : typeof value === "string" ? value : "")
// False, 0 and the empty text mean null.
const orNothing = (value: unknown) => value || (value === null ? value : undefined)
// PHP writes an empty object as an empty list.
const isEmpty = (value: unknown) => !value || (Array.isArray(value) && value.length === 0)

/** Whether a finish reason is a spelling of null, as in https://github.com/ollama/ollama/issues/4357. */
export const isBlank = (reason: unknown): boolean => reason === "" || reason === "null" || reason === "None"

// vLLM writes `-Infinity` for a token of the prompt, which is read as null. In the log probabilities of an answer it sends -9999 itself.
const toPromptLogprobs = (positions: unknown) =>
  Array.isArray(positions)
    ? positions.map((tokens) =>
        isObject(tokens)
          ? Object.fromEntries(
              Object.entries(tokens).map(([id, token]) => [id, isObject(token) ? { ...token, logprob: token["logprob"] ?? -9999 } : token])
            )
          : tokens
      )
    : positions

const counts = ["prompt_tokens", "completion_tokens", "total_tokens"]

// https://github.com/openai/openai-agents-python/issues/1179, https://github.com/theopenco/llmgateway/issues/2861
const toUsage = (usage: unknown) => {
  if (!isObject(usage)) return usage === null ? usage : undefined
  const sent = counts.map((name) => toNumber(usage[name]))
  const [prompt = 0, completion = 0, total = 0] = sent.map((count) => (isCount(count) ? count : Number.NaN))
  const derived = [total - completion, total - prompt, prompt + completion].map((count, i) => (isCount(sent[i]) ? sent[i] : count))
  return derived.every(isCount) ? { ...usage, ...Object.fromEntries(counts.map((name, i) => [name, derived[i]])) } : undefined
}

// mlx-lm omits `token`, SGLang sends null for an infinite `logprob`, llama.cpp sends `prob` and `top_probs`.
const toToken = (value: unknown, isTop: boolean): unknown => {
  if (!isObject(value)) return value
  const { id, logprob, prob, token } = value
  const top = value["top_logprobs"] ?? value["top_probs"]
  return {
    ...value,
    token: typeof token === "string" ? token : isCount(id) ? `token_id:${id}` : "",
    logprob: Number.isFinite(logprob) ? logprob : typeof prob === "number" && prob > 0 ? Math.log(prob) : -9999,
    ...(Array.isArray(top) && !isTop ? { top_logprobs: top.map((entry) => toToken(entry, true)) } : {})
  }
}

// https://github.com/togethercomputer/openapi/issues/27
const toLogprobs = (logprobs: unknown) => {
  if (!isObject(logprobs)) return logprobs === null ? logprobs : undefined
  const { content } = logprobs
  return Array.isArray(content) ? { ...logprobs, content: content.map((entry) => toToken(entry, false)) } : logprobs
}

// Joins the texts of a list of parts. The texts of a thinking part are a list in turn.
const joinParts = (parts: unknown, name: "text" | "thinking", depth = 0): string => {
  if (!Array.isArray(parts) || depth > 2) return isText(parts) ? parts : ""
  return parts.map((part) => (isObject(part) ? joinParts(part[name], "text", depth + 1) : name === "text" ? toText(part) : "")).join("")
}

// Essential fields, which are not removed. Paths without indices.
const essential = /^\.choices(\.(index|(delta|message)(\.(content|tool_calls(\.(index|(function|custom)(\.\w+)?))?))?))?$/

const maxPasses = 64

/** Repairs a value. `soFar` has the chunks before a chunk; a whole completion has no `soFar`. */
export class Repairer {
  readonly #anomalies: Anomalies
  readonly #soFar: ChatCompletionAccumulator | undefined

  constructor(anomalies: Anomalies, soFar?: ChatCompletionAccumulator) {
    this.#anomalies = anomalies
    this.#soFar = soFar
  }

  /** Repairs a value in place. Returns its problems when an essential field is unusable. */
  repair(value: unknown, validator: Validator): Fields | undefined {
    if (isObject(value)) this.#envelope(value)
    for (let pass = 0; !validator.accepts(value); pass++) {
      const problems = new AllProblems()
      validator.explain(value, "", problems)
      let removed: string | undefined
      for (const [path, [problem = ""]] of problems) {
        if (removed !== undefined && path.startsWith(removed)) continue
        // First the innermost field that may be absent, then the outermost one.
        removed = pass < maxPasses ? this.#remove(value, path, problem.replace("Expected ", ""), pass > 2) : undefined
        if (removed === undefined) return problemsOf(validator, value)
      }
    }
    return undefined
  }

  #remove(value: unknown, path: string, expected: string, isOutermost: boolean): string | undefined {
    let owner = value
    let names = ""
    let found: readonly [owner: Json, key: string, place: string] | undefined
    for (const { 0: step, 1: key = "", index } of path.matchAll(/([^.[\]]+)\]?/g)) {
      if (typeof owner !== "object" || owner === null || !Object.hasOwn(owner, key) || (isOutermost && found !== undefined)) break
      if (isObject(owner)) {
        names += `.${key}`
        if (!essential.test(names)) found = [owner, key, path.slice(0, index + step.length)]
      }
      owner = (owner as Json)[key]
    }
    if (found === undefined) return undefined
    this.#anomalies.add("removed", found[2], expected, found[0][found[1]])
    delete found[0][found[1]]
    return found[2]
  }

  /** Sets a field, and notes the repair when that changes the field. An `undefined` value removes the field. */
  #set(owner: Json, path: string, field: string, repair: Repair, value: unknown) {
    const before = owner[field]
    if (value === before || (typeof value === "object" && jsonText(value) === jsonText(before))) return
    this.#anomalies.add(repair, path + field, Array.isArray(value) ? "array" : typeof value, before)
    if (value === undefined) delete owner[field]
    else owner[field] = value
  }

  #envelope(value: Json) {
    const { choices, created, id, model, object, usage } = value
    const kind = this.#soFar === undefined ? "chat.completion" : "chat.completion.chunk"
    const sent = toNumber(created)
    const time = typeof sent === "number" ? Math.floor(sent) : 0
    this.#set(value, "", "id", "envelope", toText(id))
    this.#set(value, "", "object", "envelope", isText(object) ? object : kind)
    this.#set(value, "", "created", "envelope", Number.isSafeInteger(time) ? time : 0)
    this.#set(value, "", "model", "envelope", toText(model))
    this.#set(value, "", "usage", "usage", toUsage(usage))
    this.#set(value, "", "prompt_logprobs", "logprobs", toPromptLogprobs(value["prompt_logprobs"]))
    if (!Array.isArray(choices)) return
    for (const [at, choice] of choices.entries()) if (isObject(choice)) this.#choice(choice, `choices[${at}].`, at, toText(id))
  }

  #choice(choice: Json, path: string, at: number, id: string) {
    const { delta, finish_reason, index, logprobs } = choice
    this.#set(choice, path, "index", "choice-index", isText(index) ? Number(index) : (index ?? at))
    this.#set(choice, path, "finish_reason", "finish-reason", isBlank(finish_reason) ? null : finish_reason)
    this.#set(choice, path, "logprobs", "logprobs", toLogprobs(logprobs))
    const { message } = choice
    const soFar = this.#soFar
    const field = soFar ? "delta" : "message"
    if (soFar && isObject(message)) {
      this.#anomalies.add("message-frame", path + "message", "delta", message)
      this.#addRest(choice, message, (choice["delta"] = isObject(delta) ? delta : {}), soFar)
      delete choice["message"]
      delete choice["text"]
    }
    const { text } = choice
    if (soFar && isEmpty(choice["delta"]) && !isText(text)) this.#set(choice, path, "delta", "delta", {})
    const said = choice[field]
    if (!isObject(said)) return
    const place = path + field + "."
    if (isText(text) && isEmpty(said["content"])) this.#set(said, place, "content", "text", text)
    this.#message(said, place, soFar ? undefined : (call) => callId(id, at, call))
  }

  // MiniMax ends a stream with a whole completion: https://github.com/mozilla-ai/any-llm/issues/657. Adds the part of the message that did not
  // arrive before to the delta. Before the end, a message that continues with another text is a delta.
  #addRest(choice: Json, { tool_calls, ...said }: Json, delta: Json, soFar: ChatCompletionAccumulator) {
    this.#message(said, "message.")
    this.#message(delta, "delta.")
    const before = soFar.begun(choice["index"] as number)
    const isEnd = isText(choice["finish_reason"]) || before?.finishReason
    for (const [name, value] of Object.entries(said)) {
      const added = toText(delta[name])
      const old = before?.said(name)
      const sent = toText(old) + added
      if (isText(value) && value.startsWith(sent)) delta[name] = added + value.slice(sent.length)
      else if (isEmpty(delta[name]) && (!isEnd || isEmpty(old))) delta[name] = value
    }
    if (!isEmpty(tool_calls))
      delta["tool_calls"] ??= isEnd && before?.toolCalls && Array.isArray(tool_calls) ? before.toolCalls.unseen(tool_calls) : tool_calls
  }

  // `makeId` generates the ids of a whole message. In a stream the end of a choice generates them.
  #message(message: Json, path: string, makeId?: (call: number) => string) {
    const { content, reasoning, reasoning_content, role, tool_calls } = message
    // https://github.com/anomalyco/opencode/issues/28427
    this.#set(message, path, "role", "role", isText(role) ? role : makeId === undefined ? orNothing(role) : "assistant")
    // https://github.com/BerriAI/litellm/issues/16272
    const parts = isObject(content) && "text" in content ? [content] : content
    if (Array.isArray(parts)) {
      this.#set(message, path, "content", "text-parts", joinParts(parts, "text") || null)
      const thinking = joinParts(parts, "thinking")
      if (thinking !== "") message["reasoning"] = toText(reasoning) + thinking
    } else
      for (const name of ["reasoning", "reasoning_content"]) {
        if (Array.isArray(message[name])) this.#set(message, path, name, "text-parts", joinParts(message[name], "text"))
      }
    // vLLM 0.12 sends both.
    if (isText(reasoning) && reasoning === reasoning_content) {
      this.#set(message, path, "reasoning_content", "reasoning-twice", undefined)
    }
    this.#arguments(message["function_call"], `${path}function_call.`, "arguments", makeId !== undefined)
    // Text Generation Inference sends one call instead of a list.
    const calls: unknown = isObject(tool_calls)
      ? [tool_calls]
      : Array.isArray(tool_calls)
        ? tool_calls.filter((call) => call !== null)
        : orNothing(tool_calls)
    this.#set(message, path, "tool_calls", "tool-calls", calls)
    if (!Array.isArray(calls)) return
    for (const [at, call] of calls.entries()) if (isObject(call)) this.#call(call, `${path}tool_calls[${at}].`, makeId?.(at))
  }

  #call(call: Json, path: string, madeId: string | undefined) {
    const { custom, id, type } = call
    const index = toNumber(call["index"])
    const isWhole = madeId !== undefined
    // https://github.com/openai/openai-python/issues/2806
    if (!isWhole) this.#set(call, path, "index", "tool-call-index", isCount(index) ? index : unplaced)
    // vLLM 0.8.5 sends no id.
    this.#set(call, path, "id", "tool-call-id", toText(id) || (madeId ?? orNothing(id)))
    if (isWhole) this.#set(call, path, "type", "tool-call-type", isText(type) ? type : isObject(custom) ? "custom" : "function")
    this.#arguments(call["function"], `${path}function.`, "arguments", isWhole)
    this.#arguments(custom, `${path}custom.`, "input", isWhole)
  }

  // The name and the arguments: https://github.com/ggml-org/llama.cpp/issues/20198
  #arguments(call: unknown, path: string, field: string, isWhole: boolean) {
    if (!isObject(call)) return
    if (isWhole && !isText(call["name"])) {
      this.#anomalies.add("tool-call-name", `${path}name`, "string", call["name"])
      call["name"] = toText(call["name"])
    }
    const value = call[field]
    const text =
      typeof value === "string" ? value : value === null || value === undefined ? (isWhole ? "{}" : value) : (jsonText(value) ?? value)
    this.#set(call, path, field, "arguments", text)
  }
}
