/**
 * Bugs of the reference client that change nothing but data: what it sends, what it received, and what it says of an error.
 */
import { isObject, type Json } from "./referenceData.ts"
import type { SubjectError } from "../src/client/Subject.ts"

const without = (value: Json, ...names: ReadonlyArray<string>): Json =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)))

const inMessages = (request: Json, change: (message: Json) => Json): Json => {
  const { messages } = request
  return Array.isArray(messages)
    ? { ...request, messages: messages.map((message: unknown) => (isObject(message) ? change(message) : message)) }
    : request
}

const textOf = (content: unknown) =>
  Array.isArray(content)
    ? content.map((part) => (isObject(part) && typeof part["text"] === "string" ? part["text"] : "")).join("")
    : content

const requests: Readonly<Record<string, (request: Json) => Json>> = {
  "drops-functions": (request) => without(request, "functions", "function_call"),
  "drops-tools": (request) => without(request, "tools", "tool_choice"),
  "drops-stream-options": (request) => without(request, "stream_options"),
  "drops-response-formats": (request) => without(request, "response_format"),
  "drops-names": (request) => inMessages(request, (message) => without(message, "name")),
  "drops-null-content": (request) =>
    inMessages(request, (message) => (message["content"] === null ? without(message, "content") : message)),
  "drops-the-stream-flag": (request) => without(request, "stream"),
  "drops-every-null": (request) =>
    JSON.parse(
      JSON.stringify(request, (_, item: unknown) =>
        isObject(item) ? Object.fromEntries(Object.entries(item).filter(([, one]) => one !== null)) : item
      )
    ) as Json,
  "keeps-nulls-of-answers": (request) =>
    inMessages(request, (message) => (message["role"] === "assistant" ? { ...message, refusal: null } : message)),
  "first-stop-only": (request) => (Array.isArray(request["stop"]) ? { ...request, stop: [request["stop"][0]] } : request),
  "stop-is-a-list": (request) => (typeof request["stop"] === "string" ? { ...request, stop: [request["stop"]] } : request),
  "joins-parts": (request) => inMessages(request, (message) => ({ ...message, content: textOf(message["content"]) })),
  "rounds-numbers": (request) =>
    JSON.parse(JSON.stringify(request, (_, item: unknown) => (typeof item === "number" ? Math.fround(item) : item))) as Json,
  "normalises-requests": (request) => JSON.parse(JSON.stringify(request).normalize("NFKC")) as Json,
  "cuts-long-texts": (request) =>
    inMessages(request, (message) =>
      typeof message["content"] === "string" ? { ...message, content: message["content"].slice(0, 65_536) } : message
    ),
  "trims-requests": (request) =>
    inMessages(request, (message) =>
      typeof message["content"] === "string" ? { ...message, content: message["content"].trim() } : message
    ),
  "drops-empty-texts": (request) => Object.fromEntries(Object.entries(request).filter(([, item]) => item !== "")),
  "drops-objects": (request) => Object.fromEntries(Object.entries(request).filter(([, item]) => !isObject(item))),
  "another-model": (request) => ({ ...request, model: "other" })
}

/** A request with the bug. */
export const spoilRequest = (request: Json, bug: string | undefined): Json => requests[bug ?? ""]?.(request) ?? request

const texts: Readonly<Record<string, (text: string) => string>> = {
  "normalises-texts": (text) => text.normalize("NFKC"),
  "trims-texts": (text) => text.trim(),
  "replaces-noncharacters": (text) => text.replaceAll(/[\ufffe\uffff\ufdd0-\ufdef]|\p{Cn}/gu, "\ufffd"),
  "drops-control-characters": (text) => text.replaceAll(/[\0\b\f]/g, ""),
  "drops-replacements": (text) => text.replaceAll("\ufffd", ""),
  "strips-think-tags": (text) => text.replaceAll(/<\/?think>/g, "")
}

const refusals: Readonly<Record<string, (key: string, value: unknown) => boolean>> = {
  "refuses-nulls": (key, value) => value === null && key !== "finish_reason" && key !== "content",
  "knows-five-finish-reasons": (key, value) =>
    key === "finish_reason" &&
    typeof value === "string" &&
    !/^(stop|length|tool_calls|content_filter|function_call|error|abort)?$/.test(value)
}

/** A response, or a chunk, with the bug; `undefined` if the bug refuses it. */
export const spoilResponse = (value: unknown, bug: string | undefined): unknown => {
  const stripped = bug?.startsWith("strips-") === true && !(bug in texts) ? bug.slice("strips-".length) : undefined
  const text = texts[bug ?? ""]
  const refused = refusals[bug ?? ""]
  if (stripped === undefined && text === undefined && refused === undefined) return value
  let isRefused = false
  const spoiled = JSON.parse(
    JSON.stringify(value, (key, item: unknown) => {
      if (refused?.(key, item) === true) isRefused = true
      if (key === stripped) return undefined
      return key === "content" && typeof item === "string" && text !== undefined ? text(item) : item
    })
  ) as unknown
  return isRefused ? undefined : spoiled
}

const firstOf = (value: unknown) => (Array.isArray(value) ? value.slice(0, 1) : value)

const errors: Readonly<Record<string, (error: SubjectError) => SubjectError>> = {
  "one-reason-for-all": (error) => ({ ...error, reason: "Unknown" }),
  "nothing-is-worth-another-try": (error) => ({ ...error, retryable: false }),
  "says-nothing": (error) => ({ ...error, message: "" }),
  "says-too-much": (error) => ({ ...error, message: error.message.padEnd(5000, ".") }),
  "partial-of-the-first-choice": ({ partial, ...error }) => ({
    ...error,
    partial: isObject(partial) ? { ...partial, choices: firstOf(partial["choices"]) } : partial
  }),
  "partial-without-calls": ({ partial, ...error }) => ({
    ...error,
    partial: JSON.parse(JSON.stringify(partial ?? null, (key, item: unknown) => (key === "tool_calls" ? firstOf(item) : item))) as unknown
  }),
  "partial-never-finished": ({ partial, ...error }) => ({
    ...error,
    partial: JSON.parse(JSON.stringify(partial ?? null, (key, item: unknown) => (key === "finish_reason" ? null : item))) as unknown
  }),
  "keeps-a-partial-of-nothing": (error) => ({ ...error, partial: error.partial ?? { choices: [] } }),
  "status-unknown": (error) => ({ ...error, status: undefined }),
  "stage-unknown": (error) => ({ ...error, stage: undefined })
}

/** An error with the bug. */
export const spoilError = (error: SubjectError, bug: string | undefined): SubjectError => errors[bug ?? ""]?.(error) ?? error
