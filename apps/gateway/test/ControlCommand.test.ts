import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { TestConsole } from "effect/testing"
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isWellFormed } from "../src/control/KeyText.ts"
import * as GatewayCommand from "../src/GatewayCommand.ts"

const runner = Command.runWith(GatewayCommand.command, { version: "test" })

/** Runs a command. Returns the lines that it wrote. */
const run = (...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const before = (yield* TestConsole.logLines).length
    yield* runner(args)
    return (yield* TestConsole.logLines).slice(before).map(String)
  })

const runJson = (...args: ReadonlyArray<string>) =>
  Effect.map(run(...args), (lines) => lines.map((line) => JSON.parse(line) as Record<string, unknown>))

const failure = (...args: ReadonlyArray<string>) => Effect.map(Effect.flip(run(...args)), (error) => (error as Error).message)

const inFolder = <A>(use: (folder: string) => Effect.Effect<A, unknown, NodeServices.NodeServices>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "control-command-"))),
    use,
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  ).pipe(Effect.provide(NodeServices.layer))

// A team, a model and a key, made by commands.
const setUp = (data: string) =>
  Effect.gen(function* () {
    yield* run("teams", "create", "physics", "--data", data)
    yield* run("models", "create", "alfred", "--replica", "http://127.0.0.1:8000/v1", "--key-env", "VLLM", "--data", data)
    const [made] = yield* runJson("keys", "create", "one", "--team", "physics", "--model", "alfred", "--data", data)
    return String(made?.["secret"])
  })

describe("the commands of a database", () => {
  it.effect("make a key, whose secret no other command shows", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const data = join(folder, "p.db")
        const secret = yield* setUp(data)
        assert.isTrue(isWellFormed(secret))
        assert.strictEqual(statSync(data).mode & 0o777, 0o600)
        const [key] = yield* runJson("keys", "list", "--data", data)
        assert.deepInclude(key, { name: "one", models: ["alfred"], allModels: false })
        yield* run("keys", "disable", "physics/one", "--data", data)
        yield* run("keys", "enable", String(key?.["id"]), "--data", data)
        yield* run("control", "export", "--data", data)
        const [rotated] = yield* runJson("keys", "rotate", "physics/one", "--grace", "2 days", "--data", data)
        assert.notStrictEqual(rotated?.["secret"], secret)
        yield* run("keys", "revoke", "physics/one", "--data", data)
        const shown = (yield* TestConsole.logLines).filter((line) => String(line).includes(secret))
        assert.lengthOf(shown, 1)
      })
    )
  )

  it.effect("say what is wrong", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const data = join(folder, "p.db")
        yield* setUp(data)
        assert.match(yield* failure("keys", "list"), /--data FILE/)
        assert.match(yield* failure("keys", "list", "--data", join(folder, "no", "p.db")), /The database cannot be used: .*no such file/)
        assert.match(yield* failure("keys", "revoke", "nobody", "--data", data), /There is no key "nobody"/)
        assert.match(yield* failure("keys", "create", "two", "--model", "nope", "--data", data), /"nope" is not a model/)
        assert.match(yield* failure("keys", "rotate", "physics/one", "--grace", "soon", "--data", data), /"soon" is not a time/)
        assert.match(yield* failure("teams", "archive", "physics", "--data", data), /has 1 keys/)
        assert.match(yield* failure("models", "create", "b", "--replica", "http://h/", "--data", data), /vLLM's is http:\/\/h\/v1/)
        assert.match(yield* failure("limits", "set", "team", "nobody", "tokens_per_day", "1", "--data", data), /There is no team "nobody"/)
      })
    )
  )

  it.effect("set a limit once, and change it after", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const data = join(folder, "p.db")
        yield* setUp(data)
        const set = (...more: ReadonlyArray<string>) =>
          run("limits", "set", "key", "physics/one", "requests_per_minute", ...more, "--data", data)
        yield* set("10")
        yield* set("20", "--report")
        yield* set("5", "--at", "alfred")
        const limits = yield* runJson("limits", "list", "--data", data)
        assert.sameDeepMembers(
          limits.map(({ amount, mode }) => [amount, mode]),
          [
            [20, "report"],
            [5, "enforce"]
          ]
        )
        yield* run("limits", "remove", String(limits[0]?.["id"]), "--data", data)
        assert.lengthOf(yield* run("limits", "list", "--data", data), 1)
      })
    )
  )

  it.effect("move everything to another database as a document, after which nothing differs", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const [data, other, file] = [join(folder, "p.db"), join(folder, "q.db"), join(folder, "all.json")]
        yield* setUp(data)
        yield* run("limits", "set", "team", "physics", "tokens_per_day", "1000", "--data", data)
        yield* run("models", "rename", "alfred", "alfred-2", "--data", data)
        const document = (yield* run("control", "export", "--data", data)).join("\n")
        writeFileSync(file, document)
        assert.deepStrictEqual(yield* run("control", "diff", file, "--data", data), ["Nothing differs."])
        const would = yield* run("control", "diff", file, "--data", other)
        assert.deepStrictEqual(would, [
          "create model alfred-2",
          "create team physics",
          "create key physics/one",
          "create limit team physics tokens_per_day",
          "4 would change."
        ])
        assert.strictEqual((yield* run("control", "apply", file, "--data", other)).at(-1), "4 changed.")
        assert.deepStrictEqual(yield* run("control", "diff", file, "--data", other), ["Nothing differs."])
        assert.strictEqual((yield* run("control", "export", "--data", other)).join("\n"), document)
      })
    )
  )

  it.effect("apply a document as a whole, or not at all", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const [data, file] = [join(folder, "p.db"), join(folder, "some.yaml")]
        yield* setUp(data)
        const apply = (text: string, ...flags: ReadonlyArray<string>) => {
          writeFileSync(file, text)
          return ["control", "apply", file, ...flags, "--data", data] as const
        }
        assert.match(yield* failure(...apply("keys: [{ nam: x }]")), /cannot be applied: [^]*keys/)
        assert.match(yield* failure(...apply("teams: [{ name: a }, { name: a }]")), /team a is there twice/)
        assert.match(yield* failure(...apply("teams: [{ name: new }]\nkeys: [{ name: x }]")), /needs the digest of its secret/)
        assert.match(yield* failure(...apply(`keys: [{ name: one, team: physics, sha256: "${"0".repeat(64)}" }]`)), /has another secret/)
        assert.lengthOf(yield* run("teams", "list", "--data", data), 1)
        yield* run(...apply("teams: [{ name: physics, models: [alfred] }]\nmodels: [{ name: alfred, enabled: false }]", "--prune"))
        assert.lengthOf(yield* run("keys", "list", "--data", data), 0)
        const [model] = yield* runJson("models", "list", "--data", data)
        assert.deepInclude(model, { enabled: false, replicas: [] })
        assert.deepStrictEqual(yield* run("control", "verify", "--data", data), ["The audit log is whole."])
      })
    )
  )

  it.effect("make many keys in one call", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const [data, file] = [join(folder, "p.db"), join(folder, "many.json")]
        const keys = Array.from({ length: 1000 }, (_, i) => ({ name: `k${i}`, sha256: i.toString(16).padStart(64, "0") }))
        writeFileSync(file, JSON.stringify({ keys }))
        assert.strictEqual((yield* run("control", "apply", file, "--data", data)).at(-1), "1000 changed.")
        assert.lengthOf(yield* run("keys", "list", "--data", data), 1000)
      })
    )
  )

  it.effect("back a database up in one file, and restore it", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const [data, file] = [join(folder, "p.db"), join(folder, "backup")]
        yield* setUp(data)
        yield* run("control", "backup", file, "--data", data)
        assert.deepStrictEqual(
          readdirSync(folder).filter((name) => name.startsWith("backup")),
          ["backup"]
        )
        assert.strictEqual(statSync(file).mode & 0o777, 0o600)
        yield* run("keys", "archive", "physics/one", "--data", data)
        assert.match(yield* failure("control", "restore", file, "--data", data), /exists[^]*--force/)
        yield* run("control", "restore", file, "--force", "--data", data)
        assert.lengthOf(yield* run("keys", "list", "--data", data), 1)
        writeFileSync(file, "this is no database, and has never been one")
        assert.match(yield* failure("control", "restore", file, "--force", "--data", data), /not a database/)
        assert.lengthOf(yield* run("keys", "list", "--data", data), 1)
        assert.match(yield* failure("control", "backup", file, "--data", "postgres://127.0.0.1/x"), /pg_dump/)
      })
    )
  )
})
