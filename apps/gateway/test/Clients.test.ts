import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { assert, describe, it, vi } from "@effect/vitest"
import { ChatOpenAI } from "@langchain/openai"
import { Mistral } from "@mistralai/mistralai"
import { APICallError, generateText, jsonSchema, streamText, tool } from "ai"
import * as Effect from "effect/Effect"
import { APIUserAbortError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError, OpenAI } from "openai"
import * as Gateway from "./GatewayUnderTest.ts"
import { answer, messages } from "./ScriptedAnswers.ts"
import type * as Upstream from "./ScriptedUpstream.ts"

vi.setConfig({ testTimeout: 30_000 })

const test = (name: string, body: (origin: string, upstream: Upstream.ScriptedUpstream) => Promise<void>) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const { gateway, upstream } = yield* Gateway.inFrontOf(answer)
      yield* Effect.promise(() => body(gateway.origin, upstream))
    })
  )

const rejection = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error("It does not fail")
}

describe("openai", () => {
  const connect = (origin: string, apiKey = Gateway.key) => new OpenAI({ baseURL: `${origin}/v1`, apiKey, maxRetries: 0 })
  const request = { model: "alfred", messages }

  test("completes, streams, and lists models", async (origin) => {
    const client = connect(origin)
    const whole = await client.chat.completions.create(request)
    assert.deepStrictEqual([whole.choices[0]?.message.content, whole.model], ["Hello!", "alfred"])
    let text = ""
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true }))
      text += choices[0]?.delta.content ?? ""
    assert.strictEqual(text, "Hello!")
    const models = await client.models.list()
    assert.deepStrictEqual(
      models.data.map(({ id }) => id),
      ["alfred", "other"]
    )
    assert.strictEqual((await client.models.retrieve("alfred")).id, "alfred")
  })

  test("runs a tool, and sends the answer's message back", async (origin) => {
    const runner = connect(origin).chat.completions.runTools({
      ...request,
      tools: [
        {
          type: "function",
          function: {
            name: "add",
            description: "Adds",
            parameters: { type: "object" },
            parse: JSON.parse,
            function: ({ a, b }: { a: number; b: number }) => String(a + b)
          }
        }
      ]
    })
    assert.strictEqual(await runner.finalContent(), "Hello!")
  })

  test("fails with its own errors, which have the reason", async (origin) => {
    const client = connect(origin)
    const create = (more: object) => rejection(client.chat.completions.create({ ...request, ...more }))
    const tooLong = await create({ user: "too-long" })
    assert.instanceOf(tooLong, BadRequestError)
    assert.include(tooLong.message, "The prompt is too long.")
    assert.strictEqual(tooLong.param, "messages")
    const invalid = await create({ temperature: "hot" })
    assert.instanceOf(invalid, BadRequestError)
    assert.include(invalid.message, "temperature: Expected number")
    const unknown = await create({ model: "x" })
    assert.instanceOf(unknown, NotFoundError)
    assert.strictEqual(unknown.code, "model_not_found")
    assert.instanceOf(await create({ user: "dead" }), InternalServerError)
    assert.instanceOf(await rejection(connect(origin, "wrong").chat.completions.create(request)), AuthenticationError)
  })

  test("is told of a stream that breaks off", async (origin) => {
    const stream = await connect(origin).chat.completions.create({ ...request, user: "breaks", stream: true })
    let text = ""
    const error = await rejection(
      (async () => {
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? ""
      })()
    )
    assert.strictEqual(text, "Hel")
    assert.include(String(error), "broke off")
  })

  test("aborts, which ends the model server's work", async (origin, upstream) => {
    const stream = await connect(origin).chat.completions.create({ ...request, user: "slow", stream: true })
    for await (const _ of stream) stream.controller.abort()
    assert.isNumber(await upstream.exchanges[0]?.closed)
    const aborted = connect(origin).chat.completions.create({ ...request, user: "slow" }, { signal: AbortSignal.abort() })
    assert.instanceOf(await rejection(aborted), APIUserAbortError)
  })
})

describe("ai", () => {
  const model = (origin: string, apiKey = Gateway.key) =>
    createOpenAICompatible({ name: "paradigm", baseURL: `${origin}/v1`, apiKey }).chatModel("alfred")

  test("generates, streams, and runs a tool", async (origin) => {
    assert.strictEqual((await generateText({ model: model(origin), messages })).text, "Hello!")
    let text = ""
    for await (const part of streamText({ model: model(origin), messages }).textStream) text += part
    assert.strictEqual(text, "Hello!")
    const add = tool({
      inputSchema: jsonSchema<{ a: number; b: number }>({ type: "object" }),
      execute: ({ a, b }) => Promise.resolve(a + b)
    })
    const { steps, text: answer } = await generateText({
      model: model(origin),
      messages,
      tools: { add },
      stopWhen: ({ steps }) => steps.length > 1
    })
    assert.strictEqual(answer, "Hello!")
    assert.strictEqual(steps[0]?.toolResults[0]?.output, 3)
  })

  test("fails with its own error, which has the reason", async (origin) => {
    const error = await rejection(generateText({ model: model(origin, "wrong"), messages, maxRetries: 0 }))
    assert.isTrue(APICallError.isInstance(error))
    assert.include(String(error), "The key is not known.")
  })
})

describe("@langchain/openai", () => {
  const model = (origin: string, apiKey = Gateway.key) =>
    new ChatOpenAI({ model: "alfred", apiKey, configuration: { baseURL: `${origin}/v1` }, maxRetries: 0, useResponsesApi: false })

  test("invokes, streams, and calls a tool", async (origin) => {
    assert.strictEqual((await model(origin).invoke("hi")).content, "Hello!")
    let text = ""
    for await (const chunk of await model(origin).stream("hi")) text += chunk.text
    assert.strictEqual(text, "Hello!")
    const add = { type: "function" as const, function: { name: "add", description: "Adds", parameters: { type: "object" } } }
    const { tool_calls: calls } = await model(origin).bindTools([add]).invoke("hi")
    assert.deepStrictEqual(calls?.[0]?.args, { a: 1, b: 2 })
  })

  test("fails with the reason", async (origin) => {
    assert.include(String(await rejection(model(origin, "wrong").invoke("hi"))), "The key is not known.")
  })
})

describe("@mistralai/mistralai", () => {
  const connect = (origin: string, apiKey = Gateway.key) => new Mistral({ apiKey, serverURL: origin, retryConfig: { strategy: "none" } })

  test("completes, streams, and lists models", async (origin) => {
    const { chat, models } = connect(origin)
    const whole = await chat.complete({ model: "alfred", messages })
    assert.strictEqual(whole.choices[0]?.message?.content, "Hello!")
    let text = ""
    for await (const { data } of await chat.stream({ model: "alfred", messages })) {
      const content = data.choices[0]?.delta.content
      if (typeof content === "string") text += content
    }
    assert.strictEqual(text, "Hello!")
    assert.deepStrictEqual(
      (await models.list()).data?.map((model) => ("id" in model ? model.id : undefined)),
      ["alfred", "other"]
    )
  })

  test("fails with the reason", async (origin) => {
    const error = await rejection(connect(origin).chat.complete({ model: "none", messages }))
    assert.include(String(error), "does not exist")
  })
})
