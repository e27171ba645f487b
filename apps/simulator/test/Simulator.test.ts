import { assert, describe, it } from "@effect/vitest"
import type { SettingsChanges } from "@paradigm-effect/simulator/SimulatorConfig"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import { chat, events, json, post, raw, until } from "./Asking.ts"

const words = "one two three four five six seven eight nine ten"
const refused = async ({ url }: { url: string }) =>
  fetch(`${url}/health`).then(
    () => false,
    ({ cause }: { cause: { code: string } }) => cause.code === "ECONNREFUSED"
  )
const slow = { interTokenLatency: "5 millis" } as const

describe("a simulator", () => {
  it("answers, and ends with its scope", async () => {
    let url: string
    {
      await using simulator = await Simulator.start()
      url = simulator.url
      const completion = await json(simulator, chat("Say it again"))
      assert.strictEqual(completion.choices[0].message.content, "Say it again")
      assert.strictEqual((await fetch(`${url}/health`)).status, 200)
    }
    while (!(await refused({ url }))) await new Promise((resolve) => setTimeout(resolve, 5))
  })

  it("streams one event a token, each in a chunk of its own, and the same text as whole", async () => {
    await using simulator = await Simulator.start({ mode: "random" })
    const whole = await json(simulator, chat("x"))
    const text = await (await post(simulator, chat("x", { stream: true, stream_options: { include_usage: true } }))).text()
    const chunks = events(text)
    assert.strictEqual(chunks.at(-1), "[DONE]")
    const parsed = chunks.slice(0, -1).map((chunk) => JSON.parse(chunk))
    assert.strictEqual(parsed.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), whole.choices[0].message.content)
    assert.deepStrictEqual(parsed.at(-1).usage.completion_tokens, whole.usage.completion_tokens)
  })

  it("tells what is wrong with an option", async () => {
    const wrong: ReadonlyArray<[Simulator.Options, RegExp]> = [
      [{ profile: "gpt" }, /Unknown profile gpt\. Known are .*vllm-0\.32/],
      [{ models: [] }, /models/],
      [{ interTokenLatency: "soon" }, /interTokenLatency/],
      [{ timeToFirstToken: -1 }, /timeToFirstToken/],
      [{ maxRunning: 0 }, /maxRunning/],
      [{ faults: [{ fault: { kind: "status", status: 200 } }] }, /status/],
      [{ speed: 3 } as object, /speed/]
    ]
    for (const [options, message] of wrong) {
      const error = await Simulator.start(options).then(
        () => undefined,
        (error: unknown) => error
      )
      assert.instanceOf(error, Simulator.SimulatorError)
      assert.match(error.message, message)
    }
  })

  it("says that its port is in use", async () => {
    await using simulator = await Simulator.start()
    const error = await Simulator.start({ port: Number(new URL(simulator.url).port) }).catch((error: unknown) => error)
    assert.instanceOf(error, Simulator.SimulatorError)
    assert.match(error.message, /in use/)
    assert.strictEqual(error.code, "EADDRINUSE")
  })

  it("wants its key, and shows it nowhere", async () => {
    await using simulator = await Simulator.start({ apiKey: "sesame" })
    assert.strictEqual((await post(simulator, chat("x"))).status, 401)
    assert.strictEqual((await post(simulator, chat("x"), { headers: { authorization: "Bearer sesame" } })).status, 200)
    assert.strictEqual((await fetch(`${simulator.url}/health`)).status, 200)
    const shown = JSON.stringify([simulator.config(), simulator.ledger(), await (await fetch(`${simulator.url}/__config`)).text()])
    assert.notInclude(shown, "sesame")
  })

  it("runs again before it has gone, if it is told to", async () => {
    await using simulator = await Simulator.start(slow)
    const { says, ended } = raw(simulator, chat(words, { stream: true }), { connection: "close" })
    await says(/one/)
    simulator.config({ phase: "draining" })
    simulator.config({ phase: "running" })
    assert.strictEqual((await post(simulator, chat("x"))).status, 200)
    assert.strictEqual(await ended, "fin")
    assert.strictEqual((await fetch(`${simulator.url}/health`)).status, 200)
  })

  it("lets pages of other origins ask", async () => {
    await using simulator = await Simulator.start()
    const preflight = await fetch(`${simulator.url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: { origin: "http://page.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization" }
    })
    assert.deepStrictEqual([preflight.status, preflight.headers.get("access-control-allow-headers")], [200, "authorization"])
    const response = await post(simulator, chat("x"), { headers: { origin: "http://page.example" } })
    assert.strictEqual(response.headers.get("access-control-allow-origin"), "*")
  })

  it("takes the id of the request, and gives it back in a header if it is told to", async () => {
    await using simulator = await Simulator.start()
    const ask = () => post(simulator, chat("x"), { headers: { "x-request-id": "mine" } })
    const plain = await ask()
    assert.deepStrictEqual([plain.headers.get("x-request-id"), (await plain.json()).id], [null, "chatcmpl-mine"])
    simulator.config({ requestIdHeaders: true })
    assert.strictEqual((await ask()).headers.get("x-request-id"), "mine")
  })

  it("sends a comment in a stream that is silent", async () => {
    await using simulator = await Simulator.start({ timeToFirstToken: "1 minute", keepAlive: "10 millis" })
    const { says, socket, text } = raw(simulator, chat("x", { stream: true }))
    await says(/: keep-alive\n\n[^]*: keep-alive\n\n/)
    assert.notInclude(text(), "data:")
    socket.destroy()
  })

  it("refuses a body of more than 64 MiB", async () => {
    await using simulator = await Simulator.start()
    assert.strictEqual((await post(simulator, " ".repeat(64 * 1024 * 1024 + 1))).status, 413)
  })
})

describe("the queue", () => {
  it("refuses with a 503 without Retry-After, as vLLM does, and counts the others truthfully", async () => {
    await using simulator = await Simulator.start({ maxRunning: 2, maxUnfinished: 3, timeToFirstToken: "1 minute" })
    const leave = new AbortController()
    const open = [1, 2, 3].map(() => post(simulator, chat("x"), { signal: leave.signal }).catch(() => undefined))
    await until(() => simulator.ledger().open === 3)
    const response = await post(simulator, chat("x"))
    assert.deepStrictEqual([response.status, response.headers.get("retry-after")], [503, null])
    assert.deepStrictEqual(await response.json(), {
      error: {
        message: "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.",
        type: "Service Unavailable",
        param: null,
        code: 503
      }
    })
    const metrics = await (await fetch(`${simulator.url}/metrics`)).text()
    const of = (name: string) => new RegExp(`^vllm:${name}\\{.*\\} (.*)$`, "m").exec(metrics)?.[1]
    assert.deepStrictEqual(
      [of("num_requests_running"), of("num_requests_waiting"), of("admission_rejections_total")],
      ["2.0", "1.0", "1.0"]
    )
    const orca = await post(simulator, chat("x"), { headers: { "endpoint-load-metrics-format": "text" } })
    assert.strictEqual(orca.status, 503)
    leave.abort()
    await Promise.all(open)
    await until(() => simulator.ledger().open === 0)
    assert.strictEqual(simulator.ledger().outcomes.left.requests, 3)
  })

  it("reports its load in the header that is asked for", async () => {
    await using simulator = await Simulator.start()
    const ask = async (format: string) =>
      (await post(simulator, chat("x"), { headers: { "endpoint-load-metrics-format": format } })).headers.get("endpoint-load-metrics")
    assert.match((await ask("text")) ?? "", /^TEXT named_metrics\.num_requests_waiting=0\.0, named_metrics\.kv_cache_usage_perc=/)
    assert.match((await ask("JSON")) ?? "", /^JSON \{"named_metrics": \{"num_requests_waiting": 0\.0, /)
    assert.isNull(await ask("xml"))
  })
})

describe("the ledger", () => {
  it("knows at which token a client left", async () => {
    await using simulator = await Simulator.start(slow)
    const { says, socket } = raw(simulator, chat(words.repeat(20), { stream: true }))
    await says(/two[^]*four/)
    socket.destroy()
    await until(() => simulator.ledger().open === 0)
    const [entry] = simulator.ledger().newest
    assert.strictEqual(entry?.outcome, "left")
    assert.isAtLeast(entry?.completionTokens ?? 0, 4)
    assert.isBelow(entry?.completionTokens ?? 0, entry?.plannedTokens ?? 0)
  })

  it("agrees with the sum of the usages of many different calls, and with the tokens of those that left", async () => {
    await using simulator = await Simulator.start({ mode: "random", interTokenLatency: "1 millis", interTokenSpread: 1, maxRunning: 30 })
    let [prompt, completion, finished, atLeast] = [0, 0, 0, 0]
    const call = async (number: number) => {
      const n = 1 + (number % 3)
      const stream = number % 2 === 0
      const options = { include_usage: true, continuous_usage_stats: true }
      const leaves = number % 10 === 0
      const limit = leaves ? {} : { max_tokens: 1 + (number % 40) }
      const body = chat(`call ${number}`, { n, ...limit, stream, ...(stream ? { stream_options: options } : {}) })
      if (leaves) {
        const { says, socket, text } = raw(simulator, body)
        await says(/"completion_tokens":2/)
        socket.destroy()
        atLeast += Math.max(...Array.from(text().matchAll(/"completion_tokens":(\d+)/g), ([, tokens]) => Number(tokens)))
        return
      }
      const text = await (await post(simulator, body)).text()
      const { usage } = stream ? JSON.parse(events(text).at(-2)!) : JSON.parse(text)
      finished++
      prompt += usage.prompt_tokens
      completion += usage.completion_tokens
    }
    await Promise.all(Array.from({ length: 300 }, (_, number) => call(number)))
    await until(() => simulator.ledger().open === 0)
    const { outcomes, requests } = simulator.ledger()
    assert.strictEqual(requests, 300)
    assert.strictEqual(finished, 270)
    assert.deepStrictEqual(outcomes.finished, { requests: finished, promptTokens: prompt, completionTokens: completion })
    assert.isAtLeast(outcomes.left.completionTokens, atLeast)
    const metrics = await (await fetch(`${simulator.url}/metrics`)).text()
    assert.include(metrics, `vllm:generation_tokens_total{engine="0",model_name="alfred-4.2"} ${simulator.ledger().completionTokens}.0`)
  })

  it("is read and cleared over the network", async () => {
    await using simulator = await Simulator.start()
    await post(simulator, chat("x"))
    await post(simulator, chat("x", { temperature: 9 }))
    const read = async (method: string) => (await fetch(`${simulator.url}/__ledger`, { method })).json()
    const { newest, outcomes } = await read("GET")
    assert.deepStrictEqual([outcomes.finished.requests, outcomes.rejected.requests], [1, 1])
    assert.deepStrictEqual(
      newest.map(({ status }: { status: number }) => status),
      [200, 400]
    )
    assert.strictEqual((await read("DELETE")).requests, 0)
  })
})

describe("the configuration", () => {
  it("changes while it runs", async () => {
    await using simulator = await Simulator.start()
    const set = async (changes: unknown) => fetch(`${simulator.url}/__config`, { method: "POST", body: JSON.stringify(changes) })
    assert.strictEqual((await (await set({ mode: "random", maxRunning: null })).json()).mode, "random")
    assert.notStrictEqual((await json(simulator, chat("x"))).choices[0].message.content, "x")
    assert.strictEqual(simulator.config({ mode: "echo" }).mode, "echo")
    assert.strictEqual((await json(simulator, chat("x"))).choices[0].message.content, "x")
    const wrong = await set({ maxRuning: 3 })
    assert.strictEqual(wrong.status, 400)
    assert.include((await wrong.json()).error, "maxRuning")
    assert.throws(() => simulator.config({ slowdown: 0 }), Simulator.SimulatorError, /slowdown/)
  })

  it("takes a script of answers", async () => {
    await using simulator = await Simulator.start({
      script: [
        { when: { user: "/weather/" }, answer: { content: "Let me see. ", calls: [{ name: "get_weather", arguments: { city: "Paris" } }] } }
      ]
    })
    const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object" } } }]
    const { choices } = await json(simulator, chat("The weather?", { tools }))
    assert.strictEqual(choices[0].finish_reason, "tool_calls")
    assert.deepStrictEqual(choices[0].message.tool_calls[0].function, { name: "get_weather", arguments: '{"city": "Paris"}' })
  })
})

const faultHeader = (fault: object) => ({ "x-simulator-fault": JSON.stringify(fault) })

describe("a fault", () => {
  it("is a status in the server's shape", async () => {
    await using simulator = await Simulator.start()
    for (const status of [400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504]) {
      const response = await post(simulator, chat("x"), { headers: faultHeader({ kind: "status", status, retryAfter: 7 }) })
      assert.deepStrictEqual([response.status, response.headers.get("retry-after")], [status, "7"])
      assert.strictEqual((await response.json()).error.code, status)
    }
  })

  it("is a page in HTML", async () => {
    await using simulator = await Simulator.start()
    const response = await post(simulator, chat("x"), { headers: faultHeader({ kind: "html" }) })
    assert.deepStrictEqual([response.status, response.headers.get("content-type")], [502, "text/html"])
    assert.include(await response.text(), "<html>")
  })

  const ask = (simulator: Simulator.Simulator, fault: object | undefined, stream = true, body = chat(words, { stream })) => {
    const exchange = raw(simulator, body, { ...(fault === undefined ? {} : faultHeader(fault)), connection: "close" })
    return exchange.ended.then((end) => ({ end, text: exchange.text(), reads: exchange.reads.length }))
  }

  it("resets and truncates before the headers, after them and at a token", async () => {
    await using simulator = await Simulator.start()
    for (const [kind, end] of [
      ["reset", "ECONNRESET"],
      ["truncate", "fin"]
    ] as const) {
      assert.deepInclude(await ask(simulator, { kind }), { end, text: "" })
      const headers = await ask(simulator, { kind, afterTokens: 0 })
      assert.strictEqual(headers.end, end)
      assert.match(headers.text, /^HTTP\/1\.1 200 OK[^]*\r\n\r\n$/)
      const token = await ask(simulator, { kind, afterTokens: 3 })
      assert.strictEqual(token.end, end)
      assert.strictEqual(events(token.text.replaceAll(/\r\n[\da-f]*\r?\n?/g, "\n\n")).length > 0, true)
      assert.notInclude(token.text, "[DONE]")
      const whole = await ask(simulator, { kind, afterTokens: 3 }, false)
      assert.match(whole.text, /^HTTP\/1\.1 200 OK[^]*"object":"chat.completion"/)
      assert.strictEqual(whole.end, end)
    }
    const { faults, outcomes } = simulator.ledger()
    assert.deepStrictEqual([outcomes.failed.requests, faults], [8, { reset: 4, truncate: 4 }])
    assert.deepStrictEqual(
      simulator.ledger().newest.map(({ completionTokens }) => completionTokens),
      [0, 0, 3, 3, 0, 0, 3, 3]
    )
  })

  it("stalls until the client leaves", async () => {
    await using simulator = await Simulator.start()
    const { says, socket } = raw(simulator, chat(words, { stream: true }), faultHeader({ kind: "stall", afterTokens: 2 }))
    await says(/one|two/)
    assert.strictEqual(simulator.ledger().open, 1)
    socket.destroy()
    await until(() => simulator.ledger().open === 0)
    assert.deepInclude(simulator.ledger().newest[0], { outcome: "left", completionTokens: 2, fault: "stall" })
  })

  it("drips, and splits at every byte, without changing the body", async () => {
    await using simulator = await Simulator.start()
    const plain = await (await post(simulator, chat("água 🌊", { stream: true }))).text()
    const bare = (text: string) => text.replaceAll(/"(id|created)":("[^"]*"|\d+)/g, "")
    for (const fault of [{ kind: "split" }, { kind: "drip", bytes: 100, pause: 1 }]) {
      const response = await post(simulator, chat("água 🌊", { stream: true }), { headers: faultHeader(fault) })
      assert.strictEqual(bare(await response.text()), bare(plain))
    }
    const { text } = await ask(simulator, { kind: "split" })
    assert.match(text, /\r\n1\r\nd\r\n1\r\na\r\n1\r\nt\r\n/)
  })

  it("leaves out [DONE], adds garbage, and sends an error as first event or later", async () => {
    await using simulator = await Simulator.start()
    const told = async (fault: object) =>
      events(await (await post(simulator, chat(words, { stream: true }), { headers: faultHeader(fault) })).text())
    assert.notInclude(await told({ kind: "noDone" }), "[DONE]")
    const garbage = await told({ kind: "garbage", afterTokens: 2 })
    assert.throws(() => JSON.parse(garbage[3] ?? "{}"))
    assert.strictEqual(garbage.at(-1), "[DONE]")
    const first = await told({ kind: "error", message: "boom" })
    assert.deepStrictEqual(first, ['{"error": {"message": "boom", "type": "InternalServerError", "param": null, "code": 500}}', "[DONE]"])
    const later = await told({ kind: "error", afterTokens: 2, status: 503 })
    assert.include(later[3], '"code": 503')
  })

  it("ends one answer with abort", async () => {
    await using simulator = await Simulator.start()
    const headers = faultHeader({ kind: "abort", afterTokens: 4 })
    const whole = await (await post(simulator, chat(words), { headers })).json()
    assert.deepInclude(whole.choices[0], { finish_reason: "abort" })
    assert.strictEqual(whole.usage.completion_tokens, 4)
    const stream = events(await (await post(simulator, chat(words, { stream: true }), { headers })).text())
    const said = stream.slice(0, -1).map((event) => JSON.parse(event).choices[0])
    assert.strictEqual(said.map(({ delta }) => delta.content ?? "").join(""), whole.choices[0].message.content)
    assert.deepStrictEqual([said.at(-1).finish_reason, stream.at(-1)], ["abort", "[DONE]"])
    assert.strictEqual((await post(simulator, chat("x"))).status, 200)
    assert.strictEqual(simulator.ledger().outcomes.aborted.completionTokens, 8)
  })

  it("strikes at a token that the seed and the request draw, the same in each run", async () => {
    const brokenAt = async (seed: number, afterTokens: object = {}) => {
      await using simulator = await Simulator.start({ seed, faults: [{ fault: { kind: "reset", afterTokens } }] })
      const all = Array.from({ length: 24 }, (_, index) => ask(simulator, undefined, true, chat(`${words} ${index}`, { stream: true })))
      await Promise.all(all)
      const { newest } = simulator.ledger()
      assert.isTrue(
        newest.every(({ completionTokens, outcome, plannedTokens }) => outcome === "failed" && completionTokens < plannedTokens)
      )
      return newest.map(({ completionTokens }) => completionTokens).toSorted((one, other) => one - other)
    }
    const first = await brokenAt(1)
    assert.isAbove(new Set(first).size, 4)
    assert.deepStrictEqual(await brokenAt(1), first)
    assert.notDeepEqual(await brokenAt(2), first)
    assert.deepStrictEqual([...new Set(await brokenAt(1, { from: 3, to: 4 }))], [3, 4])
  })

  it("ends the whole server at a token, which comes back on its port", async () => {
    const table = [
      ["killed", "fin", /one/],
      ["stopping", "fin", /"finish_reason":"abort"[^]*\[DONE\]/],
      ["engineDead", "fin", /EngineCore encountered an issue\.[^]*\[DONE\]/]
    ] as const
    for (const [phase, end, pattern] of table) {
      await using simulator = await Simulator.start({ ...slow, deathDelay: "10 millis" })
      const beside = raw(simulator, chat(words.repeat(30), { stream: true }), { connection: "close" })
      await beside.says(/one/)
      const { end: how, text } = await ask(simulator, { kind: "phase", phase, afterTokens: 3, returnsAfter: 100 })
      assert.deepStrictEqual([how, await beside.ended], [end, end], phase)
      assert.match(text, pattern)
      assert.match(beside.text(), pattern)
      assert.strictEqual(simulator.config().phase, phase)
      while (await refused(simulator)) await new Promise((resolve) => setTimeout(resolve, 5))
      await until(() => simulator.config().phase === "running")
      assert.strictEqual((await post(simulator, chat("x"))).status, 200)
      assert.deepStrictEqual(simulator.ledger().faults, { phase: 1 })
    }
  })

  it("ends the server after the tokens that it says, and not before they have left", async () => {
    await using simulator = await Simulator.start()
    const { text } = await ask(simulator, { kind: "phase", phase: "killed", afterTokens: 2 })
    assert.deepStrictEqual([text.includes('"one"'), text.includes('" two"'), text.includes('" thr"')], [true, true, false])
    assert.strictEqual(simulator.ledger().newest[0]?.completionTokens, 2)
  })

  it("lets no comment follow the end of an answer that drips", async () => {
    await using simulator = await Simulator.start({ keepAlive: "4 millis" })
    const { text } = await ask(simulator, { kind: "drip", bytes: 400, pause: 10 })
    assert.match(text, /\[DONE\]/)
    assert.notMatch(text, /\[DONE\][^]*keep-alive/)
  })

  it("comes by script, in order, and then by rate, the same for the same seed", async () => {
    await using simulator = await Simulator.start({ faultScript: [{ kind: "status", status: 429 }, null, { kind: "html", status: 500 }] })
    const statuses = async (count: number) => {
      const all: Array<number> = []
      for (let i = 0; i < count; i++) all.push((await post(simulator, chat("x"))).status)
      return all
    }
    assert.deepStrictEqual(await statuses(4), [429, 200, 500, 200])
    const rule: SettingsChanges = { faults: [{ rate: 0.3, fault: { kind: "status", status: 500 } }], seed: 5 }
    simulator.config(rule)
    const first = await statuses(60)
    const failed = first.filter((status) => status === 500).length
    assert.isAtLeast(failed, 8)
    assert.isAtMost(failed, 28)
    simulator.config({ faults: [...rule.faults!] })
    assert.deepStrictEqual(await statuses(60), first)
  })

  it("meets other paths only by their name", async () => {
    await using simulator = await Simulator.start({ faults: [{ path: "/v1/models", fault: { kind: "status", status: 503 } }] })
    assert.strictEqual((await fetch(`${simulator.url}/v1/models`)).status, 503)
    assert.strictEqual((await post(simulator, chat("x"))).status, 200)
  })

  it("that is none is refused, with the reason", async () => {
    await using simulator = await Simulator.start()
    const response = await post(simulator, chat("x"), { headers: { "x-simulator-fault": '{"kind":"fire"}' } })
    assert.strictEqual(response.status, 400)
    assert.match((await response.json()).error.message, /x-simulator-fault: Expected/)
  })
})

describe("a simulator that ends", () => {
  const long = chat(words.repeat(30), { stream: true, stream_options: { include_usage: true } })
  const begin = async (options: Simulator.Options = slow) => {
    const simulator = await Simulator.start(options)
    const stream = raw(simulator, long, { connection: "close" })
    const whole = post(simulator, chat(words.repeat(30))).then(
      async (response) => ({ status: response.status, body: await response.json() }),
      ({ cause }: { cause: { code: string } }) => ({ status: 0, body: cause.code })
    )
    await stream.says(/two/)
    await until(() => simulator.ledger().open === 2)
    return { simulator, stream, whole }
  }

  it("ends its answers with abort when it is told to stop", async () => {
    const { simulator, stream, whole } = await begin()
    await simulator.stop()
    assert.strictEqual(await stream.ended, "fin")
    assert.match(
      stream.text(),
      /"delta":\{\},"logprobs":null,"finish_reason":"abort","stop_reason":null[^]*"usage":[^]*\[DONE\]\n\n\r\n0\r\n\r\n$/
    )
    const { body, status } = await whole
    assert.deepStrictEqual([status, body.choices[0].finish_reason], [200, "abort"])
    const sent = Number(/"completion_tokens":(\d+)/.exec(stream.text())?.[1])
    const { completionTokens, outcomes } = simulator.ledger()
    assert.strictEqual(outcomes.aborted.requests, 2)
    assert.strictEqual(completionTokens, sent + body.usage.completion_tokens)
    assert.isTrue(await refused(simulator))
  })

  it("drains: new requests get a 500 while /health is 200, and it is gone when the last answer ended", async () => {
    const { simulator, stream, whole } = await begin()
    simulator.config({ phase: "draining" })
    assert.strictEqual((await fetch(`${simulator.url}/health`)).status, 200)
    const response = await post(simulator, chat("x"))
    assert.deepStrictEqual(
      [response.status, (await response.json()).error],
      [500, { message: "cannot schedule new futures after shutdown", type: "InternalServerError", param: null, code: 500 }]
    )
    assert.strictEqual(await stream.ended, "fin")
    assert.match(stream.text(), /"finish_reason":"stop"[^]*\[DONE\]/)
    assert.strictEqual((await whole).body.choices[0].finish_reason, "stop")
    await until(() => simulator.ledger().open === 0)
    assert.isTrue(await refused(simulator))
  })

  it("loses its engine: an error in band and a 500, then it is gone", async () => {
    const { simulator, stream, whole } = await begin({ ...slow, deathDelay: "200 millis" })
    simulator.config({ phase: "engineDead" })
    assert.strictEqual((await post(simulator, chat("x"))).status, 500)
    await stream.ended
    assert.match(stream.text(), /data: \{"error": \{"message": "EngineCore encountered an issue\.[^]*"code": 500\}\}\n\n[^]*\[DONE\]/)
    assert.deepStrictEqual([(await whole).status, (await whole).body.error.type], [500, "InternalServerError"])
    while (!(await refused(simulator))) await new Promise((resolve) => setTimeout(resolve, 5))
  })

  it("loses its engine as older versions did, which blame the request in a stream", async () => {
    const { simulator, stream, whole } = await begin({ ...slow, profile: "vllm-0.11", deathDelay: null })
    simulator.config({ phase: "engineDead" })
    await stream.ended
    assert.match(stream.text(), /root cause\.", "type": "BadRequestError", "param": null, "code": 400\}\}\n\n[^]*\[DONE\]/)
    assert.strictEqual((await whole).body.error.type, "Internal Server Error")
    assert.strictEqual((await (await post(simulator, chat("x"))).json()).error.type, "Internal Server Error")
    assert.strictEqual((await fetch(`${simulator.url}/health`)).status, 503)
    await simulator.close()
  })

  it("is killed in the middle of a word, and comes back on the same port", async () => {
    const { simulator, stream, whole } = await begin()
    simulator.config({ phase: "killed" })
    await stream.ended
    assert.notInclude(stream.text(), "[DONE]")
    assert.strictEqual((await whole).status, 0)
    assert.isTrue(await refused(simulator))
    simulator.config({ phase: "running" })
    while (await refused(simulator)) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.strictEqual((await post(simulator, chat("x"))).status, 200)
    await simulator.close()
  })
})
