// An endpoint for examples. Responds with "Hello!", with a call of the first tool, or with JSON of the requested schema.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

interface JsonSchema {
  readonly type?: string | ReadonlyArray<string>
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly enum?: ReadonlyArray<unknown>
  readonly const?: unknown
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly allOf?: ReadonlyArray<JsonSchema>
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, JsonSchema>>
}

interface Request {
  readonly model?: string
  readonly stream?: boolean
  readonly stream_options?: { readonly include_usage?: boolean }
  readonly messages?: ReadonlyArray<{ readonly role: string }>
  readonly tools?: ReadonlyArray<{ readonly function: { readonly name: string; readonly parameters?: JsonSchema } }>
  readonly tool_choice?: unknown
  readonly response_format?: { readonly type: string; readonly json_schema?: { readonly schema?: JsonSchema } }
}

const instanceOf = (schema: JsonSchema, root: JsonSchema = schema): unknown => {
  if (schema.const !== undefined) return schema.const
  if (schema.enum !== undefined) return schema.enum[0]
  const [alternative] = schema.anyOf ?? schema.allOf ?? []
  if (alternative !== undefined) return instanceOf(alternative, root)
  if (schema.$ref !== undefined) return instanceOf(root.$defs?.[schema.$ref.replace(/^#\/\$defs\//, "")] ?? {}, root)
  switch (typeof schema.type === "string" ? schema.type : schema.type?.[0]) {
    case "object":
      return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([key, value]) => [key, instanceOf(value, root)]))
    case "array":
      return [instanceOf(schema.items ?? {}, root)]
    case "integer":
    case "number":
      return 42
    case "boolean":
      return true
    case "null":
      return null
    default:
      return "Hello!"
  }
}

const messageOf = ({ messages, response_format: format, tool_choice, tools }: Request) => {
  const [tool] = tools ?? []
  if (tool !== undefined && tool_choice !== "none" && messages?.at(-1)?.role === "user") {
    const called = { name: tool.function.name, arguments: JSON.stringify(instanceOf(tool.function.parameters ?? {})) }
    return { role: "assistant", content: null, tool_calls: [{ id: "call-1", type: "function", function: called }] }
  }
  if (format === undefined || format.type === "text") return { role: "assistant", content: "Hello!" }
  return { role: "assistant", content: JSON.stringify(instanceOf(format.json_schema?.schema ?? { type: "object" })) }
}

const usage = { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 }

const complete = (request: Request, response: ServerResponse) => {
  const envelope = { id: "chatcmpl-1", created: 1_795_000_000, model: request.model ?? "alfred-4.2" }
  const message = messageOf(request)
  const finish_reason = "tool_calls" in message ? "tool_calls" : "stop"
  if (request.stream !== true) {
    response.writeHead(200, { "content-type": "application/json", "x-request-id": "req-1" })
    response.end(JSON.stringify({ ...envelope, object: "chat.completion", choices: [{ index: 0, message, finish_reason }], usage }))
    return
  }
  const deltas =
    "tool_calls" in message
      ? message.tool_calls.map((call, index) => ({ tool_calls: [{ index, ...call }] }))
      : (message.content?.match(/^Hello(?=!$)|.+/gs) ?? []).map((content) => ({ content }))
  const chunk = (choices: ReadonlyArray<object>, more = {}) =>
    `data: ${JSON.stringify({ ...envelope, object: "chat.completion.chunk", choices, ...more })}\n\n`
  response.writeHead(200, { "content-type": "text/event-stream", "x-request-id": "req-1" })
  response.write(chunk([{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }]))
  for (const delta of deltas) response.write(chunk([{ index: 0, delta, finish_reason: null }]))
  response.write(chunk([{ index: 0, delta: {}, finish_reason }]))
  if (request.stream_options?.include_usage === true) response.write(chunk([], { usage }))
  response.end("data: [DONE]\n\n")
}

const answer = async (incoming: IncomingMessage, response: ServerResponse) => {
  const parts: Array<Buffer> = []
  for await (const part of incoming as AsyncIterable<Buffer>) parts.push(part)
  const body = Buffer.concat(parts).toString()
  const path = new URL(incoming.url ?? "/", "http://localhost").pathname
  if (incoming.method === "POST" && path.endsWith("/chat/completions")) return complete(JSON.parse(body) as Request, response)
  const isList = incoming.method === "GET" && path.endsWith("/models")
  const model = { id: "alfred-4.2", object: "model", created: 1_795_000_000, owned_by: "lighton" }
  response.writeHead(isList ? 200 : 404, { "content-type": "application/json" })
  response.end(JSON.stringify(isList ? { object: "list", data: [model] } : { detail: "Not Found" }))
}

/** Starts the endpoint on a free port. */
export const start = async () => {
  const server = createServer((incoming, response) => {
    answer(incoming, response).catch((error: unknown) => response.writeHead(400).end(JSON.stringify({ detail: String(error) })))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}
