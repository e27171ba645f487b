import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatCompletionRequest } from "../../src/ChatCompletion.ts"
import * as ContractSchema from "../../src/ContractSchema.ts"
import { InvalidRequest } from "../../src/ParadigmError.ts"
import * as RequestEncoding from "../../src/RequestEncoding.ts"

const encoders = { json: RequestEncoding.json, urlEncoded: RequestEncoding.urlEncoded, multipart: RequestEncoding.multipart }

// A JSON round trip, which omits undefined members.
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const parseMultipart = ({ body, contentType }: RequestEncoding.Encoded) =>
  new Response(body, { headers: { "content-type": contentType } }).formData()

const Text = Schema.Union([
  Schema.String,
  Schema.Literals([
    "",
    " ",
    "[]",
    '["a"]',
    "[1]",
    "null",
    "true",
    "5",
    "1e3",
    '"x"',
    "{}",
    '{"a":1}',
    "a\nb\r\nc\rd",
    "a=b&c",
    "é😀",
    "\ud83d"
  ]),
  Schema.Literals(['[{"type":"text","text":"a"}]', "[{}]", "12345678901234567890", "__proto__", "%41+%", "\u0000", "\ufeff"])
])
const Value = Schema.Union([Text, Schema.Finite, Schema.Boolean, Schema.Null, Schema.Array(Text), Schema.Record(Schema.String, Text)])
const Name = Schema.Literals(["foo", "x-y", "a.b", "__proto__", "constructor", "0", "é", "a b", "toJSON"])
const Unknown = Schema.Record(Name, Value)
const maybe = Schema.optionalKey
const Call = Schema.Struct({ id: maybe(Text), type: maybe(Text), function: Schema.Struct({ name: Text, arguments: Text }) })
const Part = Schema.Struct({ type: maybe(Text), text: maybe(Text), image_url: maybe(Schema.Struct({ url: Text })) })

const Message = Schema.Struct({
  role: Text,
  content: maybe(Schema.NullOr(Schema.Union([Text, Schema.Array(Part)]))),
  name: maybe(Text),
  tool_calls: maybe(Schema.Array(Call)),
  tool_call_id: maybe(Text),
  function_call: maybe(Schema.Struct({ name: Text, arguments: Text }))
})

const Request = Schema.Struct({
  model: Text,
  messages: Schema.NonEmptyArray(Message),
  temperature: maybe(Schema.Finite),
  n: maybe(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  stream: maybe(Schema.Boolean),
  stop: maybe(Schema.Union([Text, Schema.Array(Text)])),
  user: maybe(Text),
  logit_bias: maybe(Schema.Record(Schema.String, Schema.Finite)),
  functions: maybe(Schema.Array(Unknown)),
  function_call: maybe(Text),
  response_format: maybe(Schema.Struct({ type: Text, json_schema: maybe(Schema.Struct({ name: Text, strict: maybe(Schema.Boolean) })) })),
  tools: maybe(Schema.Array(Schema.Struct({ type: Text, function: maybe(Schema.Struct({ name: Text, parameters: maybe(Unknown) })) }))),
  tool_choice: maybe(Schema.Union([Text, Schema.Struct({ type: Text, function: Schema.Struct({ name: Text }) })])),
  stop_token_ids: maybe(Schema.Array(Schema.Int)),
  guided_json: maybe(Schema.Union([Text, Unknown])),
  guided_choice: maybe(Schema.Array(Text)),
  chat_template_kwargs: maybe(Unknown),
  vllm_xargs: maybe(Schema.Record(Schema.String, Schema.Union([Text, Schema.Finite, Schema.Array(Schema.Union([Text, Schema.Finite]))])))
})

const seed = Schema.Union([Schema.Int, Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: -(2n ** 63n), maximum: 2n ** 63n - 1n }))])

// The JSON form: without -0, and with the digits of the seed, because a small bigint is read as a number. A form reads one stop string as a list.
const meaning = (request: unknown) => {
  const { seed, stop, ...rest } = request as { readonly seed?: number | bigint; readonly stop?: unknown }
  return {
    ...(plain(rest) as object),
    seed: seed === undefined ? undefined : String(seed === 0 ? 0 : seed),
    stop: typeof stop === "string" ? [stop] : stop
  }
}

const isWellFormed = (value: unknown): boolean => JSON.stringify(value).isWellFormed() && !/\\ud[89a-f]/.test(JSON.stringify(value))

describe("any request", () => {
  it.effect.prop(
    "is decoded from a form as it was encoded",
    { request: Request, message: Unknown, unknown: Unknown, seed: Schema.UndefinedOr(seed) },
    ({ message, request, seed, unknown }) =>
      Effect.gen(function* () {
        const messages = request.messages.map((known, i) => (i === 0 ? { ...message, ...known } : known))
        const whole = { ...unknown, ...request, messages, ...(seed === undefined ? {} : { seed }) }
        for (const encoding of ["urlEncoded", "multipart"] as const) {
          const result = encoders[encoding](whole as ChatCompletionRequest)
          if (Result.isFailure(result)) {
            // A text without a UTF-8 form, in a field without another spelling.
            const [path = ""] = Object.keys(result.failure.fields)
            assert.include(["model", "user", "function_call"], path)
            assert.isFalse(isWellFormed((whole as Readonly<Record<string, unknown>>)[path]))
            continue
          }
          const again =
            encoding === "urlEncoded"
              ? RequestEncoding.decodeUrlEncoded(result.success.body)
              : RequestEncoding.decodeForm(yield* Effect.promise(() => parseMultipart(result.success)))
          assert.deepStrictEqual(meaning(Result.getOrThrow(again)), meaning(whole))
        }
        const json = Result.getOrThrow(RequestEncoding.encodeJson(whole as ChatCompletionRequest))
        assert.deepStrictEqual(meaning(Result.getOrThrow(RequestEncoding.decodeJson(json))), meaning(whole))
      }),
    { arbitrary: { runs: 500 }, timeout: 60_000 }
  )

  it.effect.prop(
    "is decoded, or rejected, from any form",
    {
      entries: Schema.Array(
        Schema.Tuple([Schema.Union([Text, Schema.Literals(["messages", "messages[0]", "messages[0]role", "n[]", "stop[0]"])]), Text])
      )
    },
    ({ entries }) =>
      Effect.sync(() => {
        const result = RequestEncoding.decodeForm(entries)
        if (Result.isFailure(result)) assert.instanceOf(result.failure, InvalidRequest)
        else assert.isTrue(Schema.is(ContractSchema.ChatCompletionRequest)(result.success))
      }),
    { arbitrary: { runs: 500 }, timeout: 60_000 }
  )
})
