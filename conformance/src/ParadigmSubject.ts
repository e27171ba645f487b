/**
 * This project's client as a subject.
 *
 * @since 0.1.0
 */
import * as ParadigmClient from "@paradigm-effect/core/ParadigmClient"
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import { isParadigmError, type ParadigmError } from "@paradigm-effect/core/ParadigmError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import type { Capability, Operation, Runtime } from "./Case.ts"
import { type Call, type Outcome, printedForms, type Subject, type SubjectError } from "./Subject.ts"

/**
 * What a subject is made of: the `layer` of a runtime's package, and that runtime's own way to print a value, `inspect`.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly runtime: Runtime
  /** What this runtime's client can do, where that is not what the client can do elsewhere. */
  readonly capabilities?: ReadonlyArray<Capability> | undefined
  readonly layer: (options: ParadigmClient.Options) => Layer.Layer<ParadigmClient.ParadigmClient, ParadigmError>
  readonly inspect?: ((value: unknown) => string) | undefined
}

const toSubjectError = (error: ParadigmError, cause: Cause.Cause<unknown>, inspect: Options["inspect"]): SubjectError => ({
  reason: error.reason._tag,
  message: error.message,
  retryable: error.isRetryable,
  status: error.status,
  stage: "stage" in error.reason ? error.reason.stage : undefined,
  phase: "phase" in error.reason ? error.reason.phase : undefined,
  requestId: error.requestId,
  partial: error.partial,
  usage: error.usage,
  printed: { ...printedForms(error, inspect), cause: Cause.pretty(cause) }
})

const perform = Effect.fnUntraced(function* (operation: Operation, call: Call, chunks: Array<unknown>) {
  const client = yield* ParadigmClient.ParadigmClient
  // Cases with a request that is none are there to be refused.
  const request = operation.request as unknown as ChatCompletionRequest
  if (operation.kind === "json") return yield* client.createChatCompletion(request)
  const stream = client.streamChatCompletion(request)
  yield* Stream.runForEach(call.take === undefined ? stream : Stream.take(stream, call.take), (chunk) => {
    chunks.push(chunk)
    return Effect.promise(() => call.onChunk(chunk))
  })
})

/**
 * A subject on a layer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Subject => ({
  name: "paradigm-effect",
  runtime: options.runtime,
  capabilities: options.capabilities ?? ["abort", "gzip", "retry", "timeouts"],
  open: ({ apiKey, baseUrl, retry, timeouts }) => {
    const policy = retry === undefined ? undefined : { maxAttempts: retry.attempts, baseDelay: retry.baseDelay }
    const runtime = ManagedRuntime.make(options.layer({ apiKey, baseUrl, retry: policy, timeouts }))
    return {
      close: () => runtime.dispose(),
      call: async (operation, call): Promise<Outcome> => {
        const chunks: Array<unknown> = []
        const exit = await runtime.runPromiseExit(perform(operation, call, chunks), { signal: call.signal })
        if (Exit.isSuccess(exit)) {
          return operation.kind === "json" ? { outcome: "completion", chunks, completion: exit.value } : { outcome: "chunks", chunks }
        }
        if (Cause.hasInterruptsOnly(exit.cause)) return { outcome: "aborted", chunks }
        const error = Cause.squash(exit.cause)
        if (!isParadigmError(error)) throw error
        return { outcome: "error", chunks, error: toSubjectError(error, exit.cause, options.inspect) }
      }
    }
  }
})
