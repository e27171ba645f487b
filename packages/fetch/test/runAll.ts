// Runs the whole conformance suite, several cases at a time, and reports it.
import * as Cases from "@paradigm-effect/conformance/Cases"
import type { KnownFailure } from "@paradigm-effect/conformance/KnownFailures"
import type * as Plan from "@paradigm-effect/conformance/Plan"
import * as Runner from "@paradigm-effect/conformance/Runner"

// Cases mostly wait.
const jobs = 6

/** Runs all instances by `run`, prints the failures, and returns whether all is fine. */
export const runAll = async (
  run: (instance: Plan.Instance) => Promise<Runner.Result>,
  known: ReadonlyArray<KnownFailure> = []
): Promise<boolean> => {
  const results: Array<Runner.Result> = []
  // These count connections, which the cases of a runtime share.
  const isAlone = ({ id }: Plan.Instance) => id.startsWith("concurrency/")
  const job = async (waiting: Array<Plan.Instance>): Promise<void> => {
    for (let instance = waiting.shift(); instance !== undefined; instance = waiting.shift()) {
      const result = await run(instance)
      results.push(result)
      if (!Runner.isFine(result)) console.error(Runner.format(result))
    }
  }
  const together = Cases.plan.filter((instance) => !isAlone(instance))
  await Promise.all(Array.from({ length: jobs }, () => job(together)))
  await job(Cases.plan.filter(isAlone))
  const { line, problems } = await Runner.conclude(Cases.plan, results, { known, summary: Cases.summary })
  console.log(line)
  for (const problem of problems) console.error(problem)
  return problems.length === 0 && results.every(Runner.isFine)
}
