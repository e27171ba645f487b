import { assert, describe, it, vi } from "@effect/vitest"
import { kinds, run } from "./CarriedStreams.ts"

vi.setConfig({ testTimeout: 60_000 })

// Tokens and ways of failing, the same in every run.
const seeded = (seed: number) => {
  let state = seed
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
}

describe("a stream whose replica fails at any token", () => {
  it.each(kinds)("is whole and the same: $name", async (kind) => {
    const [row] = await run({ streams: 12, kinds: [kind], random: seeded(kind.name.length) })
    assert.isDefined(row)
    assert.isUndefined(row.difference)
    assert.strictEqual(row.equal, 12)
    assert.strictEqual(row.leaks, 0)
    assert.isAbove(row.failed, 6)
    const used = Object.keys(row.levels).filter((level) => level !== "nothing")
    assert.deepStrictEqual(used, [kind.level])
  })
})
