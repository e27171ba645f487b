// Validators of JSON values, combined by the code that openapi.ts writes into validators.generated.ts. The contract's schemas transform nothing,
// so validation is decoding. A page then loads no schema library, which would be most of its size, and compiles no code, which its security
// policy may forbid.
import * as Predicate from "effect/Predicate"
import { add, type Fields, join } from "../errors/FieldErrors.ts"
import { isInt64 } from "../json/lossless.ts"

type Problems = Map<string, Array<string>>

/** A check of a JSON value. */
export interface Validator {
  /** Type of a valid value, as in `Expected string`. */
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
  /** Adds the problems of an invalid value. */
  readonly explain: (value: unknown, path: string, problems: Problems) => void
  /** Removes the nulls that mean absent from a valid value, in place. */
  readonly removeNulls: (value: unknown) => void
  /** Whether an optional field of this type has null as a value of its own. */
  readonly keepsNull?: boolean
  /** The types of which a value has one. */
  readonly members?: ReadonlyArray<Validator>
  /** The type of the items of a list, or of the values of a map. */
  readonly item?: Validator
  /** The fields of a model. */
  readonly fields?: Readonly<Record<string, Validator>>
}

/** The problems of an invalid value, bounded. */
export const problemsOf = (validator: Validator, value: unknown): Fields => {
  const problems: Problems = new Map()
  validator.explain(value, "", problems)
  return Object.fromEntries(problems)
}

const simple = (expected: string, accepts: (value: unknown) => boolean): Validator => ({
  expected,
  accepts,
  explain: (_, path, problems) => add(problems, path, `Expected ${expected}`),
  removeNulls: () => {}
})

const atLeast = (minimum: number) =>
  simple(`integer of at least ${minimum}`, (value) => Number.isSafeInteger(value) && Number(value) >= minimum)

export const any = simple("anything", () => true)
export const nil = simple("null", (value) => value === null)
export const string = simple("string", (value) => typeof value === "string")
export const boolean = simple("boolean", (value) => typeof value === "boolean")
export const number = simple("number", Number.isFinite)
export const integer = simple("integer", Number.isSafeInteger)
export const natural = atLeast(0)
export const positive = atLeast(1)
export const int64 = simple("64-bit integer", isInt64)
export const record = simple("object", Predicate.isObject)

const collection =
  (expected: string, is: (value: unknown) => boolean) =>
  (item: Validator): Validator => ({
    expected,
    item,
    accepts: (value) => is(value) && (Array.isArray(value) ? value : Object.values(value as object)).every(item.accepts),
    explain: (value, path, problems) => {
      if (!is(value)) return add(problems, path, `Expected ${expected}`)
      for (const [key, child] of Object.entries(value as object)) {
        if (!item.accepts(child)) item.explain(child, join(path, key), problems)
      }
    },
    removeNulls: (value) => Object.values(value as object).forEach(item.removeNulls)
  })

export const map = /* @__PURE__ */ collection("object", Predicate.isObject)
export const array = /* @__PURE__ */ collection("array", Array.isArray)
export const nonEmptyArray = /* @__PURE__ */ collection("non-empty array", (value) => Array.isArray(value) && value.length > 0)

export const union = (...members: ReadonlyArray<Validator>): Validator => {
  const expected = members.map((member) => member.expected).join(" | ")
  return {
    expected,
    members,
    accepts: (value) => members.some((member) => member.accepts(value)),
    explain: (value, path, problems) => {
      const kind = Array.isArray(value) ? "array" : Predicate.isObject(value) ? "object" : undefined
      const [only, ...more] = members.filter((member) => member.expected === kind)
      if (only !== undefined && more.length === 0) only.explain(value, path, problems)
      else add(problems, path, `Expected ${expected}`)
    },
    removeNulls: (value) => members.find((member) => member.accepts(value))?.removeNulls(value)
  }
}

export const keepNull = (type: Validator): Validator => ({ ...type, keepsNull: true })

const isMissing = (value: unknown) => value === undefined || value === null

export const isOptionalString = (value: unknown): boolean => isMissing(value) || typeof value === "string"

export const isOptional = (value: unknown, type: Validator): boolean => isMissing(value) || type.accepts(value)

type Members = Readonly<Record<string, unknown>>

// Members that were added to Object.prototype. A check that is written out would read them.
const hasInherited = () => {
  for (const _ in Object.prototype) return true
  return false
}

const own = (value: Members, name: string) => (Object.hasOwn(value, name) ? value[name] : undefined)

/** A validator of a model. */
export interface ModelValidator extends Validator {
  readonly fields: Readonly<Record<string, Validator>>
}

/**
 * An object with these fields, of which the first are required, and any others. Reads own members only. `oneOf` are fields of which one is
 * required. `check` is the same check, written out: a lookup by name takes several times as long.
 */
export const model = <Fields extends Readonly<Record<string, Validator>>>(
  required: number,
  fields: Fields,
  oneOf: ReadonlyArray<string> = [],
  check?: (value: Members, fields: Fields) => boolean
): ModelValidator => {
  const types = Object.entries<Validator>(fields)
  const hasNone = (value: Members) => oneOf.length > 0 && oneOf.every((name) => isMissing(own(value, name)))
  return {
    expected: "object",
    fields,
    accepts: (value) => {
      if (!Predicate.isObject(value)) return false
      if (check !== undefined && !hasInherited()) return check(value, fields)
      return (
        !hasNone(value) &&
        types.every(([name, type], i) => {
          const child = own(value, name)
          return isMissing(child) ? i >= required : type.accepts(child)
        })
      )
    },
    explain: (value, path, problems) => {
      if (!Predicate.isObject(value)) return add(problems, path, "Expected object")
      for (const [i, [name, type]] of types.entries()) {
        const child = own(value, name)
        const isOneOf = name === oneOf[0] && hasNone(value)
        if (isOneOf || (child === undefined && i < required)) add(problems, join(path, name), "Missing key")
        else if (isMissing(child) ? child === null && i < required : !type.accepts(child)) type.explain(child, join(path, name), problems)
      }
    },
    removeNulls: (value) => {
      const members = value as Record<string, unknown>
      for (const [i, [name, type]] of types.entries()) {
        const child = own(members, name)
        if (!isMissing(child)) type.removeNulls(child)
        else if (i >= required && type.keepsNull !== true) delete members[name]
      }
    }
  }
}
