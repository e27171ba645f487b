/**
 * `pnpm matrix`: runs the suite with ours, as its adapters do, in Node, Chromium and Deno, and with the peers in Node, and writes what came of it:
 * `conformance/MATRIX.md`, and the peers' lists of known failures. `--check` writes nothing and fails where a file is not what it should be.
 */
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

const inVitest = async (title: string, directory: string): Promise<Column> => {
  const file = join(scratch, `${title}.json`)
  await output(directory, "vitest", ["run", "test/conformance.test.ts", "--reporter=json", `--outputFile=${file}`])
  const { testResults } = JSON.parse(readFileSync(file, "utf8")) as VitestReport
  const verdicts = testResults.flatMap(({ assertionResults }) =>
    assertionResults.map(({ failureMessages, status, title: id }) => {
      const verdict: Verdict = status === "passed" ? "pass" : status === "failed" ? "fail" : "n/a"
      return [id, { verdict, did: firstLine(failureMessages[0] ?? "") }] as const
    })
  )
  return { title, verdicts: new Map(verdicts) }
}

// Its report does not tell what did not apply: that follows from what the subject declares.
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
  const subject = ParadigmSubject.make({ runtime: "deno", layer: Paradigm.layer })
  const report = readFileSync(file, "utf8")
  const failed = new Set(
    [...report.matchAll(/<testcase name="([^"]+)"[^>]*[^/]>\s*<failure/g)].map((match) => match[1]?.replaceAll("&amp;", "&"))
  )
  const names = new Set([...report.matchAll(/<testcase name="([^"]+)"/g)].map((match) => match[1]))
  const verdicts = Cases.plan
    .filter((instance) => names.has(instance.id))
    .map((instance) => {
      const verdict: Verdict = Plan.notApplicable(instance, subject) !== undefined ? "n/a" : failed.has(instance.id) ? "fail" : "pass"
      return [instance.id, { verdict, did: "" }] as const
    })
  return { title, verdicts: new Map(verdicts) }
}

const versionOf = (name: string) =>
  (JSON.parse(readFileSync(path(`node_modules/${name}/package.json`), "utf8")) as { readonly version: string }).version

// Cases whose outcome hangs on chance with a peer: they count as failed, which they are now and then.
const unsteady: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  openai: { "retry/backoff-grows": "its waits are random, and their range reaches beyond what is asked for" }
}

// What differs from run to run is left out.
const steady = (problem: string) =>
  firstLine(problem)
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1")
    .replaceAll(/(after|took|open) \d+ ms/g, "$1 some ms")
    .replaceAll(/\/runs\/[0-9a-f]+\/cases\/[^\s"/]+/g, "…")

const asPeer = async (name: string, title: string): Promise<Column> => {
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

const count = (column: Column, ids: ReadonlyArray<string>) => {
  const of = (verdict: Verdict) => ids.filter((id) => column.verdicts.get(id)?.verdict === verdict).length
  return { passed: of("pass"), failed: of("fail"), lacking: of("n/a") }
}

const cell = (column: Column, ids: ReadonlyArray<string>) => {
  const { failed, lacking, passed } = count(column, ids)
  if (passed + failed === 0) return "n/a"
  return `${passed}${failed === 0 ? "" : ` of ${passed + failed}`}${lacking === 0 ? "" : ` (${lacking} n/a)`}`
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

const failuresOf = (column: Column) => Cases.plan.filter(({ id }) => column.verdicts.get(id)?.verdict === "fail").map(({ id }) => id)

const page = async (ours: ReadonlyArray<Column>, peers: ReadonlyArray<Column>) => {
  const columns = [...ours, ...peers]
  const ids = Cases.plan.map(({ id }) => id)
  const groups = [...new Set(ids.map((id) => id.slice(0, id.indexOf("/"))))]
  const rows = groups.map((group) => {
    const own = ids.filter((id) => id.startsWith(`${group}/`))
    return [group, ...columns.map((column) => cell(column, own))]
  })
  const rules = new Map(Cases.plan.map((instance) => [instance.id, instance.case.rule]))
  const failures = (column: Column, level: string) => {
    const list = failuresOf(column)
    if (list.length === 0) return ""
    const lines = list.map((id) => [`\`${id}\``, escaped(rules.get(id) ?? ""), escaped(column.verdicts.get(id)?.did ?? "")])
    return `\n${level} ${column.title}\n\n${table(["case", "what is held", "what it did"], lines)}\n`
  }
  const { cases, hash, instances } = await Plan.summarize(Cases.plan)
  return `# Conformance, by subject

Written by \`pnpm matrix\`: ${cases} cases of the client's side in ${instances} variants, hash ${hash}. A number is how many variants are passed; "of" says how many
were run where some failed. What does not apply follows from what a subject declares, or from where it runs. The cases themselves: [CASES.md](CASES.md).

${table(["", ...columns.map(({ title }) => title)], [...rows, ["**all**", ...columns.map((column) => `**${cell(column, ids)}**`)]])}

The suite holds clients to this project's rules, some of which others never promised: to know this endpoint's paths, to refuse a request before
it is sent, to follow no redirect, to keep in an error what had arrived. How the peers' answers are read, each as favourably as is true:
[openai](peers/src/openai.ts), [ai](peers/src/ai.ts).
${ours.map((column) => failures(column, "##")).join("")}
## What the peers fail
${peers.map((column) => failures(column, "###")).join("")}`
}

const known = (column: Column) =>
  failuresOf(column).map((id) => ({ pattern: id, reason: column.verdicts.get(id)?.did ?? "", until: "9999-12-31" }))

const peers = Promise.all([asPeer("openai", `\`openai\` ${versionOf("openai")}`), asPeer("ai", `\`ai\` ${versionOf("ai")}`)])
const ours: Array<Column> = []
ours.push(await inVitest("ours, Node", path("../../packages/node")))
ours.push(await inVitest("ours, Chromium", path("../../packages/browser")))
ours.push(await inDeno("ours, Deno", path("../../packages/deno")))
ours.push(await asPeer("effect-ai", "ours, effect/ai"))
ours.push(await inAiSdk())
const [openai, ai] = await peers
rmSync(scratch, { recursive: true })

const incomplete = [...ours, openai, ai].filter(({ verdicts }) => Cases.plan.some(({ id }) => !verdicts.has(id)))
for (const { title, verdicts } of incomplete) {
  console.error(`${title}: ${Cases.plan.filter(({ id }) => !verdicts.has(id)).length} of ${Cases.plan.length} cases have no result`)
}
if (incomplete.length > 0) process.exit(1)

const contents = {
  "../MATRIX.md": await page(ours, [openai, ai]),
  "known/openai.json": `${JSON.stringify(known(openai), null, 2)}\n`,
  "known/ai.json": `${JSON.stringify(known(ai), null, 2)}\n`
}

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
