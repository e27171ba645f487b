/**
 * What a subject is known to fail, and until when. A listed case that passes fails the run, and so does a list that names no case or is out
 * of date: the list can only shrink.
 *
 * @since 0.1.0
 */
/**
 * One entry. `pattern` is an instance's id, where `*` stands for any characters; `until` is the last day it holds, as YYYY-MM-DD.
 *
 * @category models
 * @since 0.1.0
 */
export interface KnownFailure {
  readonly pattern: string
  readonly reason: string
  readonly until: string
}

/**
 * Whether a pattern is that of an id.
 *
 * @category matching
 * @since 0.1.0
 */
export const matches = (pattern: string, id: string): boolean =>
  new RegExp(`^${pattern.replace(/[.*+?^${}()|[\]\\]/g, (character) => (character === "*" ? ".*" : `\\${character}`))}$`).test(id)

const isOver = (failure: KnownFailure, today: Date) => today.toISOString().slice(0, 10) > failure.until

/**
 * The entry that covers an instance today.
 *
 * @category matching
 * @since 0.1.0
 */
export const find = (known: ReadonlyArray<KnownFailure>, instance: { readonly id: string }, today: Date): KnownFailure | undefined =>
  known.find((failure) => !isOver(failure, today) && matches(failure.pattern, instance.id))

/**
 * What is out of date in a list: one sentence per entry.
 *
 * @category validation
 * @since 0.1.0
 */
export const expired = (known: ReadonlyArray<KnownFailure>, today: Date): Array<string> =>
  known.flatMap((failure) =>
    isOver(failure, today) ? [`known failure ${failure.pattern} (${failure.reason}) held until ${failure.until}`] : []
  )

/**
 * What is wrong with a list: one sentence per entry that names no case or is out of date.
 *
 * @category validation
 * @since 0.1.0
 */
export const problems = (known: ReadonlyArray<KnownFailure>, plan: ReadonlyArray<{ readonly id: string }>, today: Date): Array<string> => [
  ...known.flatMap(({ pattern }) => (plan.some(({ id }) => matches(pattern, id)) ? [] : [`known failure ${pattern} names no case`])),
  ...expired(known, today)
]
