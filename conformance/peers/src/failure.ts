/**
 * The errors of peers. The suite asks nobody but this project's clients for its own reasons: of a peer's error it is only told that there is one,
 * what it is named, and every way in which it can be printed.
 */
import { printedForms, type SubjectError } from "@paradigm-effect/conformance/Subject"
import { inspect } from "node:util"

/** The error of a peer, for the suite. */
export const toSubjectError = (error: unknown): SubjectError => ({
  reason: error instanceof Error ? error.name : typeof error,
  message: error instanceof Error ? error.message : String(error),
  retryable: false,
  printed: printedForms(error, (value) => inspect(value, { depth: Infinity, showHidden: true }))
})
