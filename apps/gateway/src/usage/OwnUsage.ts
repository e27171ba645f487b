/**
 * What the holder of a key may know: its own use today and this month, its limits, and what is left of them.
 */
import type { KeyHolder } from "../GatewayConfig.ts"
import { measureOf } from "../limits/LimitRule.ts"
import type { LimitIndex } from "../limits/LimitRule.ts"
import type { Limiter } from "../limits/Limiter.ts"
import type { Calendar } from "../limits/Period.ts"
import { remainingOf, type Ruling } from "../limits/RateLimitHeaders.ts"
import * as Effect from "effect/Effect"
import type { UsageRecorder } from "./UsageRecorder.ts"
import { unitsOf } from "./UsageQueries.ts"

/** Where the answer comes from. */
export interface Sources {
  readonly limits: LimitIndex
  readonly calendar: Calendar
  readonly limiter: Limiter
  readonly usage: UsageRecorder | undefined
}

const maxQuery = 2000

const limitOf = (ruling: Ruling) => {
  const { charge, rule, standing } = ruling
  const isBudget = measureOf(rule.kind) === "budget"
  return {
    scope: rule.scope,
    kind: rule.kind,
    model: rule.modelId ?? null,
    mode: rule.mode,
    amount: rule.amount,
    used: isBudget ? Math.ceil(standing.used / 1000) : standing.used,
    held: isBudget ? Math.ceil(standing.held / 1000) : standing.held,
    remaining: remainingOf(ruling),
    resets_at: charge.window === 0 && charge.end === 0 ? null : new Date(Date.now() + standing.reset).toISOString()
  }
}

/**
 * The body of the answer. Sums are from the ledger, which lags by a second or two; they are `null` without one, and while it is away. The amounts of a
 * team are shown to its keys. Those of a model, which all keys share, are not.
 */
export const ownUsage = async (holder: KeyHolder, { calendar, limiter, limits, usage }: Sources): Promise<string> => {
  const now = Date.now()
  const sumOf = async (unit: "day" | "month") => {
    const { end, start } = calendar.periodOf(unit, now)
    const question = { from: start, to: end, by: ["model"] as const, keyId: holder.id }
    const sums = await (usage === undefined
      ? undefined
      : Effect.runPromise(Effect.catchCause(Effect.timeout(usage.queries.sum(question), maxQuery), () => Effect.succeed(undefined))))
    if (sums === undefined) return null
    const models = sums.map(({ cached, completion, costPico, group, prompt, requests }) => ({
      model: group.model ?? "",
      requests: Number(requests),
      prompt_tokens: Number(prompt),
      cached_tokens: Number(cached),
      completion_tokens: Number(completion),
      cost: unitsOf(costPico)
    }))
    return { from: new Date(start).toISOString(), to: new Date(end).toISOString(), models }
  }
  const rulings = await limiter.standings(limits.find(holder.id, holder.team, undefined))
  return JSON.stringify({
    object: "usage",
    key: holder.name,
    today: await sumOf("day"),
    month: await sumOf("month"),
    limits: rulings.map(limitOf)
  })
}
