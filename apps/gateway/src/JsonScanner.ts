/**
 * Checks a JSON text as bytes, in steps, without a value for each token: so that a body of any shape neither stops the event loop nor costs a
 * multiple of its size. Finds the members of the top-level object, and makes a small text with the same structure for `JSON.parse`.
 */

/** Limits of a JSON text. */
export interface Limits {
  readonly depth: number
  readonly values: number
  /** Members of the top-level object. */
  readonly members: number
}

/** Limits of a request's body. */
export const limits: Limits = { depth: 64, values: 100_000, members: 1000 }

/** A member of the top-level object, by byte offsets. */
export interface Member {
  readonly key: string
  readonly keyStart: number
  readonly valueStart: number
  readonly valueEnd: number
}

/** The text is not JSON, or beyond a limit. */
export interface Problem {
  readonly kind: "syntax" | "limit"
  /** Byte offset. */
  readonly at: number
  readonly detail: string
}

// A string longer than this is shortened in the outline. Its beginning shows the scheme of a URL.
const maxOutlined = 4096
const outlined = 256
const maxNumber = 1000

const isSpace = (byte: number | undefined) => byte === 32 || byte === 10 || byte === 13 || byte === 9
const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 48 && byte <= 57
const isHex = (byte: number | undefined) =>
  byte !== undefined && ((byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 70) || (byte >= 97 && byte <= 102))

const literals: Readonly<Record<number, string | undefined>> = { 116: "true", 102: "false", 110: "null" }

type Expected = "value" | "value or ]" | "key or }" | "key" | ":" | ", or end" | "end"

const expectations: Readonly<Record<Expected, string>> = {
  value: "a value",
  "value or ]": "a value or ]",
  "key or }": "a quoted name or }",
  key: "a quoted name",
  ":": ":",
  ", or end": "a comma or the end of the list or object",
  end: "nothing more"
}

/** Scans one text. Call `step` until it returns `true`. */
export class JsonScanner {
  readonly #bytes: Uint8Array
  readonly #limits: Limits
  #at = 0
  #expected: Expected = "value"
  // For each level, whether it is an object.
  readonly #levels: Array<boolean> = []
  #values = 0
  // The string in which a step ended: where it begins.
  #string: number | undefined = undefined
  #keyStart = 0
  #keyEnd = 0
  #valueStart = 0
  readonly #longStrings: Array<readonly [start: number, end: number]> = []

  readonly members: Array<Member> = []
  problem: Problem | undefined = undefined

  constructor(bytes: Uint8Array, within: Limits = limits) {
    this.#bytes = bytes
    this.#limits = within
  }

  /** Whether the text is an object. Known when the scan is over. */
  isObject = false

  /** Scans about as many bytes. Returns whether the scan is over. */
  step(budget: number): boolean {
    const bytes = this.#bytes
    const stop = Math.min(bytes.length, this.#at + budget)
    if (this.#string !== undefined && !this.#scanString(this.#string, stop)) return this.problem !== undefined
    while (this.#at < stop) {
      const byte = bytes[this.#at] as number
      if (isSpace(byte)) this.#at++
      else if (!this.#token(byte, stop)) return this.problem !== undefined
    }
    if (this.#at < bytes.length) return false
    if (this.#expected !== "end")
      this.#fail(bytes.length === 0 ? "The body is empty" : `It ends where ${expectations[this.#expected]} is expected`)
    return true
  }

  /** A text with the same structure, in which long strings have only their beginning. */
  get outline(): string {
    const { buffer, byteLength, byteOffset } = this.#bytes
    const bytes = Buffer.from(buffer, byteOffset, byteLength)
    const parts: Array<string> = []
    let from = 0
    for (const [start, end] of this.#longStrings) {
      let cut = start + 1
      while (cut < start + outlined && (bytes[cut] as number) < 128 && bytes[cut] !== 92) cut++
      parts.push(bytes.toString("utf8", from, cut))
      from = end - 1
    }
    parts.push(bytes.toString("utf8", from))
    return parts.join("")
  }

  #fail(detail: string, kind: Problem["kind"] = "syntax"): false {
    this.problem = { kind, at: this.#at, detail }
    return false
  }

  // Reads one token. False when the step or the scan ends in it.
  #token(byte: number, stop: number): boolean {
    const isObject = this.#levels.at(-1)
    switch (this.#expected) {
      case ":":
        if (byte !== 58) break
        this.#at++
        this.#expected = "value"
        return true
      case "key":
      case "key or }":
        if (byte === 34) return this.#scanString(this.#at, stop)
        if (byte === 125 && this.#expected === "key or }") return this.#close()
        break
      case ", or end":
        if (byte === 44) {
          this.#at++
          this.#expected = isObject === true ? "key" : "value"
          return true
        }
        if (byte === (isObject === true ? 125 : 93)) return this.#close()
        break
      case "value or ]":
        if (byte === 93) return this.#close()
        return this.#value(byte, stop)
      case "value":
        return this.#value(byte, stop)
    }
    return this.#fail(`Expected ${expectations[this.#expected]}`)
  }

  #value(byte: number, stop: number): boolean {
    if (++this.#values > this.#limits.values) return this.#fail(`It has more than ${this.#limits.values} values`, "limit")
    if (this.#levels.length === 1) this.#valueStart = this.#at
    switch (byte) {
      case 34:
        return this.#scanString(this.#at, stop)
      case 91:
      case 123:
        if (this.#levels.length >= this.#limits.depth)
          return this.#fail(`It is nested more than ${this.#limits.depth} levels deep`, "limit")
        if (this.#levels.length === 0) this.isObject = byte === 123
        this.#levels.push(byte === 123)
        this.#at++
        this.#expected = byte === 123 ? "key or }" : "value or ]"
        return true
    }
    const literal = literals[byte]
    if (literal === undefined) return this.#number()
    for (let i = 0; i < literal.length; i++) {
      if (this.#bytes[this.#at + i] !== literal.charCodeAt(i)) return this.#fail(`Expected ${literal}`)
    }
    this.#at += literal.length
    return this.#end()
  }

  #number(): boolean {
    const bytes = this.#bytes
    const start = this.#at
    let at = start
    if (bytes[at] === 45) at++
    if (!isDigit(bytes[at])) return this.#fail("Expected a value")
    if (bytes[at] === 48) at++
    else while (isDigit(bytes[at])) at++
    if (bytes[at] === 46) {
      if (!isDigit(bytes[++at])) return this.#fail("Expected a digit after the point of a number")
      while (isDigit(bytes[at])) at++
    }
    if (bytes[at] === 101 || bytes[at] === 69) {
      at++
      if (bytes[at] === 43 || bytes[at] === 45) at++
      if (!isDigit(bytes[at])) return this.#fail("Expected a digit in the exponent of a number")
      while (isDigit(bytes[at])) at++
    }
    if (at - start > maxNumber) return this.#fail(`It has a number of more than ${maxNumber} characters`, "limit")
    this.#at = at
    return this.#end()
  }

  // Reads on in the string that begins at `start`. False when the step ends in it.
  #scanString(start: number, stop: number): boolean {
    const bytes = this.#bytes
    let at = Math.max(this.#at, start + 1)
    for (; at < stop; at++) {
      const byte = bytes[at] as number
      if (byte === 34) return this.#endString(start, at + 1)
      if (byte < 32) {
        this.#at = at
        return this.#fail("A string has a control character, which JSON writes as an escape")
      }
      if (byte !== 92) continue
      const escape = bytes[++at]
      if (escape === 117) {
        for (let i = 1; i <= 4; i++) {
          if (isHex(bytes[at + i])) continue
          this.#at = at - 1
          return this.#fail("A string has a \\u escape without four hexadecimal digits")
        }
        at += 4
      } else if (escape === undefined || !'"\\/bfnrt'.includes(String.fromCharCode(escape))) {
        this.#at = at - 1
        return this.#fail("A string has an escape that JSON does not have")
      }
    }
    this.#at = at
    if (at >= bytes.length) return this.#fail("It ends in a string")
    this.#string = start
    return false
  }

  #endString(start: number, end: number): boolean {
    this.#string = undefined
    this.#at = end
    if (end - start > maxOutlined) this.#longStrings.push([start, end])
    if (this.#expected !== "key" && this.#expected !== "key or }") return this.#end()
    if (this.#levels.length === 1) {
      this.#keyStart = start
      this.#keyEnd = end
    }
    this.#expected = ":"
    return true
  }

  #close(): boolean {
    this.#levels.pop()
    this.#at++
    return this.#end()
  }

  // Ends a value.
  #end(): boolean {
    const depth = this.#levels.length
    this.#expected = depth === 0 ? "end" : ", or end"
    if (depth === 1 && this.isObject) {
      const { buffer, byteOffset } = this.#bytes
      const key: string = JSON.parse(Buffer.from(buffer, byteOffset + this.#keyStart, this.#keyEnd - this.#keyStart).toString("utf8"))
      if (this.members.length >= this.#limits.members) {
        return this.#fail(`It has more than ${this.#limits.members} members`, "limit")
      }
      this.members.push({ key, keyStart: this.#keyStart, valueStart: this.#valueStart, valueEnd: this.#at })
    }
    return true
  }
}
