import { assert, describe, it, vi } from "@effect/vitest"
import { roll } from "./RollingRestart.ts"

vi.setConfig({ testTimeout: 60_000 })

describe("model servers that are restarted one after the other", () => {
  it.each(["draining", "stopping"] as const)("lose no request: %s", async (phase) => {
    const { carriedOn, failures, requests, rescued, restarts } = await roll({ requests: 200, concurrency: 12, phase })
    assert.deepStrictEqual(failures, [])
    assert.strictEqual(requests, 200)
    assert.isAbove(restarts, 2)
    assert.isAbove(rescued, 0)
    if (phase === "stopping") assert.isAbove(carriedOn, 0)
  })
})
