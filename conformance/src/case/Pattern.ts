/**
 * What a case expects of a value: the same value, where objects may have more keys, or one of these operators.
 *
 * - `{"$absent": true}`: the key is not there, or `undefined`
 * - `{"$contains": "text"}`: a string that has the text in it
 * - `{"$exact": value}`: the value and nothing else: no further key at any depth
 * - `{"$oneOf": [pattern, …]}`: any of these
 * - `{"$type": "string"}`: any string; also `integer`, `number`, `boolean`, `object` and `array`
 * - `{"$matches": "^a+$"}`: a string in which the regular expression, without regard to case, finds something
 * - `{"$each": pattern}`: a list, every item of which matches
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The same value must be found, where an object may have more keys than are named, unless one of the operators asks for something else.
 *
 * @category models
 * @since 0.1.0
 */
export const Pattern = Schema.Json.annotate({
  description:
    'The value to be found; objects may have more keys. {"$absent": true}: no such key. {"$contains": "text"}: a string with that text in it. {"$exact": value}: nothing more and nothing less. {"$oneOf": [patterns]}: any of them. {"$type": "string"}: any string; also integer, number, boolean, object, array. {"$matches": "^a+$"}: a string in which the regular expression finds something. {"$each": pattern}: a list of such items.'
})
/** @since 0.1.0 */
export type Pattern = typeof Pattern.Type

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const show = (value: unknown): string => {
  const text = typeof value === "bigint" ? `${value}n` : (JSON.stringify(value) ?? String(value))
  return text.length > 300 ? `${text.slice(0, 300)}… (${text.length} characters)` : text
}

const operator = (pattern: Pattern, name: string): unknown =>
  isObject(pattern) && Object.keys(pattern).length === 1 ? pattern[name] : undefined

const keysOf = (value: Readonly<Record<string, unknown>>) => Object.keys(value).filter((key) => value[key] !== undefined)

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === "string",
  integer: Number.isSafeInteger,
  number: Number.isFinite,
  boolean: (value) => typeof value === "boolean",
  object: isObject,
  array: Array.isArray
}

const compare = (path: string, pattern: Pattern, actual: unknown, exact: boolean): ReadonlyArray<string> => {
  const mismatch = (wanted: string) => [`${path}: expected ${wanted}, got ${show(actual)}`]
  if (Array.isArray(pattern)) {
    if (!Array.isArray(actual)) return mismatch(show(pattern))
    if (actual.length !== pattern.length) return [`${path}: expected ${pattern.length} items, got ${actual.length}: ${show(actual)}`]
    return pattern.flatMap((item, i) => match(`${path}[${i}]`, item, actual[i], exact))
  }
  if (isObject(pattern)) {
    if (!isObject(actual)) return mismatch(show(pattern))
    const missing = Object.entries(pattern).flatMap(([key, item]) => match(`${path}.${key}`, item, actual[key], exact))
    const extra = exact ? keysOf(actual).filter((key) => !(key in pattern)) : []
    return [...missing, ...extra.map((key) => `${path}.${key}: not expected, got ${show(actual[key])}`)]
  }
  return Object.is(pattern, actual) ? [] : mismatch(show(pattern))
}

/**
 * How `actual` differs from `pattern`: one sentence per difference, none when it matches. `path` names the value in them.
 *
 * @category matching
 * @since 0.1.0
 */
export const match = (path: string, pattern: Pattern, actual: unknown, exact = false): ReadonlyArray<string> => {
  if (operator(pattern, "$absent") !== undefined) {
    return actual === undefined ? [] : [`${path}: expected to be absent, got ${show(actual)}`]
  }
  const contains = operator(pattern, "$contains")
  if (typeof contains === "string") {
    return typeof actual === "string" && actual.includes(contains)
      ? []
      : [`${path}: expected to contain ${show(contains)}, got ${show(actual)}`]
  }
  const oneOf = operator(pattern, "$oneOf")
  if (Array.isArray(oneOf)) {
    const matches = oneOf.some((option: Pattern) => match(path, option, actual, exact).length === 0)
    return matches ? [] : [`${path}: expected one of ${show(oneOf)}, got ${show(actual)}`]
  }
  const type = operator(pattern, "$type")
  if (typeof type === "string") {
    return types[type]?.(actual) === true ? [] : [`${path}: expected of type ${type}, got ${show(actual)}`]
  }
  const matches = operator(pattern, "$matches")
  if (typeof matches === "string") {
    const found = typeof actual === "string" && new RegExp(matches, "i").test(actual)
    return found ? [] : [`${path}: expected to match /${matches}/i, got ${show(actual)}`]
  }
  const each = operator(pattern, "$each")
  if (each !== undefined) {
    if (!Array.isArray(actual)) return [`${path}: expected a list, got ${show(actual)}`]
    return actual.flatMap((item, i) => match(`${path}[${i}]`, each as Pattern, item, exact))
  }
  const whole = operator(pattern, "$exact")
  return whole === undefined ? compare(path, pattern, actual, exact) : compare(path, whole as Pattern, actual, true)
}
