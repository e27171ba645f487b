// Problems of a value by the path of the field. Values are never quoted, because they may be a conversation. Both the paths and the number of
// problems are bounded: servers and callers control them.

/** Problems by path, for example `{ "messages[1].role": ["Missing key"] }`. The path of the value itself is empty. */
export type Fields = Readonly<Record<string, ReadonlyArray<string>>>

/** The key under which `add` counts the problems that it does not list. */
const rest = "…"

const maxProblems = 20
const maxPath = 200
const maxKey = 80
const maxProblem = 300

/** The beginning of a text, with an ellipsis if the text is longer. */
export const beginningOf = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 1)}…`)

// Keeps both ends of a text.
const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, Math.ceil(length / 2) - 1)}…${text.slice(text.length - Math.floor(length / 2))}`

/** The path of a member. A path has at most 200 characters, and loses its middle beyond that. */
export const join = (path: string, key: PropertyKey): string => {
  if (typeof key === "number") return shorten(`${path}[${key}]`, maxPath)
  const name = shorten(String(key), maxKey)
  if (/^\d+$/.test(name)) return shorten(`${path}[${name}]`, maxPath)
  return path === "" ? name : shorten(`${path}.${name}`, maxPath)
}

/** Problems without a limit on their number, for the repair of each. */
export class AllProblems extends Map<string, Array<string>> {}

/** Adds a problem. Lists at most 20 and counts the others. Takes a map, because a field may have the name of an inherited member. */
export const add = (fields: Map<string, Array<string>>, path: string, problem: string): void => {
  let listed = 0
  if (!(fields instanceof AllProblems)) for (const problems of fields.values()) listed += problems.length
  if (listed >= maxProblems) {
    const unlisted = Number.parseInt(fields.get(rest)?.[0] ?? "") || 0
    fields.set(rest, [`${unlisted + 1} more`])
    return
  }
  const name = path === rest ? `"${rest}"` : shorten(path, maxPath)
  const problems = fields.get(name) ?? []
  fields.set(name, problems)
  problems.push(shorten(problem, maxProblem))
}

/** Formats problems for the message of an error. */
export const describeFields = (fields: Fields): string =>
  Object.entries(fields)
    .map(([name, problems]) => `${name === "" ? "" : `${name}: `}${problems.join(", ")}`)
    .join("; ")
