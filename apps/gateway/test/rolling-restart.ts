/**
 * `node test/rolling-restart.ts [requests]`: restarts three simulators under load, and prints what was lost.
 */
import { roll } from "./RollingRestart.ts"

const requests = Number(process.argv[2] ?? 2000)
console.log(
  "| restart | requests | restarts | failed | answered by another replica | streams carried on |\n| --- | --- | --- | --- | --- | --- |"
)
for (const phase of ["draining", "stopping"] as const) {
  const { carriedOn, failures, rescued, restarts, requests: answered } = await roll({ requests, concurrency: 32, phase })
  console.log(`| ${phase} | ${answered} | ${restarts} | ${failures.length} | ${rescued} | ${carriedOn} |`)
  if (failures[0] !== undefined) console.log(failures[0])
}
