/**
 * A peer or a provider as a program that the suite tests: `node subject.ts NAME`.
 */
import { serve } from "@paradigm-effect/conformance/StdioSubject"
import { peers, providers } from "./src/peers.ts"

const subjects = { ...peers, ...providers }
const load = subjects[process.argv[2] ?? ""]
if (load === undefined) {
  console.error(`usage: node subject.ts ${Object.keys(subjects).join("|")}`)
  process.exit(2)
}

// A rejection that a peer leaves unhandled ends its user's process. Here it is told, and the suite goes on.
process.on("unhandledRejection", (error) => console.error(`a rejection was left unhandled: ${String(error).split("\n")[0]}`))

// One case at a time: the connections of the global fetch are shared by all clients of a process, and one case would meet the end of another's.
await serve(await load(), { parallel: 1 })
