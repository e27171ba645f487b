// Writes events for ever, and tells its parent the number of each one that is written. Killed by its parent.
import { UsageSpool } from "../src/usage/UsageSpool.ts"

const [, , folder = "", name = ""] = process.argv
const spool = UsageSpool.open({ folder, maxBytes: 64 * 1024 * 1024 })
let number = 0

const write = () => {
  for (let i = 0; i < 20; i++) {
    spool.append({
      id: `${name}-${number}`,
      startedAt: 1,
      endedAt: 2,
      keyId: "key",
      teamId: "",
      modelId: "model",
      replicaId: "",
      gatewayId: "gateway",
      endUser: "",
      clientId: "",
      upstreamId: "",
      status: 200,
      outcome: "ok",
      attempts: 1,
      prompt: 1,
      cached: 0,
      completion: 1,
      reasoning: 0,
      usageSource: "reported",
      costPico: 1n
    })
    process.send?.(number++)
  }
  setImmediate(write)
}

write()
