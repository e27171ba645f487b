import { assert, describe, it } from "@effect/vitest"
import { inject } from "vitest"
import { settleAll, unsettled } from "../../fetch/test/Settling.ts"
import { Paradigm } from "../src/index.ts"

describe("a pending promise of a stream in a page", () => {
  it("settles however the stream is ended, and its connection closes", async () => {
    const all = await settleAll(
      (options) => Paradigm.withHelpers(Paradigm.connect({ ...options, allowKeyInBrowser: true })),
      inject("settlingUrl")
    )
    assert.lengthOf(all, 48)
    assert.deepStrictEqual(unsettled(all), [])
  })
})
