import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { connect } from "node:net"
import { setTimeout } from "node:timers/promises"
import { connect as secureConnect } from "node:tls"
import { gunzipSync } from "node:zlib"
import { afterAll } from "vitest"
import type { Script } from "../src/fault/Script.ts"
import * as FaultServer from "../src/fault/FaultServer.ts"
import type { Report } from "../src/fault/Report.ts"

const server = await FaultServer.start()
afterAll(() => server.close())

let cases = 0
const announce = async (script: Script) => {
  const path = `/runs/r/cases/t${++cases}`
  const url = server.controlUrl + path
  const response = await fetch(url, { method: "PUT", body: JSON.stringify(script) })
  const report = async (query = ""): Promise<Report> => (await fetch(`${url}/report${query}`)).json() as Promise<Report>
  return { path, url, status: response.status, answer: await response.json(), report }
}

/** Sends bytes to an origin, and collects what comes until the server closes. */
const exchange = async (text: string, origin = server.a) => {
  const socket = connect(Number(new URL(origin).port), "127.0.0.1")
  const chunks: Array<Buffer> = []
  let reset = false
  socket.on("data", (chunk) => chunks.push(chunk as Buffer))
  socket.on("error", () => (reset = true))
  socket.write(text)
  await new Promise((resolve) => socket.on("close", resolve))
  return { bytes: Buffer.concat(chunks), text: Buffer.concat(chunks).toString("latin1"), reads: chunks.length, reset }
}

const post = (path: string, body = "") => `POST ${path}/x?y=1 HTTP/1.1\r\nhost: h\r\ncontent-length: ${body.length}\r\n\r\n${body}`
const bodyOf = (text: string) => text.slice(text.indexOf("\r\n\r\n") + 4)
const head = { step: "head", status: 200, framing: "close" } as const

describe("the fault server", () => {
  it("frames bodies by chunks, by length, and by the connection's end", async () => {
    const framings = { chunked: "2\r\nhi\r\n0\r\n\r\n", length: "hi", close: "hi" } as const
    for (const [framing, body] of Object.entries(framings) as ReadonlyArray<[keyof typeof framings, string]>) {
      const { path } = await announce({
        attempts: [
          [
            { ...head, framing },
            { step: "write", utf8: "hi" }
          ]
        ]
      })
      const { text } = await exchange(post(path))
      assert.match(text, /^HTTP\/1\.1 200 \r\n/)
      assert.strictEqual(/content-length: 2/.test(text), framing === "length")
      assert.strictEqual(bodyOf(text), body)
    }
  })

  it("splits, changes line ends, repeats and compresses", async () => {
    const attempts: Script["attempts"] = [[head, { step: "write", utf8: "a\n" }, { step: "write", repeat: { utf8: "b\n", times: 2 } }]]
    const answer = async (variant: Script["variant"]) => {
      const { path, report } = await announce({ attempts, ...(variant === undefined ? {} : { variant }) })
      const { bytes } = await exchange(post(path))
      const [attempt] = (await report()).attempts
      return { body: bytes.subarray(bytes.indexOf("\r\n\r\n") + 4), writes: attempt?.writes.length }
    }
    const plain = await answer(undefined)
    assert.deepStrictEqual([plain.body.toString(), plain.writes], ["a\nb\nb\n", 4])
    assert.strictEqual((await answer({ split: "whole" })).writes, 1)
    assert.strictEqual((await answer({ split: "bytes" })).writes, 7)
    assert.strictEqual((await answer({ eol: "crlf" })).body.toString(), "a\r\nb\r\nb\r\n")
    assert.strictEqual(gunzipSync((await answer({ coding: "gzip", split: "bytes" })).body).toString(), "a\nb\nb\n")
  })

  it("puts the repeats of a text on the socket in batches when there are many", async () => {
    const { path, report } = await announce({ attempts: [[head, { step: "write", repeat: { utf8: "b\n", times: 1000 } }]] })
    const { bytes } = await exchange(post(path))
    assert.strictEqual(bytes.subarray(bytes.indexOf("\r\n\r\n") + 4).toString(), "b\n".repeat(1000))
    assert.strictEqual((await report()).attempts[0]?.writes.length, 1 + Math.ceil(1000 / 64))
  })

  it("breaks off as told: an end, a reset, bytes outside of the framing, a length that is a lie", async () => {
    const fin = await announce({ attempts: [[{ ...head, framing: "chunked" }, { step: "write", utf8: "hi" }, { step: "fin" }]] })
    const ended = await exchange(post(fin.path))
    assert.deepStrictEqual([bodyOf(ended.text), ended.reset], ["2\r\nhi\r\n", false])
    assert.deepInclude((await fin.report()).attempts[0]?.closed, { by: "server", how: "fin" })
    const rst = await announce({ attempts: [[{ step: "rst" }]] })
    assert.isTrue((await exchange(post(rst.path))).reset)
    assert.deepInclude((await rst.report()).attempts[0]?.closed, { by: "server", how: "rst" })
    const raw = await announce({
      attempts: [[{ step: "rawBytes", utf8: "no http\n" }, { step: "rawBytes", base64: "/wA=" }, { step: "fin" }]]
    })
    assert.strictEqual((await exchange(post(raw.path))).text, "no http\n\u00ff\0")
    const lie = await announce({
      attempts: [
        [
          { ...head, framing: "length", length: 9 },
          { step: "write", utf8: "hi" }
        ]
      ]
    })
    assert.match((await exchange(post(lie.path))).text, /content-length: 9\r\n[^]*\r\n\r\nhi$/)
  })

  it("waits to be released, and says when a client leaves", async () => {
    const { path, report, url } = await announce({
      attempts: [
        [head, { step: "write", utf8: "1" }, { step: "waitFor", event: "release" }, { step: "write", utf8: "2" }, { step: "stall" }]
      ]
    })
    const socket = connect(Number(new URL(server.a).port), "127.0.0.1", () => socket.write(post(path, "body")))
    let seen = ""
    socket.on("data", (chunk) => (seen += chunk.toString()))
    assert.strictEqual((await report("?until=head")).attempts.length, 1)
    await setTimeout(20)
    assert.isTrue(seen.endsWith("\r\n\r\n1"))
    await fetch(`${url}/release`, { method: "POST" })
    while (!seen.endsWith("12")) await once(socket, "data")
    const closed = report("?until=closed")
    socket.end()
    const [attempt] = (await closed).attempts
    assert.deepInclude(attempt, { origin: "a", method: "POST", path: "/x?y=1", reused: false, body: btoa("body") })
    assert.deepInclude(attempt?.closed, { by: "client", how: "fin" })
  })

  it("reads chunked requests, keeps connections alive where told, and plays one script for each attempt", async () => {
    const keep = { ...head, framing: "length", keepAlive: true } as const
    const { path, report } = await announce({
      attempts: [
        [keep, { step: "write", utf8: "one" }],
        [head, { step: "write", utf8: "two" }]
      ]
    })
    const chunked = `POST ${path} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n`
    const { text } = await exchange(chunked + post(path))
    assert.match(text, /one[^]*two$/)
    const { attempts } = await report()
    assert.deepStrictEqual(
      attempts.map(({ body, reused }) => [atob(body), reused]),
      [
        ["abc", false],
        ["", true]
      ]
    )
    assert.strictEqual(attempts[0]?.connection, attempts[1]?.connection)
    assert.match((await exchange(post(path))).text, /^HTTP\/1\.1 500 /)
  })

  it("answers preflights by itself, and reports them apart", async () => {
    const { path, report } = await announce({ attempts: [[head]] })
    const { text } = await exchange(
      `OPTIONS ${path} HTTP/1.1\r\naccess-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n\r\n`,
      server.b
    )
    assert.match(text, /^HTTP\/1\.1 204 [^]*access-control-allow-headers: authorization,content-type\r\n/)
    assert.deepStrictEqual(await report(), {
      attempts: [],
      preflights: [{ origin: "b", method: "POST", headers: ["authorization", "content-type"] }]
    })
  })

  it("finds a case by its bearer token where the path does not say", async () => {
    const { report } = await announce({ attempts: [[head]], token: "t0k3n" })
    await exchange("POST /api/v3/chat/completions HTTP/1.1\r\nauthorization: Bearer t0k3n\r\n\r\n")
    assert.strictEqual((await report()).attempts[0]?.path, "/api/v3/chat/completions")
    assert.match((await exchange("POST /api/v3/chat/completions HTTP/1.1\r\nauthorization: Bearer other\r\n\r\n")).text, /^HTTP\/1\.1 404 /)
  })

  it("refuses scripts that are none, forgets cases, and ends their connections", async () => {
    const bad = await announce({ attempts: [[{ step: "dance" }]] } as unknown as Script)
    assert.strictEqual(bad.status, 400)
    assert.include(JSON.stringify(bad.answer), "attempts")
    const { path, report, url } = await announce({ attempts: [[{ step: "stall" }]] })
    const exchanged = exchange(post(path))
    await report("?until=request")
    assert.strictEqual((await fetch(url, { method: "DELETE" })).status, 204)
    assert.strictEqual((await exchanged).text, "")
    assert.strictEqual((await fetch(`${url}/report`)).status, 404)
  })

  it("answers with the user of the request", async () => {
    const { path } = await announce({
      attempts: [
        [
          { ...head, framing: "length" },
          { step: "write", utf8: "hi {{user}}" }
        ]
      ]
    })
    assert.match((await exchange(post(path, '{"user":"you"}'))).text, /content-length: 6\r\n[^]*\r\n\r\nhi you$/)
    assert.match((await exchange(post(path, "no JSON"))).text, /^HTTP\/1\.1 500 /)
  })

  it("has an origin whose certificate names it, and nobody trusts", async () => {
    const error = await fetch(server.tls).catch((cause: unknown) => cause)
    assert.strictEqual(((error as Error).cause as NodeJS.ErrnoException).code, "DEPTH_ZERO_SELF_SIGNED_CERT")
    const { hostname, port } = new URL(server.tls)
    const socket = secureConnect({ host: hostname, port: Number(port), rejectUnauthorized: false })
    await once(socket, "secureConnect")
    const certificate = socket.getPeerX509Certificate()
    assert(certificate !== undefined)
    assert.strictEqual(certificate.checkIP("127.0.0.1"), "127.0.0.1")
    assert.strictEqual(certificate.checkHost("localhost"), "localhost")
    assert.isTrue(certificate.verify(certificate.publicKey))
    socket.destroy()
  })

  it("has a port where nobody listens", async () => {
    const socket = connect(Number(new URL(server.closed).port), "127.0.0.1")
    const [error] = (await once(socket, "error").catch((cause: unknown) => [cause])) as [NodeJS.ErrnoException]
    assert.strictEqual(error.code, "ECONNREFUSED")
  })
})
