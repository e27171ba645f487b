/**
 * Writes what follows from the sources: `cases.schema.json` from `Case.ts` and `ServerCase.ts`, `cases.plan.json`, by which every runner sees that it runs the whole
 * list, and `CASES.md`, the list for people. `node generate.ts`; a test says when it is due.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import * as Schema from "effect/Schema"
import type { Case } from "./src/case/Case.ts"
import * as Cases from "./src/case/Cases.ts"
import * as Results from "./results.ts"
import * as Plan from "./src/plan/Plan.ts"
import { ProfileFile, type ServerCase } from "./src/server/ServerCase.ts"
import * as ServerCases from "./src/server/ServerCases.ts"
import { mutants } from "./test/mutants.ts"
import { serverMutants } from "./test/serverMutants.ts"

const groupOf = (id: string) => id.slice(0, id.indexOf("/"))

const nameOf = ({ hash, hostname, pathname }: URL) => {
  const page = pathname.split("/").findLast((part) => part !== "") ?? ""
  return `${hostname.replace(/^www\./, "")} ${page}${decodeURIComponent(hash)}`
}

const sourceOf = (source: string) => (source.startsWith("https://") ? `[${nameOf(new URL(source))}](${source})` : source)

const basisOf = ({ basis, keyword }: Pick<Case, "basis" | "keyword">) => (keyword === undefined ? basis : `${basis}: ${keyword}`)

const line = (cells: ReadonlyArray<string>) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`

const serverRow = (item: ServerCase) => {
  const { id, level, needs, rule, source } = item
  const caught = serverMutants.filter(([, by]) => by === id).map(([bug]) => bug)
  return line([id, level, rule, needs.join(", "), basisOf(item), source.map(sourceOf).join(", "), caught.join(", ")])
}

const row = (item: Case) => {
  const { axes, id, level, needs, rule, runtimes, source } = item
  const variants = Object.entries(axes ?? {}).map(([axis, values]) => `${axis}: ${values.join(", ")}`)
  const where = [...needs, ...(runtimes ?? []).map((runtime) => `in ${runtime}`)]
  const caught = mutants.filter(([, by]) => by.replace(/\[.*/, "") === id).map(([bug]) => bug)
  return line([id, level, rule, variants.join("; "), where.join(", "), basisOf(item), source.map(sourceOf).join(", "), caught.join(", ")])
}

const serverSections = () =>
  [...new Set(ServerCases.all.map(({ id }) => groupOf(id)))].flatMap((group) => {
    const cases = ServerCases.all.filter(({ id }) => groupOf(id) === group)
    const head = ["| id | level | what is held | needs | basis | source | bugs it is known to catch |", "|---|---|---|---|---|---|---|"]
    return ["", `## ${group} (${cases.length})`, "", ...head, ...cases.map(serverRow)]
  })

const page = () => {
  const groups = [...new Set(Cases.all.map(({ id }) => groupOf(id)))]
  const sections = groups.flatMap((group) => {
    const cases = Cases.all.filter(({ id }) => groupOf(id) === group)
    const head = [
      "| id | level | what is held | variants | needs | basis | source | bugs it is known to catch |",
      "|---|---|---|---|---|---|---|---|"
    ]
    return ["", `## ${group} (${cases.length})`, "", ...head, ...cases.map(row)]
  })
  return [
    "# Client cases",
    "",
    `${Cases.all.length} cases, ${Cases.plan.length} with their variants. Made by \`node generate.ts\` from \`cases/client/*.json\` and \`recordings/\`; the bugs`,
    "are those of `test/mutants.json`. The basis is who says so, with the keyword of the clause, which the level does not exceed; `policy` is a",
    "decision of this project. `recording:SERVER/NAME` is a recorded response in `recordings/recordings.json`.",
    ...sections,
    "",
    "# Server cases",
    "",
    `${ServerCases.all.length} cases, from \`cases/server/*.json\`; the bugs are those of \`test/serverMutants.json\`.`,
    ...serverSections(),
    ""
  ].join("\n")
}

const document = Schema.toJsonSchemaDocument(Schema.Union([Cases.File, ServerCases.File, ProfileFile]), { onExcessProperty: "error" })

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const read = (name: string) => (existsSync(path(name)) ? readFileSync(path(name), "utf8") : "")

const { version } = JSON.parse(read("package.json")) as { readonly version: string }
const matrix = Results.parse(read("MATRIX.md"))
const released = JSON.parse(read("history.json") || "[]") as ReadonlyArray<Results.Release>
const history = Results.record(released, version, matrix, new Date().toISOString().slice(0, 10))

const contents: Readonly<Record<string, string>> = {
  "cases.schema.json": json({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Conformance cases of chat completions",
    ...document.schema,
    $defs: document.definitions
  }),
  "cases.plan.json": json(await Plan.summarize(Cases.plan)),
  "CASES.md": page(),
  "history.json": json(history),
  "../docs/conformance.md": Results.page(matrix, history, Cases.all),
  ...Object.fromEntries(Object.entries(Results.badges(matrix)).map(([name, svg]) => [`../docs/badges/${name}`, svg]))
}

// The formatter may lay out JSON in its own way.
const normal = (name: string, text: string) => (name.endsWith(".json") && text !== "" ? JSON.stringify(JSON.parse(text)) : text)

/** The generated files whose content is not what it should be. */
export const outdated = (): ReadonlyArray<string> =>
  Object.entries(contents).flatMap(([name, content]) => (normal(name, read(name)) === normal(name, content) ? [] : [name]))

if (import.meta.main) {
  for (const [name, content] of Object.entries(contents)) {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), content)
  }
}
