/**
 * The messages between the suite and a subject in any language: JSON lines over the subject's standard input and output. `docs/protocol.md`
 * describes the conversation and the versions of the protocol.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Capability, type Operation } from "../case/Case.ts"
import type { ClientOptions } from "./Subject.ts"

/**
 * The version of the protocol.
 *
 * @category constants
 * @since 0.1.0
 */
export const protocol = 1

/**
 * A message of the suite. `client` and `call` are numbers of clients and calls. Each chunk of a `paced` call is answered by
 * `continue`.
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
      readonly paced?: true
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
    description: "Every form in which the error can reach a log, by name: all are searched for secrets"
  })
})

const positive = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * A message of a subject.
 *
 * @category models
 * @since 0.1.0
 */
export const FromSubject = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("hello"),
    protocol: optional(Schema.Int).annotateKey({ description: "The version it speaks. Defaults to 1" }),
    name: Schema.NonEmptyString,
    runtime: optional(Schema.NonEmptyString).annotateKey({
      description:
        'What it runs on, as "CPython 3.12", for reports. One that begins with deno or browser has the limits of that runtime, every other those of Node'
    }),
    capabilities: Schema.Array(Capability),
    parallel: optional(positive).annotateKey({ description: "How many cases one process of it can run at once. Defaults to 1" })
  }),
  Schema.Struct({ type: Schema.Literal("chunk"), call: Schema.Int, chunk: Schema.Unknown }),
  Schema.Struct({
    type: Schema.Literal("outcome"),
    call: Schema.Int,
    outcome: Schema.Literals(["chunks", "completion", "error", "aborted"]),
    completion: Schema.optional(Schema.Unknown),
    error: optional(SubjectError)
  }),
  Schema.Struct({
    type: Schema.Literal("outcome"),
    call: Schema.Int,
    outcome: Schema.Literal("cannot"),
    message: Schema.NonEmptyString.annotateKey({ description: "What the client has no way to express" })
  }),
  Schema.Struct({ type: Schema.Literal("closed"), client: Schema.Int })
])
/** @since 0.1.0 */
export type FromSubject = typeof FromSubject.Type

const decodeMessage = Schema.decodeUnknownSync(FromSubject)

/**
 * Decodes a line of a subject. Throws when it is no message, with the reason.
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
