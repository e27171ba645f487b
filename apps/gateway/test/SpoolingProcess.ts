// Writes events for ever, and tells its parent the number of each one that is written. Killed by its parent.
import { UsageSpool } from "../src/usage/UsageSpool.ts"
import { eventOf } from "./UsageEventOf.ts"

const [, , folder = "", name = ""] = process.argv
const spool = UsageSpool.open({ folder, maxBytes: 64 * 1024 * 1024 })
let number = 0

const write = () => {
  for (let i = 0; i < 20; i++) {
    spool.append(eventOf(`${name}-${number}`, 1n))
    process.send?.(number++)
  }
  setImmediate(write)
}

write()
