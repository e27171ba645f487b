// What a schema found wrong, by the path of the field. Values are not quoted: they may be a conversation.
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/** What is wrong with each field, as in `{ "messages[1].role": ["Missing key"] }`; the key is empty for the value as a whole. */
export type Fields = Readonly<Record<string, ReadonlyArray<string>>>

const format = SchemaIssue.makeFormatterStandardSchemaV1()

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

export const fieldsOf = (error: Schema.SchemaError): Fields => {
  const fields = new Map<string, Array<string>>()
  for (const { message, path } of format(error.issue).issues) {
    const keys = (path ?? []).map((part) => (typeof part === "object" ? part.key : part))
    add(fields, keys.reduce<string>(join, ""), message.replaceAll(" | undefined", ""))
  }
  return Object.fromEntries(fields)
}

export const describeFields = (fields: Fields): string =>
  Object.entries(fields)
    .map(([name, problems]) => `${name === "" ? "" : `${name}: `}${problems.join(", ")}`)
    .join("; ")
