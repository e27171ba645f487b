import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const main = here("../src/cli/main.ts")
const subject = `python3 ${here("../examples/subject.py")}`

/** A subject that answers every call with an error. */
const failing = `${JSON.stringify(process.execPath)} ${here("failingSubject.ts")}`

const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) =>
  new Promise<{ readonly code: number; readonly output: string }>((resolve) => {
    execFile(process.execPath, [main, ...args], { env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr })
    )
  })

const inFolder = async (work: (folder: string) => Promise<void>) => {
  const folder = mkdtempSync(join(tmpdir(), "conformance-"))
  try {
    await work(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe("paradigm-conformance client", () => {
  it("passes the basic cases with the wrapper in TypeScript", async () => {
    const command = `${JSON.stringify(process.execPath)} ${here("../examples/subject.ts")}`
    const { code, output } = await run(["client", "--command", command, "--filter", "request-json/minimal-body", "--filter", "cancel/"])
    assert.strictEqual(code, 0, output.slice(-2000))
    assert.match(output, /for openai \(Node \d+/)
    assert.match(output, /\npassed: 12 pass/)
  })

  it("passes the basic cases with the wrapper in Python", async () => {
    const { code, output } = await run([
      "client",
      "--command",
      subject,
      "--filter",
      "request-json/minimal-body",
      "--filter",
      "stream/done-ends"
    ])
    assert.strictEqual(code, 0, `${output.slice(-2000)}\n(python3 must be installed)`)
    assert.match(output, /for urllib \(Python 3\.\d+\.\d+\)/)
    assert.match(output, /\npassed: 2 pass/)
  })

  it("fails a known failure that passes", async () => {
    await inFolder(async (folder) => {
      const file = join(folder, "known.json")
      writeFileSync(file, JSON.stringify([{ pattern: "auth/bearer-header", reason: "an example", until: "2999-01-01" }]))
      const { code, output } = await run(["client", "--command", subject, "--filter", "auth/bearer-header", "--known-failures", file])
      assert.strictEqual(code, 1)
      assert.match(output, /stale auth\/bearer-header/)
    })
  })

  it("refuses a list of known failures that names no case, with code 2", async () => {
    await inFolder(async (folder) => {
      const file = join(folder, "known.json")
      writeFileSync(file, JSON.stringify([{ pattern: "nope/none", reason: "an example", until: "2999-01-01" }]))
      const { code, output } = await run(["client", "--command", subject, "--known-failures", file])
      assert.strictEqual(code, 2)
      assert.include(output, "nope/none")
    })
  })

  it.each<[string, string, RegExp]>([
    ["prints garbage", "echo garbage", /is no message, "garbage"/],
    ["does not exist", "no-such-program-anywhere", /cannot be tested: the subject ended by itself \(exit code 127\)/],
    ["dies at once", "exit 3", /cannot be tested: the subject ended by itself \(exit code 3\)/],
    [
      "fails the most basic case",
      failing,
      /fails the most basic case, so nothing else was run\.\nfail: response\/json-basic\[split=whole\]\n {2}.*Boom/
    ]
  ])("runs nothing with a subject that %s: code 2, and what came of it", async (_, command, expected) => {
    const { code, output } = await run(["client", "--command", command, "--filter", "auth/bearer-header"])
    assert.strictEqual(code, 2)
    assert.match(output, expected)
    assert.notMatch(output, /passed|failed:/)
    assert.notMatch(output, /\n\s+at .*:\d+:\d+/)
  })

  it("runs a case that its list of known failures has, also the most basic one", async () => {
    await inFolder(async (folder) => {
      const file = join(folder, "known.json")
      writeFileSync(file, JSON.stringify([{ pattern: "response/json-basic*", reason: "an example", until: "2999-01-01" }]))
      const args = ["client", "--command", failing, "--filter", "response/json-basic[split=whole]", "--known-failures", file]
      const { code, output } = await run(args)
      assert.strictEqual(code, 0, output)
      assert.match(output, /1 known-fail/)
    })
  })

  it("names the run, skips cases, and runs several at once", async () => {
    const args = ["--filter", "auth/bearer", "--skip", "stream", "--name", "My client", "--jobs", "4", "--reporter", "ndjson"]
    const { code, output } = await run(["client", "--command", subject, ...args])
    assert.strictEqual(code, 0, output)
    assert.match(output, /"subject":"My client","kind":"Python /)
    assert.notInclude(output, "auth/bearer-header-stream")
  })

  it("names the file, the case and the place of a case that breaks the schema, with code 2", async () => {
    await inFolder(async (folder) => {
      const file = join(folder, "cases.json")
      const { cases, ...rest } = JSON.parse(readFileSync(here("../cases/client/auth.json"), "utf8")) as { cases: [object] }
      writeFileSync(file, JSON.stringify({ ...rest, cases: [{ ...cases[0], level: "MAY" }] }))
      const { code, output } = await run(["client", "--command", subject, "--cases", file])
      assert.strictEqual(code, 2)
      assert.match(output, /cases\.json: auth\/bearer-header in the file of group auth: .*\n.*at \["level"\]/)
    })
  })

  it("fails when a known failure is out of date", async () => {
    await inFolder(async (folder) => {
      const file = join(folder, "known.json")
      writeFileSync(file, JSON.stringify([{ pattern: "auth/403-typed", reason: "an example", until: "2020-01-01" }]))
      const { code, output } = await run(["client", "--command", subject, "--filter", "auth/bearer-header", "--known-failures", file])
      assert.strictEqual(code, 1)
      assert.include(output, "known failure auth/403-typed (an example) held until 2020-01-01")
    })
  })

  it.each([
    ["--shard", "3/2"],
    ["--filter", "nothing-like-this"],
    ["--skip", "nothing-like-this"],
    ["--jobs", "0"],
    ["--reporter", "fax"],
    ["--output", "/no/such/folder/report.xml"]
  ])("cannot follow %s %s: code 2", async (flag, value) => {
    const { code, output } = await run(["client", "--command", subject, flag, value])
    assert.strictEqual(code, 2)
    assert.include(output, value)
  })

  it("writes JUnit and NDJSON, and lists and shards what it would run", async () => {
    await inFolder(async (folder) => {
      const junit = join(folder, "junit.xml")
      await run(["client", "--command", subject, "--filter", "auth/bearer", "--reporter", "junit", "--output", junit])
      assert.match(readFileSync(junit, "utf8"), /<testsuites [^>]*failures="0"/)
    })
    const { output: all } = await run(["client", "--command", subject, "--list", "--filter", "sse"])
    const shards = await Promise.all(
      ["1/2", "2/2"].map((shard) => run(["client", "--command", subject, "--list", "--filter", "sse", "--shard", shard]))
    )
    const ids = (text: string) => [...text.matchAll(/^(sse\/\S+)/gm)].map(([, id]) => id)
    assert.isAbove(ids(all).length, 20)
    assert.sameMembers(
      shards.flatMap(({ output }) => ids(output)),
      ids(all)
    )
  })
})

describe("paradigm-conformance server", () => {
  it("runs nothing beyond its budget of requests", async () => {
    const args = ["server", "--base-url", "http://127.0.0.1:9", "--model", "alfred", "--max-requests", "10"]
    const { code, output } = await run(args, { PARADIGM_API_KEY: "sk-very-secret" })
    assert.strictEqual(code, 2)
    assert.match(output, /take \d{3} requests, and --max-requests is 10/)
    const dry = await run([...args, "--dry-run"], { PARADIGM_API_KEY: "sk-very-secret" })
    assert.strictEqual(dry.code, 0)
    assert.include(dry.output, "nothing was sent")
  })

  it("sends the headers it was given, never prints them, and stops at a server that fails the most basic request", async () => {
    const server = createServer((request, response) => response.writeHead(500).end(`no tenant ${String(request.headers["x-tenant"])}`))
    await once(server.listen(0, "127.0.0.1"), "listening")
    try {
      const { port } = server.address() as AddressInfo
      const args = ["server", "--base-url", `http://127.0.0.1:${port}`, "--model", "alfred", "--lack", "key"]
      const { code, output } = await run([...args, "--header", "X-Tenant: secret-tenant"])
      assert.strictEqual(code, 2)
      assert.match(output, /does not answer the most basic request, so nothing else was sent: status 500, no tenant …/)
      assert.notInclude(output, "secret-tenant")
      const wrong = await run([...args, "--header", "secret tenant"])
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.output, 'A --header is no "Name: value"')
      assert.notInclude(wrong.output, "secret tenant")
    } finally {
      server.close()
    }
  })

  it("asks for a key where the profile does", async () => {
    const { code, output } = await run(["server", "--base-url", "http://127.0.0.1:9", "--model", "alfred"], { PARADIGM_API_KEY: "" })
    assert.strictEqual(code, 2)
    assert.include(output, "PARADIGM_API_KEY is not set")
  })

  it("says when the server never answers, and never prints the key", async () => {
    const { code, output } = await run(
      ["server", "--base-url", "http://127.0.0.1:9/v1", "--model", "alfred", "--filter", "server-stream/content-type"],
      { PARADIGM_API_KEY: "sk-very-secret" }
    )
    assert.notStrictEqual(code, 0)
    assert.notInclude(output, "sk-very-secret")
    assert.notMatch(output, /\n\s+at .*:\d+:\d+/)
  })
})
