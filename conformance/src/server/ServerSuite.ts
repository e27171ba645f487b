/**
 * Runs many server cases: which of them side by side, and which once more.
 *
 * @since 0.1.0
 */
import type * as Runner from "../client/Runner.ts"
import { isFine } from "../client/Runner.ts"
import * as Jobs from "../plan/Jobs.ts"
import type { ServerCase } from "./ServerCase.ts"
import { type Environment, run, type Target } from "./ServerRunner.ts"

// The upstream has one script at a time, the answers in the making are counted for all cases together, and a backend that batches requests repeats
// itself, and keeps its pace, only when it is alone.
const isAlone = ({ compare, exchanges, upstream }: ServerCase) =>
  upstream !== undefined ||
  compare !== undefined ||
  exchanges.some(({ expect }) => expect.running !== undefined || expect.facts?.includes("incremental") === true)

// What a busy machine can cause, or a server that ends an idle connection just when it is used. A server that buffers, goes on generating, or resets
// its connections, does so a second time.
const ofPace =
  /^(exchange \d+: )?(answer \d+: )?(incremental|running|not done within|no answer: fetch failed \((UND_ERR_SOCKET|ECONNRESET)\))/

/**
 * Runs many cases, `jobs` at once but for those that need the server for themselves, and yields results as they come. A case that fails in pace alone is
 * run once more, and that result counts.
 *
 * @category running
 * @since 0.1.0
 */
export async function* runAll(
  items: ReadonlyArray<ServerCase>,
  target: Target,
  environment: Environment = {}
): AsyncGenerator<Runner.Result> {
  const work = async (item: ServerCase) => {
    const result = await run(item, target, environment)
    const isAgain = !isFine(result) && result.problems.every((problem) => ofPace.test(problem))
    return isAgain ? await run(item, target, environment) : result
  }
  yield* Jobs.run(
    items.filter((item) => !isAlone(item)),
    environment.jobs ?? 1,
    work
  )
  yield* Jobs.run(items.filter(isAlone), 1, work)
}
