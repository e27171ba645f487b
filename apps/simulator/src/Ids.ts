/**
 * Fresh ids of completions and calls, in the form of a server.
 *
 * @since 0.1.0
 */
import type { IdForm } from "./Profile.ts"

const alphabets = {
  hexadecimal: "0123456789abcdef",
  decimal: "0123456789",
  letters: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
}

/**
 * A fresh id.
 *
 * @example
 * import * as Ids from "./Ids.ts"
 *
 * Ids.make({ prefix: "chatcmpl-", digits: 16 }) // "chatcmpl-" and 16 hexadecimal digits
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ alphabet = "hexadecimal", digits, prefix }: IdForm): string => {
  if (alphabet === "uuid") return prefix + crypto.randomUUID()
  const characters = alphabets[alphabet]
  return prefix + Array.from(crypto.getRandomValues(new Uint8Array(digits)), (byte) => characters[byte % characters.length]).join("")
}
