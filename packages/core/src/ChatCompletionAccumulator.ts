/**
 * Folds the chunks of a stream into the completion that the same request would have got without streaming.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatCompletionChunk,
  ChatCompletionDelta,
  ChatMessageResponse,
  CompletionUsage,
  FinishReason,
  ToolCall,
  ToolCallDelta
} from "./ChatCompletion.ts"

/** Fields that come in pieces: every piece. */
type Pieces = Map<string, Array<unknown>>

interface Call {
  id: string | undefined
  type: string | undefined
  name: string
  arguments: string
  /** Fields without a rule of their own. */
  readonly pieces: Pieces
}

interface Choice {
  role: string | undefined
  readonly texts: { [Name in "content" | "reasoning" | "reasoning_content" | "refusal"]?: string | undefined }
  functionCall: Call | undefined
  toolCalls: Map<number, Call> | undefined
  finishReason: FinishReason | undefined
  stopReason: string | number | null | undefined
  /** Fields of the deltas without a rule of their own. */
  readonly pieces: Pieces
  /** Fields beside the deltas that come in pieces. */
  readonly lists: Pieces
  /** Fields beside the deltas without a rule of their own: the last value. */
  readonly rest: Map<string, unknown>
}

const newCall = (): Call => ({ id: undefined, type: undefined, name: "", arguments: "", pieces: new Map() })

// Some servers repeat the whole name in every piece.
const addToCall = (call: Call, piece: { readonly name?: string | null | undefined; readonly arguments?: string | null | undefined }) => {
  if (typeof piece.name === "string" && piece.name !== call.name) call.name += piece.name
  call.arguments += piece.arguments ?? ""
}

// Some servers fill an id that is yet to come with an empty text.
const firstText = (before: string | undefined, more: string | null | undefined) =>
  before === undefined || before === "" ? (more ?? before) : before

// Deeper than anything that is told in pieces.
const maxDepth = 16

// Pieces of a field, as pieces of content are: texts and lists go on, objects do so member by member. Of anything else the last one counts, and
// of what only names its object.
const fold = (pieces: ReadonlyArray<unknown>, name: string, depth = 0): unknown => {
  const given = pieces.filter((piece) => piece !== null && piece !== undefined)
  const last = given.at(-1) ?? null
  if (given.length < 2 || name === "id" || name === "type" || depth === maxDepth) return last
  if (given.every((piece) => typeof piece === "string")) return given.join("")
  if (given.every(Array.isArray)) return given.flat()
  if (!given.every(Predicate.isObject)) return last
  const names = new Set(given.flatMap(Object.keys))
  return Object.fromEntries(
    [...names].map((key) => [
      key,
      fold(
        given.map((piece) => piece[key]),
        key,
        depth + 1
      )
    ])
  )
}

const foldAll = (pieces: Pieces) => Object.fromEntries([...pieces].map(([name, all]) => [name, fold(all, name)]))

const addPiece = (pieces: Pieces, name: string, piece: unknown) => {
  if (piece === undefined || piece === null) return
  const before = pieces.get(name)
  if (before === undefined) pieces.set(name, [piece])
  else before.push(piece)
}

const keepLast = (last: Map<string, unknown>, name: string, value: unknown) => {
  if (value !== undefined && value !== null) last.set(name, value)
}

const toToolCall = (call: Call): ToolCall => {
  const id = call.id === undefined ? {} : { id: call.id }
  const rest = foldAll(call.pieces)
  if (call.type === "custom") return { ...id, type: "custom", custom: { name: call.name, input: call.arguments }, ...rest }
  // The types of calls are closed, and the wire is not.
  const type = (call.type ?? "function") as "function"
  return { ...id, type, function: { name: call.name, arguments: call.arguments }, ...rest }
}

const toMessage = (choice: Choice): ChatMessageResponse => {
  const calls = choice.toolCalls === undefined ? [] : [...choice.toolCalls].sort(([a], [b]) => a - b).map(([, call]) => toToolCall(call))
  const onlyCalls = choice.texts.content === "" && (calls.length > 0 || choice.functionCall !== undefined)
  return {
    role: (choice.role ?? "assistant") as "assistant",
    ...choice.texts,
    content: onlyCalls ? null : (choice.texts.content ?? null),
    ...(choice.functionCall === undefined
      ? {}
      : { function_call: { name: choice.functionCall.name, arguments: choice.functionCall.arguments } }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...foldAll(choice.pieces)
  }
}

const toChoice = ([index, choice]: [number, Choice]): ChatCompletionChoice => ({
  ...Object.fromEntries(choice.rest),
  ...foldAll(choice.lists),
  index,
  message: toMessage(choice),
  finish_reason: choice.finishReason ?? null,
  ...(choice.stopReason === undefined ? {} : { stop_reason: choice.stopReason })
})

/**
 * The fold's state. It can be read at any moment: `completion` is what has arrived so far.
 *
 * @category folding
 * @since 0.1.0
 */
export class ChatCompletionAccumulator {
  /** How many chunks were added. */
  chunks = 0
  /** The last usage that came. */
  usage: CompletionUsage | undefined = undefined
  #envelope: ChatCompletionChunk | undefined = undefined
  /** What the chunks have beside their choices and their usage: the last value. */
  readonly #rest = new Map<string, unknown>()
  readonly #choices = new Map<number, Choice>()

  add(chunk: ChatCompletionChunk): void {
    this.chunks++
    this.#envelope ??= chunk
    for (const name in chunk) {
      switch (name) {
        case "id":
        case "object":
        case "created":
        case "model":
        case "choices":
          break
        case "usage":
          if (chunk.usage !== undefined && chunk.usage !== null) this.usage = chunk.usage
          break
        default:
          keepLast(this.#rest, name, Reflect.get(chunk, name))
      }
    }
    for (const part of chunk.choices) this.#addChoice(part)
  }

  /** The completion so far; `undefined` before the first chunk. A choice that is not finished has the `finish_reason` null. */
  get completion(): ChatCompletion | undefined {
    const envelope = this.#envelope
    if (envelope === undefined) return undefined
    return {
      id: envelope.id,
      object: "chat.completion",
      created: envelope.created,
      model: envelope.model,
      choices: [...this.#choices].sort(([a], [b]) => a - b).map(toChoice),
      ...(this.usage === undefined ? {} : { usage: this.usage }),
      ...Object.fromEntries(this.#rest)
    }
  }

  /** Whether a choice began, and every one that began has its finish reason. */
  get isFinished(): boolean {
    if (this.#choices.size === 0) return false
    for (const choice of this.#choices.values()) if (choice.finishReason === undefined) return false
    return true
  }

  #choice(index: number): Choice {
    let choice = this.#choices.get(index)
    if (choice === undefined) {
      choice = {
        role: undefined,
        texts: {},
        functionCall: undefined,
        toolCalls: undefined,
        finishReason: undefined,
        stopReason: undefined,
        pieces: new Map(),
        lists: new Map(),
        rest: new Map()
      }
      this.#choices.set(index, choice)
    }
    return choice
  }

  #addChoice(part: ChatCompletionChunk["choices"][number]) {
    const choice = this.#choice(part.index)
    this.#addDelta(choice, part.delta)
    for (const name in part) {
      switch (name) {
        case "index":
        case "delta":
          break
        case "finish_reason":
          choice.finishReason = part.finish_reason ?? choice.finishReason
          break
        case "stop_reason":
          if (part.stop_reason !== undefined) choice.stopReason = part.stop_reason
          break
        case "logprobs":
        case "token_ids":
          addPiece(choice.lists, name, part[name])
          break
        default:
          keepLast(choice.rest, name, Reflect.get(part, name))
      }
    }
  }

  #addDelta(choice: Choice, delta: ChatCompletionDelta) {
    for (const name in delta) {
      switch (name) {
        case "role":
          choice.role ??= delta.role ?? undefined
          break
        case "content":
        case "reasoning":
        case "reasoning_content":
        case "refusal": {
          const piece = delta[name]
          if (piece !== undefined && piece !== null) choice.texts[name] = (choice.texts[name] ?? "") + piece
          break
        }
        case "function_call":
          if (delta.function_call !== undefined && delta.function_call !== null)
            addToCall((choice.functionCall ??= newCall()), delta.function_call)
          break
        case "tool_calls":
          for (const piece of delta.tool_calls ?? []) this.#addToolCall(choice, piece)
          break
        case "annotations":
          // One may stand for a list of it.
          addPiece(choice.pieces, name, Predicate.isObject(delta.annotations) ? [delta.annotations] : delta.annotations)
          break
        default:
          addPiece(choice.pieces, name, Reflect.get(delta, name))
      }
    }
  }

  #addToolCall(choice: Choice, piece: ToolCallDelta) {
    choice.toolCalls ??= new Map()
    let call = choice.toolCalls.get(piece.index)
    if (call === undefined) choice.toolCalls.set(piece.index, (call = newCall()))
    for (const name in piece) {
      switch (name) {
        case "index":
          break
        case "id":
          call.id = firstText(call.id, piece.id)
          break
        case "type":
          call.type = firstText(call.type, piece.type)
          break
        case "function":
          if (piece.function !== undefined && piece.function !== null) addToCall(call, piece.function)
          break
        case "custom":
          call.type ??= "custom"
          if (piece.custom !== undefined && piece.custom !== null)
            addToCall(call, { name: piece.custom.name, arguments: piece.custom.input })
          break
        default:
          addPiece(call.pieces, name, Reflect.get(piece, name))
      }
    }
  }
}
