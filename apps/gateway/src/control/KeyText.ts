/**
 * The text of a key: a prefix, 32 random characters (190 bits), and 6 characters of a checksum, so that a key with a slip of the pen is refused
 * without a search.
 */
import { hash, randomInt } from "node:crypto"
import { crc32 } from "node:zlib"

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/** `pdk_` for callers of models, `pda_` for administrators. */
export type Prefix = "pdk_" | "pda_"

const checksum = (text: string): string => {
  let rest = crc32(text)
  let written = ""
  for (let i = 0; i < 6; i++) {
    written = digits.charAt(rest % 62) + written
    rest = Math.floor(rest / 62)
  }
  return written
}

/** Makes a key. */
export const makeKeyText = (prefix: Prefix): string => {
  let text: string = prefix
  for (let i = 0; i < 32; i++) text += digits.charAt(randomInt(62))
  return text + checksum(text)
}

/** Whether a text that has one of our prefixes also has its checksum. Other texts are keys of another make. */
export const isWellFormed = (text: string): boolean =>
  !/^pd[ka]_/.test(text) || (text.length === 42 && checksum(text.slice(0, -6)) === text.slice(-6))

/** What a list shows of a key. */
export const startOf = (text: string): string => text.slice(0, 10)

/** SHA-256 of a key. */
export const digestOf = (text: string): Buffer => hash("sha256", text, "buffer")

// What documentation and examples use, and what everybody tries first.
const guessable = /^(.)\1*$|^(sk-)?(1234|admin|changeme|default|password|secret|test)|^your[-_]/i

/** Why a credential is too weak for the administrator; `undefined` if it is not. */
export const weaknessOf = (secret: string): string | undefined =>
  secret.length < 20 ? "it is shorter than 20 characters" : guessable.test(secret) ? "it is one that everybody guesses" : undefined
