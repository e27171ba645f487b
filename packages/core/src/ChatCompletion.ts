/**
 * Wire format of `POST /api/v3/chat/completions`: the request and its messages, the completion, the chunk of a stream, and usage.
 *
 * The interfaces are closed: a misspelled field does not compile. The wire format is open: unknown fields are kept at run time. `extraBody`
 * sends unknown fields, and {@link unknownFields} reads them. `ContractSchema` has the schemas.
 *
 * An optional field that is null or `undefined` is absent and is not sent. The only null that is sent is a message's `content`.
 *
 * @since 0.1.0
 */
import { models } from "./contract/validators.generated.ts"

export type * from "./contract/types.generated.ts"

/**
 * Returns the fields of a value that its type does not have. Accepts a request, a completion, a chunk, or any object within one of them.
 *
 * **Details**
 *
 * The type of the value is the one that accepts it and models most of its fields.
 *
 * @example
 * ```ts
 * import { unknownFields } from "@paradigm-effect/core/ChatCompletion"
 *
 * const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, cost: 0.5 }
 * console.log(unknownFields(usage)) // => { cost: 0.5 }
 * ```
 *
 * @category fields
 * @since 0.1.0
 */
export const unknownFields = (value: object): Readonly<Record<string, unknown>> => {
  const names = Object.keys(value)
  let unknown = names
  for (const model of models) {
    const others = names.filter((name) => !Object.hasOwn(model.fields, name))
    if (others.length < unknown.length && model.accepts(value)) unknown = others
  }
  return Object.fromEntries(unknown.map((name) => [name, Reflect.get(value, name)]))
}
