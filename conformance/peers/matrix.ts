/**
 * `pnpm matrix`: runs the suite with ours, as its adapters do, in Node, Chromium and Deno, and with the peers in Node, and writes what came of it:
 * `conformance/MATRIX.md`, and the peers' lists of known failures. `--check` writes nothing and fails where a file is not what it should be.
 */
import type { Case, Runtime } from "@paradigm-effect/conformance/Case"
import * as Cases from "@paradigm-effect/conformance/Cases"
import * as ParadigmSubject from "@paradigm-effect/conformance/ParadigmSubject"
import * as Plan from "@paradigm-effect/conformance/Plan"
import type { Result } from "@paradigm-effect/conformance/Runner"
import { Paradigm } from "@paradigm-effect/node"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { peers as subjects } from "./src/peers.ts"

type Verdict = "pass" | "fail" | "n/a"

/** What came of one subject: by the id of each case, its verdict, and what went wrong. */
interface Column {
  readonly title: string
  readonly verdicts: ReadonlyMap<string, { readonly verdict: Verdict; readonly did: string }>
}

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), "matrix-"))

/** What a process prints. A test run that fails ends with 1, and has said why in its report. */
const output = (cwd: string, command: string, args: ReadonlyArray<string>) =>
  new Promise<string>((resolve, reject) => {
    const bin = [join(cwd, "node_modules", ".bin"), dirname(process.execPath), process.env["PATH"]].join(delimiter)
    const child = spawn(command, args, { cwd, env: { ...process.env, PATH: bin }, stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (more: string) => (text += more))
    child.on("error", reject)
    child.on("close", (code) => {
      if (code === 0 || code === 1) resolve(text)
      else reject(new Error(`${command} ${args.join(" ")} ended with ${String(code)}`))
    })
  })

const firstLine = (text: string) => text.split("\n").find((line) => line.trim() !== "") ?? ""

interface VitestReport {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{
      readonly title: string
      readonly status: string
      readonly failureMessages: ReadonlyArray<string>
    }>
  }>
}

// Reports do not tell why a case did not apply: that follows from what the subject declares.
const whyNot = (runtime: Runtime) => {
  const subject = ParadigmSubject.make({ runtime, layer: Paradigm.layer })
  return new Map(Cases.plan.map((instance) => [instance.id, Plan.notApplicable(instance, subject)] as const))
}

const inVitest = async (title: string, runtime: Runtime, directory: string): Promise<Column> => {
  const file = join(scratch, `${title}.json`)
  await output(directory, "vitest", ["run", "test/conformance.test.ts", "--reporter=json", `--outputFile=${file}`])
  const { testResults } = JSON.parse(readFileSync(file, "utf8")) as VitestReport
  const reasons = whyNot(runtime)
  const verdicts = testResults.flatMap(({ assertionResults }) =>
    assertionResults.map(({ failureMessages, status, title: id }) => {
      const verdict: Verdict = status === "passed" ? "pass" : status === "failed" ? "fail" : "n/a"
      return [id, { verdict, did: firstLine(failureMessages[0] ?? reasons.get(id) ?? "") }] as const
    })
  )
  return { title, verdicts: new Map(verdicts) }
}

const inDeno = async (title: string, directory: string): Promise<Column> => {
  const file = join(scratch, `${title}.xml`)
  const test = [
    "deno",
    "test",
    "--no-check",
    "--allow-net={hosts}",
    `--junit-path=${file}`,
    "test/conformance.test.ts",
    "--",
    "{controlUrl}"
  ]
  await output(directory, process.execPath, [path("../with-fault-server.ts"), ...test])
  const reasons = whyNot("deno")
  const report = readFileSync(file, "utf8")
  const failed = new Set(
    [...report.matchAll(/<testcase name="([^"]+)"[^>]*[^/]>\s*<failure/g)].map((match) => match[1]?.replaceAll("&amp;", "&"))
  )
  const names = new Set([...report.matchAll(/<testcase name="([^"]+)"/g)].map((match) => match[1]))
  const verdicts = Cases.plan
    .filter((instance) => names.has(instance.id))
    .map((instance) => {
      const reason = reasons.get(instance.id)
      const verdict: Verdict = reason !== undefined ? "n/a" : failed.has(instance.id) ? "fail" : "pass"
      return [instance.id, { verdict, did: reason ?? "" }] as const
    })
  return { title, verdicts: new Map(verdicts) }
}

const versionOf = (name: string) =>
  (JSON.parse(readFileSync(path(`node_modules/${name}/package.json`), "utf8")) as { readonly version: string }).version

// Cases whose outcome hangs on chance with a peer: they count as failed, which they are now and then.
const waits = "its waits are random, and their range reaches beyond what is asked for"
const unsteady: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  openai: { "retry/backoff-grows": waits },
  "groq-sdk": { "retry/backoff-grows": waits },
  "@langchain/openai": { "retry/backoff-grows": waits },
  "@mistralai/mistralai": { "retry/backoff-grows": waits }
}

// What differs from run to run is left out.
const steady = (problem: string) =>
  firstLine(problem)
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1")
    .replaceAll(/(after|took|open) \d+ ms/g, "$1 some ms")
    .replaceAll(/(call\\?":)\d+/g, "$1…")
    .replaceAll(/\/runs\/[0-9a-f]+\/cases\/[^\s"/]+/g, "…")

const asPeer = async (name: string, title = `\`${name}\` ${versionOf(name)}`): Promise<Column> => {
  const lines = await output(path("."), process.execPath, [path("run.ts"), name])
  const verdicts = lines
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => {
      const { id, problems, verdict } = JSON.parse(line) as Result
      const chance = unsteady[name]?.[id]
      if (chance !== undefined) return [id, { verdict: "fail", did: chance }] as const
      return [id, { verdict: verdict === "pass" || verdict === "n/a" ? verdict : "fail", did: steady(problems[0] ?? "") }] as const
    })
  return { title, verdicts: new Map<string, { verdict: Verdict; did: string }>(verdicts) }
}

/** Our provider for the AI SDK. What the AI SDK cannot express is declared: any other failure, and a declared one that passes, fails the run. */
const inAiSdk = async (): Promise<Column> => {
  const column = await asPeer("ai-sdk", `ours, in \`ai\` ${versionOf("ai")}`)
  const list = JSON.parse(readFileSync(path("known/ai-sdk.json"), "utf8")) as ReadonlyArray<{
    readonly pattern: string
    readonly reason: string
  }>
  const declared = new Map(list.map(({ pattern, reason }) => [pattern, reason]))
  const verdicts = [...column.verdicts].map(([id, { did, verdict }]) => {
    if ((verdict === "fail") !== declared.has(id)) {
      console.error(`${id}: ${verdict} in the AI SDK, which known/ai-sdk.json does not declare: ${did}`)
      process.exitCode = 1
    }
    return [id, { verdict, did: declared.get(id) ?? did }] as const
  })
  return { ...column, verdicts: new Map(verdicts) }
}

/** A case with its variants. It fails if one of them does, and does not apply if none of them does. */
interface Row {
  readonly item: Case
  readonly instances: ReadonlyArray<string>
}

const rowsOf = (cases: ReadonlyArray<Case>): ReadonlyArray<Row> =>
  cases.map((item) => ({ item, instances: Cases.plan.filter((instance) => instance.case.id === item.id).map(({ id }) => id) }))

const firm = rowsOf(Cases.all.filter(({ basis }) => basis !== "house"))
const house = rowsOf(Cases.all.filter(({ basis }) => basis === "house"))

const verdictOf = (column: Column, { instances }: Row): { readonly verdict: Verdict; readonly did: string } => {
  const found = instances.flatMap((id) => column.verdicts.get(id) ?? [])
  const of = (verdict: Verdict) => found.find((one) => one.verdict === verdict)
  return of("fail") ?? of("pass") ?? { verdict: "n/a", did: found[0]?.did ?? "" }
}

const count = (column: Column, rows: ReadonlyArray<Row>) => {
  const verdicts = rows.map((row) => verdictOf(column, row).verdict)
  const of = (verdict: Verdict) => verdicts.filter((one) => one === verdict).length
  return { passed: of("pass"), failed: of("fail"), lacking: of("n/a") }
}

const cell = (column: Column, rows: ReadonlyArray<Row>) => {
  const { failed, lacking, passed } = count(column, rows)
  return [String(passed), ...(failed === 0 ? [] : [`${failed} fail`]), ...(lacking === 0 ? [] : [`${lacking} n/a`])].join(", ")
}

const escaped = (text: string) => {
  const line = text.length > 160 ? `${text.slice(0, 159)}…` : text
  return line
    .replaceAll("|", "\\|")
    .replaceAll("<", "&lt;")
    .replaceAll(/\p{Cc}/gu, " ")
}

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const groupOf = ({ item }: Row) => item.id.slice(0, item.id.indexOf("/"))

const overview = (columns: ReadonlyArray<Column>, rows: ReadonlyArray<Row>) => {
  const groups = [...new Set(rows.map(groupOf))]
  const lines = groups.map((group) => {
    const own = rows.filter((row) => groupOf(row) === group)
    return [group, String(own.length), ...columns.map((column) => cell(column, own))]
  })
  const sum = ["**all**", `**${rows.length}**`, ...columns.map((column) => `**${cell(column, rows)}**`)]
  return table(["", "cases", ...columns.map(({ title }) => title)], [sum, ...lines])
}

const having = (column: Column, rows: ReadonlyArray<Row>, verdict: Verdict) =>
  rows.flatMap((row) => {
    const found = verdictOf(column, row)
    return found.verdict === verdict ? [{ row, did: found.did }] : []
  })

const failures = (column: Column, rows: ReadonlyArray<Row>) => {
  const lines = having(column, rows, "fail").map(({ did, row: { item } }) => [
    `\`${item.id}\``,
    item.level,
    escaped(item.rule),
    escaped(did)
  ])
  return lines.length === 0 ? "" : `\n### ${column.title}\n\n${table(["case", "level", "what is held", "what it did"], lines)}\n`
}

const ids = (rows: ReadonlyArray<{ readonly row: Row }>) => rows.map(({ row }) => `\`${row.item.id}\``).join(", ")

const lacking = (column: Column) => {
  const found = having(column, [...firm, ...house], "n/a")
  const reasons = [...new Set(found.map(({ did }) => did))].toSorted()
  const lines = reasons.map((reason) => {
    const own = found.filter(({ did }) => did === reason)
    return `- ${escaped(reason)} (${own.length}): ${ids(own)}`
  })
  return lines.length === 0 ? "" : `\n### ${column.title}\n\n${lines.join("\n")}\n`
}

const besides = (column: Column) => {
  const found = having(column, house, "fail")
  return found.length === 0 ? "" : `\n### ${column.title} (${found.length})\n\n${ids(found)}\n`
}

const page = async (ours: ReadonlyArray<Column>, peers: ReadonlyArray<Column>) => {
  const columns = [...ours, ...peers]
  const { cases, hash, instances } = await Plan.summarize(Cases.plan)
  return `# Conformance, by subject

Written by \`pnpm matrix\`: ${cases} cases of the client's side in ${instances} variants, hash ${hash}. The cases themselves: [CASES.md](CASES.md).

## Standard and contract

${firm.length} cases cite a clause of a standard, the published specification of the endpoint, or the recorded behaviour of vLLM. They are the same for every
subject, and all count in every column: how many pass, how many fail, and how many do not apply, because of what a subject declares, of what it
cannot express, or of where it runs. A case fails if one of its variants does.

${overview(columns, firm)}

## House

${house.length} cases hold decisions of this project, which others never promised: to know the paths of this endpoint, to reject a request before it is sent, to
follow no redirect, to mend what servers get wrong. They are SHOULD at most. What errors are called is asked of our clients alone.

${overview(columns, house)}

How the peers are read, each as favourably as is true: [openai and groq-sdk](peers/src/openai.ts), [ai](peers/src/ai.ts),
[@langchain/openai](peers/src/langchain.ts), [@mistralai/mistralai](peers/src/mistral.ts).

## Failures of standard and contract
${columns.map((column) => failures(column, firm)).join("")}
## Departures from the house
${columns.map(besides).join("")}
## What does not apply
${columns.map(lacking).join("")}`
}

const known = (column: Column) =>
  Cases.plan.flatMap(({ id }) => {
    const found = column.verdicts.get(id)
    return found?.verdict === "fail" ? [{ pattern: id, reason: found.did, until: "9999-12-31" }] : []
  })

// Test runners have one case at a time, and mostly wait: they go on beside each other. The rest, of which each has several cases at once, goes on one
// after the other.
const ours: Array<Column> = await Promise.all([
  inVitest("ours, Node", "node", path("../../packages/node")),
  inVitest("ours, Chromium", "browser", path("../../packages/browser")),
  inDeno("ours, Deno", path("../../packages/deno"))
])
ours.push(await asPeer("effect-ai", "ours, in `effect/ai`"))
ours.push(await inAiSdk())
const names = Object.keys(subjects)
const peers: Array<Column> = []
for (const name of names) peers.push(await asPeer(name))
rmSync(scratch, { recursive: true })

const incomplete = [...ours, ...peers].filter(({ verdicts }) => Cases.plan.some(({ id }) => !verdicts.has(id)))
for (const { title, verdicts } of incomplete) {
  console.error(`${title}: ${Cases.plan.filter(({ id }) => !verdicts.has(id)).length} of ${Cases.plan.length} cases have no result`)
}
if (incomplete.length > 0) process.exit(1)

const fileOf = (name: string) => `known/${name.replaceAll(/[^a-z]+/g, "-").replace(/^-/, "")}.json`
const lists = peers.map((column, i) => [fileOf(names[i] ?? ""), `${JSON.stringify(known(column), null, 2)}\n`] as const)
const contents: Readonly<Record<string, string>> = { "../MATRIX.md": await page(ours, peers), ...Object.fromEntries(lists) }

for (const [name, content] of Object.entries(contents)) {
  if (!process.argv.includes("--check")) {
    writeFileSync(path(name), content)
    continue
  }
  const before = readFileSync(path(name), "utf8").split("\n")
  const changed = content.split("\n").filter((line) => !before.includes(line))
  if (before.join("\n") === content) continue
  console.error(`conformance/${join("peers", name)} is out of date: run pnpm matrix\n${changed.map((line) => `  ${line}`).join("\n")}`)
  process.exitCode = 1
}
