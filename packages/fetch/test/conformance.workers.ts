// Runs in Node, and the cases in workerd: `node conformance.workers.ts CONTROL_URL`.
import type * as Runner from "@paradigm-effect/conformance/Runner"
import { fileURLToPath } from "node:url"
import { runAll } from "./runAll.ts"
import * as Workerd from "./Workerd.ts"
import { known } from "./workers.known-failures.ts"

const [controlUrl = ""] = process.argv.slice(2)

await using workerd = await Workerd.start(fileURLToPath(new URL("worker.ts", import.meta.url)))

const isFine = await runAll(async ({ id }) => {
  const response = await fetch(`${workerd.url}/case`, { method: "POST", body: JSON.stringify({ controlUrl, id }) })
  if (response.ok) return (await response.json()) as Runner.Result
  return { id, verdict: "fail", problems: [`the Worker failed: ${await response.text()}`], trace: [], durationMs: 0 }
}, known)
process.exitCode = isFine ? 0 : 1
