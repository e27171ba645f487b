import { registerConformance } from "@paradigm-effect/conformance/Deno"
import * as ParadigmSubject from "@paradigm-effect/conformance/ParadigmSubject"
import { Paradigm } from "../src/index.ts"

const [controlUrl = "the fault server's address is the test's argument"] = Deno.args

registerConformance(
  Deno.test,
  ParadigmSubject.make({
    runtime: "deno",
    layer: (options, { ca, proxy }) => Paradigm.layer({ ...options, proxy, caCerts: ca === undefined ? undefined : [ca] }),
    inspect: (value) => Deno.inspect(value, { depth: 100, showHidden: true })
  }),
  { controlUrl }
)
