import { assert, describe, it } from "@effect/vitest"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
import { Ajv2020 } from "ajv/dist/2020.js"

interface Message {
  readonly content: string | null
  readonly reasoning?: string | null
  readonly tool_calls?: ReadonlyArray<{ readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }>
}
interface Body {
  readonly choices: ReadonlyArray<{
    readonly message: Message
    readonly delta: Message
    readonly finish_reason: string | null
    readonly stop_reason: unknown
    readonly logprobs: { readonly content: ReadonlyArray<Logprob> } | null
    readonly token_ids?: ReadonlyArray<number> | null
  }>
  readonly usage: { readonly completion_tokens: number; readonly completion_tokens_details: { readonly reasoning_tokens: number } | null }
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: number }
}
interface Logprob {
  readonly token: string
  readonly logprob: number
  readonly bytes: ReadonlyArray<number>
  readonly top_logprobs: ReadonlyArray<Logprob>
}

const post = (simulator: Simulator.Simulator, body: unknown) =>
  fetch(`${simulator.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body)
  })

const user = (content: unknown) => [{ role: "user", content }]

const ask = async (simulator: Simulator.Simulator, content: unknown, more: object = {}) => {
  const response = await post(simulator, { messages: user(content), ...more })
  return { status: response.status, body: (await response.json()) as Body }
}

const first = async (simulator: Simulator.Simulator, content: unknown, more: object = {}) => {
  const { body, status } = await ask(simulator, content, more)
  const [choice] = body.choices ?? []
  if (choice === undefined) throw new Error(`${status}: ${JSON.stringify(body)}`)
  return choice
}

const stream = async (simulator: Simulator.Simulator, content: unknown, more: object = {}) => {
  const response = await post(simulator, { messages: user(content), stream: true, ...more })
  const events = (await response.text()).split("\n\n").filter((event) => event !== "" && event !== "data: [DONE]")
  return events.map((event) => JSON.parse(event.replace("data: ", "")) as Body)
}

const function_ = (name: string, properties: object, required: ReadonlyArray<string> = Object.keys(properties)) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties, required, additionalProperties: false } }
})
const weather = function_("get_weather", { city: { type: "string" }, unit: { enum: ["C", "F"] } })
const search = function_("searchDocuments", { query: { type: "string" }, limit: { type: "integer", minimum: 1, maximum: 9 } })
const tools = [weather, search]
const ajv = new Ajv2020({ strict: false })
const isValid = (schema: object, value: unknown) => ajv.compile(schema)(value)

const callsIn = (message: Message) =>
  (message.tool_calls ?? []).map(({ function: made }) => [made.name, JSON.parse(made.arguments)] as [string, Record<string, unknown>])

describe("tools", () => {
  it("are called where the message names them or a word of their name, with what it names", async () => {
    await using simulator = await Simulator.start()
    const one = await first(simulator, "What is the weather in Paris?", { tools })
    assert.strictEqual(one.finish_reason, "tool_calls")
    assert.strictEqual(one.message.content, null)
    assert.deepStrictEqual(
      callsIn(one.message).map(([name, { city }]) => [name, city]),
      [["get_weather", "Paris"]]
    )
    const two = await first(simulator, "Weather in Paris and Zürich?", { tools })
    assert.deepStrictEqual(
      callsIn(two.message).map(([, { city }]) => city),
      ["Paris", "Zürich"]
    )
    const both = await first(simulator, "Search the documents for the weather", { tools })
    assert.deepStrictEqual(
      callsIn(both.message).map(([name]) => name),
      ["get_weather", "searchDocuments"]
    )
    for (const [name, args] of callsIn(both.message)) {
      const tool = tools.find((tool) => tool.function.name === name)
      assert.isTrue(isValid(tool?.function.parameters ?? {}, args), JSON.stringify(args))
    }
    const single = await first(simulator, "Weather in Paris and Zürich?", { tools, parallel_tool_calls: false })
    assert.strictEqual(callsIn(single.message).length, 1)
  })

  it("are left alone without a hint, with tool_choice none, and after their results", async () => {
    await using simulator = await Simulator.start()
    assert.strictEqual((await first(simulator, "Hello", { tools })).message.content, "Hello")
    assert.strictEqual((await first(simulator, "Weather?", { tools, tool_choice: "none" })).message.content, "Weather?")
    const response = await post(simulator, {
      tools,
      messages: [
        ...user("Weather in Paris?"),
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "1", type: "function", function: { name: "get_weather", arguments: "{}" } }]
        },
        { role: "tool", tool_call_id: "1", content: "18 degrees" }
      ]
    })
    const { choices } = (await response.json()) as Body
    assert.strictEqual(choices[0]?.message.content, "18 degrees")
  })

  it.each(["vllm-0.32", "vllm-0.32-reasoning", "vllm-0.19", "vllm-0.8"])("are called when they must be (%s)", async (profile) => {
    await using simulator = await Simulator.start({ profile })
    const named = { type: "function", function: { name: "searchDocuments" } }
    for (const [tool_choice, name] of [
      ["required", "get_weather"],
      [named, "searchDocuments"]
    ] as const) {
      const whole = await first(simulator, "Hello", { tools, tool_choice })
      assert.strictEqual(whole.message.content, "")
      const [call] = callsIn(whole.message)
      assert.strictEqual(call?.[0], name)
      assert.isTrue(isValid(tools.find((tool) => tool.function.name === name)?.function.parameters ?? {}, call?.[1]))
      const chunks = await stream(simulator, "Hello", { tools, tool_choice })
      const pieces = chunks.flatMap(({ choices }) => choices.flatMap(({ delta }) => delta.tool_calls ?? []))
      const written = pieces.map((piece) => piece.function.arguments ?? "").join("")
      assert.deepStrictEqual(JSON.parse(written), call?.[1])
    }
  })

  it("come after text or reasoning, and say nothing yet when max_tokens cuts them", async () => {
    await using simulator = await Simulator.start({ profile: "vllm-0.32-reasoning" })
    const after = await first(simulator, "Weather in Paris, but say so first", { tools })
    assert.include(after.message.content ?? "", "I will look it up.")
    assert.include(after.message.reasoning ?? "", "wants")
    assert.strictEqual(callsIn(after.message).length, 1)
    const plain = { tools, chat_template_kwargs: { enable_thinking: false }, max_tokens: 4 }
    const cut = await stream(simulator, "Weather in Paris?", plain)
    assert.deepStrictEqual(
      cut.map(({ choices: [choice] }) => [Object.keys(choice?.delta ?? {}), choice?.finish_reason]),
      [
        [["role", "content"], null],
        [[], "length"]
      ]
    )
  })
})

const schemas: ReadonlyArray<object> = [
  { type: "object", properties: { a: { type: "integer" }, b: { type: "string" } }, required: ["a", "b"], additionalProperties: false },
  {
    type: "object",
    properties: { list: { type: "array", items: { type: "number", minimum: 0, maximum: 1 }, minItems: 3 } },
    required: ["list"]
  },
  { type: "array", items: { enum: ["x", "y", 3, null] }, minItems: 2, maxItems: 4, uniqueItems: true },
  { type: "array", prefixItems: [{ type: "string" }, { type: "boolean" }], minItems: 2, items: false },
  {
    $ref: "#/$defs/node",
    $defs: { node: { type: "object", properties: { next: { $ref: "#/$defs/node" }, v: { const: 1 } }, required: ["v"] } }
  },
  { definitions: { p: { type: "string", minLength: 5 } }, type: "object", properties: { p: { $ref: "#/definitions/p" } }, required: ["p"] },
  { anyOf: [{ type: "integer", multipleOf: 7, exclusiveMinimum: 100 }, { type: "null" }] },
  {
    oneOf: [
      { type: "string", maxLength: 4 },
      { type: "object", required: ["k"], properties: { k: { type: "boolean" } } }
    ]
  },
  {
    allOf: [
      { type: "object", properties: { a: { type: "integer" } }, required: ["a"] },
      { properties: { b: { enum: [1] } }, required: ["b"] }
    ]
  },
  { type: "string", pattern: "^[A-Z]{2,4}-\\d+(\\.\\d{2})?$" },
  { type: ["string", "null"] },
  { type: "string", enum: ["Paris", "Rome"] },
  { type: "object", additionalProperties: { type: "integer" }, minProperties: 2 },
  { type: "object", patternProperties: { "^x_": { type: "boolean" } }, additionalProperties: false },
  JSON.parse(
    '{"type":"object","properties":{"kind":{"const":"a"},"more":{"type":"string"}},"required":["kind"],"if":{"properties":{"kind":{"const":"a"}}},"then":{"required":["more"]}}'
  ) as object,
  { not: { type: "string" }, type: ["integer", "string"] },
  { type: "integer", minimum: -3, maximum: -1 },
  { type: "object" },
  {}
]

describe("a constraint", () => {
  it.each(schemas.map((schema) => [JSON.stringify(schema).slice(0, 70), schema] as const))(
    "of the schema %s is obeyed",
    async (_, schema) => {
      await using simulator = await Simulator.start({ profile: "vllm-0.32-reasoning", mode: "random" })
      for (const seed of [1, 2, 3]) {
        const more = { seed, response_format: { type: "json_schema", json_schema: { name: "x", schema } } }
        const { finish_reason, message } = await first(simulator, "Say it", more)
        assert.strictEqual(finish_reason, "stop")
        assert.isTrue(isValid(schema, JSON.parse(message.content ?? "")), message.content ?? "")
      }
    }
  )

  it("is obeyed by json_object, regex and choice, and by what the message says if that fits", async () => {
    await using simulator = await Simulator.start()
    const content = async (text: string, more: object) => (await first(simulator, text, more)).message.content ?? ""
    assert.deepStrictEqual(JSON.parse(await content("Hello", { response_format: { type: "json_object" } })), { answer: "Hello" })
    assert.strictEqual(await content('{"a": 1}', { response_format: { type: "json_object" } }), '{"a": 1}')
    assert.match(await content("Hello", { structured_outputs: { regex: "[0-9]{4}-(a|b)+" } }), /^[0-9]{4}-(a|b)+$/)
    assert.strictEqual(await content("2020-ab", { structured_outputs: { regex: "[0-9]{4}-(a|b)+" } }), "2020-ab")
    assert.include(["yes", "no"], await content("Hello", { structured_outputs: { choice: ["yes", "no"] } }))
    assert.isTrue(isValid({ type: "integer" }, JSON.parse(await content("Hello", { structured_outputs: { json: { type: "integer" } } }))))
  })

  it("that is no grammar of JSON, or that nothing fits, is refused with a sentence", async () => {
    await using simulator = await Simulator.start()
    const refused = async (more: object) => {
      const { body, status } = await ask(simulator, "Hello", more)
      assert.strictEqual(status, 400)
      return body.error.message
    }
    assert.include(await refused({ structured_outputs: { grammar: "root ::= a" } }), "no grammars")
    const impossible = { type: "integer", minimum: 3, maximum: 1 }
    assert.include(
      await refused({ response_format: { type: "json_schema", json_schema: { name: "x", schema: impossible } } }),
      "found no text"
    )
    assert.include(await refused({ structured_outputs: { regex: "(" } }), "found no text")
  })
})

describe("reasoning", () => {
  it("comes first with a parser, is counted, and is left out when the request says so", async () => {
    await using simulator = await Simulator.start({ profile: "vllm-0.32-reasoning" })
    const { body } = await ask(simulator, "Hello")
    assert.deepStrictEqual(
      [body.choices[0]?.message.content, body.choices[0]?.message.reasoning],
      ["\n\nHello", "\nThe user wants an answer.\n"]
    )
    const reasoning = Tokenizer.encode("\nThe user wants an answer.\n").length
    assert.strictEqual(body.usage.completion_tokens_details?.reasoning_tokens, reasoning)
    const none = await first(simulator, "Hello", { reasoning_effort: "none" })
    assert.deepStrictEqual([none.message.content, none.message.reasoning], ["Hello", null])
    const hidden = await stream(simulator, "Hello", { include_reasoning: false, return_token_ids: true })
    assert.isFalse(hidden.some(({ choices }) => typeof choices[0]?.delta.reasoning === "string"))
  })
})

describe("log probabilities", () => {
  it("are one for each token, with alternatives in order, and spell the answer", async () => {
    await using simulator = await Simulator.start()
    const { logprobs, message } = await first(simulator, "Grüße, 🌊", { logprobs: true, top_logprobs: 3 })
    const entries = logprobs?.content ?? []
    assert.strictEqual(entries.length, Tokenizer.encode("Grüße, 🌊").length + 1)
    assert.strictEqual(entries.at(-1)?.token, "<|im_end|>")
    assert.strictEqual(message.content, "Grüße, 🌊")
    for (const { logprob, token, top_logprobs } of entries) {
      assert.strictEqual(top_logprobs.length, 3)
      assert.strictEqual(top_logprobs[0]?.token, token)
      const all = top_logprobs.map((entry) => entry.logprob)
      assert.deepStrictEqual(
        all,
        all.toSorted((a, b) => b - a)
      )
      assert.isTrue(logprob < 0 && all.reduce((sum, value) => sum + Math.exp(value), 0) <= 1)
    }
    const chunks = await stream(simulator, "Hi you", { logprobs: true })
    const streamed = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])
    assert.deepStrictEqual(
      streamed.map(({ token }) => token),
      ["Hi", " you", "<|im_end|>"]
    )
  })
})

describe("a continuation", () => {
  it("goes on after the words that the conversation ends with", async () => {
    await using simulator = await Simulator.start({ mode: "scripted", script: [{ answer: "One, two, three" }] })
    const messages = [...user("Count"), { role: "assistant", content: "One, t" }]
    const response = await post(simulator, { messages, continue_final_message: true, add_generation_prompt: false })
    assert.strictEqual(((await response.json()) as Body).choices[0]?.message.content, "wo, three")
  })
})

describe("images", () => {
  const parts = [
    { type: "text", text: "What is it?" },
    { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }
  ]
  it("are read by a model that can, and refused by one that cannot", async () => {
    await using seeing = await Simulator.start({ images: true })
    assert.strictEqual((await first(seeing, parts)).message.content, "What is it?")
    await using blind = await Simulator.start()
    const { body, status } = await ask(blind, parts)
    assert.deepStrictEqual([status, body.error.message], [400, "alfred-4.2 is not a multimodal model"])
  })
})

describe("a script", () => {
  it("answers by what the conversation has, turn by turn, choice by choice, and echoes the rest", async () => {
    await using simulator = await Simulator.start({
      script: [
        {
          when: { user: "/weather/i", turn: 0, tool: "get_weather" },
          answer: { calls: [{ name: "get_weather", arguments: { city: "Rome" } }] }
        },
        { when: { last: "tool" }, answer: "It is warm." },
        { when: { user: "Toss" }, answer: ["heads", "tails"] },
        { when: { includes: "raw" }, answer: "<think>so</think>said" }
      ]
    })
    const call = await first(simulator, "The weather", { tools: [weather] })
    assert.deepStrictEqual(callsIn(call.message), [["get_weather", { city: "Rome" }]])
    const { body } = await ask(simulator, "Toss", { n: 3, temperature: 1 })
    assert.deepStrictEqual(
      body.choices.map(({ message }) => message.content),
      ["heads", "tails", "tails"]
    )
    assert.strictEqual((await first(simulator, "raw")).message.content, "<think>so</think>said")
    assert.strictEqual((await first(simulator, "anything")).message.content, "anything")
  })
})

describe("a request", () => {
  it("that ignores the end, or wants more tokens than there are, goes on with words", async () => {
    await using simulator = await Simulator.start()
    const usage = async (more: object) => {
      const { body } = await ask(simulator, "Hello", more)
      return [body.usage.completion_tokens, body.choices[0]?.finish_reason]
    }
    assert.deepStrictEqual(await usage({ ignore_eos: true, max_tokens: 300 }), [300, "length"])
    const [tokens, finish] = await usage({ min_tokens: 50 })
    assert.isTrue(Number(tokens) >= 50 && Number(tokens) < 150)
    assert.strictEqual(finish, "stop")
  })

  it("that is nested too deep, or wants too much, harms nobody", async () => {
    await using simulator = await Simulator.start()
    const deep = "[".repeat(20_000) + "]".repeat(20_000)
    assert.strictEqual((await post(simulator, `{"messages":[],"temperature":${deep}}`)).status, 400)
    assert.strictEqual((await ask(simulator, "Hello", { n: 1e9, temperature: 1 })).status, 400)
    const schema = '{"items":'.repeat(20_000) + "{}" + "}".repeat(20_000)
    const format = `{"type":"json_schema","json_schema":{"name":"x","schema":${schema}}}`
    assert.strictEqual((await post(simulator, `{"messages":[{"role":"user","content":"x"}],"response_format":${format}}`)).status, 500)
    assert.strictEqual((await first(simulator, "Hello")).message.content, "Hello")
  })
})

describe("a script with a pattern that is none", () => {
  it("is refused with the place of the pattern", () => {
    return Simulator.start({ script: [{ when: { user: "/(/" }, answer: "x" }] }).then(
      () => assert.fail("It was accepted."),
      (error: unknown) => assert.match(String(error), /regular expression[^]*"user"/)
    )
  })
})
