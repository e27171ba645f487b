/**
 * The limits of a request: one decision on all of them before it goes to a model server, and their settlement with what it used when it ends.
 */
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import { GatewayFailure } from "../GatewayFailure.ts"
import type { TokenCounts } from "../TokenCounts.ts"
import type { GatewayMetrics } from "../GatewayMetrics.ts"
import { type Charge, type Decision, heldOf, MemoryCounters } from "./Counters.ts"
import { costOf, type LimitRule, measureOf, periodUnitOf, type Price } from "./LimitRule.ts"
import type { Calendar } from "./Period.ts"
import { nanoOf, PeriodUse, type ReadUse } from "./PeriodUse.ts"
import { headersOf, remainingOf, type Ruling, waitOf } from "./RateLimitHeaders.ts"
import { RedisCounters, type RedisOptions } from "./RedisCounters.ts"

/** Settings of a limiter. */
export interface LimiterOptions {
  readonly calendar: Calendar
  /** Counters of several gateways; in memory without. */
  readonly redis: Pick<RedisOptions, "url" | "timeout" | "prefix"> | undefined
  /** What holds while Redis is away: `open` limits by the counters of this gateway, `closed` refuses. */
  readonly whenAway: "open" | "closed"
  /** Time after which the holds of a gateway that was killed end, in milliseconds. */
  readonly lease: number
  readonly metrics: GatewayMetrics
  /** The use of periods in the ledger. */
  readonly readUse?: ReadUse | undefined
  readonly now?: (() => number) | undefined
}

/** What a request may use, before it runs. */
export interface Estimate {
  readonly prompt: number
  readonly completion: number
  readonly price: Price | undefined
}

const bytesPerToken = 4
// An image in the body is larger than its tokens.
const maxMediaPrompt = 4096
const assumedCompletion = 1024

/** What a request may use: its size tells the tokens of its prompt, and its fields the maximum of its completion. */
export const estimateOf = (request: ChatCompletionRequest, bytes: number, price: Price | undefined): Estimate => {
  const hasMedia = request.messages.some(
    ({ content }) => Array.isArray(content) && content.some((part: { readonly type?: string }) => part.type !== "text")
  )
  const prompt = Math.ceil(bytes / bytesPerToken)
  const completion = request.max_completion_tokens ?? request.max_tokens ?? assumedCompletion
  return { prompt: hasMedia ? Math.min(prompt, maxMediaPrompt) : prompt, completion: completion * (request.n ?? 1), price }
}

const minute = 60_000
// The ledger may be slow when a counter is first used.
const maxReading = 50

const unavailable = () =>
  new GatewayFailure({
    status: 503,
    detail: "The limits of this key cannot be checked at the moment. Retry later.",
    headers: { "retry-after": "1" },
    cause: "Redis is away, and whenAway is closed"
  })

interface Plan {
  readonly rules: ReadonlyArray<LimitRule>
  readonly charges: ReadonlyArray<Charge>
}

/** The limits of one request that was admitted. */
export class Admission {
  readonly id: string
  readonly plan: Plan
  readonly price: Price | undefined
  readonly isShared: boolean
  readonly rulings: ReadonlyArray<Ruling>
  readonly #limiter: Limiter
  readonly #renewals: NodeJS.Timeout
  #isSettled = false

  constructor(
    limiter: Limiter,
    id: string,
    plan: Plan,
    price: Price | undefined,
    isShared: boolean,
    rulings: ReadonlyArray<Ruling>,
    lease: number
  ) {
    this.#limiter = limiter
    this.id = id
    this.plan = plan
    this.price = price
    this.isShared = isShared
    this.rulings = rulings
    this.#renewals = setInterval(() => limiter.renew(this), lease / 3).unref()
  }

  get headers(): Readonly<Record<string, string>> {
    return headersOf(this.rulings)
  }

  /** Settles the limits, once. `undefined` for an answer whose use is not known: what was held stands. */
  settle(usage: TokenCounts | undefined): void {
    if (this.#isSettled) return
    this.#isSettled = true
    clearInterval(this.#renewals)
    this.#limiter.settle(this, usage)
  }
}

/** Decides on limits. */
export class Limiter {
  readonly #options: LimiterOptions
  readonly #now: () => number
  readonly #memory: MemoryCounters
  readonly #redis: RedisCounters | undefined
  readonly #use: PeriodUse
  readonly #refreshes: NodeJS.Timeout

  constructor(options: LimiterOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#memory = new MemoryCounters(options.lease, this.#now)
    this.#redis = options.redis === undefined ? undefined : new RedisCounters({ ...options.redis, lease: options.lease })
    this.#use = new PeriodUse(options.readUse, this.#now)
    this.#refreshes = setInterval(() => void this.#use.refresh(), 1000).unref()
  }

  /** Whether the counters of all gateways are in use. */
  get isDegraded(): boolean {
    return this.#redis?.isUp === false
  }

  close(): void {
    clearInterval(this.#refreshes)
    this.#redis?.close()
  }

  /** Admits a request, or returns the failure that refuses it. In memory, the answer is there at once. */
  admit(all: ReadonlyArray<LimitRule>, estimate: Estimate): Admission | GatewayFailure | undefined | Promise<Admission | GatewayFailure> {
    // A model without a price is free: budgets of money do not bind it.
    const rules = estimate.price === undefined ? all.filter(({ kind }) => !kind.startsWith("budget_")) : all
    if (rules.length === 0) return undefined
    const plan = this.#plan(rules, estimate)
    const id = crypto.randomUUID()
    const isUnread = plan.charges.some(({ counter }) => this.#use.isUnread(counter))
    if (this.#redis === undefined && !isUnread) return this.#rule(id, plan, estimate.price, this.#memory.admit(id, plan.charges), false)
    return this.#admit(id, rules, plan, estimate, isUnread)
  }

  /** Counts a request that failed before it could be admitted to the requests of its key and team. */
  count(rules: ReadonlyArray<LimitRule>): void {
    const requests = rules.filter(({ kind, modelId }) => kind === "requests_per_minute" && modelId === undefined)
    if (requests.length === 0) return
    const { charges } = this.#plan(requests, { prompt: 0, completion: 0, price: undefined })
    const settlements = charges.map((charge) => ({ charge, held: 0, actual: 1 }))
    if (this.#redis?.isUp === true) void this.#redis.settle(crypto.randomUUID(), settlements)
    else this.#memory.settle("", settlements)
  }

  /** The state of limits. */
  async standings(rules: ReadonlyArray<LimitRule>): Promise<ReadonlyArray<Ruling>> {
    const plan = this.#plan(rules, { prompt: 0, completion: 0, price: undefined })
    // Nothing is taken: no charge has a hold, and the id is empty.
    const charges = plan.charges.map((charge) => ({ ...charge, hold: 0, isEnforced: false }))
    const decision = (await this.#redis?.admit("", charges)) ?? this.#memory.admit("", charges)
    return rulingsOf({ rules, charges }, decision)
  }

  renew({ id, isShared, plan: { charges } }: Admission): void {
    if (isShared) void this.#redis?.renew(id, charges)
    else this.#memory.renew(id, charges)
  }

  settle({ id, isShared, plan, price }: Admission, usage: TokenCounts | undefined): void {
    const settlements = plan.charges.map((charge, i) => {
      const rule = plan.rules[i]
      const held = heldOf(charge)
      return { charge, held, actual: rule === undefined ? held : actualOf(rule, held, usage, price) }
    })
    for (const { actual, charge } of settlements) if (charge.end > 0) this.#use.add(charge.counter, actual)
    if (!isShared) this.#memory.settle(id, settlements)
    else void this.#redis?.settle(id, settlements)
  }

  async #admit(
    id: string,
    rules: ReadonlyArray<LimitRule>,
    planned: Plan,
    estimate: Estimate,
    isUnread: boolean
  ): Promise<Admission | GatewayFailure> {
    if (isUnread) await settled(this.#use.refresh(), maxReading)
    const plan = isUnread ? this.#plan(rules, estimate) : planned
    const shared = await this.#redis?.admit(id, plan.charges)
    if (shared !== undefined) return this.#rule(id, plan, estimate.price, shared, true)
    if (this.#redis !== undefined && this.#options.whenAway === "closed") return unavailable()
    return this.#rule(id, plan, estimate.price, this.#memory.admit(id, plan.charges), false)
  }

  #plan(rules: ReadonlyArray<LimitRule>, estimate: Estimate): Plan {
    const now = this.#now()
    return { rules, charges: rules.map((rule) => this.#charge(rule, estimate, now)) }
  }

  #charge(rule: LimitRule, { completion, price, prompt }: Estimate, now: number): Charge {
    const { amount, kind, mode, modelId, scope, scopeId } = rule
    const unit = periodUnitOf(kind)
    const period = unit === undefined ? undefined : this.#options.calendar.periodOf(unit, now)
    const counter = [kind, scope, scopeId, modelId ?? "", ...(period === undefined ? [] : [period.start])].map(encodeURIComponent).join(":")
    const measure = measureOf(kind)
    return {
      counter,
      limit: measure === "budget" ? Math.min(amount * 1000, Number.MAX_SAFE_INTEGER) : amount,
      isEnforced: mode === "enforce",
      window: kind.endsWith("_per_minute") ? minute : 0,
      end: period?.end ?? 0,
      hold:
        measure === "budget" ? nanoOf(costOf({ prompt, cached: 0, completion }, price)) : measure === "tokens" ? prompt + completion : 1,
      seed: period === undefined ? 0 : this.#use.seedOf(counter, rule, period)
    }
  }

  #rule(id: string, plan: Plan, price: Price | undefined, decision: Decision, isShared: boolean): Admission | GatewayFailure {
    const rulings = rulingsOf(plan, decision)
    const { metrics } = this.#options
    for (const { charge, standing } of rulings) if (charge.end > 0) this.#use.saw(charge.counter, standing.used)
    const refused = rulings[decision.refusedBy]
    if (refused !== undefined) {
      metrics.limited(refused.rule, "enforce")
      return refusal(refused, rulings)
    }
    for (const { charge, rule, standing } of rulings) {
      const after = standing.used + standing.held
      const before = after - heldOf(charge)
      for (const percent of [80, 100]) {
        const threshold = (charge.limit * percent) / 100
        if (before < threshold && after >= threshold) metrics.threshold(rule, percent)
      }
      if (rule.mode === "report" && after > charge.limit) metrics.limited(rule, "report")
    }
    return new Admission(this, id, plan, price, isShared, rulings, this.#options.lease)
  }
}

const settled = (promise: Promise<void>, millis: number) => {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis)
  })
  return Promise.race([promise, expiry]).finally(() => clearTimeout(timer))
}

const rulingsOf = ({ charges, rules }: Plan, { standings }: Decision): ReadonlyArray<Ruling> =>
  rules.flatMap((rule, i) => {
    const [charge, standing] = [charges[i], standings[i]]
    return charge === undefined || standing === undefined ? [] : [{ rule, charge, standing }]
  })

const actualOf = ({ kind }: LimitRule, held: number, usage: TokenCounts | undefined, price: Price | undefined): number => {
  const measure = measureOf(kind)
  if (measure === "requests") return held
  if (measure === "streams") return 0
  if (usage === undefined) return held
  return measure === "tokens" ? usage.prompt + usage.completion : nanoOf(costOf(usage, price))
}

/** The use of a request that never reached a model server, or that one refused. */
export const unused: TokenCounts = { prompt: 0, completion: 0, cached: 0, reasoning: 0 }

const words = {
  requests_per_minute: "requests per minute",
  tokens_per_minute: "tokens per minute",
  concurrent_streams: "requests at the same time",
  tokens_per_day: "tokens per day",
  tokens_per_month: "tokens per month",
  budget_per_day: "the budget per day",
  budget_per_month: "the budget per month"
} as const

const refusal = (refused: Ruling, rulings: ReadonlyArray<Ruling>): GatewayFailure => {
  const { kind, scope, modelId, amount } = refused.rule
  const millis = waitOf(refused)
  const seconds = Math.max(1, Math.ceil(millis / 1000))
  const isBudget = measureOf(kind) === "budget"
  const what = isBudget ? words[kind] : `${amount} ${words[kind]}`
  const owner = `of this ${scope}${modelId === undefined || scope === "model" ? "" : " for this model"}`
  return new GatewayFailure({
    status: 429,
    detail: `The limit ${isBudget ? "" : "of "}${what} ${owner} is reached: ${remainingText(refused)}. Retry in ${seconds} seconds.`,
    headers: { ...headersOf(rulings), "retry-after": String(seconds), "retry-after-ms": String(Math.max(1, Math.ceil(millis))) },
    code: isBudget || periodUnitOf(kind) !== undefined ? "insufficient_quota" : "rate_limit_exceeded",
    cause: `limit ${kind} of ${scope}`
  })
}

const remainingText = (ruling: Ruling) => {
  const left = remainingOf(ruling)
  return measureOf(ruling.rule.kind) === "tokens" && left > 0
    ? `${left} are left, and this request may use ${heldOf(ruling.charge)}`
    : "nothing is left"
}
