/**
 * Copies the declarations that a module exports, and those they name, into a directory without dependencies. Declarations of Effect are replaced
 * by those in `standins`. Each file keeps only the declarations that are named, so that a public type never brings Effect with it.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript-5.9"

const standins = fileURLToPath(new URL("standins", import.meta.url))

// The modules of our own whose types are Effect's.
const replaced = new Set(["Telemetry"])

const nameOf = (file: string) => basename(file, ".d.ts")

const standinFor = (name: string) => {
  const file = join(standins, `${name}.d.ts`)
  return existsSync(file) ? file : undefined
}

/** A name that a file imports, or exports from another file. `*` is the whole module. */
interface Reference {
  readonly from: string
  readonly name: string
}

const everything = "*"

const hasExport = (statement: ts.Statement) =>
  ts.canHaveModifiers(statement) && (ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false)

const textOf = ({ text }: ts.Identifier | ts.StringLiteral) => text

const renamed = (name: string, as: string) => (name === as ? name : `${name} as ${as}`)

class Declarations {
  readonly source: ts.SourceFile
  readonly imports = new Map<string, Reference>()
  readonly exports = new Map<string, Reference>()
  readonly stars: Array<string> = []
  readonly statements = new Map<string, Array<ts.Statement>>()
  /** The names in use. */
  readonly used = new Set<string>()

  constructor(file: string) {
    this.source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true)
    for (const statement of this.source.statements) this.#read(statement)
    // A schema has the name of its interface.
    for (const [name, statements] of this.statements) {
      const types = statements.filter((statement) => !ts.isVariableStatement(statement))
      if (types.length > 0) this.statements.set(name, types)
    }
  }

  #read(statement: ts.Statement) {
    const { moduleSpecifier } = statement as Partial<ts.ImportDeclaration>
    const from = moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier) ? moduleSpecifier.text : ""
    if (ts.isImportDeclaration(statement)) {
      const bindings = statement.importClause?.namedBindings
      if (bindings === undefined) return
      if (ts.isNamespaceImport(bindings)) this.imports.set(bindings.name.text, { from, name: everything })
      else for (const { name, propertyName } of bindings.elements) this.imports.set(name.text, { from, name: textOf(propertyName ?? name) })
    } else if (ts.isExportDeclaration(statement)) {
      const clause = statement.exportClause
      if (clause === undefined) this.stars.push(from)
      else if (ts.isNamespaceExport(clause)) this.exports.set(clause.name.text, { from, name: everything })
      else for (const { name, propertyName } of clause.elements) this.exports.set(name.text, { from, name: textOf(propertyName ?? name) })
    } else {
      const names = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.map(({ name }) => name.getText())
        : [(statement as ts.DeclarationStatement).name?.getText() ?? ""]
      for (const name of names) this.statements.set(name, [...(this.statements.get(name) ?? []), statement])
    }
  }

  /** The members of a namespace that a statement names, and the other names in it. */
  names(statement: ts.Statement): ReadonlyArray<{ readonly name: string; readonly member?: string }> {
    const found: Array<{ readonly name: string; readonly member?: string }> = []
    const visit = (node: ts.Node): void => {
      if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
        const from = (node.argument.literal as ts.StringLiteral).text
        this.imports.set(from, { from, name: everything })
        found.push({ name: from, member: node.qualifier?.getText() ?? "" })
        node.typeArguments?.forEach(visit)
      } else if (ts.isQualifiedName(node) && ts.isIdentifier(node.left)) found.push({ name: node.left.text, member: node.right.text })
      else if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
        found.push({ name: node.expression.text, member: node.name.text })
      } else if (ts.isIdentifier(node)) found.push({ name: node.text })
      else ts.forEachChild(node, visit)
    }
    visit(statement)
    return found
  }
}

export class Bundle {
  readonly #files = new Map<string, Declarations>()
  readonly #resolveCore: (name: string) => string

  constructor(resolveCore: (name: string) => string) {
    this.#resolveCore = resolveCore
  }

  #load(file: string): Declarations {
    const loaded = this.#files.get(file) ?? new Declarations(file)
    this.#files.set(file, loaded)
    return loaded
  }

  // The file of a module. Undefined for a module of Effect without a stand-in.
  #resolve(from: string, specifier: string): string | undefined {
    const own = specifier.startsWith(".")
      ? resolve(dirname(from), specifier.replace(/\.ts$/, ".d.ts"))
      : specifier.startsWith("@paradigm-effect/core/")
        ? this.#resolveCore(specifier.slice("@paradigm-effect/core/".length))
        : undefined
    if (own === undefined) return standinFor(basename(specifier))
    return replaced.has(nameOf(own)) ? standinFor(nameOf(own)) : own
  }

  // Whether everything that an exported name needs can be copied. `seen` collects what it needs.
  #needs(file: string, name: string, seen: Set<string>): boolean {
    const id = `${file}\n${name}`
    if (seen.has(id)) return true
    const declarations = this.#load(file)
    const follow = ({ from, name }: Reference) => {
      const target = this.#resolve(file, from)
      return target !== undefined && this.#needs(target, name, seen)
    }
    if (name === everything) {
      seen.add(id)
      return true
    }
    const local = declarations.statements.get(name)
    const reference = declarations.exports.get(name) ?? declarations.imports.get(name)
    if (local === undefined && reference === undefined) {
      return declarations.stars.some((from) => follow({ from, name }))
    }
    seen.add(id)
    if (local === undefined) return reference !== undefined && follow(reference)
    return local
      .flatMap((statement) => declarations.names(statement))
      .every(({ member, name: used }) => {
        const imported = declarations.imports.get(used)
        if (imported !== undefined) {
          const target = this.#resolve(file, imported.from)
          if (target === undefined) return false
          seen.add(`${file}\n${used}`)
          if (imported.name !== everything) return this.#needs(target, imported.name, seen)
          return member !== undefined && member !== "" && this.#needs(target, member, seen)
        }
        return !declarations.statements.has(used) || this.#needs(file, used, seen)
      })
  }

  // The exported names of a file, those of its stars included.
  #exported(file: string): ReadonlyArray<string> {
    const { exports, stars, statements } = this.#load(file)
    const own = [...statements].filter(([, all]) => all.some(hasExport)).map(([name]) => name)
    const others = stars.flatMap((from) => {
      const target = this.#resolve(file, from)
      return target === undefined ? [] : this.#exported(target)
    })
    return [...new Set([...own, ...exports.keys(), ...others])]
  }

  /**
   * Marks what a file exports. A value that needs a declaration of Effect without a stand-in is an error; a type is left out.
   */
  keep(file: string): void {
    const { exports } = this.#load(file)
    for (const name of this.#exported(file)) {
      const seen = new Set<string>()
      if (this.#needs(file, name, seen)) {
        for (const id of seen) {
          const [owner = "", used = ""] = id.split("\n")
          this.#load(owner).used.add(used)
        }
      } else if (exports.has(name)) throw new Error(`${nameOf(file)} exports ${name}, which names a type of Effect without a stand-in`)
    }
  }

  /** Writes the marked declarations to a directory, and `index.d.ts`, which exports `Paradigm` from the file. */
  write(file: string, directory: string): void {
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory, { recursive: true })
    const used = [...this.#files].filter(([, { used }]) => used.size > 0)
    for (const [path, declarations] of used) writeFileSync(join(directory, `${nameOf(path)}.d.ts`), this.#print(path, declarations))
    writeFileSync(join(directory, "index.d.ts"), `export * as Paradigm from "./${nameOf(file)}.js"\n`)
  }

  #print(path: string, declarations: Declarations): string {
    const { exports, imports, source, statements, used } = declarations
    const target = (from: string) => `./${nameOf(this.#resolve(path, from) ?? from)}.js`
    const lines: Array<string> = []
    const isUsed = (from: string) => {
      const file = this.#resolve(path, from)
      return file !== undefined && this.#load(file).used.size > 0
    }
    for (const [local, { from, name }] of imports) {
      if (!used.has(local) || local === from || !isUsed(from)) continue
      lines.push(
        name === everything
          ? `import type * as ${local} from "${target(from)}"`
          : `import type { ${renamed(name, local)} } from "${target(from)}"`
      )
    }
    for (const [exported, { from, name }] of exports) {
      if (!used.has(exported)) continue
      if (from === "") lines.push(`export { ${renamed(name, exported)} }`)
      else
        lines.push(
          name === everything
            ? `export * as ${exported} from "${target(from)}"`
            : `export { ${renamed(name, exported)} } from "${target(from)}"`
        )
    }
    for (const from of declarations.stars) {
      if (isUsed(from)) lines.push(`export type * from "${target(from)}"`)
    }
    const kept = new Set([...statements].filter(([name]) => used.has(name)).flatMap(([, all]) => all))
    for (const statement of kept) {
      const text = statement.getFullText(source).trim()
      lines.push(text.replaceAll(/import\("([^"]+)"\)/g, (_, from: string) => `import("${target(from)}")`))
    }
    return `${lines.join("\n")}\nexport {}\n`
  }
}
