/**
 * The suite's own cases, decoded, and the plan of all of them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import auth from "../../cases/client/auth.json" with { type: "json" }
import backpressure from "../../cases/client/backpressure.json" with { type: "json" }
import cancel from "../../cases/client/cancel.json" with { type: "json" }
import concurrency from "../../cases/client/concurrency.json" with { type: "json" }
import error from "../../cases/client/error.json" with { type: "json" }
import repair from "../../cases/client/repair.json" with { type: "json" }
import requestForm from "../../cases/client/request-form.json" with { type: "json" }
import requestJson from "../../cases/client/request-json.json" with { type: "json" }
import response from "../../cases/client/response.json" with { type: "json" }
import retry from "../../cases/client/retry.json" with { type: "json" }
import security from "../../cases/client/security.json" with { type: "json" }
import sse from "../../cases/client/sse.json" with { type: "json" }
import stream from "../../cases/client/stream.json" with { type: "json" }
import timeout from "../../cases/client/timeout.json" with { type: "json" }
import transport from "../../cases/client/transport.json" with { type: "json" }
import utf8 from "../../cases/client/utf8.json" with { type: "json" }
import published from "../../cases.plan.json" with { type: "json" }
import { Case, CaseFile } from "./Case.ts"
import * as Plan from "../plan/Plan.ts"

const files: ReadonlyArray<unknown> = [
  requestJson,
  requestForm,
  auth,
  response,
  repair,
  sse,
  utf8,
  stream,
  error,
  transport,
  timeout,
  retry,
  cancel,
  concurrency,
  backpressure,
  security
]

const decodeFile = Schema.decodeUnknownSync(Schema.Struct({ ...CaseFile.fields, cases: Schema.Array(Schema.Unknown) }))

const nameOf = (item: unknown, i: number) =>
  typeof item === "object" && item !== null && "id" in item && typeof item.id === "string" ? item.id : `case ${i}`

/**
 * How to decode files of one side's cases: it throws, saying which and where, if a case breaks the schema or stands in a file that is not its
 * group's.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeWith = <A extends { readonly id: string }>(schema: Schema.Decoder<A>): ((file: unknown) => ReadonlyArray<A>) => {
  const decodeCase = Schema.decodeUnknownSync(schema)
  return (file) => {
    const { cases, group } = decodeFile(file, { onExcessProperty: "error" })
    return cases.map((item, i) => {
      const name = nameOf(item, i)
      try {
        const decoded = decodeCase(item, { onExcessProperty: "error" })
        if (decoded.id.startsWith(`${group}/`)) return decoded
      } catch (error) {
        throw new Error(`${name} in the file of group ${group}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error
        })
      }
      throw new Error(`${name} stands in the file of group ${group}`)
    })
  }
}

/**
 * A case file's cases.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = decodeWith(Case)

/**
 * Every case of the suite.
 *
 * @category cases
 * @since 0.1.0
 */
export const all: ReadonlyArray<Case> = files.flatMap(decode)

/**
 * Every case of the suite in every variant.
 *
 * @category cases
 * @since 0.1.0
 */
export const plan: ReadonlyArray<Plan.Instance> = Plan.make(all)

/**
 * What a summary of `plan` has to be, in whatever runtime it is made.
 *
 * @category cases
 * @since 0.1.0
 */
export const summary: Plan.Summary = Schema.decodeUnknownSync(Plan.Summary)(published)
