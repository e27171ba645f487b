/**
 * The prompt of a conversation as token ids, and the conversation of a prompt.
 *
 * Everything that decides what is said must be in the prompt (in `context`, if it is not a message): only then can another simulator,
 * given ids, go on with the same answer.
 *
 * Special tokens delimit what the prompt holds, so that it can be read back exactly: a server that is given ids alone, as in
 * `/v1/completions`, knows the conversation, and which tokens of the answer it already has.
 *
 * ```text
 * <|im_start|>context
 * {"tools":[…]}<|im_end|>
 * <|im_start|>user
 * Weather in Paris?<|im_end|>
 * <|im_start|>assistant
 * ```
 *
 * The answer follows, as the model makes it:
 *
 * ```text
 * <think>
 * The tool knows it.
 * </think>
 *
 * I look it up.<tool_call>
 * {"name": "get_weather", "arguments": {"city": "Paris"}}
 * </tool_call><|im_end|>
 * ```
 *
 * @since 0.1.0
 */
import { decode, encode, special } from "./Tokenizer.ts"

/**
 * A message of a conversation, as chat requests have it. Unknown fields are not part of the prompt.
 *
 * @category models
 * @since 0.1.0
 */
export interface TemplateMessage {
  readonly role: string
  readonly content?: unknown
  readonly tool_calls?: unknown
}

/**
 * What a prompt is made from.
 *
 * @category models
 * @since 0.1.0
 */
export interface Conversation {
  readonly messages: ReadonlyArray<TemplateMessage>
  /** Everything else that the model can read, as the tools. Keys with `undefined` and an empty object are not part of the prompt. */
  readonly context?: Readonly<Record<string, unknown>> | undefined
}

/**
 * How a prompt ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromptEnd {
  /** Ends with the start of the assistant's message. Defaults to true. */
  readonly addGenerationPrompt?: boolean | undefined
  /** Leaves the last message open. Defaults to false. */
  readonly continueFinalMessage?: boolean | undefined
}

const lineFeed = 10

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

const append = (ids: Array<number>, more: ReadonlyArray<number>) => {
  for (const id of more) ids.push(id)
}

const appendContent = (ids: Array<number>, content: unknown) => {
  if (typeof content === "string") append(ids, encode(content))
  if (!Array.isArray(content)) return
  for (const [index, part] of content.entries()) {
    if (index > 0) ids.push(lineFeed)
    if (typeof part === "string") append(ids, encode(part))
    else if (isRecord(part) && typeof part["text"] === "string") append(ids, encode(part["text"]))
    else ids.push(special.image)
  }
}

// Arguments stay the text that they are: JSON in them is not read, since models write invalid JSON too.
const appendCalls = (ids: Array<number>, calls: unknown) => {
  if (!Array.isArray(calls)) return
  for (const call of calls) {
    const made: unknown = isRecord(call) ? call["function"] : undefined
    if (!isRecord(made)) continue
    const written = typeof made["arguments"] === "string" ? made["arguments"] : JSON.stringify(made["arguments"] ?? {})
    ids.push(special.toolCallStart)
    append(ids, encode(`\n{"name": ${JSON.stringify(made["name"])}, "arguments": ${written}}\n`))
    ids.push(special.toolCallEnd)
  }
}

const open = (ids: Array<number>, role: string) => {
  ids.push(special.messageStart)
  append(ids, encode(role))
  ids.push(lineFeed)
}

/**
 * The prompt's token ids.
 *
 * @example
 * import * as ChatTemplate from "./ChatTemplate.ts"
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * const ids = ChatTemplate.render({ messages: [{ role: "user", content: "Hello" }] })
 * Tokenizer.decode(ids, true) // "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
 *
 * @category rendering
 * @since 0.1.0
 */
export const render = (conversation: Conversation, end: PromptEnd = {}): Array<number> => {
  const ids: Array<number> = []
  const context = Object.entries(conversation.context ?? {}).filter(([, value]) => value !== undefined)
  if (context.length > 0) {
    open(ids, "context")
    append(ids, encode(JSON.stringify(Object.fromEntries(context))))
    ids.push(special.messageEnd, lineFeed)
  }
  const last = conversation.messages.length - 1
  for (const [index, message] of conversation.messages.entries()) {
    open(ids, message.role)
    appendContent(ids, message.content)
    appendCalls(ids, message.tool_calls)
    if (index < last || end.continueFinalMessage !== true) ids.push(special.messageEnd, lineFeed)
  }
  if (end.continueFinalMessage !== true && end.addGenerationPrompt !== false) open(ids, "assistant")
  return ids
}

/**
 * A prompt that was read back.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadPrompt extends Conversation {
  readonly messages: ReadonlyArray<TemplateMessage>
  /** The number of ids before the assistant's open message: the prompt without the part of an answer. */
  readonly length: number
  /** The tokens of the answer that the prompt already has. */
  readonly kept: ReadonlyArray<number>
}

const split = (ids: ReadonlyArray<number>, separator: number): ReadonlyArray<ReadonlyArray<number>> => {
  const parts: Array<ReadonlyArray<number>> = []
  let start = 0
  for (let at = ids.indexOf(separator); at !== -1; at = ids.indexOf(separator, start)) {
    parts.push(ids.slice(start, at))
    start = at + 1
  }
  return [...parts, ids.slice(start)]
}

const callPattern = /^\n\{"name": ("(?:[^"\\]|\\.)*"), "arguments": (.*)\}\n$/s

const readContent = (ids: ReadonlyArray<number>): unknown => {
  const texts = split(ids, special.image).map((part) => decode(part))
  if (texts.length === 1) return texts[0] ?? ""
  // The line feeds between the parts are theirs.
  return texts.flatMap((text, index) => [
    ...(index === 0 ? [] : [{ type: "image_url" }]),
    ...(text === "" || text === "\n" ? [] : [{ type: "text", text: text.replace(/^\n/, "").replace(/\n$/, "") }])
  ])
}

const readMessage = (ids: ReadonlyArray<number>): TemplateMessage => {
  const head = ids.indexOf(lineFeed)
  const role = decode(ids.slice(0, head))
  const [content = [], ...calls] = split(ids.slice(head + 1), special.toolCallStart)
  if (calls.length === 0) return { role, content: readContent(content) }
  const tool_calls = calls.flatMap((call) => {
    const [, name, written] = callPattern.exec(decode(split(call, special.toolCallEnd)[0] ?? [])) ?? []
    if (name === undefined || written === undefined) return []
    return [{ type: "function", function: { name: JSON.parse(name) as string, arguments: written } }]
  })
  return { role, content: content.length === 0 ? null : readContent(content), tool_calls }
}

const readContext = (content: unknown): Readonly<Record<string, unknown>> | undefined => {
  try {
    const context: unknown = JSON.parse(String(content))
    return isRecord(context) ? context : undefined
  } catch {
    // A role of this name in a foreign conversation.
    return undefined
  }
}

/**
 * Reads a prompt of {@link render}, with the tokens of an answer after it. Any other prompt gives `undefined`.
 *
 * @example
 * import * as ChatTemplate from "./ChatTemplate.ts"
 * import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
 *
 * const ids = ChatTemplate.render({ messages: [{ role: "user", content: "Hello" }] })
 * ChatTemplate.read([...ids, ...Tokenizer.encode("Hi")])?.kept // the ids of "Hi"
 *
 * @category decoding
 * @since 0.1.0
 */
export const read = (ids: ReadonlyArray<number>): ReadPrompt | undefined => {
  if (ids[0] !== special.messageStart) return undefined
  const start = ids.lastIndexOf(special.messageStart)
  const length = ids.indexOf(lineFeed, start) + 1
  const blocks = split(ids.slice(1, start), special.messageStart).map((block) => {
    const end = block.lastIndexOf(special.messageEnd)
    return readMessage(end === -1 ? block : block.slice(0, end))
  })
  if (length === 0 || decode(ids.slice(start + 1, length - 1)) !== "assistant") return undefined
  const messages = start === 0 ? [] : blocks
  const context = messages[0]?.role === "context" ? readContext(messages[0].content) : undefined
  return { messages: context === undefined ? messages : messages.slice(1), context, length, kept: ids.slice(length) }
}
