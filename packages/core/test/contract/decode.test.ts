import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { Anomalies } from "../../src/Anomaly.ts"
import { decodeChunk, decodeCompletion, decodeRequest } from "../../src/contract/decode.ts"

const chunk = {
  id: "c",
  object: "chat.completion.chunk",
  created: 1700000000,
  model: "alfred",
  choices: [{ index: 0, delta: { content: "a" }, finish_reason: null }]
}

const completion = {
  id: "c",
  object: "chat.completion",
  created: 1700000000,
  model: "alfred",
  choices: [{ index: 0, message: { role: "assistant", content: "a" }, finish_reason: "stop" }]
}

const without = (value: object, ...names: ReadonlyArray<string>) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)))

const withChoice = (value: object, ...choices: ReadonlyArray<unknown>) => ({ ...value, choices })

const assertRefused = (
  result: Result.Result<unknown, Readonly<Record<string, ReadonlyArray<string>>>>,
  ...paths: ReadonlyArray<string>
) => {
  assert.isTrue(Result.isFailure(result))
  if (Result.isFailure(result)) assert.sameMembers(Object.keys(result.failure), [...paths])
}

describe("decodeChunk", () => {
  it("returns a valid chunk itself", () => {
    const extended = { ...chunk, extra: { a: [null] }, choices: [{ index: 0, delta: { content: "a", x: 1 }, y: 2 }] }
    for (const value of [chunk, extended, { ...chunk, choices: [] }])
      assert.strictEqual<unknown>(Result.getOrThrow(decodeChunk(value)), value)
  })

  it.each<[string, object, object]>([
    ["an id", without(chunk, "id"), { ...chunk, id: "" }],
    ["a model", without(chunk, "model"), { ...chunk, model: "" }],
    ["an object", without(chunk, "object"), chunk],
    ["a time", without(chunk, "created"), { ...chunk, created: 0 }],
    ["all of them", { choices: chunk.choices }, { ...chunk, id: "", model: "", created: 0 }],
    ["a whole number of seconds", { ...chunk, created: 1700000000.75 }, chunk],
    ["an index", withChoice(chunk, { delta: { content: "a" } }), withChoice(chunk, { index: 0, delta: { content: "a" } })],
    ["a delta", withChoice(chunk, { index: 1, finish_reason: "stop" }), withChoice(chunk, { index: 1, delta: {}, finish_reason: "stop" })],
    ["values, but nulls", { ...chunk, id: null, model: null, created: null, object: null }, { ...chunk, id: "", model: "", created: 0 }]
  ])("completes a chunk without %s", (_, value, expected) => {
    assert.deepStrictEqual<unknown>(Result.getOrThrow(decodeChunk(value)), expected)
  })

  it.each<[string, unknown, ReadonlyArray<string>]>([
    ["choices that are an object", { ...chunk, choices: {} }, ["choices"]],
    ["a choice that is null", withChoice(chunk, null), ["choices[0]"]],
    ["a text for a delta", withChoice(chunk, { index: 0, text: "a", finish_reason: null }), ["choices[0].delta"]],
    ["a delta that is a text", withChoice(chunk, { index: 0, delta: "a" }), ["choices[0].delta"]],
    ["an index below 0", withChoice(chunk, { index: -1, delta: {} }), ["choices[0].index"]],
    ["an index with a fraction", withChoice(chunk, { index: 0.5, delta: {} }), ["choices[0].index"]],
    ["a number for a text", { ...chunk, id: 1, choices: [{ index: 0, delta: { content: 1 } }] }, ["choices[0].delta.content"]],
    ["tool calls that are a text", withChoice(chunk, { index: 0, delta: { tool_calls: "f" } }), ["choices[0].delta.tool_calls"]],
    ["a tool call that is a text", withChoice(chunk, { index: 0, delta: { tool_calls: ["f"] } }), ["choices[0].delta.tool_calls[0]"]],
    [
      "a tool call whose name is a number",
      withChoice(chunk, { index: 0, delta: { tool_calls: [{ index: 0, function: { name: 1 } }] } }),
      ["choices[0].delta.tool_calls[0].function.name"]
    ],
    ["a list", [chunk], [""]],
    ["a text", "chunk", [""]]
  ])("rejects %s with its path", (_, value, paths) => {
    assertRefused(decodeChunk(value), ...paths)
  })
})

describe("decodeCompletion", () => {
  it("returns a valid completion itself", () => {
    for (const value of [completion, { ...completion, extra: null }]) {
      assert.strictEqual<unknown>(Result.getOrThrow(decodeCompletion(value)), value)
    }
  })

  const message = { role: "assistant", content: "a" }

  it.each<[string, object, object]>([
    ["its envelope", { choices: completion.choices }, { ...completion, id: "", model: "", created: 0 }],
    ["a whole number of seconds", { ...completion, created: 1700000000.5 }, completion],
    ["indices", withChoice(completion, { message }, { message }), withChoice(completion, { index: 0, message }, { index: 1, message })],
    ["a role", withChoice(completion, { index: 0, message: { content: "a" } }), withChoice(completion, { index: 0, message })],
    [
      "the order of its choices",
      withChoice(completion, { index: 2, message }, { index: 0, message }, { index: 1, message }),
      withChoice(completion, { index: 0, message }, { index: 1, message }, { index: 2, message })
    ]
  ])("completes a completion without %s", (_, value, expected) => {
    const unfinished = Object.values((value as { readonly choices: ReadonlyArray<object> }).choices).every(
      (choice) => !("finish_reason" in choice)
    )
    const anomalies = new Anomalies()
    assert.deepStrictEqual<unknown>(Result.getOrThrow(decodeCompletion(value, anomalies)), expected)
    assert.strictEqual(
      anomalies.list.some(({ repair }) => repair === "unfinished"),
      unfinished
    )
  })

  it.each<[string, unknown, ReadonlyArray<string>]>([
    ["no choices", without(completion, "choices"), ["choices"]],
    ["a choice without message", withChoice(completion, { index: 0 }), ["choices[0].message"]],
    ["a message that is a text", withChoice(completion, { index: 0, message: "a" }), ["choices[0].message"]],
    ["content that is a number", withChoice(completion, { index: 0, message: { content: 1 } }), ["choices[0].message.content"]],
    ["a list", [completion], [""]],
    ["null", null, [""]]
  ])("rejects %s with its path", (_, value, paths) => {
    assertRefused(decodeCompletion(value), ...paths)
  })
})

describe("decodeRequest", () => {
  it("returns a valid request itself, without defaults", () => {
    const request = { model: "alfred", messages: [{ role: "user", content: "a" }], extra: 1 }
    assert.strictEqual<unknown>(Result.getOrThrow(decodeRequest(request)), request)
    assertRefused(decodeRequest({ messages: [{ content: "a" }] }), "model", "messages[0].role")
  })
})
