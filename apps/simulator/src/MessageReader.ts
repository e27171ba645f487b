/**
 * The parsers that a model server runs over the text of a model: what is reasoning, what is content, what is a call of a tool.
 *
 * Models write `<think>reasoning</think>`, and `<tool_call>{"name": …, "arguments": …}</tool_call>` for each call.
 *
 * @since 0.1.0
 */

/**
 * A piece of a message. A call starts with its name; pieces of its arguments follow.
 *
 * @category models
 * @since 0.1.0
 */
export type Delta =
  | { readonly kind: "reasoning" | "content"; readonly text: string }
  | { readonly kind: "call"; readonly index: number; readonly name: string }
  | { readonly kind: "arguments"; readonly index: number; readonly text: string }

/**
 * How a reader tells the parts of a text apart.
 *
 * @category models
 * @since 0.1.0
 */
export interface Grammar {
  /** `tagged`: what is in `<think>`. `first`: all until `</think>`, with or without `<think>`. */
  readonly reasoning: "none" | "tagged" | "first"
  /** `native`: calls in `<tool_call>`. `json`: the text is a JSON list of calls. `bare`: it is the arguments of the call of `tool`. */
  readonly calls: "none" | "native" | "json" | "bare"
  readonly tool?: string | undefined
  /** A `<tool_call>` ends the reasoning, else it is a part of it. */
  readonly callsEndReasoning: boolean
  /** Calls are looked for only after an end of reasoning. */
  readonly callsFollowReasoning: boolean
  /** Arguments come from their first value on, and bring the white space after them. */
  readonly lateArguments: boolean
  /** White space between and after calls is dropped. */
  readonly trimsAroundCalls: boolean
}

const markers = { think: "<think>", endOfThink: "</think>", call: "<tool_call>", endOfCall: "</tool_call>" }

/** How many of the last characters of `text` begin `marker`. */
const overlap = (text: string, marker: string): number => {
  for (let size = Math.min(marker.length - 1, text.length); size > 0; size--) if (text.endsWith(marker.slice(0, size))) return size
  return 0
}

/** The end of a JSON value, found piece by piece. */
class ValueEnd {
  private state = { depth: 0, inText: false, escaped: false }

  /** How much of `text` belongs to the value, and whether it ends there. */
  peek(text: string): { readonly size: number; readonly ended: boolean } {
    return this.scan({ ...this.state }, text)
  }

  /** The same; the next piece goes on from here. */
  take(text: string): { readonly size: number; readonly ended: boolean } {
    return this.scan(this.state, text)
  }

  private scan(state: ValueEnd["state"], text: string) {
    for (let at = 0; at < text.length; at++) {
      const character = text[at]
      if (state.escaped) state.escaped = false
      else if (character === "\\") state.escaped = state.inText
      else if (character === '"') state.inText = !state.inText
      else if (state.inText) continue
      else if (character === "{" || character === "[") state.depth++
      else if ((character === "}" || character === "]") && --state.depth === 0) return { size: at + 1, ended: true }
    }
    return { size: text.length, ended: false }
  }
}

const nativeHead = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")/
const argumentsHead = /^\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=[{[])/

/** One call, from its opening to its closing brace. */
class CallReader {
  private text = ""
  private stage: "name" | "gap" | "arguments" | "after" = "name"
  private readonly end = new ValueEnd()
  /** Whether pieces of arguments are said at once, or wait for the first value. */
  private begun: boolean

  readonly index: number
  private readonly late: boolean

  constructor(index: number, late: boolean) {
    this.index = index
    this.late = late

    this.begun = !late
  }

  push(text: string): ReadonlyArray<Delta> {
    const deltas: Array<Delta> = []
    this.text += text
    if (this.stage === "name") {
      const head = nativeHead.exec(this.text)
      if (head === null) return deltas
      deltas.push({ kind: "call", index: this.index, name: String(JSON.parse(head[1] ?? '""')) })
      this.advance(head[0].length, "gap")
    }
    if (this.stage === "gap") {
      const gap = argumentsHead.exec(this.text)
      if (gap === null) return deltas
      this.advance(gap[0].length, "arguments")
    }
    if (this.stage === "arguments") {
      const { ended, size } = this.end.peek(this.text)
      this.begun ||= ended || /^[[{]\s*"(?:[^"\\]|\\.)*"\s*:\s*\S/.test(this.text)
      if (!this.begun || size === 0) return deltas
      deltas.push({ kind: "arguments", index: this.index, text: this.text.slice(0, size) })
      this.end.take(this.text.slice(0, size))
      this.advance(size, ended ? "after" : "arguments")
    } else if (this.late && /^\}?\s+$/.test(this.text)) {
      // Older parsers repeat the white space between the arguments and the end of the call.
      deltas.push({ kind: "arguments", index: this.index, text: this.text.replace("}", "") })
      this.text = ""
    }
    return deltas
  }

  private advance(characters: number, stage: CallReader["stage"]): void {
    this.text = this.text.slice(characters)
    this.stage = stage
  }
}

/**
 * Reads the text of one choice, token by token.
 *
 * @category readers
 * @since 0.1.0
 */
export class MessageReader {
  private state: "reasoning" | "content" | "call"
  private pending = ""
  private call: CallReader | undefined
  private calls = 0
  private reasoned: boolean
  private element: ValueEnd | undefined

  private readonly grammar: Grammar

  constructor(grammar: Grammar) {
    this.grammar = grammar

    this.state = grammar.reasoning === "first" ? "reasoning" : "content"
    this.reasoned = grammar.reasoning === "none"
  }

  /** The number of calls so far. */
  get called(): number {
    return this.calls
  }

  /** The state the next text is read in. */
  get isReasoning(): boolean {
    return this.state === "reasoning"
  }

  private get looksForCalls(): boolean {
    return this.grammar.calls === "native" && (this.reasoned || !this.grammar.callsFollowReasoning)
  }

  /** The markers that matter in the present state. */
  private watched(): ReadonlyArray<string> {
    if (this.state === "call") return [markers.endOfCall]
    const calls = this.grammar.calls === "native"
    if (this.state === "reasoning") {
      return [markers.think, markers.endOfThink, ...(calls && this.grammar.callsEndReasoning ? [markers.call] : [])]
    }
    return [
      ...(this.grammar.reasoning === "tagged" && !this.reasoned ? [markers.think, markers.endOfThink] : []),
      ...(this.looksForCalls ? [markers.call] : [])
    ]
  }

  /** What `text` adds to the message. Text that may be the start of a marker waits for the next. */
  push(text: string): ReadonlyArray<Delta> {
    const deltas: Array<Delta> = []
    this.pending += text
    while (this.pending !== "") {
      const watched = this.watched()
      let at = -1
      let found = ""
      for (const marker of watched) {
        const place = this.pending.indexOf(marker)
        if (place >= 0 && (at < 0 || place < at)) [at, found] = [place, marker]
      }
      if (at >= 0) {
        this.say(this.pending.slice(0, at), deltas)
        this.pending = this.pending.slice(at + found.length)
        this.enter(found)
        continue
      }
      const held = Math.max(0, ...watched.map((marker) => overlap(this.pending, marker)))
      this.say(this.pending.slice(0, this.pending.length - held), deltas)
      this.pending = this.pending.slice(this.pending.length - held)
      break
    }
    return deltas
  }

  /** What waited when the text ended. */
  end(): ReadonlyArray<Delta> {
    const deltas: Array<Delta> = []
    if (this.state !== "call") this.say(this.pending, deltas)
    this.pending = ""
    return deltas
  }

  private enter(marker: string): void {
    if (marker === markers.think) this.state = "reasoning"
    else if (marker === markers.endOfThink) {
      this.state = "content"
      this.reasoned = true
    } else if (marker === markers.call) {
      this.state = "call"
      this.reasoned = true
      this.call = new CallReader(this.calls++, this.grammar.lateArguments)
    } else this.state = "content"
  }

  private say(text: string, deltas: Array<Delta>): void {
    if (text === "") return
    if (this.state === "call") deltas.push(...(this.call?.push(text) ?? []))
    else if (this.state === "reasoning") deltas.push({ kind: "reasoning", text })
    else if (this.grammar.calls === "bare" && this.reasoned) this.sayBare(text, deltas)
    else if (this.grammar.calls === "json" && this.reasoned) this.sayList(text, deltas)
    else if (this.grammar.trimsAroundCalls && this.calls > 0 && text.trim() === "") return
    else deltas.push({ kind: "content", text })
  }

  private sayBare(text: string, deltas: Array<Delta>): void {
    if (this.calls === 0) deltas.push({ kind: "call", index: this.calls++, name: this.grammar.tool ?? "" })
    deltas.push({ kind: "arguments", index: 0, text })
  }

  // A list of calls: `[{"name": …, "parameters": …}, …]`.
  private sayList(text: string, deltas: Array<Delta>): void {
    let rest = text
    while (rest !== "") {
      if (this.element === undefined) {
        const start = rest.indexOf("{")
        if (start < 0) return
        rest = rest.slice(start)
        this.element = new ValueEnd()
        this.call = new CallReader(this.calls++, false)
      }
      const { ended, size } = this.element.take(rest)
      deltas.push(...(this.call?.push(rest.slice(0, size)) ?? []))
      rest = rest.slice(size)
      if (ended) this.element = undefined
    }
  }
}
