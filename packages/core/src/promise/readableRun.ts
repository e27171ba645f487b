// A run over the body of another program's stream.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Scope from "effect/Scope"
import type { ChatCompletionChunk } from "../ChatCompletion.ts"
import { ConnectionLost, isParadigmError, type ParadigmErrorReason } from "../ParadigmError.ts"
import { ChunkDecoder } from "../stream/ChunkDecoder.ts"
import { ChunkReader } from "../stream/ChunkReader.ts"
import { CompletionRunner } from "./CompletionRunner.ts"
import { OpenStream } from "./OpenStream.ts"

// The lines of `toReadableStream` begin with a brace, server-sent events never do.
const toEvents = () => {
  let isLines: boolean | undefined
  return new TransformStream<string, string>({
    transform(text, controller) {
      if (isLines === undefined) {
        isLines = text.startsWith("{")
        if (isLines) controller.enqueue("data: ")
      }
      controller.enqueue(isLines ? text.replaceAll("\n", "\n\ndata: ") : text)
    },
    flush(controller) {
      if (isLines === true) controller.enqueue("\n\n")
    }
  })
}

const reasonOf = (error: unknown): ParadigmErrorReason =>
  isParadigmError(error) ? error.reason : new ConnectionLost({ phase: "body", code: undefined })

export const readableRun = (body: ReadableStream<Uint8Array>, signal: AbortSignal | undefined): CompletionRunner<null> =>
  new CompletionRunner<null>([], signal, async function* (runner, signal): AsyncGenerator<ChatCompletionChunk, undefined> {
    const decoded = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    const reader = decoded.pipeThrough(toEvents()).pipeThrough(new TextEncoderStream()).getReader()
    const scope = Scope.makeUnsafe()
    const close = Effect.sync(() => void reader.cancel().catch(() => {}))
    Effect.runSync(Scope.addFinalizer(scope, close))
    const reads = Effect.flatMap(Effect.tryPromise({ try: () => reader.read(), catch: reasonOf }), ({ done, value }) =>
      done ? Cause.done() : Effect.succeed([value] as const)
    )
    const decoder = new ChunkDecoder()
    const pull = new ChunkReader({ reads, decoder, close }).next
    const completion = Effect.sync(() => decoder.completion)
    runner.add(yield* runner.read(new OpenStream({ pull, completion, scope, signal, toThrown: identity })))
  })
