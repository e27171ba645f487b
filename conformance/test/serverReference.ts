/**
 * An endpoint over node:http that holds every server case of the profile paradigm, in front of a model of its own and of one upstream, and that
 * can be given one bug: what the server cases themselves are tested with.
 */
import { Buffer } from "node:buffer"
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { complete, parseBody, Refusal, validate } from "./serverModel.ts"
import { checkRules } from "./serverRules.ts"

type Json = Record<string, unknown>

const limit = 50_000
const key = "pk-reference"
const upstreamKey = "upstream-reference"

const words: Readonly<Record<number, string>> = { 400: "bad_request", 404: "not_found", 422: "validation_error", 502: "bad_gateway" }

const refuse = (request: IncomingMessage, response: ServerResponse, refusal: Refusal, id: string, bug: string | undefined) => {
  const echo = bug === "echoes-the-key" ? ` You sent ${request.headers.authorization}.` : ""
  const envelope = {
    id,
    code: refusal.status,
    error: words[refusal.status] ?? "error",
    detail: refusal.message + echo,
    fields: refusal.fields
  }
  const isHtml = bug === "html-errors"
  const body = Buffer.from(isHtml ? "<h1>Error</h1>" : JSON.stringify(envelope))
  response.writeHead(refusal.status, {
    "content-type": isHtml ? "text/html" : "application/json",
    "content-length": body.length,
    ...refusal.headers
  })
  response.end(request.method === "HEAD" ? undefined : body)
}

const readBody = async (request: IncomingMessage, bug: string | undefined) => {
  const most = bug === "limit-is-one-less" ? limit - 1 : bug === "no-limit" ? Infinity : limit
  const pieces: Array<Buffer> = []
  let length = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    length += piece.length
    if (length <= most) pieces.push(piece)
  }
  if (length > most) throw new Refusal(413, "The body is too large.")
  return Buffer.concat(pieces)
}

const authenticate = (authorization: string | undefined, bug: string | undefined) => {
  const given = (bug === "one-case-of-bearer" ? /^Bearer (\S+)$/ : /^Bearer (\S+)$/i).exec(authorization ?? "")?.[1]
  if (bug === "any-key" ? given !== undefined : bug === "key-by-its-beginning" ? given?.startsWith(key) : given === key) return
  throw new Refusal(401, "The key is not known.", bug === "no-challenge" ? {} : { headers: { "www-authenticate": "Bearer" } })
}

const failed = (detail: string) => new Refusal(502, detail)

/** Relays what the upstream answers; `url` is its origin and path. */
const relay = (url: string, body: Json, text: string, caller: IncomingHttpHeaders, response: ServerResponse, bug: string | undefined) =>
  new Promise<void>((resolve, reject) => {
    const streams = body["stream"] === true
    const sent = httpRequest(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: bug === "forwards-the-key" ? (caller.authorization ?? "") : `Bearer ${upstreamKey}`,
        ...(bug === "forwards-all-headers" ? { cookie: caller.cookie ?? "", "x-internal": String(caller["x-internal"]) } : {})
      }
    })
    if (bug !== "keeps-the-upstream") response.on("close", () => sent.destroy())
    let isAnswered = false
    sent.on("error", () => {
      // Nothing came of a connection that had been used before: it was closed meanwhile.
      if (sent.reusedSocket && !isAnswered && !response.destroyed && bug !== "never-asks-again") {
        return relay(url, body, text, caller, response, bug).then(resolve, reject)
      }
      reject(failed(bug === "tells-the-address" ? `No answer from ${url}.` : "The model server failed."))
    })
    if (bug === "takes-early-hints-for-the-answer") sent.on("information", () => reject(failed("The model server says nothing.")))
    sent.on("response", (answer) => {
      isAnswered = true
      let text = ""
      let ended = false
      let finished = false
      answer.setEncoding("utf8")
      const breakOff = () => {
        if (ended) return
        ended = true
        if (!response.headersSent) return reject(failed("The model server broke off."))
        const error = { message: "The model server broke off.", type: "bad_gateway", param: null, code: 502 }
        const finish = {
          id: "x",
          object: "chat.completion.chunk",
          created: 1,
          model: "m",
          choices: [{ index: 0, delta: {}, finish_reason: "stop" }]
        }
        const last = bug === "makes-up-an-end" ? finish : { error }
        response.end(`data: ${JSON.stringify(last)}\n\ndata: [DONE]\n\n`, () => resolve())
      }
      answer.on("error", breakOff)
      answer.on("aborted", breakOff)
      const status = answer.statusCode ?? 0
      const type = answer.headers["content-type"] ?? ""
      const isPage = !type.startsWith(streams ? "text/event-stream" : "application/json") && bug !== "relays-pages"
      if (status === 200 && streams && !isPage) {
        const commit = () => {
          if (response.headersSent) return
          response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
          if (bug !== "relays-when-all-is-there") response.flushHeaders()
        }
        if (bug === "commits-at-the-head" || bug === "relays-pages") commit()
        const held: Array<string> = []
        answer.on("data", (piece: string) => {
          if (ended) return
          text += piece
          for (let at = text.indexOf("\n\n"); at !== -1 && !ended; at = text.indexOf("\n\n")) {
            const whole = text.slice(0, at + 2)
            const event = bug === "drops-reasoning" ? whole.replace('"reasoning"', '"other"') : whole
            text = text.slice(at + 2)
            if (!response.headersSent && event.startsWith('data: {"error"')) {
              sent.destroy()
              return breakOff()
            }
            commit()
            finished ||= event.includes('"finish_reason":"')
            const isOther = bug === "relays-one-choice" && event.includes('"index":1')
            const isBroken = bug === "drops-events-without-json" && /^data: \{(?!.*\}\n)/.test(event)
            if (isOther || isBroken) continue
            if (bug === "relays-when-all-is-there") held.push(event)
            else response.write(event)
            if (event !== "data: [DONE]\n\n" || bug === "relays-after-done") continue
            ended = true
            response.end(held.join(""), () => resolve())
          }
        })
        answer.on("end", () => {
          if (finished && !ended && bug !== "wants-done") {
            ended = true
            return response.end("data: [DONE]\n\n", () => resolve())
          }
          if (bug !== "relays-after-done") return breakOff()
          response.end(() => resolve())
        })
        return
      }
      answer.on("data", (piece: string) => (text += piece))
      const onWhole = () => {
        if (ended) return
        ended = true
        if (status === 200 && !isPage) {
          const cookies = bug === "relays-cookies" ? { "set-cookie": answer.headers["set-cookie"] ?? [] } : {}
          response.writeHead(200, { "content-type": type, ...cookies })
          return response.end(bug === "drops-unknown-members" ? text.replace('"vendor_extra"', '"other"') : text, () => resolve())
        }
        const said = (JSON.parse(text.startsWith("{") ? text : "{}") as { readonly error?: { readonly message?: string } }).error?.message
        const own = bug === "own-401-is-the-callers" && status === 401
        const kept =
          [400, 422].includes(status) ||
          own ||
          (bug === "upstream-408-is-the-callers" && status === 408) ||
          (bug === "relays-any-status" && status >= 500)
        const after = answer.headers["retry-after"]
        if (kept) reject(new Refusal(status, said ?? "It was refused."))
        else if (status === 429)
          reject(new Refusal(429, "Too many requests.", after === undefined ? {} : { headers: { "retry-after": after } }))
        else if (status === 504 && bug !== "every-failure-is-502") reject(new Refusal(504, "The model server took too long."))
        else reject(status === 503 ? new Refusal(503, "The model server is busy.") : failed("The model server failed."))
      }
      answer.on("end", onWhole)
      if (status === 200 || bug === "waits-for-refusals") return
      const patience = setTimeout(() => {
        text = ""
        onWhole()
        sent.destroy()
      }, 1000)
      answer.on("close", () => clearTimeout(patience))
    })
    // The text of the request keeps what JSON.parse changes.
    const isJson = text.startsWith("{") && bug !== "reserialises"
    sent.end(isJson ? text.replace(/("model"\s*:\s*)"[^"]*"/, '$1"there"') : JSON.stringify({ ...body, model: "there" }))
  })

/** Starts the server, with a bug or without. `upstream` is the origin and path of what its model `faulty` is asked of. */
export const startReferenceServer = async (upstream: string, bug?: string) => {
  let running = 0
  const handle = async (request: IncomingMessage, response: ServerResponse, _id: string) => {
    const { headers, method, url = "" } = request
    const [path] = url.split("?")
    if (method === "OPTIONS" && headers.origin !== undefined && bug !== "no-cors") {
      return void response
        .writeHead(204, { "access-control-allow-methods": "POST", "access-control-allow-headers": "authorization, content-type" })
        .end()
    }
    if (path === "/api/v3/models" && method === "GET") {
      const model = { id: "alfred", object: "model", created: 1_700_000_000, owned_by: "reference" }
      const body = JSON.stringify(bug === "models-without-data" ? [model] : { object: "list", data: [model] })
      return void response.writeHead(200, { "content-type": "application/json" }).end(body)
    }
    if (path === "/health" && method === "GET" && bug !== "no-health") return void response.end()
    if (bug === "redirects" && path?.endsWith("/completions/")) return void response.writeHead(308, { location: path.slice(0, -1) }).end()
    if (path !== "/api/v3/chat/completions") throw new Refusal(404, "There is nothing here.")
    if (method !== "POST") throw new Refusal(405, "The endpoint takes POST only.", bug === "no-allow" ? {} : { headers: { allow: "POST" } })
    if (!/\*\/\*|application\/(json|\*)|text\/event-stream/.test(headers.accept ?? "*/*")) throw new Refusal(406, "That cannot be had.")
    if (bug !== "body-before-key") authenticate(headers.authorization, bug)
    const bytes = await readBody(request, bug)
    const given = await parseBody(headers["content-type"] ?? "", bytes, bug)
    const isGiven = ([name, value]: readonly [string, unknown]) =>
      value !== null || bug === "refuses-nulls" || /^(model|messages)$/.test(name)
    const own = Object.fromEntries(Object.entries(given).filter(isGiven))
    // Assigning __proto__ sets the prototype.
    const body = bug === "inherits-members" ? Object.assign({}, own) : own
    validate(body, bug)
    checkRules(body, bug)
    if (bug === "body-before-key") authenticate(headers.authorization, bug)
    const { model } = body
    if (model === "forbidden" && bug === "names-leak") throw new Refusal(403, "The key may not use this model.")
    if (model !== "alfred" && model !== "faulty") {
      if (bug !== "errors-in-the-stream" || body["stream"] !== true) throw new Refusal(404, `There is no model ${JSON.stringify(model)}.`)
      response.writeHead(200, { "content-type": "text/event-stream" })
      return void response.end('data: {"error":{"message":"no such model"}}\n\ndata: [DONE]\n\n')
    }
    running += 1
    try {
      if (model === "faulty") await relay(upstream, body, bytes.toString(), headers, response, bug)
      else await complete(body, response, bug)
    } finally {
      running -= 1
    }
  }
  const server = createServer({ insecureHTTPParser: bug === "lenient-framing" }, (request, response) => {
    const given = request.headers["x-request-id"]
    const id = bug === "one-request-id" ? "request-1" : typeof given === "string" && given.length < 129 ? given : crypto.randomUUID()
    response.setHeader("x-request-id", id)
    if (bug !== "no-cors") {
      response.setHeader("access-control-allow-origin", "*")
      if (bug !== "hides-request-ids") response.setHeader("access-control-expose-headers", "x-request-id")
    }
    if (bug === "closes-after-each") response.setHeader("connection", "close")
    // A client that leaves in the middle of its body is nobody's error.
    request.on("error", () => undefined)
    handle(request, response, id).catch((error: unknown) => {
      const refusal = error instanceof Refusal ? error : new Refusal(500, "The server failed.")
      if (!response.headersSent && !response.destroyed) refuse(request, response, refusal, id, bug)
    })
  })
  if (bug === "answers-anything") {
    server.on("clientError", (_, socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    target: {
      name: bug ?? "reference",
      profile: "paradigm" as const,
      baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      model: "alfred",
      apiKey: key,
      forbiddenModel: "forbidden",
      maxBodyBytes: limit,
      declares: ["tools", "models", "cors", "continuous-usage", "vllm-rules"] as const,
      running: () => Promise.resolve(running)
    },
    upstreamKey,
    close: () => {
      server.closeAllConnections()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    }
  }
}
