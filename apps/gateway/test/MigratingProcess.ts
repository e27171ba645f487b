// Migrates the database that its argument names. Sends the number of migrations that it ran.
import * as Effect from "effect/Effect"
import { migrate } from "../src/control/Migrations.ts"
import * as Sql from "../src/control/Sql.ts"

const ran = await Effect.runPromise(migrate().pipe(Effect.provide(Sql.layer(process.argv[2] ?? ""))))
process.send?.(ran.length)
