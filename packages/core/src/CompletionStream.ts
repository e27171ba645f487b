/**
 * A completion with events: what `stream` and `runTools` of the client with promises return.
 *
 * @since 0.1.0
 */
import type { ChatCompletion, ChatCompletionChunk, ChatMessage, CompletionUsage, FunctionCall } from "./ChatCompletion.ts"
import type { ParsedCompletion, ParsedMessage } from "./StandardSchema.ts"
import type { PromiseCallOptions } from "./ParadigmPromise.ts"

/**
 * The events of a completion, with the parameters of their listeners. Events of texts and tool calls report the first choice.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompletionEvents<T = null> {
  /** The response began. */
  readonly connect: () => void
  /** A chunk, and the completion so far. */
  readonly chunk: (chunk: ChatCompletionChunk, snapshot: ChatCompletion) => void
  /** New text, and the text so far. */
  readonly content: (delta: string, snapshot: string) => void
  /** New reasoning, and the reasoning so far. */
  readonly reasoning: (delta: string, snapshot: string) => void
  readonly "content.delta": (event: { readonly delta: string; readonly snapshot: string }) => void
  readonly "content.done": (event: { readonly content: string; readonly parsed: T | null }) => void
  readonly "refusal.delta": (event: { readonly delta: string; readonly snapshot: string }) => void
  readonly "refusal.done": (event: { readonly refusal: string }) => void
  readonly "tool_calls.function.arguments.delta": (event: ArgumentsEvent & { readonly arguments_delta: string }) => void
  readonly "tool_calls.function.arguments.done": (event: ArgumentsEvent) => void
  /** A whole call of a function. */
  readonly functionToolCall: (call: FunctionCall) => void
  /** The result of a tool that `runTools` executed, as the model receives it. */
  readonly functionToolCallResult: (content: string) => void
  /** A message was added to the conversation: of the model, or of a tool. */
  readonly message: (message: ChatMessage) => void
  /** A whole completion. `runTools` creates several. */
  readonly chatCompletion: (completion: ChatCompletion) => void
  readonly finalContent: (content: string) => void
  readonly finalMessage: (message: ParsedMessage<T>) => void
  readonly finalChatCompletion: (completion: ParsedCompletion<T>) => void
  readonly finalFunctionToolCall: (call: FunctionCall) => void
  readonly finalFunctionToolCallResult: (content: string) => void
  /** The sum of the usages of all completions. */
  readonly totalUsage: (usage: CompletionUsage) => void
  /** The run failed. With a listener, a failure that no promise reports is not an unhandled rejection. */
  readonly error: (error: Error) => void
  /** The run was aborted, with the reason of the signal. */
  readonly abort: (reason: unknown) => void
  /** The run ended: whole, failed or aborted. */
  readonly end: () => void
}

/**
 * The arguments of a function call, so far or whole.
 *
 * @category models
 * @since 0.1.0
 */
export interface ArgumentsEvent {
  readonly name: string
  /** Index of the call in its message. */
  readonly index: number
  /** JSON text. */
  readonly arguments: string
}

/**
 * The parameters of a listener as one value: nothing, the parameter, or a list of several.
 *
 * @category models
 * @since 0.1.0
 */
export type Emitted<Parameters extends ReadonlyArray<unknown>> = Parameters extends []
  ? undefined
  : Parameters extends [infer Only]
    ? Only
    : Parameters

/**
 * A run of one or several completions. The request is sent at once. The response is read when it has a listener, a promise or a loop.
 *
 * The promises reject with the error of the run, or with the reason of the signal if the run was aborted. A run that fails without an `error`
 * listener and without a promise is one unhandled rejection.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompletionRun<T = null> extends AsyncDisposable {
  /** Its signal is aborted by `abort`. */
  readonly controller: AbortController
  /** The conversation: the messages of the request, and those of the model and the tools. */
  readonly messages: Array<ChatMessage>
  /** Whether the run ended: whole, failed or aborted. */
  readonly ended: boolean
  /** Whether the run failed or was aborted. */
  readonly errored: boolean
  /** Whether the run was aborted. */
  readonly aborted: boolean
  /** The current completion so far. `undefined` before its first chunk. */
  readonly currentChatCompletionSnapshot: ChatCompletion | undefined
  /** Adds a listener. An exception of a listener fails the run. */
  readonly on: <Event extends keyof CompletionEvents<T>>(event: Event, listener: CompletionEvents<T>[Event]) => this
  /** Removes a listener. */
  readonly off: <Event extends keyof CompletionEvents<T>>(event: Event, listener: CompletionEvents<T>[Event]) => this
  /** Adds a listener of the next event only. */
  readonly once: <Event extends keyof CompletionEvents<T>>(event: Event, listener: CompletionEvents<T>[Event]) => this
  /** Resolves with the parameters of the next event. Rejects with the error of the run. */
  readonly emitted: <Event extends keyof CompletionEvents<T>>(event: Event) => Promise<Emitted<Parameters<CompletionEvents<T>[Event]>>>
  /** Resolves at the end of the run. */
  readonly done: () => Promise<void>
  /** Aborts the run and closes its connection. */
  readonly abort: () => void
  /** Resolves with the text of the last completion. `null` if it has none. */
  readonly finalContent: () => Promise<string | null>
  /** Resolves with the message of the last completion. */
  readonly finalMessage: () => Promise<ParsedMessage<T>>
  /** Resolves with the last completion. */
  readonly finalChatCompletion: () => Promise<ParsedCompletion<T>>
  /** Resolves with the last function call of the model. */
  readonly finalFunctionToolCall: () => Promise<FunctionCall | undefined>
  /** Resolves with the last result of a tool. */
  readonly finalFunctionToolCallResult: () => Promise<string | undefined>
  /** Resolves with the sum of the usages of all completions. */
  readonly totalUsage: () => Promise<CompletionUsage>
  /** The completions so far. */
  readonly allChatCompletions: () => ReadonlyArray<ChatCompletion>
}

/**
 * A run whose completions are streamed: events, and the chunks as an async iterable. Leaving a loop aborts the run. A loop that begins after
 * chunks were delivered throws, because it would miss them.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompletionStream<T = null> extends CompletionRun<T>, ChunkStream {
  /** Resolves with the whole text of the last completion. Empty if it has none. */
  readonly text: () => Promise<string>
  /** The remaining chunks as a response with server-sent events, for a page. Cancelling its body closes the connection. */
  readonly toResponse: (options?: ToResponseOptions) => Response
}

/**
 * The chunks of a completion. Each chunk is delivered once: a second loop continues after the last chunk of the first one.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChunkStream extends AsyncIterable<ChatCompletionChunk>, AsyncDisposable {
  /** Reads the remaining chunks and resolves with the whole completion. Throws `Closed` if the stream was closed before its end. */
  readonly finalCompletion: () => Promise<ChatCompletion>
  /** The remaining chunks as bytes, one JSON text per line. Cancelling it closes the connection. */
  readonly toReadableStream: () => ReadableStream<Uint8Array>
  /** Closes the connection. Loops over the chunks end. */
  readonly close: () => Promise<void>
}

/**
 * Options of `toResponse`.
 *
 * @category options
 * @since 0.1.0
 */
export interface ToResponseOptions {
  /** Further headers of the response. */
  readonly headers?: HeadersInit | undefined
  /** Interval of comments that keep the connection open while no chunk arrives, in milliseconds. Defaults to no comments. */
  readonly keepAlive?: number | undefined
  /**
   * The description of an error for the page, which receives it as an event with the tag of the error's reason as `code`. Defaults to the
   * server's `detail` for the errors that the page's request caused, and to a general text for all others.
   */
  readonly describeError?: ((error: unknown) => string) | undefined
}

/**
 * Options of `runTools`.
 *
 * @category options
 * @since 0.1.0
 */
export interface RunToolsOptions extends PromiseCallOptions {
  /** Maximum number of completions. The run then ends with the last one, even if it calls tools. Defaults to 10. */
  readonly maxChatCompletions?: number | undefined
  /**
   * What happens when a tool throws: `throw` fails the run with the exception, `tell` sends its message to the model as the result of the call.
   * Unknown tools and invalid arguments are always sent to the model. Defaults to `throw`.
   */
  readonly toolErrors?: "throw" | "tell" | undefined
}
