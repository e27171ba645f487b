/**
 * Asks a replica for its models, for an administrator. The address is decided after its name was resolved, redirects are not followed, the path is fixed, and
 * nothing of the answer is shown: a name cannot be used to read from the gateway's network.
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { lookup } from "node:dns"
import { BlockList, isIP, type LookupFunction } from "node:net"
import { readModels } from "../ModelList.ts"

// Addresses of metadata services, and those that are reached without a router. Private addresses stay allowed: vLLM is there.
const barred = new BlockList()
barred.addSubnet("169.254.0.0", 16, "ipv4")
barred.addAddress("100.100.100.200", "ipv4")
barred.addSubnet("0.0.0.0", 8, "ipv4")
barred.addSubnet("fe80::", 10, "ipv6")
barred.addAddress("fd00:ec2::254", "ipv6")
barred.addAddress("::", "ipv6")

/** Whether requests for an administrator may go to an address. */
export const isAllowedAddress = (address: string): boolean => {
  const family = isIP(address)
  if (family === 0) return false
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  return mapped === undefined ? !barred.check(address, family === 6 ? "ipv6" : "ipv4") : isAllowedAddress(mapped)
}

class BarredAddress extends Error {
  override readonly name = "BarredAddress"
}

const guardedLookup: LookupFunction = (hostname, options, callback) =>
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, [])
    const allowed = addresses.filter(({ address }) => isAllowedAddress(address))
    return allowed.length === 0 ? callback(new BarredAddress(), []) : callback(null, allowed)
  })

/** What was found. */
export interface Finding {
  readonly isReachable: boolean
  readonly detail: string
  readonly milliseconds: number
}

const detailOf = (error: unknown): string => {
  if (error instanceof BarredAddress) return "The address is one of a metadata service or of a single link, which is not asked."
  const code = (error as { readonly code?: unknown } | undefined)?.code
  return typeof code === "string" && /^[A-Z_]{3,40}$/.test(code) ? `It cannot be reached (${code}).` : "It cannot be reached."
}

/** Asks the server of a base URL whether it lists a model. */
export const probeReplica = (target: {
  readonly baseUrl: string
  readonly remoteName: string
  readonly apiKey: Redacted.Redacted | undefined
}): Effect.Effect<Finding> =>
  Effect.promise(async (signal) => {
    const start = performance.now()
    const finding = (isReachable: boolean, detail: string): Finding => ({
      isReachable,
      detail,
      milliseconds: Math.round(performance.now() - start)
    })
    const url = new URL(`${target.baseUrl.replace(/\/+$/, "")}/models`)
    const host = url.hostname.replace(/^\[|\]$/g, "")
    if (isIP(host) !== 0 && !isAllowedAddress(host)) return finding(false, detailOf(new BarredAddress()))
    try {
      const { names, status } = await readModels(url, target.apiKey, signal, guardedLookup)
      if (status === 401 || status === 403) return finding(false, `It refuses the gateway's key (status ${status}).`)
      if (status !== 200) return finding(false, `It answers status ${status} for its models.`)
      const isListed = names(target.remoteName)
      return finding(isListed, isListed ? "It answers, and lists the model." : "It answers, and does not list the model.")
    } catch (error) {
      return finding(false, detailOf(error))
    }
  })
