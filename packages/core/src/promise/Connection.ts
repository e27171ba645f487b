// Calls of the client with promises, and the resources that it releases when it is closed.
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ChatCompletion, ChatCompletionRequest } from "../ChatCompletion.ts"
import { invalid } from "../client/options.ts"
import type { CallOptions, ResponseInfo, Service } from "../ParadigmClient.ts"
import { isParadigmError, type ParadigmError } from "../ParadigmError.ts"
import type { CallPromise, PromiseCallOptions, PromiseResponse } from "../ParadigmPromise.ts"
import { closed, OpenStream } from "./OpenStream.ts"

/** The data of a call and its response. */
export interface Reply<A> {
  readonly data: A
  readonly response: ResponseInfo
}

const ignore = () => {}

export type ToThrown = (error: unknown) => unknown

/**
 * Captures the place of a call in its caller's code, because errors are created in fibers, whose stacks do not have the caller. Returns a
 * function that gives an error the stack of the call. It copies the error: several calls may fail with one error.
 */
export const callSite = (above: Function): ToThrown => {
  const holder = new Error()
  // Only V8 can omit the frames of this library.
  const { captureStackTrace } = Error as { readonly captureStackTrace?: (holder: object, above: Function) => void }
  captureStackTrace?.(holder, above)
  const stack = holder.stack ?? ""
  const header = stack.indexOf("\n    at ")
  const frames = header === -1 ? `\n${stack}` : stack.slice(header)
  return (error) => {
    if (!isParadigmError(error)) return error
    const copy = error.with({})
    const value = `${copy.name}: ${copy.message}${frames}`
    return Object.defineProperty(copy, "stack", { value, configurable: true, writable: true })
  }
}

const toResponse = (info: ResponseInfo): PromiseResponse => ({
  ...info,
  headers: new Headers(info.headers as Record<string, string>),
  // Those of a stream grow as it is read.
  get anomalies() {
    return info.anomalies
  }
})

export const toCallPromise = <A>(reply: Promise<Reply<A>>): CallPromise<A> => {
  const promise = reply.then(({ data }) => data)
  return Object.assign(promise, {
    withResponse: () => {
      // The caller uses the other promise: a failure of this one must not be an unhandled rejection.
      promise.catch(ignore)
      return reply.then(({ data, response }) => ({ data, response: toResponse(response), request_id: response.requestId }))
    }
  })
}

// The client reports an argument that cannot be read.
const attempt = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}

type Client = Effect.Effect<Service, ParadigmError>

/** Provides what a call needs of the place where it is called. */
export type Provide = <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export class Connection {
  readonly all = Scope.makeUnsafe()
  // Closed in reverse order: calls and their streams before the client they run on.
  readonly #resources = Scope.forkUnsafe(this.all)
  readonly calls = Scope.forkUnsafe(this.all)
  /** Waits for the client. */
  readonly client: Client

  readonly provide: Provide

  /** Makes the client. Throws the error of an effect that fails at once, as it does for wrong options. */
  constructor(make: Effect.Effect<Service, ParadigmError, Scope.Scope>, provide: Provide = identity) {
    this.provide = provide
    const scoped = Effect.provideService(make, Scope.Scope, this.#resources)
    const building = Effect.runFork(scoped, { onFiberStart: Fiber.runIn(this.calls) })
    const exit = building.pollUnsafe()
    if (exit !== undefined && Exit.isFailure(exit)) throw Cause.squash(exit.cause)
    this.client = Fiber.join(building)
  }

  close(): Promise<void> {
    return Effect.runPromise(Scope.close(this.all, Exit.void))
  }

  /** Starts a call. Everything that is wrong rejects. JavaScript callers may pass anything. */
  async run<A>(
    given: PromiseCallOptions | undefined,
    toThrown: ToThrown,
    call: (options: CallOptions | undefined, signal: AbortSignal | undefined) => Effect.Effect<A, ParadigmError>
  ): Promise<A> {
    let signal: AbortSignal | undefined
    let options: CallOptions | undefined = given
    attempt(() => {
      if (Predicate.isObject(given)) ({ signal, ...options } = given as PromiseCallOptions)
    })
    if (signal !== undefined && !Predicate.hasProperty(signal, "throwIfAborted")) {
      throw toThrown(invalid("signal", "must be an AbortSignal"))
    }
    signal?.throwIfAborted()
    const { all, calls } = this
    const isClosed = () => all.state._tag === "Closed"
    if (isClosed()) throw toThrown(closed("client"))
    const exit = await Effect.runPromiseExit(this.provide(call(options, signal)), { signal, onFiberStart: Fiber.runIn(calls) })
    if (Exit.isSuccess(exit)) return exit.value
    signal?.throwIfAborted()
    throw toThrown(Cause.hasInterruptsOnly(exit.cause) && isClosed() ? closed("client") : Cause.squash(exit.cause))
  }

  /** Creates a completion, whole or as a stream. */
  create(
    request: ChatCompletionRequest,
    options: PromiseCallOptions | undefined,
    toThrown: ToThrown
  ): Promise<Reply<ChatCompletion | OpenStream>> {
    return attempt(() => request?.stream === true) === true ? this.open(request, options, toThrown) : this.whole(request, options, toThrown)
  }

  whole(request: ChatCompletionRequest, options: PromiseCallOptions | undefined, toThrown: ToThrown): Promise<Reply<ChatCompletion>> {
    return this.run(options, toThrown, (options) =>
      Effect.flatMap(this.client, (client) =>
        Effect.map(client.createWithResponse(request, options), ({ completion, response }) => ({ data: completion, response }))
      )
    )
  }

  open(request: ChatCompletionRequest, options: PromiseCallOptions | undefined, toThrown: ToThrown): Promise<Reply<OpenStream>> {
    const { calls, client } = this
    return this.run(options, toThrown, (options, signal) =>
      Effect.gen(function* (): Effect.fn.Return<Reply<OpenStream>, ParadigmError> {
        const scope = yield* Scope.fork(calls)
        const open = Effect.gen(function* () {
          const { chunks, completion, response } = yield* (yield* client).streamWithResponse(request, options)
          const pull = Effect.provideContext(yield* Channel.toPullScoped(Stream.toChannel(chunks), scope), yield* Effect.context())
          return { data: new OpenStream({ pull, completion, scope, signal, toThrown }), response }
        })
        return yield* open.pipe(
          Effect.provideService(Scope.Scope, scope),
          Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
        )
      })
    )
  }
}
