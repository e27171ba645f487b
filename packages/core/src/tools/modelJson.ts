// JSON that a model writes: the JSON Schema that constrains it, and its decoder.
import * as Effect from "effect/Effect"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { excerpt, InvalidRequest, ParadigmError } from "../ParadigmError.ts"
import { describeFields } from "../errors/FieldErrors.ts"
import { fieldsOf } from "./schemaIssue.ts"

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
const merge = (into: JsonSchema.JsonSchema, member: JsonSchema.JsonSchema) => {
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
const toGrammarSchema = (schema: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  const { allOf, not, propertyNames: _names, uniqueItems: _unique, ...rest } = schema
  // Effect's empty struct accepts all values but null.
  const isEmptyStruct = rest["type"] === undefined && Predicate.isObject(not) && "type" in not && not.type === "null"
  const out: JsonSchema.JsonSchema = isEmptyStruct ? { type: "object", properties: {}, additionalProperties: false } : {}
  for (const [key, value] of Object.entries(rest)) {
    switch (key) {
      case "properties":
      case "patternProperties":
      case "$defs":
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
  for (const member of Array.isArray(allOf) ? allOf : []) merge(out, toGrammarSchema(member as JsonSchema.JsonSchema))
  return out
}

/** Returns the JSON Schema of a schema's encoded side. Inlines definitions that are used once. Throws `InvalidRequest` for `field`. */
export const jsonSchemaOf = (schema: Schema.Constraint, field: string): JsonSchema.JsonSchema => {
  try {
    const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema, {
      onExcessProperty: "error",
      // Engines resolve references by their text, without decoding it.
      referencePolicy: ({ identifier, occurrences }) => (occurrences > 1 ? identifier?.replaceAll(/[^A-Za-z0-9_.-]/g, "_") : undefined)
    })
    return toGrammarSchema(Object.keys(definitions).length === 0 ? root : { ...resolveRoot(root, definitions), $defs: definitions })
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    throw new ParadigmError({ reason: new InvalidRequest({ detail: "the schema has no JSON Schema", fields: { [field]: [problem] } }) })
  }
}

// OpenAI's servers reject a root that is a reference.
const resolveRoot = (root: JsonSchema.JsonSchema, definitions: JsonSchema.Definitions): JsonSchema.JsonSchema =>
  typeof root["$ref"] === "string" ? (definitions[root["$ref"].slice("#/$defs/".length)] ?? root) : root

/** Decodes a text that a model wrote. Fails with the problems and their paths. */
export const decodeText = <S extends Schema.Constraint>(schema: S, text: string): Effect.Effect<S["Type"], string, S["DecodingServices"]> =>
  Effect.suspend(() => {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return Effect.fail("it is not JSON")
    }
    return Schema.decodeUnknownEffect(Schema.toCodecJson(schema), { errors: "all" })(value).pipe(
      Effect.mapError((error) => excerpt(describeFields(fieldsOf(error)))),
      // A model in a loop may open thousands of brackets, which a recursive schema follows.
      Effect.catchDefect((defect) =>
        defect instanceof Error && /call stack|recursion/i.test(defect.message)
          ? Effect.fail("it is nested too deeply")
          : Effect.die(defect)
      )
    )
  })

/** Describes why a text is truncated, if its finish reason implies that. */
export const cutOff = (finishReason: string | null | undefined): string | undefined => {
  if (finishReason === "length") return "it was cut off at the token limit (finish_reason length)"
  if (finishReason === "content_filter") return "it was cut off by the content filter (finish_reason content_filter)"
  return undefined
}
