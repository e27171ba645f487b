// Makes keys in the database that its argument names until it is killed. Sends the id of each when it is acknowledged.
import * as Effect from "effect/Effect"
import { ControlStore } from "../src/control/ControlStore.ts"
import * as Sql from "../src/control/Sql.ts"

const actor = { id: "a1", name: "root", via: "api" }

await Effect.runPromise(
  Effect.gen(function* () {
    const store = yield* ControlStore.make()
    for (let i = 0; ; i++) {
      const { key } = yield* store.keys.create(actor, { name: `${process.pid} ${i}` })
      process.send?.(key.id)
    }
  }).pipe(Effect.provide(Sql.layer(process.argv[2] ?? "")))
)
