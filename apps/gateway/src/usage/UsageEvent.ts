/**
 * What one request used: a row of the ledger. Its id and its times are fixed when it is made, so that writing it twice writes it once.
 */
import type { Outcome } from "../RequestRecord.ts"

/** A request that ended. */
export interface UsageEvent {
  /** Made by the gateway. Ids of model servers and clients repeat, and are columns of their own. */
  readonly id: string
  /** Milliseconds of the epoch. */
  readonly startedAt: number
  readonly endedAt: number
  readonly keyId: string
  readonly teamId: string
  readonly modelId: string
  /** Origin of the replica that answered. */
  readonly replicaId: string
  readonly gatewayId: string
  /** Whom a key with an end-user header named. */
  readonly endUser: string
  readonly clientId: string
  readonly upstreamId: string
  readonly status: number
  readonly outcome: Outcome
  readonly attempts: number
  readonly prompt: number
  readonly cached: number
  readonly completion: number
  readonly reasoning: number
  /** `reported` by the model server, or `none`. */
  readonly usageSource: "reported" | "none"
  /** Pico-units of the currency. */
  readonly costPico: bigint
}

/** The line of an event in the spool. */
export const encode = (event: UsageEvent): string => `${JSON.stringify({ ...event, costPico: String(event.costPico) })}\n`

/** The event of a line; `undefined` for one that was cut when the process was killed. */
export const decode = (line: string): UsageEvent | undefined => {
  try {
    const event = JSON.parse(line) as UsageEvent & { readonly costPico: string }
    return { ...event, costPico: BigInt(event.costPico) }
  } catch {
    return undefined
  }
}
