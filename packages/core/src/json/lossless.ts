// Integers of 64 bits, which JavaScript's numbers do not all hold.

const limit = 2n ** 63n

export const isInt64 = (value: unknown): value is number | bigint => {
  if (typeof value === "bigint") return value >= -limit && value < limit
  // A number that JSON.parse rounded from an integer of 64 bits may stand at the limit itself.
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= Number(limit)
}

// Past the closing quote of the string that begins at a place of a valid JSON text.
const endOfString = (text: string, start: number): number => {
  let quote = text.indexOf('"', start + 1)
  for (;;) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === 92) backslashes++
    if (backslashes % 2 === 0) return quote + 1
    quote = text.indexOf('"', quote + 1)
  }
}

// The digits of an integer at the top level of a valid JSON object, by its last key of this name, as JSON.parse takes it.
const digitsOf = (text: string, key: string): string | undefined => {
  const structural = /["{}[\]]/g
  let depth = 0
  let digits: string | undefined
  for (let found = structural.exec(text); found !== null; found = structural.exec(text)) {
    const [mark] = found
    if (mark !== '"') {
      depth += mark === "{" || mark === "[" ? 1 : -1
      continue
    }
    const end = (structural.lastIndex = endOfString(text, found.index))
    if (depth !== 1) continue
    const value = /\s*:\s*(?:(-?\d{1,20})(?=[\s,}]))?/y
    value.lastIndex = end
    const after = value.exec(text)
    if (after !== null && JSON.parse(text.slice(found.index, end)) === key) digits = after[1]
  }
  return digits
}

/**
 * The integer that a text of digits says: a number where that is exact. Anything else is `undefined`.
 */
export const parseInt64 = (text: string): number | bigint | undefined => {
  if (!/^[+-]?\d{1,20}$/.test(text)) return undefined
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text.replace("+", ""))
}

/**
 * Parses a JSON text. One field of the object at its top, an integer, is read exactly. Throws as `JSON.parse` does.
 */
export const parseJsonExactly = (text: string, field: string): unknown => {
  const value: unknown = JSON.parse(text)
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  const record: Readonly<Record<string, unknown>> = { ...value }
  if (typeof record[field] !== "number" || Number.isSafeInteger(record[field])) return value
  const digits = digitsOf(text, field)
  return digits === undefined ? value : { ...value, [field]: parseInt64(digits) }
}

/**
 * Writes an object that JSON can hold, but for one field, which may be a bigint: it becomes a bare integer, at the end.
 */
export const stringifyExactly = (value: object, field: string): string => {
  const { [field]: integer, ...rest }: Readonly<Record<string, unknown>> = { ...value }
  if (typeof integer !== "bigint") return JSON.stringify(value)
  const text = JSON.stringify(rest)
  return `${text.slice(0, -1)}${text === "{}" ? "" : ","}${JSON.stringify(field)}:${integer}}`
}
