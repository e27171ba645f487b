/**
 * Runs the suite against a peer or a provider: `node run.ts NAME`. Prints a line of JSON for each result.
 */
import * as Cases from "@paradigm-effect/conformance/Cases"
import * as FaultServer from "@paradigm-effect/conformance/FaultServer"
import * as Runner from "@paradigm-effect/conformance/Runner"
import { effectAi, inexpressible } from "./src/effect-ai.ts"
import { peers, providers } from "./src/peers.ts"

const subjects = [...peers, ...providers]
const subject = subjects.find(({ name }) => name === process.argv[2])
if (subject === undefined) {
  console.error(`usage: node run.ts ${subjects.map(({ name }) => name).join("|")}`)
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
// One at a time: the connections of the global fetch are shared by all clients of a process, and one case would meet the end of another's.
for await (const result of Runner.runConformance(subject, { controlUrl: server.controlUrl }, plan)) console.log(JSON.stringify(result))
await server.close()
process.exit(0)
