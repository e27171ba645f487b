// The prompt of the AI SDK as messages.
import {
  type LanguageModelV4FilePart,
  type LanguageModelV4Prompt,
  type LanguageModelV4TextPart,
  type LanguageModelV4ToolResultOutput,
  type LanguageModelV4ToolResultPart,
  UnsupportedFunctionalityError
} from "@ai-sdk/provider"
import {
  convertBase64ToUint8Array,
  convertToBase64,
  getTopLevelMediaType,
  resolveFullMediaType,
  resolveProviderReference,
  stringifyWithBigIntAndCycles
} from "@ai-sdk/provider-utils"
import type { AssistantMessage, ChatMessage, ContentPart, FunctionToolCall, ToolMessage } from "@paradigm-effect/core/ChatCompletion"

/** The field of an assistant's message that has its reasoning. */
export type ReasoningField = "reasoning" | "reasoning_content"

const unsupported = (functionality: string, way: string): UnsupportedFunctionalityError =>
  new UnsupportedFunctionalityError({ functionality, message: `The endpoint has no ${functionality}. ${way}` })

interface WithOptions {
  readonly providerOptions?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined
}

// Fields of a message or of a part that the AI SDK has no place for, for example a `name`, or the `uuid` of an image.
const extras = ({ providerOptions }: WithOptions): Readonly<Record<string, unknown>> => providerOptions?.["paradigm"] ?? {}

const toMedia = (part: LanguageModelV4FilePart, url: string): ContentPart => {
  const { detail, ...others } = extras(part)
  const media = detail === undefined ? { url } : { url, detail: detail as string }
  switch (getTopLevelMediaType(part.mediaType)) {
    case "image":
      return { ...others, type: "image_url", image_url: media }
    case "audio":
      return { ...others, type: "audio_url", audio_url: media }
    case "video":
      return { ...others, type: "video_url", video_url: media }
    default:
      throw unsupported(`content part for a URL of ${part.mediaType}`, "Pass the bytes of the file.")
  }
}

const audioFormats: Readonly<Record<string, string>> = { "audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3" }

const toInline = (part: LanguageModelV4FilePart, data: string | Uint8Array): ContentPart => {
  if (getTopLevelMediaType(part.mediaType) === "text") {
    return { type: "text", text: new TextDecoder().decode(typeof data === "string" ? convertBase64ToUint8Array(data) : data) }
  }
  const mediaType = resolveFullMediaType({ part })
  const base64 = convertToBase64(data)
  const url = `data:${mediaType};base64,${base64}`
  const format = audioFormats[mediaType]
  if (format !== undefined) return { ...extras(part), type: "input_audio", input_audio: { data: base64, format } }
  if (mediaType === "application/pdf") return { type: "file", file: { filename: part.filename ?? "document.pdf", file_data: url } }
  if (!/^(image|audio|video)\//.test(mediaType)) {
    throw unsupported(`content part for ${mediaType}`, "Convert the file to text, to an image or to a PDF.")
  }
  return toMedia(part, url)
}

const toFile = (part: LanguageModelV4FilePart): ContentPart => {
  const { data, mediaType } = part
  switch (data.type) {
    case "url":
      return toMedia(part, data.url.toString())
    case "data":
      return toInline(part, data.data)
    case "reference":
      return { type: "file", file: { file_id: resolveProviderReference({ reference: data.reference, provider: "paradigm" }) } }
    case "text":
      if (!/^(image|audio|video)\b/.test(mediaType)) return { type: "text", text: data.text }
      throw unsupported(`content part for ${mediaType} written as text`, "Pass the bytes or the URL of the file.")
  }
}

const toPart = (part: LanguageModelV4TextPart | LanguageModelV4FilePart): ContentPart =>
  part.type === "text" ? { ...extras(part), type: "text", text: part.text } : toFile(part)

// Templates of text models accept a string only.
const simplified = (parts: ReadonlyArray<ContentPart>): string | ReadonlyArray<ContentPart> => {
  const [part] = parts
  return parts.length === 1 && part?.type === "text" && Object.keys(part).length === 2 ? part.text : parts
}

const isObjectText = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

// Servers parse the arguments of earlier calls, and refuse a conversation with others than a JSON object: a call that was cut off would make
// every later request fail.
const toArguments = (input: unknown): string => {
  const text = typeof input === "string" ? input : stringifyWithBigIntAndCycles(input)
  return text !== undefined && isObjectText(text) ? text : "{}"
}

const toResult = (output: LanguageModelV4ToolResultOutput): ToolMessage["content"] => {
  switch (output.type) {
    case "text":
    case "error-text":
      return output.value
    case "json":
    case "error-json":
      return stringifyWithBigIntAndCycles(output.value) ?? "null"
    case "execution-denied":
      return output.reason ?? "The user denied the execution of the tool."
    case "content":
      return simplified(
        output.value.map((part) => {
          if (part.type === "custom") throw unsupported("custom content in a tool's result", "Return text or files.")
          return toPart(part)
        })
      )
  }
}

const toToolMessage = (part: LanguageModelV4ToolResultPart): ToolMessage => ({
  ...extras(part),
  role: "tool",
  tool_call_id: part.toolCallId,
  content: toResult(part.output)
})

/** The messages of one assistant's turn. Results of tools that another provider ran are between its parts. */
class Turn {
  readonly messages: Array<ChatMessage> = []
  readonly #reasoningField: ReasoningField
  readonly #extras: Readonly<Record<string, unknown>>
  #text = ""
  #reasoning = ""
  #calls: Array<FunctionToolCall> = []

  constructor(reasoningField: ReasoningField, extras: Readonly<Record<string, unknown>>) {
    this.#reasoningField = reasoningField
    this.#extras = extras
  }

  add(part: Extract<LanguageModelV4Prompt[number], { readonly role: "assistant" }>["content"][number]) {
    switch (part.type) {
      case "text":
        this.#text += part.text
        break
      case "reasoning":
        this.#reasoning += part.text
        break
      case "tool-call":
        this.#calls.push({
          id: part.toolCallId,
          type: "function",
          function: { name: part.toolName, arguments: toArguments(part.input) }
        })
        break
      case "tool-result":
        this.#end()
        this.messages.push(toToolMessage(part))
        break
      default:
        throw unsupported(`${part.type} part in an assistant's message`, "Remove the part from the message.")
    }
  }

  end(): ReadonlyArray<ChatMessage> {
    if (this.messages.length === 0 || this.#text !== "" || this.#reasoning !== "" || this.#calls.length > 0) this.#end()
    return this.messages
  }

  #end() {
    const message: AssistantMessage = {
      ...this.#extras,
      role: "assistant",
      content: this.#text === "" && this.#calls.length > 0 ? null : this.#text,
      ...(this.#reasoning === "" ? {} : { [this.#reasoningField]: this.#reasoning }),
      ...(this.#calls.length === 0 ? {} : { tool_calls: this.#calls })
    }
    this.messages.push(message)
    this.#text = this.#reasoning = ""
    this.#calls = []
  }
}

const toChatMessages = (message: LanguageModelV4Prompt[number], reasoningField: ReasoningField): ReadonlyArray<ChatMessage> => {
  switch (message.role) {
    case "system":
      return [{ ...extras(message), role: "system", content: message.content }]
    case "user":
      return [{ ...extras(message), role: "user", content: simplified(message.content.map(toPart)) }]
    case "assistant": {
      const turn = new Turn(reasoningField, extras(message))
      for (const part of message.content) turn.add(part)
      return turn.end()
    }
    case "tool":
      // An approval concerns tools that a provider runs. Denied calls of other tools have a result that says so.
      return message.content.flatMap((part) => (part.type === "tool-result" ? [toToolMessage(part)] : []))
  }
}

/** Converts a prompt. Throws `UnsupportedFunctionalityError` for a part that no message can have. */
export const toMessages = (prompt: LanguageModelV4Prompt, reasoningField: ReasoningField): ReadonlyArray<ChatMessage> =>
  prompt.flatMap((message) => toChatMessages(message, reasoningField))
