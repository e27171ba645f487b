/**
 * The server cases as vitest tests.
 *
 * @since 0.1.0
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Runner from "../client/Runner.ts"
import * as ServerCases from "../server/ServerCases.ts"
import * as ServerRunner from "../server/ServerRunner.ts"

/**
 * A server that was started for the tests.
 *
 * @category models
 * @since 0.1.0
 */
export interface Started {
  readonly target: ServerRunner.Target
  readonly close: () => Promise<unknown>
}

/**
 * How to run, beside `ServerRunner.Environment`; the plan is the suite's where no other is named.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ServerRunner.Environment {
  readonly plan?: ReadonlyArray<ServerCases.ServerInstance> | undefined
}

/**
 * Declares a test for each server case, and a last one that all of them ran. The server is started before and closed after them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const describeServerConformance = (name: string, start: () => Promise<Started>, options: Options = {}): void => {
  const plan = options.plan ?? ServerCases.plan
  const timeout = (options.timeLimitMs ?? ServerRunner.defaultTimeLimitMs) + 5_000
  describe(`conformance of ${name}`, () => {
    let started: Started | undefined
    beforeAll(async () => {
      started = await start()
    })
    afterAll(() => started?.close())
    const results: Array<Runner.Result> = []
    for (const instance of plan) {
      it(instance.id, { timeout }, async (context) => {
        assert(started !== undefined)
        const result = await ServerRunner.run(instance.case, started.target, options)
        results.push(result)
        if (result.verdict === "n/a" || result.verdict === "known-fail") context.skip(`${result.verdict}: ${result.problems.join("; ")}`)
        if (!Runner.isFine(result)) assert.fail(Runner.format(result))
      })
    }
    it("the whole plan ran", async () => {
      const { line, problems } = await Runner.conclude(plan, results, options)
      console.log(line)
      assert.deepStrictEqual(problems, [])
    })
  })
}
