/**
 * Answers that must have a form: JSON, JSON of a schema, a regular expression, one of several texts.
 *
 * @since 0.1.0
 */
import type { ChatRequest } from "./ChatRequest.ts"
import { badRequest, type Refusal } from "./ErrorReply.ts"
import type { Profile } from "./Profile.ts"

/**
 * The form that an answer must have.
 *
 * @category models
 * @since 0.1.0
 */
export type Constraint =
  | { readonly kind: "json"; readonly schema: unknown }
  | { readonly kind: "object" }
  | { readonly kind: "regex"; readonly pattern: string }
  | { readonly kind: "choice"; readonly texts: ReadonlyArray<string> }
  | { readonly kind: "grammar" }

const parsed = (schema: unknown): unknown => {
  if (typeof schema !== "string") return schema
  try {
    return JSON.parse(schema)
  } catch {
    return undefined
  }
}

const ofFields = (fields: { readonly [Key in "json" | "regex" | "choice" | "grammar" | "json_object"]?: unknown }):
  | Constraint
  | undefined => {
  if (fields.json != null) return { kind: "json", schema: parsed(fields.json) }
  if (typeof fields.regex === "string") return { kind: "regex", pattern: fields.regex }
  if (Array.isArray(fields.choice)) return { kind: "choice", texts: fields.choice.map(String) }
  if (fields.json_object === true) return { kind: "object" }
  return fields.grammar == null ? undefined : { kind: "grammar" }
}

/**
 * The constraint of a request that the server obeys.
 *
 * @category getters
 * @since 0.1.0
 */
export const constraintOf = (request: ChatRequest, profile: Profile): Constraint | undefined => {
  const format = request.response_format
  if (format?.type === "json_object") return { kind: "object" }
  if (format?.type === "json_schema") return { kind: "json", schema: parsed(format.json_schema?.schema ?? {}) }
  if (format?.type === "structural_tag") return { kind: "grammar" }
  const outputs = profile.structuredOutputs ? request.structured_outputs : undefined
  const guided = profile.guided
    ? ofFields({ json: request.guided_json, regex: request.guided_regex, choice: request.guided_choice })
    : undefined
  return (outputs == null ? undefined : ofFields(outputs)) ?? guided
}

const types = new Set(["string", "number", "integer", "boolean", "object", "array", "null"])

// The first type in a schema that JSON Schema does not have.
const unknownType = (schema: unknown): string | undefined => {
  if (Array.isArray(schema)) return schema.map(unknownType).find((type) => type !== undefined)
  if (typeof schema !== "object" || schema === null) return undefined
  for (const [key, value] of Object.entries(schema)) {
    if (key === "enum" || key === "const" || key === "default" || key === "examples") continue
    if (key === "type" && (typeof value === "string" || Array.isArray(value))) {
      const unknown = [value].flat().find((type) => !types.has(type))
      if (unknown !== undefined) return String(unknown)
      continue
    }
    const inner = unknownType(value)
    if (inner !== undefined) return inner
  }
}

/**
 * Why the server cannot obey the constraint of a request.
 *
 * @category getters
 * @since 0.1.0
 */
export const refusal = (request: ChatRequest, profile: Profile): Refusal | undefined => {
  const constraint = constraintOf(request, profile)
  if (constraint?.kind === "grammar") return badRequest("The simulator knows no grammars: use json, regex or choice.", "structured_outputs")
  if (constraint?.kind !== "json") return undefined
  const unknown = unknownType(constraint.schema)
  if (unknown !== undefined) return profile.errors.words.badSchemaType(unknown)
}
