// JSON that a model writes, by a schema of any library: the JSON Schema that constrains it, and its validation.
import * as Predicate from "effect/Predicate"
import { add, describeFields, join } from "../errors/FieldErrors.ts"
import { excerpt, InvalidRequest, ParadigmError } from "../ParadigmError.ts"
import type { StandardSchema } from "../StandardSchema.ts"
import { toGrammarSchema } from "./grammarSchema.ts"

type JsonSchema = Readonly<Record<string, unknown>>

export const isSchema = (value: unknown): value is StandardSchema<unknown> =>
  (Predicate.isObject(value) || typeof value === "function") &&
  Predicate.hasProperty(value, "~standard") &&
  Predicate.hasProperty(value["~standard"], "validate") &&
  typeof value["~standard"].validate === "function"

const refuse = (field: string, problem: string, detail = "the schema has no JSON Schema"): never => {
  throw new ParadigmError({ reason: new InvalidRequest({ detail, fields: { [field]: [problem] } }) })
}

// Not every library writes the newest draft.
const convert = (schema: StandardSchema<unknown>, field: string): JsonSchema => {
  const { jsonSchema, vendor } = schema["~standard"]
  if (jsonSchema === undefined) return refuse(field, `${vendor} schemas have no JSON Schema of their own: give it as jsonSchema`)
  try {
    return jsonSchema.input({ target: "draft-2020-12" })
  } catch {
    return jsonSchema.input({ target: "draft-07" })
  }
}

/**
 * The JSON Schema of a schema's input, for grammar engines. `given` replaces the one that the schema writes. Throws `InvalidRequest` for
 * `field`.
 */
export const jsonSchemaFor = (schema: unknown, field: string, given?: JsonSchema): JsonSchema => {
  if (!isSchema(schema)) return refuse(field, 'Expected a Standard Schema, an object with "~standard"', "it has no schema")
  try {
    const { $schema: _, ...root } = toGrammarSchema({ ...(given ?? convert(schema, field)) })
    return root
  } catch (error) {
    if (error instanceof ParadigmError) throw error
    return refuse(field, error instanceof Error ? error.message : String(error))
  }
}

/** A decoded text, or the problems with their paths. */
export type Decoded<T> = { readonly value: T } | { readonly problem: string }

/** Decodes a text that a model wrote. */
export const decodeJson = async <T>(schema: StandardSchema<T>, text: string): Promise<Decoded<T>> => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { problem: "it is not JSON" }
  }
  const result = await schema["~standard"].validate(value)
  if (result.issues === undefined) return { value: result.value }
  const fields = new Map<string, Array<string>>()
  for (const { message, path } of result.issues) {
    const keys = (path ?? []).map((part) => (typeof part === "object" ? part.key : part))
    add(fields, keys.reduce<string>(join, ""), message)
  }
  return { problem: excerpt(describeFields(Object.fromEntries(fields))) }
}
