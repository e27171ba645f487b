// JSON text as servers write it.

/** The JSON text of a value; `undefined` when the value is nested too deeply. */
export const jsonText = (value: unknown): string | undefined => {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

/** Parses JSON text; `undefined` when the text is not JSON. */
export const tryParse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Parses JSON text. Numbers that are not finite, which Python writes, are null. Throws a `SyntaxError` when the text is not JSON. */
export const parseJson = (text: string): unknown => {
  let isString = false
  const toFinite = (found: string) => {
    if (found === '"') isString = !isString
    return isString || !found[2] ? found : "null"
  }
  return tryParse(text) ?? JSON.parse(text.replace(/\\.|"|-?(?:Infinity|NaN)/g, toFinite))
}
