/**
 * The configuration file: models with their replicas, keys, limits and timeouts, as YAML or JSON. Every problem is reported at once, with its line.
 *
 * ```yaml
 * models:
 *   alfred-4.2:
 *     name: org/alfred
 *     replicas:
 *       - baseUrl: http://10.0.0.1:8000/v1
 *     apiKey: { env: VLLM_API_KEY }
 * keys:
 *   team-a: { sha256: 9f86d0…, models: [alfred-4.2] }
 * ```
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { isNode, LineCounter, parseDocument } from "yaml"
import type { HealthOptions, ReplicaTarget } from "./Replica.ts"
import type { QueueOptions } from "./ReplicaPool.ts"
import { controlFields, type ModelPolicy } from "./RequestPolicy.ts"
import type { StageTimeouts } from "./UpstreamCall.ts"

const name = Schema.NonEmptyString
const count = Schema.Int.check(Schema.isGreaterThan(0))
const portNumber = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))

const millis = Schema.Union([
  Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  Schema.String.check(
    Schema.makeFilter((text) => Option.isSome(Duration.fromInput(text as Duration.Input)), {
      expected: 'a duration, for example "30 seconds", or a number of milliseconds'
    })
  )
]).annotate({ description: 'A duration, for example "30 seconds", or a number of milliseconds.' })

const problemOfUrl = (text: string): string | undefined => {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return "an http or https URL, for example http://127.0.0.1:8000/v1"
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return "a URL without user, query or fragment"
  if (/\/chat\/completions\/*$/.test(url.pathname)) return "the URL without /chat/completions, which the gateway adds"
  if (/^\/*$/.test(url.pathname)) return `a URL with the path of the API: vLLM's is ${url.origin}/v1`
  return undefined
}

const baseUrl = Schema.String.check(
  Schema.makeFilter((text) => problemOfUrl(text) === undefined || `Expected ${problemOfUrl(text)}`, {
    expected: "an http or https URL with the path of the API, for example http://127.0.0.1:8000/v1"
  })
)

const Secret = Schema.Union([
  Schema.Struct({ env: name.annotateKey({ description: "Environment variable with the key." }) }),
  Schema.Struct({ file: name.annotateKey({ description: "File with the key, for example a mounted secret." }) })
])

const Replica = Schema.Struct({
  baseUrl: baseUrl.annotateKey({ description: "URL of the model server, up to and with /v1." }),
  name: Schema.optionalKey(name).annotateKey({ description: "Name of the model at this replica. Defaults to that of the model." }),
  weight: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))).annotateKey({
    description: "Share of the requests in relation to the other replicas. Defaults to 1."
  }),
  maxConcurrent: Schema.optionalKey(count).annotateKey({
    description: "Maximum number of requests in flight. Further ones wait in the queue. Defaults to no limit."
  }),
  apiKey: Schema.optionalKey(Secret).annotateKey({ description: "Key of this replica. Defaults to that of the model." })
})

const Model = Schema.Struct({
  name: Schema.optionalKey(name).annotateKey({ description: "Name of the model at its servers. Defaults to the name in this file." }),
  aliases: Schema.optionalKey(Schema.Array(name)).annotateKey({ description: "Further names of the model." }),
  enabled: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Defaults to true. A disabled model does not exist for callers." }),
  replicas: Schema.NonEmptyArray(Replica).annotateKey({ description: "The servers of the model." }),
  apiKey: Schema.optionalKey(Secret).annotateKey({ description: "Key of the model servers." }),
  defaults: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)).annotateKey({
    description: "Fields of the request that apply if the caller sends none."
  }),
  forced: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)).annotateKey({
    description: "Fields of the request that replace those of the caller."
  }),
  allow: Schema.optionalKey(Schema.Array(Schema.Literals(controlFields))).annotateKey({
    description: "Fields that control the engine and that callers may send. Others of them are removed."
  }),
  media: Schema.optionalKey(Schema.Union([Schema.Literals(["any", "data"]), Schema.Array(name)])).annotateKey({
    description:
      'URLs of images, audio and video: "data" for data URLs alone, a list of hosts, or "any". The model server fetches them. Defaults to "data".'
  }),
  affinity: Schema.optionalKey(Schema.Literals(["none", "session", "prompt"])).annotateKey({
    description:
      'Requests of the same session (header X-Session-ID, or the field user), or with the same first message, prefer the same replica. Defaults to "none".'
  }),
  countUsage: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "Whether streams ask the model server for their usage, also if the caller does not. Defaults to true."
  }),
  queue: Schema.optionalKey(
    Schema.Struct({
      size: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
      timeout: Schema.optionalKey(millis)
    })
  ).annotateKey({ description: "Requests that wait for a replica: at most `size` (1000), each for at most `timeout` (30 seconds)." }),
  maxBodyBytes: Schema.optionalKey(count).annotateKey({ description: "Maximum size of a request's body. Defaults to that of the gateway." }),
  timeouts: Schema.optionalKey(
    Schema.Struct({
      connect: Schema.optionalKey(millis),
      response: Schema.optionalKey(millis),
      firstEvent: Schema.optionalKey(millis),
      idle: Schema.optionalKey(millis),
      failover: Schema.optionalKey(millis)
    })
  ).annotateKey({
    description:
      "Maximum durations: `connect` (5 seconds), `response` to its head (10 minutes), `firstEvent` of a stream (10 minutes), `idle` between events (5 minutes), `failover` from the first attempt to the last (30 seconds)."
  }),
  health: Schema.optionalKey(
    Schema.Struct({ path: Schema.optionalKey(Schema.NullOr(Schema.String)), interval: Schema.optionalKey(millis) })
  ).annotateKey({ description: "Probes of the replicas: `path` at their origin (/health, null for none), every `interval` (5 seconds)." })
})

const Key = Schema.Struct({
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "64 lower-case hexadecimal digits" })).annotateKey({
    description: "SHA-256 of the key. `paradigm key` makes one."
  }),
  models: Schema.optionalKey(Schema.Array(name)).annotateKey({ description: "Models that the key may use. Defaults to all." }),
  enabled: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Defaults to true." })
})

const Tls = Schema.Struct({
  certFile: name.annotateKey({ description: "PEM file of the certificate chain." }),
  keyFile: name.annotateKey({ description: "PEM file of the private key." })
})

/** The schema of the file. */
export const ConfigFile = Schema.Struct({
  $schema: Schema.optionalKey(Schema.String),
  listen: Schema.optionalKey(
    Schema.Struct({
      host: Schema.optionalKey(name),
      port: Schema.optionalKey(portNumber),
      tls: Schema.optionalKey(Tls),
      keepAlive: Schema.optionalKey(millis)
    })
  ).annotateKey({ description: "The public listener. Defaults to 127.0.0.1:8080. `keepAlive` (75 seconds) exceeds that of the balancer in front." }),
  operator: Schema.optionalKey(
    Schema.Union([Schema.Struct({ host: Schema.optionalKey(name), port: Schema.optionalKey(portNumber) }), Schema.Literal(false)])
  ).annotateKey({ description: "The listener for metrics, health and documentation. Defaults to 127.0.0.1:8081. false for none." }),
  cors: Schema.optionalKey(Schema.Struct({ origins: Schema.Union([Schema.Literal("*"), Schema.Array(name)]) })).annotateKey({
    description: 'Origins of the pages that may call the endpoint. Defaults to "*".'
  }),
  models: Schema.Record(name, Model).annotateKey({ description: "The models, by their names." }),
  keys: Schema.Record(name, Key).annotateKey({ description: "The keys, by the names that appear in logs and metrics." }),
  maxBodyBytes: Schema.optionalKey(count).annotateKey({ description: "Maximum size of a request's body, in bytes. Defaults to 20 MiB." }),
  maxBytesInFlight: Schema.optionalKey(count).annotateKey({
    description: "Maximum size of all request bodies in the process, in bytes. Defaults to 256 MiB."
  }),
  stream: Schema.optionalKey(
    Schema.Struct({
      commitAfter: Schema.optionalKey(millis),
      heartbeat: Schema.optionalKey(millis),
      writeStall: Schema.optionalKey(millis)
    })
  ).annotateKey({
    description:
      "Streams: `commitAfter` (10 seconds) without an event the head is sent, then a comment every `heartbeat` (15 seconds). A client that reads nothing for `writeStall` (60 seconds) is disconnected."
  }),
  shutdown: Schema.optionalKey(Schema.Struct({ preStop: Schema.optionalKey(millis), grace: Schema.optionalKey(millis) })).annotateKey({
    description:
      "On SIGTERM: `preStop` (0) in which new connections are still accepted and readiness is 503, then `grace` (30 seconds) for running requests."
  })
}).annotate({ title: "Configuration of the Paradigm gateway" })

/** The JSON Schema of the file, as text. */
export const jsonSchema = (): string => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(ConfigFile, { onExcessProperty: "error" })
  return JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", ...schema, $defs: definitions }, undefined, 2)
}

/** A model. */
export interface ModelConfig {
  readonly name: string
  readonly aliases: ReadonlyArray<string>
  readonly replicas: ReadonlyArray<ReplicaTarget>
  readonly policy: ModelPolicy
  readonly affinity: "none" | "session" | "prompt"
  readonly countUsage: boolean
  readonly queue: QueueOptions
  readonly maxBodyBytes: number
  readonly timeouts: StageTimeouts & { readonly connect: number; readonly failover: number }
  readonly health: HealthOptions
}

/** A key of a caller. */
export interface KeyHolder {
  readonly name: string
  /** SHA-256 of the key, in lower-case hexadecimal digits. */
  readonly sha256: string
  /** Names of the models that it may use; `undefined` for all. */
  readonly models: ReadonlySet<string> | undefined
}

/** Where a server listens. Port 0 takes any free port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** A validated configuration. Durations are milliseconds. */
export interface GatewayConfig {
  readonly listen: Address & { readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined; readonly keepAlive: number }
  readonly operator: Address | undefined
  readonly corsOrigins: "*" | ReadonlySet<string>
  readonly models: ReadonlyArray<ModelConfig>
  readonly keys: ReadonlyArray<KeyHolder>
  readonly maxBodyBytes: number
  readonly maxBytesInFlight: number
  readonly stream: { readonly commitAfter: number; readonly heartbeat: number; readonly writeStall: number }
  readonly shutdown: { readonly preStop: number; readonly grace: number }
}

/** The configuration cannot be used. */
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

type Path = ReadonlyArray<string | number>

// A YAML document, which JSON is too, with the lines of its nodes.
class Source {
  readonly value: unknown
  readonly problems: Array<string>
  readonly #document: ReturnType<typeof parseDocument>
  readonly #lines = new LineCounter()

  constructor(text: string) {
    this.#document = parseDocument(text, { lineCounter: this.#lines, uniqueKeys: true, prettyErrors: false })
    this.problems = this.#document.errors.map(({ message, pos: [start] }) => {
      const { col, line } = this.#lines.linePos(start)
      return `line ${line}, column ${col}: ${/keys must be unique/.test(message) ? "the name is there twice" : message}`
    })
    this.value = this.problems.length > 0 ? undefined : this.#document.toJS({ maxAliasCount: 100 })
  }

  /** A problem with its line and path. */
  at(path: Path, problem: string): string {
    let end = path.length
    let node: unknown
    for (; end >= 0 && node === undefined; end--) node = this.#document.getIn(path.slice(0, end), true)
    const start = isNode(node) ? node.range?.[0] : undefined
    const place = start === undefined ? "" : `line ${this.#lines.linePos(start).line}: `
    return `${place}${path.length === 0 ? "" : `${path.join(" → ")}: `}${problem}`
  }
}

const millisOf = (given: number | string | undefined, fallback: number): number =>
  given === undefined ? fallback : typeof given === "number" ? given : Duration.toMillis(Duration.fromInputUnsafe(given as Duration.Input))

const second = 1000
const minute = 60 * second
const mebibyte = 1024 * 1024

const readSecret = Effect.fnUntraced(function* (
  secret: typeof Secret.Type
): Effect.fn.Return<Redacted.Redacted | string, never, FileSystem.FileSystem> {
  let value: string | undefined
  let source: string
  if ("env" in secret) {
    source = `the environment variable ${secret.env}`
    value = Option.getOrUndefined(Option.map(yield* Effect.option(Config.Redacted(secret.env)), Redacted.value))
  } else {
    source = `the file ${secret.file}`
    const fileSystem = yield* FileSystem.FileSystem
    value = Option.getOrUndefined(yield* Effect.option(fileSystem.readFileString(secret.file)))?.trim()
  }
  if (value === undefined || value === "") return `${source} is not set, or empty`
  return /^[\x21-\x7e]+$/.test(value) ? Redacted.make(value) : `${source} has a character that no key has`
})

const toModel = Effect.fnUntraced(function* (
  name: string,
  model: typeof Model.Type,
  maxBodyBytes: number,
  report: (path: Path, problem: string) => void
): Effect.fn.Return<ModelConfig, never, FileSystem.FileSystem> {
  const { health, queue, timeouts } = model
  const keyOf = Effect.fnUntraced(function* (secret: typeof Secret.Type | undefined, path: Path) {
    if (secret === undefined) return undefined
    const key = yield* readSecret(secret)
    if (typeof key !== "string") return key
    report(path, key)
    return undefined
  })
  const apiKey = yield* keyOf(model.apiKey, ["models", name, "apiKey"])
  const replicas: Array<ReplicaTarget> = []
  for (const [i, replica] of model.replicas.entries()) {
    const url = new URL(`${replica.baseUrl.replace(/\/+$/, "")}/chat/completions`)
    if (replicas.some((other) => other.url.href === url.href)) report(["models", name, "replicas", i, "baseUrl"], "the replica is there twice")
    replicas.push({
      url,
      model: replica.name ?? model.name ?? name,
      apiKey: (yield* keyOf(replica.apiKey, ["models", name, "replicas", i, "apiKey"])) ?? apiKey,
      weight: replica.weight ?? 1,
      maxConcurrent: replica.maxConcurrent
    })
  }
  for (const field of ["model", "messages", "stream"]) {
    for (const kind of ["defaults", "forced"] as const) {
      if (model[kind]?.[field] !== undefined) report(["models", name, kind, field], "the field cannot be set for every request")
    }
  }
  return {
    name,
    aliases: model.aliases ?? [],
    replicas,
    policy: {
      defaults: model.defaults ?? {},
      forced: model.forced ?? {},
      allow: new Set(model.allow ?? []),
      media: model.media === undefined || typeof model.media === "string" ? (model.media ?? "data") : new Set(model.media)
    },
    affinity: model.affinity ?? "none",
    countUsage: model.countUsage ?? true,
    queue: { size: queue?.size ?? 1000, timeout: millisOf(queue?.timeout, 30 * second) },
    maxBodyBytes: model.maxBodyBytes ?? maxBodyBytes,
    timeouts: {
      connect: millisOf(timeouts?.connect, 5 * second),
      response: millisOf(timeouts?.response, 10 * minute),
      firstEvent: millisOf(timeouts?.firstEvent, 10 * minute),
      idle: millisOf(timeouts?.idle, 5 * minute),
      failover: millisOf(timeouts?.failover, 30 * second)
    },
    health: {
      path: health?.path === null ? undefined : (health?.path ?? "/health"),
      interval: millisOf(health?.interval, 5 * second)
    }
  }
})

/**
 * Parses a configuration. Reads the environment variables and files that it names. Fails with every problem at once.
 */
export const parse = Effect.fnUntraced(function* (
  text: string,
  file: string
): Effect.fn.Return<GatewayConfig, InvalidGatewayConfig, FileSystem.FileSystem> {
  const source = new Source(text)
  if (source.problems.length > 0) return yield* new InvalidGatewayConfig({ file, problems: source.problems })
  const config = yield* Effect.mapError(Effect.fromResult(decodeFile(source.value)), ({ issue }) => {
    const problems = formatIssues(issue).issues.map(({ message, path = [] }) =>
      source.at(
        path.map((part) => (typeof part === "object" ? part.key : part)).map((part) => (typeof part === "number" ? part : String(part))),
        message
      )
    )
    return new InvalidGatewayConfig({ file, problems })
  })
  const problems: Array<string> = []
  const report = (path: Path, problem: string) => void problems.push(source.at(path, problem))
  const maxBodyBytes = config.maxBodyBytes ?? 20 * mebibyte
  const models: Array<ModelConfig> = []
  const owners = new Map<string, string>(Object.keys(config.models).map((name) => [name, name]))
  for (const [name, model] of Object.entries(config.models)) {
    for (const [i, alias] of (model.aliases ?? []).entries()) {
      const owner = owners.get(alias)
      if (owner !== undefined) report(["models", name, "aliases", i], `"${alias}" names the model "${owner}" already`)
      else owners.set(alias, name)
    }
    if (model.enabled !== false) models.push(yield* toModel(name, model, maxBodyBytes, report))
  }
  if (models.length === 0) report(["models"], "at least one enabled model is needed")
  const keys: Array<KeyHolder> = []
  for (const [name, key] of Object.entries(config.keys)) {
    const other = keys.find(({ sha256 }) => sha256 === key.sha256)
    if (other !== undefined) report(["keys", name, "sha256"], `"${other.name}" has the same key`)
    for (const [i, model] of (key.models ?? []).entries()) {
      if (!owners.has(model)) report(["keys", name, "models", i], `"${model}" is not a model`)
    }
    const allowed = key.models?.flatMap((model) => owners.get(model) ?? [])
    if (key.enabled !== false) keys.push({ name, sha256: key.sha256, models: allowed && new Set(allowed) })
  }
  if (keys.length === 0) report(["keys"], "at least one enabled key is needed; `paradigm key` makes one")
  if (problems.length > 0) return yield* new InvalidGatewayConfig({ file, problems })
  const { cors, listen, operator, shutdown, stream } = config
  return {
    listen: {
      host: listen?.host ?? "127.0.0.1",
      port: listen?.port ?? 8080,
      tls: listen?.tls,
      keepAlive: millisOf(listen?.keepAlive, 75 * second)
    },
    operator: operator === false ? undefined : { host: operator?.host ?? "127.0.0.1", port: operator?.port ?? 8081 },
    corsOrigins: cors === undefined || cors.origins === "*" ? "*" : new Set(cors.origins),
    models,
    keys,
    maxBodyBytes,
    maxBytesInFlight: config.maxBytesInFlight ?? 256 * mebibyte,
    stream: {
      commitAfter: millisOf(stream?.commitAfter, 10 * second),
      heartbeat: millisOf(stream?.heartbeat, 15 * second),
      writeStall: millisOf(stream?.writeStall, minute)
    },
    shutdown: { preStop: millisOf(shutdown?.preStop, 0), grace: millisOf(shutdown?.grace, 30 * second) }
  }
})

/** Loads the configuration of a file. */
export const load = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<GatewayConfig, InvalidGatewayConfig, FileSystem.FileSystem> {
  const fileSystem = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(fileSystem.readFileString(file), (error) => {
    const problem = error.reason._tag === "NotFound" ? "There is no such file" : `It cannot be read (${error.reason._tag})`
    return new InvalidGatewayConfig({ file, problems: [problem] })
  })
  return yield* parse(text, file)
})
