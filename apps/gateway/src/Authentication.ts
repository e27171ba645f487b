/**
 * The holder of a request's key. Keys are stored as their SHA-256.
 */
import { hash, timingSafeEqual } from "node:crypto"
import type { KeyHolder } from "./GatewayConfig.ts"
import { GatewayFailure } from "./GatewayFailure.ts"

/** SHA-256 of a text, in lower-case hexadecimal digits. */
export const sha256 = (text: string): string => hash("sha256", text, "hex")

const refuse = (detail: string, challenge: string) =>
  new GatewayFailure({ status: 401, detail, headers: { "www-authenticate": challenge }, code: "invalid_api_key" })

/** Whether a holder's key is valid at a time, in milliseconds since 1970. */
export const isValid = ({ sha256 }: KeyHolder, keys: ReadonlyMap<string, KeyHolder>, now: number): boolean => {
  const holder = keys.get(sha256)
  return holder !== undefined && (holder.validUntil === undefined || now < holder.validUntil)
}

/** Finds the holder of the key in an `Authorization` header. Returns the failure, a 401, when there is none. */
export const authenticate = (header: string | undefined, keys: ReadonlyMap<string, KeyHolder>): KeyHolder | GatewayFailure => {
  const key = header === undefined ? undefined : /^Bearer +(\S+)$/i.exec(header)?.[1]
  if (key === undefined) return refuse("No key was given. Send it as `Authorization: Bearer <key>`.", "Bearer")
  const digest = sha256(key)
  const holder = keys.get(digest)
  return holder !== undefined && timingSafeEqual(Buffer.from(holder.sha256), Buffer.from(digest)) && isValid(holder, keys, Date.now())
    ? holder
    : refuse("The key is not known.", 'Bearer error="invalid_token"')
}
