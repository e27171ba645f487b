/**
 * Which of the offered tools a model calls, and with what.
 *
 * A tool is called if the last message names it, or a word of its name: "Weather in Paris?" calls `get_weather`. The texts among its
 * arguments are what the message quotes, or its capitalized words; several of them are several calls.
 *
 * @since 0.1.0
 */
import { type ChatRequest, texts, type Tool } from "./ChatRequest.ts"
import * as StructuredAnswer from "./StructuredAnswer.ts"

/** @since 0.1.0 */
export interface CalledTool {
  readonly name: string
  readonly arguments: unknown
}

const wordsOf = (name: string): ReadonlyArray<string> =>
  name
    .replaceAll(/([a-z])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word.length > 3)

const isNamed = (tool: Tool, prompt: string): boolean => {
  const said = prompt.toLowerCase()
  const { name } = tool.function
  return said.includes(name.toLowerCase()) || wordsOf(name).some((word) => new RegExp(`\\b${word}`).test(said))
}

/** What a message names: quoted texts, else capitalized words that do not begin a sentence. */
const namesIn = (prompt: string): ReadonlyArray<string> => {
  const quoted = [...prompt.matchAll(/["“«]([^"”»]+)["”»]/g)].map(([, text]) => text ?? "")
  if (quoted.length > 0) return quoted
  return [...prompt.matchAll(/(?<=[\p{L}\d,;:] )\p{Lu}[\p{L}'-]*/gu)].map(([text]) => text)
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isFreeText = (schema: unknown): boolean =>
  isRecord(schema) && schema["type"] === "string" && ["enum", "const", "format", "pattern"].every((key) => schema[key] === undefined)

/** Arguments of a call, valid against the schema of its parameters. */
const argumentsOf = (tool: Tool, name: string | undefined, seed: string): unknown => {
  const schema = tool.function.parameters ?? { type: "object", properties: {} }
  const found = StructuredAnswer.valueOf(schema, seed)?.value ?? {}
  const properties = isRecord(schema) && isRecord(schema["properties"]) ? schema["properties"] : {}
  const place = Object.keys(properties).find((key) => isFreeText(properties[key]))
  if (name === undefined || place === undefined || !isRecord(found)) return found
  const filled = { ...found, [place]: name }
  return StructuredAnswer.isValid(schema, filled) ? filled : found
}

/**
 * The calls that answer a request; none if it is answered with text.
 *
 * @category getters
 * @since 0.1.0
 */
export const callsOf = (request: ChatRequest, seed: string): ReadonlyArray<CalledTool> => {
  const { parallel_tool_calls, tool_choice } = request
  const tools = request.tools ?? []
  if (tools.length === 0 || tool_choice === "none") return []
  const said = texts(request)
  const prompt = said.findLast(({ role }) => role === "user")?.text ?? ""
  const isForced = tool_choice != null && tool_choice !== "auto"
  // Results of tools are answered with text, else the conversation would never end.
  if (!isForced && said.at(-1)?.role === "tool") return []
  const named = tools.filter((tool) =>
    typeof tool_choice === "object" && tool_choice !== null ? tool.function.name === tool_choice.function.name : isNamed(tool, prompt)
  )
  const chosen = named.length === 0 && isForced ? tools.slice(0, 1) : named
  const names = namesIn(prompt)
  const isNamedChoice = typeof tool_choice === "object" && tool_choice !== null
  const perName = chosen.length === 1 && names.length > 1 && !isNamedChoice ? names : names.slice(0, 1)
  const calls = chosen.flatMap((tool) =>
    (perName.length === 0 ? [undefined] : perName).map((name, at) => ({
      name: tool.function.name,
      arguments: argumentsOf(tool, name, `${seed} ${tool.function.name} ${at}`)
    }))
  )
  return parallel_tool_calls === false || isNamedChoice ? calls.slice(0, 1) : calls
}
