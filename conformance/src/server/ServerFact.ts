/**
 * What can be said of an answer whatever a model says: its order and its shape, never its words and never its pace.
 *
 * @since 0.1.0
 */
import { type Answer, choices, chunks, said, text, usage } from "./ServerAnswer.ts"

type Check = (answer: Answer) => ReadonlyArray<string>
type Choice = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null
// Milliseconds within which an answer may be whole before it is asked to come in pieces.
const atOnceMs = 100
const show = (value: unknown) => JSON.stringify(value) ?? "nothing"

/** Choices of all chunks in order, by their index. */
const streamed = (answer: Answer): ReadonlyMap<unknown, ReadonlyArray<Choice>> => {
  const groups = new Map<unknown, Array<Choice>>()
  for (const choice of chunks(answer).flatMap(choices)) {
    const group = groups.get(choice["index"])
    if (group === undefined) groups.set(choice["index"], [choice])
    else group.push(choice)
  }
  return groups
}

const perChoice = (answer: Answer, check: (of: ReadonlyArray<Choice>, index: unknown) => ReadonlyArray<string>) =>
  [...streamed(answer)].flatMap(([index, of]) => check(of, index).map((problem) => `choice ${show(index)}: ${problem}`))

const speaks = (choice: Choice) =>
  Object.entries(said(choice)).some(
    ([name, value]) => name !== "role" && value !== null && value !== "" && !(Array.isArray(value) && value.length === 0)
  )

const total = (of: Readonly<Record<string, unknown>> | undefined) => {
  if (of === undefined) return ["there is no usage"]
  const { completion_tokens: completion, prompt_tokens: prompt, total_tokens: sum } = of
  const counts = [prompt, completion, sum]
  if (!counts.every((count) => Number.isSafeInteger(count) && Number(count) >= 0)) return [`usage is no counts: ${show(of)}`]
  return Number(prompt) + Number(completion) === sum ? [] : [`${show(prompt)} and ${show(completion)} tokens are not ${show(sum)}`]
}

interface ToolCall {
  readonly ids: ReadonlyArray<unknown>
  readonly names: ReadonlyArray<unknown>
  readonly arguments: string
}

const toolCalls = (of: ReadonlyArray<Choice>) => {
  const calls = new Map<unknown, ToolCall>()
  for (const choice of of) {
    const list = said(choice)["tool_calls"]
    for (const [at, piece] of (Array.isArray(list) ? list.filter(isObject) : []).entries()) {
      const index = piece["index"] ?? (choice["message"] === undefined ? undefined : at)
      const before = calls.get(index) ?? { ids: [], names: [], arguments: "" }
      const called = isObject(piece["function"]) ? piece["function"] : {}
      calls.set(index, {
        ids: [...before.ids, piece["id"]].filter((id) => typeof id === "string" && id !== ""),
        names: [...before.names, called["name"]].filter((name) => typeof name === "string" && name !== ""),
        arguments: before.arguments + (typeof called["arguments"] === "string" ? called["arguments"] : "")
      })
    }
  }
  return calls
}

const calls: Check = (answer) => {
  const of = answer.events.length > 0 ? [...streamed(answer).values()] : [choices(answer.json)]
  const all = of.flatMap((list) => [...toolCalls(list)])
  if (all.length === 0) return ["no tool is called"]
  return all.flatMap(([index, call]) => {
    const found: Array<string> = []
    if (typeof index !== "number") found.push("a tool call has no index")
    if (call.ids.length !== 1) found.push(`a tool call has ${call.ids.length} ids`)
    if (call.names.length !== 1) found.push(`a tool call has ${call.names.length} names`)
    try {
      JSON.parse(call.arguments)
    } catch {
      found.push(`arguments are no JSON: ${call.arguments.slice(0, 200)}`)
    }
    return found
  })
}

const checks = {
  "ends-with-done": {
    rule: "The last event, and no other, is exactly `data: [DONE]` and a blank line",
    check: (answer) => {
      const marks = answer.events.filter(({ data }) => data.trim() === "[DONE]").length
      if (marks !== 1) return [`${marks} events are [DONE]`]
      return answer.text.endsWith("data: [DONE]\n\n") ? [] : [`the stream ends with ${show(answer.text.slice(-60))}`]
    }
  },
  "one-line-json": {
    rule: "Every event but [DONE] is one line `data: ` with a JSON object",
    check: (answer) => {
      if (answer.events.length === 0) return ["there are no events"]
      return answer.events.flatMap(({ data, json, lines }, i) => {
        const told = lines.filter((line) => !line.startsWith(":"))
        // Comments may come at any time, as keep-alive does.
        if (told.length === 0 || data === "[DONE]") return []
        if (told.length !== 1 || told[0]?.startsWith("data: ") !== true) return [`event ${i} is ${show(told)}`]
        return isObject(json) && !Array.isArray(json) ? [] : [`event ${i} is no JSON object: ${data.slice(0, 200)}`]
      })
    }
  },
  "chunk-shape": {
    rule: "Every event is a chunk: id, object, created, model, and choices with an index and a delta, or else usage",
    check: (answer) => {
      const events = answer.events.filter(({ data }) => data !== "" && data !== "[DONE]")
      if (events.length === 0) return ["there are no chunks"]
      return events.flatMap(({ json }, i) => {
        if (!isObject(json)) return [`event ${i} is no object`]
        const { choices: list, created, id, model, object } = json
        const found: Array<string> = []
        if (typeof id !== "string" || id === "") found.push(`id is ${show(id)}`)
        if (object !== "chat.completion.chunk") found.push(`object is ${show(object)}`)
        if (!Number.isSafeInteger(created)) found.push(`created is ${show(created)}`)
        if (typeof model !== "string" || model === "") found.push(`model is ${show(model)}`)
        if (!Array.isArray(list)) found.push(`choices is ${show(list)}`)
        else if (list.length === 0 && !isObject(json["usage"])) found.push("there are neither choices nor usage")
        for (const choice of choices(json)) {
          if (!Number.isSafeInteger(choice["index"])) found.push(`index is ${show(choice["index"])}`)
          if (!isObject(choice["delta"])) found.push(`delta is ${show(choice["delta"])}`)
        }
        return found.map((problem) => `event ${i}: ${problem}`)
      })
    }
  },
  "same-head": {
    rule: "All chunks have one id, one created and one model",
    check: (answer) =>
      ["id", "created", "model"].flatMap((name) => {
        const values = new Set(chunks(answer).map((chunk) => chunk[name]))
        return values.size === 1 ? [] : [`${values.size} different values of ${name}`]
      })
  },
  "role-first": {
    rule: "Each choice begins with the role assistant",
    check: (answer) =>
      perChoice(answer, ([first]) => {
        const role = first === undefined ? undefined : said(first)["role"]
        return role === "assistant" ? [] : [`the first delta's role is ${show(role)}`]
      })
  },
  "finish-once": {
    rule: "Each choice has its finish reason once, and says nothing after it",
    check: (answer) => {
      if (streamed(answer).size === 0) return ["there are no choices"]
      return perChoice(answer, (of) => {
        const ends = of.flatMap((choice, i) => (typeof choice["finish_reason"] === "string" ? [i] : []))
        if (ends.length !== 1) return [`${ends.length} finish reasons`]
        return of.slice((ends[0] ?? 0) + 1).some(speaks) ? ["goes on after its finish reason"] : []
      })
    }
  },
  "no-usage": {
    rule: "No chunk has usage that nobody asked for",
    check: (answer) => (chunks(answer).some((chunk) => isObject(chunk["usage"])) ? ["there is usage"] : [])
  },
  "usage-last": {
    rule: "The last chunk alone has usage, and no choices",
    check: (answer) => {
      const with_ = chunks(answer).flatMap((chunk, i) => (isObject(chunk["usage"]) ? [i] : []))
      const last = chunks(answer).at(-1)
      if (with_.length !== 1 || !isObject(last?.["usage"])) return [`usage is in the chunks ${show(with_)} of ${chunks(answer).length}`]
      return choices(last).length === 0 ? [] : ["the chunk with usage has choices"]
    }
  },
  "usage-each": {
    rule: "Every chunk has usage, whose counts never go down",
    check: (answer) => {
      const counts = chunks(answer).map((chunk) => (isObject(chunk["usage"]) ? Number(chunk["usage"]["completion_tokens"]) : Number.NaN))
      if (counts.some(Number.isNaN)) return ["some chunk has no usage"]
      return counts.every((count, i) => count >= (counts[i - 1] ?? 0)) ? [] : [`completion tokens: ${show(counts)}`]
    }
  },
  "usage-sums": {
    rule: "Prompt and completion tokens are the total",
    check: (answer) => total(usage(answer))
  },
  incremental: {
    rule: "What comes first is sent before the last is there",
    check: (answer) => {
      const [first] = answer.events.filter(({ json }) => choices(json).some(speaks))
      const last = answer.events.at(-1)
      if (first === undefined || last === undefined) return ["nothing was said"]
      // What is whole in no time at all may well come in one piece.
      return first.read < last.read || answer.endAt < atOnceMs ? [] : [`${answer.events.length} events came in one piece`]
    }
  },
  "tool-calls": { rule: "Each tool call has one id, one name, an index, and arguments that are JSON when they are whole", check: calls },
  "no-replacement": {
    rule: "No character was lost on the way",
    check: (answer) => (text(answer).some((content) => content.includes("\uFFFD")) ? ["U+FFFD is in the content"] : [])
  },
  "true-length": {
    rule: "Content-Length, where there is one, is the body's length",
    check: ({ bytes, headers }) => {
      const length = headers["content-length"]
      const plain = headers["content-encoding"] === undefined
      return length === undefined || !plain || Number(length) === bytes.length ? [] : [`content-length: ${length} of ${bytes.length}`]
    }
  },
  "no-length": {
    rule: "A stream tells no length beforehand",
    check: ({ headers }) => (headers["content-length"] === undefined ? [] : [`content-length: ${headers["content-length"]}`])
  },
  "error-then-done": {
    rule: "A stream that fails says so in an event that is an `error` with a message, and then ends with [DONE]",
    check: (answer) => {
      const error: unknown = answer.events
        .map(({ json }) => (isObject(json) ? json["error"] : undefined))
        .find((item) => item !== undefined)
      const found: Array<string> = []
      if (!isObject(error) || typeof error["message"] !== "string") found.push(`the error is ${show(error)}`)
      if (!answer.text.endsWith("data: [DONE]\n\n")) found.push(`the stream ends with ${show(answer.text.slice(-60))}`)
      return found
    }
  },
  unfinished: {
    rule: "No choice is said to have finished",
    check: (answer) =>
      perChoice(answer, (of) => (of.some((choice) => typeof choice["finish_reason"] === "string") ? ["has a finish reason"] : []))
  }
} as const satisfies Readonly<Record<string, { readonly rule: string; readonly check: Check }>>

/**
 * The name of a fact.
 *
 * @category models
 * @since 0.1.0
 */
export type Fact = keyof typeof checks

/**
 * All names.
 *
 * @category models
 * @since 0.1.0
 */
export const factNames = Object.keys(checks) as ReadonlyArray<Fact> as readonly [Fact, ...ReadonlyArray<Fact>]

/**
 * What a fact says, in one sentence.
 *
 * @category getters
 * @since 0.1.0
 */
export const rule = (fact: Fact): string => checks[fact].rule

/**
 * How an answer departs from a fact, one sentence each; none where it holds.
 *
 * @category checking
 * @since 0.1.0
 */
export const check = (fact: Fact, answer: Answer): ReadonlyArray<string> =>
  checks[fact].check(answer).map((problem) => `${fact}: ${problem}`)
