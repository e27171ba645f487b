// Runs in Bun and Deno: prints the outcomes on the server at the argument.
import { Paradigm } from "../src/index.ts"
import { settleAll } from "./Settling.ts"

const [url = ""] = process.argv.slice(2)
console.log(JSON.stringify(await settleAll(Paradigm.connect, url)))
process.exit(0)
