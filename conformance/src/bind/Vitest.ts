/**
 * The suite as vitest tests, in Node and, by vitest's browser mode, in browsers. `VitestSetup` starts the fault server, as a `globalSetup`.
 *
 * @since 0.1.0
 */
import { assert, describe, inject, it } from "vitest"
import * as Cases from "../case/Cases.ts"
import type * as Plan from "../plan/Plan.ts"
import * as Runner from "../client/Runner.ts"
import type { Subject } from "../client/Subject.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly conformanceControlUrl: string
  }
}

/**
 * Where and how to run, beside `Runner.Environment`: the fault server is `VitestSetup`'s where no other is named, and the plan the suite's.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Partial<Runner.Environment> {
  readonly plan?: ReadonlyArray<Plan.Instance> | undefined
}

/**
 * Declares a test for each instance of the plan, and a last one that all of them ran.
 *
 * @category constructors
 * @since 0.1.0
 */
export const describeConformance = (subject: Subject, options: Options = {}): void => {
  const plan = options.plan ?? Cases.plan
  const environment = { ...options, controlUrl: options.controlUrl ?? inject("conformanceControlUrl") }
  const timeout = (options.timeLimitMs ?? Runner.defaultTimeLimitMs) + 5_000
  describe(`conformance of ${subject.name} in ${subject.runtime}`, () => {
    const results: Array<Runner.Result> = []
    for (const instance of plan) {
      it(instance.id, { timeout }, async (context) => {
        const result = await Runner.run(instance, subject, environment)
        results.push(result)
        if (result.verdict === "n/a" || result.verdict === "known-fail") context.skip(`${result.verdict}: ${result.problems.join("; ")}`)
        if (!Runner.isFine(result)) assert.fail(Runner.format(result))
      })
    }
    it("the whole plan ran", async () => {
      const { line, problems } = await Runner.conclude(plan, results, { ...options, summary: options.plan ? undefined : Cases.summary })
      console.log(line)
      assert.deepStrictEqual(problems, [])
    })
  })
}
