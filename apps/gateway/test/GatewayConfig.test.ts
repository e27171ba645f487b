import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Redacted from "effect/Redacted"
import { inspect } from "node:util"
import * as GatewayConfig from "../src/GatewayConfig.ts"

const sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
const models = { "alfred-4.2": { baseUrl: "http://127.0.0.1:8000/v1" } }
const keys = { "team-a": { sha256 } }

const parse = (value: unknown, environment: Readonly<Record<string, string>> = {}) =>
  GatewayConfig.parse(typeof value === "string" ? value : JSON.stringify(value), "gateway.json").pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(environment))
  )

const problems = (value: unknown, environment?: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(parse(value, environment)), (error) => error.problems)

describe("a configuration that can be used", () => {
  it.effect("has its defaults filled in", () =>
    Effect.gen(function* () {
      const config = yield* parse({ models, keys })
      assert.strictEqual(config.maxBodyBytes, 64 * 1024 * 1024)
      const target = config.models.get("alfred-4.2")
      assert.isDefined(target)
      assert.strictEqual(target.url.href, "http://127.0.0.1:8000/v1/chat/completions")
      assert.strictEqual(target.model, "alfred-4.2")
      assert.isUndefined(target.apiKey)
      assert.deepStrictEqual(config.keys, [{ name: "team-a", sha256, models: undefined }])
    })
  )

  it.effect("says what it says", () =>
    Effect.gen(function* () {
      const config = yield* parse({
        $schema: "./gateway.schema.json",
        models: { a: { baseUrl: "https://models.example/vllm/v1//", model: "org/a" }, b: { baseUrl: "http://127.0.0.1:8001/v1" } },
        keys: { x: { sha256, models: ["a"] }, y: { sha256: sha256.replace("9", "8") } },
        maxBodyBytes: 1000
      })
      assert.strictEqual(config.models.get("a")?.url.href, "https://models.example/vllm/v1/chat/completions")
      assert.strictEqual(config.models.get("a")?.model, "org/a")
      assert.deepStrictEqual(config.keys[0]?.models, new Set(["a"]))
      assert.isUndefined(config.keys[1]?.models)
      assert.strictEqual(config.maxBodyBytes, 1000)
    })
  )

  it.effect("has the model server's key from the environment, and does not show it", () =>
    Effect.gen(function* () {
      const config = yield* parse(
        { models: { a: { baseUrl: "http://127.0.0.1:8000/v1", apiKeyVariable: "VLLM_KEY" } }, keys },
        { VLLM_KEY: "vllm-secret" }
      )
      const apiKey = config.models.get("a")?.apiKey
      assert.isDefined(apiKey)
      assert.strictEqual(Redacted.value(apiKey), "vllm-secret")
      assert.notInclude(inspect(config, { depth: 9 }) + JSON.stringify([...config.models]), "vllm-secret")
    })
  )
})

describe("a configuration that cannot be used", () => {
  it.effect("names every problem of its shape at once, by its place", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        parse({
          models: { a: { baseUrl: "localhost:8000", model: "" }, b: { url: "http://127.0.0.1:8000" } },
          keys: { x: { sha256: "ABC" }, y: {} },
          maxBodyBytes: 0,
          timeout: 5
        })
      )
      for (const place of [
        "models → a → baseUrl: ",
        "models → a → model: ",
        "models → b → baseUrl: ",
        "models → b → url: ",
        "keys → x → sha256: ",
        "keys → y → sha256: ",
        "maxBodyBytes: ",
        "timeout: "
      ]) {
        assert.lengthOf(
          error.problems.filter((problem) => problem.startsWith(place)),
          1,
          `${place} in ${error.problems.join(" | ")}`
        )
      }
      assert.lengthOf(error.problems, 8)
      assert.include(error.message, "gateway.json")
      for (const problem of error.problems) assert.include(error.message, problem)
      assert.include(error.message, "http://127.0.0.1:8000/v1")
      assert.include(error.message, "64 lower-case hexadecimal digits")
    })
  )

  it.effect("names every problem of its meaning at once", () =>
    Effect.gen(function* () {
      const upstream = { baseUrl: "http://127.0.0.1:8000/v1" }
      const found = yield* problems(
        {
          models: { a: { ...upstream, apiKeyVariable: "KEY_A" }, b: { ...upstream, apiKeyVariable: "KEY_B" } },
          keys: { x: { sha256, models: ["a", "c"] }, y: { sha256: sha256.replace("9", "8"), models: ["d"] } }
        },
        { KEY_B: "with space secret" }
      )
      assert.lengthOf(found, 4)
      assert.include(found[0], "KEY_A")
      assert.include(found[1], "KEY_B")
      assert.include(found[2], 'keys → x → models: "c"')
      assert.include(found[3], 'keys → y → models: "d"')
      assert.notInclude(found.join(), "secret")
    })
  )

  it.effect.each<[string, Readonly<Record<string, string>>]>([
    ["an empty model server's key", { apiKeyVariable: "EMPTY" }],
    ["a user in the URL", { baseUrl: "http://me:secret@127.0.0.1:8000/v1" }],
    ["a query in the URL", { baseUrl: "http://127.0.0.1:8000/v1?key=secret" }],
    ["another scheme", { baseUrl: "ftp://127.0.0.1/v1" }],
    ["a key in the file", { apiKey: "secret" }]
  ])("holds %s", ([, upstream]) =>
    Effect.gen(function* () {
      const found = yield* problems({ models: { a: { ...models["alfred-4.2"], ...upstream } }, keys }, { EMPTY: "" })
      assert.lengthOf(found, 1)
      assert.match(found[0] ?? "", /^models → a → /)
      assert.notInclude(found[0], "secret")
    })
  )

  it.effect("has no models, or no keys", () =>
    Effect.gen(function* () {
      const found = yield* problems({ models: {}, keys: {} })
      assert.lengthOf(found, 2)
      assert.match(found[0] ?? "", /^models: /)
      assert.match(found[1] ?? "", /^keys: .*paradigm key/)
    })
  )

  it.effect("gives one key to two holders, of whom only one could be found", () =>
    Effect.gen(function* () {
      const found = yield* problems({ models, keys: { x: { sha256 }, y: { sha256 } } })
      assert.lengthOf(found, 1)
      assert.match(found[0] ?? "", /^keys → y → sha256: .*"x"/)
    })
  )

  it.effect.each(["{", "", "models: {}", "[]", "null"])("is not a JSON object: %s", (text) =>
    Effect.gen(function* () {
      const found = yield* problems(text)
      assert.lengthOf(found, 1)
      assert.notInclude(found[0], "\n")
    })
  )
})

describe("a file", () => {
  it.effect("is read, with or without a byte order mark", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const file = yield* fileSystem.makeTempFileScoped({ suffix: ".json" })
      for (const mark of ["", "\ufeff"]) {
        yield* fileSystem.writeFileString(file, mark + JSON.stringify({ models, keys }))
        const config = yield* GatewayConfig.load(file)
        assert.deepStrictEqual([...config.models.keys()], ["alfred-4.2"])
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("that is missing, or a folder, is named", () =>
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
