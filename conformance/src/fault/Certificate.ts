/**
 * A certificate that signs itself, made anew for each fault server: no key lies around, and nobody trusts it.
 *
 * @since 0.1.0
 */

const encode = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const length = parts.reduce((total, part) => total + part.length, 0)
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  const out = new Uint8Array(1 + size.length + length)
  out.set([tag, ...size])
  let at = 1 + size.length
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

const sequence = (...parts: ReadonlyArray<Uint8Array>) => encode(0x30, ...parts)
const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)
const text = (value: string) => new TextEncoder().encode(value)
const oid = (...values: ReadonlyArray<number>) => encode(0x06, bytes(...values))

/** A positive integer: one zero in front where its first bit would make it negative. */
const integer = (value: Uint8Array) => {
  const from = value.findIndex((byte) => byte !== 0)
  const digits = from === -1 ? bytes(0) : value.subarray(from)
  return encode(0x02, (digits[0] ?? 0) > 127 ? bytes(0) : bytes(), digits)
}

const utcTime = (date: Date) => encode(0x17, text(`${date.toISOString().replaceAll(/[-:T]/g, "").slice(2, 14)}Z`))

const ecdsaWithSha256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02))

const pem = (label: string, der: ArrayBuffer | Uint8Array) => {
  const base64 = btoa(String.fromCharCode(...new Uint8Array(der)))
  return `-----BEGIN ${label}-----\n${base64.replaceAll(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`
}

/**
 * A key and a certificate of it for 127.0.0.1 and localhost, good for a day, as PEM.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = async (): Promise<{ readonly key: string; readonly cert: string }> => {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])
  const now = Date.now()
  const name = sequence(encode(0x31, sequence(oid(0x55, 0x04, 0x03), encode(0x0c, text("fault server")))))
  const alternatives = sequence(encode(0x82, text("localhost")), encode(0x87, bytes(127, 0, 0, 1)))
  const body = sequence(
    encode(0xa0, encode(0x02, bytes(2))),
    integer(crypto.getRandomValues(new Uint8Array(8))),
    ecdsaWithSha256,
    name,
    sequence(utcTime(new Date(now - 3_600_000)), utcTime(new Date(now + 86_400_000))),
    name,
    new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey)),
    encode(0xa3, sequence(sequence(oid(0x55, 0x1d, 0x11), encode(0x04, alternatives))))
  )
  const signature = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.privateKey, body.slice()))
  const signed = sequence(integer(signature.subarray(0, 32)), integer(signature.subarray(32)))
  return {
    key: pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", keys.privateKey)),
    cert: pem("CERTIFICATE", sequence(body, ecdsaWithSha256, encode(0x03, bytes(0), signed)))
  }
}
