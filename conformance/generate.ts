/**
 * Writes what follows from the sources: `cases.schema.json` from `Case.ts` and `ServerCase.ts`, `cases.plan.json`, by which every runner sees that it runs the whole
 * list, and `CASES.md`, the list for people. `node generate.ts`; a test says when it is due.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Schema from "effect/Schema"
import { type Case, CaseFile } from "./src/case/Case.ts"
import * as Cases from "./src/case/Cases.ts"
import * as Plan from "./src/plan/Plan.ts"
import { ProfileFile, type ServerCase, ServerCaseFile } from "./src/server/ServerCase.ts"
import * as ServerCases from "./src/server/ServerCases.ts"
import { mutants } from "./test/mutants.ts"
import { serverMutants } from "./test/serverMutants.ts"

const groupOf = (id: string) => id.slice(0, id.indexOf("/"))

const sourceOf = (source: string) =>
  source.startsWith("https://") ? `[${new URL(source).hostname.replace(/^www\./, "")}](${source})` : source

const line = (cells: ReadonlyArray<string>) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`

const serverRow = ({ id, level, needs, rule, source }: ServerCase) => {
  const caught = serverMutants.filter(([, by]) => by === id).map(([bug]) => bug)
  return line([id, level, rule, needs.join(", "), source.map(sourceOf).join(", "), caught.join(", ")])
}

const row = ({ axes, id, level, needs, rule, runtimes, source }: Case) => {
  const variants = Object.entries(axes ?? {}).map(([axis, values]) => `${axis}: ${values.join(", ")}`)
  const where = [...needs, ...(runtimes ?? []).map((runtime) => `in ${runtime}`)]
  const caught = mutants.filter(([, by]) => by.replace(/\[.*/, "") === id).map(([bug]) => bug)
  return line([id, level, rule, variants.join("; "), where.join(", "), source.map(sourceOf).join(", "), caught.join(", ")])
}

const serverSections = () =>
  [...new Set(ServerCases.all.map(({ id }) => groupOf(id)))].flatMap((group) => {
    const cases = ServerCases.all.filter(({ id }) => groupOf(id) === group)
    const head = ["| id | level | what is held | needs | source | bugs it is known to catch |", "|---|---|---|---|---|---|"]
    return ["", `## ${group} (${cases.length})`, "", ...head, ...cases.map(serverRow)]
  })

const page = () => {
  const groups = [...new Set(Cases.all.map(({ id }) => groupOf(id)))]
  const sections = groups.flatMap((group) => {
    const cases = Cases.all.filter(({ id }) => groupOf(id) === group)
    const head = ["| id | level | what is held | variants | needs | source | bugs it is known to catch |", "|---|---|---|---|---|---|---|"]
    return ["", `## ${group} (${cases.length})`, "", ...head, ...cases.map(row)]
  })
  return [
    "# Client cases",
    "",
    `${Cases.all.length} cases, ${Cases.plan.length} with their variants. Made by \`node generate.ts\` from \`cases/client/*.json\`; the bugs are those of`,
    "`test/mutants.ts`. `policy` stands for a decision of this project where nothing else says.",
    ...sections,
    "",
    "# Server cases",
    "",
    `${ServerCases.all.length} cases, from \`cases/server/*.json\`; the bugs are those of \`test/serverMutants.ts\`.`,
    ...serverSections(),
    ""
  ].join("\n")
}

const document = Schema.toJsonSchemaDocument(Schema.Union([CaseFile, ServerCaseFile, ProfileFile]), { onExcessProperty: "error" })

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

const contents: Readonly<Record<string, string>> = {
  "cases.schema.json": json({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Conformance cases of chat completions",
    ...document.schema,
    $defs: document.definitions
  }),
  "cases.plan.json": json(await Plan.summarize(Cases.plan)),
  "CASES.md": page()
}

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

// The formatter may lay out JSON in its own way.
const normal = (name: string, text: string) => (name.endsWith(".json") ? JSON.stringify(JSON.parse(text)) : text)

/** The generated files whose content is not what it should be. */
export const outdated = (): ReadonlyArray<string> =>
  Object.entries(contents).flatMap(([name, content]) =>
    normal(name, readFileSync(path(name), "utf8")) === normal(name, content) ? [] : [name]
  )

if (import.meta.main) {
  for (const [name, content] of Object.entries(contents)) writeFileSync(path(name), content)
}
