// A request as the fields of a form, and back. Three spellings are read: `messages[0]role`, which Django REST framework takes, the
// `messages[0][role]` of other web frameworks, and JSON texts. The first one is written, with JSON below it.
import * as Result from "effect/Result"
import { ChatCompletionRequest } from "../contract/request.ts"
import type { ChatMessage } from "../contract/message.ts"
import { InvalidRequest } from "../ParadigmError.ts"
import { fieldOf, isSound, readsAsList, readText, readTexts, type Shape, shapeOf, writeText, writeTexts } from "./formText.ts"
import { add, join } from "../errors/FieldErrors.ts"

/** A form's field: a text, or what is not a text, a file. */
export type Entry = readonly [name: string, value: string | object]

// Asked for when a form is: a client that sends JSON needs no schema.
const request = () => shapeOf(ChatCompletionRequest.ast)

// Enough for any conversation; what a form can make the reader do stays in proportion to its size.
const maxIndex = 9999
const maxDepth = 16
const maxName = 256

interface Node {
  readonly texts: Array<string>
  children: Map<string, Node> | undefined
  /** Where the list's items stood in the form, once it was read. */
  indices: ReadonlyArray<string> | undefined
}

const newNode = (): Node => ({ texts: [], children: undefined, indices: undefined })

// `a[0]b`, `a[0][b]` and `a[0].b` are the same place. `a[]` is `a`, once more.
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

/** The path of a field in the value, or its name as it is. */
export const pathOf = (name: string): string => parseName(name)?.reduce(join, "") ?? name.slice(0, maxName)

/** What a form says, not yet validated; what is wrong with the form itself; and the path in the form of a path in the value. */
export interface Reading {
  readonly value: unknown
  readonly problems: ReadonlyMap<string, ReadonlyArray<string>>
  readonly pathInForm: (path: string) => string
}

const isIndex = (key: string) => /^(?:0|[1-9]\d*)$/.test(key)

export const readForm = (entries: Iterable<Entry>): Reading => {
  const problems = new Map<string, Array<string>>()
  const root = newNode()

  const readList = (item: Shape, node: Node, children: ReadonlyMap<string, Node>, path: string): ReadonlyArray<unknown> => {
    const indices: Array<string> = []
    for (const key of children.keys()) {
      if (isIndex(key) && Number(key) <= maxIndex) indices.push(key)
      else add(problems, join(path, key.slice(0, 16)), `Expected an index of at most ${maxIndex}`)
    }
    node.indices = indices.sort((a, b) => Number(a) - Number(b))
    return node.indices.map((key) => read(item, children.get(key), join(path, key)))
  }

  const readObject = (shape: Shape, children: ReadonlyMap<string, Node>, path: string): object =>
    Object.fromEntries(
      [...children]
        .map(([key, child]): [string, unknown] => [key, read(fieldOf(shape, key), child, join(path, key))])
        .filter(([, value]) => value !== undefined)
    )

  const read = (shape: Shape, node: Node | undefined, path: string): unknown => {
    if (node === undefined) return undefined
    const { children, texts } = node
    const [text] = texts
    if (children !== undefined) {
      if (text !== undefined) add(problems, path, "Given in two spellings")
      if (shape.list !== undefined) return readList(shape.list, node, children, path)
      if (shape.any && [...children.keys()].every(isIndex)) return readList(shape, node, children, path)
      if (shape.object !== undefined || shape.any) return readObject(shape, children, path)
      add(problems, path, "Expected a text, got fields below it")
      return undefined
    }
    if (text === undefined) return undefined
    if (shape.list !== undefined && !shape.string) return readTexts(shape.list, texts)
    if (texts.length > 1) add(problems, path, "Given more than once")
    return readText(shape, text)
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

// Names that mean the same to every reader of forms: they do not agree on how a quote or a line end in one is written.
const isName = (name: string) => name.length <= maxName / 2 && /^[^.[\]"%\p{Cc}][^[\]"%\p{Cc}]*$/u.test(name) && isSound(name)

/** Writes the fields of a request that JSON can hold. What a form cannot hold is told by its path. */
export const writeForm = (value: ChatCompletionRequest): Result.Result<Array<[string, string]>, InvalidRequest> => {
  const entries: Array<[string, string]> = []

  // Whether the value could be written.
  const write = (shape: Shape, name: string, value: unknown): boolean => {
    const texts = shape.list !== undefined && Array.isArray(value) ? writeTexts(shape.list, value) : undefined
    const [only] = texts ?? []
    if (shape.list !== undefined && only !== undefined && texts?.length === 1) {
      entries.push([readsAsList(shape.list, only) ? `${name}[0]` : name, only])
    } else if (texts !== undefined) {
      for (const text of texts) entries.push([name, text])
    } else {
      const text = writeText(shape, value)
      if (text === undefined) return false
      entries.push([name, text])
    }
    return true
  }

  // A message whose content is null, or a text that reads as a list of parts, is written as JSON: Django has no spelling for it.
  const writeMessage = (shape: Shape, name: string, message: ChatMessage) => {
    const before = entries.length
    for (const [key, field] of Object.entries(message)) {
      if (field === undefined || (isName(key) && write(fieldOf(shape, key), `${name}${key}`, field))) continue
      entries.length = before
      entries.push([name, JSON.stringify(message)])
      return
    }
  }

  const { messages } = value
  for (const [key, field] of Object.entries(value)) {
    if (field === undefined) continue
    const shape = fieldOf(request(), key)
    if (key === "messages" && shape.list !== undefined && messages.length > 0 && messages.length <= maxIndex) {
      for (const [i, message] of messages.entries()) writeMessage(shape.list, `messages[${i}]`, message)
    } else if (!isName(key)) {
      return cannotHold(key.slice(0, maxName), "Unexpected name of a field")
    } else if (!write(shape, key, field)) {
      return cannotHold(key, "Unexpected unpaired surrogate")
    }
  }
  return Result.succeed(entries)
}

const cannotHold = (path: string, problem: string) =>
  Result.fail(new InvalidRequest({ detail: "a form cannot hold it", fields: { [path]: [problem] } }))
