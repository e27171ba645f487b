import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { APIError, AuthenticationError, BadRequestError, OpenAI } from "openai"
import { freePort } from "./FreePort.ts"
import * as Gateway from "./GatewayUnderTest.ts"
import { answer, messages } from "./ScriptedAnswers.ts"

vi.setConfig({ testTimeout: 60_000 })

const main = join(dirname(createRequire(import.meta.url).resolve("@portkey-ai/gateway/package.json")), "build/start-server.js")

// Portkey's gateway in front of ours, and a client of it.
const startPortkey = Effect.fnUntraced(function* (origin: string) {
  const port = yield* Effect.promise(freePort)
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [main, `--port=${port}`, "--headless"], {
        stdio: "ignore"
      })
    ),
    (child) =>
      Effect.promise(async () => {
        const ended = child.exitCode === null ? once(child, "exit") : undefined
        child.kill("SIGKILL")
        await ended
      })
  )
  const url = `http://127.0.0.1:${port}`
  yield* Effect.promise(async () => {
    for (let i = 0; i < 1000; i++) {
      const isUp = await fetch(url).then(
        () => true,
        () => false
      )
      if (isUp) return
      await sleep(20)
    }
    assert.fail("Portkey does not start")
  })
  return (apiKey = Gateway.key) =>
    new OpenAI({
      baseURL: `${url}/v1`,
      apiKey,
      maxRetries: 0,
      defaultHeaders: { "x-portkey-provider": "openai", "x-portkey-custom-host": `${origin}/v1` }
    })
})

describe("Portkey in front", () => {
  it.live("passes completions, streams, tools, models and errors", () =>
    Effect.gen(function* () {
      const { gateway } = yield* Gateway.inFrontOf(answer)
      const connect = yield* startPortkey(gateway.origin)
      yield* Effect.promise(async () => {
        const client = connect()
        const request = { model: "alfred", messages }
        const rejection = (work: Promise<unknown>) =>
          work.then(
            () => assert.fail("It does not fail"),
            (error: unknown) => error
          )
        assert.strictEqual((await client.chat.completions.create(request)).choices[0]?.message.content, "Hello!")
        const textOf = async (user: string) => {
          let text = ""
          for await (const { choices } of await client.chat.completions.create({ ...request, user, stream: true })) {
            text += choices[0]?.delta.content ?? ""
          }
          return text
        }
        assert.strictEqual(await textOf("reader"), "Hello!")
        const tools = [{ type: "function" as const, function: { name: "add", parameters: { type: "object" } } }]
        const called = await client.chat.completions.create({ ...request, tools })
        assert.strictEqual(called.choices[0]?.finish_reason, "tool_calls")
        assert.deepStrictEqual(
          (await client.models.list()).data.map(({ id }) => id),
          ["alfred", "other"]
        )
        const tooLong = await rejection(client.chat.completions.create({ ...request, user: "too-long" }))
        assert.instanceOf(tooLong, BadRequestError)
        assert.include(tooLong.message, "The prompt is too long.")
        const unknown = await rejection(connect("wrong").chat.completions.create(request))
        assert.instanceOf(unknown, AuthenticationError)
        assert.include(unknown.message, "The key is not known.")
        assert.instanceOf(await rejection(textOf("breaks")), APIError)
      })
    })
  )
})
