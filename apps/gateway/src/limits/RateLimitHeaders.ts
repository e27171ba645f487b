/**
 * Headers of limits: `RateLimit-Policy` and `RateLimit` of the IETF's draft, and those that OpenAI's clients read. They count what running requests
 * hold, so that they are true while a stream runs.
 */
import { heldOf, type Charge, type Standing } from "./Counters.ts"
import { type LimitRule, measureOf } from "./LimitRule.ts"

/** A rule, its charge and its state. */
export interface Ruling {
  readonly rule: LimitRule
  readonly charge: Charge
  readonly standing: Standing
}

/** What is left of a limit, in the unit of its rule. */
export const remainingOf = ({ charge, rule, standing }: Ruling): number => {
  const left = Math.max(0, charge.limit - standing.used - standing.held)
  return measureOf(rule.kind) === "budget" ? Math.floor(left / 1000) : left
}

/** Milliseconds after which a request could be admitted. */
export const waitOf = ({ charge, standing }: Ruling): number => {
  // Running requests alone are in the way: their end, not that of the window, makes room.
  const isHeld = standing.used < charge.limit && standing.used + heldOf(charge) <= charge.limit
  return isHeld || standing.reset === 0 ? Math.min(1000, standing.reset || 1000) : standing.reset
}

const secondsOf = (millis: number) => Math.ceil(millis / 1000)

// A structured field's string: names have no place in it.
const nameOf = ({ kind, modelId, scope }: LimitRule) => `${scope}-${kind.replaceAll("_", "-")}${modelId === undefined ? "" : "-model"}`

// As OpenAI writes durations: 6m0s.
const durationOf = (millis: number) => {
  const seconds = secondsOf(millis)
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`
}

/** The names, for browsers. */
export const exposedHeaders: ReadonlyArray<string> = [
  "ratelimit",
  "ratelimit-policy",
  ...["requests", "tokens"].flatMap((measure) => ["limit", "remaining", "reset"].map((what) => `x-ratelimit-${what}-${measure}`))
]

/** The headers of a response. Rules that only report are not in them. */
export const headersOf = (rulings: ReadonlyArray<Ruling>): Readonly<Record<string, string>> => {
  const enforced = rulings.filter(({ rule }) => rule.mode === "enforce")
  if (enforced.length === 0) return {}
  const policies = enforced.map(({ charge, rule, standing }) => {
    const window = charge.window > 0 ? `;w=${charge.window / 1000}` : charge.end > 0 ? `;w=${secondsOf(standing.reset)}` : ""
    return `"${nameOf(rule)}";q=${rule.amount}${rule.kind === "concurrent_streams" ? ';qu="concurrent-requests"' : ""}${window}`
  })
  const states = enforced.map((ruling) => {
    const { rule, standing } = ruling
    return `"${nameOf(rule)}";r=${remainingOf(ruling)}${standing.reset > 0 ? `;t=${secondsOf(standing.reset)}` : ""}`
  })
  const headers: Record<string, string> = { "ratelimit-policy": policies.join(", "), ratelimit: states.join(", ") }
  for (const measure of ["requests", "tokens"] as const) {
    const perMinute = enforced.filter(({ rule }) => rule.kind === `${measure}_per_minute`)
    const [tightest] = perMinute.toSorted((a, b) => remainingOf(a) - remainingOf(b))
    if (tightest === undefined) continue
    headers[`x-ratelimit-limit-${measure}`] = String(tightest.rule.amount)
    headers[`x-ratelimit-remaining-${measure}`] = String(remainingOf(tightest))
    headers[`x-ratelimit-reset-${measure}`] = durationOf(tightest.standing.reset)
  }
  return headers
}
