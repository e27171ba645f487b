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

export const fieldsOf = (error: Schema.SchemaError): Fields => {
  const fields: Record<string, Array<string>> = {}
  for (const { message, path } of format(error.issue).issues) {
    const keys = (path ?? []).map((part) => (typeof part === "object" ? part.key : part))
    const name = keys.reduce<string>(join, "")
    ;(fields[name] ??= []).push(message.replaceAll(" | undefined", ""))
  }
  return fields
}

export const describeFields = (fields: Fields): string =>
  Object.entries(fields)
    .map(([name, problems]) => `${name === "" ? "" : `${name}: `}${problems.join(", ")}`)
    .join("; ")
