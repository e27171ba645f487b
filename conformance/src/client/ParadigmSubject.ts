/**
 * This project's client as a subject.
 *
 * @since 0.1.0
 */
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import { isParadigmError, type ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as RequestEncoding from "@paradigm-effect/core/RequestEncoding"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import type { Capability, Client, Operation, Runtime } from "../case/Case.ts"
import { type Call, type Outcome, printedForms, type Subject, type SubjectError } from "./Subject.ts"

/**
 * How the connections of a case are made, for runtimes whose client has options for it.
 *
 * @category options
 * @since 0.1.0
 */
export type Connection = Pick<Client, "ca" | "http2" | "proxy">

/**
 * What a subject is made of: the `layer` of a runtime's package, and that runtime's own way to print a value, `inspect`.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly runtime: Runtime
  readonly layer: (options: ParadigmClient.Options, connection: Connection) => Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError>
  readonly inspect?: ((value: unknown) => string) | undefined
}

const toSubjectError = (error: ParadigmError, cause: Cause.Cause<unknown>, inspect: Options["inspect"]): SubjectError => ({
  reason: error.reason._tag,
  message: error.message,
  retryable: error.isRetryable,
  status: error.status,
  code: "code" in error.reason ? error.reason.code : undefined,
  stage: "stage" in error.reason ? error.reason.stage : undefined,
  phase: "phase" in error.reason ? error.reason.phase : undefined,
  requestId: error.requestId,
  partial: error.partial,
  usage: error.usage,
  printed: { ...printedForms(error, inspect), cause: Cause.pretty(cause) }
})

const encoders = {
  json: RequestEncoding.json,
  stream: RequestEncoding.json,
  form: RequestEncoding.urlEncoded,
  multipart: RequestEncoding.multipart
}

// A form says in its request whether it wants a stream.
const streams = ({ kind, request }: Operation) =>
  kind === "stream" ||
  (kind !== "json" && typeof request === "object" && request !== null && "stream" in request && request.stream === true)

const perform = Effect.fnUntraced(function* (operation: Operation, call: Call, chunks: Array<unknown>) {
  const client = yield* ParadigmClient.ParadigmClient
  // Cases with a request that is none are there to be refused.
  const request = operation.request as unknown as ChatCompletionRequest
  const encode = encoders[operation.kind]
  if (!streams(operation)) return yield* client.createChatCompletion(request, { encode })
  const stream = client.streamChatCompletion(request, { encode })
  yield* Stream.runForEach(call.take === undefined ? stream : Stream.take(stream, call.take), (chunk) => {
    chunks.push(chunk)
    return Effect.promise(() => call.onChunk(chunk))
  })
})

// What our client can do in one runtime and not in each: what it decompresses is the runtime's to say.
const besides: Readonly<Record<Runtime, ReadonlyArray<Capability>>> = {
  node: ["br", "ca", "deflate", "http2", "proxy", "zstd"],
  browser: ["deflate"],
  deno: ["br", "ca", "confined", "http2", "proxy"],
  bun: ["br", "deflate", "zstd"],
  workers: []
}

/**
 * A subject on a layer. In Node and Deno the layer heeds the second argument.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Subject => ({
  name: "paradigm-effect",
  runtime: options.runtime,
  capabilities: ["abort", "form", "gzip", "house", "keys", "multipart", "retry", "timeouts", "utf16", ...besides[options.runtime]],
  open: ({ apiKey: key, apiKeys, baseUrl, retry, timeouts, ...connection }) => {
    let asked = 0
    const apiKey = apiKeys === undefined ? key : () => apiKeys[Math.min(asked++, apiKeys.length - 1)] ?? key
    const policy = retry === undefined ? undefined : { maxAttempts: retry.attempts, baseDelay: retry.baseDelay }
    const runtime = ManagedRuntime.make(options.layer({ apiKey, baseUrl, retry: policy, timeouts }, connection))
    return {
      close: () => runtime.dispose(),
      call: async (operation, call): Promise<Outcome> => {
        const chunks: Array<unknown> = []
        // A fiber runs up to its first pause before it hears of a signal that has fired already.
        const effect = Effect.andThen(Effect.yieldNow, perform(operation, call, chunks))
        const exit = await runtime.runPromiseExit(effect, { signal: call.signal })
        if (Exit.isSuccess(exit)) {
          return streams(operation) ? { outcome: "chunks", chunks } : { outcome: "completion", chunks, completion: exit.value }
        }
        if (Cause.hasInterruptsOnly(exit.cause)) return { outcome: "aborted", chunks }
        const error = Cause.squash(exit.cause)
        if (!isParadigmError(error)) throw error
        return { outcome: "error", chunks, error: toSubjectError(error, exit.cause, options.inspect) }
      }
    }
  }
})
