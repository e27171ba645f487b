/**
 * Streams whose replica fails at a random token, in front of three simulators that say the same.
 */
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Gateway from "./GatewayUnderTest.ts"

const characters = "Ça coûte 5 €, 👨‍👩‍👧‍👦 🇫🇷 日本語 — naïve, et voilà: 12 345 mots."
const prose = "One two three four five, and then the long way home: nobody knew what the river had said to the old bridge that night."
const tool = { type: "function", function: { name: "get_weather", parameters: { type: "object" } } }
const secret = "SYSTEM-PROMPT-THAT-NOBODY-SEES"

/** A kind of request. */
export interface Kind {
  readonly name: string
  /** The best level that it has. */
  readonly level: string
  readonly profile: string
  readonly request: Readonly<Record<string, unknown>>
  /** Levels that the model may use. All of them by default. */
  readonly carryOn?: ReadonlyArray<string>
  readonly mode?: "random"
  /** A batch of ids in which the reasoning ends is not counted as reasoning at the second level. */
  readonly countsReasoning?: false
}

const ask = (content: string, more: object = {}) => ({
  messages: [
    { role: "system", content: secret },
    { role: "user", content }
  ],
  ...more
})

const reasoned = "vllm-0.32-reasoning"

/** The kinds, with the level that each one needs. */
export const kinds: ReadonlyArray<Kind> = [
  { name: "text", level: "ids", profile: "vllm-0.32", request: ask("prose") },
  { name: "text by the second level", level: "parsers", profile: "vllm-0.32", request: ask("prose"), carryOn: ["parsers"] },
  { name: "characters of many tokens", level: "ids", profile: "vllm-0.32", request: ask("characters") },
  { name: "reasoning", level: "ids", profile: reasoned, request: ask("think") },
  {
    name: "reasoning by parsers",
    level: "parsers",
    countsReasoning: false,
    profile: reasoned,
    request: ask("think"),
    carryOn: ["parsers"]
  },
  { name: "hidden reasoning", level: "ids", profile: reasoned, request: ask("think", { include_reasoning: false }) },
  { name: "one call", level: "parsers", countsReasoning: false, profile: reasoned, request: ask("one call", { tools: [tool] }) },
  { name: "two calls", level: "parsers", countsReasoning: false, profile: reasoned, request: ask("two calls", { tools: [tool] }) },
  {
    name: "two calls again",
    level: "again",
    profile: reasoned,
    request: ask("two calls", { tools: [tool], temperature: 0 }),
    carryOn: ["again"]
  },
  {
    name: "stop strings",
    level: "ids",
    profile: "vllm-0.32",
    request: ask("prose", { stop: ["old brook", " bridge that"], temperature: 0 })
  },
  {
    name: "stop strings that are shown",
    level: "ids",
    profile: "vllm-0.32",
    request: ask("prose", { stop: ["old brook", "bridge"], include_stop_str_in_output: true, temperature: 0 })
  },
  { name: "max_tokens", level: "ids", profile: "vllm-0.32", request: ask("prose", { max_tokens: 17 }) },
  { name: "seeds", level: "ids", profile: "vllm-0.32", request: ask("anything", { max_tokens: 40 }), mode: "random" },
  { name: "two choices", level: "again", profile: "vllm-0.32", request: ask("prose", { n: 2, seed: 3 }) },
  { name: "log probabilities", level: "again", profile: "vllm-0.32", request: ask("prose", { logprobs: true, temperature: 0 }) },
  {
    name: "usage while it runs",
    level: "ids",
    profile: "vllm-0.32",
    request: ask("prose", { stream_options: { include_usage: true, continuous_usage_stats: true } })
  }
]

const script = [
  { when: { user: "prose" }, answer: [prose, prose.replaceAll("the", "our")] },
  { when: { user: "characters" }, answer: characters },
  { when: { user: "think" }, answer: { reasoning: `Let me see: ${characters}`, content: `51, or ${characters}` } },
  {
    when: { user: "one call" },
    answer: { reasoning: "The tool knows.", calls: [{ name: "get_weather", arguments: { city: "Zürich 🌊" } }] }
  },
  {
    when: { user: "two calls" },
    answer: {
      reasoning: "The tool knows it all.",
      content: "I look it up.",
      calls: [
        { name: "get_weather", arguments: { city: "Zürich 🌊" } },
        { name: "get_weather", arguments: { city: "Paris", days: [1, 2, 3] } }
      ]
    }
  }
]

/** How a replica fails. */
export const failures = ["killed", "stopping", "engineDead"] as const

/** A stream, as its reader folds it. */
export interface Folded {
  readonly choices: Readonly<Record<number, unknown>>
  readonly usage: unknown
  readonly done: boolean
  readonly errors: number
}

interface Message {
  content: string
  reasoning: string
  calls: Array<{ ids: Set<string>; name: string; arguments: string }>
  finish: string | null
  stop: unknown
  roles: number
  logprobs: string
}

/** Folds the events of a stream. */
export const fold = (text: string): Folded => {
  const choices: Record<number, Message> = {}
  const heads = new Set<string>()
  let usage: unknown
  let errors = 0
  for (const event of text.split("\n\n")) {
    if (!event.startsWith("data: ") || event === "data: [DONE]") continue
    const chunk = JSON.parse(event.slice("data: ".length))
    if (chunk.error !== undefined) {
      errors++
      continue
    }
    heads.add(`${chunk.id} ${chunk.created} ${chunk.model} ${chunk.object}`)
    usage = chunk.usage ?? usage
    for (const { delta, finish_reason, index, logprobs, stop_reason } of chunk.choices) {
      const message = (choices[index] ??= { content: "", reasoning: "", calls: [], finish: null, stop: null, roles: 0, logprobs: "" })
      if (delta.role !== undefined) message.roles++
      message.content += delta.content ?? ""
      message.reasoning += delta.reasoning ?? ""
      for (const { function: { arguments: args = "", name = "" } = {}, id, index } of delta.tool_calls ?? []) {
        const call = (message.calls[index] ??= { ids: new Set(), name: "", arguments: "" })
        if (id !== undefined) call.ids.add(id)
        call.name += name
        call.arguments += args
      }
      for (const { token } of logprobs?.content ?? []) message.logprobs += `${token}|`
      message.finish = finish_reason ?? message.finish
      message.stop = stop_reason ?? message.stop
    }
  }
  const plain = Object.entries(choices).map(([index, { calls, ...message }]) => [
    index,
    { ...message, calls: calls.map(({ ids, ...call }) => ({ ...call, ids: ids.size })) }
  ])
  return {
    choices: Object.fromEntries(plain),
    usage,
    done: text.endsWith("data: [DONE]\n\n"),
    errors: errors + Math.max(0, heads.size - 1)
  }
}

/** What became of the streams of a kind. */
export interface Row {
  readonly kind: string
  streams: number
  /** Streams that a replica failed. The others were over before. */
  failed: number
  equal: number
  leaks: number
  /** Levels by how often they were used. */
  readonly levels: Record<string, number>
  /** Milliseconds between the last event of one replica and the first of the next. */
  readonly gaps: Array<number>
  /** Milliseconds from requests to their first text. */
  readonly firsts: Array<number>
  /** The first stream that was not equal. */
  difference: string | undefined
}

/** Settings of a run. */
export interface Run {
  readonly streams: number
  readonly kinds: ReadonlyArray<Kind>
  readonly random: () => number
  readonly timeToFirstToken?: number
}

const pauseUntil = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

const runKind = async (kind: Kind, { random, streams, timeToFirstToken = 0 }: Run): Promise<Row> => {
  const timing = { timeToFirstToken, interTokenLatency: 1, deathDelay: 20 }
  const options = kind.mode === undefined ? { script } : { mode: kind.mode }
  const make = () => Simulator.start({ models: ["org/alfred"], profile: kind.profile, scaleOut: true, ...options, ...timing })
  const simulators = await Promise.all([make(), make(), make()])
  const scope = Scope.makeUnsafe()
  const model = { carryOn: kind.carryOn ?? ["ids", "parsers", "again"], reasoningEnd: "</think>", timeouts: { failover: 20_000 } }
  const gateway = await Gateway.startWith(
    simulators.map(({ url }) => url),
    { model }
  ).pipe(Effect.provideService(Scope.Scope, scope), Effect.runPromise)
  const stream = async (body: object, onEvent: (count: number) => void) => {
    const start = performance.now()
    const response = await fetch(`${gateway.origin}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${Gateway.key}` },
      body: JSON.stringify({ model: "alfred", stream: true, stream_options: { include_usage: true }, ...body })
    })
    let text = ""
    let events = 0
    let last = performance.now()
    let first: number | undefined
    let gap: number | undefined
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
      const piece = decoder.decode(bytes, { stream: true })
      const now = performance.now()
      if (piece.includes(": continued")) gap = now - last
      last = now
      first ??= now - start
      text += piece
      events += piece.split("\n\n").length - 1
      onEvent(events)
    }
    return { text, gap, first }
  }
  const told = (text: string) => JSON.stringify(fold(text)).replace(kind.countsReasoning === false ? /"reasoning_tokens":\d+/ : "", "")
  const row: Row = { kind: kind.name, streams: 0, failed: 0, equal: 0, leaks: 0, levels: {}, gaps: [], firsts: [], difference: undefined }
  const expected = new Map<string, { readonly folded: string; readonly events: number }>()
  for (let i = 0; i < streams; i++) {
    const more = kind.mode === "random" ? { seed: 1 + (i % 20) } : {}
    const key = JSON.stringify(more)
    let whole = expected.get(key)
    if (whole === undefined) {
      const { text } = await stream({ ...kind.request, ...more }, () => undefined)
      whole = { folded: told(text), events: text.split("\n\n").length }
      expected.set(key, whole)
    }
    const at = 1 + Math.floor(random() * (whole.events - 2))
    const failure = failures[Math.floor(random() * failures.length)] ?? "killed"
    let failed: Simulator.Simulator | undefined
    const { first, gap, text } = await stream({ ...kind.request, ...more }, (events) => {
      if (failed !== undefined || events < at) return
      failed = simulators.find((one) => one.ledger().open > 0)
      failed?.config({ phase: failure })
    })
    row.streams++
    await pauseUntil(() => gateway.log.length === expected.size + row.streams)
    const record = JSON.parse(gateway.log.at(-1) ?? "{}")
    for (const level of record.carriedOn ?? []) row.levels[level] = (row.levels[level] ?? 0) + 1
    if (failed !== undefined) row.failed++
    if (gap !== undefined) row.gaps.push(gap)
    if (first !== undefined) row.firsts.push(first)
    if (text.includes(secret)) row.leaks++
    const folded = told(text)
    if (folded === whole.folded) row.equal++
    else row.difference ??= `${failure} at event ${at}: ${folded}\n  instead of ${whole.folded}\n  ${JSON.stringify(record)}`
    // A server with a dead engine listens for a while.
    failed?.config({ phase: "killed" })
    failed?.config({ phase: "running" })
  }
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await Promise.all(simulators.map((one) => one.close()))
  return row
}

/** Runs streams of each kind. */
export const run = async (settings: Run): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const kind of settings.kinds) rows.push(await runKind(kind, settings))
  return rows
}
