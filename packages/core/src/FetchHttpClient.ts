/**
 * An `HttpClient` over fetch, for runtimes that have nothing better. Effect's own one also uploads streams, which no request of this endpoint
 * needs, and which would be 3 KB (compressed) more for a page to load.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Fetch } from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import { EncodeError, HttpClientError, TransportError } from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"

/**
 * A client that adds these options to every call of fetch. It honours Effect's `FetchHttpClient.Fetch`. A body that is a stream fails with
 * `EncodeError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (init: RequestInit): Layer.Layer<HttpClient.HttpClient> =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url, signal, fiber) => {
      const { body, method } = request
      if (body._tag === "Stream") {
        const description = "this client sends no streams"
        return Effect.fail(new HttpClientError({ reason: new EncodeError({ request, description }) }))
      }
      // fetch counts for itself, and some runtimes refuse to be told.
      const { "content-length": _, ...headers } = request.headers
      const content = body._tag === "FormData" ? body.formData : body._tag === "Empty" ? null : (body.body as BodyInit)
      return Effect.tryPromise({
        try: async () =>
          HttpClientResponse.fromWeb(request, await fiber.getRef(Fetch)(url, { ...init, method, headers, body: content, signal })),
        catch: (cause) => new HttpClientError({ reason: new TransportError({ request, cause }) })
      })
    })
  )
