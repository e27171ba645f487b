// What is wrong with the fields of a value, by their paths. Values are not quoted: they may be a conversation.

/** What is wrong with each field, as in `{ "messages[1].role": ["Missing key"] }`; the key is empty for the value as a whole. */
export type Fields = Readonly<Record<string, ReadonlyArray<string>>>

export const join = (path: string, key: PropertyKey): string => {
  if (typeof key === "number" || /^\d+$/.test(String(key))) return `${path}[${String(key)}]`
  return path === "" ? String(key) : `${path}.${String(key)}`
}

/** Adds a problem. A map, since a field may have the name of something that every object inherits. */
export const add = (fields: Map<string, Array<string>>, name: string, problem: string): void => {
  const problems = fields.get(name)
  if (problems === undefined) fields.set(name, [problem])
  else problems.push(problem)
}

export const describeFields = (fields: Fields): string =>
  Object.entries(fields)
    .map(([name, problems]) => `${name === "" ? "" : `${name}: `}${problems.join(", ")}`)
    .join("; ")
