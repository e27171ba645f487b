import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { ControlReader } from "../src/control/ControlReader.ts"
import { ControlStore } from "../src/control/ControlStore.ts"
import { migrate } from "../src/control/Migrations.ts"
import * as Sql from "../src/control/Sql.ts"
import { databases } from "./Databases.ts"

vi.setConfig({ testTimeout: 120_000 })

// How often a process is killed. More by the environment, for a long run.
const kills = Number(process.env["KILLS"] ?? 4)
const program = fileURLToPath(new URL("CommittingProcess.ts", import.meta.url))

/** Runs a process until it has acknowledged some changes, and kills it in the middle of others. Returns the ids that it acknowledged. */
const killed = async (target: string, after: number): Promise<ReadonlyArray<string>> => {
  const child = fork(program, [target], { stdio: "inherit" })
  const exit = once(child, "exit")
  const ids: Array<string> = []
  child.on("message", (id) => {
    ids.push(id as string)
    if (ids.length === after) child.kill("SIGKILL")
  })
  const [, signal] = (await exit) as [number | null, string | null]
  assert.strictEqual(signal, "SIGKILL")
  return ids
}

describe.each(databases)("the control store in $name", (database) => {
  it("has every change that it acknowledged before its process was killed, and a whole audit log", async () => {
    const target = await database.target()
    await Effect.runPromise(Effect.provide(migrate(), Sql.layer(target)))
    const acknowledged: Array<string> = []
    for (let i = 0; i < kills; i++) acknowledged.push(...(await killed(target, 5 + i * 7)))
    assert.isAtLeast(acknowledged.length, 5 * kills)
    await Effect.runPromise(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = new ControlStore(sql)
        const { keys, revision } = yield* new ControlReader(sql).all
        const found = new Set(keys.map(({ id }) => id))
        assert.deepStrictEqual(
          acknowledged.filter((id) => !found.has(id)),
          []
        )
        // A change that was not acknowledged is there as a whole or not at all.
        assert.isTrue(keys.every(({ secrets }) => secrets.length === 1))
        assert.strictEqual(revision, keys.length)
        assert.isUndefined(yield* store.audit.broken)
      }).pipe(Effect.provide(Sql.layer(target)))
    )
  })
})
