/**
 * The suite's own cases, decoded, and the plan of all of them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
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
import { Case, Operation } from "./Case.ts"
import * as CaseFile from "./CaseFile.ts"
import * as Recordings from "./Recordings.ts"
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

/**
 * The schema of a file of cases, as it is written.
 *
 * @category schemas
 * @since 0.1.0
 */
export const File = CaseFile.schema(Case.fields, {
  operation: Schema.Struct(Struct.map(Operation.fields, Schema.optionalKey))
}).annotate({ identifier: "CaseFile" })

/**
 * Decodes a file of cases. Throws when a case breaks the schema or has the id of another group, with the case and the place.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = CaseFile.decodeWith(Case)

/**
 * The cases that are written in files.
 *
 * @category cases
 * @since 0.1.0
 */
export const written: ReadonlyArray<Case> = files.flatMap(decode)

/**
 * Every case of the suite: those that are written, and one for each recording.
 *
 * @category cases
 * @since 0.1.0
 */
export const all: ReadonlyArray<Case> = [...written, ...Recordings.cases]

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
