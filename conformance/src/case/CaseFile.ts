/**
 * The files of cases: one for each group, with `defaults` for the members that most of its cases share.
 *
 * A case without a member has that of `defaults`. A member of a case replaces the default; `operation` is merged, member by member.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"

const head = { $schema: Schema.optionalKey(Schema.String), group: Schema.NonEmptyString }

/**
 * The schema of a file of cases, given the schemas of their members. `id` and `rule` have no default. `merged` are the members of `operation`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const schema = <
  Fields extends Schema.Struct.Fields & { readonly id: Schema.Codec<string>; readonly rule: Schema.Codec<string> },
  Merged extends Schema.Struct.Fields
>(
  { id, rule, ...members }: Fields,
  merged: Merged
) => {
  const defaultable = { ...Struct.map(members, Schema.optionalKey), ...Struct.map(merged, Schema.optionalKey) }
  return Schema.Struct({
    ...head,
    defaults: Schema.optionalKey(Schema.Struct(defaultable)).annotateKey({
      description:
        "The members of each case that does not have them itself. A member of a case replaces the default; operation is merged, member by member"
    }),
    cases: Schema.Array(Schema.Struct({ id, rule, ...defaultable }))
  })
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A case with the defaults of its file. What is no object is left to the schema of cases to refuse. */
const completed = (item: unknown, defaults: Readonly<Record<string, unknown>>): unknown => {
  if (!isObject(item)) return item
  const merged = { ...defaults, ...item }
  const [byDefault, own] = [defaults["operation"], item["operation"]]
  return isObject(byDefault) && isObject(own) ? { ...merged, operation: { ...byDefault, ...own } } : merged
}

const decodeFile = Schema.decodeUnknownSync(
  Schema.Struct({
    ...head,
    defaults: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)),
    cases: Schema.Array(Schema.Unknown)
  })
)

const nameOf = (item: unknown, i: number) => (isObject(item) && typeof item["id"] === "string" ? item["id"] : `case ${i}`)

/**
 * Makes the decoder of files of cases. It throws when a case breaks the schema or has the id of another group, with the case and the place.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeWith = <A extends { readonly id: string }>(item: Schema.Decoder<A>): ((file: unknown) => ReadonlyArray<A>) => {
  const decodeCase = Schema.decodeUnknownSync(item)
  return (file) => {
    const { cases, defaults = {}, group } = decodeFile(file, { onExcessProperty: "error" })
    return cases.map((written, i) => {
      const name = nameOf(written, i)
      try {
        const decoded = decodeCase(completed(written, defaults), { onExcessProperty: "error" })
        if (decoded.id.startsWith(`${group}/`)) return decoded
      } catch (error) {
        throw new Error(`${name} in the file of group ${group}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error
        })
      }
      throw new Error(`${name} is in the file of group ${group}: an id begins with the name of its group and a slash`)
    })
  }
}
