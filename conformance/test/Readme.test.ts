import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Capability } from "../src/case/Case.ts"
import * as Cases from "../src/case/Cases.ts"
import * as StdioMessage from "../src/client/StdioMessage.ts"
import { flags } from "../src/cli/CliRun.ts"

const read = (name: string) => readFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), "utf8")
const guides = ["write-a-subject", "write-a-case", "read-a-verdict", "protocol"].map((name) => `docs/${name}.md`)
const readme = read("README.md")
const snippets = (language: string) =>
  [...readme.matchAll(new RegExp(`\\n\`\`\`${language}\\n(.*?)\`\`\``, "gs"))].map(([, text = ""]) => text)

describe("the README", () => {
  it("shows the wrapper in TypeScript as it is, which Cli.test.ts runs", () => {
    assert.include(snippets("ts"), read("examples/subject.ts"))
  })

  it("shows a case of the suite, with fewer chunks", () => {
    const [text = ""] = snippets("json")
    const [shown] = Cases.decode({ group: "sse", cases: [JSON.parse(text)] })
    const real = Cases.all.find(({ id }) => id === shown?.id)
    const { expect: _, server: __, ...rest } = { ...shown }
    const { expect: ___, server: ____, ...own } = { ...real }
    assert.deepStrictEqual(rest, own)
  })

  it("names the options of the command line that are there", () => {
    const named = new Set([...readme.matchAll(/`--([a-z-]+)/g)].map(([, name = ""]) => name))
    for (const [key, flag] of Object.entries({
      filters: "filter",
      skips: "skip",
      shard: "shard",
      jobs: "jobs",
      name: "name",
      strict: "strict"
    })) {
      assert.property(flags, key)
      assert.isTrue(named.has(flag), flag)
    }
  })
})

describe("the guides", () => {
  it("lead to pages and files that are there", () => {
    for (const page of ["README.md", ...guides]) {
      for (const [, link = ""] of read(page).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        const base = new URL(`../${page}`, import.meta.url)
        assert.isTrue(existsSync(fileURLToPath(new URL(link, base))), `${page}: ${link}`)
      }
    }
  })

  it("describe every capability, every message and the version of the protocol", () => {
    const [subjects, , , protocol] = guides.map(read)
    for (const capability of Capability.literals) assert.include(subjects, `\`${capability}\``)
    for (const type of ["hello", "open", "call", "continue", "abort", "close", "chunk", "outcome", "closed"]) {
      assert.include(protocol, `{"type":"${type}"`)
    }
    assert.include(protocol, `| ${StdioMessage.protocol} | `)
  })

  it("show messages that are read as such", () => {
    const protocol = read("docs/protocol.md")
    for (const line of ['{"type":"closed","client":1}', '{"type":"outcome","call":2,"outcome":"chunks"}']) {
      assert.include(protocol, line)
      assert.doesNotThrow(() => StdioMessage.decode(line))
    }
  })
})
