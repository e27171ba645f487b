import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { isParadigmError } from "@paradigm-effect/core/ParadigmError"
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { Paradigm } from "../src/index.ts"

const completion = {
  id: "c",
  object: "chat.completion",
  created: 1,
  model: "alfred",
  choices: [{ index: 0, message: { role: "assistant", content: "Hello!" }, finish_reason: "stop" }]
}
const request = { model: "alfred", messages: [{ role: "user" as const, content: "Hello" }] }
const variables = ["PARADIGM_API_KEY", "LIGHTON_API_KEY", "PARADIGM_BASE_URL"]

const requests: Array<IncomingMessage> = []
const server = createServer((incoming, response) => {
  requests.push(incoming)
  response.setHeader("content-type", "application/json").end(JSON.stringify(completion))
})
let baseUrl = ""

// The request of a call.
const callWith = async (options?: Paradigm.ConnectOptions): Promise<IncomingMessage> => {
  await using paradigm = Paradigm.connect(options)
  await paradigm.chat.completions.create(request)
  const seen = requests.at(-1)
  assert(seen !== undefined)
  return seen
}

// The message of the error of a call.
const failWith = async (options?: Paradigm.ConnectOptions): Promise<string> => {
  try {
    await callWith(options)
  } catch (error) {
    assert(isParadigmError(error))
    return error.message
  }
  throw new Error("The call succeeded")
}

beforeEach(async () => {
  for (const name of variables) delete process.env[name]
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(() => {
  for (const name of variables) delete process.env[name]
  server.closeAllConnections()
  return new Promise<void>((resolve) => server.close(() => resolve()))
})

describe("Paradigm.connect", () => {
  it("sends the user agent of the library and of Node, unless a header overrides it", async () => {
    const seen = await callWith({ apiKey: "a-key", baseUrl })
    assert.match(seen.headers["user-agent"] ?? "", /^paradigm-effect\/\d+\.\d+\.\d+ node\/\d+\.\d+\.\d+$/)
    const own = await callWith({ apiKey: "a-key", baseUrl, headers: { "User-Agent": "mine" } })
    assert.strictEqual(own.headers["user-agent"], "mine")
  })

  it.each([["PARADIGM_API_KEY"], ["LIGHTON_API_KEY"]])("reads the environment for absent options: %s", async (name) => {
    process.env[name] = "a-key-of-the-environment"
    process.env["PARADIGM_BASE_URL"] = `${baseUrl}/v1`
    for (const options of [undefined, {}, { apiKey: undefined }]) {
      const seen = await callWith(options)
      assert.deepStrictEqual([seen.url, seen.headers.authorization], ["/v1/chat/completions", "Bearer a-key-of-the-environment"])
    }
    const seen = await callWith({ apiKey: "a-key", baseUrl: `${baseUrl}/v2` })
    assert.deepStrictEqual([seen.url, seen.headers.authorization], ["/v2/chat/completions", "Bearer a-key"])
  })

  it("names the variables when there is no key", async () => {
    assert.match(await failWith(), /PARADIGM_API_KEY is not set; set it or LIGHTON_API_KEY, or give apiKey/)
  })

  it("names the variable of a wrong value", async () => {
    process.env["PARADIGM_API_KEY"] = "a-key\n"
    assert.match(await failWith(), /PARADIGM_API_KEY has a space, line end/)
    process.env["PARADIGM_API_KEY"] = "a-key"
    process.env["PARADIGM_BASE_URL"] = "nonsense"
    assert.match(await failWith(), /PARADIGM_BASE_URL must be an absolute/)
  })

  it("refuses unknown options, and accepts those of the connections", async () => {
    const misspelt = { apiKey: "a-key", baseURL: baseUrl } as Paradigm.ConnectOptions
    assert.match(await failWith(misspelt), /unknown option baseURL: did you mean baseUrl\?/)
    assert.isObject(await callWith({ apiKey: "a-key", baseUrl, http2: false, proxy: false }))
  })
})
