/**
 * Runs schemathesis against a gateway in front of a simulator, by the OpenAPI document. `schemathesis.sh` installs schemathesis and starts this.
 * The first argument is its executable, further ones are its options.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startBeforeSimulator } from "./BeforeSimulator.ts"

interface Document {
  readonly components: { readonly schemas: { readonly ChatCompletionRequest: { readonly properties: Record<string, unknown> } } }
}

const [executable = "st", ...options] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), "schemathesis-"))
const document = JSON.parse(readFileSync(new URL("../../../docs/openapi.json", import.meta.url), "utf8")) as Document
// A model that exists: valid requests reach the simulator.
document.components.schemas.ChatCompletionRequest.properties["model"] = { type: "string", enum: ["alfred"] }
writeFileSync(join(folder, "openapi.json"), JSON.stringify(document))
const { baseUrl, close } = await startBeforeSimulator()
const args = ["run", join(folder, "openapi.json"), "--url", baseUrl, "--header", "Authorization: Bearer pk-conformance", ...options]
const [code] = (await once(spawn(executable, args, { stdio: "inherit", cwd: folder }), "exit")) as [number | null]
await close()
rmSync(folder, { recursive: true })
process.exit(code ?? 1)
