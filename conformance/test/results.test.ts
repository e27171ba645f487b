import { assert, describe, it } from "@effect/vitest"
import * as Results from "../results.ts"

const matrix = `# Conformance, by subject

Written by \`pnpm matrix\`: 3 cases of the client's side in 4 variants, hash 0123abcd.

## Standard and contract

|  | cases | ours, Node | \`openai\` 7.0.0 |
| --- | --- | --- | --- |
| **all** | **3** | **3** | **1, 1 fail, 1 n/a** |
| sse | 3 | 3 | 1, 1 fail, 1 n/a |

## House

|  | cases | ours, Node | \`openai\` 7.0.0 |
| --- | --- | --- | --- |
| **all** | **2** | **2** | **0, 2 fail** |

## Failures of standard and contract

### \`openai\` 7.0.0

| case | level | what is held | what it did |
| --- | --- | --- | --- |
| \`sse/one\` | MUST | a rule | another thing |

## Departures from the house

### \`openai\` 7.0.0 (2)

\`auth/two\`, \`auth/three\`

## What does not apply
`

const cases = [
  { id: "sse/one", rule: "A rule | of two", level: "MUST", basis: "standard" },
  { id: "auth/two", rule: "A decision", level: "SHOULD", basis: "house" }
] as const

describe("the page of results", () => {
  const found = Results.parse(matrix)

  it("has the counts of the matrix, and who fails each case, at the anchor of the case", () => {
    assert.deepStrictEqual(found.firm["`openai` 7.0.0"], { passed: 1, failed: 1, lacking: 1 })
    const page = Results.page(found, [], cases)
    assert.include(page, "| `openai` 7.0.0 | ![conformance](badges/openai.svg) | 1 of 2 (1 n/a) | 0 of 2 |")
    assert.include(page, '| <a id="case-sse-one"></a>[`sse/one`](#case-sse-one) | A rule \\| of two | MUST, standard | `openai` 7.0.0 |')
    assert.include(page, "| A decision | SHOULD, house | `openai` 7.0.0 |")
    assert.match(Results.badges(found)["openai.svg"] ?? "", /aria-label="conformance: 1 of 2"/)
  })

  it("keeps one line for each version, whose date changes with its figures alone", () => {
    const first = Results.record([], "0.1.0", found, "2026-01-01")
    assert.strictEqual(Results.record(first, "0.1.0", found, "2026-02-02")[0]?.date, "2026-01-01")
    const better = Results.parse(matrix.replace("1, 1 fail, 1 n/a**", "2, 1 n/a**"))
    assert.deepStrictEqual(
      Results.record(first, "0.1.0", better, "2026-02-02").map(({ date }) => date),
      ["2026-02-02"]
    )
    const second = Results.record(first, "0.2.0", better, "2026-02-02")
    assert.match(Results.page(better, second, cases), /\| 0\.2\.0 \| 2026-02-02 \|.*\n\| 0\.1\.0 \| 2026-01-01 \|/)
  })

  it("is refused when the matrix is none", () => {
    assert.throws(() => Results.parse("# Nothing"), /run pnpm matrix/)
  })
})
