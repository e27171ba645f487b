// A prompt of effect/ai as messages of the endpoint. What the endpoint has no form for is `InvalidUserInputError`.
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import * as Base64 from "effect/encoding/Base64"
import type {
  AssistantMessage,
  ChatMessage,
  ContentPart,
  FunctionToolCall,
  SystemMessage,
  ToolMessage,
  UserMessage
} from "@paradigm-effect/core/ChatCompletion"

/** The field of an assistant's message that has the reasoning. */
export type ReasoningField = "reasoning" | "reasoning_content"

const refuse = (description: string): never => {
  throw new AiError.InvalidUserInputError({ description })
}

/** Media: its address if it is remote, or else its bytes. */
interface Media {
  readonly type: string
  readonly remote: string | undefined
  readonly base64: string
}

// The first bytes in base64.
const signatures: ReadonlyArray<readonly [kind: string, start: string, type: string]> = [
  ["image", "iVBORw0KGgo", "image/png"],
  ["image", "/9j/", "image/jpeg"],
  ["image", "R0lGOD", "image/gif"],
  ["image", "UklGR", "image/webp"],
  ["audio", "UklGR", "audio/wav"],
  ["audio", "SUQz", "audio/mpeg"],
  ["audio", "//", "audio/mpeg"]
]

const exactType = (declared: string, base64: string): string => {
  const [kind = "", subtype = "*"] = declared.toLowerCase().replace(/;.*/, "").trim().split("/")
  if (subtype !== "*") return `${kind}/${subtype}`
  const [, , found] = signatures.find(([of, start]) => of === kind && base64.startsWith(start)) ?? []
  return found ?? refuse(`the media type "${declared}" of a file is not exact, and its bytes do not show it`)
}

const toUtf8Base64 = (text: string): string => Base64.encode(new TextEncoder().encode(text))

const readDataUrl = (head: string, payload: string): string => {
  try {
    const text = decodeURIComponent(payload)
    return /;\s*base64\s*$/i.test(head) ? text : toUtf8Base64(text)
  } catch {
    return refuse("a data URL has an invalid escape")
  }
}

const readMedia = ({ data, mediaType }: Prompt.FilePart): Media => {
  if (data instanceof Uint8Array) {
    const base64 = Base64.encode(data)
    return { type: exactType(mediaType, base64), remote: undefined, base64 }
  }
  const text = data instanceof URL ? data.href : data
  const [found, head = ""] = /^data:([^,]*),/i.exec(text) ?? []
  if (found === undefined && /^[a-z][a-z\d+.-]*:/i.test(text)) {
    if (!/^https?:/i.test(text)) refuse(`the URL of a file has the scheme "${text.slice(0, text.indexOf(":"))}"; use http, https or data`)
    return { type: mediaType.toLowerCase(), remote: text, base64: "" }
  }
  const base64 = (found === undefined ? text : readDataUrl(head, text.slice(found.length))).replaceAll(/\s/g, "")
  if (/[^A-Za-z\d+/=]/.test(base64)) refuse(`the data of a file (${mediaType}) is neither base64 nor a URL`)
  const declared = mediaType.includes("/") && !mediaType.endsWith("/*") ? mediaType : head.replace(/;.*/, "") || mediaType
  return { type: exactType(declared, base64), remote: undefined, base64 }
}

const textOf = ({ base64, remote, type }: Media): string => {
  if (remote !== undefined) return refuse(`a text file (${type}) is given by a URL; give its text`)
  const bytes = Result.getOrElse(Base64.decode(base64), () => refuse(`the data of a text file (${type}) is not base64`))
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return refuse(`a text file (${type}) is not UTF-8`)
  }
}

const audioFormats: Readonly<Record<string, "wav" | "mp3">> = {
  "audio/wav": "wav",
  "audio/wave": "wav",
  "audio/x-wav": "wav",
  "audio/vnd.wave": "wav",
  "audio/mpeg": "mp3",
  "audio/mp3": "mp3"
}

// Of `options: { paradigm: { detail: "low" } }`.
const detailOf = ({ options: { paradigm } }: Prompt.FilePart) => {
  const detail = Predicate.isObject(paradigm) ? (paradigm["detail"] ?? undefined) : undefined
  if (detail === undefined) return {}
  return typeof detail === "string" ? { detail } : refuse("options.paradigm.detail of a file is not a string")
}

const toFile = (part: Prompt.FilePart): ContentPart => {
  const media = readMedia(part)
  const { base64, remote, type } = media
  const url = remote ?? `data:${type};base64,${base64}`
  switch (type.replace(/\/.*/, "")) {
    case "image":
      return { type: "image_url", image_url: { url, ...detailOf(part) } }
    case "audio": {
      const format = audioFormats[type]
      return remote === undefined && format !== undefined
        ? { type: "input_audio", input_audio: { data: base64, format } }
        : { type: "audio_url", audio_url: { url } }
    }
    case "video":
      return { type: "video_url", video_url: { url } }
    case "text":
      return { type: "text", text: textOf(media) }
    default: {
      if (remote !== undefined) return refuse(`a file of the type ${type} is given by a URL; give its bytes`)
      const { fileName } = part
      return { type: "file", file: { file_data: url, ...(fileName !== undefined && { filename: fileName }) } }
    }
  }
}

const toContent = (parts: ReadonlyArray<Prompt.TextPart | Prompt.FilePart>): string | Array<ContentPart> => {
  const content = parts.map((part) => (part.type === "text" ? ({ type: "text", text: part.text } as const) : toFile(part)))
  const [first] = content
  return content.length === 1 && first?.type === "text" ? first.text : content
}

const isObjectText = (text: string): boolean => {
  try {
    return Predicate.isObject(JSON.parse(text))
  } catch {
    return false
  }
}

const toJson = (value: unknown, what: string): string => {
  try {
    return JSON.stringify(value) ?? "null"
  } catch (error) {
    return refuse(`${what} is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

// Templates of models parse the arguments of earlier calls, and servers refuse a request with arguments that are not an object.
const toArguments = ({ name, params }: Prompt.ToolCallPart): string => {
  if (typeof params === "string") return isObjectText(params) ? params : "{}"
  return Predicate.isObject(params) ? toJson(params, `a call of the tool ${name}`) : "{}"
}

const toCall = (part: Prompt.ToolCallPart): FunctionToolCall => ({
  id: part.id,
  type: "function",
  function: { name: part.name, arguments: toArguments(part) }
})

const decodeAiError = Schema.decodeUnknownOption(AiError.AiError)

const isExecutionFailure = (result: unknown): result is { readonly reason?: unknown } =>
  Predicate.isObject(result) && (result["type"] === "execution-denied" || result["type"] === "execution-interrupted")

const failureText = (part: Prompt.ToolResultPart): string => {
  const { result } = part
  if (isExecutionFailure(result)) return typeof result.reason === "string" ? result.reason : "The call was not executed"
  const error = Option.match(decodeAiError(result), { onNone: () => result, onSome: ({ reason }) => reason.message })
  return toJson({ error }, `the failure of the tool ${part.name}`)
}

const resultContent = (part: Prompt.ToolResultPart): ToolMessage["content"] => {
  if (part.isFailure) return failureText(part)
  if (part.modelOutput !== undefined) return toContent(part.modelOutput)
  return typeof part.result === "string" ? part.result : toJson(part.result, `the result of the tool ${part.name}`)
}

const toResult = (part: Prompt.ToolResultPart): ToolMessage => ({ role: "tool", tool_call_id: part.id, content: resultContent(part) })

const isResult = (part: Prompt.AssistantMessagePart | Prompt.ToolMessagePart): part is Prompt.ToolResultPart => part.type === "tool-result"

const toAssistant = (message: Prompt.AssistantMessage, field: ReasoningField): ReadonlyArray<AssistantMessage | ToolMessage> => {
  const written = message.content.filter((part) => part.type === "text" || part.type === "file")
  const reasoning = message.content.flatMap((part) => (part.type === "reasoning" ? [part.text] : [])).join("")
  const calls = message.content.flatMap((part) => (part.type === "tool-call" ? [toCall(part)] : []))
  const texts = written.flatMap((part) => (part.type === "text" ? [part.text] : []))
  const content = texts.length === written.length ? texts.join("") : toContent(written)
  const assistant: AssistantMessage = {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    ...(reasoning !== "" && { [field]: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls })
  }
  // Results of tools that another provider executed.
  return [assistant, ...message.content.filter(isResult).map(toResult)]
}

const toMessage = (message: Prompt.Message, field: ReasoningField): ReadonlyArray<ChatMessage> => {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content } satisfies SystemMessage]
    case "user":
      return [{ role: "user", content: toContent(message.content) } satisfies UserMessage]
    case "assistant":
      return toAssistant(message, field)
    case "tool":
      // An approval has no form on the wire. The result of its call has.
      return message.content.filter(isResult).map(toResult)
  }
}

/** Converts a prompt. Throws `InvalidUserInputError`. */
export const toMessages = (prompt: Prompt.Prompt, field: ReasoningField): ReadonlyArray<ChatMessage> =>
  prompt.content.flatMap((message) => toMessage(message, field))
