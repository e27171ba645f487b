// Repairs of responses that the validator refuses, or that it accepts although they deviate. Every field costs only itself: a known deviation is
// repaired by a rule, any other field that is not essential is taken out, and each is noted as an anomaly. Essential are the text, the calls
// and which choice they belong to. Values are changed in place: they are JSON that nobody else has.
import * as Predicate from "effect/Predicate"
import type { Anomalies, Repair } from "../Anomaly.ts"
import type { ChatCompletionAccumulator } from "../ChatCompletionAccumulator.ts"
import type { Fields } from "../errors/FieldErrors.ts"
import { jsonText } from "../json/jsonText.ts"
import { callId, unplaced } from "../stream/toolCalls.ts"

type Json = Record<string, unknown>

interface Validator {
  accepts(value: unknown): boolean
  explain(value: unknown, path: string, problems: Map<string, Array<string>>): void
}

/** Returns what a field becomes: the value itself when it is right, `undefined` when it is taken out. */
type Fix = (value: unknown, owner: Json) => unknown
type Rules = Readonly<Record<string, readonly [repair: Repair, expected: string, fix: Fix]>>

const isObject: (value: unknown) => value is Json = Predicate.isObject
const isText = (value: unknown): value is string => typeof value === "string" && value !== ""
// PHP writes an empty object as an empty list.
const isGiven = (value: unknown) => value !== null && value !== undefined
const isEmpty = (value: unknown) => !value || (Array.isArray(value) && value.length === 0)

/** Whether a finish reason is a spelling of null. https://github.com/ollama/ollama/issues/4357, conformance: repair/finish-reason-empty. */
export const isBlank = (reason: unknown): boolean => reason === "" || reason === "null" || reason === "None"

const toCount = (value: unknown): number | undefined => {
  const count = isText(value) ? Number(value) : value
  return typeof count === "number" && Number.isSafeInteger(count) && count >= 0 ? count : undefined
}

const difference = (a: number | undefined, b: number | undefined) => (a === undefined || b === undefined || a < b ? undefined : a - b)

// https://github.com/openai/openai-agents-python/issues/1179, https://github.com/theopenco/llmgateway/issues/2861.
const usage: Fix = (value) => {
  if (value === null || value === undefined) return value
  if (!isObject(value)) return undefined
  const sent = [value["prompt_tokens"], value["completion_tokens"], value["total_tokens"]]
  const [prompt, completion, total] = sent.map(toCount)
  const prompts = prompt ?? difference(total, completion)
  const completions = completion ?? difference(total, prompt)
  if (prompts === undefined || completions === undefined) return undefined
  const counts = [prompts, completions, total ?? prompts + completions]
  if (counts.every((count, i) => count === sent[i])) return value
  return { ...value, prompt_tokens: counts[0], completion_tokens: counts[1], total_tokens: counts[2] }
}

const map = (list: ReadonlyArray<unknown>, fix: (value: unknown) => unknown): ReadonlyArray<unknown> => {
  const fixed = list.map(fix)
  return fixed.some((value, i) => value !== list[i]) ? fixed : list
}

// mlx-lm omits `token`, SGLang sends null for an infinite `logprob`, llama.cpp sends `prob` and `top_probs`.
const token = (value: unknown, isTop: boolean): unknown => {
  if (!isObject(value)) return value
  const { id, logprob, prob, token: text, top_logprobs, top_probs, ...rest } = value
  const sent = top_logprobs ?? top_probs
  const top = Array.isArray(sent) && !isTop ? map(sent, (entry) => token(entry, true)) : sent
  if (typeof text === "string" && Number.isFinite(logprob) && top === top_logprobs) return value
  return {
    ...rest,
    ...(id === undefined ? {} : { id }),
    token: typeof text === "string" ? text : id === undefined ? "" : `token_id:${String(id)}`,
    logprob: Number.isFinite(logprob) ? logprob : typeof prob === "number" && prob > 0 ? Math.log(prob) : -9999,
    ...(top === undefined ? {} : { top_logprobs: top })
  }
}

// Together sends a number: https://github.com/togethercomputer/openapi/issues/27.
const logprobs: Fix = (value) => {
  if (value === null || value === undefined) return value
  if (!isObject(value)) return undefined
  const { content } = value
  const fixed = Array.isArray(content) ? map(content, (entry) => token(entry, false)) : content
  return fixed === content ? value : { ...value, content: fixed }
}

// A part is a text or an object with one, in `text` or a list in `thinking`.
const textOf = (part: unknown, depth = 0): string => {
  if (typeof part === "string") return part
  if (depth > 4) return ""
  if (Array.isArray(part)) return part.map((item) => textOf(item, depth + 1)).join("")
  return isObject(part) ? textOf(part["text"] ?? part["thinking"] ?? part["reasoning"] ?? part["content"], depth + 1) : ""
}

const isThinking = (part: unknown) => isObject(part) && (isText(part["type"]) ? /think|reason/.test(part["type"]) : "thinking" in part)

// Mistral's reasoning models: https://github.com/BerriAI/litellm/issues/16272.
const content: Fix = (value, owner) => {
  const parts: ReadonlyArray<unknown> = isObject(value) && (isText(value["type"]) || "text" in value) ? [value] : Array.isArray(value) ? value : []
  if (parts.length === 0) return isEmpty(value) && value !== "" && value !== undefined ? null : value
  const thinking = parts.filter(isThinking)
  const texts = parts.filter((part) => !isThinking(part))
  if (thinking.length > 0) owner["reasoning"] = textOf(owner["reasoning"]) + textOf(thinking)
  return texts.length === 0 ? null : textOf(texts)
}

const reasoning: Fix = (value) => (isObject(value) || Array.isArray(value) ? textOf(value) || undefined : value)

const toText: Fix = (value) => (typeof value === "number" ? String(value) : typeof value === "string" ? value : "")

const toTime: Fix = (value) => {
  const time = Math.floor(Number(value))
  return Number.isSafeInteger(time) ? time : 0
}

// False, zero and the empty text mean nothing.
const orNothing = (value: unknown) => value || (value === null ? null : undefined)

const toCalls: Fix = (value) => {
  if (isObject(value)) return [value]
  if (!Array.isArray(value)) return orNothing(value)
  return value.includes(null) ? value.filter((call) => call !== null) : value
}

const envelopeRules = (kind: string): Rules => ({
  id: ["envelope", "string", toText],
  object: ["envelope", kind, (value) => (typeof value === "string" ? value : kind)],
  created: ["envelope", "integer", toTime],
  model: ["envelope", "string", toText],
  usage: ["usage", "token counts", usage]
})

const choiceRules = (at: number): Rules => ({
  index: ["choice-index", "integer of at least 0", (value) => (typeof value === "string" ? (toCount(value) ?? value) : (value ?? at))],
  finish_reason: ["finish-reason", "string | null", (value) => (isBlank(value) ? null : value)],
  logprobs: ["logprobs", "log probabilities", logprobs]
})

const messageRules = (isWhole: boolean): Rules => ({
  // https://github.com/anomalyco/opencode/issues/28427.
  role: ["role", "string", (value) => (isText(value) ? value : isWhole ? "assistant" : orNothing(value))],
  content: ["text-parts", "string | null", content],
  reasoning: ["text-parts", "string | null", reasoning],
  // vLLM 0.12 sends both names.
  reasoning_content: [
    "reasoning-twice",
    "reasoning or reasoning_content",
    (value, owner) => (isText(value) && value === owner["reasoning"] ? undefined : reasoning(value, owner))
  ],
  // Text Generation Inference sends one call instead of a list.
  tool_calls: ["tool-calls", "array", toCalls]
})

const callRules = (isWhole: boolean, made: string): Rules => ({
  // https://github.com/openai/openai-python/issues/2806.
  ...(isWhole
    ? {}
    : {
        index: [
          "tool-call-index",
          "integer of at least 0",
          (value) => (Number.isSafeInteger(value) && Number(value) >= 0 ? value : (toCount(value) ?? unplaced))
        ]
      }),
  // vLLM 0.8.5 sends none.
  id: ["tool-call-id", "string", (value) => (isText(value) ? value : typeof value === "number" ? String(value) : isWhole ? made : orNothing(value))],
  type: ["tool-call-type", "string", (value, call) => (isText(value) || !isWhole ? value : isObject(call["custom"]) ? "custom" : "function")]
})

// https://github.com/ggml-org/llama.cpp/issues/20198.
const argumentRules = (name: "arguments" | "input", isWhole: boolean): Rules => ({
  [name]: [
    "arguments",
    "JSON text",
    (value) => {
      if (typeof value === "string") return value
      if (value === null || value === undefined) return isWhole ? "{}" : value
      return jsonText(value) ?? value
    }
  ]
})

// What may not be taken out, without the indices of its path.
const essential =
  /^(choices(\.(index|(delta|message)(\.(content|tool_calls(\.(index|(function|custom)(\.\w+)?))?))?))?)?$/

const maxPasses = 64

/** Repairs one value, and notes what it repairs. */
export class Repairer {
  readonly #anomalies: Anomalies

  constructor(anomalies: Anomalies) {
    this.#anomalies = anomalies
  }

  /** Repairs a chunk of a stream. Returns false when the value is none, and nothing in it counts. */
  chunk(value: Json, soFar: ChatCompletionAccumulator): boolean {
    if (value["choices"] === null || value["choices"] === undefined) {
      this.#anomalies.add("choices", "choices", "array", value)
      this.#apply(envelopeRules("chat.completion.chunk"), value, "")
      value["choices"] = []
      return isObject(value["usage"])
    }
    this.#apply(envelopeRules("chat.completion.chunk"), value, "")
    for (const [choice, path] of this.#choices(value)) {
      if (isEmpty(choice["delta"])) {
        if (isObject(choice["message"])) this.#frame(choice, choice["message"], path, soFar)
        else if (!isText(choice["text"])) this.#set(choice, "delta", path, "delta", {})
      }
      if (isObject(choice["delta"])) this.#message(choice["delta"], `${path}.delta`, false, () => "")
    }
    return true
  }

  /** Repairs a whole completion. */
  completion(value: Json): void {
    this.#apply(envelopeRules("chat.completion"), value, "")
    for (const [choice, path] of this.#choices(value)) {
      const { message } = choice
      if (!isObject(message)) continue
      this.#message(message, `${path}.message`, true, (call) => callId(String(value["id"]), Number(choice["index"]), call))
    }
  }

  /** Takes the fields out that the validator refuses. Returns the problems when one of them is essential. */
  prune(value: unknown, validator: Validator): Fields | undefined {
    for (let pass = 0; ; pass++) {
      if (validator.accepts(value)) return undefined
      const problems = new Map<string, Array<string>>()
      validator.explain(value, "", problems)
      let removed: string | undefined
      for (const [path, [problem = ""]] of problems) {
        if (removed !== undefined && path.startsWith(removed)) continue
        // At first the innermost field, then the outermost one that may go.
        removed = pass === maxPasses ? undefined : this.#remove(value, path, problem.replace("Expected ", ""), pass > 2)
        if (removed === undefined) return Object.fromEntries(problems)
      }
    }
  }

  #remove(value: unknown, path: string, expected: string, isOutermost: boolean): string | undefined {
    let owner: unknown = value
    let names = ""
    let place = ""
    let found: readonly [owner: Json, key: string, place: string] | undefined
    for (const key of path.split(/[.[\]]+/)) {
      if (key === "") continue
      if (Array.isArray(owner)) {
        place += `[${key}]`
        owner = owner[Number(key)]
      } else if (isObject(owner) && Object.hasOwn(owner, key)) {
        names += names === "" ? key : `.${key}`
        place += place === "" ? key : `.${key}`
        if (!essential.test(names)) found = [owner, key, place]
        owner = owner[key]
      } else break
      if (isOutermost && found !== undefined) break
    }
    if (found === undefined) return undefined
    const [parent, key, at] = found
    this.#anomalies.add("removed", at, expected, parent[key])
    delete parent[key]
    return at
  }

  #choices({ choices }: Json): ReadonlyArray<readonly [choice: Json, path: string]> {
    if (!Array.isArray(choices)) return []
    return choices.filter(isObject).map((choice, at) => {
      const path = `choices[${at}]`
      this.#apply(choiceRules(at), choice, path)
      return [choice, path]
    })
  }

  #message(message: Json, path: string, isWhole: boolean, made: (call: number) => string) {
    this.#apply(messageRules(isWhole), message, path)
    const { function_call, tool_calls } = message
    if (isObject(function_call)) this.#apply(argumentRules("arguments", isWhole), function_call, `${path}.function_call`)
    if (!Array.isArray(tool_calls)) return
    for (const [at, call] of tool_calls.entries()) {
      if (!isObject(call)) continue
      const place = `${path}.tool_calls[${at}]`
      this.#apply(callRules(isWhole, made(at)), call, place)
      if (isObject(call["function"])) this.#apply(argumentRules("arguments", isWhole), call["function"], `${place}.function`)
      if (isObject(call["custom"])) this.#apply(argumentRules("input", isWhole), call["custom"], `${place}.custom`)
    }
  }

  // The last frame of MiniMax is a whole completion: https://github.com/mozilla-ai/any-llm/issues/657. What arrived before is not repeated. A
  // message that goes on with other text, before the end, is a delta by another name.
  #frame(choice: Json, message: Json, path: string, soFar: ChatCompletionAccumulator) {
    const before = soFar.choice(Number(choice["index"]))
    const isEnd = isText(choice["finish_reason"]) || isText(before?.finish_reason)
    const delta: Json = {}
    this.#apply(messageRules(false), message, `${path}.message`)
    for (const [name, value] of Object.entries(message)) {
      const old: unknown = before === undefined ? undefined : Reflect.get(before.message, name)
      if (!isGiven(old)) delta[name] = value
      else if (typeof old === "string" && typeof value === "string") {
        if (value.startsWith(old)) delta[name] = value.slice(old.length)
        else if (!isEnd) delta[name] = value
      } else if (name === "tool_calls" && !isEnd) delta[name] = value
    }
    this.#set(choice, "delta", path, "message-frame", delta)
    delete choice["message"]
  }

  #set(owner: Json, field: string, path: string, repair: Repair, value: unknown) {
    this.#anomalies.add(repair, `${path}.${field}`, "object", owner[field])
    owner[field] = value
  }

  #apply(rules: Rules, owner: Json, path: string) {
    for (const [field, [repair, expected, fix]] of Object.entries(rules)) {
      const before = owner[field]
      const after = fix(before, owner)
      if (after === before) continue
      this.#anomalies.add(repair, path === "" ? field : `${path}.${field}`, expected, before)
      if (after === undefined) delete owner[field]
      else owner[field] = after
    }
  }
}
