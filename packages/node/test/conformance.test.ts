import * as ParadigmSubject from "@paradigm-effect/conformance/ParadigmSubject"
import { describeConformance } from "@paradigm-effect/conformance/Vitest"
import { inspect } from "node:util"
import { Paradigm } from "../src/index.ts"

describeConformance(
  ParadigmSubject.make({
    runtime: "node",
    layer: (options, { ca, http2, proxy }) => Paradigm.layer({ ...options, ca, http2, proxy }),
    inspect: (value) => inspect(value, { depth: Infinity, showHidden: true })
  })
)
