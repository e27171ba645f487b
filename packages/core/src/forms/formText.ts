// How a value stands in a form, where everything is text: what its schema expects decides. Writing is the inverse of reading, and is checked
// against it, so that whatever is written is read back as it was.
import type * as SchemaAST from "effect/SchemaAST"
import { parseInt64 } from "../json/lossless.ts"
import { Int64 } from "../contract/schema.ts"

/** What a schema expects. `any` takes everything, as an unknown field does. */
export interface Shape {
  readonly any: boolean
  readonly string: boolean
  readonly number: boolean
  readonly boolean: boolean
  readonly int64: boolean
  /** The shape of a list's items. */
  readonly list: Shape | undefined
  /** The shape of an object's field. */
  readonly object: ((name: string) => Shape) | undefined
}

const nothing: Shape = { any: false, string: false, number: false, boolean: false, int64: false, list: undefined, object: undefined }
const anything: Shape = { ...nothing, any: true }

/** The shape of an object's field. */
export const fieldOf = (shape: Shape, name: string): Shape => shape.object?.(name) ?? anything

const shapes = new WeakMap<SchemaAST.AST, Shape>()

/** What a schema expects, `null` and `undefined` apart: a form has no text for them. */
export const shapeOf = (ast: SchemaAST.AST): Shape => {
  let shape = shapes.get(ast)
  if (shape === undefined) shapes.set(ast, (shape = describe(ast)))
  return shape
}

const describe = (ast: SchemaAST.AST): Shape => {
  switch (ast._tag) {
    case "String":
      return { ...nothing, string: true }
    case "Number":
      return { ...nothing, number: true }
    case "Boolean":
      return { ...nothing, boolean: true }
    case "Declaration":
      return ast === Int64.ast ? { ...nothing, int64: true } : anything
    case "Arrays":
      return { ...nothing, list: ast.rest[0] === undefined ? anything : shapeOf(ast.rest[0]) }
    case "Objects": {
      const fields = new Map(ast.propertySignatures.map(({ name, type }) => [name, shapeOf(type)]))
      const [others] = ast.indexSignatures
      const rest = others === undefined ? anything : shapeOf(others.type)
      return { ...nothing, object: (name) => fields.get(name) ?? rest }
    }
    case "Union":
      return ast.types.map(shapeOf).reduce((all, one): Shape => ({
        any: all.any || one.any,
        string: all.string || one.string,
        number: all.number || one.number,
        boolean: all.boolean || one.boolean,
        int64: all.int64 || one.int64,
        list: all.list ?? one.list,
        object: all.object ?? one.object
      }))
    case "Null":
    case "Undefined":
      return nothing
    default:
      return anything
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parseJson = (text: string): { readonly value: unknown } | undefined => {
  if (!/^\s*["{[\-\dtfn]/.test(text)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    // A number that lost digits is better kept as the text it was.
    return typeof value === "number" && /^\s*-?\d{16,}\s*$/.test(text) && String(value) !== text.trim() ? undefined : { value }
  } catch {
    return undefined
  }
}

const isPart = (value: unknown) => isRecord(value) && typeof value["type"] === "string"

const booleans: ReadonlyMap<string, boolean> = new Map([
  ...["true", "1", "on", "yes"].map((word): [string, boolean] => [word, true]),
  ...["false", "0", "off", "no"].map((word): [string, boolean] => [word, false])
])

// A message's content: a text or a list of parts.
const isContent = (shape: Shape) => shape.string && shape.list?.object !== undefined

const isTextOnly = ({ any, boolean, int64, list, number, object, string }: Shape) =>
  string && !(any || boolean || int64 || number) && list === undefined && object === undefined

const isScalarOnly = ({ any, boolean, int64, list, number, object, string }: Shape) =>
  (boolean || int64 || number) && !(any || string) && list === undefined && object === undefined

const readScalar = (shape: Shape, text: string): unknown => {
  const trimmed = text.trim()
  if (trimmed === "") return undefined
  if (shape.boolean) return booleans.get(trimmed.toLowerCase()) ?? text
  const integer = shape.int64 ? parseInt64(trimmed) : undefined
  if (integer !== undefined) return integer
  return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : text
}

const fits = (shape: Shape, value: unknown): boolean => {
  switch (typeof value) {
    case "string":
      return shape.string
    case "number":
      return shape.number || shape.int64
    case "boolean":
      return shape.boolean
    default:
      return value !== null && (Array.isArray(value) ? shape.list !== undefined : shape.object !== undefined)
  }
}

/**
 * Reads one text. What cannot be read stays a text, for the schema to refuse. `undefined` stands for nothing: forms send a field that nobody
 * filled in as an empty text, which means something only where a text is expected.
 */
export const readText = (shape: Shape, text: string): unknown => {
  if (isTextOnly(shape)) return text
  if (isScalarOnly(shape)) return readScalar(shape, text)
  if (isContent(shape)) {
    // A list only where it looks like one of parts, since any text may be a prompt.
    const parts = text.trimStart().startsWith("[") ? parseJson(text)?.value : undefined
    return Array.isArray(parts) && parts.length > 0 && parts.every(isPart) ? parts : text
  }
  const takesText = shape.any || shape.string
  if (text.trim() === "" && !takesText) return undefined
  const json = parseJson(text)
  return json !== undefined && (!takesText || shape.any || fits(shape, json.value)) ? json.value : text
}

/** Reads a list that is given as texts: one JSON array, or a text an item. */
export const readTexts = (item: Shape, texts: ReadonlyArray<string>): unknown => {
  const [first] = texts
  if (texts.length === 1 && first !== undefined) {
    const isText = isTextOnly(item)
    const json = first.trimStart().startsWith("[") ? parseJson(first)?.value : undefined
    if (Array.isArray(json) && (!isText || json.every((value) => typeof value === "string"))) return json
    if (first.trim() === "" && !isText) return undefined
  }
  return texts.map((text) => readText(item, text) ?? text)
}

/** Whether a form can carry a text: UTF-8 has no half of a surrogate pair. */
export const isSound = (text: string): boolean => !/\p{Surrogate}/u.test(text)

const isRead = (shape: Shape, value: unknown, text: string) => {
  const read = readText(shape, text)
  if (typeof value !== "object" || value === null) return read === value
  return shape.any || typeof read === "object"
}

/** The text of a value that JSON can hold, or `undefined` where a form has none for it. */
export const writeText = (shape: Shape, value: unknown): string | undefined => {
  if (typeof value === "bigint") return String(value)
  const json = JSON.stringify(value)
  const texts = typeof value === "string" ? [value, json] : [json]
  return texts.find((text) => isSound(text) && isRead(shape, value, text))
}

/** The texts of a list, one an item, where all items are plain and there is one at least. */
export const writeTexts = (item: Shape, values: ReadonlyArray<unknown>): ReadonlyArray<string> | undefined => {
  if (values.length === 0 || !(isTextOnly(item) || isScalarOnly(item))) return undefined
  const texts = values.map((value) => writeText(item, value))
  return texts.every((text) => text !== undefined) ? texts : undefined
}

/** Whether the only text of a list reads as the whole of it, as `["a"]` does. */
export const readsAsList = (item: Shape, text: string): boolean => {
  const read = readTexts(item, [text])
  return !Array.isArray(read) || read.length !== 1 || read[0] !== readText(item, text)
}
