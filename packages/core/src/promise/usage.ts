// The usage of several completions.
import type { ChatCompletion, CompletionUsage } from "../ChatCompletion.ts"

type Counts = Readonly<Record<string, unknown>>

// Adds the counts of one object to the other, and those of its members.
const add = (into: Record<string, unknown>, counts: Counts) => {
  for (const [name, value] of Object.entries(counts)) {
    const before = into[name]
    if (typeof value === "number") into[name] = (typeof before === "number" ? before : 0) + value
    else if (typeof value === "object" && value !== null) add((into[name] = { ...(before as Counts | undefined) }), value as Counts)
  }
}

/** The sum of the usages of completions. */
export const addUsage = (completions: ReadonlyArray<ChatCompletion>): CompletionUsage => {
  const sum = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
  for (const { usage } of completions) if (usage) add(sum, usage as unknown as Counts)
  return sum
}
