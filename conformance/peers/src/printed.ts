/**
 * The errors of peers. The suite asks nobody but this project's clients for its own reasons; of a peer's error it wants every way in which the
 * error can be printed.
 */
import * as Subject from "@paradigm-effect/conformance/Subject"
import { inspect } from "node:util"

export const toError = (error: unknown): Subject.SubjectError =>
  Subject.toSubjectError(error, (value) => inspect(value, { depth: Infinity, showHidden: true }))
