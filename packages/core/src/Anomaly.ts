/**
 * Deviations of a response from the contract. The client repairs or removes the deviating field, keeps the rest of the
 * response, and lists the deviation in `ResponseInfo.anomalies` and in `ParadigmError.anomalies`.
 *
 * @since 0.1.0
 */
import { beginningOf } from "./errors/FieldErrors.ts"
import { jsonText } from "./json/jsonText.ts"

/**
 * The name of a repair.
 *
 * - `envelope`: `id`, `object`, `created` or `model` is missing or has another type. The field gets the nearest valid value.
 * - `choices`: a completion or an event has no choices. It is not emitted as a chunk, unless it has usage.
 * - `choice-index`: the index of a choice is missing or a text.
 * - `delta`: a choice of a chunk has no delta. It gets an empty one.
 * - `message-frame`: a choice of a chunk has a `message`. The delta gets the part of the message that is new.
 * - `text`: a choice has its text in `text`, and none in `content`. It becomes the content.
 * - `role`: the role is empty. It is removed from a chunk, and becomes `assistant` in a completion.
 * - `text-parts`: a text is a list of parts. Text parts are joined as `content`, thinking parts as `reasoning`.
 * - `reasoning-twice`: `reasoning_content` repeats `reasoning`. It is removed.
 * - `finish-reason`: the finish reason is `""`, `"null"` or `"None"`. It becomes null.
 * - `tool-calls`: `tool_calls` is one call instead of a list, or the list holds nulls.
 * - `tool-call-index`: the index of a tool call is missing or wrong, or two calls have the same one.
 * - `tool-call-id`: a tool call has no id. One is generated.
 * - `tool-call-name`: a tool call has no name. Its name is empty.
 * - `tool-call-type`: the type of a tool call is missing.
 * - `arguments`: the arguments of a call are a JSON value instead of a string, or arrive whole a second time. They are converted to JSON text, and
 *   not repeated.
 * - `logprobs`: log probabilities have the form of another server, or are not finite. They are converted; `-Infinity` becomes -9999.
 * - `usage`: token counts are missing or have another type. They are derived from the other counts, or usage is removed.
 * - `removed`: another field does not have the type of the contract. It is removed.
 * - `unfinished`: a choice of a complete response has no finish reason.
 * - `more`: the count of deviations beyond the first 20.
 *
 * @category models
 * @since 0.1.0
 */
export type Repair =
  | "envelope"
  | "choices"
  | "choice-index"
  | "delta"
  | "message-frame"
  | "text"
  | "role"
  | "text-parts"
  | "reasoning-twice"
  | "finish-reason"
  | "tool-calls"
  | "tool-call-index"
  | "tool-call-id"
  | "tool-call-name"
  | "tool-call-type"
  | "arguments"
  | "logprobs"
  | "usage"
  | "removed"
  | "unfinished"
  | "more"

/**
 * One deviation of a response from the contract.
 *
 * @category models
 * @since 0.1.0
 */
export interface Anomaly {
  /** The name of the repair that was applied, for example `usage`. */
  readonly repair: Repair
  /** The path of the field, for example `choices[0].delta.tool_calls[0].index`. At most 200 characters. */
  readonly path: string
  /** The type of the field in the contract or after the repair, for example `integer`. `undefined` when the field was removed. */
  readonly expected: string
  /** The beginning of the JSON text that the server sent, at most 200 characters. Empty when the field was missing. */
  readonly raw: string
  /** The number of times that this repair was applied to this path. Above 1 in a stream only. */
  readonly count: number
}

const maxText = 200
const maxListed = 20

const bounded = (text: string) => beginningOf(text, maxText)

/**
 * The anomalies of one response. Repetitions of a repair at the same path are counted, not listed again. The list has at most 20 anomalies,
 * and a last one named `more` that counts the others.
 *
 * @example
 * ```ts
 * import { Anomaly } from "@paradigm-effect/core"
 *
 * const anomalies = new Anomaly.Anomalies()
 * anomalies.add("usage", "usage", "token counts", { prompt_tokens: null })
 * anomalies.add("usage", "usage", "token counts", { prompt_tokens: null })
 * const [anomaly] = anomalies.list
 * console.log(anomaly?.repair, anomaly?.count, anomaly?.raw) // => usage 2 {"prompt_tokens":null}
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export class Anomalies {
  /** The number of repairs that were applied. */
  total = 0
  readonly #listed = new Map<string, Anomaly>()

  /** Adds a repair of a value. `undefined` is a missing value. */
  add(repair: Repair, path: string, expected: string, value?: unknown): void {
    this.total++
    const place = bounded(path)
    const key = `${repair} ${place}`
    const before = this.#listed.get(key)
    if (before !== undefined) this.#listed.set(key, { ...before, count: before.count + 1 })
    else if (this.#listed.size < maxListed) {
      const raw = value === undefined ? "" : bounded(jsonText(value) ?? "…")
      this.#listed.set(key, { repair, path: place, expected: bounded(expected), raw, count: 1 })
    }
  }

  /** The anomalies so far, in the order of their first occurrence. */
  get list(): ReadonlyArray<Anomaly> {
    const listed = [...this.#listed.values()]
    const more = listed.reduce((count, anomaly) => count - anomaly.count, this.total)
    return more === 0 ? listed : [...listed, { repair: "more", path: "", expected: "", raw: "", count: more }]
  }
}
