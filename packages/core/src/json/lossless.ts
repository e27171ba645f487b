// 64-bit integers in JSON. JavaScript's numbers represent only some of them.
import { findValues } from "./scan.ts"

const limit = 2n ** 63n

export const isInt64 = (value: unknown): value is number | bigint => {
  if (typeof value === "bigint") return value >= -limit && value < limit
  // JSON.parse may have rounded a 64-bit integer to the limit itself.
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= Number(limit)
}

/** Parses digits: a number if that is exact, else a bigint. Returns `undefined` for other texts. */
export const parseInt64 = (text: string): number | bigint | undefined => {
  if (!/^[+-]?\d{1,20}$/.test(text)) return undefined
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text.replace("+", ""))
}

/** Parses a JSON text and reads one integer field of its root object exactly. Throws as `JSON.parse` does. */
export const parseJsonExactly = (text: string, field: string): unknown => {
  const value: unknown = JSON.parse(text)
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  const record: Readonly<Record<string, unknown>> = { ...value }
  if (typeof record[field] !== "number" || Number.isSafeInteger(record[field])) return value
  // Of a repeated key, JSON.parse takes the last value.
  const [start, end] = findValues(text, [field]).at(-1) ?? []
  const exact = parseInt64(text.slice(start, end))
  return exact === undefined ? value : { ...value, [field]: exact }
}

/** Writes an object as JSON. One field may be a bigint, which is written as a bare integer at the end. */
export const stringifyExactly = (value: object, field: string): string => {
  const { [field]: integer, ...rest }: Readonly<Record<string, unknown>> = { ...value }
  if (typeof integer !== "bigint") return JSON.stringify(value)
  const text = JSON.stringify(rest)
  return `${text.slice(0, -1)}${text === "{}" ? "" : ","}${JSON.stringify(field)}:${integer}}`
}
