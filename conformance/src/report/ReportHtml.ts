/**
 * Runs as one page that needs nothing else: groups by subjects, and below it every case with what was found of it.
 *
 * @since 0.1.0
 */
import { atEnd, groupOf, type Out, type Reported, type Reporter, type Run, tally } from "./Reporter.ts"

const html = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("\0", "\uFFFD")

const style = `
:root { color-scheme: light dark; --line: #8884; --pass: #1a7f37; --fail: #cf222e; --dim: #7778; --known: #9a6700 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top }
th { position: sticky; top: 0; background: Canvas } td.n { text-align: right; font-variant-numeric: tabular-nums }
.pass { color: var(--pass) } .fail, .stale { color: var(--fail); font-weight: 600 } .known-fail { color: var(--known) } .na { color: var(--dim) }
pre { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px } code { font-size: 13px }
label { margin-right: 1rem } input[type=search] { width: 20rem; max-width: 100% } [hidden] { display: none }`

// Filters by verdict and by words; without it, everything is shown.
const script = `
const rows = [...document.querySelectorAll("tr[data-verdicts]")]
const search = document.querySelector("input[type=search]")
const boxes = [...document.querySelectorAll("input[type=checkbox]")]
const show = () => {
  const wanted = boxes.filter((box) => box.checked).map((box) => box.value)
  for (const row of rows) {
    row.hidden = !row.textContent.toLowerCase().includes(search.value.toLowerCase()) || !row.dataset.verdicts.split(" ").some((verdict) => wanted.includes(verdict))
  }
}
search.addEventListener("input", show)
for (const box of boxes) box.addEventListener("change", show)
document.querySelector("form").hidden = false`

const classOf = (verdict: string) => (verdict === "n/a" ? "na" : verdict)

const cell = (results: ReadonlyArray<Reported>) => {
  const asked = results.filter(({ verdict }) => verdict !== "n/a")
  if (asked.length === 0) return '<td class="n na">n/a</td>'
  const passed = asked.filter(({ verdict }) => verdict === "pass").length
  const failed = asked.some(({ verdict }) => verdict === "fail" || verdict === "stale")
  return `<td class="n ${passed === asked.length ? "pass" : failed ? "fail" : "known-fail"}">${passed}/${asked.length}</td>`
}

const matrix = (runs: ReadonlyArray<Run>, groups: ReadonlyArray<string>) => [
  "<table><thead><tr><th>group</th>",
  ...runs.map(({ head }) => `<th>${html(head.subject)}<br><small>${html(head.kind)}</small></th>`),
  "</tr></thead><tbody>",
  ...groups.map(
    (group) =>
      `<tr><td><a href="#${html(group)}">${html(group)}</a></td>${runs.map(({ results }) => cell(results.filter(({ id }) => groupOf(id) === group))).join("")}</tr>`
  ),
  `<tr><td><b>all</b></td>${runs.map(({ results }) => cell(results)).join("")}</tr></tbody></table>`
]

const outcome = (result: Reported | undefined) => {
  if (result === undefined) return '<td class="na">not run</td>'
  const said = [...result.problems, ...result.trace.map((line) => `  ${line}`)].join("\n")
  const verdict = `<span class="${classOf(result.verdict)}">${result.verdict}</span>`
  const more = result.verdict === "pass" || said === "" ? "" : `<details><summary>why</summary><pre>${html(said)}</pre></details>`
  return `<td>${verdict}${more}</td>`
}

const source = (address: string) =>
  /^https?:\/\//.test(address) ? `<a href="${html(address)}">${html(new URL(address).hostname)}</a>` : html(address)

const caseRows = (runs: ReadonlyArray<Run>, group: string) => {
  const cases = new Map<string, Reported>()
  for (const { results } of runs)
    for (const result of results) if (groupOf(result.id) === group && !cases.has(result.id)) cases.set(result.id, result)
  return [...cases.values()].map((item) => {
    const results = runs.map((run) => run.results.find(({ id }) => id === item.id))
    const verdicts = results.map((result) => result?.verdict ?? "n/a").join(" ")
    const about = `<code>${html(item.id)}</code><br>${html(item.rule)} <small>(${item.level}, ${item.source.map(source).join(", ")})</small>`
    return `<tr data-verdicts="${verdicts}"><td>${about}</td>${results.map(outcome).join("")}</tr>`
  })
}

/**
 * The page of some runs, a column each.
 *
 * @category printing
 * @since 0.1.0
 */
export const format = (runs: ReadonlyArray<Run>): string => {
  const groups = [...new Set(runs.flatMap(({ results }) => results.map(({ id }) => groupOf(id))))]
  const names = runs.map(({ head }) => head.subject).join(", ")
  return [
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>Conformance of ${html(names)}</title><style>${style}</style>`,
    `<h1>Conformance of ${html(names)}</h1>`,
    ...runs.map(({ end, head, results }) => {
      const problems = end.problems.map((problem) => `<br><span class="fail">${html(problem)}</span>`).join("")
      return `<p><b>${html(head.subject)}</b> (${html(head.kind)}): <span class="${end.ok ? "pass" : "fail"}">${end.ok ? "passed" : "failed"}</span>, ${tally(results)}; ${head.planned} ${head.side} cases, hash <code>${html(head.hash)}</code>, ${html(head.startedAt)}${problems}</p>`
    }),
    ...matrix(runs, groups),
    '<form hidden><input type="search" placeholder="id or words" aria-label="id or words"> ',
    ...["pass", "fail", "known-fail", "stale", "n/a"].map(
      (verdict) => `<label><input type="checkbox" value="${verdict}" checked> ${verdict}</label>`
    ),
    "</form>",
    ...groups.flatMap((group) => [
      `<h2 id="${html(group)}">${html(group)}</h2><table><thead><tr><th>case</th>${runs.map(({ head }) => `<th>${html(head.subject)}</th>`).join("")}</tr></thead><tbody>`,
      ...caseRows(runs, group),
      "</tbody></table>"
    ]),
    `<script>${script}</script></html>`,
    ""
  ].join("\n")
}

/**
 * Writes the page at the end of the run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ write }: Out): Reporter => atEnd((run) => write(format([run])))
