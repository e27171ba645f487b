/**
 * `node test/carry-on.ts [streams] [time to the first token] [kinds…]`: carries streams of each kind on, and prints the table.
 */
import { kinds, run } from "./CarriedStreams.ts"

const [streams = "1000", timeToFirstToken = "20", ...names] = process.argv.slice(2)
let state = 7
const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
const percentile = (values: ReadonlyArray<number>, share: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]?.toFixed(0) ?? "-"

console.log(
  "| kind | streams | failed replicas | equal | levels | gap p50, p99 in ms | first text p50, p99 | prompts shown |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)
for (const kind of kinds) {
  if (names.length > 0 && !names.includes(kind.name)) continue
  const [row] = await run({ streams: Number(streams), timeToFirstToken: Number(timeToFirstToken), kinds: [kind], random })
  if (row === undefined) continue
  const levels = Object.entries(row.levels).map(([level, count]) => `${level} ${count}`)
  const spread = (values: ReadonlyArray<number>) => `${percentile(values, 0.5)}, ${percentile(values, 0.99)}`
  console.log(
    `| ${row.kind} | ${row.streams} | ${row.failed} | ${row.equal} | ${levels.join(", ")} | ${spread(row.gaps)} | ${spread(row.firsts)} | ${row.leaks} |`
  )
  if (row.difference !== undefined) console.log(row.difference)
}
