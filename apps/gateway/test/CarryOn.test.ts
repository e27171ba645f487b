import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { kinds, run } from "./CarriedStreams.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 60_000 })

// Tokens and ways of failing, the same in every run.
const seeded = (seed: number) => {
  let state = seed
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
}

describe("a stream whose replica fails at any token", () => {
  it.each(kinds)("is whole and the same: $name", async (kind) => {
    const [row] = await run({ streams: 12, kinds: [kind], random: seeded(kind.name.length) })
    assert.isDefined(row)
    assert.isUndefined(row.difference)
    assert.strictEqual(row.equal, 12)
    assert.strictEqual(row.leaks, 0)
    assert.isAbove(row.failed, 6)
    const used = Object.keys(row.levels).filter((level) => level !== "nothing")
    assert.deepStrictEqual(used, [kind.level])
  })
})

const chunk = (content: string, more: object = {}, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "org/alfred", choices: [{ index: 0, delta: { content }, logprobs: null, finish_reason: finish, ...more }] })}\n\n`

// Two model servers: the first request breaks off after its events, the others get all of theirs.
const twice = Effect.fnUntraced(function* (
  first: ReadonlyArray<string>,
  second: ReadonlyArray<string>,
  model: Readonly<Record<string, unknown>>,
  request: object = {}
) {
  let asked = 0
  const answer = (exchange: Upstream.Exchange) => {
    if (!exchange.requestLine.includes("/chat/completions ")) return exchange.answer(404, "{}")
    exchange.head()
    if (asked++ === 0) {
      for (const event of first) exchange.chunk(event)
      return void setTimeout(() => exchange.socket.resetAndDestroy(), 20)
    }
    for (const event of second) exchange.chunk(event)
    exchange.end()
  }
  const upstreams = [yield* Upstream.start(answer), yield* Upstream.start(answer)]
  const gateway = yield* Gateway.startWith(
    upstreams.map(({ origin }) => origin),
    { model }
  )
  const { text } = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, ...request }) })
  return { text, record: JSON.parse(gateway.log[0] ?? "{}"), exchanges: upstreams.flatMap(({ exchanges }) => exchanges) }
})

const done = "data: [DONE]\n\n"

describe("a stream that cannot be carried on", () => {
  it.live("ends with an error when the answer that is made again differs", () =>
    Effect.gen(function* () {
      const { record, text } = yield* twice(
        [chunk("One"), chunk(" two")],
        [chunk("One two or"), done],
        { carryOn: ["again"] },
        { temperature: 0 }
      )
      assert.include(text, '" or"')
      const differing = yield* twice(
        [chunk("One"), chunk(" two")],
        [chunk("One"), chunk(" or"), done],
        { carryOn: ["again"] },
        { temperature: 0 }
      )
      assert.notInclude(differing.text, " or")
      assert.match(
        differing.text,
        /"message":"The model server broke off the stream, and another one did not go on with the same answer\."/
      )
      assert.isTrue(differing.text.endsWith(done))
      assert.strictEqual(differing.record.outcome, "truncated")
      assert.strictEqual(differing.record.cause, "the answer that was made again differs")
      assert.deepStrictEqual(record.carriedOn, ["again"])
    })
  )

  it.live("ends with an error whose reasons are in the log", () =>
    Effect.gen(function* () {
      const { exchanges, record, text } = yield* twice([chunk("One"), chunk(" two")], [], { carryOn: ["ids", "again"] })
      assert.include(text, '"code":502')
      assert.include(record.cause, "not carried on: ids: the replica sent no ids; again: neither temperature 0 nor a seed")
      assert.lengthOf(exchanges, 1)
    })
  )

  it.live("names the level that the next replica does not have", () =>
    Effect.gen(function* () {
      const { record, text } = yield* twice([chunk("One", { token_ids: [7] })], [], { carryOn: ["ids"] })
      assert.include(text, '"code":502')
      assert.include(record.cause, "no replica is left; ids: status 404")
    })
  )

  it.live("ends with an error where the model does not carry on", () =>
    Effect.gen(function* () {
      const { exchanges, record, text } = yield* twice([chunk("One")], [], {}, { temperature: 0 })
      assert.include(text, '"code":502')
      assert.notInclude(record.cause, "carried on")
      assert.lengthOf(exchanges, 1)
      assert.notProperty(JSON.parse(exchanges[0]?.body ?? "{}"), "return_token_ids")
    })
  )
})

describe("a stream that is carried on", () => {
  it.live("does not wait for a replica that stands still", () =>
    Effect.gen(function* () {
      let asked = 0
      const answer = (exchange: Upstream.Exchange) => {
        exchange.head()
        exchange.chunk(chunk("One"))
        if (asked++ > 0) exchange.chunk(chunk(" two", {}, "stop") + done)
      }
      const upstreams = [yield* Upstream.start(answer), yield* Upstream.start(answer)]
      const gateway = yield* Gateway.startWith(
        upstreams.map(({ origin }) => origin),
        { model: { carryOn: ["again"], timeouts: { idle: 500 } } }
      )
      const { text } = yield* Gateway.ask(gateway, { body: Gateway.chat({ stream: true, temperature: 0 }) })
      assert.include(text, '{"content":" two"}')
      assert.isTrue(text.endsWith(done))
      assert.deepStrictEqual(JSON.parse(gateway.log[0] ?? "{}").carriedOn, ["again"])
    })
  )

  it.live("has no text of the abort, and goes on at the next level of the replica", () =>
    Effect.gen(function* () {
      const { record, text } = yield* twice(
        [chunk("One", { token_ids: [7] }), chunk(" FLUSHED", { token_ids: [8] }, "abort")],
        [chunk("One two", { token_ids: [7, 9] }), chunk("", { token_ids: [2] }, "stop"), done],
        { carryOn: ["ids", "again"] },
        { temperature: 0 }
      )
      assert.notInclude(text, "FLUSHED")
      assert.strictEqual(text.split(": continued on another replica\n\n").length, 2)
      assert.include(text, '{"content":" two"}')
      assert.notInclude(text, "[7")
      assert.deepStrictEqual(record.carriedOn, ["again"])
      assert.strictEqual(record.outcome, "ok")
    })
  )
})
