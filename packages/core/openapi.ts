// Writes what is made from the contract: docs/openapi.json, and in src/contract the interfaces (types.generated.ts), the typed schemas
// (schemas.generated.ts) and the validators (validators.generated.ts). With --check it only reports whether they are up to date.
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { readFileSync, writeFileSync } from "node:fs"
import * as messages from "./src/contract/message.ts"
import * as requests from "./src/contract/request.ts"
import * as responses from "./src/contract/response.ts"
import { aliasAnnotation, type Field, type Fields, groups, Int64, type Model, modelOf, Positive } from "./src/contract/schema.ts"

type Ast = SchemaAST.AST

const unknownType = (ast: Ast): Error => new Error(`The contract has no notation for ${ast._tag}`)

const knownValues = (ast: Ast): ReadonlyArray<string> => {
  const known = ast.annotations?.["examples"]
  return Array.isArray(known) ? known.map(String) : []
}

const itemOf = (ast: SchemaAST.Arrays): Ast => {
  const [item] = ast.rest
  if (item === undefined) throw unknownType(ast)
  return item
}

const valueOf = (ast: SchemaAST.Objects): Ast => {
  const [values] = ast.indexSignatures
  if (values === undefined) throw unknownType(ast)
  return values.type
}

// Validators.

const validators = new Map<string, string>()
const combinators = new Set<string>()

// Models that every chunk of a stream has.
const hot = new Set([
  "ChatCompletionChunk",
  "ChatCompletionChunkChoice",
  "ChatCompletionDelta",
  "ToolCallDelta",
  "FunctionCallDelta",
  "CompletionUsage"
])

const use = (combinator: string, ...args: ReadonlyArray<string>): string => {
  // `any` is only the values of a `record`.
  if (combinator !== "any") combinators.add(combinator)
  return args.length === 0 ? combinator : `${combinator}(${args.join(", ")})`
}

const toCheck = ([name, { isRequired, schema }]: readonly [string, Field]): string => {
  const isString = toValidator(schema.ast) === "string"
  if (isRequired) return isString ? `typeof v.${name} === "string"` : `f.${name}.accepts(v.${name})`
  return isString ? `${use("isOptionalString")}(v.${name})` : `${use("isOptional")}(v.${name}, f.${name})`
}

const declareValidator = ({ fields, identifier, oneOf }: Model): string => {
  if (!validators.has(identifier)) {
    const all = Object.entries(fields)
    const required = all.filter(([, { isRequired }]) => isRequired)
    const sorted = [...required, ...all.filter(([, { isRequired }]) => !isRequired)]
    const types = sorted.map(([name, { keepsNull, schema }]) => {
      const type = toValidator(schema.ast)
      return `${name}: ${keepsNull ? use("keepNull", type) : type}`
    })
    const tests = hot.has(identifier) ? sorted.map(toCheck).join(" && ") : undefined
    const check = tests === undefined ? [] : [`(${tests.includes("f.") ? "v, f" : "v"}) => ${tests}`]
    const args = [
      `${required.length}`,
      `{ ${types.join(", ")} }`,
      ...(oneOf.length + check.length > 0 ? [JSON.stringify(oneOf)] : []),
      ...check
    ]
    validators.set(identifier, `export const ${identifier} = /* @__PURE__ */ ${use("model", ...args)}`)
  }
  return identifier
}

const toValidator = (ast: Ast): string => {
  const model = modelOf({ ast })
  if (model !== undefined) return declareValidator(model)
  if (ast === Int64.ast) return use("int64")
  switch (ast._tag) {
    case "Objects": {
      const values = toValidator(valueOf(ast))
      return values === "any" ? use("record") : use("map", values)
    }
    case "Arrays":
      return use(ast.checks === undefined ? "array" : "nonEmptyArray", toValidator(itemOf(ast)))
    case "Union":
      return use("union", ...new Set(ast.types.map(toValidator)))
    case "Number":
      if (ast.checks === Schema.Int.ast.checks) return use("integer")
      if (ast.checks === Schema.Natural.ast.checks) return use("natural")
      return use(ast.checks === Positive.ast.checks ? "positive" : "number")
    case "Null":
      return use("nil")
    case "Unknown":
      return use("any")
    case "String":
    case "Boolean":
      return use(ast._tag.toLowerCase())
    default:
      throw unknownType(ast)
  }
}

// TypeScript.

const types = new Map<string, string>()

const toProperty = ([name, { deprecated, description, isRequired, schema, tag }]: [string, Field]) => {
  const comment = `  /** ${deprecated === undefined ? description : `@deprecated ${deprecated}`} */`
  if (tag !== undefined) return `${comment} readonly ${name}: "${tag}"\n`
  const type = toType(schema.ast)
  return `${comment} readonly ${name}${isRequired ? `: ${type}` : `?: ${type} | Absent`}\n`
}

const toInterface = (name: string, fields: Fields): string => {
  const bases = groups.filter(
    (group) => group.identifier !== name && Object.entries(group.fields).every(([key, field]) => fields[key] === field)
  )
  const own = Object.entries(fields).filter(([key]) => !bases.some((base) => key in base.fields))
  const names = bases.map((base) => declareType(base.identifier, base.description, () => toInterface(base.identifier, base.fields)))
  const heritage = names.length === 0 ? "" : ` extends ${names.join(", ")}`
  return `interface ${name}${heritage} {\n${own.map(toProperty).join("")}}`
}

const declareType = (name: string, description: string, toDeclaration: () => string): string => {
  if (!types.has(name)) {
    types.set(name, "")
    const declaration = toDeclaration()
    types.delete(name)
    types.set(name, `/** ${description} */\nexport ${declaration}\n`)
  }
  return name
}

const toOpenString = (known: ReadonlyArray<string>) => `OpenString<${known.map((value) => `"${value}"`).join(" | ")}>`

const toType = (ast: Ast): string => {
  const model = modelOf({ ast })
  if (model !== undefined) {
    return declareType(model.identifier, model.description, () => {
      const members = model.variants.map(({ description, fields, identifier }) =>
        declareType(identifier, description, () => toInterface(identifier, fields))
      )
      return members.length === 0 ? toInterface(model.identifier, model.fields) : `type ${model.identifier} = ${members.join(" | ")}`
    })
  }
  const alias = ast.annotations?.[aliasAnnotation]
  if (typeof alias === "string")
    return declareType(alias, String(ast.annotations?.["description"]), () => `type ${alias} = ${toUnnamed(ast)}`)
  return toUnnamed(ast)
}

const toElement = (type: string) => (type.includes("|") ? `(${type})` : type)

const toUnnamed = (ast: Ast): string => {
  if (ast === Int64.ast) return "number | bigint"
  switch (ast._tag) {
    case "Objects": {
      const values = toType(valueOf(ast))
      return values === "unknown" ? "JsonObject" : `Readonly<Record<string, ${values}>>`
    }
    case "Arrays":
      return `readonly ${toElement(toType(itemOf(ast)))}[]`
    case "Union":
      return ast.types.map(toType).join(" | ")
    case "String": {
      const known = knownValues(ast)
      return known.length === 0 ? "string" : toOpenString(known)
    }
    case "Number":
    case "Boolean":
    case "Null":
    case "Unknown":
      return ast._tag.toLowerCase()
    default:
      throw unknownType(ast)
  }
}

const sources = { messages, requests, responses }
const schemas: Array<string> = []
for (const [module, declared] of Object.entries(sources)) {
  for (const [name, schema] of Object.entries(declared)) {
    if (!Schema.isSchema(schema)) continue
    const type = toType(schema.ast)
    toValidator(schema.ast)
    if (type !== name) throw new Error(`${name} is exported by another name than ${type}`)
    schemas.push(`  ${name}: Codec<Types.${name}> = /* @__PURE__ */ typed(${module}.${name})`)
  }
}

const header = "// Generated from the contract by openapi.ts: `pnpm openapi`.\n"

const typesSource = [
  `${header}/** A string with known values, which editors complete. Other values are allowed. */
export type OpenString<Known extends string> = Known | (string & {})

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>

/** A field that is null or undefined counts as absent. */
export type Absent = null | undefined
`,
  ...types.values()
].join("\n")

const schemasSource = `${header}import type { Codec } from "effect/Schema"
import * as messages from "./message.ts"
import * as requests from "./request.ts"
import * as responses from "./response.ts"
import { typed } from "./schema.ts"
import type * as Types from "./types.generated.ts"

export const\n${schemas.join(",\n")}
`

const validatorsSource = [
  `${header}import { ${[...combinators].toSorted().join(", ")} } from "./validator.ts"\n`,
  ...validators.values(),
  `\nexport const models = [${[...validators.keys()].join(", ")}]\n`
].join("\n")

const write = (path: string, content: string) => {
  const file = new URL(path, import.meta.url)
  if (!process.argv.includes("--check")) writeFileSync(file, content)
  else if (readFileSync(file, "utf8") !== content) {
    console.error(`${path} is out of date. Run: pnpm openapi`)
    process.exitCode = 1
  }
}

write("src/contract/types.generated.ts", typesSource)
write("src/contract/schemas.generated.ts", schemasSource)
write("src/contract/validators.generated.ts", validatorsSource)
// Imported here because it imports the files that were written above.
const { ParadigmApi } = await import("./src/ParadigmApi.ts")
write("../../docs/openapi.json", `${JSON.stringify(OpenApi.fromApi(ParadigmApi), null, 2)}\n`)
