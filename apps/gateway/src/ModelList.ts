/**
 * Asks a model server for its models, within bounds: follows no redirect, and reads no endless answer.
 */
import * as Redacted from "effect/Redacted"
import type { LookupFunction } from "node:net"
import { Agent, request } from "undici"

const timeout = 5000
const maxBody = 1024 * 1024

/** What a server answered. */
export interface ModelList {
  readonly status: number
  /** Whether it names a model. */
  readonly names: (model: string) => boolean
}

/** Reads the models at a URL. Rejects when the server does not answer. `lookup` decides which addresses a name may have. */
export const readModels = async (
  url: URL,
  apiKey: Redacted.Redacted | undefined,
  signal: AbortSignal,
  lookup?: LookupFunction
): Promise<ModelList> => {
  const dispatcher = new Agent({
    connect: { timeout, ...(lookup === undefined ? {} : { lookup }) },
    headersTimeout: timeout,
    bodyTimeout: timeout,
    maxResponseSize: maxBody
  })
  try {
    const { body, statusCode } = await request(url, {
      dispatcher,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${Redacted.value(apiKey)}` }
    })
    const text = await body.text()
    return { status: statusCode, names: (model) => text.includes(JSON.stringify(model)) }
  } finally {
    await dispatcher.destroy()
  }
}
