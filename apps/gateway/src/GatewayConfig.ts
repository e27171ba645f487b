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
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { weaknessOf } from "./control/KeyText.ts"
import { ConfigFile, type Model, type Secret } from "./ConfigFile.ts"
import { ConfigSource, type Path } from "./ConfigSource.ts"
import { readTelemetry, type TelemetryConfig } from "./TelemetryConfig.ts"
import { LimitIndex, type LimitRule, rulesOf } from "./limits/LimitRule.ts"
import { Calendar } from "./limits/Period.ts"
import { carryLevels, type CarryOn } from "./Continuation.ts"
import type { HealthOptions, ReplicaTarget } from "./Replica.ts"
import type { QueueOptions } from "./ReplicaPool.ts"
import type { ModelPolicy } from "./RequestPolicy.ts"
import type { StageTimeouts } from "./UpstreamCall.ts"
import type { UsageConfig } from "./usage/UsageRecorder.ts"

/** A model. */
export interface ModelConfig {
  /** Stays when the name changes. The name itself for models of the file. */
  readonly id: string
  readonly name: string
  readonly aliases: ReadonlyArray<string>
  readonly replicas: ReadonlyArray<ReplicaTarget>
  readonly policy: ModelPolicy
  readonly affinity: "none" | "session" | "prompt"
  readonly countUsage: boolean
  /** `undefined`: a stream whose replica fails ends with an error. */
  readonly carryOn: CarryOn | undefined
  readonly queue: QueueOptions
  readonly maxBodyBytes: number
  readonly timeouts: StageTimeouts & { readonly connect: number; readonly failover: number }
  readonly health: HealthOptions
}

/** A key of a caller. */
export interface KeyHolder {
  /** Stays when the name or the secret changes. The name itself for keys of the file. */
  readonly id: string
  /** Milliseconds since 1970 from which the key is not valid any more; `undefined` for no end. */
  readonly validUntil: number | undefined
  readonly name: string
  /** SHA-256 of the key, in lower-case hexadecimal digits. */
  readonly sha256: string
  /** Ids of the models that it may use; `undefined` for all. */
  readonly models: ReadonlySet<string> | undefined
  readonly team: string | undefined
  /** Whether the holder names its end users in a header. */
  readonly endUserHeader: boolean
}

/** Redis, for the limits of several gateways. */
export interface RedisConfig {
  readonly url: Redacted.Redacted
  readonly timeout: number
  readonly whenAway: "open" | "closed"
  readonly prefix: string
}

/** Where a server listens. Port 0 takes any free port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** A validated configuration. Durations are milliseconds. */
export interface GatewayConfig {
  readonly listen: Address & {
    readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
    readonly keepAlive: number
  }
  readonly operator: Address | undefined
  /** The API of administrators; `undefined` for none. */
  readonly admin: { readonly secret: Redacted.Redacted; readonly hosts: ReadonlySet<string> } | undefined
  readonly corsOrigins: "*" | ReadonlySet<string>
  readonly models: ReadonlyArray<ModelConfig>
  readonly keys: ReadonlyArray<KeyHolder>
  readonly limits: LimitIndex
  /** The days and months of the installation. */
  readonly calendar: Calendar
  readonly redis: RedisConfig | undefined
  readonly usage: UsageConfig | undefined
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

const millisOf = (given: number | string | undefined, fallback: number): number =>
  given === undefined ? fallback : typeof given === "number" ? given : Duration.toMillis(Duration.fromInputUnsafe(given as Duration.Input))

const second = 1000
const minute = 60 * second
const mebibyte = 1024 * 1024

/** Reads a secret. Returns a text that says what is wrong if it cannot. */
export const readSecret = Effect.fnUntraced(function* (
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

/** The settings of a model, complete with defaults. Reports what is wrong with its path. */
export const toModel = Effect.fnUntraced(function* (
  name: string,
  model: Omit<typeof Model.Type, "replicas"> & { readonly replicas: ReadonlyArray<(typeof Model.Type)["replicas"][number]> },
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
    id: name,
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
    carryOn:
      model.carryOn === undefined || model.carryOn === "off"
        ? undefined
        : {
            levels: carryLevels.filter((level) => model.carryOn?.includes(level)),
            reasoningEnd: model.reasoningEnd,
            migrationLimit: model.migrationLimit ?? 2,
            replayMax: model.replayMax ?? 256,
            carryParsers: model.carryParsers ?? 2
          },
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

const toRedis = Effect.fnUntraced(function* (
  { prefix, timeout, url, whenAway }: NonNullable<(typeof ConfigFile.Type)["redis"]>,
  report: (path: Path, problem: string) => void
): Effect.fn.Return<RedisConfig, never, FileSystem.FileSystem> {
  const found = typeof url === "string" ? Redacted.make(url) : yield* readSecret(url)
  const isUrl = typeof found !== "string" && /^rediss?:\/\/[^\s]+$/.test(Redacted.value(found)) && URL.canParse(Redacted.value(found))
  if (!isUrl) report(["redis", "url"], typeof found === "string" ? found : "it is not a URL of Redis, for example redis://127.0.0.1:6379")
  return {
    url: typeof found === "string" ? Redacted.make("") : found,
    timeout: millisOf(timeout, 50),
    whenAway: whenAway ?? "open",
    prefix: prefix ?? "paradigm"
  }
})

const day = 24 * 60 * minute

const toUsage = Effect.fnUntraced(function* (
  usage: NonNullable<(typeof ConfigFile.Type)["usage"]>,
  report: (path: Path, problem: string) => void
): Effect.fn.Return<UsageConfig, never, FileSystem.FileSystem> {
  const { database } = usage
  const found = typeof database === "string" || database === undefined ? database && Redacted.make(database) : yield* readSecret(database)
  if (typeof found === "string") report(["usage", "database"], found)
  return {
    database: typeof found === "string" ? undefined : found,
    folder: usage.spool ?? "usage-spool",
    maxBytes: usage.maxSpoolBytes ?? 1024 * mebibyte,
    whenFull: usage.whenFull ?? "open",
    retention: { events: millisOf(usage.keepEvents, 90 * day), sums: millisOf(usage.keepSums, 1096 * day) },
    endUserHeader: (usage.endUserHeader ?? "X-End-User-Id").toLowerCase()
  }
})

/** Where models and keys may be: in the configuration `file` alone, or also in a database. */
export type Origin = "file" | "database"

const adminVariable = "PARADIGM_ADMIN_SECRET"

const toAdmin = Effect.fnUntraced(function* (
  { admin, operator }: typeof ConfigFile.Type,
  origin: Origin,
  report: (path: Path, problem: string) => void
): Effect.fn.Return<GatewayConfig["admin"], never, FileSystem.FileSystem> {
  if (admin === undefined && (origin === "file" || process.env[adminVariable] === undefined)) return undefined
  if (origin === "file") report(["admin"], "administrators need a database: start the gateway with --data")
  if (operator === false) report(["admin"], "administrators need the operator's listener, which `operator: false` switches off")
  const secret = yield* readSecret(admin?.secret ?? { env: adminVariable })
  const weakness = typeof secret === "string" ? secret : weaknessOf(Redacted.value(secret))
  if (weakness !== undefined) report(["admin", "secret"], weakness)
  return typeof secret === "string" ? undefined : { secret, hosts: new Set(admin?.hosts ?? []) }
})

/**
 * Parses a configuration. Reads the environment variables and files that it names. Fails with every problem at once. Without a database, a
 * configuration without models or keys is a problem.
 */
export const parse = Effect.fnUntraced(function* (
  text: string,
  file: string,
  origin: Origin = "file"
): Effect.fn.Return<GatewayConfig, InvalidGatewayConfig, FileSystem.FileSystem> {
  const source = new ConfigSource(text)
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
  if (models.length === 0 && origin === "file") report(["models"], "at least one enabled model is needed")
  const keys: Array<KeyHolder> = []
  for (const [name, key] of Object.entries(config.keys)) {
    const other = keys.find(({ sha256 }) => sha256 === key.sha256)
    if (other !== undefined) report(["keys", name, "sha256"], `"${other.name}" has the same key`)
    for (const [i, model] of (key.models ?? []).entries()) {
      if (!owners.has(model)) report(["keys", name, "models", i], `"${model}" is not a model`)
    }
    const allowed = key.models?.flatMap((model) => owners.get(model) ?? [])
    if (key.enabled !== false) {
      const { endUserHeader = false, sha256, team } = key
      keys.push({ id: name, validUntil: undefined, name, sha256, models: allowed && new Set(allowed), team, endUserHeader })
    }
    if (key.team !== undefined && config.teams?.[key.team] === undefined) report(["keys", name, "team"], `"${key.team}" is not a team`)
  }
  const limits: Array<LimitRule> = []
  for (const [scope, owners, scoped] of [
    ["key", "keys", config.keys],
    ["team", "teams", config.teams ?? {}],
    ["model", "models", config.models]
  ] as const) {
    for (const [name, { limits: given }] of Object.entries(scoped)) {
      const rules = rulesOf(scope, name, given)
      for (const [i, { kind, modelId }] of rules.entries()) {
        const path = [owners, name, "limits", i]
        if (modelId !== undefined && (scope === "model" || config.models[modelId] === undefined)) {
          report([...path, "model"], scope === "model" ? "the limits of a model have no other model" : `"${modelId}" is not a model`)
        }
        if (rules.findIndex((other) => other.kind === kind && other.modelId === modelId) < i) report(path, "the limit is there twice")
      }
      limits.push(...rules)
    }
  }
  const prices = Object.entries(config.models).flatMap(([modelId, { price }]) =>
    price === undefined ? [] : [{ cached: price.input, ...price, modelId, validFrom: 0 }]
  )
  const redis = config.redis === undefined ? undefined : yield* toRedis(config.redis, report)
  const usage = config.usage === undefined ? undefined : yield* toUsage(config.usage, report)
  if (keys.length === 0 && origin === "file") report(["keys"], "at least one enabled key is needed; `paradigm key` makes one")
  const admin = yield* toAdmin(config, origin, report)
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
    admin,
    corsOrigins: cors === undefined || cors.origins === "*" ? "*" : new Set(cors.origins),
    models,
    keys,
    limits: new LimitIndex(limits, prices),
    calendar: new Calendar(DateTime.zoneMakeNamedUnsafe(config.zone ?? "UTC")),
    redis,
    usage,
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
  file: string,
  origin: Origin = "file"
): Effect.fn.Return<GatewayConfig, InvalidGatewayConfig, FileSystem.FileSystem> {
  const fileSystem = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(fileSystem.readFileString(file), (error) => {
    const problem = error.reason._tag === "NotFound" ? "There is no such file" : `It cannot be read (${error.reason._tag})`
    return new InvalidGatewayConfig({ file, problems: [problem] })
  })
  return yield* parse(text, file, origin)
})
