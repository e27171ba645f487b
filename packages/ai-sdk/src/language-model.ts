// A model of the endpoint, as the AI SDK calls it.
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
  LanguageModelV4StreamResult,
  SharedV4Warning
} from "@ai-sdk/provider"
import type { ChatCompletionChunk, ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import type { ResponseInfo } from "@paradigm-effect/core/ParadigmClient"
import { isParadigmError } from "@paradigm-effect/core/ParadigmError"
import type { ChunkStream } from "@paradigm-effect/core/CompletionStream"
import { toProviderError } from "./errors.ts"
import { type ClientOptions, Exchange } from "./exchange.ts"
import { StreamParts, toMetadata, toParts } from "./parts.ts"
import { type RequestConfig, toRequest, toStreamRequest, toWholeRequest } from "./request.ts"

/** Settings of a model, with every default filled in. */
export interface ModelConfig extends RequestConfig {
  readonly options: ClientOptions
  readonly fetch: typeof globalThis.fetch
  readonly generateId: () => string
}

/** One call: its request, and the errors of its exchange. */
class ModelCall {
  readonly exchange: Exchange
  readonly request: ChatCompletionRequest
  readonly #options: LanguageModelV4CallOptions

  constructor(config: ModelConfig, options: LanguageModelV4CallOptions, request: ChatCompletionRequest) {
    this.exchange = new Exchange(config.options, config.fetch)
    this.#options = options
    this.request = request
  }

  /** Options of the client's call. The AI SDK retries itself. */
  get options() {
    const { abortSignal: signal, headers } = this.#options
    return { signal, headers, retry: false as const }
  }

  toError(error: unknown, isDelivered = false): unknown {
    const { headers, status, url } = this.exchange
    return toProviderError(error, { headers, status, url, request: this.request, isDelivered })
  }

  get sent(): { readonly url: string; readonly body: unknown } {
    return { url: this.exchange.url, body: this.request }
  }
}

type Controller = ReadableStreamDefaultController<LanguageModelV4StreamPart>

/** The parts of a stream, read as they are asked for. Cancelling it closes the connection. */
class PartSource implements UnderlyingDefaultSource<LanguageModelV4StreamPart> {
  readonly #chunks: ChunkStream
  readonly #iterator: AsyncIterator<ChatCompletionChunk>
  readonly #response: Pick<ResponseInfo, "anomalies">
  readonly #parts: StreamParts
  readonly #call: ModelCall
  #queue: Array<LanguageModelV4StreamPart>
  #isEnded = false
  #abort: { readonly reason: unknown } | undefined = undefined

  constructor(
    { data, response }: { readonly data: ChunkStream; readonly response: Pick<ResponseInfo, "anomalies"> },
    call: ModelCall,
    config: ModelConfig,
    includeRaw: boolean,
    warnings: Array<SharedV4Warning>
  ) {
    this.#chunks = data
    this.#iterator = data[Symbol.asyncIterator]()
    this.#response = response
    this.#call = call
    this.#queue = [{ type: "stream-start", warnings }]
    this.#parts = new StreamParts((part) => this.#queue.push(part), config.generateId, includeRaw)
  }

  /** Reads up to the first output. Throws an error before it, because the AI SDK repeats a call that rejects. */
  async begin(): Promise<void> {
    while (!this.#isEnded && !this.#parts.hasOutput) await this.#read()
  }

  // A stream does not ask again after a call that adds nothing.
  async pull(controller: Controller): Promise<void> {
    while (!this.#isEnded && this.#queue.length === 0) await this.#readOrFail()
    for (const part of this.#queue) controller.enqueue(part)
    this.#queue = []
    if (this.#abort !== undefined) controller.error(this.#abort.reason)
    else if (this.#isEnded) controller.close()
  }

  cancel(): Promise<void> {
    return this.#chunks.close()
  }

  async #read(): Promise<void> {
    const step = await this.#iterator.next()
    if (step.done !== true) return this.#parts.add(step.value)
    this.#isEnded = true
    this.#parts.end(await this.#chunks.finalCompletion(), this.#response.anomalies)
  }

  async #readOrFail(): Promise<void> {
    try {
      await this.#read()
    } catch (error) {
      this.#isEnded = true
      // The signal's reason, which the AI SDK recognizes only if the stream fails with it.
      if (!isParadigmError(error)) this.#abort = { reason: error }
      else {
        const isReported = error.reason._tag === "StreamFault" || error.reason._tag === "MalformedChunk"
        this.#parts.fail(this.#call.toError(error, true), isReported ? "error" : "interrupted", error.usage)
      }
    }
  }
}

const onlyReasoned: SharedV4Warning = {
  type: "other",
  message: "The model wrote reasoning and no text, so there is no JSON. Raise maxOutputTokens, or turn reasoning off."
}

export class ParadigmLanguageModel implements LanguageModelV4 {
  readonly specificationVersion = "v4"
  readonly provider = "paradigm"
  readonly modelId: string
  /** The model server loads images itself. */
  readonly supportedUrls = { "image/*": [/^https?:\/\//] }
  readonly #config: ModelConfig

  constructor(modelId: string, config: ModelConfig) {
    this.modelId = modelId
    this.#config = config
  }

  async doGenerate(options: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const { request, warnings } = toRequest(this.modelId, options, this.#config)
    const whole = toWholeRequest(request)
    const call = new ModelCall(this.#config, options, whole)
    try {
      const { data, response } = await call.exchange.connect().chat.completions.create(whole, call.options).withResponse()
      const parts = toParts(data, response.anomalies, this.#config.generateId)
      const isEmpty = !parts.content.some(({ type }) => type !== "reasoning")
      const isMissing = options.responseFormat?.type === "json" && isEmpty && parts.content.length > 0
      return {
        ...parts,
        warnings: isMissing ? [...warnings, onlyReasoned] : warnings,
        request: call.sent,
        response: { ...toMetadata(data), headers: call.exchange.headers ?? {}, body: data }
      }
    } catch (error) {
      throw call.toError(error)
    }
  }

  async doStream(options: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const { request, warnings } = toRequest(this.modelId, options, this.#config)
    const streamed = toStreamRequest(request)
    const call = new ModelCall(this.#config, options, streamed)
    try {
      const opened = await call.exchange.connect().chat.completions.create(streamed, call.options).withResponse()
      const source = new PartSource(opened, call, this.#config, options.includeRawChunks === true, warnings)
      await source.begin()
      return {
        stream: new ReadableStream(source, { highWaterMark: 0 }),
        request: call.sent,
        response: { headers: call.exchange.headers ?? {} }
      }
    } catch (error) {
      throw call.toError(error)
    }
  }
}
