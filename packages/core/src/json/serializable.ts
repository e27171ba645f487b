// What JSON cannot hold: JSON.stringify would write null, leave it out, or throw an error that does not say where.
import { join } from "../errors/FieldErrors.ts"

// Model servers refuse less, and JSON.stringify itself runs out of stack somewhere.
const maxDepth = 500

/** The first value that JSON cannot hold, by its path. */
export interface Unwritable {
  readonly path: string
  readonly problem: string
}

const isPlain = (value: object) => /^\[object (?:Object|Array)\]$/.test(Object.prototype.toString.call(value))

/**
 * Finds what JSON cannot hold: numbers that are none, functions, symbols, bigints, `undefined` in a list, cycles, objects of a kind that JSON
 * would write empty, and what nests too deep. `isAllowed` exempts a place.
 */
export const findUnwritable = (root: unknown, isAllowed: (path: string, value: unknown) => boolean): Unwritable | undefined => {
  const ancestors = new Set<object>()
  const find = (value: unknown, path: string): Unwritable | undefined => {
    switch (typeof value) {
      case "number":
        return Number.isFinite(value) ? undefined : { path, problem: `Unexpected ${value}` }
      case "function":
      case "symbol":
      case "bigint":
        return isAllowed(path, value) ? undefined : { path, problem: `Unexpected ${typeof value}` }
      case "object":
        return value === null ? undefined : findIn(value, path)
    }
    return undefined
  }
  const findIn = (value: object, path: string): Unwritable | undefined => {
    if (ancestors.has(value)) return { path, problem: "Unexpected reference to itself" }
    if (ancestors.size === maxDepth) return { path, problem: `Nested more than ${maxDepth} deep` }
    if (!Object.hasOwn(value, "toJSON") && "toJSON" in value && typeof value.toJSON === "function") {
      const written: unknown = value.toJSON()
      return written === null || written === undefined ? { path, problem: "Unexpected value without a JSON form" } : find(written, path)
    }
    if (!isPlain(value)) return { path, problem: "Expected a plain object" }
    ancestors.add(value)
    if (Array.isArray(value)) {
      // By index, since a hole is written as null too.
      for (let i = 0; i < value.length; i++) {
        const item: unknown = value[i]
        const found = item === undefined ? { path: join(path, i), problem: "Unexpected undefined" } : find(item, join(path, i))
        if (found !== undefined) return found
      }
    } else {
      for (const [key, child] of Object.entries(value)) {
        const found = find(child, join(path, key))
        if (found !== undefined) return found
      }
    }
    ancestors.delete(value)
    return undefined
  }
  return find(root, "")
}
