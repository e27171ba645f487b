/**
 * Answers that are written down beforehand, each with what a request must have to get it.
 *
 * @since 0.1.0
 */
import { type ChatRequest, texts } from "./ChatRequest.ts"

/**
 * What a model says: its raw text (with `<think>` and `<tool_call>` where it has them), or the parts of the message.
 *
 * @category models
 * @since 0.1.0
 */
export type Said =
  | string
  | {
      readonly reasoning?: string | undefined
      readonly content?: string | undefined
      /** Arguments as a value, or as the text that the model writes. */
      readonly calls?: ReadonlyArray<{ readonly name: string; readonly arguments?: unknown }> | undefined
    }

/**
 * An answer, and the requests that it is for. Without `when` it is for all. Fixtures are tried in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fixture {
  readonly when?:
    | {
        readonly model?: string | undefined
        /** The text of the last message from the user: this text, or what the pattern (`/…/flags`) finds. */
        readonly user?: string | undefined
        /** A text in any message. */
        readonly includes?: string | undefined
        /** The role of the last message. */
        readonly last?: string | undefined
        /** The number of answers that the conversation has so far. */
        readonly turn?: number | undefined
        /** The name of a tool that is offered. */
        readonly tool?: string | undefined
      }
    | undefined
  /** One answer, or one for each choice (`n`); the last is for all further ones. */
  readonly answer: Said | ReadonlyArray<Said>
}

const isPattern = /^\/(.+)\/([dgimsuy]*)$/s

const matches = (expected: string, text: string): boolean => {
  const pattern = isPattern.exec(expected)
  return pattern === null ? text === expected : new RegExp(pattern[1] ?? "", pattern[2]).test(text)
}

/**
 * Whether a text for `user` can be used: a plain text, or a pattern that is one.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isUsable = (expected: string): boolean => {
  try {
    matches(expected, "")
    return true
  } catch {
    return false
  }
}

const fits = ({ when }: Fixture, request: ChatRequest): boolean => {
  if (when === undefined) return true
  const said = texts(request)
  const { includes, last, model, tool, turn, user } = when
  return (
    (model === undefined || request.model === model) &&
    (user === undefined || matches(user, said.findLast(({ role }) => role === "user")?.text ?? "")) &&
    (includes === undefined || said.some(({ text }) => text.includes(includes))) &&
    (last === undefined || request.messages.at(-1)?.role === last) &&
    (turn === undefined || request.messages.filter(({ role }) => role === "assistant").length === turn) &&
    (tool === undefined || (request.tools ?? []).some(({ function: { name } }) => name === tool))
  )
}

/**
 * The scripted answer of one choice.
 *
 * @category getters
 * @since 0.1.0
 */
export const find = (script: ReadonlyArray<Fixture>, request: ChatRequest, index: number): Said | undefined => {
  const answer = script.find((fixture) => fits(fixture, request))?.answer
  if (answer === undefined || typeof answer === "string" || !("length" in answer)) return answer
  return answer[index] ?? answer.at(-1)
}
