// Fields of a stream that arrive in fragments and have no rule of their own.
import * as Predicate from "effect/Predicate"

// Deeper than any field that is streamed in fragments.
const maxDepth = 16

const ownMember = (value: object, name: string): unknown => (Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined)

// Texts and lists are joined, objects member by member. Otherwise the last fragment counts, also for fields that identify their object.
const join = (fragments: ReadonlyArray<unknown>, name: string, depth = 0): unknown => {
  const given = fragments.filter(Predicate.isNotNullish)
  const last = given.at(-1) ?? null
  if (given.length < 2 || name === "id" || name === "type" || depth === maxDepth) return last
  if (given.every((fragment) => typeof fragment === "string")) return given.join("")
  if (given.every(Array.isArray)) return given.flat()
  if (!given.every(Predicate.isObject)) return last
  const names = new Set(given.flatMap(Object.keys))
  return Object.fromEntries(
    [...names].map((key) => [
      key,
      join(
        given.map((fragment) => ownMember(fragment, key)),
        key,
        depth + 1
      )
    ])
  )
}

/** The fragments of each field, by its name. */
export class Fragments {
  readonly #byName = new Map<string, Array<unknown>>()

  add(name: string, fragment: unknown): void {
    if (!Predicate.isNotNullish(fragment)) return
    const before = this.#byName.get(name)
    if (before) before.push(fragment)
    else this.#byName.set(name, [fragment])
  }

  has(name: string): boolean {
    return this.#byName.has(name)
  }

  /** The joined fields. */
  get joined(): Record<string, unknown> {
    return Object.fromEntries([...this.#byName].map(([name, fragments]) => [name, join(fragments, name)]))
  }
}
