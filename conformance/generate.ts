/**
 * Writes what follows from the sources: `cases.schema.json` from `Case.ts`, and `cases.plan.json`, by which every runner sees that it runs
 * the whole list. `node generate.ts`; a test says when it is due.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Schema from "effect/Schema"
import { CaseFile } from "./src/Case.ts"
import * as Cases from "./src/Cases.ts"
import * as Plan from "./src/Plan.ts"

const document = Schema.toJsonSchemaDocument(CaseFile, { onExcessProperty: "error" })

const contents: Readonly<Record<string, unknown>> = {
  "cases.schema.json": {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Conformance cases of chat completions",
    ...document.schema,
    $defs: document.definitions
  },
  "cases.plan.json": await Plan.summarize(Cases.plan)
}

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** The generated files whose content is not what it should be. */
export const outdated = (): ReadonlyArray<string> =>
  Object.entries(contents).flatMap(([name, content]) =>
    JSON.stringify(JSON.parse(readFileSync(path(name), "utf8"))) === JSON.stringify(content) ? [] : [name]
  )

if (import.meta.main) {
  for (const [name, content] of Object.entries(contents)) writeFileSync(path(name), `${JSON.stringify(content, null, 2)}\n`)
}
