// Whether a JSON value has the shape the contract says, and where not. The shapes are generated from the contract's schemas, which decode to
// what they were given: so a check is a decoding. It needs no schema library at run time, which is most of what a page would load, and no
// compilation, which a page's security policy may forbid.
import * as Predicate from "effect/Predicate"
import { add, join } from "../errors/FieldErrors.ts"
import { isInt64 } from "../json/lossless.ts"

/** What a value must be. */
export interface Shape {
  /** As in `Expected string`. */
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
  /** Adds what is wrong with a value that is not accepted. */
  readonly explain: (value: unknown, path: string, problems: Map<string, Array<string>>) => void
}

const simple = (expected: string, accepts: (value: unknown) => boolean): Shape => ({
  expected,
  accepts,
  explain: (_, path, problems) => add(problems, path, `Expected ${expected}`)
})

export const any = simple("anything", () => true)
export const nil = simple("null", (value) => value === null)
export const string = simple("string", (value) => typeof value === "string")
export const boolean = simple("boolean", (value) => typeof value === "boolean")
export const number = simple("number", Number.isFinite)
export const integer = simple("integer", Number.isSafeInteger)
export const count = simple("integer of at least 0", (value) => Number.isSafeInteger(value) && Number(value) >= 0)
export const int64 = simple("64-bit integer", isInt64)

/** What a string that may be null or absent accepts, for the tests of an object. */
export const isText = (value: unknown): boolean => value === undefined || value === null || typeof value === "string"

type Members = { readonly [name: string]: unknown }

export const record = simple("object", Predicate.isObject)

/** An object whose values are all of one shape. */
export const recordOf = (item: Shape): Shape => ({
  expected: "object",
  accepts: (value) => Predicate.isObject(value) && Object.values(value).every(item.accepts),
  explain: (value, path, problems) => {
    if (!Predicate.isObject(value)) return add(problems, path, "Expected object")
    for (const [name, child] of Object.entries(value)) if (!item.accepts(child)) item.explain(child, join(path, name), problems)
  }
})

/**
 * An object with these fields, of which some are required, and any others. A field that is `undefined` is absent. `test`, where it is given,
 * says the same of the fields, faster.
 */
export const object = <Fields extends { readonly [name: string]: Shape }>(
  fields: Fields,
  required: ReadonlyArray<string> = [],
  test?: (value: Members, fields: Fields) => boolean
): Shape => {
  const names = Object.keys(fields)
  const shapes = Object.values(fields)
  const isRequired = names.map((name) => required.includes(name))
  return {
    expected: "object",
    accepts: (value) => {
      if (!Predicate.isObject(value)) return false
      if (test !== undefined) return test(value, fields)
      for (let i = 0; i < names.length; i++) {
        const child = value[names[i] as string]
        if (child === undefined ? isRequired[i] === true : !(shapes[i] as Shape).accepts(child)) return false
      }
      return true
    },
    explain: (value, path, problems) => {
      if (!Predicate.isObject(value)) return add(problems, path, "Expected object")
      for (const [i, name] of names.entries()) {
        const child = value[name]
        const shape = shapes[i] as Shape
        if (child === undefined) {
          if (isRequired[i] === true) add(problems, join(path, name), "Missing key")
        } else if (!shape.accepts(child)) shape.explain(child, join(path, name), problems)
      }
    }
  }
}

export const array = (item: Shape): Shape => ({
  expected: "array",
  accepts: (value) => Array.isArray(value) && value.every(item.accepts),
  explain: (value, path, problems) => {
    if (!Array.isArray(value)) return add(problems, path, "Expected array")
    for (const [i, child] of value.entries()) if (!item.accepts(child)) item.explain(child, join(path, i), problems)
  }
})

/** One of several. */
export const union = (...members: ReadonlyArray<Shape>): Shape => {
  const expected = members.map((member) => member.expected).join(" | ")
  return {
    expected,
    accepts: (value) => members.some((member) => member.accepts(value)),
    explain: (value, path, problems) => {
      const kind = Array.isArray(value) ? "array" : Predicate.isObject(value) ? "object" : undefined
      const alike = members.filter((member) => member.expected === kind)
      const [only] = alike
      if (only !== undefined && alike.length === 1) only.explain(value, path, problems)
      else add(problems, path, `Expected ${expected}`)
    }
  }
}
