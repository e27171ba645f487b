// A plain copy of a value, as JSON writes it. JSON.stringify would write null, omit a member, or throw an error without a path.
import * as Result from "effect/Result"
import { join } from "../errors/FieldErrors.ts"

// Model servers accept less, and JSON.stringify exceeds the stack at some depth.
const maxDepth = 500

/** The first value without a JSON form, by its path. */
export interface Unserializable {
  readonly path: string
  readonly problem: string
}

class Problem implements Unserializable {
  readonly path: string
  readonly problem: string
  constructor(path: string, problem: string) {
    this.path = path
    this.problem = problem
  }
}

// `isPrototypeOf` is an own member of every realm's Object.prototype.
const isRoot = (prototype: object) => Object.hasOwn(prototype, "isPrototypeOf") && Object.getPrototypeOf(prototype) === null

// The name of an inherited member that is data: JSON.stringify writes own members only.
const inheritedData = (value: object): string | undefined => {
  let prototype: object | null = Object.getPrototypeOf(value)
  for (; prototype !== null && !isRoot(prototype); prototype = Object.getPrototypeOf(prototype)) {
    for (const [name, { value: member }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      // Effect marks its prototypes with members that begin with a tilde.
      if (typeof member !== "function" && !name.startsWith("~")) return name
    }
  }
  return undefined
}

class Snapshot {
  readonly #ancestors = new Set<object>()
  readonly #isAllowed: (path: string, value: unknown) => boolean

  constructor(isAllowed: (path: string, value: unknown) => boolean) {
    this.#isAllowed = isAllowed
  }

  copy(value: unknown, path: string): unknown {
    switch (typeof value) {
      case "number":
        if (!Number.isFinite(value)) throw new Problem(path, `Unexpected ${value}`)
        return value
      case "function":
      case "symbol":
      case "bigint":
        if (!this.#isAllowed(path, value)) throw new Problem(path, `Unexpected ${typeof value}`)
        return value
      case "object":
        return value === null ? null : this.#copyObject(value, path)
    }
    return value
  }

  // The value of a member. Its accessor runs once.
  #read(value: object, name: string, path: string): unknown {
    try {
      return Reflect.get(value, name)
    } catch {
      throw new Problem(path, "Unexpected exception when read")
    }
  }

  #copyObject(value: object, path: string): unknown {
    if (this.#ancestors.has(value)) throw new Problem(path, "Unexpected reference to itself")
    if (this.#ancestors.size === maxDepth) throw new Problem(path, `Nested more than ${maxDepth} deep`)
    this.#ancestors.add(value)
    try {
      const toJSON = "toJSON" in value ? value.toJSON : undefined
      if (typeof toJSON === "function") return this.#written(Reflect.apply(toJSON, value, [""]), path)
      return Array.isArray(value) ? this.#items(value, path) : this.#members(value, path)
    } catch (error) {
      throw error instanceof Problem ? error : new Problem(path, "Unexpected exception when read")
    } finally {
      this.#ancestors.delete(value)
    }
  }

  #written(value: unknown, path: string): unknown {
    if (value === null || value === undefined) throw new Problem(path, "Unexpected value without a JSON form")
    return this.copy(value, path)
  }

  #items(value: ReadonlyArray<unknown>, path: string): ReadonlyArray<unknown> {
    const copy: Array<unknown> = []
    // By index, since JSON.stringify writes null for a hole.
    for (let i = 0; i < value.length; i++) {
      const item = this.#read(value, String(i), join(path, i))
      if (item === undefined) throw new Problem(join(path, i), "Unexpected undefined")
      copy.push(this.copy(item, join(path, i)))
    }
    const extra = Object.keys(value)[value.length]
    if (extra !== undefined) throw new Problem(join(path, extra), "Unexpected member of an array")
    return copy
  }

  #members(value: object, path: string): object {
    if (Object.prototype.toString.call(value) !== "[object Object]") throw new Problem(path, "Expected a plain object")
    const inherited = inheritedData(value)
    if (inherited !== undefined) throw new Problem(join(path, inherited), "Unexpected inherited member")
    const names = Object.keys(value)
    const prototype: unknown = Object.getPrototypeOf(value)
    if (names.length === 0 && typeof prototype === "object" && prototype !== null && !isRoot(prototype)) {
      throw new Problem(path, "Expected a plain object")
    }
    const entries: Array<readonly [string, unknown]> = []
    for (const name of names) {
      const member = this.#read(value, name, join(path, name))
      if (member !== undefined) entries.push([name, this.copy(member, join(path, name))])
    }
    // Unlike an assignment, this makes `__proto__` a member.
    return Object.fromEntries(entries)
  }
}

/**
 * Copies a value as plain JSON, and reads each member once, so that the validated value is the written one. Members that are
 * `undefined` are omitted.
 *
 * Fails at the first number that is not finite, function, symbol, bigint, `undefined` in an array, cycle, inherited member, or object that JSON
 * would write empty, and at nesting that is too deep. `isAllowed` exempts a place.
 */
export const snapshot = (root: unknown, isAllowed: (path: string, value: unknown) => boolean): Result.Result<unknown, Unserializable> => {
  try {
    return Result.succeed(new Snapshot(isAllowed).copy(root, ""))
  } catch (error) {
    if (error instanceof Problem) return Result.fail(error)
    throw error
  }
}
