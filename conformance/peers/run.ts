/**
 * Runs the suite against a peer: `node run.ts NAME`. Prints a line of JSON for each result.
 */
import * as Cases from "@paradigm-effect/conformance/Cases"
import * as FaultServer from "@paradigm-effect/conformance/FaultServer"
import * as Runner from "@paradigm-effect/conformance/Runner"
import { peers } from "./src/peers.ts"

const subject = peers.find(({ name }) => name === process.argv[2])
if (subject === undefined) {
  console.error(`usage: node run.ts ${peers.map(({ name }) => name).join("|")}`)
  process.exit(2)
}

// A rejection that a peer leaves unhandled ends its user's process. Here it is told, and the suite goes on.
process.on("unhandledRejection", (error) => console.error(`${subject.name} left a rejection unhandled: ${String(error).split("\n")[0]}`))

const server = await FaultServer.start()
for await (const result of Runner.runConformance(subject, { controlUrl: server.controlUrl, jobs: 4 }, Cases.plan))
  console.log(JSON.stringify(result))
await server.close()
process.exit(0)
