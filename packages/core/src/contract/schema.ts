// What the contract's schemas are made of: objects that keep the fields they do not know, and fields that may be absent.
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { isInt64 } from "../json/lossless.ts"

/** An object whose unknown fields are kept. */
export const open = <const Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.StructWithRest(Schema.Struct(fields), [Schema.Record(Schema.String, Schema.Unknown)])

export const JsonObject = Schema.Record(Schema.String, Schema.Unknown)

/** A string whose known values are completed by the editor, and whose unknown ones are kept. */
export type OpenString<Known extends string> = Known | (string & {})

// A plain string to the decoder: a union with the known values would be tried member by member, for each chunk.
export const openString = <const Known extends string>(known: ReadonlyArray<Known>): Schema.Codec<OpenString<Known>, string> =>
  Schema.String.annotate({ examples: known })

/** A field of a request: a value or nothing. `undefined` counts as nothing, `null` is refused. */
export const optional = <S extends Schema.Constraint>(schema: S, description: string) =>
  Schema.optional(schema).annotateKey({ description })

/** A field of a response: a value, `null`, or nothing. Model servers do all three. */
export const nullable = <S extends Schema.Constraint>(schema: S, description: string) =>
  Schema.optional(Schema.NullOr(schema)).annotateKey({ description })

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

/**
 * A 64-bit integer: a number, or a bigint where a number does not hold it exactly.
 */
export const Int64 = Schema.declare(isInt64, {
  expected,
  toCodecJson: () =>
    Schema.link<number | bigint>()(onTheWire, {
      decode: SchemaGetter.transform((value: number): number | bigint => value),
      // What a number does not hold is refused by the check above.
      encode: SchemaGetter.transform((value: number | bigint) => {
        const number = Number(value)
        return Number.isSafeInteger(number) ? number : Number.NaN
      })
    })
})
