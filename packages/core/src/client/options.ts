// Every option of the client and of a call, resolved in one place. A wrong value and an unknown name fail at once with the reason
// `InvalidConfiguration`, which never quotes a value: the platforms' own errors quote the key.
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { Secrets } from "../errors/redaction.ts"
import { InvalidConfiguration, isParadigmError, ParadigmError, type ParadigmErrorReason } from "../ParadigmError.ts"
import * as RequestEncoding from "../RequestEncoding.ts"
import type { RetryPolicy } from "../RetryPolicy.ts"
import type { Environment } from "../Environment.ts"
import type { Telemetry } from "../Telemetry.ts"
import { type Timeouts, toMillis } from "../Timeouts.ts"
import type { RetrySettings } from "./Retries.ts"
import { noTelemetry } from "./noTelemetry.ts"
import { version } from "./version.ts"

/**
 * An API key, or a function that returns one.
 *
 * @category options
 * @since 0.1.0
 */
export type ApiKey = string | Redacted.Redacted | (() => string | Redacted.Redacted | Promise<string | Redacted.Redacted>)

/**
 * Headers in any form that `fetch` accepts: a `Headers`, entries, or an object.
 *
 * @category options
 * @since 0.1.0
 */
export type HeadersInput = Iterable<readonly [name: string, value: string]> | { readonly [name: string]: string | undefined }

/**
 * One finished attempt of a call: a request whose response began, or that failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** Counts the attempts of a call, from 1. */
  readonly number: number
  /** The tag of the error's reason. `undefined` if the response was accepted. */
  readonly reason: ParadigmErrorReason["_tag"] | undefined
  /** The HTTP status. `undefined` without a response. */
  readonly status: number | undefined
  /** The server's id of the request. */
  readonly requestId: string | undefined
  readonly durationMillis: number
  /** The delay before the next attempt. `undefined` if there is none. */
  readonly delayMillis: number | undefined
}

/**
 * Per-request options. Override the client options: headers, timeouts and the retry policy member by member.
 *
 * @category options
 * @since 0.1.0
 */
export interface CallOptions {
  /**
   * The API key, sent as a bearer token. It appears in no error, log, span or printed object. A function is called for every attempt, and once
   * more after a 401: if it then returns another key, the request is sent once more.
   */
  readonly apiKey?: ApiKey | undefined
  /** Headers to send. A header that the client or the connection sets is refused. */
  readonly headers?: HeadersInput | undefined
  /** The retry policy. `false` makes one attempt. */
  readonly retry?: RetryPolicy | false | undefined
  /** Time limits for the stages of a call. */
  readonly timeouts?: Timeouts | undefined
  /** The encoder of requests: `RequestEncoding.json`, `urlEncoded` or `multipart`. Defaults to JSON. */
  readonly encode?: RequestEncoding.Encoder | undefined
  /** Reports calls to OpenTelemetry. Defaults to `Telemetry.make()` in Node, in Deno and on an `HttpClient`, and otherwise to no report. */
  readonly telemetry?: Telemetry | undefined
  /** Whether a stream without any finish reason counts as complete if it ends with `[DONE]`. Defaults to `false`. */
  readonly acceptUnfinished?: boolean | undefined
  /** Top-level request fields that the types do not have. They override the fields of the request. */
  readonly extraBody?: { readonly [field: string]: unknown } | undefined
  /**
   * Called after each attempt: when its response begins, or when it fails. A stream that fails later reports its attempt a second time. An
   * exception of the function is ignored. `ParadigmClient.logTo(console)` is a function that logs.
   */
  readonly onAttempt?: ((attempt: Attempt) => void) | undefined
}

/**
 * Client options with an optional key, which defaults to the environment's.
 *
 * @category options
 * @since 0.1.0
 */
export interface ConnectOptions extends CallOptions {
  /**
   * The address of the endpoint. An origin (`https://paradigm.example.com`) gets the path `/api/v3/chat/completions`. A URL with a path
   * (`…/api/v2`, `…/v1`, `…/openai/deployments/d?api-version=v`) gets `/chat/completions` after its path, unless it ends with it. A query is
   * kept. Defaults to `https://paradigm.lighton.ai`.
   */
  readonly baseUrl?: string | URL | undefined
}

/**
 * Client options.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends ConnectOptions {
  readonly apiKey: ApiKey
}

/**
 * Defaults and further options of a runtime package.
 *
 * @category options
 * @since 0.1.0
 */
export interface Runtime {
  /** The product for the header `user-agent`, for example `node/24.11.1`. `undefined` if the runtime does not allow setting the header. */
  readonly product?: string | undefined
  /** The names of further client options, which the package itself reads. */
  readonly options?: ReadonlyArray<string> | undefined
  /** The default of the option `telemetry`. */
  readonly telemetry?: Telemetry | undefined
  /** Environment variables, for options that are not given. */
  readonly environment?: Environment | undefined
  /** Converts a base URL to an absolute one, or returns `null`. Defaults to `URL.parse`. */
  readonly toUrl?: ((baseUrl: string | URL) => URL | null) | undefined
  /** Whether requests go to the base URL itself, without another path. Defaults to `false`. */
  readonly isUrlExact?: boolean | undefined
  /** Whether the client works without a key. It then sends no credential. Defaults to `false`. */
  readonly isKeyOptional?: boolean | undefined
}

/** Resolved timeouts in milliseconds. */
export type Limits = { readonly [Stage in Exclude<keyof Timeouts, "keepAliveCounts">]-?: number } & { readonly keepAliveCounts: boolean }

/** Resolved options of one call. */
export interface Settings {
  /** Gets the key for an attempt. An empty key is not sent. */
  readonly apiKey: Effect.Effect<Redacted.Redacted, ParadigmError>
  /** The URL that requests are sent to. */
  readonly baseUrl: URL
  /** By lower-case name, without the key. */
  readonly headers: Readonly<Record<string, string>>
  readonly retry: RetrySettings
  readonly timeouts: Limits
  readonly encode: RequestEncoding.Encoder
  readonly telemetry: Telemetry
  readonly acceptUnfinished: boolean
  readonly extraBody: { readonly [field: string]: unknown }
  readonly onAttempt: ((attempt: Attempt) => void) | undefined
  readonly secrets: Secrets
}

export const invalid = (option: string, detail: string, cause?: unknown) =>
  new ParadigmError({ reason: new InvalidConfiguration({ option, detail, ...(cause === undefined ? {} : { cause }) }) })

const refuse = (option: string, detail: string): never => {
  throw invalid(option, detail)
}

// Reads the value of an option. `base` is the value that it overrides.
type Reader<A> = (value: unknown, option: string, base: A) => A

// Names of options in other clients.
const aliases: Readonly<Record<string, string>> = {
  timeout: "timeouts.total",
  maxretries: "retry.maxAttempts",
  retries: "retry.maxAttempts",
  dangerouslyallowbrowser: "allowKeyInBrowser",
  token: "apiKey",
  endpoint: "baseUrl",
  host: "baseUrl"
}

const normalized = (name: string) => name.toLowerCase().replaceAll(/[_-]/g, "")

// Whether the edit distance of two texts is at most `edits`.
const isNear = (a: string, b: string, edits: number): boolean => {
  if (a === b || edits === 0) return a === b
  let i = 0
  while (a[i] === b[i]) i++
  return [a.slice(i), a.slice(i + 1)].some((c) => [b.slice(i), b.slice(i + 1)].some((d) => isNear(c, d, edits - 1)))
}

// The known option of a group with the nearest name.
const suggestion = (path: string, name: string, known: ReadonlyArray<string>): string | undefined => {
  const given = normalized(name)
  const alias = Object.hasOwn(aliases, given) ? (aliases[given] ?? "").replace(path, "") : ""
  if (known.includes(alias.replace(/\..*/, ""))) return alias
  for (const edits of [0, 1, 2]) {
    const near = known.find((other) => isNear(given, normalized(other), edits))
    if (near !== undefined) return near
  }
  return known.find((other) => given.includes(normalized(other)) || normalized(other).includes(given))
}

const listOf = (known: ReadonlyArray<string>) => `the options are ${known.join(", ")}`

const unknownOption = (path: string, name: string, known: ReadonlyArray<string>): never => {
  const given = name.slice(0, 80)
  const option = path + given
  const meant = suggestion(path, given, known)
  const hint = meant === undefined ? listOf(known) : `did you mean ${path}${meant}?`
  return refuse(option, `unknown option ${option}: ${hint}`)
}

const group =
  <A extends object>(readers: { readonly [Name in keyof A]: Reader<A[Name]> }): Reader<A> =>
  (value, path, base) => {
    const known = readers as unknown as Readonly<Record<string, Reader<unknown>>>
    const prefix = path === "" ? "" : `${path}.`
    if (!Predicate.isObject(value)) return refuse(path || "options", `must be an object: ${listOf(Object.keys(known))}`)
    const result: Record<string, unknown> = { ...(base as object) }
    for (const [name, given] of Object.entries(value)) {
      if (given === undefined) continue
      const read = Object.hasOwn(known, name) ? known[name] : undefined
      if (read === undefined) return unknownOption(prefix, name, Object.keys(known))
      if (given === null) return refuse(prefix + name, "must not be null")
      result[name] = read(given, prefix + name, result[name])
    }
    return result as A
  }

const flag: Reader<boolean> = (value, option) => (typeof value === "boolean" ? value : refuse(option, "must be true or false"))

const callback: Reader<unknown> = (value, option) => (typeof value === "function" ? value : refuse(option, "must be a function"))

const duration: Reader<number> = (value, option) => toMillis(value) ?? refuse(option, 'is not a duration such as 500 (ms) or "30s"')

const timeouts = /* @__PURE__ */ group<Limits>({
  connect: duration,
  headers: duration,
  firstChunk: duration,
  idle: duration,
  total: duration,
  keepAliveCounts: flag
})

const policy = /* @__PURE__ */ group<RetrySettings>({
  maxAttempts: (value, option) =>
    typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : refuse(option, "must be an integer of at least 1"),
  baseDelay: duration,
  maxDelay: duration,
  maxRetryAfter: duration
})

const path = "/chat/completions"

// Names of headers and query parameters whose values no error quotes.
const secretName = /key|token|secret|auth|cookie|sig/i

const baseUrl =
  (secrets: Secrets, { isUrlExact, toUrl = (url) => URL.parse(url) }: Runtime): Reader<URL> =>
  (value, option) => {
    const url = typeof value === "string" || value instanceof URL ? toUrl(value) : null
    if (url === null || !/^https?:$/.test(url.protocol)) return refuse(option, "must be an absolute http:// or https:// URL")
    if (url.username + url.password !== "") return refuse(option, "must have no user or password")
    for (const [name, text] of url.searchParams) if (secretName.test(name)) secrets.add(text)
    url.hash = ""
    if (isUrlExact === true) return url
    const base = url.pathname.replace(/\/+$/, "")
    url.pathname = base.endsWith(path) ? base : `${base || "/api/v3"}${path}`
    return url
  }

const checkedKey = (value: unknown, option: string, secrets: Secrets): Redacted.Redacted => {
  const key: unknown = Redacted.isRedacted(value) ? Redacted.value(value) : value
  if (typeof key !== "string") return refuse(option, "must be a string or a function")
  if (key === "") return refuse(option, "is empty")
  if (!/^[\x21-\x7e]+$/.test(key)) return refuse(option, "has a space, line end or the like")
  secrets.add(key)
  return Redacted.make(key)
}

const apiKey =
  (secrets: Secrets): Reader<Settings["apiKey"]> =>
  (value, option) => {
    if (typeof value !== "function") return Effect.succeed(checkedKey(value, option, secrets))
    return Effect.tryPromise({
      try: async () => checkedKey(await value(), option, secrets),
      catch: (cause) => (isParadigmError(cause) ? cause : invalid(option, "is a function that failed", secrets.cause(cause)))
    })
  }

const reserved =
  /^(accept|authorization|connection|content-(length|type)|expect|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade)$/

const headers =
  (secrets: Secrets): Reader<Settings["headers"]> =>
  (value, option, base) => {
    if (!Predicate.isObjectOrArray(value)) return refuse(option, "must be an object")
    const result: Record<string, string> = { ...base }
    const entries: Iterable<unknown> = Symbol.iterator in value ? (value as unknown as Iterable<unknown>) : Object.entries(value)
    for (const entry of entries) {
      const [given, text]: ReadonlyArray<unknown> = Array.isArray(entry) ? entry : []
      const name = typeof given === "string" ? given.toLowerCase() : ""
      if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) return refuse(option, "is misnamed")
      if (text === undefined) continue
      const member = `${option}["${name}"]`
      if (typeof text !== "string" || /[^\t\x20-\x7e]/.test(text)) return refuse(member, "is not printable ASCII")
      if (reserved.test(name)) return refuse(member, `is set by the client${name === "authorization" ? ", from apiKey" : ""}`)
      if (secretName.test(name)) secrets.add(text)
      result[name] = text
    }
    return result
  }

type CallSettings = Omit<Settings, "baseUrl" | "secrets">

// Readers of the options that a call accepts, too.
const callReaders = (secrets: Secrets): { readonly [Name in keyof CallSettings]: Reader<CallSettings[Name]> } => ({
  apiKey: apiKey(secrets),
  headers: headers(secrets),
  retry: (value, option, base) => (value === false ? { ...base, maxAttempts: 1 } : policy(value, option, base)),
  timeouts,
  encode: callback as Reader<Settings["encode"]>,
  telemetry: (value, option) =>
    Predicate.hasProperty(value, "observe") ? (value as unknown as Telemetry) : refuse(option, "must be a value of Telemetry.make"),
  acceptUnfinished: flag,
  extraBody: (value, option, base) => (Predicate.isObject(value) ? { ...base, ...value } : refuse(option, "must be an object")),
  onAttempt: callback as Reader<Settings["onAttempt"]>
})

const attempt = (resolve: () => Settings): Result.Result<Settings, ParadigmError> => {
  try {
    return Result.succeed(resolve())
  } catch (error) {
    // A proxy or an accessor of the caller may throw anything.
    return Result.fail(isParadigmError(error) ? error : invalid("options", "cannot be read"))
  }
}

const missingKey = ({ environment }: Runtime) => invalid(...(environment?.missingKey ?? (["apiKey", "is missing"] as const)))

/** Resolves client options. Fails with `InvalidConfiguration` when an option is missing, wrong or unknown. */
export const resolveOptions = (options: unknown, runtime: Runtime = {}): Result.Result<Settings, ParadigmError> =>
  attempt(() => {
    const secrets = new Secrets()
    const readers = { ...callReaders(secrets), baseUrl: baseUrl(secrets, runtime) }
    // The environment counts for an option that is not given.
    const inherited = <Name extends "apiKey" | "baseUrl">(name: Name, base: Settings[Name]) => {
      const isGiven = Predicate.isObject(options) && options[name] !== undefined
      const found = isGiven ? undefined : runtime.environment?.find(name)
      return found === undefined ? base : (readers[name] as unknown as Reader<Settings[Name]>)(found[1], found[0], base)
    }
    const noKey: Settings["apiKey"] = Effect.succeed(Redacted.make(""))
    const defaults: CallSettings & { readonly baseUrl: URL } = {
      apiKey: inherited("apiKey", noKey),
      baseUrl: inherited("baseUrl", new URL(`https://paradigm.lighton.ai/api/v3${path}`)),
      headers: runtime.product === undefined ? {} : { "user-agent": `paradigm-effect/${version} ${runtime.product}` },
      retry: { maxAttempts: 3, baseDelay: 500, maxDelay: 8000, maxRetryAfter: 60_000 },
      timeouts: { connect: 10_000, headers: 600_000, firstChunk: 600_000, idle: 120_000, total: Infinity, keepAliveCounts: false },
      encode: RequestEncoding.json,
      telemetry: runtime.telemetry ?? noTelemetry,
      acceptUnfinished: false,
      extraBody: {},
      onAttempt: undefined
    }
    const others = Object.fromEntries((runtime.options ?? []).map((name): [string, Reader<unknown>] => [name, identity]))
    const settings = group<typeof defaults>({ ...others, ...readers })(options, "", defaults)
    if (settings.apiKey === noKey && runtime.isKeyOptional !== true) throw missingKey(runtime)
    return { ...settings, secrets }
  })

/** Checks the options of a call. Throws `InvalidConfiguration`. */
export const checkCallOptions = (options: unknown): void =>
  void group<Record<string, unknown>>(callReaders(new Secrets()) as unknown as Readonly<Record<string, Reader<unknown>>>)(options, "", {
    retry: {},
    timeouts: {}
  })

/** Resolves the options of one call. They override the client's. */
export const resolveCall = (settings: Settings, options: unknown): Result.Result<Settings, ParadigmError> =>
  options === undefined
    ? Result.succeed(settings)
    : attempt(() => {
        const secrets = new Secrets(settings.secrets)
        const call = group<CallSettings>(callReaders(secrets))(options, "", settings)
        return { ...settings, ...call, secrets }
      })
