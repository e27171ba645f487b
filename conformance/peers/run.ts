/**
 * Runs the suite against a peer, or against our providers: `node run.ts openai|ai|effect-ai|ai-sdk`. Prints a line of JSON for each result.
 */
import * as Cases from "@paradigm-effect/conformance/Cases"
import * as FaultServer from "@paradigm-effect/conformance/FaultServer"
import * as Runner from "@paradigm-effect/conformance/Runner"
import { aiSdk } from "./src/ai-sdk-paradigm.ts"
import { ai } from "./src/ai.ts"
import { effectAi, inexpressible } from "./src/effect-ai.ts"
import { openai } from "./src/openai.ts"

const subject = [openai, ai, effectAi, aiSdk].find(({ name }) => name === process.argv[2])
if (subject === undefined) {
  console.error("usage: node run.ts openai|ai|effect-ai|ai-sdk")
  process.exit(2)
}

// A rejection that a peer leaves unhandled ends its user's process. Here it is told, and the suite goes on.
process.on("unhandledRejection", (error) => console.error(`${subject.name} left a rejection unhandled: ${String(error).split("\n")[0]}`))

// What a subject cannot express does not apply to it.
const reasonOf = (instance: (typeof Cases.plan)[number]) =>
  subject === effectAi ? inexpressible(instance.id, instance.case.operation) : undefined
for (const instance of Cases.plan) {
  const reason = reasonOf(instance)
  const result: Runner.Result = { id: instance.id, verdict: "n/a", problems: [reason ?? ""], trace: [], durationMs: 0 }
  if (reason !== undefined) console.log(JSON.stringify(result))
}

const plan = Cases.plan.filter((instance) => reasonOf(instance) === undefined)
const server = await FaultServer.start()
for await (const result of Runner.runConformance(subject, { controlUrl: server.controlUrl }, plan)) console.log(JSON.stringify(result))
await server.close()
process.exit(0)
