/**
 * Limits of keys, teams and models. The rules of the configuration file and of a store have this type.
 */
import * as Schema from "effect/Schema"
import type { PeriodUnit } from "./Period.ts"

/** What a limit counts. Budgets are in micro-units of the currency: 1,000,000 are one unit. */
export const kinds = [
  "requests_per_minute",
  "tokens_per_minute",
  "concurrent_streams",
  "tokens_per_day",
  "tokens_per_month",
  "budget_per_day",
  "budget_per_month"
] as const

export type LimitKind = (typeof kinds)[number]

/** What a limit applies to. */
export type LimitScope = "key" | "team" | "model"

/** A limit. An amount of 0 allows nothing; without a rule there is no limit. */
export interface LimitRule {
  readonly scope: LimitScope
  readonly scopeId: string
  /** The model that the limit is for; `undefined` for all models together. */
  readonly modelId: string | undefined
  readonly kind: LimitKind
  readonly amount: number
  /** `report` counts and reports, and never refuses. */
  readonly mode: "enforce" | "report"
}

/** A price in micro-units of the currency per million tokens, so that a cost is an integer of pico-units. */
export interface Price {
  readonly input: number
  readonly cached: number
  readonly output: number
}

const amount = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** The limits of a key, a team or a model in the configuration file. */
export const Limits = Schema.Array(
  Schema.Struct({
    kind: Schema.Literals(kinds),
    amount: amount.annotateKey({ description: "Maximum. Budgets are in micro-units: 1000000 is one unit of the currency." }),
    model: Schema.optionalKey(Schema.NonEmptyString).annotateKey({ description: "The model that the limit is for. Defaults to all." }),
    mode: Schema.optionalKey(Schema.Literals(["enforce", "report"])).annotateKey({
      description: '"report" counts and reports, and never refuses. Defaults to "enforce".'
    })
  })
)

/** The price of a model in the configuration file. */
export const PriceOfModel = Schema.Struct({
  input: amount.annotateKey({ description: "Micro-units of the currency per million prompt tokens." }),
  cached: Schema.optionalKey(amount).annotateKey({ description: "The same for cached prompt tokens. Defaults to `input`." }),
  output: amount.annotateKey({ description: "Micro-units of the currency per million completion tokens." })
})

/** The rules of one owner in the configuration file. */
export const rulesOf = (scope: LimitScope, scopeId: string, limits: typeof Limits.Type = []): ReadonlyArray<LimitRule> =>
  limits.map(({ amount, kind, mode = "enforce", model }) => ({ scope, scopeId, modelId: model, kind, amount, mode }))

/** What an amount of a kind is counted in. */
export const measureOf = (kind: LimitKind): "requests" | "tokens" | "streams" | "budget" =>
  kind === "requests_per_minute" ? "requests" : kind === "concurrent_streams" ? "streams" : kind.startsWith("tokens_") ? "tokens" : "budget"

/** The calendar period of a kind; `undefined` for a minute and for streams. */
export const periodUnitOf = (kind: LimitKind): PeriodUnit | undefined =>
  kind.endsWith("_day") ? "day" : kind.endsWith("_month") ? "month" : undefined

/** Pico-units in a micro-unit. */
export const picoPerMicro = 1_000_000n

/** The cost of tokens in pico-units. */
export const costOf = (
  { prompt, cached, completion }: { readonly prompt: number; readonly cached: number; readonly completion: number },
  price: Price | undefined
): bigint => {
  if (price === undefined) return 0n
  const known = Math.min(cached, prompt)
  return BigInt(prompt - known) * BigInt(price.input) + BigInt(known) * BigInt(price.cached) + BigInt(completion) * BigInt(price.output)
}

/** A price of a model from a time on. */
export interface DatedPrice extends Price {
  readonly modelId: string
  /** Milliseconds of the epoch. */
  readonly validFrom: number
}

/** Limits and prices, found by who asks for what. */
export class LimitIndex {
  readonly #rules: ReadonlyArray<LimitRule>
  readonly #prices: ReadonlyArray<DatedPrice>
  readonly #rulesOf = new Map<string, Array<LimitRule>>()

  constructor(rules: ReadonlyArray<LimitRule>, prices: ReadonlyArray<DatedPrice>) {
    this.#rules = rules
    // The newest first.
    this.#prices = prices.toSorted((a, b) => b.validFrom - a.validFrom)
    for (const rule of rules) {
      const owner = `${rule.scope} ${rule.scopeId}`
      const found = this.#rulesOf.get(owner)
      if (found === undefined) this.#rulesOf.set(owner, [rule])
      else found.push(rule)
    }
  }

  /** These limits and prices, and those of a database. */
  with(stored: { readonly rules: ReadonlyArray<LimitRule>; readonly prices: ReadonlyArray<DatedPrice> }): LimitIndex {
    return new LimitIndex([...this.#rules, ...stored.rules], [...this.#prices, ...stored.prices])
  }

  /** The rules that bind a request, or all of a key and its team if no model is named. */
  find(key: string, team: string | undefined, model: string | undefined): ReadonlyArray<LimitRule> {
    const owners = [`key ${key}`, ...(team === undefined ? [] : [`team ${team}`]), ...(model === undefined ? [] : [`model ${model}`])]
    return owners
      .flatMap((owner) => this.#rulesOf.get(owner) ?? [])
      .filter(({ modelId }) => modelId === undefined || model === undefined || modelId === model)
  }

  /** The price of a model at a time; `undefined` if it has none. */
  priceOf(model: string, time: number): Price | undefined {
    return this.#prices.find(({ modelId, validFrom }) => modelId === model && validFrom <= time)
  }
}
