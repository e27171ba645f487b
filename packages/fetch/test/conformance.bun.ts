// Runs in Bun: `bun conformance.bun.ts CONTROL_URL`.
import * as ParadigmSubject from "@paradigm-effect/conformance/ParadigmSubject"
import * as Runner from "@paradigm-effect/conformance/Runner"
import { inspect } from "node:util"
import { Paradigm } from "../src/index.ts"
import { runAll } from "./runAll.ts"

const [controlUrl = ""] = process.argv.slice(2)

const subject = ParadigmSubject.make({
  runtime: "bun",
  layer: Paradigm.layer,
  inspect: (value) => inspect(value, { depth: Infinity, showHidden: true })
})

const isFine = await runAll((instance) => Runner.run(instance, subject, { controlUrl }))
process.exit(isFine ? 0 : 1)
