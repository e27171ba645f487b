/**
 * Calls of tools in the chunks of a stream: in which pieces, and with which keys in each.
 *
 * @since 0.1.0
 */
import type { ChatRequest } from "./ChatRequest.ts"
import { spaced } from "./ErrorReply.ts"
import * as Ids from "./Ids.ts"
import { project, type Values } from "./KeyOrder.ts"
import type { Delta } from "./MessageReader.ts"
import type { Profile } from "./Profile.ts"

/** @internal */
export type CallDelta = Extract<Delta, { kind: "call" | "arguments" }>

/** @internal */
export const isCall = (delta: Delta): delta is CallDelta => delta.kind === "call" || delta.kind === "arguments"

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Arguments as the server writes them.
 *
 * @internal
 */
export const rewritten = (args: string, { calls }: Profile): string => {
  const value = calls.arguments === "raw" ? undefined : parsed(args)
  if (value === undefined) return args
  return calls.arguments === "compact" ? JSON.stringify(value) : spaced(value)
}

/**
 * The calls of one choice.
 *
 * @internal
 */
export class CallPieces {
  private readonly names = new Map<number, string>()
  private readonly started = new Set<number>()
  private pending = ""

  private readonly profile: Profile
  private readonly choice: ChatRequest["tool_choice"]
  private readonly isForced: boolean

  constructor(profile: Profile, choice: ChatRequest["tool_choice"], isForced: boolean) {
    this.profile = profile
    this.choice = choice
    this.isForced = isForced
  }

  /** The pieces of the next deltas: none while a server waits for the rest of a call. */
  write(calls: ReadonlyArray<CallDelta>): ReadonlyArray<Values> {
    if (this.profile.calls.pieces === "whole") return calls.flatMap((call) => this.whole(call))
    return calls.flatMap((call) => (this.isForced ? this.forced(call) : this.piece(call)))
  }

  private piece(call: CallDelta): ReadonlyArray<Values> {
    const { index } = call
    const { pieces } = this.profile.calls
    const isName = call.kind === "call"
    if (pieces === "repeated") {
      const made = { name: isName ? call.name : null, arguments: isName ? "" : call.text }
      return [{ id: isName ? this.id() : null, index, type: "function", function: made }]
    }
    if (pieces === "typed") {
      const made = isName ? { arguments: "", name: call.name } : { arguments: call.text }
      return [project("id? function type index", { id: isName ? this.id() : null, function: made, type: "function", index })]
    }
    if (isName && pieces === "apart") return [{ id: this.id(), type: "function", index, function: { name: call.name } }]
    if (isName) return this.waits(call)
    if (pieces === "together" && this.starts(index)) {
      return [{ index, id: this.id(), type: "function", function: { name: this.names.get(index), arguments: call.text } }]
    }
    return [{ index, function: { arguments: call.text } }]
  }

  // Required and named calls of servers that write them otherwise: name and first arguments together.
  private forced(call: CallDelta): ReadonlyArray<Values> {
    if (call.kind === "call") return this.waits(call)
    const { index } = call
    const isNamed = this.choice !== "required"
    const name = this.names.get(index)
    const isFirst = this.starts(index)
    const written = { arguments: call.text }
    if (this.profile.calls.forcedPieces === "anonymous") {
      if (isNamed) return [{ index, function: { name, ...written } }]
      return [{ type: "function", index, function: { name: isFirst ? name : null, ...written } }]
    }
    if (isFirst) return [{ id: this.id(), type: "function", index, function: { name, ...written } }]
    return [{ index, function: isNamed ? written : { name: null, ...written } }]
  }

  // Name and arguments in one piece, once they are complete; what is cut is never sent.
  private whole(call: CallDelta): ReadonlyArray<Values> {
    if (call.kind === "call") {
      this.pending = ""
      return this.waits(call)
    }
    this.pending += call.text
    if (parsed(this.pending) === undefined) return []
    const { keys } = this.profile
    const made = project(keys.function, { name: this.names.get(call.index), arguments: rewritten(this.pending, this.profile) })
    return [project(keys.call, { id: this.id(), index: call.index, type: "function", function: made })]
  }

  private waits({ index, name }: Extract<CallDelta, { kind: "call" }>): ReadonlyArray<Values> {
    this.names.set(index, name)
    return []
  }

  private starts(index: number): boolean {
    if (this.started.has(index)) return false
    this.started.add(index)
    return true
  }

  private id(): string {
    return Ids.make(this.profile.ids.call)
  }
}
