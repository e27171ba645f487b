import { assert, describe, it } from "@effect/vitest"
import * as Reporter from "../src/report/Reporter.ts"
import * as ReportHtml from "../src/report/ReportHtml.ts"
import * as ReportJunit from "../src/report/ReportJunit.ts"
import * as ReportNdjson from "../src/report/ReportNdjson.ts"
import * as ReportTerminal from "../src/report/ReportTerminal.ts"

const result = (id: string, verdict: Reporter.Reported["verdict"], more: Partial<Reporter.Reported> = {}): Reporter.Reported => ({
  id,
  level: "MUST",
  rule: "What is held",
  source: ["policy"],
  verdict,
  problems: [],
  trace: [],
  durationMs: 12,
  ...more
})

const run: Reporter.Run = {
  head: {
    side: "client",
    subject: "<some> & others",
    kind: "node",
    planned: 4,
    hash: "abc",
    strict: false,
    startedAt: "2026-01-01T00:00:00.000Z"
  },
  results: [
    result("sse/one", "pass"),
    result("sse/two", "fail", { problems: ['wanted "<a>" & got \u001b[2J'], trace: ["request 0: 12 bytes"] }),
    result("auth/three", "fail", { level: "SHOULD", problems: ["not so"] }),
    result("auth/four", "n/a", { problems: ["needs form"] })
  ],
  end: { problems: ["known failure x held until 2020-01-01"], failures: 1, ok: false, durationMs: 1500 }
}

const written = (make: (out: Reporter.Out) => Reporter.Reporter, out: Omit<Reporter.Out, "write"> = {}) => {
  let text = ""
  Reporter.replay(run, make({ ...out, write: (more) => void (text += more) }))
  return text
}

describe("what counts", () => {
  it("is what MUST hold, in strict runs what SHOULD, and always what is listed in vain", () => {
    assert.deepStrictEqual(
      run.results.map((item) => [Reporter.counts(item, false), Reporter.counts(item, true)]),
      [
        [false, false],
        [true, true],
        [false, true],
        [false, false]
      ]
    )
    assert.isTrue(Reporter.counts(result("a/b", "stale", { level: "SHOULD" }), false))
    assert.isFalse(Reporter.counts(result("a/b", "known-fail"), true))
  })
})

describe("the terminal's report", () => {
  it("has a line for each case, then what failed and why, and lets nobody move the cursor", () => {
    const text = written(ReportTerminal.make)
    assert.match(text, /^pass sse\/one \(12 ms\)$/m)
    assert.match(text, /^fail sse\/two: What is held \(MUST: policy\)\n {2}wanted "<a>" & got \\x1b\[2J\n {4}request 0: 12 bytes$/m)
    assert.match(text, /^fail \(SHOULD\) auth\/three/m)
    assert.match(text, /^failed: 1 pass, 2 fail, 1 n\/a, 1.5 s$/m)
    assert.match(text, /^problem: known failure x/m)
    assert.notInclude(text, "\u001b")
  })

  it("draws over one line where there is a terminal", () => {
    const text = written(ReportTerminal.make, { columns: 60, colors: false })
    assert.include(text, "\r\u001b[K[========================] 4/4, 2 failed  auth/four")
    assert.notMatch(text, /^pass sse\/one \(/m)
  })
})

describe("the other reports", () => {
  it("is read again from NDJSON as it was written, or refused with its line", () => {
    assert.deepStrictEqual(ReportNdjson.read(written(ReportNdjson.make)), [run])
    const lines = written(ReportNdjson.make).split("\n")
    assert.throws(() => ReportNdjson.read([lines[0], "{}"].join("\n")), /line 2/)
    assert.throws(() => ReportNdjson.read(lines.slice(0, 2).join("\n")), /no end/)
    assert.throws(() => ReportNdjson.read(""), /no run/)
  })

  it("is JUnit XML, with nothing in it that XML cannot hold", () => {
    const text = written(ReportJunit.make)
    assert.match(text, /<testsuites name="&lt;some&gt; &amp; others" tests="5" failures="2"/)
    assert.match(text, /<testcase name="sse\/two"[^>]*><failure message="wanted &quot;&lt;a&gt;&quot; &amp; got \uFFFD\[2J" type="fail">/)
    assert.match(text, /<testcase name="auth\/three"[^>]*><skipped/)
  })

  it("is one page, with a column for each run and nothing from elsewhere", () => {
    const page = ReportHtml.format([run, { ...run, head: { ...run.head, subject: "second" } }])
    assert.include(page, "<th>&lt;some&gt; &amp; others")
    assert.include(page, "<th>second")
    assert.include(page, '<td class="n fail">1/2</td><td class="n fail">1/2</td>')
    assert.include(page, "&lt;a&gt;")
    assert.notMatch(page, /<(link|img|script) [^>]*(src|href)=/)
  })
})
