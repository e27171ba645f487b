/**
 * What the gateway serves, as its configuration file says: the models with their upstreams, and who may use them.
 *
 * ```json
 * {
 *   "models": { "alfred-4.2": { "baseUrl": "http://127.0.0.1:8000/v1", "model": "alfred", "apiKeyVariable": "VLLM_API_KEY" } },
 *   "keys": { "team-a": { "sha256": "9f86d0…", "models": ["alfred-4.2"] } }
 * }
 * ```
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

const HttpUrl = Schema.String.check(
  Schema.makeFilter(
    (text) => {
      const url = URL.parse(text)
      return (
        url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" && url.search === "" && url.hash === ""
      )
    },
    { expected: "an http or https URL without user, query or fragment, as http://127.0.0.1:8000/v1" }
  )
)

const Upstream = Schema.Struct({
  baseUrl: HttpUrl.annotateKey({ description: "Where the model server is, up to and with /v1" }),
  model: Schema.optionalKey(Schema.NonEmptyString).annotateKey({ description: "The model's name there, where it is another" }),
  apiKeyVariable: Schema.optionalKey(Schema.NonEmptyString).annotateKey({
    description: "The environment variable that holds the model server's key"
  })
})

const Sha256 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "64 lower-case hexadecimal digits" }))

const Key = Schema.Struct({
  sha256: Sha256.annotateKey({ description: "The SHA-256 of the key" }),
  models: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)).annotateKey({ description: "The models it may use; all, where absent" })
})

const ConfigFile = Schema.Struct({
  $schema: Schema.optionalKey(Schema.String),
  models: Schema.Record(Schema.NonEmptyString, Upstream),
  keys: Schema.Record(Schema.NonEmptyString, Key),
  maxBodyBytes: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))).annotateKey({
    description: "The largest request body, in bytes; 64 MiB where absent"
  })
})

/** A model server. */
export interface UpstreamTarget {
  /** Ends in `/chat/completions`. */
  readonly url: URL
  /** The model's name there. */
  readonly model: string
  readonly apiKey: Redacted.Redacted | undefined
}

/** Somebody who may use the gateway. */
export interface KeyHolder {
  readonly name: string
  /** The SHA-256 of the key, in lower-case hexadecimal digits. */
  readonly sha256: string
  /** The models it may use; `undefined` for all. */
  readonly models: ReadonlySet<string> | undefined
}

/** A validated configuration. */
export interface GatewayConfig {
  readonly models: ReadonlyMap<string, UpstreamTarget>
  readonly keys: ReadonlyArray<KeyHolder>
  readonly maxBodyBytes: number
}

/** The configuration cannot be used: what is wrong, where, and what to do. */
export class InvalidGatewayConfig extends Data.TaggedError("InvalidGatewayConfig")<{
  readonly file: string
  readonly problems: ReadonlyArray<string>
}> {
  override get message(): string {
    return `The gateway's configuration ${this.file} cannot be used:\n${this.problems.map((problem) => `  ${problem}`).join("\n")}`
  }
}

const decodeFile = Schema.decodeUnknownResult(ConfigFile, { errors: "all", onExcessProperty: "error" })
const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const problemsOf = (error: Schema.SchemaError) =>
  formatIssues(error.issue).issues.map(({ message, path }) => {
    const at = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(" → ")
    return at === "" ? message : `${at}: ${message}`
  })

/**
 * The configuration that a JSON text holds; the variables that it names are read from the environment. Fails with every problem at once.
 */
export const parse = Effect.fnUntraced(function* (text: string, file: string): Effect.fn.Return<GatewayConfig, InvalidGatewayConfig> {
  const json = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (error) => new InvalidGatewayConfig({ file, problems: [`It is not JSON: ${error instanceof Error ? error.message : ""}`] })
  })
  const config = yield* Effect.mapError(
    Effect.fromResult(decodeFile(json)),
    (error) => new InvalidGatewayConfig({ file, problems: problemsOf(error) })
  )
  const problems: Array<string> = []
  if (Object.keys(config.models).length === 0) problems.push("models: at least one is needed")
  if (Object.keys(config.keys).length === 0) problems.push("keys: at least one is needed; `paradigm key` makes one")
  const models = new Map<string, UpstreamTarget>()
  for (const [name, upstream] of Object.entries(config.models)) {
    const variable = upstream.apiKeyVariable
    const apiKey = variable === undefined ? undefined : Option.getOrUndefined(yield* Effect.option(Config.Redacted(variable)))
    if (variable !== undefined && (apiKey === undefined || !/^[\x21-\x7e]+$/.test(Redacted.value(apiKey)))) {
      problems.push(`models → ${name} → apiKeyVariable: the environment variable ${variable} is not set, or holds what no key can`)
    }
    models.set(name, {
      url: new URL(`${upstream.baseUrl.replace(/\/+$/, "")}/chat/completions`),
      model: upstream.model ?? name,
      apiKey
    })
  }
  const keys = Object.entries(config.keys).map(([name, key], index, all) => {
    const other = all.slice(0, index).find(([, { sha256 }]) => sha256 === key.sha256)
    if (other !== undefined) problems.push(`keys → ${name} → sha256: "${other[0]}" has the same key`)
    for (const model of key.models ?? [])
      if (!models.has(model)) problems.push(`keys → ${name} → models: "${model}" is not among the models`)
    return { name, sha256: key.sha256, models: key.models === undefined ? undefined : new Set(key.models) }
  })
  if (problems.length > 0) return yield* new InvalidGatewayConfig({ file, problems })
  return { models, keys, maxBodyBytes: config.maxBodyBytes ?? 64 * 1024 * 1024 }
})

/** The configuration of a file. */
export const load = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<GatewayConfig, InvalidGatewayConfig, FileSystem.FileSystem> {
  const fileSystem = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(
    fileSystem.readFileString(file),
    (error) =>
      new InvalidGatewayConfig({
        file,
        problems: [error.reason._tag === "NotFound" ? "There is no such file" : `It cannot be read (${error.reason._tag})`]
      })
  )
  return yield* parse(text, file)
})
