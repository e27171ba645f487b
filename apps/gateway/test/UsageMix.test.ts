import { assert, describe, it, vi } from "@effect/vitest"
import { run } from "./UsageMix.ts"

vi.setConfig({ testTimeout: 180_000 })

// Reports 15 and 17.
describe("mixed calls, with Redis, the database and a gateway restarted", () => {
  it("are in the ledger as the simulators count them, to the token", async () => {
    const calls = 2000
    const { budget, ids, ledger, outcomes, simulators, sums } = await run(calls)
    assert.deepEqual({ ...ledger, requests: 0 }, { ...simulators, requests: 0 })
    assert.deepEqual(sums, ledger)
    assert.strictEqual(budget, ledger.prompt + ledger.completion)
    assert.strictEqual(ids, ledger.requests)
    assert.isAtLeast(ledger.requests, calls)
    for (const outcome of ["ok", "client_left", "in_band_error", "truncated", "failed"]) assert.isAbove(outcomes[outcome] ?? 0, 0, outcome)
  })
})
