// Writes docs/openapi.json from the contract; with --check it only says whether the file is up to date.
import * as OpenApi from "effect/http-api/OpenApi"
import { readFileSync, writeFileSync } from "node:fs"
import { ParadigmApi } from "./src/ParadigmApi.ts"

const file = new URL("../../docs/openapi.json", import.meta.url)
const document = JSON.stringify(OpenApi.fromApi(ParadigmApi), null, 2) + "\n"

if (!process.argv.includes("--check")) writeFileSync(file, document)
else if (readFileSync(file, "utf8") !== document) {
  console.error("docs/openapi.json is not what the contract says. Run: pnpm openapi")
  process.exitCode = 1
}
