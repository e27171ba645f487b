/**
 * The clients that are compared. Each streams one completion from a base URL and counts its content. Each is imported only if it is measured.
 */

/** What a subject counted: non-empty pieces of content, and their length in UTF-16 code units. */
export interface Seen {
  readonly pieces: number
  readonly length: number
}

/** Makes a client for a base URL. Returns the function that streams one completion. */
export type Subject = (baseUrl: string) => Promise<() => Promise<Seen>>

const apiKey = "sk-benchmark"
const model = "alfred-4.2"
const messages = [{ role: "user" as const, content: "Say hello" }]

class Count implements Seen {
  pieces = 0
  length = 0
  add(content: string | null | undefined) {
    if (content === null || content === undefined || content === "") return
    this.pieces += 1
    this.length += content.length
  }
}

interface PlainChunk {
  readonly choices: ReadonlyArray<{ readonly delta: { readonly content?: string | null } }>
}

/** The baseline: no types, no validation, no errors but those of `fetch` and `JSON.parse`. */
const plain: Subject = async (baseUrl) => {
  const { createParser } = await import("eventsource-parser")
  return async () => {
    const response = await fetch(`${baseUrl}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({ model, messages, stream: true })
    })
    const count = new Count()
    const decoder = new TextDecoder()
    let done = false
    const parser = createParser({
      onEvent: ({ data }) => {
        if (data === "[DONE]") done = true
        else count.add((JSON.parse(data) as PlainChunk).choices[0]?.delta.content)
      }
    })
    const reader = response.body?.getReader()
    for (;;) {
      const read = await reader?.read()
      if (read?.value === undefined) break
      parser.feed(decoder.decode(read.value, { stream: true }))
      if (done) break
    }
    return count
  }
}

const effect: Subject = async (baseUrl) => {
  const { Paradigm } = await import("@paradigm-effect/node")
  const Effect = await import("effect/Effect")
  const ManagedRuntime = await import("effect/ManagedRuntime")
  const Stream = await import("effect/Stream")
  const runtime = ManagedRuntime.make(Paradigm.layer({ apiKey, baseUrl }))
  return () =>
    runtime.runPromise(
      Effect.gen(function* () {
        const paradigm = yield* Paradigm.Client
        const count = new Count()
        yield* paradigm.streamChatCompletion({ model, messages }).pipe(
          Stream.runForEachArray((chunks) =>
            Effect.sync(() => {
              for (const chunk of chunks) count.add(chunk.choices[0]?.delta.content)
            })
          )
        )
        return count
      })
    )
}

/** `streamText` of effect/ai on our client. */
const effectAi: Subject = async (baseUrl) => {
  const { ParadigmLanguageModel } = await import("@paradigm-effect/ai")
  const { Paradigm } = await import("@paradigm-effect/node")
  const Effect = await import("effect/Effect")
  const Layer = await import("effect/Layer")
  const ManagedRuntime = await import("effect/ManagedRuntime")
  const Stream = await import("effect/Stream")
  const LanguageModel = await import("effect/ai/LanguageModel")
  const runtime = ManagedRuntime.make(Layer.provide(ParadigmLanguageModel.model(model), Paradigm.layer({ apiKey, baseUrl })))
  return () =>
    runtime.runPromise(
      Effect.suspend(() => {
        const count = new Count()
        return LanguageModel.streamText({ prompt: "Say hello" }).pipe(
          Stream.runForEachArray((parts) =>
            Effect.sync(() => {
              for (const part of parts) if (part.type === "text-delta") count.add(part.delta)
            })
          ),
          Effect.as(count)
        )
      })
    )
}

const promise: Subject = async (baseUrl) => {
  const { Paradigm } = await import("@paradigm-effect/node")
  const paradigm = Paradigm.connect({ apiKey, baseUrl })
  return async () => {
    const count = new Count()
    const chunks = await paradigm.chat.completions.create({ model, messages, stream: true })
    for await (const chunk of chunks) count.add(chunk.choices[0]?.delta.content)
    return count
  }
}

const openai: Subject = async (baseUrl) => {
  const { OpenAI } = await import("openai")
  const client = new OpenAI({ apiKey, baseURL: baseUrl })
  return async () => {
    const count = new Count()
    const chunks = await client.chat.completions.create({ model, messages, stream: true })
    for await (const chunk of chunks) count.add(chunk.choices[0]?.delta.content)
    return count
  }
}

interface Model {
  readonly doStream: (options: {
    readonly prompt: Array<{ readonly role: "user"; readonly content: Array<{ readonly type: "text"; readonly text: string }> }>
  }) => PromiseLike<{ readonly stream: ReadableStream<{ readonly type: string; readonly delta?: unknown }> }>
}

/** Streams with a provider of the AI SDK alone, without the SDK's own work on each part. */
const withModel = (doStream: Model["doStream"]) => async () => {
  const count = new Count()
  const { stream } = await doStream({ prompt: [{ role: "user", content: [{ type: "text", text: "Say hello" }] }] })
  for await (const part of stream) if (part.type === "text-delta") count.add(part.delta as string)
  return count
}

const providerPeer: Subject = async (baseUrl) => {
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible")
  const chat = createOpenAICompatible({ name: "paradigm", apiKey, baseURL: baseUrl }).chatModel(model)
  return withModel((options) => chat.doStream(options))
}

const provider: Subject = async (baseUrl) => {
  const { createParadigm } = await import("@paradigm-effect/ai-sdk")
  const chat = createParadigm({ apiKey, baseUrl })(model)
  return withModel((options) => chat.doStream(options))
}

const aiSdk: Subject = async (baseUrl) => {
  const { streamText } = await import("ai")
  const { createParadigm } = await import("@paradigm-effect/ai-sdk")
  const paradigm = createParadigm({ apiKey, baseUrl })
  return async () => {
    const count = new Count()
    const result = streamText({ model: paradigm(model), messages })
    for await (const text of result.textStream) count.add(text)
    return count
  }
}

const ai: Subject = async (baseUrl) => {
  const { streamText } = await import("ai")
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible")
  const provider = createOpenAICompatible({ name: "paradigm", apiKey, baseURL: baseUrl })
  return async () => {
    const count = new Count()
    const result = streamText({ model: provider.chatModel(model), messages })
    for await (const text of result.textStream) count.add(text)
    return count
  }
}

export const subjects = { plain, effect, effectAi, promise, openai, ai, aiSdk, provider, providerPeer } satisfies Record<string, Subject>

export type SubjectName = keyof typeof subjects
