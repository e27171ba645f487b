// The helpers of the client with promises.
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest } from "../ChatCompletion.ts"
import { listWith, retrieveWith } from "../client/models.ts"
import { checkCallOptions } from "../client/options.ts"
import type { CompletionStream, RunToolsOptions } from "../CompletionStream.ts"
import type { Model } from "../Model.ts"
import { type CallOptions, withOptions } from "../ParadigmClient.ts"
import type { CallPromise, Completions, Models, ModelsPromise, PromiseCallOptions, RunToolsRequest } from "../ParadigmPromise.ts"
import { CompletionRunner } from "./CompletionRunner.ts"
import { callSite, type Connection, toCallPromise, type ToThrown } from "./Connection.ts"
import { parse, prepare, type SchemaRequest } from "./structured.ts"
import { ToolRun } from "./toolRun.ts"

type Chunks = AsyncGenerator<ChatCompletionChunk, undefined>

const hasSchema = (request: unknown): boolean => {
  const format: unknown = Predicate.hasProperty(request, "response_format") ? request.response_format : undefined
  return Predicate.hasProperty(format, "~standard") || Predicate.hasProperty(format, "~schema")
}

export class Helpers implements Omit<Completions, "create">, Models {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  readonly stream = (request: SchemaRequest, options?: PromiseCallOptions): CompletionStream<never> => {
    const toThrown = callSite(this.stream)
    const run = (runner: CompletionRunner<never>, signal: AbortSignal) => this.#streamed(runner, request, { ...options, signal }, toThrown)
    return new CompletionRunner(request?.messages, options?.signal, run)
  }

  async *#streamed(runner: CompletionRunner<never>, request: SchemaRequest, options: PromiseCallOptions, toThrown: ToThrown): Chunks {
    if (!hasSchema(request)) {
      runner.add(yield* this.#read(runner, request as ChatCompletionRequest, options, toThrown))
      return
    }
    const { request: sent, schema } = await thrown(toThrown, () => prepare(request))
    const completion = yield* this.#read(runner, sent, options, toThrown)
    runner.add(await thrown(toThrown, () => parse(completion, schema)))
  }

  async *#read(runner: CompletionRunner<never>, request: ChatCompletionRequest, options: PromiseCallOptions, toThrown: ToThrown) {
    const sent = Predicate.isObject(request) ? { ...request, stream: true } : request
    return yield* runner.read((await this.#connection.open(sent, options, toThrown)).data)
  }

  readonly parse = (request: SchemaRequest, options?: PromiseCallOptions): CallPromise<never> => {
    const toThrown = callSite(this.parse)
    const reply = async () => {
      const { request: sent, schema } = await thrown(toThrown, () => prepare(request))
      const { data, response } = await this.#connection.whole(sent, options, toThrown)
      return { data: await thrown(toThrown, () => parse(data, schema, response.requestId)), response }
    }
    return toCallPromise(reply()) as CallPromise<never>
  }

  readonly runTools = (request: RunToolsRequest, options: RunToolsOptions = {}): CompletionStream => {
    const toThrown = callSite(this.runTools)
    return new CompletionRunner<null>(request?.messages, options?.signal, (runner, signal) =>
      this.#toolRun(runner as CompletionRunner<never>, request, options, signal, toThrown)
    )
  }

  async *#toolRun(
    runner: CompletionRunner<never>,
    request: RunToolsRequest,
    options: RunToolsOptions,
    signal: AbortSignal,
    toThrown: ToThrown
  ): Chunks {
    const { maxChatCompletions: _, toolErrors: __, ...others } = options
    const callOptions = { ...others, signal }
    const { stream } = request
    const read = this.#read.bind(this)
    const connection = this.#connection
    const tools = await thrown(toThrown, () => new ToolRun(runner, signal, request, options))
    yield* tools.run(async function* (messages, tools): AsyncGenerator<ChatCompletionChunk, ChatCompletion> {
      const sent = { ...request, messages, tools }
      if (stream === true) return yield* read(runner, sent, callOptions, toThrown)
      const { data } = await connection.whole(sent, callOptions, toThrown)
      runner.connected()
      return data
    })
  }

  readonly list = (options?: PromiseCallOptions): ModelsPromise => {
    const reply = this.#connection.run(options, callSite(this.list), (options) =>
      Effect.flatMap(this.#connection.client, (client) => listWith(client, options))
    )
    const promise = toCallPromise(reply)
    return Object.assign(promise, {
      async *[Symbol.asyncIterator]() {
        yield* (await promise).data
      }
    })
  }

  readonly retrieve = (model: string, options?: PromiseCallOptions): CallPromise<Model> =>
    toCallPromise(
      this.#connection.run(options, callSite(this.retrieve), (options) =>
        Effect.flatMap(this.#connection.client, (client) => retrieveWith(client, model, options))
      )
    )
}

/** A connection with other options on the same resources. Throws `InvalidConfiguration`. */
export const derive = (connection: Connection, options: CallOptions): Connection => {
  checkCallOptions(options)
  const value = Effect.flatMap(connection.client, (client) => withOptions(client, options))
  return Object.create(connection, { client: { value } }) as Connection
}

// Runs code that may throw an error without the stack of the call.
const thrown = async <A>(toThrown: ToThrown, run: () => A | Promise<A>): Promise<A> => {
  try {
    return await run()
  } catch (error) {
    throw toThrown(error)
  }
}
