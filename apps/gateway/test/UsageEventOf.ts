// An event of usage, with text that is not ASCII.
import type { UsageEvent } from "../src/usage/UsageEvent.ts"

export const eventOf = (id: string, costPico = 0n): UsageEvent => ({
  id,
  startedAt: 1,
  endedAt: 2,
  keyId: "key",
  teamId: "",
  modelId: "model",
  replicaId: "",
  gatewayId: "gateway",
  endUser: "é\n\u2028",
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
  costPico
})
