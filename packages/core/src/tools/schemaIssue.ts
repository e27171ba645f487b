// The problems that a schema found, by the path of the field.
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { add, type Fields, join } from "../errors/FieldErrors.ts"

const format = SchemaIssue.makeFormatterStandardSchemaV1()

export const fieldsOf = (error: Schema.SchemaError): Fields => {
  const fields = new Map<string, Array<string>>()
  for (const { message, path } of format(error.issue).issues) {
    const keys = (path ?? []).map((part) => (typeof part === "object" ? part.key : part))
    add(fields, keys.reduce<string>(join, ""), message.replaceAll(" | undefined", ""))
  }
  return Object.fromEntries(fields)
}
