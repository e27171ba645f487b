import { type EmbeddingModelV4, type ImageModelV4, type LanguageModelV4, NoSuchModelError, type ProviderV4 } from "@ai-sdk/provider"
import { generateId as defaultGenerateId } from "@ai-sdk/provider-utils"
import { toProviderError } from "./errors.ts"
import { checkOptions } from "./exchange.ts"
import { ParadigmLanguageModel } from "./language-model.ts"

/** A duration: milliseconds, or a text such as `"30s"`, `"500ms"` or `"2m"`. */
export type ParadigmDuration = number | `${number}${"ms" | "s" | "m" | "h"}` | "Infinity"

/**
 * Limits by stage. A call that exceeds one fails with an `APICallError`, whose `data` names the stage. The AI SDK's own `timeout` and
 * `abortSignal` apply besides.
 *
 * @category options
 * @since 0.1.0
 */
export interface ParadigmTimeouts {
  /** Time to the response headers. Without streaming this is the whole generation. Defaults to 10 minutes. */
  readonly headers?: ParadigmDuration | undefined
  /** Time from the response headers of a stream to its first chunk. Defaults to 10 minutes. */
  readonly firstChunk?: ParadigmDuration | undefined
  /** Time between two chunks while the stream is being read. Defaults to 2 minutes. */
  readonly idle?: ParadigmDuration | undefined
  /** Time for the whole call. Defaults to no limit. */
  readonly total?: ParadigmDuration | undefined
  /** Whether keep-alive comments restart `firstChunk` and `idle`. Defaults to `false`. */
  readonly keepAliveCounts?: boolean | undefined
}

/**
 * Settings of the provider.
 *
 * @category options
 * @since 0.1.0
 */
export interface ParadigmProviderSettings {
  /**
   * The API key, or a function that returns it. A function is called for every request, and once more after a 401. Defaults to the environment
   * variable `PARADIGM_API_KEY`, then `LIGHTON_API_KEY`. A missing key is a `LoadAPIKeyError` of the first call.
   */
  readonly apiKey?: string | (() => string | Promise<string>) | undefined
  /**
   * The address of the endpoint. An origin gets the path `/api/v3/chat/completions`, and a URL with a path (`…/v1`) gets `/chat/completions`
   * after it. Defaults to the environment variable `PARADIGM_BASE_URL`, then `https://paradigm.lighton.ai`.
   */
  readonly baseUrl?: string | URL | undefined
  /** Headers of every request. The headers of a call override them. */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined
  /** Replaces `fetch`, for example by a middleware. Defaults to the global `fetch` at the time of the call. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Limits by stage. */
  readonly timeouts?: ParadigmTimeouts | undefined
  /** Whether a stream without any finish reason counts as complete if it ends with `[DONE]`. Defaults to `false`. */
  readonly acceptUnfinished?: boolean | undefined
  /** The field of a message that returns reasoning to the model. vLLM before 0.12 reads `reasoning_content`. Defaults to `reasoning`. */
  readonly reasoningField?: "reasoning" | "reasoning_content" | undefined
  /**
   * Replaces levels of `reasoning` that an older model server refuses. `null` sends none. Each replacement is reported as a `compatibility`
   * warning. Defaults to sending every level.
   */
  readonly reasoningLevels?:
    | { readonly [Level in "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max"]?: string | null | undefined }
    | undefined
  /** Generates the ids of text blocks, of reasoning blocks, and of calls without an id. */
  readonly generateId?: (() => string) | undefined
}

/**
 * The provider: a function from the name of a model to the model.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParadigmProvider extends ProviderV4 {
  (modelId: string): LanguageModelV4
  readonly languageModel: (modelId: string) => LanguageModelV4
  /** Throws `NoSuchModelError`: the endpoint has no embeddings. */
  readonly embeddingModel: (modelId: string) => EmbeddingModelV4
  /** Throws `NoSuchModelError`: the endpoint has no images. */
  readonly imageModel: (modelId: string) => ImageModelV4
}

const no = (modelType: "embeddingModel" | "imageModel") => (modelId: string) => {
  throw new NoSuchModelError({ modelId, modelType, message: `Paradigm has chat completions only, so ${modelType} has no "${modelId}"` })
}

/**
 * Creates a provider. Throws `InvalidArgumentError` when a setting is wrong or unknown.
 *
 * @example
 * ```ts
 * import { createParadigm } from "@paradigm-effect/ai-sdk"
 * import { generateText } from "ai"
 *
 * const paradigm = createParadigm({
 *   apiKey: process.env.PARADIGM_API_KEY,
 *   baseUrl: process.env.PARADIGM_BASE_URL
 * })
 * const { text } = await generateText({ model: paradigm("alfred-4.2"), prompt: "Say hello" })
 * console.log(text) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const createParadigm = (settings: ParadigmProviderSettings = {}): ParadigmProvider => {
  const { fetch, generateId = defaultGenerateId, reasoningField = "reasoning", reasoningLevels = {}, ...options } = settings
  try {
    checkOptions(options)
  } catch (error) {
    throw toProviderError(error, { url: "", status: undefined, headers: undefined, request: {} })
  }
  const config = {
    options,
    // Looked up for each call, because applications replace the global.
    fetch: fetch ?? ((input, init) => globalThis.fetch(input, init)),
    generateId,
    reasoningField,
    reasoningLevels
  } satisfies ConstructorParameters<typeof ParadigmLanguageModel>[1]
  const languageModel = (modelId: string) => new ParadigmLanguageModel(modelId, config)
  return Object.assign((modelId: string) => languageModel(modelId), {
    specificationVersion: "v4" as const,
    languageModel,
    embeddingModel: no("embeddingModel"),
    imageModel: no("imageModel")
  })
}

/**
 * The provider with the key and the address of the environment.
 *
 * @example
 * ```ts
 * import { paradigm } from "@paradigm-effect/ai-sdk"
 * import { streamText } from "ai"
 *
 * const { textStream } = streamText({ model: paradigm("alfred-4.2"), prompt: "Say hello" })
 * for await (const text of textStream) console.log(text) // => Hello!
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const paradigm: ParadigmProvider = /* @__PURE__ */ createParadigm()
