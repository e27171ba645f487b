// Chunks for another reader: as lines of JSON, or as a response with server-sent events.
import type { ChatCompletionChunk } from "../ChatCompletion.ts"
import type { ChunkStream, ToResponseOptions } from "../CompletionStream.ts"
import { isParadigmError, type ParadigmErrorReason } from "../ParadigmError.ts"
import * as ServerSentEvents from "../ServerSentEvents.ts"

/** Reads the next bytes. */
type Pull = (controller: ReadableStreamDefaultController<Uint8Array>) => Promise<void>

const encoder = /* @__PURE__ */ new TextEncoder()

// One JSON text per line. A failure of the stream is a failure of its reader.
const lines = (chunks: ChunkStream): Pull => {
  const iterator = chunks[Symbol.asyncIterator]()
  return async (controller) => {
    const step = await iterator.next()
    if (step.done === true) controller.close()
    else controller.enqueue(encoder.encode(`${JSON.stringify(step.value)}\n`))
  }
}

// Reasons that the request of the page caused, and whose words are for its user. Any other may name hosts and settings of the application.
const words = (reason: ParadigmErrorReason): string | undefined => {
  switch (reason._tag) {
    case "InvalidRequest":
      return reason.message
    case "ModelNotFound":
    case "RequestRejected":
    case "RateLimited":
    case "Maintenance":
      return reason.detail ?? reason.message
    default:
      return undefined
  }
}

const errorEvent = (error: unknown, describe: ToResponseOptions["describeError"]): string => {
  const failure = isParadigmError(error) ? error : undefined
  const reason = failure?.reason
  const fault = {
    message: describe?.(error) ?? (reason === undefined ? undefined : words(reason)) ?? "The answer is incomplete",
    type: reason?._tag,
    code: reason !== undefined && "code" in reason && words(reason) !== undefined ? reason.code : undefined,
    request_id: failure?.requestId
  }
  return ServerSentEvents.encode({ data: JSON.stringify({ error: fault }) })
}

type Step = IteratorResult<ChatCompletionChunk, unknown>

// Server-sent events that end with `[DONE]`, or with an event that reports the failure.
const events = (chunks: ChunkStream, { describeError, keepAlive }: ToResponseOptions): Pull => {
  const iterator = chunks[Symbol.asyncIterator]()
  let reading: Promise<Step> | undefined
  const text = (step: Step) => (step.done === true ? "data: [DONE]\n\n" : `data: ${JSON.stringify(step.value)}\n\n`)
  const idle = async (): Promise<Step | undefined> => {
    reading ??= iterator.next()
    if (keepAlive === undefined) return reading
    let timer: ReturnType<typeof setTimeout> | undefined
    const silence = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), keepAlive)))
    return Promise.race([reading, silence]).finally(() => clearTimeout(timer))
  }
  return async (controller) => {
    try {
      const step = await idle()
      if (step === undefined) return controller.enqueue(encoder.encode(": keep-alive\n\n"))
      reading = undefined
      controller.enqueue(encoder.encode(text(step)))
      if (step.done === true) controller.close()
    } catch (error) {
      controller.enqueue(encoder.encode(errorEvent(error, describeError)))
      controller.close()
    }
  }
}

export const toReadableStream = (chunks: ChunkStream): ReadableStream<Uint8Array> =>
  new ReadableStream({ pull: lines(chunks), cancel: () => chunks.close() })

export const toResponse = (chunks: ChunkStream, options: ToResponseOptions = {}): Response => {
  const headers = new Headers({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    // nginx buffers a response without it.
    "x-accel-buffering": "no"
  })
  new Headers(options.headers).forEach((value, name) => headers.set(name, value))
  const body = new ReadableStream({ pull: events(chunks, options), cancel: () => chunks.close() })
  return new Response(body, { headers })
}
