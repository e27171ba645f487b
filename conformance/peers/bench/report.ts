/**
 * The results as a page of Markdown.
 */
import { readFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import type { Program, Size } from "./bundle.ts"
import type { Passed } from "./cold.ts"
import type { Cost } from "./imports.ts"
import type { Mode, Text } from "./Wire.ts"

/** The result of one subject: medians of the rounds. */
export interface Row {
  readonly name: string
  readonly cpuNanos: number
  readonly ratio: number
  readonly perSecond: number
  readonly eventsPerRead: number
}

/** All subjects on the same bytes. */
export interface Section {
  readonly kind: Mode | "parser, batched" | "parser, single"
  readonly text: Text
  readonly rows: ReadonlyArray<Row>
}

/** The first stream of a process: medians of the cost until the client is made, and until the last chunk is read. */
export interface ColdRow {
  readonly name: string
  readonly ready: Passed
  readonly done: Passed
}

export interface Measured {
  readonly sections: ReadonlyArray<Section>
  readonly cold: ReadonlyArray<ColdRow>
  readonly sizes: ReadonlyArray<readonly [Program, Size]>
  readonly imported: ReadonlyArray<Cost>
  readonly rounds: number
  readonly tokens: Readonly<Record<Mode | "cold", number>>
  readonly gapMicros: Readonly<Record<Mode, number>>
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? Number.NaN) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

const versionOf = (name: string): string => {
  let at = new URL(".", import.meta.resolve(name))
  for (;;) {
    try {
      const found = JSON.parse(readFileSync(new URL("package.json", at), "utf8")) as { readonly name?: string; readonly version?: string }
      if (found.name === name && found.version !== undefined) return found.version
    } catch {
      // The manifest is in a parent directory.
    }
    if (at.pathname === "/") return "unknown"
    at = new URL("..", at)
  }
}

const labels: Readonly<Record<string, string>> = {
  plain: "plain loop",
  effect: "**ours, Effect**",
  effectAi: "**ours, effect/ai**",
  promise: "**ours, Promise**",
  openai: "`openai`",
  ai: "`ai` + openai-compatible",
  aiSdk: "`ai` + ours",
  provider: "our provider's `doStream`",
  providerPeer: "openai-compatible's `doStream`",
  eventsourceParser: "`eventsource-parser`",
  parser: "**ours, `Parser`**"
}
const label = (name: string) => labels[name] ?? name

const textLabels: Readonly<Record<Text, string>> = {
  plain: "ASCII",
  escaped: "with escapes",
  mixed: "mixed scripts",
  usage: "running usage"
}

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const micros = (nanos: number) => (nanos / 1000).toFixed(nanos < 9950 ? 2 : 1)

const thousands = (count: number) => `${Math.round(count / 1000)}k`

const sectionTable = (sections: ReadonlyArray<Section>) => {
  const names = sections[0]?.rows.map((row) => row.name) ?? []
  const cell = (section: Section, name: string) => {
    const row = section.rows.find((candidate) => candidate.name === name)
    return row === undefined ? "" : `${micros(row.cpuNanos)} µs · ${row.ratio.toFixed(2)}× · ${thousands(row.perSecond)}/s`
  }
  return table(
    ["", ...sections.map(({ text }) => textLabels[text])],
    names.map((name) => [label(name), ...sections.map((section) => cell(section, name))])
  )
}

const readsOf = (sections: ReadonlyArray<Section>) => {
  const found = sections.flatMap((section) => section.rows.map((row) => row.eventsPerRead))
  return `${Math.min(...found).toFixed(2)} to ${Math.max(...found).toFixed(2)}`
}

const millis = ({ cpuMicros, wallMicros }: Passed) => `${Math.round(cpuMicros / 1000)} ms · ${Math.round(wallMicros / 1000)} ms`

const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} KB`

/** The page. */
export const page = ({ cold, gapMicros, imported, rounds, sections, sizes, tokens }: Measured): string => {
  const of = (kind: Section["kind"]) => sections.filter((section) => section.kind === kind)
  const parts = [
    `# Benchmarks

Written by \`pnpm bench --write\` on ${new Date().toISOString().slice(0, 10)}: Node ${process.versions.node}, ${cpus()[0]?.model ?? "unknown processor"} (${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB), ${process.platform} ${process.arch}.
Compared with ${["openai", "ai", "@ai-sdk/openai-compatible", "eventsource-parser"].map((name) => `\`${name}\` ${versionOf(name)}`).join(", ")}; ours on \`effect\` ${versionOf("effect")}.

Each subject streams the same bytes from a server in another process, over a real socket. Every measurement runs in a process of its own, after a
warm-up: CPU time (all threads, kernel included) per chunk, its multiple of the plain loop's, and chunks per second. Medians of ${rounds} rounds, in
which the subjects take turns.

The **plain loop** is written by hand: \`fetch\`, a reader, \`TextDecoder\`, \`eventsource-parser\`, \`JSON.parse\`, without validation and without
error handling. Ours emits typed, validated chunks. **Running usage** has token counts in every chunk: no two chunks differ in their text alone, so
each is parsed and validated whole.`
  ]
  if (of("batched").length > 0) {
    parts.push(`## Many events in a read

${tokens.batched} chunks, written 16 KB at a time (${readsOf(of("batched"))} events in a read).

${sectionTable(of("batched"))}`)
  }
  if (of("single").length > 0) {
    parts.push(`## One event in a read

${tokens.single} chunks, one written every ${gapMicros.single} µs (${readsOf(of("single"))} events in a read, counted in the client's process). Most of the cost is the
kernel's: waking the process and reading from the socket. Chunks per second are the server's pace.

${sectionTable(of("single"))}`)
  }
  if (cold.length > 0) {
    parts.push(`## The first stream of a process

${tokens.cold} chunks, one written every ${gapMicros.single} µs, in a new process: CPU time · wall-clock time since the process began. Our packages are imported as they
are published.

${table(
  ["", "until the client is made", "until the last chunk is read"],
  cold.map(({ done, name, ready }) => [label(name), millis(ready), millis(done)])
)}`)
  }
  if (of("parser, batched").length > 0) {
    parts.push(`## The parser alone

Bytes in, the data of events out, from memory, by turns in one process. Pieces of 16 KB:

${sectionTable(of("parser, batched"))}

One event in a piece:

${sectionTable(of("parser, single"))}`)
  }
  if (sizes.length > 0) {
    parts.push(`## A page that streams one completion

Bundled with esbuild ${versionOf("esbuild")} for browsers.

${table(
  ["", "minified", "gzipped"],
  sizes.map(([name, size]) => [label(name), kilobytes(size.minified), kilobytes(size.gzipped)])
)}`)
  }
  if (imported.length > 0) {
    parts.push(`## An import

CPU time to import a client in Node, more than an empty module takes, and what npm installs for it. \`./promise\` is bundled, without Effect.

${table(
  ["", "import", "installed", "packages"],
  imported.map(({ cpuMillis, installedBytes, name, packages }) => [
    `\`${name}\``,
    `${cpuMillis.toFixed(0)} ms`,
    `${(installedBytes / 1e6).toFixed(1)} MB`,
    String(packages)
  ])
)}`)
  }
  return `${parts.join("\n\n")}\n`
}
