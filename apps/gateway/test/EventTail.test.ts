import * as Simulator from "@paradigm-effect/simulator/Simulator"
import { assert, describe, it } from "@effect/vitest"
import { EventTail } from "../src/EventTail.ts"
import { nothing, type Withheld } from "../src/Withheld.ts"

const weather = { type: "function", function: { name: "get_weather", parameters: { type: "object" } } }

// What is asked of a model server, and how many choices.
const requests: ReadonlyArray<readonly [string, object, number]> = [
  ["text", { messages: [{ role: "user", content: 'Say it: naïve 🌊, "usage":{"completion_tokens":7}, and end' }] }, 1],
  ["a call", { messages: [{ role: "user", content: "Weather in Paris?" }], tools: [weather] }, 1],
  ["two choices", { messages: [{ role: "user", content: "Say it twice" }], n: 2, temperature: 1 }, 2],
  ["log probabilities", { messages: [{ role: "user", content: "How likely" }], logprobs: true }, 1]
]
const profiles = ["vllm-0.32", "vllm-0.32-reasoning", "vllm-0.19", "vllm-0.11-reasoning", "vllm-0.8"]

const ask = async (url: string, body: object): Promise<string> => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-request-id": "r" },
    body: JSON.stringify({ model: "org/alfred", stream: true, ...body })
  })
  return response.text()
}

// Ids of calls and times are drawn anew. vLLM 0.32 has its fingerprint in the event of the usage, if there is one, else in the last one before.
const steady = (text: string) =>
  text
    .replace(/chatcmpl-tool-[\da-f]+/g, "call")
    .replace(/"created":\d+/g, '"created":0')
    .replace(/,"system_fingerprint":"[^"]*"/g, "")

const tailOf = (choices: number, withheld: Withheld) => new EventTail({ choices, withheld, rename: (text) => text, maxEvent: 1e6 })

const through = (tail: EventTail, text: string, cuts: ReadonlyArray<number>): string => {
  const bytes = Buffer.from(text).toString("latin1")
  const ends = [...cuts, bytes.length]
  let shown = ""
  for (const [i, end] of ends.entries()) shown += tail.push(bytes.slice(ends[i - 1] ?? 0, end))
  return Buffer.from(shown + tail.end(), "latin1").toString("utf8")
}

const running = { stream_options: { include_usage: true, continuous_usage_stats: true } }

describe("a stream that was asked for more than its client did", () => {
  it.each(profiles)("is the one that the client asked for, wherever its bytes are cut: %s", async (profile) => {
    await using simulator = await Simulator.start({ models: ["org/alfred"], profile, interTokenLatency: 0 })
    for (const [name, request, choices] of requests) {
      for (const [withheld, asked, more] of [
        [{ usage: "all", ids: false }, {}, running],
        [{ usage: "running", ids: false }, { stream_options: { include_usage: true } }, running],
        [{ usage: "all", ids: true }, {}, { ...running, return_token_ids: true }],
        [{ usage: "none", ids: true }, running, { ...running, return_token_ids: true }]
      ] as const satisfies ReadonlyArray<readonly [Withheld, object, object]>) {
        const expected = steady((await ask(simulator.url, { ...request, ...asked })).replace("data: [DONE]\n\n", ""))
        const given = await ask(simulator.url, { ...request, ...more })
        const length = Buffer.byteLength(given)
        const step = Math.max(1, Math.floor(length / 97))
        for (let at = 1; at < length; at += step) {
          const tail = tailOf(choices, withheld)
          assert.strictEqual(steady(through(tail, given, [at])), expected, `${name} ${JSON.stringify(withheld)}`)
          assert.isTrue(tail.isWhole)
        }
        const single = Array.from({ length: length - 1 }, (_, at) => at + 1)
        assert.strictEqual(steady(through(tailOf(choices, withheld), given, single)), expected)
      }
    }
  })

  it("has the usage of what came, wherever it ends", async () => {
    await using simulator = await Simulator.start({ models: ["org/alfred"], interTokenLatency: 0 })
    for (const [, request, choices] of requests) {
      const given = await ask(simulator.url, { ...request, ...running })
      const events = given.split("\n\n").slice(0, -3)
      let tokens = 0
      const perChoice = new Map<number, number>()
      for (const [at, event] of events.entries()) {
        const chunk = JSON.parse(event.slice("data: ".length))
        const [choice] = chunk.choices
        perChoice.set(choice.index, chunk.usage.completion_tokens)
        tokens = [...perChoice.values()].reduce((a, b) => a + b, 0)
        const tail = tailOf(choices, { usage: "all", ids: false })
        through(tail, `${events.slice(0, at + 1).join("\n\n")}\n\n`, [])
        assert.deepStrictEqual(tail.usage, { prompt: chunk.usage.prompt_tokens, completion: tokens, cached: 0, reasoning: 0 })
      }
      assert.isAbove(tokens, 0)
    }
  })

  it("keeps the usage that a server has in its last event by its own habit", () => {
    const text =
      'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n' +
      'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    assert.strictEqual(through(tailOf(1, { usage: "running", ids: false }), text, []), text)
  })

  it("loses its usage also where it is spelt otherwise", () => {
    const usage = '"usage" : {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}'
    for (const event of [
      `{"id": "x", ${usage}, "choices": [{"index": 0, "delta": {}}]}`,
      `{${usage} , "id": "x", "choices": [{"index": 0}]}`
    ]) {
      const tail = tailOf(1, { usage: "all", ids: false })
      const shown = through(tail, `data: ${event}\n\n`, [])
      assert.notInclude(shown, "usage")
      assert.isArray(JSON.parse(shown.slice("data: ".length)).choices)
      assert.deepStrictEqual(tail.usage, { prompt: 1, completion: 2, cached: 1, reasoning: 0 })
    }
  })

  it("passes as it is where nothing is withheld", async () => {
    await using simulator = await Simulator.start({ models: ["org/alfred"], interTokenLatency: 0 })
    const given = await ask(simulator.url, { messages: [{ role: "user", content: "All of it" }], ...running, return_token_ids: true })
    assert.strictEqual(`${through(tailOf(1, nothing), given, [])}data: [DONE]\n\n`, given)
  })
})
