// A run of completions as events, promises and an async iterable. A generator creates the completions and yields their chunks.
import type { ChatCompletion, ChatCompletionChunk, ChatMessage, CompletionUsage, FunctionCall } from "../ChatCompletion.ts"
import { ChatCompletionAccumulator } from "../ChatCompletionAccumulator.ts"
import type { CompletionEvents, CompletionStream, Emitted, ToResponseOptions } from "../CompletionStream.ts"
import type { ParsedCompletion, ParsedMessage } from "../StandardSchema.ts"
import { addUsage } from "./usage.ts"
import { closed, type OpenStream } from "./OpenStream.ts"
import { toReadableStream, toResponse } from "./serve.ts"

type Listener = (...parameters: ReadonlyArray<never>) => void
type Step = IteratorResult<ChatCompletionChunk, undefined>

const ignore = () => {}

export class CompletionRunner<T> implements CompletionStream<T> {
  readonly controller = new AbortController()
  readonly messages: Array<ChatMessage>
  readonly #listeners = new Map<string, ReadonlyArray<Listener>>()
  readonly #completions: Array<ChatCompletion> = []
  readonly #source: AsyncGenerator<ChatCompletionChunk, undefined>
  readonly #signal: AbortSignal
  #first: Promise<Step> | undefined
  #failure: { readonly error: unknown } | undefined
  #isEnded = false
  #isConnected = false
  #isDelivered = false
  #done: Promise<void> | undefined
  // Chunks that `done` read while a loop waits for them.
  #queue: Array<ChatCompletionChunk> | undefined
  #wake = ignore
  #accumulator = new ChatCompletionAccumulator()
  #texts: Record<string, string> = {}

  /** `run` yields the chunks and adds the completions. The signal of the caller aborts the run, too. */
  constructor(
    messages: ReadonlyArray<ChatMessage>,
    signal: AbortSignal | undefined,
    run: (runner: CompletionRunner<T>, signal: AbortSignal) => AsyncGenerator<ChatCompletionChunk, undefined>
  ) {
    this.messages = Array.isArray(messages) ? [...messages] : []
    // A call refuses a signal of another type.
    this.#signal =
      signal === undefined
        ? this.controller.signal
        : signal instanceof AbortSignal
          ? AbortSignal.any([signal, this.controller.signal])
          : signal
    this.#source = run(this, this.#signal)
    this.#first = this.#source.next()
  }

  get ended(): boolean {
    return this.#isEnded
  }

  get errored(): boolean {
    return this.#failure !== undefined
  }

  get aborted(): boolean {
    return this.errored && this.#signal.aborted
  }

  get currentChatCompletionSnapshot(): ChatCompletion | undefined {
    return this.#accumulator.completion ?? this.#completions.at(-1)
  }

  on<Event extends keyof CompletionEvents<T>>(event: Event, listener: CompletionEvents<T>[Event]): this {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener])
    // After the listeners and loops of the same turn.
    queueMicrotask(() => {
      if (this.#queue === undefined) void this.done()
    })
    return this
  }

  off<Event extends keyof CompletionEvents<T>>(event: Event, listener: CompletionEvents<T>[Event]): this {
    const listeners = [...(this.#listeners.get(event) ?? [])]
    const at = listeners.indexOf(listener)
    if (at !== -1) this.#listeners.set(event, listeners.toSpliced(at, 1))
    return this
  }

  once<Event extends keyof CompletionEvents<T>>(event: Event, listener: CompletionEvents<T>[Event]): this {
    const once = ((...parameters: ReadonlyArray<never>) => {
      this.off(event, once)
      const call: Listener = listener
      call(...parameters)
    }) as CompletionEvents<T>[Event]
    return this.on(event, once)
  }

  emitted<Event extends keyof CompletionEvents<T>>(event: Event): Promise<Emitted<Parameters<CompletionEvents<T>[Event]>>> {
    type Value = Emitted<Parameters<CompletionEvents<T>[Event]>>
    return new Promise<Value>((resolve, reject) => {
      this.once(event, (...values: ReadonlyArray<unknown>) => resolve((values.length > 1 ? values : values[0]) as Value))
      this.done().then(() => reject(new TypeError(`The run ended without the event ${event}`)), reject)
    })
  }

  #emit(event: keyof CompletionEvents, ...parameters: ReadonlyArray<unknown>): boolean {
    const listeners = this.#listeners.get(event) ?? []
    for (const listener of listeners) listener(...(parameters as ReadonlyArray<never>))
    return listeners.length > 0
  }

  abort(): void {
    this.controller.abort()
  }

  /** Yields the chunks of a stream and adds its completion. */
  async *read(chunks: OpenStream): AsyncGenerator<ChatCompletionChunk, ChatCompletion> {
    this.#accumulator = new ChatCompletionAccumulator()
    this.#texts = {}
    yield* chunks
    return await chunks.finalCompletion()
  }

  /** Adds a whole completion. */
  add(completion: ChatCompletion): void {
    this.#completions.push(completion)
    this.#emit("chatCompletion", completion)
    const message = completion.choices[0]?.message
    if (message === undefined) return
    const { content, refusal, tool_calls } = message
    if (content) this.#emit("content.done", { content, parsed: (message as ParsedMessage<T>).parsed ?? null })
    if (refusal) this.#emit("refusal.done", { refusal })
    this.addMessage(message)
    for (const [index, call] of (tool_calls ?? []).entries()) {
      if (call.type !== "function") continue
      this.#emit("tool_calls.function.arguments.done", { index, ...call.function })
      this.#emit("functionToolCall", call.function)
    }
  }

  /** Adds a message to the conversation. */
  addMessage(message: ChatMessage): void {
    this.messages.push(message)
    this.#emit("message", message)
    if (message.role === "tool") this.#emit("functionToolCallResult", message.content)
  }

  /** Reports that a response began. */
  connected(): void {
    if (!this.#isConnected) this.#emit("connect")
    this.#isConnected = true
  }

  // The name of a text, its addition, and its event with the whole text.
  #grow(key: string, delta: string | null | undefined, report: (delta: string, snapshot: string) => void) {
    if (!delta) return
    report(delta, (this.#texts[key] = (this.#texts[key] ?? "") + delta))
  }

  #report(chunk: ChatCompletionChunk) {
    this.#isDelivered = true
    this.connected()
    this.#accumulator.add(chunk)
    if (this.#listeners.has("chunk")) this.#emit("chunk", chunk, this.currentChatCompletionSnapshot)
    const delta = chunk.choices.find(({ index }) => index === 0)?.delta
    if (delta === undefined) return
    this.#grow("content", delta.content, (delta, snapshot) => {
      this.#emit("content", delta, snapshot)
      this.#emit("content.delta", { delta, snapshot })
    })
    this.#grow("reasoning", delta.reasoning ?? delta.reasoning_content, (delta, snapshot) => void this.#emit("reasoning", delta, snapshot))
    this.#grow("refusal", delta.refusal, (delta, snapshot) => void this.#emit("refusal.delta", { delta, snapshot }))
    for (const { function: called, index } of delta.tool_calls ?? []) {
      if (called?.name) this.#texts[`name ${index}`] = called.name
      this.#grow(`arguments ${index}`, called?.arguments, (arguments_delta, whole) => {
        const name = this.#texts[`name ${index}`] ?? ""
        this.#emit("tool_calls.function.arguments.delta", { name, index, arguments: whole, arguments_delta })
      })
    }
  }

  // Reads one chunk and reports it.
  async #step(): Promise<Step> {
    if (this.#failure !== undefined) throw this.#failure.error
    if (this.#isEnded) return { done: true, value: undefined }
    try {
      const step = await (this.#first ?? this.#source.next())
      this.#first = undefined
      if (step.done === true) this.#conclude()
      else this.#report(step.value)
      return step
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  #conclude() {
    if (this.#isEnded) return
    this.connected()
    const completion = this.#completions.at(-1)
    if (completion === undefined) throw closed("stream")
    const message = completion.choices[0]?.message
    this.#emit("finalChatCompletion", completion)
    if (message !== undefined) this.#emit("finalMessage", message)
    if (message?.content) this.#emit("finalContent", message.content)
    const call = this.#lastCall()
    if (call !== undefined) this.#emit("finalFunctionToolCall", call)
    const result = this.#lastResult()
    if (result !== undefined) this.#emit("finalFunctionToolCallResult", result)
    if (this.#completions.some(({ usage }) => usage)) this.#emit("totalUsage", addUsage(this.#completions))
    this.#isEnded = true
    this.#emit("end")
  }

  // Returns whether a listener handled the failure.
  #fail(error: unknown) {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#failure = { error }
    // Once handled by a listener, the failure is not an unhandled rejection.
    if (this.#emit(this.#signal.aborted ? "abort" : "error", error)) this.#done?.catch(ignore)
    // Ends what still runs: tools, for example.
    this.controller.abort(error)
    this.#emit("end")
  }

  done(): Promise<void> {
    return (this.#done ??= this.#drain())
  }

  async #drain(): Promise<void> {
    try {
      for (let step = await this.#step(); step.done !== true; step = await this.#step()) {
        this.#queue?.push(step.value)
        this.#wake()
      }
    } finally {
      this.#wake()
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<ChatCompletionChunk, undefined> {
    if (this.#isDelivered && this.#queue === undefined && !this.#isEnded) {
      throw new TypeError("The loop would miss chunks that were delivered already: begin it in the turn of the call")
    }
    this.#queue ??= []
    return {
      next: () => this.#take(this.#queue ?? []),
      return: async () => {
        await this.close()
        return { done: true, value: undefined }
      }
    }
  }

  async #take(queue: Array<ChatCompletionChunk>): Promise<Step> {
    for (;;) {
      const value = queue.shift()
      if (value !== undefined) return { done: false, value }
      if (this.#done === undefined || this.#isEnded) return this.#step()
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async close(): Promise<void> {
    if (this.#isEnded) return
    const partial = this.currentChatCompletionSnapshot
    this.#first?.catch(ignore)
    this.#isEnded = true
    this.#failure = { error: closed("stream", partial) }
    this.controller.abort()
    this.#emit("abort", this.controller.signal.reason)
    this.#emit("end")
    await this.#source.return(undefined).catch(ignore)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async finalChatCompletion(): Promise<ParsedCompletion<T>> {
    await this.done()
    return this.#completions.at(-1) as ParsedCompletion<T>
  }

  finalCompletion(): Promise<ChatCompletion> {
    return this.finalChatCompletion()
  }

  async finalMessage(): Promise<ParsedMessage<T>> {
    const completion = await this.finalChatCompletion()
    const message = completion.choices[0]?.message
    if (message === undefined) throw new TypeError("The completion has no choices")
    return message
  }

  async finalContent(): Promise<string | null> {
    return (await this.finalChatCompletion()).choices[0]?.message.content ?? null
  }

  async text(): Promise<string> {
    return (await this.finalContent()) ?? ""
  }

  #lastCall(): FunctionCall | undefined {
    const calls = this.#completions.flatMap(({ choices }) => choices[0]?.message.tool_calls ?? [])
    return calls.findLast((call) => call.type === "function")?.function
  }

  #lastResult(): string | undefined {
    const content = this.messages.findLast(({ role }) => role === "tool")?.content
    return typeof content === "string" ? content : undefined
  }

  async finalFunctionToolCall(): Promise<FunctionCall | undefined> {
    await this.done()
    return this.#lastCall()
  }

  async finalFunctionToolCallResult(): Promise<string | undefined> {
    await this.done()
    return this.#lastResult()
  }

  async totalUsage(): Promise<CompletionUsage> {
    await this.done()
    return addUsage(this.#completions)
  }

  allChatCompletions(): ReadonlyArray<ChatCompletion> {
    return [...this.#completions]
  }

  toReadableStream(): ReadableStream<Uint8Array> {
    return toReadableStream(this)
  }

  toResponse(options?: ToResponseOptions): Response {
    return toResponse(this, options)
  }
}
