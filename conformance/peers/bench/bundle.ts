/**
 * Size of the program that a page loads to stream one completion: bundled for browsers, minified, and gzipped. Run as a script, it prints the size
 * of each source; `--check` fails if our programs exceed their limit.
 */
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { build, type Metafile } from "esbuild"

// By the path of the module: esbuild keeps every member of a namespace that an index exports.
const programs = {
  effect: `
    import * as Paradigm from "@paradigm-effect/browser/Paradigm"
    import * as Effect from "effect/Effect"
    import * as Stream from "effect/Stream"
    const program = Effect.gen(function* () {
      const paradigm = yield* Paradigm.Client
      yield* paradigm
        .streamChatCompletion({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
        .pipe(Stream.runForEach((chunk) => Effect.sync(() => document.body.append(chunk.choices[0]?.delta.content ?? ""))))
    })
    Effect.runFork(Effect.provide(program, Paradigm.layer({ apiKey: prompt("key"), allowKeyInBrowser: true })))`,
  promise: `
    import * as Paradigm from "@paradigm-effect/browser/Paradigm"
    const paradigm = Paradigm.connect({ apiKey: prompt("key"), allowKeyInBrowser: true })
    const request = { model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }], stream: true }
    for await (const chunk of await paradigm.chat.completions.create(request)) document.body.append(chunk.choices[0]?.delta.content ?? "")`,
  openai: `
    import OpenAI from "openai"
    const openai = new OpenAI({ apiKey: prompt("key"), dangerouslyAllowBrowser: true })
    const request = { model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }], stream: true }
    for await (const chunk of await openai.chat.completions.create(request)) document.body.append(chunk.choices[0]?.delta.content ?? "")`,
  ai: `
    import { streamText } from "ai"
    import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
    const provider = createOpenAICompatible({ name: "paradigm", apiKey: prompt("key"), baseURL: "https://paradigm.lighton.ai/api/v3" })
    const { textStream } = streamText({ model: provider.chatModel("alfred-4.2"), messages: [{ role: "user", content: "Say hello" }] })
    for await (const text of textStream) document.body.append(text)`
} as const

export type Program = keyof typeof programs

/** Sizes in bytes. */
export interface Size {
  readonly minified: number
  readonly gzipped: number
  readonly metafile: Metafile
}

/** The size of a program. */
export const sizeOf = async (program: Program): Promise<Size> => {
  const { metafile, outputFiles } = await build({
    stdin: { contents: programs[program], resolveDir: dirname(fileURLToPath(import.meta.url)), loader: "js" },
    bundle: true,
    minify: true,
    metafile: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2023",
    logLevel: "error"
  })
  const code = outputFiles[0]?.contents ?? new Uint8Array()
  return { minified: code.length, gzipped: gzipSync(code, { level: 9 }).length, metafile }
}

/** The largest sources of a program, with their bytes in the minified bundle. */
export const largest = (size: Size, count: number): ReadonlyArray<readonly [source: string, bytes: number]> =>
  Object.values(size.metafile.outputs)
    .flatMap((output) => Object.entries(output.inputs))
    .map(([source, { bytesInOutput }]) => [source.replace(/^.*node_modules\//, "").replace(/^(\.\.\/)+/, ""), bytesInOutput] as const)
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, count)

export const programNames = Object.keys(programs) as ReadonlyArray<Program>

// Bytes, gzipped.
const limit = 40_000

if (import.meta.main) {
  const isCheck = process.argv.includes("--check")
  for (const program of isCheck ? (["effect", "promise"] as const) : programNames) {
    const size = await sizeOf(program)
    console.log(`${program}: ${size.minified} bytes minified, ${size.gzipped} gzipped`)
    if (isCheck && size.gzipped <= limit) continue
    for (const [source, bytes] of largest(size, 40)) console.log(`  ${String(bytes).padStart(7)} ${source}`)
    if (!isCheck) continue
    console.error(`${program} is larger than ${limit} bytes`)
    process.exitCode = 1
  }
}
