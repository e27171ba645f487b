/**
 * Every recorded exchange is asked again, of the simulator in the profile of its server, with the recorded text scripted.
 *
 * Ids, times, log probabilities and numbers of tokens are aside, as is how a text is divided: the tokens are others. Older servers join
 * tokens when their reader lags; such pieces are taken apart before the comparison.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Tokenizer from "@paradigm-effect/simulator/Tokenizer"
import * as fs from "node:fs"
import * as http from "node:http"
import * as zlib from "node:zlib"

type Json = { readonly [key: string]: unknown }

interface Exchange {
  readonly server: string
  readonly name: string
  readonly request: Json
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const exchanges = JSON.parse(
  zlib.brotliDecompressSync(fs.readFileSync(new URL("./data/recordings.json.br", import.meta.url))).toString()
) as ReadonlyArray<Exchange>

const apiKey = "sk-recorded"

const isStream = ({ body, headers }: Pick<Exchange, "headers" | "body">) =>
  headers["content-type"]?.startsWith("text/event-stream") === true || body.startsWith("data:")

const record = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {})
const list = (value: unknown): ReadonlyArray<Json> => (Array.isArray(value) ? value.map(record) : [])
const text = (value: unknown): string => (typeof value === "string" ? value : "")

const eventsOf = (body: string): ReadonlyArray<string> =>
  body
    .split("\n\n")
    .filter((event) => event !== "" && !event.startsWith(":"))
    .map((event) => event.replace(/^data: /, ""))

// What a message said, whole or in pieces.
interface Said {
  reasoning: string
  content: string
  calls: Array<{ name: string; args: string }>
  finish: unknown
}

const fold = (body: string, streamed: boolean): ReadonlyArray<Said> => {
  const choices: Array<Said> = []
  const bodies = streamed ? eventsOf(body).filter((event) => event !== "[DONE]") : [body]
  for (const chunk of bodies.map((event) => record(JSON.parse(event)))) {
    for (const choice of list(chunk["choices"])) {
      const said = (choices[Number(choice["index"])] ??= { reasoning: "", content: "", calls: [], finish: null })
      const message = record(choice["delta"] ?? choice["message"])
      said.content += text(message["content"])
      said.reasoning += text(message["reasoning"] ?? message["reasoning_content"])
      for (const [at, call] of list(message["tool_calls"]).entries()) {
        const made = record(call["function"])
        const known = (said.calls[Number(call["index"] ?? at)] ??= { name: "", args: "" })
        known.name = text(made["name"]) || known.name
        known.args += text(made["arguments"])
      }
      said.finish = choice["finish_reason"] ?? said.finish
    }
  }
  return choices
}

// Joined tokens hide the blanks after arguments.
const trimmed = (choices: ReadonlyArray<Said>) =>
  choices.map((said) => ({ ...said, calls: said.calls.map(({ args, name }) => ({ name, args: args.trimEnd() })) }))

const keyOf = (request: Json): string => {
  const messages = list(request["messages"])
  const last = messages.at(-1)
  return JSON.stringify([last?.["role"], last?.["content"], Array.isArray(request["tools"]) && request["tools"].length > 0])
}

const written = ({ args, name }: Said["calls"][number]) => `<tool_call>\n{"name": "${name}", "arguments": ${args}}\n</tool_call>`

// What the recorded model always says to a prompt: markers and all, as servers without parsers show it.
const spoken = new Map<string, string>()
for (const { body, name, request, server, status } of exchanges) {
  if (server !== "vllm-0.32-plain" || status !== 200 || !name.startsWith("whole") || request["max_tokens"] !== undefined) continue
  if (request["response_format"] !== undefined || request["structured_outputs"] !== undefined) continue
  const [said] = fold(body, false)
  if (said === undefined || spoken.has(keyOf(request)) || said.finish === "length") continue
  spoken.set(keyOf(request), said.content + said.calls.map(written).join("\n"))
}

const isForced = ({ tool_choice }: Json) => tool_choice !== undefined && tool_choice !== "none" && tool_choice !== "auto"

// Up to 0.19, required calls are written as a list, and of a named one the arguments alone.
const forced = (said: Said, request: Json): string =>
  request["tool_choice"] === "required"
    ? `[${said.calls.map(({ args, name }) => `{"name": "${name}", "parameters": ${args}}`).join(", ")}]`
    : (said.calls[0]?.args ?? "")

const isOld = (server: string) => /^vllm-0\.([89]|1)/.test(server)

const rawOf = (exchange: Exchange): string => {
  const { body, request, server } = exchange
  const known = spoken.get(keyOf(request))
  const isConstrained = ["response_format", "structured_outputs", "guided_choice", "logit_bias"].some((name) => request[name] !== undefined)
  const isFree = request["temperature"] !== 0
  if (known !== undefined && !isForced(request) && !isConstrained && !isFree) return known
  const [said] = exchange.status === 200 && body.includes('"choices"') ? fold(body, isStream(exchange)) : []
  if (isForced(request) && isOld(server) && (said === undefined || (said.calls.length === 0 && said.reasoning + said.content === ""))) {
    const call = '[{"name": "get_weather", "parameters": {"city": "Paris"'
    return body.includes("parsing a list") ? `${call}}}` : call.slice(0, -2)
  }
  if (said === undefined) return known ?? "Hello! How can I help you today?"
  if (isForced(request) && said.calls.length > 0 && isOld(server)) return forced(said, request)
  return said.reasoning + said.content + said.calls.map(written).join("\n")
}

// Shapes.

const idShape = (id: unknown) =>
  text(id)
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(_tool_call_\d)?$/, "<uuid>")
    .replace(/([0-9a-f]{16,32}|[0-9A-Za-z]{32}|(?<=call_)[0-9a-z]{8})$/, (digits) => `<${digits.length}>`)
    .replace(/(?<=chatcmpl-)\d{1,3}$/, "<3>")

const entryShape = (entry: Json): unknown => ({
  ...entry,
  token: "…",
  logprob: 0,
  bytes: "…",
  ...(entry["top_logprobs"] === undefined ? {} : { top_logprobs: list(entry["top_logprobs"]).map(entryShape) })
})

const mapValues = (value: Json, shape: (value: unknown, key: string) => unknown): Json =>
  Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner, key)]))

const usageShape = (usage: unknown): unknown =>
  typeof usage === "object" && usage !== null ? mapValues(usage as Json, usageShape) : typeof usage === "number" ? 0 : usage

const piece = (value: unknown) => (typeof value === "string" ? (value === "" ? "" : "…") : value)

const messageShape = (message: Json, texts: boolean): Json =>
  mapValues(message, (value, key) => {
    if (key === "content" || key === "reasoning" || key === "reasoning_content") return texts ? value : piece(value)
    if (key !== "tool_calls") return value
    return list(value).map((call) =>
      mapValues(call, (inner, field) => {
        if (field === "id") return idShape(inner)
        if (field !== "function") return inner
        return mapValues(record(inner), (part, name) => (name === "arguments" && !texts ? piece(part) : part))
      })
    )
  })

const choiceShape = (choice: Json, texts: boolean): Json =>
  mapValues(choice, (value, key) => {
    if (key === "delta" || key === "message") return messageShape(record(value), texts)
    if (key === "logprobs" && value !== null) {
      const [first] = list(record(value)["content"])
      return { content: [entryShape(first ?? {})] }
    }
    if (key === "token_ids" && value !== null) return "ids"
    if (key === "provider_specific_fields") return choiceShape(record(value), texts)
    if (key === "matched_stop" && typeof value === "number") return 0
    return value
  })

const bodyShape = (body: Json, texts: boolean): Json =>
  mapValues(body, (value, key) => {
    if (key === "id") return idShape(value)
    if (key === "created") return 0
    if (key === "choices") return list(value).map((choice) => choiceShape(choice, texts))
    if (key === "usage" || key === "timings") return usageShape(value)
    if (key === "metadata") return Object.keys(record(value))
    if (key === "system_fingerprint") return text(value).replace(/-Linux.*/, "-Linux")
    if (key === "prompt_token_ids" && value !== null) return "ids"
    if (key === "prompt_logprobs" && Array.isArray(value)) {
      return value
        .slice(0, 2)
        .map((place) => (place === null ? null : Object.values(record(place)).map((entry) => Object.keys(record(entry)))))
    }
    if (key === "permission" || key === "data") return list(value).map((inner) => bodyShape(inner, texts))
    if (key === "tokens") return "ids"
    if (key === "count") return 0
    if (key === "prompt") return "…"
    return value
  })

// What several tokens at once brought, as if it had come apart: reasoning before content, and the last piece before the finish.
const apart = (chunk: Json): ReadonlyArray<Json> => {
  const [choice] = list(chunk["choices"])
  if (choice === undefined) return [chunk]
  const delta = record(choice["delta"])
  const { stop_reason: _, ...running } = choice
  const { system_fingerprint: __, ...head } = chunk
  const alone = (only: Json): Json => ({ ...head, choices: [{ ...running, finish_reason: null, delta: only }] })
  const { content, reasoning_content } = delta
  if (reasoning_content === "…" && content !== undefined) {
    return [alone({ reasoning_content }), ...(content === null ? [] : apart({ ...chunk, choices: [{ ...choice, delta: { content } }] }))]
  }
  const isText = Object.values(delta).includes("…")
  if (choice["finish_reason"] == null || choice["finish_reason"] === "length" || !(isText || delta["tool_calls"] !== undefined))
    return [chunk]
  const key = Object.keys(delta).find((name) => delta[name] === "…") ?? "content"
  return [alone(delta), { ...chunk, choices: [{ ...choice, delta: { [key]: "" } }] }]
}

// Runs of chunks of one kind are one; empty pieces between pieces of text are how tokens fell.
const empty = /"delta":\{"(content|reasoning|reasoning_content)":""/
const wideEmpty = /"delta":\{("(content|reasoning|reasoning_content)":""|\})/
const streamShape = (body: string): ReadonlyArray<string> => {
  const isWide = /[^\0-\x7f]/.test(body)
  const byChoice = new Map<number, Array<string>>()
  const others: Array<string> = []
  for (const event of eventsOf(body)) {
    if (!event.startsWith("{") || !event.includes('"choices"')) {
      others.push(numbers(event))
      continue
    }
    for (const chunk of apart(bodyShape(record(JSON.parse(event)), false))) {
      const [choice] = list(chunk["choices"])
      if (choice === undefined) {
        others.push(JSON.stringify(chunk))
        continue
      }
      const run = byChoice.get(Number(choice["index"])) ?? []
      byChoice.set(Number(choice["index"]), run)
      const shape = JSON.stringify(chunk)
      const isEmptyText = choice["finish_reason"] === null && (isWide ? wideEmpty : empty).test(shape)
      if (run.at(-1) !== shape && !isEmptyText) run.push(shape)
    }
  }
  return [...[...byChoice.keys()].sort((a, b) => a - b).flatMap((index) => byChoice.get(index) ?? []), ...others]
}

interface Answered {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

const send = (url: string, request: Json): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const { $get, $headers, $key, $path, $raw, $type, ...body } = request
    const path = text($get ?? $path ?? "/v1/chat/completions")
    const key = $key ?? apiKey
    const headers = {
      ...record($headers),
      ...($type === "" || $get !== undefined ? {} : { "content-type": text($type ?? "application/json") }),
      ...(key === "" ? {} : { authorization: `Bearer ${text(key)}` })
    }
    const call = http.request(url + path, { method: $get === undefined ? "POST" : "GET", headers, agent: false }, (response) => {
      let received = ""
      response.setEncoding("utf8")
      response.on("data", (part: string) => (received += part))
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received }))
    })
    call.on("error", reject)
    call.end(
      $get !== undefined
        ? undefined
        : $raw === undefined
          ? JSON.stringify(body)
          : Buffer.from(text($raw), $type === undefined || !/é/.test(text($raw)) ? "utf8" : "latin1")
    )
  })

// Cut at the same place, in tokens of the simulator.
const withLimit = (exchange: Exchange): Json => {
  const { body, request } = exchange
  if (exchange.name === "error-logit-bias") return { ...request, logit_bias: { [Tokenizer.vocabularySize]: 1 } }
  if (typeof request["max_tokens"] !== "number") return request
  if (exchange.name === "whole-tool-required" && isOld(exchange.server))
    return { ...request, max_tokens: Tokenizer.encode(rawOf(exchange)).length }
  if (exchange.status !== 200) return request
  const [said] = body.includes('"choices"') ? fold(body, isStream(exchange)) : []
  if (said === undefined) return request
  const raw = rawOf(exchange)
  const shown = said.content || said.reasoning
  const isCut = body.includes('"length"') || (isForced(request) && body.includes("\\n\\n\\n"))
  if (exchange.name === "stream-tool-cut" && shown === "") return request
  if (!isCut) return { ...request, max_tokens: Tokenizer.encodeSpecial(raw).length + 1 }
  if (isForced(request) && said.calls.length > 0) return { ...request, max_tokens: Tokenizer.encodeSpecial(raw).length }
  if (said.calls.length > 0 || shown === "") return request
  const kept = raw.slice(0, raw.indexOf(shown) + shown.length)
  return { ...request, max_tokens: Tokenizer.encodeSpecial(kept).length }
}

// A model that rambles on to the limit of its server.
const blanks = (value: string) => value.replaceAll(/(\\n){40,}/g, "\\n…")
// The union of all parts has a long name that changes with each version.
const numbers = (value: string) =>
  value
    .replaceAll(/\d+/g, "N")
    .replaceAll(/list\[union\[[^\]]*\]\]/g, "list[union[...]]")
    .replaceAll(/input_value='(\[|<).*?', input_type=str/g, "input_value='…', input_type=str")

const shapeOf = ({ body, headers, status }: Answered | Exchange, isOther: boolean): Json => {
  const kept = Object.fromEntries(
    ["content-type", "vary", "allow", "transfer-encoding", "endpoint-load-metrics"].flatMap((name) =>
      headers[name] === undefined || (isOther && name === "transfer-encoding")
        ? []
        : [[name, isOther && name === "content-type" ? text(headers[name]).split(";")[0] : headers[name]]]
    )
  )
  const shown = { status, headers: kept }
  if (isStream({ headers: headers as Exchange["headers"], body })) {
    return { ...shown, texts: body.includes('"choices"') ? trimmed(fold(body, true)) : [], chunks: streamShape(body) }
  }
  if (!body.startsWith("{")) return { ...shown, body }
  const parsed = record(JSON.parse(body))
  return { ...shown, body: status === 200 ? blanks(JSON.stringify(bodyShape(parsed, true))) : numbers(body) }
}

const profileOf = (server: string) =>
  server.replace(
    /^vllm-(0\.\d+)(\.\d+)?-(plain|reasoning|logprobs)$/,
    (_, version: string, __, kind: string) => `vllm-${version}${kind === "plain" ? "" : "-reasoning"}`
  )

/** What is not imitated, by exchange and with the reason. */
const lag = "the recorded server lost pieces of calls where it joined tokens"
const disobeyed = "the recorded model did not write what it had to, since its parser of reasoning delayed the constraint"
const strips = "the server strips blanks from the ends of texts"
const stops = "the server treats stop strings in a way of its own"
const group = "the proxy names its group of models in its errors"
const notImitated: Readonly<Record<string, string>> = {
  "ollama-0.33.0-rc2 whole-reasoning": strips,
  "ollama-0.33.0-rc2 stream-reasoning": strips,
  "transformers-5.24.0 whole-reasoning": strips,
  "transformers-5.24.0 stream-tool-text-first": strips,
  "transformers-5.24.0 whole-tool-text-first": strips,
  "transformers-5.24.0 whole-stop": stops,
  "transformers-5.24.0 stream-stop": stops,
  "mlx-lm-0.32.2 whole-stop": stops,
  "mlx-lm-0.32.2 stream-stop": stops,
  "llamacpp-b11434 stream-stop": stops,
  "litellm-1.106.12 extra-stop-empty": group,
  "litellm-1.106.12 extra-content-null": "the proxy mends messages before it hands them on",
  "litellm-1.106.12 extra-stops-5": "the proxy leaves out the fifth stop string",
  "litellm-1.106.12 error-key": "the proxy has Vary in the answer to a wrong key, too",
  "litellm-1.106.12 request-id": "the proxy takes no id from its client",
  "vllm-0.11.0-plain stream-tool-auto": lag,
  "vllm-0.11.0-plain stream-tool-text-first": lag,
  "vllm-0.9.2-plain stream-tool-two": lag,
  "vllm-0.9.2-plain stream-tool-text-first": lag,
  "vllm-0.19.1-reasoning whole-tool-required": disobeyed,
  "vllm-0.19.1-reasoning whole-tool-named": disobeyed,
  "vllm-0.11.0-reasoning stream-tool-required": disobeyed,
  "vllm-0.11.0-reasoning whole-tool-required": disobeyed,
  "vllm-0.11.0-reasoning whole-tool-named": disobeyed,
  "vllm-0.9.2-reasoning stream-tool-required": disobeyed,
  "vllm-0.9.2-reasoning whole-tool-required": disobeyed,
  "vllm-0.9.2-reasoning whole-tool-named": disobeyed,
  "vllm-0.8.5-reasoning stream-tool-required": disobeyed,
  "vllm-0.8.5-reasoning whole-tool-required": disobeyed,
  "vllm-0.8.5-reasoning whole-tool-named": disobeyed
}

// What is compared of other servers: what they complete and stream, not how they refuse.
const otherNames =
  /^(whole|stream|stream-usage|(whole|stream)-(emoji|french|code|count|count-max-tokens|reasoning|stop|tool-(auto|two|text-first|none-called|cut|result)|parts))$/
// What else is compared of LiteLLM, with vLLM behind it.
const litellmNames =
  /^((whole|stream)-(n2|n2-usage|token-ids|structured-choice|json-object|tool-(think|required|named|choice-none))|stream-reasoning-(cut|excluded)|stream-(stop-token|usage-continuous|continue)|error-(unknown-model|unknown-model-stream|404|405|key)|request-id|session-id|extra-.*)$/
const others: Readonly<Record<string, string>> = {
  "sglang-0.5.23": "sglang",
  "ollama-0.33.0-rc2": "ollama",
  "llamacpp-b11434": "llamacpp",
  "mlx-lm-0.32.2": "mlx-lm",
  "transformers-5.24.0": "transformers",
  "litellm-1.106.12": "litellm"
}

const isCompared = ({ name, server }: Exchange) => otherNames.test(name) || (server.startsWith("litellm") && litellmNames.test(name))

const servers = [...new Set(exchanges.map(({ server }) => server))].filter((server) => server.startsWith("vllm") || server in others)

describe("the recorded exchanges", () => {
  it.each(servers)("of %s are answered in the same shape", async (server) => {
    await using simulator = await Simulator.start({
      profile: others[server] ?? profileOf(server),
      apiKey,
      maxModelLen: 1024,
      models: ["alfred-4.2", "/models/alfred-4.2"].slice(0, server in others ? 2 : 1)
    })
    const failures: Array<string> = []
    for (const exchange of exchanges) {
      if (exchange.server !== server || (server in others && !isCompared(exchange))) continue
      const key = `${server} ${exchange.name}`
      simulator.config({ script: [{ answer: rawOf(exchange) }] })
      const answered = await send(simulator.url, withLimit(exchange))
      try {
        assert.deepStrictEqual(shapeOf(answered, server in others), shapeOf(exchange, server in others))
        if (key in notImitated) failures.push(`${key} is imitated: take it from the list`)
      } catch (error) {
        if (!(key in notImitated)) failures.push(`${key}: ${(error as Error).message}`)
      }
    }
    assert.deepStrictEqual(
      failures.map((failure) => failure.slice(0, 2000)),
      []
    )
  })
})
