// Telemetry that reports nothing. The default in browsers, so that a page does not load Telemetry.ts.
import * as Effect from "effect/Effect"
import { constVoid, identity } from "effect/Function"
import type { Observation, Telemetry } from "../Telemetry.ts"

const unobserved: Observation = { run: identity, chunks: constVoid, end: () => Effect.void }

export const noTelemetry: Telemetry = {
  observe: () => Effect.succeed(unobserved),
  httpSpan: (_, evaluate) => evaluate({})
}
