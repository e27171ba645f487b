/**
 * Who sends a request: a bearer key, compared by its SHA-256 with every known one, in constant time.
 */
import * as Effect from "effect/Effect"
import type { KeyHolder } from "./GatewayConfig.ts"
import { GatewayFailure } from "./GatewayFailure.ts"

const encoder = new TextEncoder()

/** The SHA-256 of a text, in lower-case hexadecimal digits. */
export const sha256 = (text: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", encoder.encode(text))),
    (digest) => Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("")
  )

const equal = (a: string, b: string) => {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

const refuse = (detail: string, challenge: string) =>
  new GatewayFailure({ status: 401, detail, headers: { "www-authenticate": challenge } })

/** The holder of the key in an `Authorization` header. Fails with 401. */
export const authenticate = Effect.fnUntraced(function* (
  header: string | undefined,
  keys: ReadonlyArray<KeyHolder>
): Effect.fn.Return<KeyHolder, GatewayFailure> {
  const key = header === undefined ? undefined : /^Bearer +(\S+)$/i.exec(header)?.[1]
  if (key === undefined) {
    return yield* refuse("No key was given. Send it as `Authorization: Bearer <key>`.", "Bearer")
  }
  const digest = yield* sha256(key)
  let holder: KeyHolder | undefined
  for (const candidate of keys) if (equal(digest, candidate.sha256)) holder = candidate
  return holder ?? (yield* refuse("The key is not known.", 'Bearer error="invalid_token"'))
})
