// One call: its attempts and its observation. Redacts its errors and ends its observation, once.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Anomaly } from "../Anomaly.ts"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "../ChatCompletion.ts"
import { InvalidRequest, ParadigmError } from "../ParadigmError.ts"
import type { Encoded } from "../RequestEncoding.ts"
import type { Observation } from "../Telemetry.ts"
import { accept } from "../transport/accept.ts"
import { type OpenResponse, send } from "../transport/attempt.ts"
import type { Transport } from "../Transport.ts"
import { invalid, type Settings } from "./options.ts"
import { Retries } from "./Retries.ts"

const encode = (
  request: ChatCompletionRequest,
  stream: boolean,
  { encode, extraBody, secrets }: Settings
): Result.Result<Encoded, ParadigmError> => {
  try {
    const encoded = encode(request, stream ? { ...extraBody, stream } : extraBody)
    return Result.mapError(
      Result.flatMap(encoded, (encoded) => {
        const asked = stream ? (extraBody["stream"] ?? request.stream) : encoded.request.stream
        if ((asked ?? stream) === stream) return Result.succeed(encoded)
        return Result.fail(new InvalidRequest({ detail: "it does not fit", fields: { stream: [`Expected ${stream}`] } }))
      }),
      (reason) => new ParadigmError({ reason })
    )
  } catch (cause) {
    return Result.fail(invalid("encode", "is a function that failed", secrets.cause(cause)))
  }
}

export class Call {
  readonly settings: Settings
  readonly retries: Retries
  readonly #transport: Transport
  readonly #body: Encoded
  readonly #stream: boolean
  readonly #observation: Observation

  private constructor(
    transport: Transport,
    settings: Settings,
    body: Encoded,
    stream: boolean,
    observation: Observation,
    clock: Clock.Clock
  ) {
    this.#transport = transport
    this.settings = settings
    this.#body = body
    this.#stream = stream
    this.#observation = observation
    this.retries = new Retries(clock, settings)
  }

  /** Encodes the request and begins to observe the call. Fails with `InvalidRequest`. */
  static readonly begin = Effect.fnUntraced(function* (
    transport: Transport,
    settings: Settings,
    request: ChatCompletionRequest,
    stream: boolean
  ): Effect.fn.Return<Call, ParadigmError> {
    const body = yield* Effect.fromResult(encode(request, stream, settings))
    const observation = yield* settings.telemetry.observe(body.request, settings.baseUrl, stream, settings.secrets.text)
    return new Call(transport, settings, body, stream, observation, yield* Clock.Clock)
  })

  /** Reports the chunks of one network read. */
  readonly onChunks = (chunks: ReadonlyArray<ChatCompletionChunk>): void => this.#observation.chunks(chunks)

  /** Sends the request once and succeeds with the accepted response. */
  readonly attempt = (key: Redacted.Redacted): Effect.Effect<OpenResponse, ParadigmError, Scope.Scope> => {
    const { baseUrl: url, headers } = this.settings
    const bearer = Redacted.value(key)
    const request = {
      url,
      headers: {
        ...headers,
        ...(bearer && { authorization: `Bearer ${bearer}` }),
        // A server with content negotiation refuses `text/event-stream` alone, because its errors are JSON.
        accept: this.#stream ? "application/json, text/event-stream" : "application/json",
        "content-type": this.#body.contentType
      },
      body: this.#body.body
    }
    return send(this.#transport, request, this.settings).pipe(
      Effect.flatMap((response) =>
        accept(response, { url, model: this.#body.request.model, stream: this.#stream, firstChunk: this.settings.timeouts.firstChunk })
      ),
      Effect.map((response) => this.retries.accepted(response)),
      (attempt) => this.#observation.run(attempt)
    )
  }

  /** Returns the error of the call: redacted, with the record of all attempts. */
  toError(error: ParadigmError): ParadigmError {
    return this.settings.secrets.error(this.retries.settle(error))
  }

  /** Fails with the error as the call fails with it. */
  readonly fail = (error: ParadigmError): Effect.Effect<never, ParadigmError> => Effect.fail(this.toError(error))

  /** Ends the observation. Only the first end counts. */
  end(
    exit: Exit.Exit<unknown, ParadigmError>,
    completion: ChatCompletion | undefined,
    anomalies: ReadonlyArray<Anomaly> = []
  ): Effect.Effect<void> {
    return this.#observation.end(exit, completion, anomalies)
  }
}
