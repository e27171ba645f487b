/**
 * Runs the suite against a peer or a provider, in a few processes of its own: `node run.ts NAME`. Prints a line of JSON for each result.
 */
import * as Cases from "@paradigm-effect/conformance/Cases"
import * as FaultServer from "@paradigm-effect/conformance/FaultServer"
import * as Runner from "@paradigm-effect/conformance/Runner"
import * as StdioClient from "@paradigm-effect/conformance/StdioClient"
import { fileURLToPath } from "node:url"
import { inexpressible } from "./src/effect-ai.ts"

const jobs = 6
const [name = ""] = process.argv.slice(2)

const plan = Cases.plan.filter((instance) => {
  // What a subject cannot express does not apply to it.
  const reason = name === "effect-ai" ? inexpressible(instance.id, instance.case.operation) : undefined
  const result: Runner.Result = { id: instance.id, verdict: "n/a", problems: [reason ?? ""], trace: [], durationMs: 0 }
  if (reason !== undefined) console.log(JSON.stringify(result))
  return reason === undefined
})
const server = await FaultServer.start()
const command = `"${process.execPath}" "${fileURLToPath(new URL("subject.ts", import.meta.url))}" "${name}"`
const { close, subject } = await StdioClient.start(command, { jobs, greetMs: 30_000 })
const environment = { controlUrl: server.controlUrl, ask: server.ask, jobs }
for await (const result of Runner.runConformance(subject, environment, plan)) console.log(JSON.stringify(result))
await close()
await server.close()
