/**
 * Certificates, made anew for each fault server: no key lies around, and nobody trusts them who was not told to.
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
 * A private key and its certificate, as PEM.
 *
 * @category models
 * @since 0.1.0
 */
export interface Identity {
  readonly key: string
  readonly cert: string
}

/**
 * What a certificate says. `names` are host names and IPv4 addresses; default to localhost and 127.0.0.1. `until` is its last moment; defaults to
 * tomorrow. It is good for the two days before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claims {
  readonly names?: ReadonlyArray<string> | undefined
  readonly until?: Date | undefined
}

const nameOf = (common: string) => sequence(encode(0x31, sequence(oid(0x55, 0x04, 0x03), encode(0x0c, text(common)))))

const isAddress = (name: string) => /^[\d.]+$/.test(name)

const alternatives = (names: ReadonlyArray<string>) => {
  const each = names.map((name) => (isAddress(name) ? encode(0x87, bytes(...name.split(".").map(Number))) : encode(0x82, text(name))))
  return sequence(oid(0x55, 0x1d, 0x11), encode(0x04, sequence(...each)))
}

// Basic constraints, critical: this certificate may sign others.
const signsOthers = sequence(oid(0x55, 0x1d, 0x13), encode(0x01, bytes(0xff)), encode(0x04, sequence(encode(0x01, bytes(0xff)))))

const generate = () => crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])

type Keys = Awaited<ReturnType<typeof generate>>

interface Issued {
  readonly subject: string
  readonly keys: Keys
  readonly until?: Date | undefined
  readonly extension: Uint8Array
}

const day = 86_400_000

const issue = async (
  { extension, keys, subject, until = new Date(Date.now() + day) }: Issued,
  by: { readonly name: string; readonly keys: Keys }
) => {
  const body = sequence(
    encode(0xa0, encode(0x02, bytes(2))),
    integer(crypto.getRandomValues(new Uint8Array(8))),
    ecdsaWithSha256,
    nameOf(by.name),
    sequence(utcTime(new Date(until.getTime() - 2 * day)), utcTime(until)),
    nameOf(subject),
    new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey)),
    encode(0xa3, sequence(extension))
  )
  const signature = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, by.keys.privateKey, body.slice()))
  const signed = sequence(integer(signature.subarray(0, 32)), integer(signature.subarray(32)))
  return {
    key: pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", keys.privateKey)),
    cert: pem("CERTIFICATE", sequence(body, ecdsaWithSha256, encode(0x03, bytes(0), signed)))
  }
}

/**
 * A key and a certificate of it that signs itself.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = async ({ names = ["localhost", "127.0.0.1"], until }: Claims = {}): Promise<Identity> => {
  const keys = await generate()
  const name = "fault server"
  return issue({ subject: name, keys, until, extension: alternatives(names) }, { name, keys })
}

/**
 * An authority: its certificate, as PEM, and `issue`, which makes a key and a certificate that it has signed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Authority {
  readonly cert: string
  readonly issue: (claims?: Claims) => Promise<Identity>
}

/**
 * Makes an authority, good for a day.
 *
 * @category constructors
 * @since 0.1.0
 */
export const authority = async (): Promise<Authority> => {
  const by = { name: "fault authority", keys: await generate() }
  const { cert } = await issue({ subject: by.name, keys: by.keys, extension: signsOthers }, by)
  return {
    cert,
    issue: async ({ names = ["localhost", "127.0.0.1"], until } = {}) =>
      issue({ subject: "fault server", keys: await generate(), until, extension: alternatives(names) }, by)
  }
}
