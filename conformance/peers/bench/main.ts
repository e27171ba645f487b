/**
 * `pnpm bench`: measures the cost of a chunk and of the first stream of a process with each client, the cost of a parser, the size of a page,
 * and the cost of an import.
 * Prints a page of tables; `--write` also writes it to `docs/benchmarks.md`. `--rounds N` repeats every measurement N times and defaults to 5.
 * `--only batched|single|cold|parser|bundle|imports` selects parts, and can be repeated.
 * `pnpm bench gateway` compares gateways instead: see `gateway/compare.ts`.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { programNames, sizeOf } from "./bundle.ts"
import type { ColdFinding, Passed } from "./cold.ts"
import type { ClientTask, Finding, ParsersTask } from "./measure.ts"
import type { ParserName } from "./parsers.ts"
import { costs, imports } from "./imports.ts"
import { publish } from "./published.ts"
import { type ColdRow, median, page, type Row, type Section } from "./report.ts"
import type { SubjectName } from "./subjects.ts"
import { expected, type Mode, modes, type Text, texts } from "./Wire.ts"

if (process.argv[2] === "gateway") {
  await import("./gateway/compare.ts")
  process.exit()
}

const { values: options } = parseArgs({
  options: {
    write: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    only: { type: "string", multiple: true }
  }
})
const rounds = Number(options.rounds)
if (!Number.isSafeInteger(rounds) || rounds < 1) {
  console.error("--rounds takes a whole number of at least 1")
  process.exit(2)
}
const isWanted = (part: Mode | "cold" | "parser" | "bundle" | "imports") => options.only === undefined || options.only.includes(part)

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

const coldNames: ReadonlyArray<SubjectName> = ["plain", "effect", "promise", "openai", "ai"]
const subjectNames: ReadonlyArray<SubjectName> = [...coldNames, "effectAi", "aiSdk", "provider", "providerPeer"]
const parserNames: ReadonlyArray<ParserName> = ["eventsourceParser", "parser"]
const textNames = Object.keys(texts) as ReadonlyArray<Text>

// For one event in a read, the server pauses after each event for longer than the slowest subject needs.
const tokens: Readonly<Record<Mode, number>> = { batched: 40_000, single: 8_000 }
const parserTokens = 50_000
const coldTokens = 300
const coldRuns = 3
const gapMicros: Readonly<Record<Mode, number>> = { batched: 0, single: 120 }

const run = async <Result extends object>(file: string, args: ReadonlyArray<string>, execArgv: ReadonlyArray<string>): Promise<Result> => {
  const child = fork(file, args, { execArgv: [...execArgv] })
  const exit = once(child, "exit")
  const [result] = (await Promise.race([once(child, "message"), exit.then(([code]) => [{ code }])])) as [
    Result | { readonly code: unknown }
  ]
  await exit
  if ("code" in result) throw new Error(`The measurement ${args.join(" ")} ended with code ${String(result.code)}`)
  return result
}

const measure = <Result extends object>(task: ClientTask | ParsersTask) =>
  run<Result>(path("measure.ts"), [JSON.stringify(task)], ["--expose-gc"])

// Subjects that join the pieces of one read.
const joining: ReadonlyArray<string> = ["effectAi"] satisfies ReadonlyArray<SubjectName>

const check = (name: string, seen: { readonly pieces: number; readonly length: number }, wanted: typeof seen) => {
  const isJoined = joining.some((subject) => name.startsWith(`${subject} `)) && seen.pieces < wanted.pieces
  if ((isJoined || seen.pieces === wanted.pieces) && seen.length === wanted.length) return
  throw new Error(`${name} saw ${seen.pieces} pieces of ${seen.length} characters, not ${wanted.pieces} of ${wanted.length}`)
}

const rowsOf = (findings: ReadonlyMap<string, ReadonlyArray<Finding>>, count: number, base: string): ReadonlyArray<Row> => {
  const cost = (name: string) => median((findings.get(name) ?? []).map(({ cpuMicros }) => (cpuMicros * 1000) / count))
  return [...findings].map(([name, all]) => ({
    name,
    cpuNanos: cost(name),
    ratio: cost(name) / cost(base),
    perSecond: median(all.map(({ wallMicros }) => (count * 1e6) / wallMicros)),
    eventsPerRead: median(all.map(({ reads }) => count / reads))
  }))
}

const rounded = async (
  names: ReadonlyArray<string>,
  round: (names: ReadonlyArray<string>) => Promise<Readonly<Record<string, Finding>>>
) => {
  const findings = new Map<string, Array<Finding>>(names.map((name) => [name, []]))
  for (let number = 0; number < rounds; number++) {
    const found = await round(number % 2 === 0 ? names : names.toReversed())
    for (const [name, finding] of Object.entries(found)) findings.get(name)?.push(finding)
    process.stderr.write(".")
  }
  return findings
}

type Url = (mode: Mode, text: Text, count: number) => string

const overTheWire = async (url: Url): Promise<ReadonlyArray<Section>> => {
  const sections: Array<Section> = []
  for (const mode of modes.filter(isWanted)) {
    const count = tokens[mode]
    for (const text of textNames) {
      const baseUrl = url(mode, text, count)
      const warmUp = mode === "single" ? [url("batched", text, tokens.batched), url(mode, text, 1000)] : [baseUrl]
      const findings = await rounded(subjectNames, async (names) => {
        const found: Record<string, Finding> = {}
        for (const name of names) {
          const finding = await measure<Finding>({ kind: "client", name: name as SubjectName, warmUp, baseUrl })
          check(`${name} (${mode}, ${text})`, finding, expected(text, count))
          found[name] = finding
        }
        return found
      })
      sections.push({ kind: mode, text, rows: rowsOf(findings, count, "plain") })
    }
  }
  return sections
}

const firstStreams = async (url: Url): Promise<ReadonlyArray<ColdRow>> => {
  const file = await publish("cold.ts")
  const findings = new Map<SubjectName, Array<ColdFinding>>(coldNames.map((name) => [name, []]))
  for (let number = 0; number < rounds * coldRuns; number++) {
    for (const name of number % 2 === 0 ? coldNames : coldNames.toReversed()) {
      const finding = await run<ColdFinding>(file, [name, url("single", "plain", coldTokens)], [])
      check(`${name} (cold)`, finding, expected("plain", coldTokens))
      findings.get(name)?.push(finding)
    }
    process.stderr.write(".")
  }
  const middle = (all: ReadonlyArray<Passed>): Passed => ({
    cpuMicros: median(all.map(({ cpuMicros }) => cpuMicros)),
    wallMicros: median(all.map(({ wallMicros }) => wallMicros))
  })
  return [...findings].map(([name, all]) => ({
    name,
    ready: middle(all.map(({ ready }) => ready)),
    done: middle(all.map(({ done }) => done))
  }))
}

const alone = async (): Promise<ReadonlyArray<Section>> => {
  const sections: Array<Section> = []
  for (const mode of modes) {
    for (const text of textNames) {
      const findings = await rounded(parserNames, () =>
        measure<Record<ParserName, Finding>>({ kind: "parsers", mode, text, tokens: parserTokens })
      )
      const [first, second] = parserNames.map((name) => findings.get(name)?.[0])
      if (first !== undefined && second !== undefined) check("Parser", second, first)
      sections.push({
        kind: mode === "batched" ? "parser, batched" : "parser, single",
        text,
        rows: rowsOf(findings, parserTokens, "eventsourceParser")
      })
    }
  }
  return sections
}

const server = fork(path("server.ts"))
try {
  const [port] = (await once(server, "message")) as [number]
  const url: Url = (mode, text, count) => `http://127.0.0.1:${port}/${mode}/${text}/${count}/${gapMicros[mode]}/api/v3`
  const sections = [...(await overTheWire(url)), ...(isWanted("parser") ? await alone() : [])]
  const cold = isWanted("cold") ? await firstStreams(url) : []
  const sizes = isWanted("bundle") ? await Promise.all(programNames.map(async (name) => [name, await sizeOf(name)] as const)) : []
  const imported = isWanted("imports") ? await costs(imports, rounds * coldRuns) : []
  process.stderr.write("\n")
  const text = page({ sections, cold, sizes, imported, rounds, tokens: { ...tokens, cold: coldTokens }, gapMicros })
  console.log(text)
  if (options.write) writeFileSync(path("../../../docs/benchmarks.md"), text)
} finally {
  server.disconnect()
}
