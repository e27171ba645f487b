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
import { ConfigFile, type Model, type Secret } from "./ConfigFile.ts"
import type { HealthOptions, ReplicaTarget } from "./Replica.ts"
import type { QueueOptions } from "./ReplicaPool.ts"
import type { ModelPolicy } from "./RequestPolicy.ts"
import type { StageTimeouts } from "./UpstreamCall.ts"

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

/** How telemetry is sent over OTLP. */
export interface TelemetryConfig {
  /** URL of the collector; `undefined` if the environment has one for each signal. */
  readonly endpoint: string | undefined
  readonly protocol: "http/protobuf" | "http/json"
}

/** A validated configuration. Durations are milliseconds. */
export interface GatewayConfig {
  readonly listen: Address & {
    readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
    readonly keepAlive: number
  }
  readonly operator: Address | undefined
  readonly corsOrigins: "*" | ReadonlySet<string>
  readonly models: ReadonlyArray<ModelConfig>
  readonly keys: ReadonlyArray<KeyHolder>
  readonly maxBodyBytes: number
  readonly maxBytesInFlight: number
  /** Where telemetry is sent; `undefined` for nowhere. */
  readonly telemetry: TelemetryConfig | undefined
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
    if (replicas.some((other) => other.url.href === url.href))
      report(["models", name, "replicas", i, "baseUrl"], "the replica is there twice")
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

const readOtlp = (name: string) => Effect.map(Effect.option(Config.String(`OTEL_EXPORTER_OTLP_${name}`)), Option.getOrUndefined)

// OpenTelemetry's variables win over the file.
const readTelemetry = Effect.fnUntraced(function* (file: typeof ConfigFile.Type.telemetry): Effect.fn.Return<TelemetryConfig | undefined> {
  const endpoints = [
    yield* readOtlp("ENDPOINT"),
    yield* readOtlp("TRACES_ENDPOINT"),
    yield* readOtlp("METRICS_ENDPOINT"),
    yield* readOtlp("LOGS_ENDPOINT"),
    file?.endpoint
  ]
  if (endpoints.every((endpoint) => endpoint === undefined || endpoint === "")) return undefined
  const protocol = (yield* readOtlp("PROTOCOL")) ?? file?.protocol
  return { endpoint: file?.endpoint, protocol: protocol === "http/json" ? "http/json" : "http/protobuf" }
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
    telemetry: yield* readTelemetry(config.telemetry),
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
