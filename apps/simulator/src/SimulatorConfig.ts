/**
 * The settings of a simulator that can change while it runs: by `simulator.config(…)`, by `POST /__config`, or by flags at its start.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Fault, FaultRule } from "./Faults.ts"
import { Phase } from "./Lifecycle.ts"
import type { Mode } from "./ModelText.ts"
import type { Limits, Timing } from "./Scheduler.ts"
import * as Script from "./Script.ts"

/**
 * Milliseconds of a time, or `undefined` if it is none. A time is a number of milliseconds, or a text such as `"20 millis"`.
 *
 * @example
 * ```ts
 * import * as SimulatorConfig from "@paradigm-effect/simulator/SimulatorConfig"
 *
 * console.log(SimulatorConfig.millisOf("2 seconds")) // => 2000
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const millisOf = (time: number | string): number | undefined => {
  const input = typeof time === "string" && /^\d+(\.\d+)?$/.test(time) ? Number(time) : time
  const millis =
    typeof input === "number" ? input : Option.getOrUndefined(Option.map(Duration.fromInput(input as Duration.Input), Duration.toMillis))
  return millis !== undefined && millis >= 0 && millis < Infinity ? millis : undefined
}

const Time = Schema.Union([Schema.Finite, Schema.String]).check(
  Schema.makeFilter((time: number | string) => millisOf(time) !== undefined, {
    expected: 'milliseconds of at least 0, or a duration such as "20 millis"'
  })
)
const Spread = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Limit = Schema.NullOr(Schema.Int.check(Schema.isGreaterThan(0)))

const text = Schema.optionalKey(Schema.String)
const pattern = Schema.optionalKey(
  Schema.String.check(Schema.makeFilter(Script.isUsable, { expected: "a text, or a regular expression as /…/flags" }))
)
const Said = Schema.Union([
  Schema.String,
  Schema.Struct({
    reasoning: text,
    content: text,
    calls: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.String, arguments: Schema.optionalKey(Schema.Unknown) })))
  })
])
const Fixture = Schema.Struct({
  when: Schema.optionalKey(
    Schema.Struct({ model: text, user: pattern, includes: text, last: text, turn: Schema.optionalKey(Schema.Natural), tool: text })
  ),
  answer: Schema.Union([Said, Schema.Array(Said)])
})

/**
 * Changes of settings. What is not named stays as it is.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SettingsChanges = Schema.Struct({
  mode: Schema.optionalKey(Schema.Literals(["echo", "random", "scripted", "replay"])).annotateKey({
    description:
      "echo gives back the last user message, random gives words chosen by the seed, scripted says what the script says, replay what was " +
      "recorded. Defaults to echo"
  }),
  script: Schema.optionalKey(Schema.Array(Fixture)).annotateKey({
    description: "Answers, and the requests that they are for. Sets the mode to scripted, unless it is given"
  }),
  replaySpeed: Schema.optionalKey(Schema.NullOr(Schema.Finite.check(Schema.isGreaterThan(0)))).annotateKey({
    description: "How many times faster recorded answers come than they did. null is without pauses. Defaults to 1"
  }),
  seed: Schema.optionalKey(Schema.Int).annotateKey({
    description: "Seed of answers without a seed of their own, of spreads and of faults. Defaults to 0"
  }),
  timeToFirstToken: Schema.optionalKey(Time).annotateKey({ description: "From the start of a request to its first token. Defaults to 0" }),
  timeToFirstTokenSpread: Schema.optionalKey(Spread).annotateKey({ description: "0.2 varies it evenly by 20 %. Defaults to 0" }),
  prefillPerToken: Schema.optionalKey(Time).annotateKey({ description: "Added to it for each token of the prompt. Defaults to 0" }),
  prefillSpread: Schema.optionalKey(Spread).annotateKey({ description: "Spread of the prefill. Defaults to 0" }),
  interTokenLatency: Schema.optionalKey(Time).annotateKey({ description: "From one token to the next. Defaults to 0" }),
  interTokenSpread: Schema.optionalKey(Spread).annotateKey({ description: "Spread of the latency. Defaults to 0" }),
  slowdown: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1))).annotateKey({
    description: "How many times longer everything takes when maxRunning requests run, in proportion in between. Defaults to 1"
  }),
  maxRunning: Schema.optionalKey(Limit).annotateKey({ description: "Requests that run at once; others wait. null (default) is no limit" }),
  maxUnfinished: Schema.optionalKey(Limit).annotateKey({
    description: "Requests that run or wait; others get a 503. null (default) is no limit"
  }),
  cacheTokens: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))).annotateKey({
    description: "Tokens of the cache whose usage is reported. Defaults to 262144"
  }),
  keepAlive: Schema.optionalKey(Time).annotateKey({
    description: "A comment is sent in a stream after so long without an event. 0 (default): never"
  }),
  requestIdHeaders: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "Responses have the header x-request-id. Defaults to false"
  }),
  faults: Schema.optionalKey(Schema.Array(FaultRule)).annotateKey({
    description: "Faults that shares of the requests meet. Defaults to none"
  }),
  faultScript: Schema.optionalKey(Schema.Array(Schema.NullOr(Fault))).annotateKey({
    description: "The n-th request from now on meets the n-th fault, null is none. Defaults to none"
  }),
  phase: Schema.optionalKey(Phase).annotateKey({ description: "running, draining, stopping, engineDead or killed" }),
  deathDelay: Schema.optionalKey(Schema.NullOr(Time)).annotateKey({
    description: "How long a server with a dead engine still answers with errors. Defaults to 200 ms; null is for ever"
  })
}).annotate({ identifier: "SettingsChanges" })
/** @since 0.1.0 */
export type SettingsChanges = typeof SettingsChanges.Type

/**
 * Settings, all times in milliseconds. `Infinity` is no limit; in JSON it is `null`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings extends Timing, Limits {
  readonly mode: Mode
  readonly script: ReadonlyArray<Script.Fixture>
  readonly replaySpeed: number
  readonly cacheTokens: number
  readonly keepAlive: number
  readonly requestIdHeaders: boolean
  readonly faults: ReadonlyArray<FaultRule>
  readonly faultScript: ReadonlyArray<Fault | null>
  readonly phase: Phase
  readonly deathDelay: number
}

/**
 * The settings of a simulator that was told nothing.
 *
 * @category models
 * @since 0.1.0
 */
export const defaults: Settings = {
  mode: "echo",
  script: [],
  replaySpeed: 1,
  seed: 0,
  timeToFirstToken: 0,
  timeToFirstTokenSpread: 0,
  prefillPerToken: 0,
  prefillSpread: 0,
  interTokenLatency: 0,
  interTokenSpread: 0,
  slowdown: 1,
  maxRunning: Infinity,
  maxUnfinished: Infinity,
  cacheTokens: 262_144,
  keepAlive: 0,
  requestIdHeaders: false,
  faults: [],
  faultScript: [],
  phase: "running",
  deathDelay: 200
}

const decode = Schema.decodeUnknownResult(SettingsChanges)

const times = ["timeToFirstToken", "prefillPerToken", "interTokenLatency", "keepAlive"] as const
const limits = ["maxRunning", "maxUnfinished", "replaySpeed"] as const

/**
 * Applies changes, or tells what is wrong with them.
 *
 * @example
 * ```ts
 * import * as SimulatorConfig from "@paradigm-effect/simulator/SimulatorConfig"
 * import * as Result from "effect/Result"
 *
 * const changed = SimulatorConfig.change(SimulatorConfig.defaults, { interTokenLatency: "20 millis" })
 * console.log(Result.getOrThrow(changed).interTokenLatency) // => 20
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const change = (settings: Settings, changes: unknown): Result.Result<Settings, string> =>
  Result.map(
    Result.mapError(decode(changes, { onExcessProperty: "error", errors: "all" }), (error) => error.message),
    (changes) => {
      const { deathDelay } = changes
      const delay = deathDelay === undefined ? settings.deathDelay : deathDelay === null ? Infinity : millisOf(deathDelay)
      const read = [
        ...times.flatMap((name) => (changes[name] === undefined ? [] : [[name, millisOf(changes[name])]])),
        ...limits.flatMap((name) => (changes[name] === undefined ? [] : [[name, changes[name] ?? Infinity]]))
      ]
      const mode = changes.mode ?? (changes.script === undefined ? settings.mode : "scripted")
      return {
        ...settings,
        ...changes,
        mode,
        ...(Object.fromEntries(read) as Partial<Settings>),
        deathDelay: delay ?? settings.deathDelay
      } as Settings
    }
  )
