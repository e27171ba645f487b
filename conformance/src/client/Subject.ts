/**
 * What is tested: a client, reduced to what the suite asks of it.
 *
 * @since 0.1.0
 */
import type { Capability, Client, Operation, Reason, Runtime } from "../case/Case.ts"

/**
 * What one call came to. `chunks` holds what was delivered, also before an error or an abort; `completion` is set for `"completion"` and
 * `error` for `"error"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outcome {
  readonly outcome: "chunks" | "completion" | "error" | "aborted"
  readonly chunks: ReadonlyArray<unknown>
  readonly completion?: unknown
  readonly error?: SubjectError | undefined
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
export interface ClientOptions extends Pick<Client, "apiKeys" | "retry" | "timeouts"> {
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
  /** To be called with each chunk as it is delivered, and awaited before the next one is asked for. */
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
 * A client under test. `capabilities` are what it can do beyond JSON and streams.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly name: string
  readonly runtime: Runtime
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
