/**
 * Token counts, as a model server tells them in `usage`.
 */
import * as Predicate from "effect/Predicate"

/** Token counts of a request. */
export interface TokenCounts {
  readonly prompt: number
  readonly completion: number
  readonly cached: number
  readonly reasoning: number
}

/** A count; 0 for anything else. */
export const natural = (value: unknown): number => (Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : 0)

/** The counts in a `usage` object; `undefined` for anything else. */
export const tokenCounts = (usage: unknown): TokenCounts | undefined => {
  if (!Predicate.isObject(usage)) return undefined
  const details = (name: string) => (Predicate.isObject(usage[name]) ? usage[name] : {})
  return {
    prompt: natural(usage["prompt_tokens"]),
    completion: natural(usage["completion_tokens"]),
    cached: natural(details("prompt_tokens_details")["cached_tokens"]),
    reasoning: natural(details("completion_tokens_details")["reasoning_tokens"])
  }
}

/** The counts of a request from those of its choices, which have one prompt. */
export const totalOf = (choices: ReadonlyArray<TokenCounts>): TokenCounts => ({
  prompt: Math.max(...choices.map(({ prompt }) => prompt)),
  completion: choices.reduce((sum, { completion }) => sum + completion, 0),
  cached: Math.max(...choices.map(({ cached }) => cached)),
  reasoning: choices.reduce((sum, { reasoning }) => sum + reasoning, 0)
})
