// What workerd does not tell its Workers.
import type { KnownFailure } from "@paradigm-effect/conformance/KnownFailures"

const refused = "workerd reports a refused connection as a lost one: `Network connection lost.`"
const untrusted = "workerd reports a certificate that is not trusted as `internal error`"

export const known: ReadonlyArray<KnownFailure> = [
  { pattern: "transport/refused*", reason: refused, until: "2027-12-31" },
  { pattern: "transport/tls-untrusted*", reason: untrusted, until: "2027-12-31" }
]
