/**
 * `node test/carry-on-vllm.ts PORT PORT PID SIGNAL`: streams in front of two real model servers, one of which gets a signal in the middle. The servers
 * have the model that knows these prompts by heart.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { setTimeout as wait } from "node:timers/promises"
import { fold } from "./CarriedStreams.ts"
import * as Gateway from "./GatewayUnderTest.ts"

const [first = "8001", second = "8002", pid = "", signal = "SIGKILL", parsers = "yes"] = process.argv.slice(2)
const streams = 100
const tools = [
  { type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }
]
const ask = (content: string, more: object = {}) => ({ temperature: 0, messages: [{ role: "user", content }], ...more })
const requests = [
  ask("Count to sixty"),
  ask("Emoji"),
  ask("Code"),
  ask("Think: 17 * 3?"),
  ask("Count to sixty", { stop: ["fifty"] }),
  ask("Count to sixty", { max_tokens: 60 }),
  ...(parsers === "yes" ? [ask("Weather in Paris and Zürich?", { tools }), ask("Weather in Paris, say so first", { tools })] : [])
]
const urls = [first, second].map((port) => `http://127.0.0.1:${port}`)
const scope = Scope.makeUnsafe()
const model = { name: "alfred-4.2", carryOn: ["ids", "parsers", "again"], reasoningEnd: "</think>", carryParsers: 8 }
const gateway = await Gateway.startWith(urls, { model }).pipe(Effect.provideService(Scope.Scope, scope), Effect.runPromise)
let events = 0
const stream = async (request: object) => {
  const response = await fetch(`${gateway.origin}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${Gateway.key}` },
    body: JSON.stringify({ model: "alfred", stream: true, stream_options: { include_usage: true }, ...request })
  })
  let text = ""
  const decoder = new TextDecoder()
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true })
    events++
  }
  return text
}
// The count of reasoning is not exact where the reasoning ends in a call of the parsers.
const told = (text: string) => JSON.stringify(fold(text)).replace(/,"completion_tokens_details":\{"reasoning_tokens":\d+\}/, "")
const expected: Array<string> = []
let total = 0
for (const request of requests) {
  events = 0
  expected.push(told(await stream(request)))
  total += events
}
const quiet = gateway.log.length
events = 0
const kill = async () => {
  const enough = (total / requests.length) * streams * 0.15
  const isBegun = () => events >= enough
  for (let i = 0; i < 5000 && !isBegun(); i++) await wait(1)
  process.kill(Number(pid), signal)
}
const texts = Array.from({ length: streams }, (_, i) => stream(requests[i % requests.length] ?? {}))
await Promise.all([kill(), ...texts])
while (gateway.log.length < quiet + streams) await wait(5)
const records = gateway.log
  .slice(quiet)
  .map((line) => JSON.parse(line) as { readonly carriedOn?: ReadonlyArray<string>; readonly outcome: string; readonly cause?: string })
const levels = new Map<string, number>()
for (const level of records.flatMap(({ carriedOn = [] }) => carriedOn)) levels.set(level, (levels.get(level) ?? 0) + 1)
let equal = 0
let shown = 0
for (const [i, text] of texts.entries()) {
  const got = told(await text)
  if (got === expected[i % requests.length]) equal++
  else if (shown++ < 3) console.log(`${got}\n  instead of ${expected[i % requests.length]}`)
}
const causes = new Set(records.flatMap(({ cause }) => cause ?? []))
console.log(
  `| ${signal} | ${streams} | ${records.filter(({ carriedOn }) => carriedOn).length} | ${equal} | ${[...levels].map(([level, n]) => `${level} ${n}`).join(", ")} |`
)
for (const cause of [...causes].slice(0, 5)) console.log(cause)
await Effect.runPromise(Scope.close(scope, Exit.void))
