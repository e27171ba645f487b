/**
 * The suite's own cases, decoded, and the plan of all of them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import auth from "../cases/auth.json" with { type: "json" }
import cancel from "../cases/cancel.json" with { type: "json" }
import error from "../cases/error.json" with { type: "json" }
import requestJson from "../cases/request-json.json" with { type: "json" }
import response from "../cases/response.json" with { type: "json" }
import security from "../cases/security.json" with { type: "json" }
import sse from "../cases/sse.json" with { type: "json" }
import stream from "../cases/stream.json" with { type: "json" }
import transport from "../cases/transport.json" with { type: "json" }
import utf8 from "../cases/utf8.json" with { type: "json" }
import published from "../cases.plan.json" with { type: "json" }
import { type Case, CaseFile } from "./Case.ts"
import * as Plan from "./Plan.ts"

const files: ReadonlyArray<unknown> = [requestJson, auth, response, sse, utf8, stream, error, transport, cancel, security]

/**
 * Some case files' cases. Throws, saying where, if one breaks the schema or stands in a file that is not its group's.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (file: unknown): ReadonlyArray<Case> => {
  const { cases, group } = Schema.decodeUnknownSync(CaseFile)(file, { onExcessProperty: "error" })
  const stray = cases.find((item) => !item.id.startsWith(`${group}/`))
  if (stray !== undefined) throw new Error(`${stray.id} stands in the file of group ${group}`)
  return cases
}

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
