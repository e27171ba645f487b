/**
 * What the gateway asks a model server for and the client did not, and how it is taken out of the events. The rest of an event stays as it came.
 *
 * Inside a JSON string every quote is escaped, so that `"usage":{` is a key, and its object has neither braces nor quotes in strings.
 */

/** What is taken out of the events of a stream. */
export interface Withheld {
  /** `running`: the usage in events with choices. `all`: also the event of the usage alone. */
  readonly usage: "none" | "running" | "all"
  /** Ids of tokens, and the events that come for their sake alone. */
  readonly ids: boolean
}

/** Nothing is withheld. */
export const nothing: Withheld = { usage: "none", ids: false }

const object = String.raw`\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}`
// As vLLM writes it: after the choices.
const afterChoices = new RegExp(String.raw`\], ?"usage": ?${object}`, "g")
const anywhere = new RegExp(String.raw`,\s*"usage"\s*:\s*${object}|"usage"\s*:\s*${object}\s*,\s*`)
const last = new RegExp(object, "y")
const key = /"usage"\s*:\s*\{/

/** Whether events have usage. */
export const hasUsage = (events: string): boolean => key.test(events)

/** The JSON of the last usage in events. */
export const lastUsage = (events: string): string | undefined => {
  const at = Math.max(events.lastIndexOf('"usage":{'), events.lastIndexOf('"usage": {'))
  if (at === -1) return undefined
  last.lastIndex = events.indexOf("{", at)
  return last.exec(events)?.[0]
}

/** Events without the usage that follows their choices. */
export const withoutRunningUsage = (events: string): string => events.replace(afterChoices, "]")

/** One event without its usage. */
export const withoutUsage = (event: string): string => event.replace(anywhere, "")

/** Events without ids of tokens. A server that knows of ids says null where they were not asked for. */
export const withoutIds = (events: string): string => events.replace(/"((?:prompt_)?token_ids)"( ?: ?)\[[\d, ]*\]/g, '"$1"$2null')

/** Whether an event is there for the ids of its tokens alone. */
export const isEmptyDelta = (choices: ReadonlyArray<Readonly<Record<string, unknown>>>): boolean => {
  const [choice, other] = choices
  if (choice === undefined || other !== undefined || choice["finish_reason"] != null || choice["logprobs"] != null) return false
  const { delta } = choice
  return typeof delta === "object" && delta !== null && Object.keys(delta).length === 0
}
