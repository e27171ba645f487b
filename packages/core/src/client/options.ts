// Where requests go and what they carry, from options that may be wrong. No error quotes the key: the platforms' own errors for a header
// that cannot be sent quote it whole.
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { InvalidConfiguration, ParadigmError } from "../ParadigmError.ts"
import * as Redaction from "../errors/redaction.ts"
import type { CallOptions, Options } from "../ParadigmClient.ts"
import * as RequestEncoding from "../RequestEncoding.ts"
import type { RetryPolicy } from "../RetryPolicy.ts"
import type { Telemetry } from "../Telemetry.ts"
import * as Timeouts from "../Timeouts.ts"
import { noTelemetry } from "./noTelemetry.ts"
import type { RetrySettings } from "./Retries.ts"

export const invalid = (option: string, detail: string) => new ParadigmError({ reason: new InvalidConfiguration({ option, detail }) })

const readKey = (apiKey: string | Redacted.Redacted): Result.Result<Redacted.Redacted, ParadigmError> => {
  const key = Redacted.isRedacted(apiKey) ? Redacted.value(apiKey) : apiKey
  if (typeof key !== "string" || key === "") return Result.fail(invalid("apiKey", "is missing"))
  if (!/^[\x21-\x7e]+$/.test(key)) {
    return Result.fail(invalid("apiKey", "holds a space, a line end or another character that a bearer token cannot have"))
  }
  return Result.succeed(Redacted.make(key))
}

const readBaseUrl = (baseUrl: string | URL): Result.Result<URL, ParadigmError> => {
  const url = URL.parse(baseUrl)
  if (url === null) return Result.fail(invalid("baseUrl", "is not a URL; it looks like https://paradigm.example.com"))
  if (url.protocol !== "http:" && url.protocol !== "https:") return Result.fail(invalid("baseUrl", "must begin with http:// or https://"))
  if (url.username !== "" || url.password !== "") return Result.fail(invalid("baseUrl", "must not hold a user name or password"))
  const path = url.pathname.replace(/\/+$/, "")
  url.pathname = `${/\/v\d+$/.test(path) ? path : `${path}/api/v3`}/chat/completions`
  url.hash = ""
  return Result.succeed(url)
}

/** Headers that HTTP allows, by lower-case name, or the option that holds one it does not. */
export const readHeaders = (
  headers: Readonly<Record<string, string>> | undefined
): Result.Result<Readonly<Record<string, string>>, ParadigmError> => {
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return Result.fail(invalid("headers", "holds a name that HTTP does not allow"))
    if (!/^[\t\x20-\x7e]*$/.test(value)) return Result.fail(invalid(`headers["${name}"]`, "holds a character that HTTP does not allow"))
  }
  return Result.succeed(Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value])))
}

/** An endpoint that can be asked. */
export interface Endpoint {
  readonly url: URL
  /** What every request carries, the key included. */
  readonly headers: Readonly<Record<string, string>>
  /** An error without the key. */
  readonly redact: (error: ParadigmError) => ParadigmError
}

export const make = (options: {
  readonly apiKey: string | Redacted.Redacted
  readonly baseUrl?: string | URL | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}): Result.Result<Endpoint, ParadigmError> =>
  Result.gen(function* () {
    const apiKey = yield* readKey(options.apiKey)
    const url = yield* readBaseUrl(options.baseUrl ?? "https://paradigm.lighton.ai")
    const headers = yield* readHeaders(options.headers)
    const authorization = `Bearer ${Redacted.value(apiKey)}`
    return { url, headers: { ...headers, authorization }, redact: Redaction.make(apiKey) }
  })

export interface CallSettings {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly redact: (error: ParadigmError) => ParadigmError
  readonly encode: RequestEncoding.Encoder
  readonly extraBody: Readonly<Record<string, unknown>> | undefined
  readonly limits: Timeouts.Limits
  readonly retry: RetrySettings
  readonly telemetry: Telemetry
}

const millis = (input: Duration.Input | undefined, otherwise: number) =>
  input === undefined ? otherwise : Duration.toMillis(Duration.fromInputUnsafe(input))

const retrySettings = (policy: RetryPolicy | false | undefined): RetrySettings => {
  const { baseDelay, maxAttempts, maxDelay, maxRetryAfter } = policy === false ? ({ maxAttempts: 1 } as RetryPolicy) : (policy ?? {})
  return {
    maxAttempts: maxAttempts ?? 3,
    baseDelay: millis(baseDelay, 500),
    maxDelay: millis(maxDelay, 8000),
    maxRetryAfter: millis(maxRetryAfter, 60_000)
  }
}

export interface Settings {
  readonly options: Options
  readonly endpoint: Endpoint
}

export const resolve = (options: Options): Result.Result<Settings, ParadigmError> =>
  Result.map(make(options), (endpoint) => ({ options, endpoint }))

export const resolveCall = ({ endpoint, options }: Settings, call: CallOptions = {}): Result.Result<CallSettings, ParadigmError> =>
  Result.map(readHeaders(call.headers), (headers) => ({
    url: endpoint.url,
    headers: { ...endpoint.headers, ...headers },
    redact: endpoint.redact,
    encode: call.encode ?? options.encode ?? RequestEncoding.json,
    extraBody: undefined,
    limits: Timeouts.limits(options.timeouts, call.timeouts),
    retry: retrySettings(call.retry ?? options.retry),
    telemetry: options.telemetry ?? noTelemetry
  }))
