/**
 * The suite as tests of `deno test`.
 *
 * @since 0.1.0
 */
import * as Cases from "../case/Cases.ts"
import type * as Plan from "../plan/Plan.ts"
import * as Runner from "../client/Runner.ts"
import type { Subject } from "../client/Subject.ts"

/**
 * The part of `Deno.test` that is used.
 *
 * @category models
 * @since 0.1.0
 */
export type Test = (definition: { readonly name: string; readonly ignore?: boolean; readonly fn: () => Promise<void> }) => void

/**
 * Registers a test for each instance of the plan, and a last one that all of them ran. `test` is `Deno.test`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const registerConformance = (
  test: Test,
  subject: Subject,
  options: Runner.Environment & { readonly plan?: ReadonlyArray<Plan.Instance> | undefined }
): void => {
  const plan = options.plan ?? Cases.plan
  const results: Array<Runner.Result> = []
  for (const instance of plan) {
    test({
      name: instance.id,
      fn: async () => {
        const result = await Runner.run(instance, subject, options)
        results.push(result)
        if (!Runner.isFine(result)) throw new Error(Runner.format(result))
      }
    })
  }
  test({
    name: "the whole plan ran",
    fn: async () => {
      const { line, problems } = await Runner.conclude(plan, results, { ...options, summary: options.plan ? undefined : Cases.summary })
      console.log(line)
      if (problems.length > 0) throw new Error(problems.join("\n"))
    }
  })
}
