// The vocabulary of the contract. A model is an object with named, documented fields; openapi.ts writes its interface, its validator and its
// component of the OpenAPI document from the same declaration.
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { isInt64 } from "../json/lossless.ts"

// One field of a model.
export interface Field {
  readonly schema: Schema.Codec<unknown>
  readonly description: string
  readonly isRequired: boolean
  // Whether null is a value of its own and is sent. Null means absent otherwise.
  readonly keepsNull: boolean
  // The only value in this variant's type. On the wire the field is open.
  readonly tag: string | undefined
  // Replacement of a superseded field.
  readonly deprecated: string | undefined
}

export type Fields = Readonly<Record<string, Field>>

// The declaration of a model.
export interface Model {
  readonly identifier: string
  readonly description: string
  readonly fields: Fields
  // Fields of which an object needs at least one.
  readonly oneOf: ReadonlyArray<string>
  // The members of the union in TypeScript. The wire has one open object for all of them.
  readonly variants: ReadonlyArray<Pick<Model, "identifier" | "description" | "fields">>
}

// The key of the annotation that holds a schema's Model.
export const modelAnnotation = "~paradigm/model"

// The key of the annotation that names a type without a model.
export const aliasAnnotation = "~paradigm/alias"

// The model that a schema was built from.
export const modelOf = (schema: Pick<Schema.Codec<unknown>, "ast">): Model | undefined =>
  schema.ast.annotations?.[modelAnnotation] as Model | undefined

// A schema with the type that was generated from it.
export const typed = <A>(schema: Schema.Codec<unknown>): Schema.Codec<A> => schema as Schema.Codec<A>

const field = (schema: Schema.Codec<unknown>, description: string, more: Partial<Field>): Field => ({
  schema,
  description,
  isRequired: false,
  keepsNull: false,
  tag: undefined,
  deprecated: undefined,
  ...more
})

export const required = (schema: Schema.Codec<unknown>, description: string): Field => field(schema, description, { isRequired: true })

// A field that may be missing, `undefined` or null. All three mean absent.
export const optional = (schema: Schema.Codec<unknown>, description: string): Field => field(schema, description, {})

// An optional field whose null is sent.
export const nullable = (schema: Schema.Codec<unknown>, description: string): Field => field(schema, description, { keepsNull: true })

export const deprecated = (schema: Schema.Codec<unknown>, description: string, replacement: string): Field =>
  field(schema, description, { deprecated: replacement })

// Fields that several models share, as an interface of its own.
export const group = <const Group extends Fields>(identifier: string, description: string, fields: Group): Group => {
  groups.push({ identifier, description, fields })
  return fields
}

export const groups: Array<Pick<Model, "identifier" | "description" | "fields">> = []

// The field that selects a variant. Other values are kept: only the type is closed.
export const tag = (value: string, description: string, isRequired = true): Field =>
  field(Schema.String, description, { tag: value, isRequired })

const toKey = ({ description, isRequired, schema }: Field) =>
  (isRequired ? schema : Schema.optional(Schema.NullOr(schema))).annotateKey({ description })

const deprecatedByModel = new Map<string, ReadonlyArray<string>>()

// The names of a model's deprecated fields, which JSON Schema documents of Effect do not have.
export const deprecatedFields = (identifier: string): ReadonlyArray<string> => deprecatedByModel.get(identifier) ?? []

const build = (model: Model): Schema.Codec<unknown> => {
  const { description, fields, identifier, oneOf } = model
  const properties = Object.fromEntries(Object.entries(fields).map(([name, declared]) => [name, toKey(declared)]))
  const annotations = { identifier, description, [modelAnnotation]: model }
  deprecatedByModel.set(
    identifier,
    Object.keys(fields).filter((name) => fields[name]?.deprecated !== undefined)
  )
  // A field that is not modelled is kept.
  const schema = Schema.StructWithRest(Schema.Struct(properties), [Schema.Record(Schema.String, Schema.Unknown)]).annotate(annotations)
  const [first] = oneOf
  if (first === undefined) return schema
  const isPresent = (value: Readonly<Record<string, unknown>>) => oneOf.some((name) => (value[name] ?? undefined) !== undefined)
  return schema
    .check(
      Schema.makeFilter<Readonly<Record<string, unknown>>>(
        (value) => (isPresent(value) ? undefined : { path: [first], issue: "Missing key" }),
        { toJsonSchema: () => ({ anyOf: oneOf.map((name) => ({ required: [name] })) }) }
      )
    )
    .annotate(annotations)
}

// A model: an object that keeps the fields it does not know.
export const model = (identifier: string, description: string, fields: Fields): Schema.Codec<unknown> =>
  build({ identifier, description, fields, oneOf: [], variants: [] })

const merge = (name: string, all: ReadonlyArray<Field | undefined>): readonly [string, Field] => {
  const declared = all.filter((one) => one !== undefined)
  const schemas = [...new Set(declared.map(({ schema }) => schema))]
  const [first] = declared
  const [only] = schemas
  if (first === undefined || only === undefined) throw new Error(`No variant has the field ${name}`)
  const tags = declared.flatMap((one) => one.tag ?? [])
  const schema = tags.length > 0 ? openString(tags) : schemas.length === 1 ? only : Schema.Union(schemas)
  const isRequired = all.every((one) => one?.isRequired === true)
  return [name, { ...first, schema, isRequired, keepsNull: declared.some(({ keepsNull }) => keepsNull), tag: undefined }]
}

// A model whose type is a union. On the wire it is one open object with the fields of all variants, since servers take unknown variants.
export const variants = (
  identifier: string,
  description: string,
  members: Readonly<Record<string, { readonly description: string; readonly fields: Fields }>>,
  oneOf: ReadonlyArray<string> = []
): Schema.Codec<unknown> => {
  const all = Object.entries(members).map(([name, member]) => ({ identifier: name, ...member }))
  const names = new Set(all.flatMap(({ fields }) => Object.keys(fields)))
  const fields = Object.fromEntries(
    [...names].map((name) =>
      merge(
        name,
        all.map((member) => member.fields[name])
      )
    )
  )
  return build({ identifier, description, fields, oneOf, variants: all })
}

// A string with known values. Unknown values are kept.
export const openString = (known: ReadonlyArray<string>): Schema.Codec<string> => Schema.String.annotate({ examples: known })

// A name for a type that is not a model.
export const alias = (identifier: string, description: string, schema: Schema.Codec<unknown>): Schema.Codec<unknown> =>
  schema.annotate({ description, [aliasAnnotation]: identifier })

export const JsonObject = Schema.Record(Schema.String, Schema.Unknown)

// An integer of at least 1.
export const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

// A JSON Schema, or its text.
export const SchemaOrText = Schema.Union([JsonObject, Schema.String])

export const int = (description: string) => optional(Schema.Int, description)
export const number = (description: string) => optional(Schema.Finite, description)
export const boolean = (description: string) => optional(Schema.Boolean, description)
export const string = (description: string) => optional(Schema.String, description)
export const strings = (description: string) => optional(Schema.Array(Schema.String), description)
export const ints = (description: string) => optional(Schema.Array(Schema.Int), description)
export const object = (description: string) => optional(JsonObject, description)

const expected = "a 64-bit integer"

const onTheWire = Schema.Finite.check(
  Schema.makeFilter<number>(isInt64, { expected, toJsonSchema: () => ({ type: "integer", format: "int64" }) })
)

// A 64-bit integer: a number, or a bigint when a number does not represent it exactly.
export const Int64 = Schema.declare(isInt64, {
  expected,
  toCodecJson: () =>
    Schema.link<number | bigint>()(onTheWire, {
      decode: SchemaGetter.transform((value: number): number | bigint => value),
      // The check above rejects a value that a number does not represent.
      encode: SchemaGetter.transform((value: number | bigint) => {
        const number = Number(value)
        return Number.isSafeInteger(number) ? number : Number.NaN
      })
    })
})
