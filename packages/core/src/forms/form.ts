// A request as the fields of a form. Three spellings are read: `messages[0]role`, which Django REST framework takes, `messages[0][role]` of
// other web frameworks, and JSON texts. The first is written, with JSON below it.
import * as Result from "effect/Result"
import type { ChatCompletionRequest } from "../ChatCompletion.ts"
import { ChatCompletionRequest as validator } from "../contract/validators.generated.ts"
import { InvalidRequest } from "../ParadigmError.ts"
import { fieldOf, type FormType, formTypeOf, isList, isSound, readsAsList, readText, readTexts, writeText, writeTexts } from "./formText.ts"
import { add, join } from "../errors/FieldErrors.ts"

/** A field of a form. A value that is not a text is a file. */
export type Entry = readonly [name: string, value: string | object]

// Evaluated lazily: a client that sends JSON needs no form.
const request = () => formTypeOf(validator)

// Bounds the work of the reader by the size of the form.
const maxIndex = 9999
const maxDepth = 16
const maxName = 256

interface Node {
  readonly texts: Array<string>
  children: Map<string, Node> | undefined
  /** Indices of a list's items in the form, once it was read. */
  indices: ReadonlyArray<string> | undefined
}

const newNode = (): Node => ({ texts: [], children: undefined, indices: undefined })

// `a[0]b`, `a[0][b]` and `a[0].b` are the same place. `a[]` is a repeated `a`.
const parseName = (name: string): ReadonlyArray<string> | undefined => {
  if (name.length > maxName || !/^[^[\]]+(?:\[[^[\]]*\][^[\]]*)*$/.test(name)) return undefined
  const [first = "", ...rest] = name.replace(/\[\]$/, "").split("[")
  const path = [first]
  for (const part of rest) {
    const [key = "", after = ""] = part.split("]")
    const field = after.replace(/^\./, "")
    path.push(key, ...(field === "" ? [] : [field]))
  }
  return path.length > maxDepth || path.includes("") ? undefined : path
}

/** Returns the path of a field in the value, or its name if the name has no path. */
export const pathOf = (name: string): string => parseName(name)?.reduce(join, "") ?? name.slice(0, maxName)

/** The value of a form before validation, the problems of the form, and the path in the form of a path in the value. */
export interface Reading {
  readonly value: unknown
  readonly problems: ReadonlyMap<string, ReadonlyArray<string>>
  readonly pathInForm: (path: string) => string
}

const isIndex = (key: string) => /^(?:0|[1-9]\d*)$/.test(key)

export const readForm = (entries: Iterable<Entry>): Reading => {
  const problems = new Map<string, Array<string>>()
  const root = newNode()

  const readList = (item: FormType, node: Node, children: ReadonlyMap<string, Node>, path: string): ReadonlyArray<unknown> => {
    const indices: Array<string> = []
    for (const key of children.keys()) {
      if (isIndex(key) && Number(key) <= maxIndex) indices.push(key)
      else add(problems, join(path, key.slice(0, 16)), `Expected an index of at most ${maxIndex}`)
    }
    node.indices = indices.sort((a, b) => Number(a) - Number(b))
    return node.indices.map((key) => read(item, children.get(key), join(path, key)))
  }

  const readObject = (type: FormType, children: ReadonlyMap<string, Node>, path: string): object =>
    Object.fromEntries(
      [...children]
        .map(([key, child]): [string, unknown] => [key, read(fieldOf(type, key), child, join(path, key))])
        .filter(([, value]) => value !== undefined)
    )

  const read = (type: FormType, node: Node | undefined, path: string): unknown => {
    if (node === undefined) return undefined
    const { children, texts } = node
    const [text] = texts
    if (children !== undefined) {
      if (text !== undefined) add(problems, path, "Given in two spellings")
      if (type.list !== undefined) return readList(type.list, node, children, path)
      if (type.any && [...children.keys()].every(isIndex)) return readList(type, node, children, path)
      if (type.object !== undefined || type.any) return readObject(type, children, path)
      add(problems, path, "Expected a text, got fields below it")
      return undefined
    }
    if (text === undefined) return undefined
    if (type.list !== undefined && isList(type)) return readTexts(type.list, texts)
    if (texts.length > 1) add(problems, path, "Given more than once")
    return readText(type, text)
  }

  for (const [name, value] of entries) {
    const path = parseName(name)
    if (path === undefined) {
      add(problems, pathOf(name), "Unexpected name of a field")
      continue
    }
    let node = root
    for (const key of path) {
      node.children ??= new Map()
      let child = node.children.get(key)
      if (child === undefined) node.children.set(key, (child = newNode()))
      node = child
    }
    if (typeof value === "string") node.texts.push(value)
    else add(problems, pathOf(name), "Expected a text, got a file")
  }

  const pathInForm = (path: string) => {
    let node: Node | undefined = root
    let name = ""
    for (const [, index, key] of path.matchAll(/\[(\d+)\]|([^.[\]]+)/g)) {
      const inForm: string = index === undefined ? (key ?? "") : (node?.indices?.[Number(index)] ?? index)
      name = join(name, inForm)
      node = node?.children?.get(inForm)
    }
    return name
  }

  return { value: readObject(request(), root.children ?? new Map(), ""), problems, pathInForm }
}

// Names that every reader of forms understands alike: readers disagree on quotes and line ends in names.
const isName = (name: string) => name.length <= maxName / 2 && /^[^.[\]"%\p{Cc}][^[\]"%\p{Cc}]*$/u.test(name) && isSound(name)

/** Writes a request that JSON can represent as the fields of a form. Fails with the path of a value that a form cannot represent. */
export const writeForm = (value: ChatCompletionRequest): Result.Result<Array<[string, string]>, InvalidRequest> => {
  const entries: Array<[string, string]> = []

  // Returns whether the value was written.
  const write = (type: FormType, name: string, given: unknown): boolean => {
    const value = typeof given === "string" && isList(type) ? [given] : given
    const texts = type.list !== undefined && Array.isArray(value) ? writeTexts(type.list, value) : undefined
    const [only] = texts ?? []
    if (type.list !== undefined && only !== undefined && texts?.length === 1) {
      entries.push([readsAsList(type.list, only) ? `${name}[0]` : name, only])
    } else if (texts !== undefined) {
      for (const text of texts) entries.push([name, text])
    } else {
      const text = writeText(type, value)
      if (text === undefined) return false
      entries.push([name, text])
    }
    return true
  }

  // A message is written as JSON if its content is null, or a text that would be read as a list of parts: Django has no spelling for it.
  const writeMessage = (type: FormType, name: string, message: object) => {
    const before = entries.length
    for (const [key, field] of Object.entries(message)) {
      if (field === undefined || (isName(key) && write(fieldOf(type, key), `${name}${key}`, field))) continue
      entries.length = before
      entries.push([name, JSON.stringify(message)])
      return
    }
  }

  const { messages } = value
  for (const [key, field] of Object.entries(value)) {
    if (field === undefined) continue
    const type = fieldOf(request(), key)
    if (key === "messages" && type.list !== undefined && messages.length > 0 && messages.length <= maxIndex) {
      for (const [i, message] of messages.entries()) writeMessage(type.list, `messages[${i}]`, message)
    } else if (!isName(key)) {
      return cannotHold(key.slice(0, maxName), "Unexpected name of a field")
    } else if (!write(type, key, field)) {
      return cannotHold(key, "Unexpected unpaired surrogate")
    }
  }
  return Result.succeed(entries)
}

const cannotHold = (path: string, problem: string) =>
  Result.fail(new InvalidRequest({ detail: "a form cannot hold it", fields: { [path]: [problem] } }))
