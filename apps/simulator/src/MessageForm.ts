/**
 * The forms of a message that vLLM's validator tries one after the other. A message that is none of them is refused with the problems of
 * all.
 *
 * @since 0.1.0
 */
import type { Problem } from "./ErrorReply.ts"

interface Form {
  readonly name: string
  /** `undefined`: any role. */
  readonly role?: string
  /** How the list of parts is called in paths; `optional` content may be null or absent. */
  readonly content: string | undefined
  readonly isOptional?: boolean
  readonly required?: ReadonlyArray<string>
}

const parts = "generator[...]"
const forms: ReadonlyArray<Form> = [
  { name: "ChatCompletionDeveloperMessageParam", role: "developer", content: parts },
  { name: "ChatCompletionSystemMessageParam", role: "system", content: parts },
  { name: "ChatCompletionUserMessageParam", role: "user", content: "generator[union[...,...,...,...]]" },
  { name: "ChatCompletionAssistantMessageParam", role: "assistant", content: parts, isOptional: true },
  { name: "ChatCompletionToolMessageParam", role: "tool", content: parts, required: ["tool_call_id"] },
  { name: "ChatCompletionFunctionMessageParam", role: "function", content: undefined, required: ["name"] },
  { name: "CustomChatCompletionMessageParam", content: "list[union[...]]", isOptional: true }
]

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const notText = (path: Problem["path"], input: unknown): Problem => ({
  type: "string_type",
  path,
  message: "Input should be a valid string",
  input
})

const contentProblems = (form: Form, message: Readonly<Record<string, unknown>>, path: Problem["path"]): ReadonlyArray<Problem> => {
  const value = message["content"]
  if (form.content === undefined || typeof value === "string" || Array.isArray(value)) return []
  if (value === undefined) {
    if (form.isOptional === true) return []
    return [{ type: "missing", path: [...path, "content"], message: "Field required", input: message }]
  }
  const isCustom = form.role === undefined
  if (value === null && form.isOptional === true && !isCustom) return []
  const list = isCustom
    ? { type: "list_type", message: "Input should be a valid list" }
    : { type: "iterable_type", message: "Input should be iterable" }
  return [notText([...path, "content", "str"], value), { ...list, path: [...path, "content", form.content], input: value }]
}

const formProblems = (form: Form, message: Readonly<Record<string, unknown>>, at: Problem["path"]): ReadonlyArray<Problem> => {
  const path = [...at, form.name]
  const { name, role } = message
  const roleProblem =
    form.role === undefined
      ? typeof role === "string"
        ? []
        : [
            role === undefined
              ? { type: "missing", path: [...path, "role"], message: "Field required", input: message }
              : notText([...path, "role"], role)
          ]
      : role === form.role
        ? []
        : [
            {
              type: "literal_error",
              path: [...path, "role"],
              message: `Input should be '${form.role}'`,
              input: role,
              context: { expected: `'${form.role}'` }
            }
          ]
  const nameProblem = name !== undefined && typeof name !== "string" ? [notText([...path, "name"], name)] : []
  const missing = (form.required ?? [])
    .filter((key) => message[key] === undefined)
    .map((key) => ({ type: "missing", path: [...path, key], message: "Field required", input: message }))
  const content = contentProblems(form, message, path)
  // The order of the fields in the forms of vLLM.
  if (form.role === "function") return [...nameProblem, ...missing, ...roleProblem]
  if (form.role === undefined) return [...roleProblem, ...content, ...nameProblem]
  if (form.role === "tool") return [...content, ...roleProblem, ...missing]
  return [...content, ...roleProblem, ...nameProblem]
}

/**
 * The problems of a message, none if one of the forms fits.
 *
 * @category validation
 * @since 0.1.0
 */
export const problems = (message: unknown, index: number, hasHarmony: boolean): ReadonlyArray<Problem> => {
  const path = ["messages", index]
  if (!isRecord(message)) {
    return forms.map(({ name }) => ({
      type: "dict_type",
      path: [...path, name],
      message: "Input should be a valid dictionary",
      input: message
    }))
  }
  const found = forms.map((form) => formProblems(form, message, path))
  if (found.some((problems) => problems.length === 0)) return []
  // A form that only newer servers know, and that no message of a client fits.
  const harmony = [
    { type: "missing", path: [...path, "Message", "author"], message: "Field required", input: message },
    ...(Array.isArray(message["content"])
      ? []
      : [{ type: "list_type", path: [...path, "Message", "content"], message: "Input should be a valid list", input: message["content"] }])
  ]
  return [...found.flat(), ...(hasHarmony ? harmony : [])]
}

// The parts that the validator knows, with the field that each must have.
const partForms = [
  ["ChatCompletionContentPartTextParam", "text", "text"],
  ["ChatCompletionContentPartImageParam", "image_url", "image_url"],
  ["ChatCompletionContentPartInputAudioParam", "input_audio", "input_audio"],
  ["File", "file", "file"]
] as const

/** Types of parts that vLLM knows beyond the validator. */
export const partTypes: ReadonlySet<string> = new Set([
  "text",
  "input_text",
  "output_text",
  "refusal",
  "thinking",
  "image_url",
  "input_image",
  "image_embeds",
  "image_pil",
  "input_audio",
  "audio_url",
  "audio_embeds",
  "video_url",
  "file"
])

/**
 * What vLLM says of a part with a type that it does not know: the words of its validator, with the address of its version.
 *
 * @category validation
 * @since 0.1.0
 */
export const unknownPart = (part: unknown, at: number, python: (value: unknown) => string, pydantic: string): string => {
  const type = isRecord(part) ? part["type"] : undefined
  const shown = python(part)
  const more = (name: string) => `    For further information visit https://errors.pydantic.dev/${pydantic}/v/${name}`
  const lines = partForms.flatMap(([form, field, expected]) => [
    `${at}.${form}.${field}`,
    `  Field required [type=missing, input_value=${shown}, input_type=dict]`,
    more("missing"),
    `${at}.${form}.type`,
    `  Input should be '${expected}' [type=literal_error, input_value=${python(type)}, input_type=str]`,
    more("literal_error")
  ])
  return [`${partForms.length * 2} validation errors for ValidatorIterator`, ...lines].join("\n")
}
