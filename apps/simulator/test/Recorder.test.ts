import { assert, describe, it } from "@effect/vitest"
import * as RecordedExchange from "@paradigm-effect/simulator/RecordedExchange"
import * as Recorder from "@paradigm-effect/simulator/Recorder"
import { Replay, type ReplayEnd } from "../src/Replay.ts"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Result from "effect/Result"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { type AddressInfo, createServer as createTcpServer } from "node:net"
import { chat, post, until } from "./Asking.ts"
import { HandTimer } from "./HandTimer.ts"

type Exchange = RecordedExchange.RecordedExchange

const listen = async (handle: (request: IncomingMessage, response: ServerResponse) => void) => {
  const server = createServer(handle)
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

const recordOf = async (url: string, ask: (recorder: Recorder.Recorder) => Promise<void>) => {
  const lines: Array<string> = []
  const failures: Array<string> = []
  await using recorder = await Recorder.start({
    upstream: new URL(url),
    write: (exchange) => lines.push(JSON.stringify(exchange)),
    onFailure: (message) => failures.push(message)
  })
  await ask(recorder)
  return { lines, failures, exchanges: lines.length === 0 ? [] : Result.getOrThrow(RecordedExchange.parse(lines.join("\n"))) }
}

const answerOf = async (response: Response) => ({
  status: response.status,
  type: response.headers.get("content-type"),
  body: await response.text()
})
const fails = (promise: Promise<unknown>) =>
  promise.then(
    () => false,
    () => true
  )

describe("a recording", () => {
  const requests = [
    chat("água 🌊", { stream: true, stream_options: { include_usage: true } }),
    chat("Say it"),
    chat("x", { temperature: 9 }),
    chat("Say it", { max_tokens: 1 })
  ]

  it("is played again byte by byte, with the usage in the ledger", async () => {
    await using server = await Simulator.start({ profile: "vllm-0.32-reasoning", interTokenLatency: "1 millis" })
    const said: Array<object> = []
    const { exchanges } = await recordOf(server.url, async (recorder) => {
      for (const request of requests) said.push(await answerOf(await post(recorder, request)))
      said.push(await answerOf(await fetch(`${recorder.url}/v1/models`)))
    })
    await using again = await Simulator.start({ replay: exchanges, replaySpeed: null })
    const replayed: Array<object> = []
    for (const request of requests) replayed.push(await answerOf(await post(again, request)))
    replayed.push(await answerOf(await fetch(`${again.url}/v1/models`)))
    assert.deepStrictEqual(replayed, said)
    const { finished } = again.ledger().outcomes
    const { completionTokens, promptTokens } = server.ledger().outcomes.finished
    assert.deepStrictEqual([finished.promptTokens, finished.completionTokens], [promptTokens, completionTokens])
  })

  it("finds a request whatever the order of its keys, answers repeated ones in their order, and names what differs from the nearest", async () => {
    let count = 0
    await using server = await listen((request, response) => {
      request.resume()
      response.setHeader("content-type", "application/json").end(`{"count":${++count}}`)
    })
    const { exchanges } = await recordOf(server.url, async (recorder) => {
      for (let i = 0; i < 2; i++) await (await post(recorder, { model: "m", messages: [], seed: 1 })).text()
    })
    await using again = await Simulator.start({ replay: exchanges })
    const counts: Array<number> = []
    for (let i = 0; i < 3; i++) counts.push((await (await post(again, { seed: 1, messages: [], model: "m" })).json()).count)
    assert.deepStrictEqual(counts, [1, 2, 2])
    const other = await post(again, { model: "m", messages: [], seed: 2, n: 1 })
    assert.strictEqual(other.status, 404)
    assert.match((await other.json()).error.message, /not recorded: the nearest of 2 to \/v1\/chat\/completions differs in seed, n\./)
    assert.match(
      (await (await post(again, {}, { path: "/v1/completions" })).json()).error.message,
      /No POST \/v1\/completions was recorded/
    )
    again.config({ mode: "echo" })
    assert.strictEqual((await (await post(again, chat("x"))).json()).choices[0].message.content, "x")
  })

  it("breaks where the server broke", async () => {
    await using server = await Simulator.start({ faults: [{ fault: { kind: "truncate", afterTokens: 2 } }] })
    const body = chat("one two three four", { stream: true })
    const { exchanges } = await recordOf(server.url, async (recorder) =>
      assert.isTrue(await fails(post(recorder, body).then((response) => response.text())))
    )
    assert.strictEqual(exchanges[0]?.isCut, true)
    await using again = await Simulator.start({ replay: exchanges })
    assert.isTrue(await fails(post(again, body).then((response) => response.text())))
    await until(() => again.ledger().open === 0)
    assert.strictEqual(again.ledger().outcomes.failed.requests, 1)
  })

  it("holds nothing that lets anybody ask as its client did", async () => {
    await using server = await listen((request, response) => {
      const { authorization, cookie, "x-api-key": key } = request.headers
      request.resume()
      response.setHeader("set-cookie", "session=set-by-server")
      response.setHeader("x-request-owner", "owner-of-key")
      response.setHeader("content-type", "application/json")
      const said = JSON.stringify({ message: `Missing Bearer token? You sent ${authorization}, ${String(key)}, ${cookie}, ${request.url}` })
      for (const letter of said) response.write(letter)
      response.end()
    })
    const headers = { authorization: "Bearer sk-secret-one", "x-api-key": "secret-two", cookie: "session=secret-three; a=b" }
    const { exchanges, lines } = await recordOf(server.url, async (recorder) => {
      const response = await post(recorder, { user: "sk-secret-one" }, { headers, path: "/v1/x?api_key=secret-four" })
      assert.match(await response.text(), /sk-secret-one, secret-two, .*secret-three.*secret-four/)
    })
    for (const secret of ["secret-one", "secret-two", "secret-three", "secret-four", "set-by-server", "owner-of-key"]) {
      assert.notInclude(lines.join(""), secret)
    }
    assert.deepStrictEqual(exchanges[0]?.request, { user: "REDACTED" })
    assert.include(JSON.stringify(exchanges[0]), "Missing Bearer token?")
  })

  it("says that a line is none", () => {
    const wrong = RecordedExchange.parse('\n{"method":"GET"}\n')
    assert.match(Result.isFailure(wrong) ? wrong.failure : "", /^Line 2 is no recorded exchange: [^]*path/)
  })
})

describe("a recorder", () => {
  it("answers 502 with the reason if its server is not there, and records nothing", async () => {
    const { url } = await Simulator.start().then(async (simulator) => (await simulator.close(), simulator))
    const { failures, lines } = await recordOf(url, async (recorder) => {
      const response = await post(recorder, chat("x"))
      assert.strictEqual(response.status, 502)
      assert.include((await response.json()).error.message, `No answer from ${url} (ECONNREFUSED)`)
    })
    assert.deepStrictEqual([lines, failures.length], [[], 1])
  })

  it("asks with TLS where the address says https", async () => {
    let first: number | undefined
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined)
      socket.once("data", (bytes) => {
        first = Buffer.from(bytes)[0]
        socket.destroy()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { lines } = await recordOf(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, async (recorder) => {
      assert.strictEqual((await post(recorder, chat("x"))).status, 502)
    })
    server.close()
    // The first byte of a TLS handshake.
    assert.deepStrictEqual([first, lines], [0x16, []])
  })

  it("asks its server alone, whatever host a path names", async () => {
    const asked: Array<string | undefined> = []
    await using server = await listen((request, response) => {
      asked.push(request.url)
      response.end("own")
    })
    await recordOf(`${server.url}/prefix`, async (recorder) => {
      for (const path of ["//other.example/v1", "//"]) assert.strictEqual(await (await fetch(recorder.url + path)).text(), "own")
    })
    assert.deepStrictEqual(asked, ["/prefix//other.example/v1", "/prefix//"])
  })

  it("leaves its server when its client leaves", async () => {
    await using server = await Simulator.start({ timeToFirstToken: "1 minute" })
    const { lines } = await recordOf(server.url, async (recorder) => {
      const leave = new AbortController()
      const asked = post(recorder, chat("x", { stream: true }), { signal: leave.signal }).catch(() => undefined)
      await until(() => server.ledger().open === 1)
      leave.abort()
      await asked
      await until(() => server.ledger().open === 0)
    })
    assert.deepStrictEqual(lines, [])
  })
})

describe("a replay", () => {
  const exchange: Exchange = {
    method: "POST",
    path: "/",
    request: null,
    status: 200,
    headers: { "content-type": "text/event-stream" },
    headersAt: 100,
    pieces: [
      [200, "data: one\n\n"],
      [260, { base64: Buffer.from([0xc3]).toString("base64") }],
      [270, { base64: Buffer.from([0xa9]).toString("base64") }]
    ],
    endsAt: 300,
    isCut: false
  }

  const play = async (
    speed: number,
    check: (timer: HandTimer, response: () => Promise<Response>, ends: Array<ReplayEnd>) => Promise<void>
  ) => {
    const timer = new HandTimer()
    const ends: Array<ReplayEnd> = []
    let begun = false
    await using server = await listen((request, response) => {
      request.resume()
      new Replay(timer, response, exchange, speed, (end) => ends.push(end)).begin({})
      begun = true
    })
    const asked = fetch(server.url)
    await until(() => begun)
    await check(timer, () => asked, ends)
  }

  it.each([
    [1, 1],
    [2, 0.5]
  ])("at speed %d has the pauses that were recorded, times %d", async (speed, factor) => {
    await play(speed, async (timer, response, ends) => {
      timer.pass(100 * factor)
      const reader = (await response()).body!.getReader()
      timer.pass(100 * factor)
      assert.strictEqual(new TextDecoder().decode((await reader.read()).value), "data: one\n\n")
      timer.pass(60 * factor - 1)
      const next = reader.read()
      timer.pass(1)
      assert.deepStrictEqual([...(await next).value!], [0xc3])
      timer.pass(10 * factor)
      assert.deepStrictEqual([...(await reader.read()).value!], [0xa9])
      assert.deepStrictEqual(ends, [])
      timer.pass(30 * factor)
      assert.isTrue((await reader.read()).done)
      assert.deepStrictEqual(ends, [{ outcome: "finished", status: 200, timeToFirstToken: 200 * factor }])
    })
  })
})
