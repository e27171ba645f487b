// Compiles a project as `tsc -p` does, with an older compiler. Of the declarations it checks this project's alone: all of Effect's take
// several times as long, and the newest compiler checks them.
import { join } from "node:path"
import type * as Typescript from "typescript-5.9"

const [compiler = "", project = "", module, moduleResolution, outDir] = process.argv.slice(2)
const ts = ((await import(compiler)) as { readonly default: typeof Typescript }).default

const { errors, options } = ts.convertCompilerOptionsFromJson({ module, moduleResolution, outDir }, project)
const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (error: Typescript.Diagnostic) => void errors.push(error) }
const parsed = ts.getParsedCommandLineOfConfigFile(join(project, "tsconfig.json"), options, host)
const program = ts.createProgram(parsed?.fileNames ?? [], parsed?.options ?? options)
const files = program.getSourceFiles().filter(({ fileName }) => /@paradigm-effect\/|\/src\//.test(fileName.slice(project.length)))
const diagnostics = [
  ...errors,
  ...(parsed?.errors ?? []),
  ...program.getOptionsDiagnostics(),
  ...files.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
  // One by one: all at once would check every file first.
  ...files.flatMap((file) => (file.isDeclarationFile ? [] : program.emit(file).diagnostics))
]
const format = { getCurrentDirectory: () => project, getCanonicalFileName: (name: string) => name, getNewLine: () => "\n" }
process.stdout.write(ts.formatDiagnostics(diagnostics, format))
if (!files.some(({ fileName }) => /@paradigm-effect\/(core|\w+\/dist\/promise)\//.test(fileName)))
  console.log(`no declarations: ${files.length} files`)
