/**
 * Objects with their keys in the order of a server.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export type Values = Readonly<Record<string, unknown>>

const parsedKeys = new Map<string, ReadonlyArray<{ readonly key: string; readonly isOptional: boolean }>>()
const keysOf = (list: string) => {
  const known = parsedKeys.get(list)
  if (known !== undefined) return known
  const keys = list
    .split(" ")
    .filter((key) => key !== "")
    .map((key) => (key.endsWith("?") ? { key: key.slice(0, -1), isOptional: true } : { key, isOptional: false }))
  parsedKeys.set(list, keys)
  return keys
}

/**
 * The values in the order of a list of keys; `Profile` tells what such a list is.
 *
 * @example
 * import * as KeyOrder from "./KeyOrder.ts"
 *
 * KeyOrder.project("id model usage?", { model: "m" }) // { id: null, model: "m" }
 *
 * @category rendering
 * @since 0.1.0
 */
export const project = (list: string, values: Values): Values => {
  const result: Record<string, unknown> = {}
  for (const { isOptional, key } of keysOf(list)) {
    const value = values[key] ?? null
    if (isOptional && (value === null || (Array.isArray(value) && value.length === 0))) continue
    result[key] = value
  }
  return result
}
