// A scanner of JSON texts that are known to be valid. It finds places without parsing the text between them, in linear time, and recurses no
// deeper than the searched path.

/** The start of a value and the place past its end. */
export type Span = readonly [start: number, end: number]

const skipSpace = (text: string, at: number): number => {
  while (text.charCodeAt(at) <= 32) at++
  return at
}

// Past the closing quote of the string that begins at a place.
const skipString = (text: string, start: number): number => {
  let quote = text.indexOf('"', start + 1)
  for (;;) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === 92) backslashes++
    if (backslashes % 2 === 0) return quote + 1
    quote = text.indexOf('"', quote + 1)
  }
}

const skipValue = (text: string, start: number): number => {
  if (text[start] === '"') return skipString(text, start)
  const mark = text[start] === "{" || text[start] === "[" ? /["{}[\]]/g : /[\s,}\]]/g
  mark.lastIndex = start
  let depth = 0
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    const [character] = found
    if (character === '"') mark.lastIndex = skipString(text, found.index)
    else if (character === "{" || character === "[") depth++
    else if (depth === 0) return found.index
    else if (--depth === 0) return found.index + 1
  }
  return text.length
}

const find = (text: string, start: number, path: ReadonlyArray<string | number>, depth: number, found: Array<Span>): number => {
  const isObject = text[start] === "{"
  if (depth === path.length || (!isObject && text[start] !== "[")) {
    const end = skipValue(text, start)
    if (depth === path.length) found.push([start, end])
    return end
  }
  let at = skipSpace(text, start + 1)
  for (let index = 0; text[at] !== "}" && text[at] !== "]"; index++) {
    let key: string | number = index
    if (isObject) {
      const end = skipString(text, at)
      key = JSON.parse(text.slice(at, end))
      // Past the colon.
      at = skipSpace(text, skipSpace(text, end) + 1)
    }
    at = skipSpace(text, key === path[depth] ? find(text, at, path, depth + 1, found) : skipValue(text, at))
    if (text[at] === ",") at = skipSpace(text, at + 1)
  }
  return at + 1
}

/** Finds the values at a path of keys and indices, in their order. There are several if a key on the way is repeated. */
export const findValues = (text: string, path: ReadonlyArray<string | number>): ReadonlyArray<Span> => {
  const found: Array<Span> = []
  find(text, skipSpace(text, 0), path, 0, found)
  return found
}
