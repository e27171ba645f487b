/**
 * What is tested: a client, reduced to what the suite asks of it.
 *
 * @since 0.1.0
 */
import type { Capability, Client, Operation, Reason, Runtime } from "../case/Case.ts"

/**
 * The outcome of one call. `chunks` has the chunks that were delivered, also before an error or an abort. `completion` is set for `"completion"`,
 * `error` for `"error"`, and `message` for `"cannot"`: the client has no way to express the call, and sent nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outcome {
  readonly outcome: "chunks" | "completion" | "error" | "aborted" | "cannot"
  readonly chunks: ReadonlyArray<unknown>
  readonly completion?: unknown
  readonly error?: SubjectError | undefined
  readonly message?: string | undefined
}

/**
 * The error of a call, in the suite's words.
 *
 * @category models
 * @since 0.1.0
 */
export interface SubjectError {
  readonly reason: Reason | (string & {})
  readonly message: string
  readonly retryable: boolean
  readonly status?: number | undefined
  /** The server's word or code for the error. */
  readonly code?: string | undefined
  readonly stage?: string | undefined
  readonly phase?: string | undefined
  readonly requestId?: string | undefined
  /** The completion as far as it had come, in the shape of a `chat.completion`. */
  readonly partial?: unknown
  readonly usage?: unknown
  /** Every way the error can end up in a log, by name: all are searched for secrets. */
  readonly printed: Readonly<Record<string, string>>
}

/**
 * What a client is made with.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientOptions extends Pick<Client, "apiKeys" | "ca" | "http2" | "proxy" | "retry" | "timeouts"> {
  readonly baseUrl: string
  readonly apiKey: string
}

/**
 * How a call is made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  /** Leave the stream after so many chunks, as a user does who breaks out of the loop. */
  readonly take?: number | undefined
  /** Abort the call, as a user would, when this fires. */
  readonly signal: AbortSignal
  /** Whether the case depends on the pace of the consumer. A subject in another process must then await each chunk's `onChunk`. */
  readonly paced: boolean
  /** To be called with each chunk as it is delivered, and awaited before the next one is requested. */
  readonly onChunk: (chunk: unknown) => Promise<void>
}

/**
 * A client that was made. `call` makes one call and tells what came of it, also that the client's options were refused; what it throws counts
 * as a crash. `close` lets go of what the client holds: it is called when the case is judged, so that one can see what a client leaves open.
 *
 * @category models
 * @since 0.1.0
 */
export interface SubjectClient {
  readonly call: (operation: Operation, call: Call) => Promise<Outcome>
  readonly close: () => Promise<void>
  /** For a client that runs elsewhere: what was said to it and by it, for the report of a crash. */
  readonly trace?: () => ReadonlyArray<string>
}

/**
 * A client under test. `capabilities` are what it can do beyond JSON and streams. `runtime` decides on the limits that hold for it, and `platform` is
 * what it runs on, as `"CPython 3.12"`, for reports; defaults to `runtime`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly name: string
  readonly runtime: Runtime
  readonly platform?: string | undefined
  readonly capabilities: ReadonlyArray<Capability>
  readonly open: (options: ClientOptions) => SubjectClient
}

const walk = (value: unknown, seen: Set<unknown>, out: Array<string>, depth: number) => {
  if (typeof value === "string") out.push(value)
  if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value) || depth > 12) return
  seen.add(value)
  for (const key of Reflect.ownKeys(value)) {
    out.push(String(key))
    const property = Object.getOwnPropertyDescriptor(value, key)
    if (property !== undefined && "value" in property) walk(property.value, seen, out, depth + 1)
  }
}

const attempt = (f: () => unknown): string => {
  try {
    return String(f())
  } catch (error) {
    return `(${String(error)})`
  }
}

/**
 * The ways any error can be printed, for `SubjectError.printed`: its message, stack, JSON, what a walk through its properties meets, and
 * what the runtime's own inspection says, where that is given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const printedForms = (error: unknown, inspect?: (value: unknown) => string): Readonly<Record<string, string>> => {
  const properties: Array<string> = []
  walk(error, new Set(), properties, 0)
  return {
    message: attempt(() => (error as { readonly message?: unknown } | undefined)?.message),
    stack: attempt(() => (error as { readonly stack?: unknown } | undefined)?.stack),
    string: attempt(() => error),
    json: attempt(() => JSON.stringify(error)),
    properties: properties.join("\n"),
    ...(inspect === undefined ? {} : { inspect: attempt(() => inspect(error)) })
  }
}

type Maybe<A> = A | PromiseLike<A>
type Request = Operation["request"]

/**
 * The calls of a client, by the kind of operation. A kind without a function is answered by `cannot`, and so is a call that throws `Cannot`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Calls {
  readonly json?: (request: Request, call: Call) => Maybe<unknown>
  readonly stream?: (request: Request, call: Call) => Maybe<AsyncIterable<unknown>>
  readonly form?: (request: Request, call: Call) => Maybe<unknown>
  readonly multipart?: (request: Request, call: Call) => Maybe<unknown>
  readonly close?: () => Maybe<unknown>
}

/**
 * To be thrown for a call that the client has no way to express.
 *
 * @category errors
 * @since 0.1.0
 */
export class Cannot extends Error {
  override readonly name = "Cannot"
}

const stringOf = (value: unknown) => (typeof value === "string" || typeof value === "number" ? String(value) : undefined)

/**
 * The error of a call, read from an exception as most clients have it: `name`, `message`, `status`, `code`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toSubjectError = (thrown: unknown, inspect?: (value: unknown) => string): SubjectError => {
  const error = (typeof thrown === "object" && thrown !== null ? thrown : {}) as Readonly<Record<string, unknown>>
  const status = Number(error["status"] ?? error["statusCode"])
  return {
    reason: stringOf(error["name"]) ?? "Error",
    message: stringOf(error["message"]) ?? String(thrown),
    retryable: false,
    status: Number.isInteger(status) ? status : undefined,
    code: stringOf(error["code"]),
    printed: printedForms(thrown, inspect)
  }
}

/**
 * Makes a subject of a client's own calls: reads streams, and turns what they throw into outcomes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly name: string
  readonly runtime?: Runtime | undefined
  readonly platform?: string | undefined
  readonly capabilities?: ReadonlyArray<Capability> | undefined
  readonly open: (options: ClientOptions) => Maybe<Calls>
  readonly toError?: ((thrown: unknown) => SubjectError) | undefined
}): Subject => {
  const { capabilities = [], name, platform, runtime = "node", toError = toSubjectError } = options
  const call = async (opened: Promise<Calls>, { kind, request }: Operation, how: Call): Promise<Outcome> => {
    const chunks: Array<unknown> = []
    try {
      const calls = await opened
      if (calls[kind] === undefined) return { outcome: "cannot", chunks, message: `it makes no ${kind} calls` }
      if (kind !== "stream") return { outcome: "completion", chunks, completion: await calls[kind](request, how) }
      for await (const chunk of await calls[kind](request, how)) {
        chunks.push(chunk)
        await how.onChunk(chunk)
        if (chunks.length === how.take) break
      }
      // Many clients end the stream of an aborted call without an error.
      return { outcome: how.signal.aborted ? "aborted" : "chunks", chunks }
    } catch (error) {
      if (error instanceof Cannot) return { outcome: "cannot", chunks, message: error.message }
      return how.signal.aborted ? { outcome: "aborted", chunks } : { outcome: "error", chunks, error: toError(error) }
    }
  }
  return {
    name,
    runtime,
    platform,
    capabilities,
    open: (clientOptions) => {
      const opened = (async () => await options.open(clientOptions))()
      // The calls report it.
      opened.catch(() => undefined)
      return {
        call: (operation, how) => call(opened, operation, how),
        close: async () => void (await opened.then((calls) => calls.close?.()).catch(() => undefined))
      }
    }
  }
}
