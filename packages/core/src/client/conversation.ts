// A conversation in the `{role, parts}` form of the GenAI conventions: their JSON schemas of input messages, output messages and tool definitions.

interface Part {
  readonly type?: string | null | undefined
  readonly text?: string | null | undefined
  readonly input_audio?: { readonly data: string; readonly format: string } | null | undefined
}

/** The fields that any role may have. */
interface Message {
  readonly role: string
  readonly name?: string | null | undefined
  readonly content?: string | ReadonlyArray<Part> | null | undefined
  readonly refusal?: string | null | undefined
  readonly reasoning?: string | null | undefined
  readonly reasoning_content?: string | null | undefined
  readonly tool_call_id?: string | null | undefined
  readonly tool_calls?:
    | ReadonlyArray<{
        readonly id?: string | null | undefined
        readonly function?: { readonly name: string; readonly arguments: string } | undefined
        readonly custom?: { readonly name: string; readonly input: string } | undefined
      }>
    | null
    | undefined
}

const urlPart = (modality: string, uri: string): object => {
  const data = /^data:([^;,]*)[^,]*;base64,/.exec(uri)
  return data === null ? { type: "uri", modality, uri } : { type: "blob", modality, mime_type: data[1], content: uri.slice(data[0].length) }
}

const contentPart = (part: Part): object => {
  if (typeof part.text === "string") return { type: "text", content: part.text }
  if (part.input_audio) {
    return { type: "blob", modality: "audio", mime_type: `audio/${part.input_audio.format}`, content: part.input_audio.data }
  }
  const media = /^(image|audio|video)_url$/.exec(part.type ?? "")
  const value: unknown = media === null ? undefined : Reflect.get(part, media[0])
  const url: unknown = typeof value === "object" && value !== null && "url" in value ? value.url : value
  // Any other part is unchanged, as a generic part of the convention.
  return media?.[1] === undefined || typeof url !== "string" ? part : urlPart(media[1], url)
}

// The arguments as a JSON value, or as text if the model did not write JSON.
const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** A message of a request or of a response. */
export const toMessage = (message: Message): object => {
  const { content, name, role, tool_call_id: id } = message
  if (role === "tool") return { role, parts: [{ type: "tool_call_response", id, response: content }] }
  const parts: Array<object> = []
  const reasoning = message.reasoning ?? message.reasoning_content
  if (typeof reasoning === "string") parts.push({ type: "reasoning", content: reasoning })
  if (typeof content === "string") parts.push({ type: "text", content })
  else if (Array.isArray(content)) parts.push(...content.map(contentPart))
  if (typeof message.refusal === "string") parts.push({ type: "refusal", content: message.refusal })
  for (const { custom, function: called, id } of message.tool_calls ?? []) {
    if (called !== undefined) parts.push({ type: "tool_call", id, name: called.name, arguments: parsed(called.arguments) })
    if (custom !== undefined) parts.push({ type: "tool_call", id, name: custom.name, arguments: custom.input })
  }
  return { role, name: name ?? undefined, parts }
}
