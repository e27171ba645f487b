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
const afterChoices = '],"usage":{'
const anywhere = new RegExp(String.raw`,\s*"usage"\s*:\s*${object}|"usage"\s*:\s*${object}\s*,\s*`)
const here = new RegExp(object, "y")
const key = /"usage"\s*:\s*\{/

/** Whether events have usage. */
export const hasUsage = (events: string): boolean => events.includes('"usage"') && key.test(events)

/** Events without the usage that follows their choices, and the JSON of the last one. */
export interface Counted {
  readonly rest: string
  readonly usage: string | undefined
}

// Past an object of usage. Most have no object inside.
const endOf = (events: string, start: number): number => {
  const end = events.indexOf("}", start)
  const inner = events.indexOf("{", start + 1)
  if (inner === -1 || inner > end) return end + 1
  here.lastIndex = start
  return here.test(events) ? here.lastIndex : 0
}

/** Takes running usage out of events, without a regular expression: it is in every event. */
export const takeUsage = (events: string): Counted => {
  let rest = ""
  let from = 0
  let usage: string | undefined
  for (let at = events.indexOf(afterChoices); at !== -1; at = events.indexOf(afterChoices, from)) {
    const start = at + afterChoices.length - 1
    const end = endOf(events, start)
    if (end <= start) break
    rest += events.slice(from, at + 1)
    usage = events.slice(start, end)
    from = end
  }
  return { rest: from === 0 ? events : rest + events.slice(from), usage }
}

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
