// JSON that a model writes: the JSON Schema that constrains it, and its decoder.
import * as Effect from "effect/Effect"
import type * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import { excerpt, InvalidRequest, ParadigmError } from "../ParadigmError.ts"
import { describeFields } from "../errors/FieldErrors.ts"
import { toGrammarSchema } from "./grammarSchema.ts"
import { fieldsOf } from "./schemaIssue.ts"

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
