import * as Certificate from "@paradigm-effect/conformance/Certificate"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createServer, request as sendRequest, type RequestListener } from "node:http"
import { createSecureServer } from "node:http2"
import { createServer as createTlsServer } from "node:https"
import { type AddressInfo, connect as connectSocket, type Server } from "node:net"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib"
import { Agent } from "undici"
import { Paradigm, type ChatCompletion as Contract } from "../src/index.ts"

const request = { model: "m", messages: [{ role: "user" as const, content: "Hi" }] }
const streamed = { ...request, stream: true } as const
const key = "sk-connections-0123456789"

const completion: Contract.ChatCompletion = {
  id: "c",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }]
}
const chunk = (content: string, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`

const answer: RequestListener = (_, response) => {
  response.writeHead(200, { "content-type": "application/json" })
  response.end(JSON.stringify(completion))
}

const listening = async (server: Server, host = "127.0.0.1") => {
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const { port } = server.address() as AddressInfo
  return { port, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())) }
}

// A forward proxy: tunnels for https, requests with a whole URL for http.
const startProxy = async (authorization?: string) => {
  const seen: Array<string> = []
  const isAllowed = (headers: Readonly<Record<string, unknown>>) =>
    authorization === undefined || headers["proxy-authorization"] === authorization
  const server = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url}`)
    if (!isAllowed(incoming.headers)) return void outgoing.writeHead(407, { "proxy-authenticate": "Basic" }).end("who are you?")
    const forwarded = sendRequest(incoming.url ?? "", { method: incoming.method, headers: incoming.headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 500, response.headers)
      response.pipe(outgoing)
    })
    incoming.pipe(forwarded)
  })
  server.on("connect", (incoming, socket, head) => {
    seen.push(`CONNECT ${incoming.url}`)
    if (!isAllowed(incoming.headers)) return void socket.end("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    const [host, port] = (incoming.url ?? "").split(":")
    const upstream = connectSocket(Number(port), host, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n")
      upstream.write(head)
      socket.pipe(upstream).pipe(socket)
    })
    upstream.on("error", () => socket.destroy())
    socket.on("error", () => upstream.destroy())
  })
  return { ...(await listening(server)), seen }
}

const reasonOf = async (call: PromiseLike<unknown>) => {
  try {
    await call
  } catch (error) {
    if (Paradigm.isError(error)) return error
    throw error
  }
  return assert.fail("did not throw")
}

const environment = async (values: Readonly<Record<string, string>>, use: () => Promise<void>) => {
  const before = { ...process.env }
  Object.assign(process.env, values)
  try {
    await use()
  } finally {
    process.env = before
  }
}

describe("a proxy", () => {
  it("receives the requests if it is the option proxy", async () => {
    await using server = await listening(createServer(answer))
    await using proxy = await startProxy(`Basic ${btoa("user:word")}`)
    await using paradigm = Paradigm.connect({
      apiKey: key,
      baseUrl: `http://127.0.0.1:${server.port}`,
      proxy: `http://user:word@127.0.0.1:${proxy.port}`
    })
    assert.strictEqual((await paradigm.chat.completions.create(request)).choices[0]?.message.content, "Hello")
    assert.deepStrictEqual(proxy.seen, [`POST http://127.0.0.1:${server.port}/api/v3/chat/completions`])
  })

  it("receives the requests if the environment names it, except to hosts of NO_PROXY", async () => {
    await using server = await listening(createServer(answer))
    await using proxy = await startProxy()
    const baseUrl = `http://127.0.0.1:${server.port}`
    await environment({ HTTP_PROXY: `http://127.0.0.1:${proxy.port}` }, async () => {
      await using paradigm = Paradigm.connect({ apiKey: key, baseUrl })
      await paradigm.chat.completions.create(request)
      assert.lengthOf(proxy.seen, 1)
      await using direct = Paradigm.connect({ apiKey: key, baseUrl, proxy: false })
      await direct.chat.completions.create(request)
      assert.lengthOf(proxy.seen, 1)
    })
    await environment({ HTTP_PROXY: `http://127.0.0.1:${proxy.port}`, NO_PROXY: "127.0.0.1" }, async () => {
      await using paradigm = Paradigm.connect({ apiKey: key, baseUrl })
      await paradigm.chat.completions.create(request)
      assert.lengthOf(proxy.seen, 1)
    })
  })

  it("tunnels TLS, whose certificate is verified behind it", async () => {
    const certificate = await Certificate.make()
    await using server = await listening(createTlsServer(certificate, answer))
    await using proxy = await startProxy()
    const options = {
      apiKey: key,
      baseUrl: `https://127.0.0.1:${server.port}`,
      proxy: `http://127.0.0.1:${proxy.port}`,
      retry: false
    } as const
    await using trusting = Paradigm.connect({ ...options, ca: certificate.cert })
    assert.strictEqual((await trusting.chat.completions.create(request)).id, "c")
    assert.deepStrictEqual(proxy.seen, [`CONNECT 127.0.0.1:${server.port}`])
    await using distrusting = Paradigm.connect(options)
    assert.strictEqual((await reasonOf(distrusting.chat.completions.create(request))).reason._tag, "TlsFailed")
  })

  it.each(["http", "https"])("fails the call without quoting the credential if it refuses it (%s)", async (scheme) => {
    await using proxy = await startProxy("Basic other")
    await using paradigm = Paradigm.connect({
      apiKey: key,
      baseUrl: `${scheme}://127.0.0.1:9`,
      proxy: `http://user:s3cret-word@127.0.0.1:${proxy.port}`,
      retry: false
    })
    const error = await reasonOf(paradigm.chat.completions.create(request))
    assert.include(error.message, "407")
    if (scheme === "https") assert.include(error.message, `Could not connect to proxy http://127.0.0.1:${proxy.port} (PROXY_407)`)
    assert.notInclude(JSON.stringify(error), "s3cret-word")
    assert.notInclude(JSON.stringify(error), btoa("user:s3cret-word"))
  })

  it.each([
    ["http", "option", "127.0.0.1"],
    ["https", "option", "127.0.0.1"],
    ["http", "environment", "127.0.0.1"],
    ["https", "environment", "127.0.0.1"],
    ["https", "environment", "localhost"],
    ["https", "option", "proxy.invalid"]
  ])("is named by the failure of a call if it does not listen (%s, by the %s, %s)", async (scheme, given, host) => {
    const { port } = await listening(createServer(answer)).then(async (server) => {
      await server[Symbol.asyncDispose]()
      return server
    })
    const proxy = `http://user:s3cret-word@${host}:${port}`
    const baseUrl = `${scheme}://192.0.2.1`
    await environment({ HTTP_PROXY: given === "option" ? "" : proxy }, async () => {
      const options = { apiKey: key, baseUrl, retry: false } as const
      await using paradigm = Paradigm.connect(given === "option" ? { ...options, proxy } : options)
      const error = await reasonOf(paradigm.chat.completions.create(request))
      assert.match(error.message, new RegExp(`^ConnectFailed: Could not connect to proxy http://${host}:${port} \\(E\\w+\\)$`))
      assert.notInclude(JSON.stringify(error), "s3cret-word")
    })
  })

  it("is not named by the failure of a call to a host of NO_PROXY", async () => {
    await using proxy = await startProxy()
    await environment({ HTTP_PROXY: `http://127.0.0.1:${proxy.port}`, NO_PROXY: "127.0.0.1" }, async () => {
      await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: "http://127.0.0.1:9", retry: false })
      const error = await reasonOf(paradigm.chat.completions.create(request))
      assert.strictEqual(error.message, "ConnectFailed: Could not connect to http://127.0.0.1:9 (ECONNREFUSED)")
    })
  })
})

describe("TLS", () => {
  it("trusts the authority of the option ca, and sends the client's certificate", async () => {
    const [own, client] = [await Certificate.make(), await Certificate.make()]
    const server = createTlsServer({ ...own, ca: client.cert, requestCert: true, rejectUnauthorized: true }, answer)
    await using listener = await listening(server)
    const options = { apiKey: key, baseUrl: `https://127.0.0.1:${listener.port}`, retry: false } as const
    await using known = Paradigm.connect({ ...options, ca: own.cert, cert: client.cert, key: client.key })
    assert.strictEqual((await known.chat.completions.create(request)).id, "c")
    await using anonymous = Paradigm.connect({ ...options, ca: own.cert })
    assert.include(["TlsFailed", "ConnectionLost"], (await reasonOf(anonymous.chat.completions.create(request))).reason._tag)
    await using distrusting = Paradigm.connect(options)
    assert.strictEqual((await reasonOf(distrusting.chat.completions.create(request))).reason._tag, "TlsFailed")
  })

  it("offers HTTP/2 on request", async () => {
    const certificate = await Certificate.make()
    const versions: Array<string> = []
    const server = createSecureServer({ ...certificate, allowHTTP1: true }, (incoming, outgoing) => {
      versions.push(incoming.httpVersion)
      outgoing.writeHead(200, { "content-type": "text/event-stream" })
      outgoing.end(`${chunk("Hel")}${chunk("lo", "stop")}data: [DONE]\n\n`)
    })
    await using listener = await listening(server)
    for (const http2 of [true, false]) {
      await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: `https://127.0.0.1:${listener.port}`, ca: certificate.cert, http2 })
      const stream = await paradigm.chat.completions.create(streamed)
      assert.strictEqual((await stream.finalCompletion()).choices[0]?.message.content, "Hello")
    }
    assert.deepStrictEqual(versions, ["2.0", "1.1"])
  })
})

describe("a dispatcher", () => {
  it("sends the requests and stays open", async () => {
    await using server = await listening(createServer(answer))
    const dispatcher = new Agent()
    await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: `http://127.0.0.1:${server.port}`, dispatcher })
    await paradigm.chat.completions.create(request)
    await paradigm.close()
    assert.isFalse(dispatcher.destroyed)
    await dispatcher.destroy()
  })
})

describe("a compressed body", () => {
  const encodings = {
    gzip: gzipSync,
    "x-gzip": gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
    zstd: zstdCompressSync,
    "gzip, br": (data: string) => brotliCompressSync(gzipSync(data)),
    " GZIP ": gzipSync,
    identity: (data: string) => Buffer.from(data)
  }

  for (const [encoding, compress] of Object.entries(encodings)) {
    it(`is decompressed, whole and streamed: ${encoding}`, async () => {
      const server = createServer((incoming, outgoing) => {
        let body = ""
        incoming
          .on("data", (data) => (body += data))
          .on("end", () => {
            const isStream = body.includes('"stream":true')
            outgoing.writeHead(200, {
              "content-type": isStream ? "text/event-stream" : "application/json",
              "content-encoding": encoding
            })
            const compressed = compress(isStream ? `${chunk("Hel")}${chunk("lo", "stop")}data: [DONE]\n\n` : JSON.stringify(completion))
            for (const byte of compressed) outgoing.write(Uint8Array.of(byte))
            outgoing.end()
          })
      })
      await using listener = await listening(server)
      await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: `http://127.0.0.1:${listener.port}` })
      assert.deepStrictEqual(await paradigm.chat.completions.create(request), completion)
      const stream = await paradigm.chat.completions.create(streamed)
      assert.strictEqual((await stream.finalCompletion()).choices[0]?.message.content, "Hello")
    })
  }

  it.each(["gzip", "br", "zstd", "deflate"] as const)("fails if it is truncated: %s", async (encoding) => {
    const server = createServer((_, outgoing) => {
      outgoing.writeHead(200, { "content-type": "application/json", "content-encoding": encoding })
      outgoing.end(encodings[encoding](JSON.stringify(completion)).subarray(0, -9))
    })
    await using listener = await listening(server)
    await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: `http://127.0.0.1:${listener.port}`, retry: false })
    const { reason } = await reasonOf(paradigm.chat.completions.create(request))
    assert.include(["ConnectionLost", "UnexpectedResponse"], reason._tag)
  })

  it("fails with an excerpt if its encoding is unknown", async () => {
    const server = createServer((_, outgoing) => {
      outgoing.writeHead(200, { "content-type": "application/json", "content-encoding": "compress" })
      outgoing.end("\u001f\u009d")
    })
    await using listener = await listening(server)
    await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: `http://127.0.0.1:${listener.port}`, retry: false })
    assert.strictEqual((await reasonOf(paradigm.chat.completions.create(request))).reason._tag, "UnexpectedResponse")
  })
})

describe("an IPv6 address", () => {
  it("is a base URL", async () => {
    await using server = await listening(createServer(answer), "::1")
    await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: `http://[::1]:${server.port}` })
    assert.strictEqual((await paradigm.chat.completions.create(request)).id, "c")
  })
})

describe("a Unix domain socket", () => {
  const socketIn = async (use: (path: string) => Promise<void>) => {
    const directory = await mkdtemp(join(tmpdir(), "socket-"))
    try {
      await use(join(directory, "paradigm.sock"))
    } finally {
      await rm(directory, { recursive: true })
    }
  }

  it.each([
    ["", "/api/v3/chat/completions"],
    [":/v1", "/v1/chat/completions"]
  ])("is a base URL, also with a proxy in the environment: unix:PATH%s", (suffix, path) =>
    socketIn(async (socket) => {
      const urls: Array<string | undefined> = []
      const server = createServer((incoming, outgoing) => {
        urls.push(incoming.url)
        answer(incoming, outgoing)
      })
      await new Promise<void>((resolve) => server.listen(socket, resolve))
      const variables = { HTTP_PROXY: "http://127.0.0.1:9", PARADIGM_BASE_URL: `unix:${socket}${suffix}`, PARADIGM_API_KEY: key }
      await environment(variables, async () => {
        for (const options of [{ apiKey: key, baseUrl: variables.PARADIGM_BASE_URL }, {}]) {
          await using paradigm = Paradigm.connect(options)
          assert.strictEqual((await paradigm.chat.completions.create(request)).id, "c")
        }
        const program = Effect.flatMap(Paradigm.Client, (client) => client.createChatCompletion(request))
        const layer = Layer.provide(Paradigm.layerConfig, ConfigProvider.layer(ConfigProvider.fromEnvRecord(variables)))
        assert.strictEqual((await Effect.runPromise(Effect.provide(program, layer))).id, "c")
      })
      assert.deepStrictEqual(urls, [path, path, path])
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    })
  )

  it("is named by the error if nothing listens", () =>
    socketIn(async (socket) => {
      await using paradigm = Paradigm.connect({ apiKey: key, baseUrl: `unix:${socket}`, retry: false })
      const { message } = await reasonOf(paradigm.chat.completions.create(request))
      assert.strictEqual(message, `ConnectFailed: Could not connect to unix:${socket} (ENOENT)`)
    }))

  it("is refused with a relative path, and beside a proxy", () => {
    const connect = (baseUrl: string, proxy?: string) => () => Paradigm.connect({ apiKey: key, baseUrl, proxy })
    assert.throws(connect("unix:paradigm.sock"), /baseUrl must be an absolute http/)
    assert.throws(connect("unix:/paradigm.sock", "http://127.0.0.1:9"), /proxy cannot be combined with a unix: base URL/)
  })
})

describe("a connection option", () => {
  it("is refused if it is the key of another certificate", async () => {
    const [own, other] = [await Certificate.make(), await Certificate.make()]
    const options = { apiKey: key, baseUrl: "https://127.0.0.1:9", cert: own.cert, key: other.key }
    const error = await reasonOf((async () => Paradigm.connect(options).chat.completions.create(request))())
    assert.strictEqual(error.message, "InvalidConfiguration: key must be the key of cert")
  })

  it("is refused beside a dispatcher", async () => {
    const dispatcher = new Agent()
    const options = { apiKey: key, baseUrl: "http://127.0.0.1:9", dispatcher, http2: true }
    const error = await reasonOf((async () => Paradigm.connect(options).chat.completions.create(request))())
    assert.strictEqual(error.message, "InvalidConfiguration: http2 cannot be combined with dispatcher")
    await dispatcher.destroy()
  })

  it.each([
    ["proxy", "no url"],
    ["proxy", "ftp://127.0.0.1:1"],
    ["proxy", 5],
    ["proxy", true],
    ["ca", 5],
    ["ca", []],
    ["ca", ""],
    ["ca", [5]],
    ["ca", "no url"],
    ["cert", "no url"],
    ["cert", true],
    ["key", "no url"],
    ["key", {}],
    ["http2", "yes"],
    ["http2", 1],
    ["dispatcher", {}],
    ["dispatcher", null]
  ])("that is wrong is refused, and not quoted: %s %j", async (option, value) => {
    const options = { apiKey: key, baseUrl: "http://127.0.0.1:9", [option]: value }
    const error = await reasonOf((async () => Paradigm.connect(options).chat.completions.create(request))())
    assert.strictEqual(error.reason._tag, "InvalidConfiguration")
    assert.include(error.message, option)
    assert.notInclude(error.message, "no url")
  })
})
