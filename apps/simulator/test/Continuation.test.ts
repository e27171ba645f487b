import { assert, describe, it } from "@effect/vitest"
import * as ChatTemplate from "../src/ChatTemplate.ts"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
import { chat, events, json, post } from "./Asking.ts"

const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }]
const characters = "Ça coûte 5 €, 👨‍👩‍👧‍👦 🇫🇷 日本語 — naïve."
const script = [
  { when: { user: "think" }, answer: { reasoning: `Let me see: ${characters}`, content: "51." } },
  {
    when: { user: "call" },
    answer: {
      reasoning: "The tool knows.",
      content: "I look it up.",
      calls: [
        { name: "get_weather", arguments: { city: "Zürich 🌊" } },
        { name: "get_weather", arguments: { city: "Paris" } }
      ]
    }
  }
]

const all = (profile: string) => Simulator.start({ profile, script, scaleOut: true })

const completionsIds = "/v1/completions"

// The text of a stream of completions.
const textOf = (stream: string) =>
  events(stream)
    .slice(0, -1)
    .map((event) => JSON.parse(event).choices[0]?.text ?? "")
    .join("")

describe("an answer that is continued from token ids", () => {
  it.each([
    ["characters of several tokens", characters, {}],
    ["reasoning", "think", {}],
    ["calls of tools", "call", { tools }],
    ["a context", "Say it", { reasoning_effort: "low", chat_template_kwargs: { a: "ü" } }]
  ])("is the same from each of its tokens, with %s", async (_, content, more) => {
    await using simulator = await all("vllm-0.32-reasoning")
    const { choices, prompt_token_ids: prompt } = await json(simulator, chat(content, { ...more, return_token_ids: true }))
    const ids: ReadonlyArray<number> = choices[0].token_ids
    assert.isAbove(ids.length, 5)
    for (let cut = 0; cut < ids.length; cut++) {
      const body = { prompt: [...prompt, ...ids.slice(0, cut)], max_tokens: 1000, return_token_ids: true }
      const rest = await json(simulator, body, completionsIds)
      assert.deepStrictEqual(rest.choices[0].token_ids, ids.slice(cut), `from token ${cut}`)
      assert.strictEqual(rest.choices[0].finish_reason, "stop")
      if (Tokenizer.endsInside(body.prompt)) continue
      assert.strictEqual(rest.choices[0].text, Tokenizer.decode(ids.slice(cut)))
    }
  })

  it.each(["echo", "random"] as const)("is the same in another simulator in mode %s, streamed", async (mode) => {
    await using one = await Simulator.start({ mode })
    await using other = await Simulator.start({ mode })
    const { choices, prompt_token_ids: prompt } = await json(one, chat(characters, { return_token_ids: true }))
    const ids: ReadonlyArray<number> = choices[0].token_ids
    for (let cut = 0; cut < ids.length; cut += 3) {
      const kept = ids.slice(0, cut)
      if (Tokenizer.endsInside(kept)) continue
      const rest = await (
        await post(other, { prompt: [...prompt, ...kept], max_tokens: 1000, stream: true }, { path: completionsIds })
      ).text()
      assert.strictEqual(Tokenizer.decode(kept) + textOf(rest), choices[0].message.content)
    }
  })

  it("repeats itself with the same seed, and goes on with the seed plus the number of kept tokens", async () => {
    await using simulator = await Simulator.start({ mode: "random" })
    const { choices, prompt_token_ids: prompt } = await json(simulator, chat("x", { seed: 41, return_token_ids: true }))
    const ids: ReadonlyArray<number> = choices[0].token_ids
    const from = async (seed: number) => {
      const body = { prompt: [...prompt, ...ids.slice(0, 9)], seed, max_tokens: 1000, return_token_ids: true }
      return (await json(simulator, body, completionsIds)).choices[0].token_ids
    }
    assert.deepStrictEqual(await from(41), ids)
    assert.deepStrictEqual(await from(50), ids.slice(9))
    assert.notDeepEqual(await from(51), ids.slice(9))
  })

  it("prints the prompt if its ids end inside a character", async () => {
    await using simulator = await Simulator.start()
    const { choices, prompt_token_ids: prompt } = await json(simulator, chat("a 🌊 b", { return_token_ids: true }))
    const cut = choices[0].token_ids.findIndex((_: number, at: number, ids: ReadonlyArray<number>) =>
      Tokenizer.endsInside(ids.slice(0, at))
    )
    const { choices: rest } = await json(
      simulator,
      { prompt: [...prompt, ...choices[0].token_ids.slice(0, cut)], max_tokens: 99 },
      completionsIds
    )
    assert.strictEqual(rest[0].text, "user\na 🌊 b\nassistant\na 🌊 b")
  })

  it("holds back text that may be the start of a stop string", async () => {
    await using simulator = await Simulator.start()
    const ask = async (stop: string) => {
      const body = {
        prompt: ChatTemplate.render({ messages: [{ role: "user", content: "one two three" }] }),
        max_tokens: 99,
        stop,
        stream: true
      }
      return events(await (await post(simulator, body, { path: completionsIds })).text())
        .slice(0, -1)
        .map((event) => JSON.parse(event).choices[0])
    }
    const held = await ask("#####")
    assert.isTrue(held.slice(0, 1).every(({ text }) => text === ""))
    assert.strictEqual(held.map(({ text }) => text).join(""), "one two three")
    const stopped = await ask(" three")
    assert.deepInclude(stopped.at(-1), { finish_reason: "stop", stop_reason: " three" })
    assert.strictEqual(stopped.map(({ text }) => text).join(""), "one two")
  })
})

describe("/v1/completions", () => {
  it("makes 16 tokens unless it is told otherwise", async () => {
    await using simulator = await Simulator.start({ mode: "random" })
    const { choices, usage } = await json(simulator, { prompt: "Once upon a time" }, completionsIds)
    assert.deepStrictEqual([usage.completion_tokens, choices[0].finish_reason], [16, "length"])
  })

  it("goes on with a text from any of its tokens", async () => {
    await using simulator = await Simulator.start()
    const ask = async (prompt: ReadonlyArray<number>, max_tokens: number) =>
      (await json(simulator, { prompt, max_tokens, ignore_eos: true, return_token_ids: true }, completionsIds)).choices[0].token_ids
    const prompt = Tokenizer.encode("Once upon a time")
    const ids = await ask(prompt, 60)
    assert.lengthOf(ids, 60)
    for (const cut of [1, 17, 59]) assert.deepStrictEqual(await ask([...prompt, ...ids.slice(0, cut)], 60 - cut), ids.slice(cut))
  })

  it("echoes, takes several prompts, and tells log probabilities", async () => {
    await using simulator = await Simulator.start()
    const echoed = await json(simulator, { prompt: "Hello", echo: true, max_tokens: 2, logprobs: 1 }, completionsIds)
    assert.match(echoed.choices[0].text, /^Hello /)
    assert.deepStrictEqual(echoed.choices[0].logprobs.text_offset.slice(0, 3), [0, 4, 5])
    assert.isNull(echoed.choices[0].logprobs.token_logprobs[0])
    const none = await json(simulator, { prompt: "Hello", echo: true, max_tokens: 0 }, completionsIds)
    assert.strictEqual(none.choices[0].text, "Hello")
    const several = await json(simulator, { prompt: ["a", "b"], n: 2, max_tokens: 1 }, completionsIds)
    assert.deepStrictEqual(
      several.choices.map(({ index }: { index: number }) => index),
      [0, 1, 2, 3]
    )
    assert.strictEqual(several.usage.prompt_tokens, 2)
  })

  it("refuses as vLLM does", async () => {
    await using simulator = await Simulator.start({ maxModelLen: 100 })
    const table: ReadonlyArray<[object, string]> = [
      [{}, "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"],
      [{ prompt: [] }, "You must pass at least one prompt"],
      [{ prompt: [1, 99_999_999] }, "Token id 99999999 is out of vocabulary"],
      [{ prompt: "x", max_tokens: 0 }, "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"],
      [{ prompt: "x", temperature: 0, n: 2 }, "n must be 1 when using greedy sampling, got 2."],
      [
        { prompt: "x", max_tokens: 2000 },
        "max_tokens=2000 cannot be greater than max_model_len=100. Please request fewer output tokens. (parameter=max_tokens, value=2000)"
      ]
    ]
    for (const [body, message] of table) {
      const response = await post(simulator, body, { path: completionsIds })
      assert.deepStrictEqual([response.status, (await response.json()).error.message], [400, message])
    }
    assert.match((await json(simulator, { prompt: [-1] }, completionsIds)).error.message, /greater than or equal to 0/)
    assert.strictEqual((await post(simulator, { model: "nope", prompt: "x" }, { path: completionsIds })).status, 404)
  })
})

describe("/tokenize and /detokenize", () => {
  it("count as the usage does, and give texts back", async () => {
    await using simulator = await Simulator.start()
    const request = chat("Ça va? 🌊", { tools })
    const { count, max_model_len, token_strs, tokens } = await json(simulator, request, "/tokenize")
    assert.deepStrictEqual([count, max_model_len, token_strs], [tokens.length, 32_768, null])
    assert.strictEqual((await json(simulator, request)).usage.prompt_tokens, count)
    const plain = await json(simulator, { prompt: "Ça <|im_end|> 🌊", return_token_strs: true }, "/tokenize")
    assert.include(plain.token_strs, "<|im_end|>")
    assert.deepStrictEqual(await json(simulator, { tokens: plain.tokens }, "/detokenize"), { prompt: "Ça <|im_end|> 🌊" })
    assert.match((await json(simulator, {}, "/tokenize")).error.message, /2 validation errors/)
    assert.match((await json(simulator, { tokens: [-1] }, "/detokenize")).error.message, /body\.tokens\.0/)
  })
})

describe("the scale-out endpoints", () => {
  const render = "/v1/chat/completions/render"
  const generate = "/inference/v1/generate"
  const derender = "/v1/chat/completions/derender"

  it("are not there unless they are switched on", async () => {
    await using simulator = await Simulator.start()
    for (const path of [render, generate, derender]) assert.strictEqual((await post(simulator, {}, { path })).status, 404)
  })

  it("make the same answer in three steps, cut anywhere and read in any pieces", async () => {
    await using simulator = await all("vllm-0.32-reasoning")
    const request = chat("call", { tools })
    const direct = (await json(simulator, request)).choices[0]
    const rendered = await json(simulator, request, render)
    assert.strictEqual(rendered.request_id.slice(0, 9), "chatcmpl-")
    const made = await json(simulator, rendered, generate)
    const ids: ReadonlyArray<number> = made.choices[0].token_ids
    const whole = await json(
      simulator,
      { generate_response: made, prompt_tokens: rendered.token_ids.length, prompt_token_ids: rendered.token_ids, chat_request: request },
      derender
    )
    const bare = (message: { tool_calls: ReadonlyArray<{ function: object }> }) => ({
      ...message,
      tool_calls: message.tool_calls.map((call) => call.function)
    })
    assert.deepStrictEqual(bare(whole.choices[0].message), bare(direct.message))
    for (const size of [1, 5, 1000]) {
      let state: unknown = null
      const joined = { content: "", reasoning: "", calls: [] as Array<{ id: string; name: string; arguments: string }> }
      let finish: unknown
      for (let at = 0; at < ids.length; at += size) {
        const isLast = at + size >= ids.length
        const choice = { index: 0, token_ids: ids.slice(at, at + size), finish_reason: isLast ? "stop" : null }
        const { chunk, stream_state } = await json(
          simulator,
          {
            stream: true,
            chat_request: request,
            prompt_token_ids: rendered.token_ids,
            generate_chunk: { request_id: "r", choices: [choice] },
            stream_state: state
          },
          derender
        )
        // As a gateway folds it.
        state = { ...stream_state, output_chunk_lens: [stream_state.output_token_ids.length] }
        const { content, reasoning, role, tool_calls } = chunk.choices[0].delta
        assert.strictEqual(role, at === 0 ? "assistant" : null)
        joined.content += content ?? ""
        joined.reasoning += reasoning ?? ""
        for (const call of tool_calls ?? []) {
          if (call.id !== null) joined.calls[call.index] = { id: call.id, name: call.function.name, arguments: "" }
          else joined.calls[call.index]!.arguments += call.function.arguments
        }
        finish = chunk.choices[0].finish_reason
      }
      assert.strictEqual(finish, "tool_calls")
      assert.strictEqual(joined.reasoning, direct.message.reasoning)
      assert.strictEqual(joined.content, direct.message.content)
      assert.deepStrictEqual(
        joined.calls.map(({ arguments: args, name }) => ({ name, arguments: args })),
        direct.message.tool_calls.map(({ function: made }: { function: object }) => made)
      )
      assert.isTrue(joined.calls.every(({ id }) => id.startsWith("chatcmpl-tool-")))
    }
  })

  it("goes on from ids, streamed with running usage, and limits nothing unless it is told to", async () => {
    await using simulator = await all("vllm-0.32")
    const { choices, prompt_token_ids: prompt } = await json(simulator, chat(characters, { return_token_ids: true }))
    const ids: ReadonlyArray<number> = choices[0].token_ids
    const body = {
      token_ids: [...prompt, ...ids.slice(0, 7)],
      sampling_params: {},
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true }
    }
    const chunks = events(await (await post(simulator, body, { path: generate })).text())
      .slice(0, -1)
      .map((event) => JSON.parse(event))
    assert.deepStrictEqual(
      chunks.flatMap(({ choices }) => choices[0]?.token_ids ?? []),
      ids.slice(7)
    )
    assert.deepStrictEqual(chunks.at(-1).usage.completion_tokens, ids.length - 7)
    assert.strictEqual(chunks[2].usage.completion_tokens, 3)
  })

  it("refuse as vLLM does", async () => {
    await using simulator = await all("vllm-0.32-reasoning")
    const message = async (path: string, body: object) => (await json(simulator, body, path)).error.message
    assert.match(await message(generate, { token_ids: [], sampling_params: {} }), /at least 1 item after validation, not 0/)
    assert.match(await message(generate, { token_ids: [1e9], sampling_params: {} }), /Token id 1000000000 is out of vocabulary/)
    assert.match(await message(generate, { token_ids: [65], sampling_params: { max_tokens: 0 } }), /max_tokens must be at least 1/)
    assert.match(await message(derender, { generate_response: {} }), /chat_request is required/)
    const chunk = { stream: true, generate_chunk: { choices: [] }, chat_request: chat("x") }
    assert.match(await message(derender, chunk), /prompt_token_ids is required/)
    assert.match(
      await message(derender, { ...chunk, prompt_token_ids: [65], stream_state: { output_token_ids: [65], output_chunk_lens: [2] } }),
      /must sum to len\(output_token_ids\) \(got sum=2, len\(output_token_ids\)=1\)/
    )
  })
})
