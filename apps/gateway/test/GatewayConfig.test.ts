import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Redacted from "effect/Redacted"
import { inspect } from "node:util"
import { jsonSchema } from "../src/ConfigFile.ts"
import * as GatewayConfig from "../src/GatewayConfig.ts"

const sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
const other = sha256.replace("9", "8")
const replica = { baseUrl: "http://127.0.0.1:8000/v1" }
const models = { "alfred-4.2": { replicas: [replica] } }
const keys = { "team-a": { sha256 } }

const parse = (value: unknown, environment: Readonly<Record<string, string>> = {}) =>
  GatewayConfig.parse(typeof value === "string" ? value : JSON.stringify(value, undefined, 1), "gateway.yaml").pipe(
    Effect.provide(NodeServices.layer),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(environment))
  )

const problems = (value: unknown, environment?: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(parse(value, environment)), (error) => error.problems)

describe("parse", () => {
  it.effect("fills in the defaults", () =>
    Effect.gen(function* () {
      const config = yield* parse({ models, keys })
      assert.strictEqual(config.maxBodyBytes, 20 * 1024 * 1024)
      assert.deepStrictEqual(
        [config.listen.host, config.listen.port, config.operator],
        ["127.0.0.1", 8080, { host: "127.0.0.1", port: 8081 }]
      )
      const [model] = config.models
      const [target] = model?.replicas ?? []
      assert.strictEqual(target?.url.href, "http://127.0.0.1:8000/v1/chat/completions")
      assert.strictEqual(target?.model, "alfred-4.2")
      assert.isUndefined(target?.apiKey)
      assert.strictEqual(model?.timeouts.firstEvent, 600_000)
      assert.deepStrictEqual(config.keys, [
        { id: "team-a", validUntil: undefined, name: "team-a", sha256, models: undefined, team: undefined, endUserHeader: false }
      ])
    })
  )

  it.effect("reads YAML, with durations in words, aliases, and keys from the environment", () =>
    Effect.gen(function* () {
      const config = yield* parse(
        `
models:
  a:
    name: org/a
    aliases: [b, c]
    apiKey: { env: VLLM_KEY }
    replicas:
      - baseUrl: https://models.example/vllm/v1//
        weight: 2
      - baseUrl: http://[::1]:8001/v1
        name: elsewhere
    timeouts: { idle: 30 seconds, response: 1500 }
    media: [cdn.example]
  gone: { enabled: false, replicas: [{ baseUrl: "http://127.0.0.1:1/v1" }] }
keys:
  x: { sha256: ${sha256}, models: [b] }
  y: { sha256: ${other}, enabled: false }
`,
        { VLLM_KEY: "vllm-secret-1" }
      )
      const [model, ...more] = config.models
      assert.lengthOf(more, 0)
      assert.deepStrictEqual(
        model?.replicas.map(({ model, url, weight }) => [url.href, model, weight]),
        [
          ["https://models.example/vllm/v1/chat/completions", "org/a", 2],
          ["http://[::1]:8001/v1/chat/completions", "elsewhere", 1]
        ]
      )
      assert.deepStrictEqual([model?.timeouts.idle, model?.timeouts.response], [30_000, 1500])
      const apiKey = model?.replicas[1]?.apiKey
      assert.strictEqual(apiKey === undefined ? "" : Redacted.value(apiKey), "vllm-secret-1")
      assert.notInclude(inspect(config, { depth: 9 }) + JSON.stringify(config), "vllm-secret-1")
      // A key that may use an alias may use the model.
      const models = new Set(["a"])
      assert.deepStrictEqual(config.keys, [
        { id: "x", validUntil: undefined, name: "x", sha256, models, team: undefined, endUserHeader: false }
      ])
    })
  )

  it.effect("reports every problem of the shape at once, with its line", () =>
    Effect.gen(function* () {
      const found = yield* problems(`models:
  a: { replicas: [{ baseUrl: "localhost:8000" }], name: "" }
  b: { replicas: [] }
  c: { baseUrl: http://127.0.0.1:8000/v1 }
keys:
  x: { sha256: ABC }
maxBodyBytes: 0
timeout: 5
stream: { heartbeat: soon }
`)
      for (const place of [
        "line 2: models → a → replicas → 0 → baseUrl: ",
        "line 2: models → a → name: ",
        "line 3: models → b → replicas",
        "line 4: models → c → replicas: ",
        "line 4: models → c → baseUrl: ",
        "line 6: keys → x → sha256: ",
        "line 7: maxBodyBytes: ",
        "line 8: timeout: ",
        "line 9: stream → heartbeat: "
      ]) {
        assert.lengthOf(
          found.filter((problem) => problem.startsWith(place)),
          1,
          `${place} in ${found.join(" | ")}`
        )
      }
      assert.lengthOf(found, 9)
    })
  )

  it.effect("reports limits that bind nothing, teams that are not there, and a Redis without a URL", () =>
    Effect.gen(function* () {
      const minute = { kind: "requests_per_minute", amount: 1 }
      const found = yield* problems(
        {
          models: { a: { replicas: [replica], limits: [{ ...minute, model: "a" }] } },
          teams: { red: {} },
          keys: { x: { sha256, team: "blue", limits: [{ ...minute, model: "z" }, minute, minute] } },
          redis: { url: { env: "REDIS_URL" } },
          usage: { database: { env: "DATABASE_URL" } }
        },
        { REDIS_URL: "http://user:secret@redis" }
      )
      const text = found.join("\n")
      for (const part of [
        "models → a → limits → 0 → model: the limits of a model have no other model",
        'keys → x → team: "blue" is not a team',
        'keys → x → limits → 0 → model: "z" is not a model',
        "keys → x → limits → 2: the limit is there twice",
        "redis → url: it is not a URL of Redis",
        "usage → database: the environment variable DATABASE_URL is not set"
      ]) {
        assert.include(text, part)
      }
      assert.lengthOf(found, 6)
      assert.notInclude(text, "secret")
    })
  )

  it.effect("reports every problem of the meaning at once, and quotes no key", () =>
    Effect.gen(function* () {
      const found = yield* problems(
        {
          models: {
            a: { replicas: [replica, replica], apiKey: { env: "KEY_A" } },
            b: { replicas: [replica], apiKey: { env: "KEY_B" }, aliases: ["a"], forced: { model: "x" } },
            c: { replicas: [replica], apiKey: { file: "/nowhere/key" }, aliases: ["d"] },
            e: { replicas: [replica], aliases: ["d"] }
          },
          keys: { x: { sha256, models: ["a", "z"] }, y: { sha256 } }
        },
        { KEY_B: "with space secret" }
      )
      const text = found.join("\n")
      for (const part of [
        "KEY_A",
        "KEY_B",
        "twice",
        '"a" names the model "a"',
        "forced → model",
        "/nowhere/key",
        '"d" names the model "c"',
        '"z" is not a model',
        '"x" has the same key'
      ]) {
        assert.include(text, part)
      }
      assert.lengthOf(found, 9)
      assert.notInclude(text, "secret")
    })
  )

  it.effect.each([
    ["http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"],
    ["http://127.0.0.1:8000/v1/chat/completions", "without /chat/completions"],
    ["http://me:secret@127.0.0.1:8000/v1", "without user"],
    ["http://127.0.0.1:8000/v1?key=secret", "query"],
    ["ftp://127.0.0.1/v1", "http or https"]
  ])("rejects the base URL %s", ([baseUrl, hint]) =>
    Effect.gen(function* () {
      const found = yield* problems({ models: { a: { replicas: [{ baseUrl }] } }, keys })
      assert.lengthOf(found, 1)
      assert.include(found[0], String(hint))
      assert.notInclude(found[0], "secret")
    })
  )

  it.effect.each([
    [`{"models":{"a":{},"a":{}},"keys":{}}`, "line 1"],
    ["models:\n  a: {}\n  a: {}\n", "line 3"]
  ])("rejects a name that is there twice: %s", ([text, line]) =>
    Effect.gen(function* () {
      const found = yield* problems(text)
      assert.include(found[0], "twice")
      assert.include(found[0], String(line))
    })
  )

  it.effect("rejects a configuration without models or keys", () =>
    Effect.gen(function* () {
      const found = yield* problems({ models: {}, keys: {} })
      assert.lengthOf(found, 2)
      assert.match(found.join("\n"), /models: [^]*keys: .*paradigm key/)
    })
  )

  it.effect.each(["{", "", "[]", "null", "text"])("rejects what is not a configuration: %s", (text) =>
    Effect.gen(function* () {
      const found = yield* problems(text)
      assert.isAtLeast(found.length, 1)
      assert.notInclude(found[0], "\n")
    })
  )
})

describe("jsonSchema", () => {
  it("describes every setting", () => {
    const schema = JSON.parse(jsonSchema())
    assert.property(schema.properties, "models")
    assert.include(JSON.stringify(schema.properties.shutdown), "On SIGTERM")
    assert.isFalse(schema.additionalProperties)
  })
})

describe("load", () => {
  it.effect("reads a file, with or without a byte order mark", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const file = yield* fileSystem.makeTempFileScoped({ suffix: ".json" })
      for (const mark of ["", "\ufeff"]) {
        yield* fileSystem.writeFileString(file, mark + JSON.stringify({ models, keys }))
        const config = yield* GatewayConfig.load(file)
        assert.deepStrictEqual(
          config.models.map(({ name }) => name),
          ["alfred-4.2"]
        )
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("names a file that is missing, or a folder", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* fileSystem.makeTempDirectoryScoped()
      const missing = yield* Effect.flip(GatewayConfig.load(`${folder}/none.json`))
      assert.include(missing.message, `${folder}/none.json`)
      assert.include(missing.message, "no such file")
      const unreadable = yield* Effect.flip(GatewayConfig.load(folder))
      assert.include(unreadable.message, folder)
      assert.lengthOf(unreadable.problems, 1)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
