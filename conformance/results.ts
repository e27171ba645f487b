/**
 * The page of results, `docs/conformance.md`, its badges and its history: made of `MATRIX.md`, which `pnpm matrix` measures, and of the cases.
 */
import type { Case } from "./src/case/Case.ts"

/** How many cases of one subject pass, fail, and do not apply. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly lacking: number
}

/** The results of one version of the suite: counts of standard and contract, by the title of each subject. */
export interface Release {
  readonly version: string
  readonly date: string
  readonly hash: string
  readonly subjects: Readonly<Record<string, Counts>>
}

/** What `MATRIX.md` says: counts by subject, and the subjects that fail each case. */
export interface Matrix {
  readonly hash: string
  readonly firm: Readonly<Record<string, Counts>>
  readonly house: Readonly<Record<string, Counts>>
  readonly failing: ReadonlyMap<string, ReadonlyArray<string>>
}

const cellsOf = (line: string) =>
  line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim())

const countsOf = (cell: string): Counts => {
  const number = (pattern: RegExp) => Number(pattern.exec(cell)?.[1] ?? 0)
  const passed = number(/(\d+)/)
  return { passed, failed: number(/(\d+) fail/) || Math.max(0, number(/of (\d+)/) - passed), lacking: number(/(\d+) n\/a/) }
}

const sectionOf = (text: string, title: string) => (text.split(`\n## ${title}\n`)[1] ?? "").split("\n## ")[0] ?? ""

/** The row of all groups, by the heads of its columns. */
const totalsOf = (text: string): Record<string, Counts> => {
  const lines = text.split("\n")
  const head = cellsOf(lines.find((line) => line.startsWith("| ")) ?? "")
  const total = cellsOf(lines.find((line) => line.startsWith("| **all**")) ?? "")
  return Object.fromEntries(head.flatMap((title, i) => (title === "" || title === "cases" ? [] : [[title, countsOf(total[i] ?? "")]])))
}

/** Reads `MATRIX.md`. Throws when it is not what `pnpm matrix` writes. */
export const parse = (text: string): Matrix => {
  const hash = /hash ([0-9a-f]+)/.exec(text)?.[1]
  const firm = totalsOf(sectionOf(text, "Standard and contract") || text)
  if (hash === undefined || Object.keys(firm).length === 0) throw new Error("MATRIX.md has no hash or no table: run pnpm matrix")
  const failing = new Map<string, Array<string>>()
  for (const section of ["Failures of standard and contract", "Departures from the house"]) {
    for (const subject of sectionOf(text, section).split("\n### ").slice(1)) {
      const title = (subject.split("\n")[0] ?? "").replace(/ \(\d+\)$/, "")
      for (const [, id = ""] of subject.matchAll(/`([a-z0-9-]+\/[a-z0-9-]+)`/g)) failing.set(id, [...(failing.get(id) ?? []), title])
    }
  }
  return { hash, firm, house: totalsOf(sectionOf(text, "House")), failing }
}

/** The history with the current release: in place of the one with its version, or at the end. The date changes when the figures do. */
export const record = (history: ReadonlyArray<Release>, version: string, { firm, hash }: Matrix, today: string): ReadonlyArray<Release> => {
  const before = history.find((release) => release.version === version)
  const same = before !== undefined && before.hash === hash && JSON.stringify(before.subjects) === JSON.stringify(firm)
  const release: Release = { version, date: same ? before.date : today, hash, subjects: firm }
  return before === undefined ? [...history, release] : history.map((one) => (one === before ? release : one))
}

/** The name of a subject without its version, for the names of files. */
const slugOf = (title: string) =>
  title
    .replace(/` .*$/, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "")

const shareOf = ({ failed, passed }: Counts) => (passed + failed === 0 ? "n/a" : `${passed} of ${passed + failed}`)

const badge = (counts: Counts) => {
  const [label, value] = ["conformance", shareOf(counts)]
  const widths = [label, value].map((text) => text.length * 6.5 + 12)
  const [left = 0, right = 0] = widths
  const color = counts.failed === 0 ? "#1a7f37" : "#9a6700"
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="20" role="img" aria-label="${label}: ${value}">`,
    `<rect width="${left}" height="20" fill="#555"/><rect x="${left}" width="${right}" height="20" fill="${color}"/>`,
    '<g fill="#fff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">',
    `<text x="${left / 2}" y="14">${label}</text><text x="${left + right / 2}" y="14">${value}</text></g></svg>`,
    ""
  ].join("\n")
}

/** The badge of each subject, by file name. */
export const badges = ({ firm }: Matrix): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(firm).map(([title, counts]) => [`${slugOf(title)}.svg`, badge(counts)]))

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)

const groupOf = (id: string) => id.slice(0, id.indexOf("/"))

/** The anchor of a case on the page. */
export const anchorOf = (id: string): string => `case-${id.replace("/", "-")}`

const cell = (counts: Counts | undefined) =>
  counts === undefined ? "" : `${shareOf(counts)}${counts.lacking === 0 ? "" : ` (${counts.lacking} n/a)`}`

/** The page. */
export const page = (
  matrix: Matrix,
  history: ReadonlyArray<Release>,
  cases: ReadonlyArray<Pick<Case, "id" | "rule" | "level" | "basis">>
) => {
  const titles = Object.keys(matrix.firm)
  const groups = [...new Set(cases.map(({ id }) => groupOf(id)))]
  const rows = cases.map((item) => [
    `<a id="${anchorOf(item.id)}"></a>[\`${item.id}\`](#${anchorOf(item.id)})`,
    item.rule,
    `${item.level}, ${item.basis}`,
    (matrix.failing.get(item.id) ?? []).join(", ")
  ])
  return [
    "# Conformance",
    "",
    "Results of the client cases, made by `node conformance/generate.ts` of [MATRIX.md](../conformance/MATRIX.md), which `pnpm matrix` measures, and which has what",
    "each subject did. Counts are cases that pass, of those that apply. How to run the suite: [its README](../conformance/README.md).",
    "",
    ...table(
      ["subject", "", "standard and contract", "house"],
      titles.map((title) => [title, `![conformance](badges/${slugOf(title)}.svg)`, cell(matrix.firm[title]), cell(matrix.house[title])])
    ),
    "",
    "## History",
    "",
    "Standard and contract, by version of the suite. The list of cases changes between versions, as its hash shows.",
    "",
    ...table(
      ["version", "date", "list of cases", ...titles],
      history
        .toReversed()
        .map(({ date, hash, subjects, version }) => [version, date, `\`${hash}\``, ...titles.map((title) => cell(subjects[title]))])
    ),
    "",
    "## Cases",
    "",
    ...groups.flatMap((group) => [
      `### ${group}`,
      "",
      ...table(
        ["case", "what is required", "level", "failed by"],
        rows.filter((_, i) => groupOf(cases[i]?.id ?? "") === group)
      ),
      ""
    ])
  ].join("\n")
}
