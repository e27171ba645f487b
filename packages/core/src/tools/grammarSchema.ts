// JSON Schemas in the part of the language that the grammar engines of model servers support.
import * as Predicate from "effect/Predicate"

type JsonSchema = Record<string, unknown>

const tighter: Readonly<Record<string, (a: number, b: number) => number>> = {
  minimum: Math.max,
  exclusiveMinimum: Math.max,
  minLength: Math.max,
  minItems: Math.max,
  minProperties: Math.max,
  maximum: Math.min,
  exclusiveMaximum: Math.min,
  maxLength: Math.min,
  maxItems: Math.min,
  maxProperties: Math.min
}

// A constraint that one schema cannot express is omitted. The grammar is then looser, and the decoder still checks it.
const merge = (into: JsonSchema, member: JsonSchema) => {
  for (const [key, value] of Object.entries(member)) {
    const before = into[key]
    if (before === undefined || key === "description") into[key] = value
    else if (typeof before === "number" && typeof value === "number") into[key] = tighter[key]?.(before, value) ?? before
  }
}

const rewrite = (schema: unknown): unknown => (Predicate.isObject(schema) ? toGrammarSchema(schema) : schema)

const rewriteValues = (schemas: unknown): unknown =>
  Predicate.isObject(schemas) ? Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, rewrite(schema)])) : schemas

const rewriteAll = (schemas: unknown): unknown => (Array.isArray(schemas) ? schemas.map(rewrite) : schemas)

// The grammar engines of model servers support a part of JSON Schema. xgrammar ignores every keyword next to an `allOf`, so a field with a
// description would accept anything. It ignores `not`, and rejects or misreads `propertyNames` and `uniqueItems`. llguidance accepts `oneOf`
// only if it can prove that the members exclude each other.
export const toGrammarSchema = (schema: JsonSchema): JsonSchema => {
  const { allOf, not, propertyNames: _names, uniqueItems: _unique, ...rest } = schema
  // Effect's empty struct accepts all values but null.
  const isEmptyStruct = rest["type"] === undefined && Predicate.isObject(not) && "type" in not && not.type === "null"
  const out: JsonSchema = isEmptyStruct ? { type: "object", properties: {}, additionalProperties: false } : {}
  for (const [key, value] of Object.entries(rest)) {
    switch (key) {
      case "properties":
      case "patternProperties":
      case "$defs":
      case "definitions":
        out[key] = rewriteValues(value)
        break
      case "items":
      case "additionalProperties":
        out[key] = rewrite(value)
        break
      case "prefixItems":
      case "anyOf":
        out[key] = rewriteAll(value)
        break
      case "oneOf":
        out["anyOf"] = rewriteAll(value)
        break
      default:
        out[key] = value
    }
  }
  for (const member of Array.isArray(allOf) ? allOf : []) merge(out, toGrammarSchema(member as JsonSchema))
  return out
}
