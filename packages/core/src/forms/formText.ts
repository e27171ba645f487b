// Values as texts of a form. The contract determines the type of a text. Writing is the inverse of reading and is checked against it, so that a
// written text is read as the same value.
import { any, boolean, int64, nil, string, type Validator } from "../contract/validator.ts"
import { parseInt64 } from "../json/lossless.ts"

/** The values that a type of the contract accepts, as a form distinguishes them. `any` accepts everything, as an unknown field does. */
export interface FormType {
  readonly any: boolean
  readonly string: boolean
  readonly number: boolean
  readonly boolean: boolean
  readonly int64: boolean
  /** Type of the items. */
  readonly list: FormType | undefined
  /** Type of a field. */
  readonly object: ((name: string) => FormType) | undefined
}

const nothing: FormType = { any: false, string: false, number: false, boolean: false, int64: false, list: undefined, object: undefined }
const anything: FormType = { ...nothing, any: true }

/** Returns the type of an object's field. */
export const fieldOf = (type: FormType, name: string): FormType => type.object?.(name) ?? anything

const formTypes = new WeakMap<Validator, FormType>()

/** Returns the form of a type of the contract. A form has no text for `null`. */
export const formTypeOf = (type: Validator): FormType => {
  let form = formTypes.get(type)
  if (form === undefined) formTypes.set(type, (form = describe(type)))
  return form
}

const describe = (type: Validator): FormType => {
  const { expected, fields, item, members } = type
  if (members !== undefined) {
    return members.map(formTypeOf).reduce((all, one): FormType => ({
      any: all.any || one.any,
      string: all.string || one.string,
      number: all.number || one.number,
      boolean: all.boolean || one.boolean,
      int64: all.int64 || one.int64,
      list: all.list ?? one.list,
      object: all.object ?? one.object
    }))
  }
  if (expected === "object") {
    const types = new Map(Object.entries(fields ?? {}).map(([name, field]) => [name, formTypeOf(field)]))
    const rest = item === undefined ? anything : formTypeOf(item)
    return { ...nothing, object: (name) => types.get(name) ?? rest }
  }
  if (item !== undefined) return { ...nothing, list: formTypeOf(item) }
  switch (type) {
    case string:
      return { ...nothing, string: true }
    case boolean:
      return { ...nothing, boolean: true }
    case int64:
      return { ...nothing, int64: true }
    case nil:
      return nothing
    case any:
      return anything
  }
  return { ...nothing, number: true }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parseJson = (text: string): { readonly value: unknown } | undefined => {
  if (!/^\s*["{[\-\dtfn]/.test(text)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    // A number that would lose digits stays a text.
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

// A string, or a list of strings.
const isTexts = ({ list, string }: FormType) => string && list !== undefined && isTextOnly(list)

/** Whether a field is read as a list, although a single string is accepted. */
export const isList = (type: FormType): boolean => type.list !== undefined && (!type.string || isTexts(type))

// A message's content: a string or a list of parts.
const isContent = (type: FormType) => type.string && type.list?.object !== undefined

const isTextOnly = ({ any, boolean, int64, list, number, object, string }: FormType) =>
  string && !(any || boolean || int64 || number) && list === undefined && object === undefined

const isScalarOnly = ({ any, boolean, int64, list, number, object, string }: FormType) =>
  (boolean || int64 || number) && !(any || string) && list === undefined && object === undefined

const readScalar = (type: FormType, text: string): unknown => {
  const trimmed = text.trim()
  if (trimmed === "") return undefined
  if (type.boolean) return booleans.get(trimmed.toLowerCase()) ?? text
  const integer = type.int64 ? parseInt64(trimmed) : undefined
  if (integer !== undefined) return integer
  return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : text
}

const fits = (type: FormType, value: unknown): boolean => {
  switch (typeof value) {
    case "string":
      return type.string
    case "number":
      return type.number || type.int64
    case "boolean":
      return type.boolean
    default:
      return value !== null && (Array.isArray(value) ? type.list !== undefined : type.object !== undefined)
  }
}

/**
 * Reads one text. A text that cannot be read stays a text, which the schema rejects. Returns `undefined` for an empty text unless the type is a
 * string: forms send an empty text for a field that was not filled in.
 */
export const readText = (type: FormType, text: string): unknown => {
  if (isTextOnly(type)) return text
  if (isScalarOnly(type)) return readScalar(type, text)
  if (isContent(type)) {
    // A list only if it looks like parts, since any text may be a prompt.
    const parts = text.trimStart().startsWith("[") ? parseJson(text)?.value : undefined
    return Array.isArray(parts) && parts.length > 0 && parts.every(isPart) ? parts : text
  }
  const takesText = type.any || type.string
  if (text.trim() === "" && !takesText) return undefined
  const json = parseJson(text)
  return json !== undefined && (!takesText || type.any || fits(type, json.value)) ? json.value : text
}

/** Reads a list: one JSON array, or one text per item. */
export const readTexts = (item: FormType, texts: ReadonlyArray<string>): unknown => {
  const [first] = texts
  if (texts.length === 1 && first !== undefined) {
    const isText = isTextOnly(item)
    const json = first.trimStart().startsWith("[") ? parseJson(first)?.value : undefined
    if (Array.isArray(json) && (!isText || json.every((value) => typeof value === "string"))) return json
    if (first.trim() === "" && !isText) return undefined
  }
  return texts.map((text) => readText(item, text) ?? text)
}

/** Whether a text has a UTF-8 form: an unpaired surrogate does not. */
export const isSound = (text: string): boolean => !/\p{Surrogate}/u.test(text)

const isRead = (type: FormType, value: unknown, text: string) => {
  const read = readText(type, text)
  if (typeof value !== "object" || value === null) return read === value
  return type.any || typeof read === "object"
}

/** Writes a JSON value as text. Returns `undefined` if a form has no text for it. */
export const writeText = (type: FormType, value: unknown): string | undefined => {
  if (typeof value === "bigint") return String(value)
  const json = JSON.stringify(value)
  const texts = typeof value === "string" ? [value, json] : [json]
  return texts.find((text) => isSound(text) && isRead(type, value, text))
}

/** Writes a list of scalars as one text per item. Returns `undefined` for an empty list and for other lists. */
export const writeTexts = (item: FormType, values: ReadonlyArray<unknown>): ReadonlyArray<string> | undefined => {
  if (values.length === 0 || !(isTextOnly(item) || isScalarOnly(item))) return undefined
  const texts = values.map((value) => writeText(item, value))
  return texts.every((text) => text !== undefined) ? texts : undefined
}

/** Whether the only text of a list is read as a whole list, as `["a"]` is. */
export const readsAsList = (item: FormType, text: string): boolean => {
  const read = readTexts(item, [text])
  return !Array.isArray(read) || read.length !== 1 || read[0] !== readText(item, text)
}
