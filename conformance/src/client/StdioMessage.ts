/**
 * What the suite and a subject in any language say to each other: one JSON object a line, in UTF-8, over the subject's standard input and
 * output. The README describes the conversation.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Capability, Operation, Runtime } from "../case/Case.ts"
import type { ClientOptions } from "./Subject.ts"

/**
 * The number of this protocol; another one is another conversation.
 *
 * @category constants
 * @since 0.1.0
 */
export const protocol = 1

/**
 * What the suite says. `client` and `call` number clients and calls; a call's first chunk is answered by `continue` before the next one may be
 * told.
 *
 * @category models
 * @since 0.1.0
 */
export type ToSubject =
  | { readonly type: "hello"; readonly protocol: number }
  | ({ readonly type: "open"; readonly client: number } & ClientOptions)
  | {
      readonly type: "call"
      readonly call: number
      readonly client: number
      readonly operation: Operation
      readonly take?: number | undefined
      readonly aborted?: true
    }
  | { readonly type: "continue" | "abort"; readonly call: number }
  | { readonly type: "close"; readonly client: number }

const optional = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))

const SubjectError = Schema.Struct({
  reason: Schema.String,
  message: Schema.String,
  retryable: Schema.Boolean,
  status: optional(Schema.Finite),
  code: optional(Schema.String),
  stage: optional(Schema.String),
  phase: optional(Schema.String),
  requestId: optional(Schema.String),
  partial: Schema.optional(Schema.Unknown),
  usage: Schema.optional(Schema.Unknown),
  printed: optional(Schema.Record(Schema.String, Schema.String)).annotateKey({
    description: "Every way the error can end up in a log, by name: all are searched for secrets"
  })
})

/**
 * What a subject says.
 *
 * @category models
 * @since 0.1.0
 */
export const FromSubject = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("hello"),
    name: Schema.NonEmptyString,
    runtime: Schema.optional(Runtime).annotateKey({
      description: "The runtime whose limits hold for it; node, which has none, where nothing is said"
    }),
    capabilities: Schema.Array(Capability)
  }),
  Schema.Struct({ type: Schema.Literal("chunk"), call: Schema.Int, chunk: Schema.Unknown }),
  Schema.Struct({
    type: Schema.Literal("outcome"),
    call: Schema.Int,
    outcome: Schema.Literals(["chunks", "completion", "error", "aborted"]),
    completion: Schema.optional(Schema.Unknown),
    error: optional(SubjectError)
  }),
  Schema.Struct({ type: Schema.Literal("closed"), client: Schema.Int })
])
/** @since 0.1.0 */
export type FromSubject = typeof FromSubject.Type

const decodeMessage = Schema.decodeUnknownSync(FromSubject)

/**
 * Reads a line of the subject. Throws, saying why, when it is no message.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (line: string): FromSubject => {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new Error("it is not JSON")
  }
  try {
    return decodeMessage(value)
  } catch (error) {
    throw new Error((error instanceof Error ? error.message : String(error)).replaceAll("\n", " "), { cause: error })
  }
}
