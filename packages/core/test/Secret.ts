// Asserts that a secret is in no representation of a value: of a logger, an inspector or a bug report.
import { assert } from "@effect/vitest"
import { inspect } from "node:util"

const everything = (value: unknown): string => {
  const seen = new Set<unknown>()
  const texts: Array<string> = []
  const visit = (value: unknown): void => {
    if (typeof value === "string") texts.push(value)
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return
    seen.add(value)
    for (const name of Reflect.ownKeys(value)) {
      texts.push(String(name))
      visit(Reflect.get(value, name))
    }
  }
  visit(value)
  for (const customInspect of [true, false])
    texts.push(inspect(value, { depth: 10, showHidden: true, customInspect, maxStringLength: null }))
  if (value instanceof Error) texts.push(value.message, String(value), value.stack ?? "", inspect(value.cause, { depth: 10 }))
  texts.push(JSON.stringify(value) ?? "")
  return texts.join("\n")
}

export const assertSecret = (value: unknown, secret: string) => {
  const text = everything(value)
  assert.notInclude(text, secret)
  // Also as escaped by JSON, inside another text.
  assert.notInclude(
    text.replaceAll(/\\+\//g, "/").replaceAll(/\\+u([0-9a-f]{4})/gi, (_, code) => String.fromCharCode(parseInt(code, 16))),
    secret
  )
}
