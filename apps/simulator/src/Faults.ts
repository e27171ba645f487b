/**
 * Failures on purpose: which request meets which fault.
 *
 * A fault comes from the request's header `x-simulator-fault`, else from the script (the n-th request meets the n-th fault), else from
 * the rules, each with a rate. All draws are seeded.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Phase } from "./Lifecycle.ts"
import * as SeededRandom from "./SeededRandom.ts"

const afterTokens = Schema.optionalKey(
  Schema.Union([
    Schema.Natural,
    Schema.Struct({ from: Schema.optionalKey(Schema.Natural), to: Schema.optionalKey(Schema.Natural) }).check(
      Schema.makeFilter(({ from = 0, to = Infinity }) => from <= to, { expected: "from, which may not be greater than to" })
    )
  ])
).annotateKey({
  description:
    "After so many tokens of the answer, of all choices; 0 is right after the headers. {from, to} draws the token by the seed and the body of " +
    "the request: {} is any but the last. Without it, before the headers"
})

/**
 * Milliseconds after which a server that a fault ended runs again.
 */
const returnsAfter = Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))).annotateKey({
  description: "Milliseconds until the server runs again, on the same port. Without it, it stays as it is"
})

const Headers = Schema.optionalKey(Schema.Record(Schema.String, Schema.String)).annotateKey({ description: "Headers besides" })

/**
 * A fault. Times are in milliseconds.
 *
 * | kind | what happens |
 * | --- | --- |
 * | `status` | an error response in the server's shape, with `retryAfter` as its header if given |
 * | `html` | an error page, as of a proxy |
 * | `reset` | the connection is reset |
 * | `truncate` | the connection is closed in the middle of the answer |
 * | `stall` | nothing more comes until the client leaves |
 * | `drip` | the body comes in pieces of `bytes`, with a pause of `pause` between them |
 * | `split` | every byte of the body is written for itself |
 * | `noDone` | the stream ends well, without `[DONE]` |
 * | `garbage` | an event that is no JSON comes between the others |
 * | `error` | an error event ends the stream; at 0 tokens it is the first event |
 * | `abort` | the answer ends with `abort` as its finish reason, as of a server that is told to stop |
 * | `phase` | the whole server goes to a phase of `Lifecycle` when this answer comes to its token |
 *
 * @category schemas
 * @since 0.1.0
 */
export const Fault = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("status"),
    status: Schema.Int.check(Schema.isBetween({ minimum: 300, maximum: 599 })),
    retryAfter: Schema.optionalKey(Schema.Union([Schema.Finite, Schema.String])),
    message: Schema.optionalKey(Schema.String),
    headers: Headers
  }),
  Schema.Struct({
    kind: Schema.Literal("html"),
    status: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 }))),
    headers: Headers
  }),
  Schema.Struct({ kind: Schema.Literal("reset"), afterTokens }),
  Schema.Struct({ kind: Schema.Literal("truncate"), afterTokens }),
  Schema.Struct({ kind: Schema.Literal("stall"), afterTokens }),
  Schema.Struct({
    kind: Schema.Literal("drip"),
    bytes: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
    pause: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)))
  }),
  Schema.Struct({ kind: Schema.Literal("split") }),
  Schema.Struct({ kind: Schema.Literal("noDone") }),
  Schema.Struct({ kind: Schema.Literal("garbage"), afterTokens, text: Schema.optionalKey(Schema.String) }),
  Schema.Struct({
    kind: Schema.Literal("error"),
    afterTokens,
    status: Schema.optionalKey(Schema.Int),
    message: Schema.optionalKey(Schema.String)
  }),
  Schema.Struct({ kind: Schema.Literal("abort"), afterTokens }),
  Schema.Struct({ kind: Schema.Literal("phase"), phase: Phase, afterTokens, returnsAfter })
]).annotate({ identifier: "Fault" })
/** @since 0.1.0 */
export type Fault = typeof Fault.Type

/**
 * The token after which a fault strikes, or `undefined` if it strikes before the headers or has no place.
 *
 * A range draws it from `seed`, which should be the seed of the settings and the body of the request: then a stream breaks at the same
 * token in every run, whatever runs beside it.
 *
 * @example
 * ```ts
 * import * as Faults from "@paradigm-effect/simulator/Faults"
 *
 * console.log(Faults.placeOf({ kind: "reset", afterTokens: 3 }, 10, () => "0")) // => 3
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const placeOf = (fault: Fault | undefined, plannedTokens: number, seed: () => string): number | undefined => {
  if (fault === undefined || !("afterTokens" in fault)) return undefined
  const { afterTokens } = fault
  if (typeof afterTokens !== "object") return afterTokens
  const { from = 0 } = afterTokens
  const to = Math.max(from, Math.min(afterTokens.to ?? Infinity, plannedTokens - 1))
  return from + Math.floor(SeededRandom.make(SeededRandom.hash(seed()))() * (to - from + 1))
}

/**
 * A fault that a share of the requests meets.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FaultRule = Schema.Struct({
  rate: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))).annotateKey({
    description: "Share of the requests. Defaults to 1"
  }),
  path: Schema.optionalKey(Schema.String).annotateKey({ description: "Only requests to this path. Without it, all that make tokens" }),
  fault: Fault
})
/** @since 0.1.0 */
export type FaultRule = typeof FaultRule.Type

/**
 * The header in which a request asks for its own fault, as JSON.
 *
 * @category models
 * @since 0.1.0
 */
export const faultHeader = "x-simulator-fault"

/**
 * What decides about faults. The script's `null` is a request without a fault.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultSettings {
  readonly faults: ReadonlyArray<FaultRule>
  readonly faultScript: ReadonlyArray<Fault | null>
  readonly seed: number
}

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Fault))

/**
 * Chooses faults. The script starts anew whenever a new one is set.
 *
 * @category models
 * @since 0.1.0
 */
export class Faults {
  readonly #settings: () => FaultSettings
  #script: FaultSettings["faultScript"] | undefined
  #scriptAt = 0
  #rules: FaultSettings["faults"] | undefined
  #random: SeededRandom.SeededRandom = () => 0

  constructor(settings: () => FaultSettings) {
    this.#settings = settings
  }

  /** The fault of a request. A header that is no fault is a failure with the reason. */
  next(path: string, generates: boolean, header: string | undefined): Result.Result<Fault | undefined, string> {
    if (header !== undefined) {
      return Result.mapError(decode(header), (error) => `Header ${faultHeader}: ${error.message}`)
    }
    const { faultScript, faults, seed } = this.#settings()
    if (this.#script !== faultScript) {
      this.#script = faultScript
      this.#scriptAt = 0
    }
    if (generates && this.#scriptAt < faultScript.length) return Result.succeed(faultScript[this.#scriptAt++] ?? undefined)
    if (this.#rules !== faults) {
      this.#rules = faults
      this.#random = SeededRandom.make(seed)
    }
    for (const rule of faults) {
      if (rule.path === undefined ? !generates : rule.path !== path) continue
      if (this.#random() < (rule.rate ?? 1)) return Result.succeed(rule.fault)
    }
    return Result.succeed(undefined)
  }
}
