/**
 * What the reference server makes of a request's body, and says to it.
 */
import { Buffer } from "node:buffer"
import type { ServerResponse } from "node:http"
import { setTimeout } from "node:timers/promises"

type Json = Record<string, unknown>

/** What is answered with an error status. */
export class Refusal extends Error {
  readonly status: number
  readonly fields: Json | undefined
  readonly headers: Readonly<Record<string, string>>
  constructor(status: number, detail: string, options: { readonly fields?: Json; readonly headers?: Record<string, string> } = {}) {
    super(detail)
    this.status = status
    this.fields = options.fields
    this.headers = options.headers ?? {}
  }
}

const invalid = (name: string, error: string) =>
  new Refusal(422, `${name} is ${error}.`, { fields: { [name]: [{ error, detail: `It is ${error}.` }] } })

const vocabulary = "river été 東京 light 🌊 paper seven naïve stones 한국어".split(" ")

function* words(request: Json, index: number, bug: string | undefined): Generator<string> {
  const wanted = request["ignore_eos"] === true ? Infinity : 24
  const seed = Number(request["seed"] ?? 1) + (bug === "another-seed-for-streams" && request["stream"] === true ? 1 : 0)
  for (let i = 0; i < wanted; i++) yield (i === 0 ? "" : " ") + (vocabulary[(i * 7 + seed + index) % vocabulary.length] ?? "")
}

/** Words up to the limit or the stop; the value that is returned is the finish reason. */
function* generate(request: Json, index: number, bug: string | undefined): Generator<string, string> {
  const older = request["max_tokens"]
  const newer = bug === "knows-max-tokens-alone" ? undefined : request["max_completion_tokens"]
  const most = Number((bug === "max-tokens-first" ? (older ?? newer) : (newer ?? older)) ?? (request["ignore_eos"] === true ? 4000 : 64))
  const stops = [request["stop"] ?? []].flat() as unknown as ReadonlyArray<string>
  let count = 0
  for (const word of words(request, index, bug)) {
    if (count++ === most && bug !== "ignores-max-tokens") return "length"
    const stop = stops.find((item) => word.includes(item))
    if (stop === undefined) yield word
    else {
      yield bug === "stop-stays" ? word : word.slice(0, word.indexOf(stop))
      return "stop"
    }
  }
  return "stop"
}

const nest = (entries: ReadonlyArray<readonly [string, string]>, bug: string | undefined): Json => {
  const request: Json = {}
  const messages: Array<Json> = []
  for (const [name, value] of entries) {
    const [, index, spelled, bracketed] = /^messages\[(\d+)\](?:([a-z]+)|\[([a-z]+)\])$/.exec(name) ?? []
    if (index !== undefined) {
      const member = bug === "one-spelling" ? spelled : (spelled ?? bracketed)
      if (member !== undefined) (messages[Number(index)] ??= {})[member] = value
    } else if (name === "messages") request["messages"] = JSON.parse(value)
    else if (name === "stop") request["stop"] = [...((request["stop"] as ReadonlyArray<string> | undefined) ?? []), value]
    else if (/^(model|user)$/.test(name) || bug === "forms-are-strings") request[name] = value
    else {
      try {
        request[name] = JSON.parse(value)
      } catch {
        throw invalid(name, "invalid")
      }
    }
  }
  return messages.length > 0 ? { ...request, messages } : request
}

/** Reads a body of any of the three encodings. */
export const parseBody = async (type: string, bytes: Buffer, bug: string | undefined): Promise<Json> => {
  if (type.startsWith("application/x-www-form-urlencoded")) return nest([...new URLSearchParams(bytes.toString())], bug)
  if (type.startsWith("multipart/form-data")) {
    const form = await new Response(new Uint8Array(bytes), { headers: { "content-type": type } }).formData()
    return nest(
      [...form].map(([name, value]) => {
        if (typeof value !== "string" && bug !== "takes-files") throw invalid(name, "invalid")
        return [name, typeof value === "string" ? value : "1"] as const
      }),
      bug
    )
  }
  if (!/^application\/json\s*(;|$)/i.test(type) && bug !== "any-content-type") throw new Refusal(415, "The body is no JSON.")
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: bug !== "patches-utf8" }).decode(bytes))
  } catch (error) {
    if (bug === "500-without-a-body" && bytes.length === 0) throw new Refusal(500, "undefined is not a function")
    throw new Refusal(400, bug === "stack-traces" ? String((error as Error).stack) : "The body is not JSON in UTF-8.")
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Refusal(422, "The body is no object.")
  if (bug !== "last-model-wins" && (bytes.toString().match(/"model"\s*:/g) ?? []).length > 1)
    throw new Refusal(400, "There are two models.")
  return value as Json
}

/** Refuses what is no request. */
export const validate = (request: Json, bug: string | undefined) => {
  if (bug === "stack-traces" && typeof request["model"] !== "string") throw new Refusal(422, String(new Error("model").stack))
  for (const name of ["model", "messages"]) {
    if (request[name] !== undefined || bug === `${name}-not-required`) continue
    throw bug === "fields-are-not-named" ? new Refusal(422, "A field is missing.") : invalid(name, "required")
  }
  if (typeof request["model"] !== "string" && bug !== "model-not-required") throw invalid("model", "invalid")
  const { messages, stream, stream_options: options } = request
  if (
    !Array.isArray(messages)
      ? bug !== "any-messages" && bug !== "messages-not-required"
      : messages.length === 0 && bug !== "no-messages-needed"
  )
    throw invalid("messages", "invalid")
  for (const message of (Array.isArray(messages) ? messages : []) as ReadonlyArray<Json>) {
    const { content, role } = message
    if (typeof role !== "string" && bug !== "no-roles-needed") throw invalid("messages.role", "required")
    if (bug === "text-content-only" && Array.isArray(content)) throw invalid("messages.content", "invalid")
    if (bug === "two-roles" && !/^(user|assistant)$/.test(String(role))) throw invalid("messages.role", "invalid")
    if (bug === "refuses-nulls" && Object.entries(message).some(([name, item]) => item === null && name !== "content"))
      throw invalid("messages", "invalid")
    if (bug === "refuses-tool-messages" && role === "tool") throw invalid("messages.role", "invalid")
  }
  for (const [name, least] of [
    ["temperature", 0],
    ["max_tokens", 0],
    ["n", 0]
  ] as const) {
    const value = request[name]
    if (value === undefined || bug === `any-${name}`) continue
    if (typeof value !== "number" ? bug !== "any-type" : value < least) throw invalid(name, "invalid")
  }
  if (options !== undefined && stream !== true && bug !== "any-stream-options") throw invalid("stream_options", "invalid")
  if (bug === "32-bit-seeds" && Number(request["seed"] ?? 0) > 2 ** 32) throw invalid("seed", "invalid")
  if (bug === "refuses-stream-false" && stream === false) throw invalid("stream", "invalid")
  if (bug === "strict-fields" && "vendor_extension" in request) throw invalid("vendor_extension", "invalid")
}

// A named tool is called, with its arguments in two pieces.
const toolCallOf = (request: Json, bug: string | undefined) => {
  const choice = request["tool_choice"] as { readonly function?: { readonly name?: string } } | undefined
  if (choice?.function === undefined || bug === "never-calls-tools") return undefined
  return { id: "call_1", name: choice.function.name, pieces: bug === "cuts-arguments" ? ['{"city":'] : ['{"city":', ' "Paris"}'] }
}

const toolChunk = (piece: Json) => ({ choices: [{ index: 0, delta: { content: null, tool_calls: [piece] }, finish_reason: null }] })

const toolChunks = ({ id, name, pieces }: NonNullable<ReturnType<typeof toolCallOf>>, bug: string | undefined): ReadonlyArray<Json> => [
  toolChunk({ id, type: "function", index: 0, function: { name } }),
  ...pieces.map((piece) =>
    toolChunk({ ...(bug === "an-id-per-piece" ? { id: crypto.randomUUID() } : {}), index: 0, function: { arguments: piece } })
  ),
  { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }
]

/** Answers a request, streamed or not. */
export const complete = async (request: Json, response: ServerResponse, bug: string | undefined) => {
  const count = bug === "one-choice" ? 1 : Number(request["n"] ?? 1)
  const id = () => `chatcmpl-${crypto.randomUUID()}`
  const head = { id: id(), created: 1_700_000_000, model: request["model"] }
  const generators = Array.from({ length: count }, (_, index) => generate(request, index, bug))
  const texts = generators.map(() => "")
  let tokens = 0
  const usage = () => ({
    prompt_tokens: 5,
    completion_tokens: tokens,
    total_tokens: bug === "total-without-the-prompt" ? tokens : 5 + tokens
  })
  const reasons: Array<string> = []
  const called = toolCallOf(request, bug)
  if (called !== undefined) reasons.push(...generators.map(() => "stop"))
  const left = () => response.destroyed && bug !== "generates-for-nobody"
  const step = async function* () {
    while (reasons.filter(Boolean).length < count && !left()) {
      for (const [index, generator] of generators.entries()) {
        if (reasons[index] !== undefined) continue
        const { done, value } = generator.next()
        if (done === true) reasons[index] = value
        else {
          tokens += 1
          texts[index] += value
        }
        yield { index: bug === "mixes-choices" ? 0 : index, done: done === true, value }
      }
      // Slow enough for what comes in one piece to be told from what was there at once.
      await setTimeout(request["stream"] === true ? 6 : 1)
    }
  }
  if (request["stream"] !== true) {
    for await (const _ of step());
    const tool_calls = called?.pieces && [
      { id: called.id, type: "function", function: { name: called.name, arguments: called.pieces.join("") } }
    ]
    const choices = texts.map((text, index) => ({
      index: bug === "index-always-0" ? 0 : index,
      message: { role: "assistant", content: tool_calls === undefined ? text : null, tool_calls },
      finish_reason: bug === "no-finish-reason" ? null : reasons[index]
    }))
    const body = Buffer.from(JSON.stringify({ ...head, object: "chat.completion", choices, usage: usage() }))
    const length = bug === "lies-about-the-length" ? {} : { "content-length": body.length }
    response.writeHead(200, {
      "content-type": "application/json",
      ...length,
      ...(bug === "lies-about-the-length" ? { "content-length": body.length + 1 } : {})
    })
    if (bug === "lies-about-the-length") return void response.write(body, () => response.destroy())
    return void response.end(body)
  }
  const type = bug === "streams-as-json" ? "application/json" : "text/event-stream"
  response.writeHead(200, { "content-type": type, ...(bug === "may-be-cached" ? {} : { "cache-control": "no-cache" }) })
  const held: Array<Buffer> = []
  const write = (bytes: Buffer) => (bug === "waits-for-all" ? void held.push(bytes) : void response.write(bytes))
  const send = (chunk: Json) => {
    const object = bug === "chunks-are-completions" ? "chat.completion" : "chat.completion.chunk"
    const whole = { ...head, ...(bug === "an-id-per-chunk" ? { id: id() } : {}), object, ...chunk }
    const spaces = bug === "pretty-json" ? 1 : 0
    const text = JSON.stringify(whole, null, spaces)
    const bytes = Buffer.from(`data: ${spaces === 0 ? text : text.split("\n").join("\ndata: ")}\n\n`)
    write(bug === "cuts-characters" ? Buffer.from(bytes.map((byte, i) => (i > 150 && byte > 0xef ? 0x20 : byte))) : bytes)
  }
  const continuous = (request["stream_options"] as Json | undefined)?.["continuous_usage_stats"] === true && bug !== "usage-at-the-end"
  const include = (request["stream_options"] as Json | undefined)?.["include_usage"] === true
  if (bug !== "no-role")
    for (const index of texts.keys())
      send({
        choices: [{ index, delta: { role: "assistant", content: "" }, finish_reason: null }],
        ...(continuous ? { usage: usage() } : {})
      })
  for (const chunk of called === undefined ? [] : toolChunks(called, bug)) send(chunk)
  if (include && bug === "usage-first") send({ choices: [], usage: usage() })
  for await (const { done, index, value } of step()) {
    const choice = done ? { index, delta: {}, finish_reason: value } : { index, delta: { content: value }, finish_reason: null }
    send({ choices: [choice], ...(bug === "usage-unasked" || continuous ? { usage: usage() } : {}) })
    if (done && bug === "finishes-twice") send({ choices: [choice] })
    if (done && bug === "goes-on-after-the-finish") send({ choices: [{ index, delta: { content: "more" } }] })
  }
  if (include && bug !== "usage-first") send({ choices: [], usage: usage() })
  if (bug !== "no-done") write(Buffer.from("data: [DONE]\n\n"))
  response.end(Buffer.concat(held))
}
