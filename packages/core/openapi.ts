// Writes what is made from the contract: docs/openapi.json, and the checks that need no schema library, src/contract/validators.generated.ts.
// With --check it only says whether both are up to date.
import * as OpenApi from "effect/http-api/OpenApi"
import { readFileSync, writeFileSync } from "node:fs"
import { ParadigmApi } from "./src/ParadigmApi.ts"

interface JsonSchema {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly minimum?: number
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly enum?: ReadonlyArray<string>
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: boolean | JsonSchema
}

const document = JSON.parse(JSON.stringify(OpenApi.fromApi(ParadigmApi)))
const schemas: Readonly<Record<string, JsonSchema>> = document.components.schemas

const used = new Set<string>()
const declarations: Array<string> = []

// What a stream's every chunk has.
const hot = new Set(["ChatCompletionChunk", "ChatCompletionDelta", "ToolCallDelta", "CompletionUsage"])

const declare = (name: string): string => {
  const schema = schemas[name]
  if (schema === undefined) throw new Error(`The contract has no schema ${name}`)
  if (!declarations.some((declaration) => declaration.startsWith(`export const ${name} =`))) {
    declarations.push(`export const ${name} = ${toShape(schema, hot.has(name))}`)
  }
  return name
}

const use = (combinator: string, ...args: ReadonlyArray<string>): string => {
  used.add(combinator)
  return args.length === 0 ? combinator : `${combinator}(${args.join(", ")})`
}

// Whether a field has its shape, written out: looking fields up by name costs several times as much, and a stream asks for every chunk.
const toTest = (name: string, schema: JsonSchema, isRequired: boolean): string => {
  const types = (schema.anyOf?.filter((member) => member.enum === undefined) ?? [schema]).map(({ type }) => type)
  if (isRequired && types.join() === "string") return `typeof v.${name} === "string"`
  if (!isRequired && types.join() === "string,null") return `${use("isText")}(v.${name})`
  // Most of what a chunk might have it has not, or null.
  const absent = isRequired ? "" : `v.${name} === undefined || ${types.includes("null") ? `v.${name} === null || ` : ""}`
  return `${absent}f.${name}.accepts(v.${name})`
}

const toTests = (properties: Readonly<Record<string, JsonSchema>>, required: ReadonlyArray<string>): string =>
  Object.entries(properties)
    .map(([name, schema]) => `(${toTest(name, schema, required.includes(name))})`)
    .join(" && ")

const toShape = (schema: JsonSchema, isHot = false): string => {
  if (schema.$ref !== undefined) return declare(schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1))
  if (schema.anyOf !== undefined) {
    // Known strings beside any string are for documentation.
    const members = [...new Set(schema.anyOf.filter((member) => member.enum === undefined).map((member) => toShape(member)))]
    const [only] = members
    return members.length === 1 && only !== undefined ? only : use("union", ...members)
  }
  if (schema.enum !== undefined) throw new Error(`No shape for a closed list of values: ${schema.enum.join(", ")}`)
  switch (schema.type) {
    case "object": {
      if (schema.properties === undefined) {
        const values = typeof schema.additionalProperties === "object" ? toShape(schema.additionalProperties) : "any"
        return values === "any" ? use("record") : use("recordOf", values)
      }
      const fields = Object.entries(schema.properties).map(([name, field]) => `${name}: ${toShape(field, isHot)}`)
      const required = schema.required ?? []
      const tests = isHot ? [`(v, f) => ${toTests(schema.properties, required)}`] : []
      const asked = required.length > 0 || isHot ? [JSON.stringify(required)] : []
      return use("object", `{ ${fields.join(", ")} }`, ...asked, ...tests)
    }
    case "array":
      return use("array", schema.items === undefined ? use("any") : toShape(schema.items, isHot))
    case "integer":
      return use(schema.format === "int64" ? "int64" : schema.minimum === 0 ? "count" : "integer")
    case "null":
      return use("nil")
    case "boolean":
    case "number":
    case "string":
      return use(schema.type)
    case undefined:
      return use("any")
    default:
      throw new Error(`No shape for the type ${schema.type}`)
  }
}

for (const root of ["ChatCompletionRequest", "ChatCompletion", "ChatCompletionChunk"]) declare(root)
const source = [
  "// Generated from the contract by openapi.ts: `pnpm openapi`.",
  `import { ${[...used].toSorted().join(", ")} } from "./validator.ts"`,
  ...declarations,
  ""
].join("\n")

const outputs: ReadonlyArray<readonly [string, string]> = [
  ["../../docs/openapi.json", `${JSON.stringify(document, null, 2)}\n`],
  ["src/contract/validators.generated.ts", source]
]
for (const [path, content] of outputs) {
  const file = new URL(path, import.meta.url)
  if (!process.argv.includes("--check")) writeFileSync(file, content)
  else if (readFileSync(file, "utf8") !== content) {
    console.error(`${path} is not what the contract says. Run: pnpm openapi`)
    process.exitCode = 1
  }
}
