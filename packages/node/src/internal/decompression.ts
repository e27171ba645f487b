// undici hands a body over as it came. Nothing compressed is asked for, but a proxy may compress all the same.
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Zlib from "node:zlib"

const decoders: Readonly<Record<string, (() => Zlib.Gunzip | Zlib.Inflate | Zlib.BrotliDecompress) | undefined>> = {
  gzip: () => Zlib.createGunzip(),
  "x-gzip": () => Zlib.createGunzip(),
  deflate: () => Zlib.createInflate(),
  br: () => Zlib.createBrotliDecompress()
}

const decompress = (response: HttpClientResponse): HttpClientResponse => {
  const decoder = decoders[response.headers["content-encoding"]?.trim().toLowerCase() ?? ""]
  if (decoder === undefined) return response
  const onError = (cause: unknown) =>
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.DecodeError({
        request: response.request,
        response,
        cause,
        description: "the body cannot be decompressed"
      })
    })
  return Object.create(response, {
    stream: { get: () => NodeStream.pipeThroughDuplex(response.stream, { evaluate: decoder, onError }) }
  }) as HttpClientResponse
}

/** The client, with bodies as they were before they were compressed. */
export const withDecompression = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transformResponse(client, Effect.map(decompress))
