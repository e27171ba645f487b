// The calls that servers stream, as the AI SDK's tools see them.
import { assert, describe, it } from "vitest"
import { serve } from "./Loopback.ts"
import { call, stream } from "./Reply.ts"
import { run, doStream, done, ofTypes } from "./Runs.ts"

describe("a tool call in a stream", () => {
  it.each<[what: string, deltas: ReadonlyArray<Record<string, unknown>>, calls: ReadonlyArray<unknown>]>([
    ["without arguments", [call({ id: "c1", function: { name: "now" } })], [["now", {}]]],
    ["with empty arguments", [call({ id: "c1", function: { name: "now", arguments: "" } })], [["now", {}]]],
    ["with null arguments", [call({ id: "c1", function: { name: "now", arguments: null } })], [["now", {}]]],
    [
      "with arguments before its name",
      [call({ id: "c1", function: { arguments: '{"pa' } }), call({ function: { name: "read", arguments: 'th":"a"}' } })],
      [["read", { path: "a" }]]
    ],
    [
      "with an empty name before its name",
      [call({ id: "c1", function: { name: "", arguments: "" } }), call({ function: { name: "read", arguments: '{"path":"a"}' } })],
      [["read", { path: "a" }]]
    ],
    ["whose id is a number", [call({ id: 123, function: { name: "now", arguments: "{}" } })], [["now", {}]]],
    [
      "whose arguments are an object",
      [call({ id: "c1", function: { name: "read", arguments: { path: "a" } } })],
      [["read", { path: "a" }]]
    ],
    ["without an index", [{ tool_calls: [{ id: "c1", function: { name: "now", arguments: "{}" } }] }], [["now", {}]]],
    [
      "whose name is in every fragment",
      [call({ id: "c1", function: { name: "read", arguments: '{"path"' } }), call({ function: { name: "read", arguments: ':"a"}' } })],
      [["read", { path: "a" }]]
    ],
    [
      "that repeats its arguments",
      [call({ id: "c1", function: { name: "read", arguments: '{"path":"a"}' } }), call({ function: { arguments: '{"path":"a"}' } })],
      [["read", { path: "a" }]]
    ],
    [
      "in the legacy form",
      [{ function_call: { name: "read", arguments: '{"path":' } }, { function_call: { arguments: '"a"}' } }],
      [["read", { path: "a" }]]
    ],
    [
      "and another with the same index and another id",
      [
        call({ id: "c1", function: { name: "read", arguments: '{"path":"a"}' } }),
        call({ id: "c2", function: { name: "read", arguments: '{"path":"b"}' } })
      ],
      [
        ["read", { path: "a" }],
        ["read", { path: "b" }]
      ]
    ],
    [
      "and another with the same index and another name",
      [call({ function: { name: "read", arguments: '{"path":"a"}' } }), call({ function: { name: "now", arguments: "{}" } })],
      [
        ["read", { path: "a" }],
        ["now", {}]
      ]
    ],
    [
      "and another that interleaves",
      [
        call({ id: "c1", function: { name: "read", arguments: '{"path":' } }),
        call({ id: "c2", function: { name: "read", arguments: '{"path":' } }, 1),
        call({ function: { arguments: '"a"}' } }),
        call({ function: { arguments: '"b"}' } }, 1)
      ],
      [
        ["read", { path: "a" }],
        ["read", { path: "b" }]
      ]
    ],
    [
      "and another with the higher index first",
      [
        call({ id: "c2", function: { name: "now", arguments: "{}" } }, 1),
        call({ id: "c1", function: { name: "read", arguments: '{"path":"a"}' } }, 0)
      ],
      [
        ["read", { path: "a" }],
        ["now", {}]
      ]
    ]
  ])("%s runs the tool", async (_, deltas, calls) => {
    await using server = await serve(stream(deltas, "tool_calls"), done)
    const seen = await run(server)
    assert.deepStrictEqual(seen.errors, [])
    assert.deepStrictEqual(seen.used, calls)
    assert.strictEqual(seen.text, "ok")
    assert.lengthOf(server.seen, 2)
    const [assistant, ...results] = server.body(1).messages.slice(1)
    assert.deepStrictEqual(
      assistant.tool_calls.map(({ id }: { id: string }) => id),
      results.map(({ tool_call_id }: { tool_call_id: string }) => tool_call_id)
    )
    assert.lengthOf(ofTypes(seen.types, "tool-input-start"), calls.length)
    assert.lengthOf(ofTypes(seen.types, "tool-input-end"), calls.length)
  })

  it.each([[undefined], [""], [null]])("with the id %j gets one that no other step has", async (id) => {
    const step = stream([call({ id, function: { name: "now", arguments: "{}" } })], "tool_calls")
    await using server = await serve(step, step, done)
    const seen = await run(server)
    assert.strictEqual(seen.text, "ok")
    assert.lengthOf(seen.used, 2)
    const calls = server.body(2).messages.flatMap(({ tool_calls = [] }) => tool_calls)
    const results = server.body(2).messages.flatMap(({ tool_call_id = [] }) => tool_call_id)
    assert.lengthOf(new Set(results), 2)
    assert.deepStrictEqual(
      calls.map(({ id }: { id: string }) => id),
      results
    )
  })

  it("ends open text and reasoning first", async () => {
    await using server = await serve(
      stream([{ reasoning: "hm" }, { content: "so" }, call({ id: "c1", function: { name: "now", arguments: "{}" } })], "tool_calls")
    )
    const { parts } = await doStream(server)
    const types = parts.map(({ type }) => type)
    const expected =
      "stream-start response-metadata reasoning-start reasoning-delta reasoning-end text-start text-delta text-end tool-input-start tool-input-delta tool-input-end tool-call finish"
    assert.deepStrictEqual(types, expected.split(" "))
  })

  it("that never gets a name is one error that says so", async () => {
    await using server = await serve(stream([{ content: "a" }, call({ id: "c1", function: { arguments: "{}" } })], "tool_calls"))
    const seen = await run(server)
    assert.strictEqual(seen.text, "a")
    assert.lengthOf(seen.errors, 1)
    assert.match(String(seen.errors[0]), /name/)
    assert.deepStrictEqual(seen.used, [])
    assert.strictEqual(seen.finish?.finishReason, "error")
    assert.lengthOf(server.seen, 1)
  })

  it("cut off by max_tokens goes back as an object", async () => {
    await using server = await serve(stream([call({ id: "c1", function: { name: "read", arguments: '{"path": "a' } })], "length"), done)
    const seen = await run(server)
    assert.deepStrictEqual(seen.used, [])
    assert.strictEqual(seen.finish?.finishReason, "length")
    assert.strictEqual(server.body(1).messages[1].tool_calls[0].function.arguments, "{}")
  })
})
