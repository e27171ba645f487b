import * as ParadigmSubject from "@paradigm-effect/conformance/ParadigmSubject"
import { describeConformance } from "@paradigm-effect/conformance/Vitest"
import { Paradigm } from "../src/index.ts"

describeConformance(
  ParadigmSubject.make({ runtime: "browser", layer: (options) => Paradigm.layer({ ...options, allowKeyInBrowser: true }) })
)
