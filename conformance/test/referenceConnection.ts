import type { ClientOptions } from "../src/client/Subject.ts"
import { Agent, fetch as undiciFetch, ProxyAgent } from "undici"

type Fetch = (url: URL, init: RequestInit) => Promise<Response>

/** How a case's requests are sent: by the global fetch, or where the case has a word on connections, by undici's own. */
export const fetchOf = ({ apiKey, ca, http2, proxy }: ClientOptions, bug: string | undefined): Fetch => {
  if (ca === undefined && proxy === undefined) return fetch
  const trusted = bug === "ignores-the-authority" ? {} : { ca }
  const tls = { ...trusted, rejectUnauthorized: bug !== "trusts-anybody" }
  const allowH2 = http2 === true && bug !== "speaks-http-1-alone"
  const headers = bug === "sends-the-proxy-the-key" ? { authorization: `Bearer ${apiKey}` } : {}
  const dispatcher =
    proxy === undefined || bug === "ignores-the-proxy"
      ? new Agent({ connect: tls, allowH2 })
      : new ProxyAgent({ uri: proxy, requestTls: tls, headers })
  return (url, init) => undiciFetch(url, { ...(init as object), dispatcher })
}

/** Reads a body up to so many bytes, whether anybody wants them or not. */
export const readAhead = async (body: ReadableStream<Uint8Array>, most: number) => {
  const reader = body.getReader()
  const parts: Array<Uint8Array<ArrayBuffer>> = []
  for (let size = 0; size < most;) {
    const { done, value } = await reader.read()
    if (done) break
    size += value.length
    parts.push(value.slice())
  }
  await reader.cancel()
  return new Blob(parts)
}
