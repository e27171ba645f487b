import { assert, describe, it, layer, vi } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Ended, run, type Running, start } from "./Running.ts"

const key = "pk-of-the-test"

// Dozens of processes start at once.
vi.setConfig({ testTimeout: 60_000 })

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "paradigm-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const sha256 = createHash("sha256").update(key).digest("hex")

// A gateway's configuration in a file.
const configFile = (config: unknown) =>
  Effect.map(folder, (path) => {
    const file = join(path, "gateway.json")
    writeFileSync(file, typeof config === "string" ? config : JSON.stringify(config))
    return file
  })

const startSimulator = Effect.fnUntraced(function* (args: ReadonlyArray<string> = []) {
  const simulator = yield* start(["simulator", "--port", "0", "--model", "sim", ...args])
  const [, origin = ""] = yield* simulator.says(/listens on (http:\S+)/)
  return { simulator, origin }
})

const startGateway = Effect.fnUntraced(function* (upstream: string) {
  const config = yield* configFile({
    models: { "alfred-4.2": { replicas: [{ baseUrl: `${upstream}/v1`, name: "sim" }] } },
    keys: { me: { sha256 } }
  })
  const gateway = yield* start(["gateway", "--port", "0", "--config", config])
  const [, origin = ""] = yield* gateway.says(/listens on (http:\S+)/)
  return { gateway, origin }
})

// A gateway and a simulator that every test may ask.
class Servers extends Context.Service<
  Servers,
  { readonly simulator: Running; readonly origin: string; readonly env: Record<string, string> }
>()("test/Servers") {
  static readonly layer = Layer.effect(
    Servers,
    Effect.gen(function* () {
      const { origin: upstream, simulator } = yield* startSimulator(["--inter-token-latency", "30"])
      const { origin } = yield* startGateway(upstream)
      return { simulator, origin, env: { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: origin } }
    })
  )
}

// A server that always gives the same answer.
const serving = Effect.fnUntraced(function* (status: number, type: string, body: string) {
  const server = createServer((_, response) => void response.writeHead(status, { "content-type": type }).end(body))
  yield* Effect.acquireRelease(
    Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
    () => Effect.promise(() => once(server.close(), "close"))
  )
  const address = server.address()
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : undefined}`
})

// One message, for people: no stack trace, no secret.
const assertMessage = ({ code, stderr, stdout }: Ended, ...parts: ReadonlyArray<RegExp>) => {
  assert.isNumber(code)
  assert.notStrictEqual(code, 0)
  assert.strictEqual(stdout, "")
  assert.notMatch(stderr, /^\s+at |node:internal|node_modules|\[object|undefined|"_tag"|Cause/m)
  assert.notInclude(stderr, key)
  for (const part of parts) assert.match(stderr, part)
}

describe.concurrent("paradigm", () => {
  it.live("demo streams its words through gateway and simulator, and stops both", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(["demo", "hello", "there"])
      assert.strictEqual(code, 0, stderr)
      assert.strictEqual(stdout, "hello there\n")
      const [, upstream, gateway] = /simulated vLLM on (http:\S+) and the gateway on (http:\S+)\./.exec(stderr) ?? []
      for (const origin of [upstream, gateway]) {
        const error = yield* Effect.flip(Effect.tryPromise(() => fetch(`${origin}/health`)))
        assert.instanceOf(error.cause, TypeError)
      }
    })
  )

  it.live("key makes a key and the hash that belongs to it", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run(["key"])
      assert.strictEqual(code, 0)
      const secret = /pk-[0-9a-f]{48}/.exec(stdout)?.[0] ?? ""
      assert.include(stdout, `sha256: "${createHash("sha256").update(secret).digest("hex")}"`)
    })
  )

  it.live("tells its commands and its version", () =>
    Effect.gen(function* () {
      const help = yield* run(["--help"])
      assert.strictEqual(help.code, 0)
      for (const command of ["chat", "gateway", "key", "simulator", "demo"]) assert.include(help.stdout, command)
      const version = yield* run(["--version"])
      assert.strictEqual(version.code, 0)
      assert.match(version.stdout, /\d+\.\d+\.\d+/)
    })
  )
})

layer(Servers.layer, { excludeTestServices: true, timeout: "60 seconds", concurrent: true })("paradigm chat", (it) => {
  const words = "one two three — naïve 🌊"
  const figures = /^alfred-4\.2|^sim · first token \d+ ms · [\d.]+ tokens\/s · \d+ \+ 18 tokens · stop\n$/

  it.effect("writes the answer to standard output, and figures to standard error", () =>
    Effect.gen(function* () {
      const { env } = yield* Servers
      const { code, stderr, stdout } = yield* run(["chat", words], { env })
      assert.deepStrictEqual([code, stdout], [0, `${words}\n`], stderr)
      assert.match(stderr, figures)
    })
  )

  it.effect("--json writes a line of JSON for each chunk, and nothing else", () =>
    Effect.gen(function* () {
      const { env } = yield* Servers
      const { code, stderr, stdout } = yield* run(["chat", "--json", words], { env })
      assert.deepStrictEqual([code, stderr], [0, ""])
      const chunks = stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
      assert.strictEqual(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), words)
      assert.strictEqual(chunks.at(-1)?.usage.completion_tokens, 18)
    })
  )

  it.effect("--no-stream writes the answer when it is whole, with --json all of it", () =>
    Effect.gen(function* () {
      const { env } = yield* Servers
      const plain = yield* run(["chat", "--no-stream", words], { env })
      assert.deepStrictEqual([plain.code, plain.stdout], [0, `${words}\n`])
      assert.match(plain.stderr, / · \d+ \+ 18 tokens · stop\n$/)
      const json = yield* run(["chat", "--no-stream", "--json", words], { env })
      assert.deepStrictEqual([json.code, json.stderr, json.stdout.trimEnd().split("\n").length], [0, "", 1])
      assert.strictEqual(JSON.parse(json.stdout).choices[0].message.content, words)
    })
  )

  it.effect("reads what is piped in, alone or after the words", () =>
    Effect.gen(function* () {
      const { env } = yield* Servers
      const alone = yield* run(["chat"], { env, stdin: "piped text\n" })
      assert.strictEqual(alone.stdout, "piped text\n")
      const both = yield* run(["chat", "Say", "this:"], { env, stdin: "piped text\n" })
      assert.strictEqual(both.stdout, "Say this:\n\npiped text\n")
    })
  )

  it.effect("takes the URL, the model and other wishes from its flags", () =>
    Effect.gen(function* () {
      const { env, origin } = yield* Servers
      const flags = ["--base-url", `${origin}/api/v3/`, "-m", "alfred-4.2", "-s", "Be brief.", "--max-tokens", "2", "--temperature", "0.5"]
      const { code, stderr, stdout } = yield* run(["chat", ...flags, words], { env: { ...env, PARADIGM_BASE_URL: "http://127.0.0.1:1" } })
      assert.deepStrictEqual([code, stdout], [0, "one two\n"], stderr)
      assert.match(stderr, /· length\n$/)
    })
  )

  it.effect("Ctrl-C ends the request at once, and the model server's work with it", () =>
    Effect.gen(function* () {
      const { env, simulator } = yield* Servers
      yield* Effect.scoped(
        Effect.gen(function* () {
          const chat = yield* start(["chat", "word ".repeat(500)], { env })
          yield* chat.says(/word word word/)
          const startedAt = performance.now()
          const { code, stderr, stdout } = yield* chat.stop("SIGINT")
          // The answer would go on for fifteen seconds.
          assert.isBelow(performance.now() - startedAt, 7000)
          assert.strictEqual(code, 130)
          assert.isTrue(stdout.endsWith("\n"))
          assert.strictEqual(stderr, "")
        })
      )
      yield* simulator.says(/aborted by client after \d+ tokens/)
    })
  )

  it.effect.each<[string, ReadonlyArray<string>, RegExp]>([
    ["text", [], /word word/],
    ["JSON", ["--json"], /"word/]
  ])("whose reader leaves ends quietly (%s)", ([, flags, said]) =>
    Effect.gen(function* () {
      const { env } = yield* Servers
      const chat = yield* start(["chat", ...flags, "word ".repeat(200)], { env })
      yield* chat.says(said)
      chat.child.stdout?.destroy()
      const { stderr } = yield* Effect.promise(() => chat.ended)
      assert.strictEqual(stderr, "")
    })
  )

  describe("says in one message what is wrong", () => {
    const cases: ReadonlyArray<readonly [string, ReadonlyArray<string>, Readonly<Record<string, string>>, ReadonlyArray<RegExp>]> = [
      ["an unknown model", ["--model", "none", "hi"], {}, [/"none"/, /--model/]],
      ["a wrong key", ["hi"], { PARADIGM_API_KEY: "pk-wrong" }, [/does not accept/, /PARADIGM_API_KEY/]],
      ["an empty key", ["hi"], { PARADIGM_API_KEY: "" }, [/PARADIGM_API_KEY/]],
      ["a key that is none", ["hi"], { PARADIGM_API_KEY: `${key} x` }, [/PARADIGM_API_KEY/]],
      ["a server that is not there", ["--base-url", "http://127.0.0.1:1", "hi"], {}, [/connect to http:\/\/127\.0\.0\.1:1/, /--base-url/]],
      ["a URL that is none", ["--base-url", "nonsense", "hi"], {}, [/must be an absolute http:\/\/ or https:\/\/ URL/, /--base-url/]],
      [
        "a URL in the environment that is none",
        ["hi"],
        { PARADIGM_BASE_URL: "nonsense" },
        [/must be an absolute http:\/\/ or https:\/\/ URL/, /PARADIGM_BASE_URL/]
      ],
      ["nothing to ask", [], {}, [/nothing to ask/]],
      ["a limit of no tokens", ["--max-tokens", "0", "hi"], {}, [/was not sent/, /max_tokens/]],
      ["a limit the model server refuses", ["--max-tokens", "100000", "hi"], {}, [/rejected the request \(400\)/, /max_model_len/]],
      ["a temperature that is no number", ["--temperature", "hot", "hi"], {}, [/temperature/]],
      ["a flag that does not exist", ["--modell", "x", "hi"], {}, [/--modell/]]
    ]
    for (const [name, args, environment, parts] of cases) {
      it.effect(name, () =>
        Effect.gen(function* () {
          const { env } = yield* Servers
          const ended = yield* run(["chat", ...args], { env: { ...env, ...environment } })
          // Of a wrong flag the command's help comes first.
          const isFlag = /--modell|hot/.test(args.join(" "))
          assertMessage(isFlag ? { ...ended, stdout: "" } : ended, ...parts)
          // Each attempt that is repeated has a line of its own.
          const lines = ended.stderr
            .trimEnd()
            .replaceAll(/^paradigm: .*\n/gm, "")
            .split("\n")
          if (!isFlag) assert.isAtMost(lines.length, 2, ended.stderr)
        })
      )
    }

    it.effect("no key", () =>
      Effect.gen(function* () {
        const { origin } = yield* Servers
        const ended = yield* run(["chat", "hi"], { env: { PARADIGM_BASE_URL: origin } })
        assertMessage(ended, /PARADIGM_API_KEY is not set/)
      })
    )

    it.effect("a server that is none of this kind", () =>
      Effect.gen(function* () {
        const { env } = yield* Servers
        const origin = yield* serving(200, "text/html", "<html>Hello</html>")
        const ended = yield* run(["chat", "--base-url", origin, "hi"], { env })
        assertMessage(ended, /text\/html/, /Paradigm endpoint/)
      })
    )

    it.effect("a server whose words would steer the terminal", () =>
      Effect.gen(function* () {
        const { env } = yield* Servers
        const origin = yield* serving(400, "application/json", JSON.stringify({ detail: "\u001b]0;title\u0007 No \u009b2J." }))
        const ended = yield* run(["chat", "--base-url", origin, "hi"], { env })
        assertMessage(ended, /title. No /)
        assert.notMatch(ended.stderr, /[^\P{Cc}\n]/u)
      })
    )
  })

  it.effect("the gateway answers a body that is not JSON with a 400 that says where", () =>
    Effect.gen(function* () {
      const { origin } = yield* Servers
      const answer = yield* Effect.promise(async () => {
        const response = await fetch(`${origin}/api/v3/chat/completions`, {
          method: "POST",
          headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
          body: '{"model": "alfred-4.2", messages: []}'
        })
        return { status: response.status, body: await response.text() }
      })
      assert.strictEqual(answer.status, 400)
      assert.include(answer.body, "line 1, column 25")
    })
  )
})

describe.concurrent("paradigm gateway and simulator", () => {
  const keys = { me: { sha256 } }
  const models = { a: { replicas: [{ baseUrl: "http://127.0.0.1:8000/v1" }] } }
  const cases: ReadonlyArray<readonly [string, unknown, ReadonlyArray<RegExp>]> = [
    ["is not JSON", "{ models", [/gateway\.json/, /line 1, column \d+/]],
    [
      "has wrong and unknown values",
      { models: { a: { replicas: [{ baseUrl: "x" }] } }, keys: { me: { sha256: "y" } }, ports: 1 },
      [/models → a → replicas → 0 → baseUrl/, /keys → me → sha256/, /ports/]
    ],
    ["names a variable that is not set", { models: { a: { ...models.a, apiKey: { env: "NOT_SET" } } }, keys }, [/NOT_SET/]]
  ]
  for (const [name, config, parts] of cases) {
    it.live(`a configuration that ${name}`, () =>
      Effect.gen(function* () {
        assertMessage(yield* run(["gateway", "--port", "0", "--config", yield* configFile(config)]), ...parts)
      })
    )
  }

  it.live("a configuration that is not there", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "none.json")
      assertMessage(yield* run(["gateway", "--config", file]), /none\.json/, /no such file/)
    })
  )

  it.live("a port in use", () =>
    Effect.gen(function* () {
      const { origin } = yield* startSimulator()
      const { port } = new URL(origin)
      const said = [new RegExp(`Port ${port}`), /in use/, /--port/]
      assertMessage(yield* run(["simulator", "--port", port]), ...said)
      assertMessage(yield* run(["gateway", "--config", yield* configFile({ models, keys }), "--port", port]), ...said)
    })
  )

  it.live("an address of another machine", () =>
    Effect.gen(function* () {
      assertMessage(yield* run(["simulator", "--host", "192.0.2.1", "--port", "0"]), /192\.0\.2\.1/, /--host/)
    })
  )

  it.live("flags that are missing or wrong", () =>
    Effect.gen(function* () {
      const withoutConfig = yield* run(["gateway"])
      assertMessage({ ...withoutConfig, stdout: "" }, /--config/)
      const wrongPort = yield* run(["simulator", "--port", "70000"])
      assertMessage({ ...wrongPort, stdout: "" }, /port/)
    })
  )

  it.live("stop at a signal, and what they stream breaks off visibly", () =>
    Effect.gen(function* () {
      const { origin: upstream, simulator } = yield* startSimulator(["--inter-token-latency", "30"])
      const { gateway, origin } = yield* startGateway(upstream)
      const chat = yield* start(["chat", "word ".repeat(500)], { env: { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: origin } })
      yield* chat.says(/word word/)
      const startedAt = performance.now()
      gateway.child.kill("SIGTERM")
      yield* gateway.says(/Stopping/)
      // The second signal does not wait for the stream.
      assert.strictEqual((yield* gateway.stop("SIGTERM")).code, 1)
      const { code, stderr } = yield* Effect.promise(() => chat.ended)
      assert.isBelow(performance.now() - startedAt, 7000)
      assert.notStrictEqual(code, 0)
      assert.match(stderr, /lost|ended/)
      yield* simulator.says(/aborted by client/)
      assert.strictEqual((yield* simulator.stop("SIGINT")).code, 130)
    })
  )
})

describe.concurrent("paradigm chat with a model that reasons", () => {
  const chunk = (delta: object, finish_reason: string | null = null) =>
    `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta, finish_reason }] })}\n\n`
  const body = `${chunk({ reasoning: "Hm." })}${chunk({ content: "Yes." })}${chunk({}, "stop")}data: [DONE]\n\n`

  it.live("writes the reasoning on a pipe only if it is asked for", () =>
    Effect.gen(function* () {
      const PARADIGM_BASE_URL = yield* serving(200, "text/event-stream", body)
      const env = { PARADIGM_API_KEY: key, PARADIGM_BASE_URL }
      assert.strictEqual((yield* run(["chat", "hi"], { env })).stdout, "Yes.\n")
      assert.strictEqual((yield* run(["chat", "hi", "--reasoning"], { env })).stdout, "Hm.\n\nYes.\n")
    }).pipe(Effect.scoped)
  )

  it.live("says that the path of the server may be missing", () =>
    Effect.gen(function* () {
      const PARADIGM_BASE_URL = yield* serving(404, "application/json", '{"detail":"Not Found"}')
      assertMessage(yield* run(["chat", "hi"], { env: { PARADIGM_API_KEY: key, PARADIGM_BASE_URL } }), /for example \/v1/)
    }).pipe(Effect.scoped)
  )

  it.live("reports a refused connection before it tries again", () =>
    Effect.gen(function* () {
      const running = yield* start(["chat", "hi"], { env: { PARADIGM_API_KEY: key, PARADIGM_BASE_URL: "http://127.0.0.1:1" } })
      yield* running.says(/ConnectFailed after \d+ ms \(attempt 1\), next in \d+ ms/)
      yield* running.says(/Could not connect to http:\/\/127\.0\.0\.1:1/)
    }).pipe(Effect.scoped)
  )
})
