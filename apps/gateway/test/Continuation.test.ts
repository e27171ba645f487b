import { assert, describe, it } from "@effect/vitest"
import { CarriedRequest } from "../src/CarriedRequest.ts"
import { type CarryOn, Continuation, type Post, type Step } from "../src/Continuation.ts"
import { Replica } from "../src/Replica.ts"
import { Member } from "../src/ReplicaPool.ts"

const requestOf = (body: Readonly<Record<string, unknown>>) => {
  const texts = new Map(
    Object.entries(body).map(([name, value]) => [name, typeof value === "bigint" ? String(value) : JSON.stringify(value)])
  )
  return new CarriedRequest((name) => texts.get(name))
}

const settings: CarryOn = {
  levels: ["ids", "parsers", "again", "text"],
  reasoningEnd: "</think>",
  migrationLimit: 2,
  replayMax: 256,
  carryParsers: 2
}

const messages = [{ role: "user", content: "hi" }]

const continuationOf = (body: Readonly<Record<string, unknown>>, carryOn: Partial<CarryOn> = {}) =>
  new Continuation({
    carryOn: { ...settings, ...carryOn },
    request: requestOf({ messages, ...body }),
    shown: { name: "alfred", withheld: { usage: "running", ids: true }, hidesReasoning: false },
    bodyFor: (model, set) => Buffer.from(JSON.stringify({ model, ...Object.fromEntries(set ?? []) }))
  })

const member = (origin = "http://127.0.0.1:1") => {
  const target = {
    url: new URL(`${origin}/v1/chat/completions`),
    model: "org/alfred",
    apiKey: undefined,
    weight: 1,
    maxConcurrent: undefined
  }
  return new Member(new Replica(origin, 1000), target)
}

const usage = (completion: number) => ({ prompt_tokens: 3, total_tokens: 3 + completion, completion_tokens: completion })

// Chunks as vLLM sends them to a gateway that asked for ids: one token each, from 100.
const say = (continuation: Continuation, deltas: ReadonlyArray<object>, finish?: string) => {
  const reader = continuation.first()
  const chunk = (choice: object, completion: number) =>
    reader.read({
      id: "chatcmpl-1",
      created: 1,
      model: "org/alfred",
      choices: [{ index: 0, logprobs: null, ...choice }],
      usage: usage(completion)
    })
  chunk({ delta: { role: "assistant", content: "" }, finish_reason: null }, 0)
  for (const [i, delta] of deltas.entries()) {
    const isLast = finish !== undefined && i === deltas.length - 1
    chunk({ delta, finish_reason: isLast ? finish : null, token_ids: [100 + i] }, i + 1)
  }
}

const ask = () => ({ abort: () => undefined })

const opened = (step: Step | undefined, answer?: unknown): Post & { readonly json: Readonly<Record<string, unknown>> } => {
  const post = step?.open(answer)
  assert.isObject(post)
  if (typeof post !== "object") throw new Error(post)
  return { ...post, json: JSON.parse(Buffer.from(post.body).toString("utf8")) }
}

const prompt = { count: 3, max_model_len: 1000, tokens: [1, 2, 3] }
const texts = ["One", " two", " three"].map((content) => ({ content }))

describe("a stream that another replica goes on with", () => {
  it("is gone on with from its ids, with members that are named one by one", () => {
    const continuation = continuationOf({
      temperature: 0.5,
      seed: 9_223_372_036_854_775_806n,
      max_completion_tokens: 50,
      max_tokens: 7,
      min_tokens: 2,
      echo: true,
      truncate_prompt_tokens: 1,
      stop_token_ids: [5],
      stream_options: { include_usage: true },
      unknown_extra: 1
    })
    say(continuation, texts)
    assert.isUndefined(continuation.refusal)
    const step = continuation.next(member(), ask)
    assert.strictEqual(step?.level, "ids")
    assert.strictEqual(step?.before?.url.href, "http://127.0.0.1:1/tokenize")
    assert.deepStrictEqual(JSON.parse(String(step?.before?.body)), { messages, model: "org/alfred" })
    const post = opened(step, prompt)
    assert.strictEqual(post.url.href, "http://127.0.0.1:1/v1/completions")
    // The seed goes on after the largest integer of 64 bits, as text: a number would lose its last digits.
    assert.include(String(post.body), '"seed":-9223372036854775807')
    const { seed: _, ...members } = post.json
    assert.deepStrictEqual(members, {
      temperature: 0.5,
      stop_token_ids: [5],
      model: "org/alfred",
      prompt: [1, 2, 3, 100, 101, 102],
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      return_token_ids: true,
      add_special_tokens: false,
      max_tokens: 47
    })
  })

  it("has the room of the model where the client sets no limit", () => {
    const continuation = continuationOf({})
    say(continuation, texts)
    assert.strictEqual(opened(continuation.next(member(), ask), prompt).json["max_tokens"], 1000 - 3 - 3)
  })

  it("never goes on from ids that end inside a character", () => {
    const continuation = continuationOf({})
    say(continuation, [...texts, {}, {}])
    assert.deepStrictEqual(opened(continuation.next(member(), ask), prompt).json["prompt"], [1, 2, 3, 100, 101, 102])
  })

  it("is not gone on with by a replica that reads the prompt otherwise", () => {
    const continuation = continuationOf({})
    say(continuation, texts)
    assert.strictEqual(continuation.next(member(), ask)?.open({ ...prompt, tokens: [1, 2] }), "the prompt has other tokens")
  })

  it("goes back where a stop string may have begun in what is held back", () => {
    // Text lags by three characters: with 12 that were sent, the ids of 9 are all said.
    const continuation = continuationOf({ stop: ["#end"], temperature: 0 })
    say(
      continuation,
      ["abcd", "efgh", "i", "jkl"].map((content) => ({ content }))
    )
    assert.deepStrictEqual(opened(continuation.next(member(), ask), prompt).json["prompt"], [1, 2, 3, 100, 101, 102])
    const shown = continuationOf({ stop: ["#end"], temperature: 0, include_stop_str_in_output: true })
    say(
      shown,
      ["abcd", "efgh", "i", "jkl"].map((content) => ({ content }))
    )
    assert.deepStrictEqual(opened(shown.next(member(), ask), prompt).json["prompt"], [1, 2, 3, 100, 101, 102])
    const begun = continuationOf({ stop: ["#end"], temperature: 0 })
    say(begun, [{ content: "ab" }])
    assert.deepStrictEqual(opened(begun.next(member(), ask), prompt).json["prompt"], [1, 2, 3])
  })

  it("is asked for whole where the client saw nothing of it", () => {
    const continuation = continuationOf({ n: 2, logprobs: true })
    say(continuation, [{}])
    assert.isUndefined(continuation.refusal)
    assert.strictEqual(continuation.next(member(), ask)?.level, "nothing")
  })

  it("has a limit of times", () => {
    const continuation = continuationOf({})
    say(continuation, texts)
    continuation.wentOn()
    assert.isUndefined(continuation.refusal)
    continuation.wentOn()
    assert.strictEqual(continuation.refusal, "it was carried on 2 times")
  })

  it.each<[string, Readonly<Record<string, unknown>>, ReadonlyArray<object>, string]>([
    ["several choices", { n: 2 }, texts, "ids: n > 1"],
    ["log probabilities", { logprobs: true }, texts, "ids: logprobs"],
    ["a presence penalty", { presence_penalty: 0.5 }, texts, "ids: presence_penalty"],
    ["a frequency penalty", { frequency_penalty: -0.5 }, texts, "ids: frequency_penalty"],
    ["bad words", { bad_words: ["x"] }, texts, "ids: bad_words"],
    ["a budget of thinking", { thinking_token_budget: 5 }, texts, "ids: thinking_token_budget"],
    ["a check for repetition", { repetition_detection: { max: 1 } }, texts, "ids: repetition_detection"],
    ["a schema", { response_format: { type: "json_object" } }, texts, "ids: response_format"],
    ["structured output", { structured_outputs: { choice: ["a"] } }, texts, "ids: structured_outputs"],
    ["a required tool", { tools: [{}], tool_choice: "required" }, texts, "ids: tool_choice"],
    ["an image", { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] }] }, texts, "ids: media"],
    ["stop strings without a seed", { stop: "xy" }, texts, "ids: stop without a seed"],
    ["stop strings and reasoning", { stop: "x" }, [{ reasoning: "a" }, { content: "b" }], "ids: stop with reasoning"]
  ])("is refused with its reason where it cannot be exact: %s", (_, body, deltas, reason) => {
    const continuation = continuationOf(body, { levels: ["ids", "parsers", "again"] })
    say(continuation, deltas)
    assert.include(continuation.refusal, reason)
    assert.include(continuation.refusal, "again: neither temperature 0 nor a seed")
    assert.isUndefined(continuation.next(member(), ask))
    const exact = continuationOf({ ...body, temperature: 0 }, { levels: ["again"] })
    say(exact, deltas)
    assert.strictEqual(exact.next(member(), ask)?.level, "again")
  })

  it("is not gone on with from ids where the prompt may differ without a difference in its length", () => {
    const continuation = continuationOf({ reasoning_effort: "low" }, { levels: ["ids"] })
    say(continuation, texts)
    assert.strictEqual(continuation.refusal, "ids: reasoning_effort")
  })

  it("is not made again beyond its limit", () => {
    const continuation = continuationOf({ temperature: 0 }, { levels: ["again"], replayMax: 2 })
    say(continuation, texts)
    assert.strictEqual(continuation.refusal, "again: more than 2 tokens")
  })

  it("needs the end of the reasoning to go on inside it", () => {
    const inside = [{ reasoning: "Let" }, { reasoning: " me" }]
    const continuation = continuationOf({}, { levels: ["ids"], reasoningEnd: undefined })
    say(continuation, inside)
    assert.strictEqual(continuation.refusal, "ids: no reasoningEnd is set")
    const named = continuationOf({}, { levels: ["ids"] })
    say(named, inside)
    const { json } = opened(named.next(member(), ask), prompt)
    assert.strictEqual(json["skip_special_tokens"], false)
  })

  it("tries a level once that a replica does not have, for all streams", () => {
    const replica = member()
    const continuation = continuationOf({ temperature: 0 })
    say(continuation, texts)
    continuation.lower(replica.replica, "ids", true)
    const other = continuationOf({ temperature: 0 })
    say(other, texts)
    assert.strictEqual(other.next(replica, ask)?.level, "parsers")
    assert.strictEqual(other.next(member("http://127.0.0.1:2"), ask)?.level, "ids")
    // One prompt that differs says nothing of other streams.
    continuation.lower(replica.replica, "parsers", false)
    assert.strictEqual(continuation.next(replica, ask)?.level, "again")
    assert.strictEqual(other.next(replica, ask)?.level, "parsers")
  })

  it("goes on from its text only where the configuration says so", () => {
    const continuation = continuationOf({ max_tokens: 9 }, { levels: ["text"] })
    say(continuation, texts)
    const { json } = opened(continuation.next(member(), ask))
    assert.deepStrictEqual(JSON.parse(String(json["messages"])), [...messages, { role: "assistant", content: "One two three" }])
    assert.strictEqual(json["continue_final_message"], "true")
    assert.strictEqual(json["max_completion_tokens"], "6")
  })

  it("needs no replica when its choices are finished: the usage is known", () => {
    const continuation = continuationOf({})
    say(continuation, texts, "stop")
    assert.strictEqual(
      continuation.ending(),
      `data: {"id":"chatcmpl-1","created":1,"object":"chat.completion.chunk","model":"alfred","choices":[],"usage":${JSON.stringify(usage(3))}}\n\n`
    )
  })

  it("needs no replica when its tokens are used up", () => {
    const continuation = continuationOf({ max_tokens: 3 })
    say(continuation, texts)
    const [finish = "", last = ""] = continuation.ending()?.split("\n\n") ?? []
    assert.include(finish, '"finish_reason":"length"')
    assert.include(last, '"completion_tokens":3')
    const going = continuationOf({ max_tokens: 4 })
    say(going, texts)
    assert.isUndefined(going.ending())
  })
})
