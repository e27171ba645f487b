/**
 * The schema of the configuration file.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Limits, PriceOfModel } from "./limits/LimitRule.ts"
import { carryLevels } from "./Continuation.ts"
import { controlFields } from "./RequestPolicy.ts"

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

/** The URL of a model server. */
export const baseUrl = Schema.String.check(
  Schema.makeFilter((text) => problemOfUrl(text) === undefined || `Expected ${problemOfUrl(text)}`, {
    expected: "an http or https URL with the path of the API, for example http://127.0.0.1:8000/v1"
  })
)

/** Where a key comes from. */
export const Secret = Schema.Union([
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

/** A model. */
export const Model = Schema.Struct({
  name: Schema.optionalKey(name).annotateKey({ description: "Name of the model at its servers. Defaults to the name in this file." }),
  aliases: Schema.optionalKey(Schema.Array(name)).annotateKey({ description: "Further names of the model." }),
  enabled: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "Defaults to true. A disabled model does not exist for callers."
  }),
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
  price: Schema.optionalKey(PriceOfModel).annotateKey({ description: "What tokens cost. A model without a price is free." }),
  limits: Schema.optionalKey(Limits).annotateKey({ description: "Limits of the model, for all keys together." }),
  carryOn: Schema.optionalKey(Schema.Union([Schema.Literal("off"), Schema.Array(Schema.Literals(carryLevels))])).annotateKey({
    description:
      'How another replica goes on with a stream whose replica fails, the best level first: "ids", "parsers" (needs --enable-scale-out), "again", "text" (not exact). Defaults to "off".'
  }),
  reasoningEnd: Schema.optionalKey(name).annotateKey({
    description: 'Text that ends the reasoning of the model, for example "</think>". Level "ids" goes on inside the reasoning with it.'
  }),
  migrationLimit: Schema.optionalKey(count).annotateKey({
    description: "Maximum number of times that a stream is carried on. Defaults to 2."
  }),
  replayMax: Schema.optionalKey(count).annotateKey({
    description: 'Maximum number of tokens that level "again" makes again. Defaults to 256.'
  }),
  carryParsers: Schema.optionalKey(count).annotateKey({
    description: 'Maximum number of streams of level "parsers" at a replica. Defaults to 2.'
  }),
  queue: Schema.optionalKey(
    Schema.Struct({
      size: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
      timeout: Schema.optionalKey(millis)
    })
  ).annotateKey({ description: "Requests that wait for a replica: at most `size` (1000), each for at most `timeout` (30 seconds)." }),
  maxBodyBytes: Schema.optionalKey(count).annotateKey({
    description: "Maximum size of a request's body. Defaults to that of the gateway."
  }),
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
  enabled: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Defaults to true." }),
  team: Schema.optionalKey(name).annotateKey({ description: "The team whose limits also bind the key." }),
  limits: Schema.optionalKey(Limits).annotateKey({ description: "Limits of the key." }),
  endUserHeader: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "Whether the key names its end users, in the header `usage.endUserHeader`. Defaults to false."
  })
})

const Team = Schema.Struct({ limits: Schema.optionalKey(Limits).annotateKey({ description: "Limits of all keys of the team together." }) })

const timeZone = Schema.String.check(
  Schema.makeFilter((text) => Option.isSome(DateTime.zoneMakeNamed(text)), { expected: "a time zone, for example Europe/Paris" })
)

const Redis = Schema.Struct({
  url: Schema.Union([
    Schema.String.check(Schema.isPattern(/^rediss?:\/\//, { expected: "a URL that begins with redis:// or rediss://" })),
    Secret
  ]).annotateKey({
    description: "URL of Redis, or where it comes from if it has a password."
  }),
  timeout: Schema.optionalKey(millis).annotateKey({ description: "Maximum duration of a call. Defaults to 50 milliseconds." }),
  whenAway: Schema.optionalKey(Schema.Literals(["open", "closed"])).annotateKey({
    description:
      '"open" limits by the counters of this gateway alone while Redis is away, "closed" refuses requests that have limits. Defaults to "open".'
  }),
  prefix: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[\w-]{1,50}$/, { expected: "letters, digits, _ and -" }))).annotateKey({
    description: 'Prefix of the keys in Redis. Defaults to "paradigm".'
  })
})

const Tls = Schema.Struct({
  certFile: name.annotateKey({ description: "PEM file of the certificate chain." }),
  keyFile: name.annotateKey({ description: "PEM file of the private key." })
})

const Usage = Schema.Struct({
  database: Schema.optionalKey(Schema.Union([name, Secret])).annotateKey({
    description:
      "Path of a SQLite file, which is made if it is missing, or where the URL of a PostgreSQL database comes from. Defaults to the database of --data."
  }),
  spool: Schema.optionalKey(name).annotateKey({
    description: 'Folder for what is not in the database yet. Every gateway needs its own. Defaults to "usage-spool".'
  }),
  maxSpoolBytes: Schema.optionalKey(count).annotateKey({ description: "Maximum size of the spool. Defaults to 1 GiB." }),
  whenFull: Schema.optionalKey(Schema.Literals(["open", "closed"])).annotateKey({
    description: '"open" serves on and loses events when the spool is full, "closed" refuses requests. Defaults to "open".'
  }),
  keepEvents: Schema.optionalKey(millis).annotateKey({ description: "How long events are kept. Defaults to 90 days." }),
  keepSums: Schema.optionalKey(millis).annotateKey({ description: "How long sums by hour and period are kept. Defaults to 1096 days." }),
  endUserHeader: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^[\w-]{1,100}$/, { expected: "the name of a header" }))
  ).annotateKey({
    description: 'Header in which keys with `endUserHeader` name their end users. Defaults to "X-End-User-Id".'
  })
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
  ).annotateKey({
    description: "The public listener. Defaults to 127.0.0.1:8080. `keepAlive` (75 seconds) exceeds that of the balancer in front."
  }),
  operator: Schema.optionalKey(
    Schema.Union([Schema.Struct({ host: Schema.optionalKey(name), port: Schema.optionalKey(portNumber) }), Schema.Literal(false)])
  ).annotateKey({ description: "The listener for metrics, health and documentation. Defaults to 127.0.0.1:8081. false for none." }),
  admin: Schema.optionalKey(
    Schema.Struct({
      secret: Schema.optionalKey(Secret).annotateKey({ description: "Secret of the first administrator, of 20 characters or more." }),
      hosts: Schema.optionalKey(Schema.Array(name)).annotateKey({
        description:
          "Hosts, with their port, by which administrators reach the operator's listener. Those of the loopback are always allowed."
      })
    })
  ).annotateKey({
    description:
      "The API of administrators, on the operator's listener of a gateway with a database. The secret is that of PARADIGM_ADMIN_SECRET by default; without one there is no API."
  }),
  cors: Schema.optionalKey(Schema.Struct({ origins: Schema.Union([Schema.Literal("*"), Schema.Array(name)]) })).annotateKey({
    description: 'Origins of the pages that may call the endpoint. Defaults to "*".'
  }),
  models: Schema.Record(name, Model).annotateKey({ description: "The models, by their names." }),
  keys: Schema.Record(name, Key).annotateKey({ description: "The keys, by the names that appear in logs and metrics." }),
  teams: Schema.optionalKey(Schema.Record(name, Team)).annotateKey({ description: "The teams, by their names." }),
  zone: Schema.optionalKey(timeZone).annotateKey({ description: "Time zone of the days and months of limits. Defaults to UTC." }),
  redis: Schema.optionalKey(Redis).annotateKey({ description: "Counters of limits for several gateways. Defaults to counters in memory." }),
  usage: Schema.optionalKey(Usage).annotateKey({ description: "The ledger of usage. Defaults to none." }),
  maxBodyBytes: Schema.optionalKey(count).annotateKey({ description: "Maximum size of a request's body, in bytes. Defaults to 20 MiB." }),
  maxBytesInFlight: Schema.optionalKey(count).annotateKey({
    description: "Maximum size of all request bodies in the process, in bytes. Defaults to 256 MiB."
  }),
  telemetry: Schema.optionalKey(
    Schema.Struct({
      endpoint: Schema.optionalKey(
        Schema.String.check(
          Schema.makeFilter((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ""), {
            expected: "an http or https URL, for example http://127.0.0.1:4318"
          })
        )
      ),
      protocol: Schema.optionalKey(Schema.Literals(["http/protobuf", "http/json"]))
    })
  ).annotateKey({
    description:
      'Traces, logs and metrics over OTLP: `endpoint` is the URL of the collector (none), `protocol` "http/protobuf" (default) or "http/json". Environment variables of OpenTelemetry (OTEL_EXPORTER_OTLP_ENDPOINT and others) win.'
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
