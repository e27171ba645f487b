import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { type Settled, unsettled } from "./Settling.ts"
import * as SettlingServer from "./SettlingServer.ts"
import * as Workerd from "./Workerd.ts"

const run = promisify(execFile)
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const worker = path("worker.ts")

const outcomes: Readonly<Record<string, (url: string) => Promise<ReadonlyArray<Settled>>>> = {
  Bun: async (url) => JSON.parse((await run(path("../node_modules/.bin/bun"), [path("settling.main.ts"), url])).stdout),
  Deno: async (url) => {
    const args = [
      "run",
      "--no-check",
      `--allow-net=${new URL(url).host}`,
      "--config",
      path("../../deno/deno.json"),
      path("settling.main.ts"),
      url
    ]
    return JSON.parse((await run(path("../node_modules/.bin/deno"), args)).stdout)
  },
  Workers: async (url) => {
    await using workerd = await Workerd.start(worker, { UPSTREAM: url })
    return (await (await fetch(`${workerd.url}/settle`)).json()) as ReadonlyArray<Settled>
  }
}

describe("a pending promise of a stream", () => {
  it.each(Object.keys(outcomes))("settles however the stream is ended, and its connection closes, in %s", async (runtime) => {
    await using server = await SettlingServer.start()
    const all = (await outcomes[runtime]?.(server.url)) ?? []
    assert.lengthOf(all, 48)
    assert.deepStrictEqual(unsettled(all), [])
  })
})

// Streams the content of the request, character by character.
const startEcho = async () => {
  const server = createServer((incoming, outgoing) => {
    let body = ""
    incoming.on("data", (part: Buffer) => (body += part.toString()))
    incoming.on("end", async () => {
      const { messages } = JSON.parse(body) as { readonly messages: ReadonlyArray<{ readonly content: string }> }
      const pieces = [...(messages[0]?.content ?? "")]
      outgoing.writeHead(200, { "content-type": "text/event-stream" })
      for (const [i, content] of pieces.entries()) {
        if (outgoing.destroyed) return
        const choice = { index: 0, delta: { content }, finish_reason: i + 1 === pieces.length ? "stop" : null }
        outgoing.write(
          `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [choice] })}\n\n`
        )
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      outgoing.end("data: [DONE]\n\n")
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

describe("a client of a Worker's module", () => {
  it("serves concurrent requests, also after some were cancelled", async () => {
    await using echo = await startEcho()
    await using workerd = await Workerd.start(worker, { UPSTREAM: echo.url })
    const ask = async (content: string, signal?: AbortSignal) => {
      const response = await fetch(`${workerd.url}/stream?content=${content}`, { signal: signal ?? null })
      let text = ""
      for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) text += part
      const chunks = text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { readonly choices: ReadonlyArray<{ delta: { content: string } }> })
      return chunks.map(({ choices }) => choices[0]?.delta.content).join("")
    }
    const cancelled = Array.from({ length: 10 }, async (_, i) => {
      const controller = new AbortController()
      setTimeout(() => controller.abort(), 10 + i * 5)
      return ask(`cancelled-${i}-${"x".repeat(200)}`, controller.signal).then(
        () => "resolved",
        (error: Error) => error.name
      )
    })
    const contents = Array.from({ length: 20 }, (_, i) => `request-${i}-of-twenty`)
    assert.deepStrictEqual(await Promise.all(contents.map((content) => ask(content))), contents)
    assert.deepStrictEqual(
      await Promise.all(cancelled),
      cancelled.map(() => "AbortError")
    )
    assert.deepStrictEqual(await Promise.all(contents.map((content) => ask(content))), contents)
  })
})
