/**
 * Runs as one page that loads nothing else: a matrix of groups and subjects, the failures by cause, and every case with its results. Each case has
 * its id as an anchor.
 *
 * @since 0.1.0
 */
import { Basis } from "../case/Basis.ts"
import { atEnd, causes, groupOf, type Out, type Reported, type Reporter, type Run, standing, tally } from "./Reporter.ts"

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

// Filters by words, verdict, level and basis; without it, everything is shown.
const script = `
const rows = [...document.querySelectorAll("tr[data-verdict]")]
const search = document.querySelector("input[type=search]")
const boxes = [...document.querySelectorAll("input[type=checkbox]")]
const show = () => {
  const wanted = (name) => boxes.filter((box) => box.name === name && box.checked).map((box) => box.value)
  const filters = ["verdict", "level", "basis"].map((name) => [name, wanted(name)])
  const words = search.value.toLowerCase()
  for (const row of rows) {
    row.hidden = !row.textContent.toLowerCase().includes(words) || !filters.every(([name, values]) => row.dataset[name].split(" ").some((value) => values.includes(value)))
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

const causeRows = (run: Run) =>
  causes(run.results).map(({ cause, results }) => {
    const links = results.map(({ id }) => `<a href="#${html(id)}"><code>${html(id)}</code></a>`).join(", ")
    return `<tr><td class="n">${results.length}</td><td>${html(cause)}<br><small>${links}</small></td></tr>`
  })

const causesOf = (run: Run) => {
  const rows = causeRows(run)
  if (rows.length === 0) return []
  const title = `Failures of ${html(run.head.subject)} by first cause`
  return [
    `<details><summary>${title}</summary><table><thead><tr><th>cases</th><th>cause</th></tr></thead><tbody>`,
    ...rows,
    "</tbody></table></details>"
  ]
}

const filter = (name: string, values: ReadonlyArray<string>) =>
  values.map((value) => `<label><input type="checkbox" name="${name}" value="${html(value)}" checked> ${html(value)}</label>`).join("")

const caseRows = (runs: ReadonlyArray<Run>, group: string) => {
  const cases = new Map<string, Reported>()
  for (const { results } of runs)
    for (const result of results) if (groupOf(result.id) === group && !cases.has(result.id)) cases.set(result.id, result)
  return [...cases.values()].map((item) => {
    const results = runs.map((run) => run.results.find(({ id }) => id === item.id))
    const verdicts = results.map((result) => result?.verdict ?? "n/a").join(" ")
    const about = `<a href="#${html(item.id)}"><code>${html(item.id)}</code></a><br>${html(item.rule)} <small>(${standing(item)}: ${item.source.map(source).join(", ")})</small>`
    const data = `data-verdict="${verdicts}" data-level="${item.level}" data-basis="${item.basis}"`
    return `<tr id="${html(item.id)}" ${data}><td>${about}</td>${results.map(outcome).join("")}</tr>`
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
      const problems = [
        ...end.problems.map((problem) => `<br><span class="fail">${html(problem)}</span>`),
        ...(end.warnings ?? []).map((warning) => `<br><span class="known-fail">warning: ${html(warning)}</span>`)
      ].join("")
      return `<p><b>${html(head.subject)}</b> (${html(head.kind)}): <span class="${end.ok ? "pass" : "fail"}">${end.ok ? "passed" : "failed"}</span>, ${tally(results)}; ${head.planned} ${head.side} cases, hash <code>${html(head.hash)}</code>, ${html(head.startedAt)}${problems}</p>`
    }),
    ...matrix(runs, groups),
    ...runs.flatMap(causesOf),
    '<form hidden><input type="search" placeholder="id or words" aria-label="id or words"><br>',
    filter("verdict", ["pass", "fail", "known-fail", "stale", "n/a"]),
    "<br>",
    filter("level", ["MUST", "SHOULD"]),
    "<br>",
    filter("basis", Basis.literals),
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
