/**
 * Answers that must have a form: JSON, JSON of a schema, a regular expression, one of several texts.
 *
 * @since 0.1.0
 */
import { Validator } from "@cfworker/json-schema"
import { generateSync, type JsonSchema } from "json-schema-faker"
import type { Answer } from "./Answer.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import { badRequest, type OwnRefusal, python } from "./ErrorReply.ts"
import type { Profile } from "./Profile.ts"
import * as SeededRandom from "./SeededRandom.ts"

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
 * JSON as models write it: with a blank after each comma and colon.
 *
 * @category rendering
 * @since 0.1.0
 */
export const writeJson = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(writeJson).join(", ")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${writeJson(inner)}`)
    .join(", ")}}`
}

/**
 * Whether a value has the form of a schema.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isValid = (schema: unknown, value: unknown): boolean => {
  if (typeof schema === "boolean") return schema
  if (typeof schema !== "object" || schema === null) return false
  try {
    return new Validator(schema, "2020-12").validate(value).valid
  } catch {
    return false
  }
}

const attempts = 50

/**
 * A value of a schema, the same for the same seed. `undefined` if none is found: some schemas have no value, and some are too hard.
 *
 * @category generation
 * @since 0.1.0
 */
export const valueOf = (schema: unknown, seed: string): { readonly value: unknown } | undefined => {
  if (schema === true) return { value: {} }
  if (typeof schema !== "object" || schema === null) return undefined
  const random = SeededRandom.make(SeededRandom.hash(seed))
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      const value = generateSync(schema as JsonSchema, {
        seed: Math.floor(random() * 1e9),
        maxDepth: 8,
        alwaysFakeOptionals: attempt % 2 === 0
      })
      if (isValid(schema, value)) return { value }
    } catch {
      // Another seed may avoid the branch that the generator does not know.
    }
  }
}

const fullMatch = (pattern: string): RegExp | undefined => {
  try {
    return new RegExp(`^(?:${pattern})$`, "su")
  } catch {
    return undefined
  }
}

/**
 * A text that obeys a constraint: `text` if it does, else one that depends on the seed. `undefined` if none is found.
 *
 * @category generation
 * @since 0.1.0
 */
export const write = (constraint: Constraint, text: string, seed: string): string | undefined => {
  switch (constraint.kind) {
    case "grammar":
      return undefined
    case "choice": {
      const { texts } = constraint
      return texts.includes(text) ? text : texts[Math.floor(SeededRandom.make(SeededRandom.hash(seed))() * texts.length)]
    }
    case "regex": {
      const pattern = fullMatch(constraint.pattern)
      if (pattern === undefined) return undefined
      if (pattern.test(text)) return text
      const found = valueOf({ type: "string", pattern: pattern.source }, seed)?.value
      return typeof found === "string" && pattern.test(found) ? found : undefined
    }
    case "object":
    case "json": {
      const schema = constraint.kind === "json" ? constraint.schema : { type: "object" }
      try {
        if (isValid(schema, JSON.parse(text))) return text
      } catch {
        // The text is no JSON.
      }
      if (constraint.kind === "object") return writeJson({ answer: text })
      const found = valueOf(schema, seed)
      return found === undefined ? undefined : writeJson(found.value)
    }
  }
}

/**
 * Why the server cannot obey the constraint of a request.
 *
 * @category getters
 * @since 0.1.0
 */
export const refusal = (request: ChatRequest, profile: Profile): OwnRefusal | undefined => {
  const constraint = constraintOf(request, profile)
  if (constraint === undefined) return undefined
  if (constraint.kind === "grammar") {
    return badRequest("The simulator obeys no grammars and structural tags: use json, regex or choice.", "structured_outputs")
  }
  const unknown = constraint.kind === "json" ? unknownType(constraint.schema) : undefined
  if (unknown !== undefined) return profile.errors.words.badSchemaType(unknown)
  if (write(constraint, "", "0") !== undefined) return undefined
  return badRequest("Grammar error: the simulator found no text for this constraint. Is there one?")
}

// What is open at the end of a JSON text, in the words of the parser.
const openAtEnd = (text: string): string | undefined => {
  const open: Array<string> = []
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (open.at(-1) === "a string") {
      if (character === "\\") at++
      else if (character === '"') open.pop()
    } else if (character === '"') open.push("a string")
    else if (character === "[") open.push("a list")
    else if (character === "{") open.push("an object")
    else if (character === "]" || character === "}") open.pop()
  }
  return open.at(-1)
}

const mostShown = 50

/**
 * The refusal of a whole answer whose list of required calls is cut, where the server parses it strictly.
 *
 * @category getters
 * @since 0.1.0
 */
export const cutList = (answer: Answer, request: ChatRequest, profile: Profile): OwnRefusal | undefined => {
  const { calls, errors } = profile
  if (calls.forced === "native" || calls.cutList === "none" || request.tool_choice !== "required" || request.stream === true)
    return undefined
  for (const { finish, steps } of answer.choices) {
    if (finish !== "length") continue
    const text = Array.from(steps, ({ token }) => token.text).join("")
    const open = openAtEnd(text)
    if (open === undefined) continue
    const lines = text.split("\n")
    const column = open === "a list" && text.endsWith("\n") ? 0 : (lines.at(-1)?.length ?? 0)
    const shown = python(text.length > mostShown ? `${text.slice(0, 25)}...${text.slice(-24)}` : text)
    const place = `at line ${lines.length} column ${column}`
    return badRequest(
      `1 validation error for list[function-wrap[__log_extra_fields__()]]\n  Invalid JSON: EOF while parsing ${open} ${place} ` +
        `[type=json_invalid, input_value=${shown}, input_type=str]\n` +
        `    For further information visit https://errors.pydantic.dev/${errors.words.pydantic}/v/json_invalid`
    )
  }
}
