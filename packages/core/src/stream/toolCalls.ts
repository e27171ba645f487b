// Tool calls of a choice, from their fragments.
import { isObject } from "effect/Predicate"
import type { ToolCall, ToolCallDelta } from "../ChatCompletion.ts"
import { tryParse } from "../json/jsonText.ts"
import { Fragments } from "./fragments.ts"

/** Placeholder index of a fragment without an index. Larger than any index of a server. */
export const unplaced = Number.MAX_SAFE_INTEGER

/** Generates the id of a call without an id, within the 40 characters that servers accept. */
export const callId = (completion: string, choice: number, call: number): string =>
  `call_${choice}_${call}_${completion.slice(-16) || Math.random().toString(36).slice(2)}`

interface Fragment {
  readonly name?: string | null | undefined
  readonly arguments?: string | null | undefined
  readonly input?: string | null | undefined
}

/** Whether a value is a text that is not empty. */
export const isText = (value: unknown): value is string => typeof value === "string" && value !== ""

interface Named {
  readonly custom?: Fragment | null | undefined
  readonly function?: Fragment | null | undefined
}

/** The name of what a call calls. */
export const nameOf = ({ custom, function: called }: Named): string | null | undefined => (called ?? custom)?.name

/** Name and arguments of a call. */
export class CallText {
  name = ""
  arguments = ""
  /** Whether the last fragment repeated the whole arguments. */
  isRepeated = false

  add(fragment: Fragment): void {
    const { name } = fragment
    // Some servers repeat the whole name in every fragment.
    if (typeof name === "string" && name !== this.name) this.name = name.startsWith(this.name) ? name : this.name + name
    const text = fragment.arguments ?? fragment.input ?? ""
    // Some servers begin with a placeholder, or repeat the whole arguments.
    const isWhole = text[0] === "{" && (this.arguments === "{}" || this.arguments === text) && this.isComplete
    this.isRepeated = isWhole && this.arguments === fragment.arguments
    this.arguments = isWhole ? text : this.arguments + text
  }

  /** Whether the arguments are a complete JSON object. */
  get isComplete(): boolean {
    return this.arguments.endsWith("}") && tryParse(this.arguments) !== undefined
  }

  get text(): { readonly name: string; readonly arguments: string } {
    return { name: this.name, arguments: this.arguments }
  }
}

class Call extends CallText {
  readonly index: number
  id = ""
  type = ""
  isCustom = false
  readonly rest = new Fragments()

  constructor(index: number) {
    super()
    this.index = index
  }

  /**
   * Whether a fragment with the index of this call begins another call: it has another id, or a name and either no index, other arguments after
   * complete ones, or arguments of a call with another name before it. vLLM 0.8.5 repeats the name in every fragment.
   */
  isFollowedBy(fragment: ToolCallDelta, isPlaced: boolean): boolean {
    const { id } = fragment
    if (isText(id) && this.id !== "") return id !== this.id
    const name = nameOf(fragment)
    if (!isText(name) || this.name === "") return false
    const isOther = this.arguments && !name.startsWith(this.name)
    return !isPlaced || isOther || (fragment.function?.arguments?.[0] === "{" && this.isComplete)
  }

  addAll(fragment: ToolCallDelta): void {
    const fields = fragment as unknown as Readonly<Record<string, unknown>>
    for (const name in fields) {
      switch (name) {
        case "index":
          break
        case "id":
        case "type":
          // Some servers send an empty id before the real one.
          this[name] ||= fragment[name] ?? ""
          break
        case "function":
        case "custom":
          if (fragment[name]) {
            this.isCustom = name === "custom"
            this.add(fragment[name])
          }
          break
        default:
          this.rest.add(name, fields[name])
      }
    }
  }

  get whole(): ToolCall {
    const { isCustom, name } = this
    const call = isCustom ? { custom: { name, input: this.arguments } } : { function: this.text }
    return {
      ...(this.id === "" ? {} : { id: this.id }),
      type: this.type || (isCustom ? "custom" : "function"),
      ...call,
      ...this.rest.joined
    } as ToolCall
  }
}

/**
 * The calls of one choice. A server may send no index, or one index for several calls: a fragment belongs to the call with its id, or else to
 * the last call with its index.
 */
export class ToolCalls {
  readonly #calls = new Map<number, Call>()
  readonly #byId = new Map<string, Call>()
  /** The current call by index on the wire. */
  readonly #byIndex = new Map<number, Call>()
  #last: Call | undefined = undefined
  #next = 0

  /** Adds a fragment, and returns its call. */
  add(fragment: ToolCallDelta): Call {
    // Fast path: most fragments continue a call by its index.
    const call = (isText(fragment.id) || isText(nameOf(fragment)) ? undefined : this.#byIndex.get(fragment.index)) ?? this.#place(fragment)
    this.#last = call
    call.addAll(fragment)
    return call
  }

  #place(fragment: ToolCallDelta): Call {
    const { id, index } = fragment
    const isPlaced = index !== undefined && index !== unplaced
    const withId = isText(id) ? this.#byId.get(id) : undefined
    let call = isPlaced ? this.#byIndex.get(index) : (withId ?? this.#last)
    if (call?.isFollowedBy(fragment, isPlaced)) call = withId ?? this.#begin(this.#next)
    call ??= this.#begin(isPlaced && !this.#calls.has(index) ? index : this.#next)
    this.#byIndex.set(isPlaced ? index : call.index, call)
    if (isText(id) && call.id === "") this.#byId.set(id, call)
    return call
  }

  /** The calls of a whole message that did not arrive. Calls that arrived without an id are its first ones. */
  unseen(calls: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    const others = calls.filter((call) => isObject(call) && !this.#byId.has(call["id"] as string))
    return others.slice(this.#calls.size - this.#byId.size)
  }

  /** Generates an id for each call without one, and returns the fragments with those ids. */
  identify(completion: string, choice: number): ReadonlyArray<{ readonly index: number; readonly id: string }> {
    return this.#ordered
      .filter(({ id }) => id === "")
      .map((call) => ({ index: call.index, id: (call.id = callId(completion, choice, call.index)) }))
  }

  get whole(): ReadonlyArray<ToolCall> {
    return this.#ordered.map((call) => call.whole)
  }

  get #ordered(): ReadonlyArray<Call> {
    return [...this.#calls.values()].sort((a, b) => a.index - b.index)
  }

  #begin(index: number): Call {
    const call = new Call(index)
    this.#calls.set(index, call)
    this.#next = Math.max(this.#next, index + 1)
    return call
  }
}
