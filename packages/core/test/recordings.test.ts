import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import * as zlib from "node:zlib"
import { Anomalies, type Anomaly } from "../src/Anomaly.ts"
import type { ChatCompletion } from "../src/ChatCompletion.ts"
import { ChatCompletionAccumulator } from "../src/ChatCompletionAccumulator.ts"
import { abortedChoices, decodeCompletion } from "../src/contract/decode.ts"
import * as ErrorBody from "../src/ErrorBody.ts"
import { parseJson } from "../src/json/jsonText.ts"
import { isParadigmError } from "../src/ParadigmError.ts"
import { ChunkDecoder } from "../src/stream/ChunkDecoder.ts"

interface Exchange {
  readonly server: string
  readonly name: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly pieces: ReadonlyArray<string>
}

// Fields of an event or a body that the fold reads.
interface Said {
  readonly content?: string | null
  readonly reasoning?: string | null
  readonly reasoning_content?: string | null
  readonly tool_calls?: ReadonlyArray<{
    readonly index: number
    readonly id?: string | null
    readonly function: { readonly name?: string | null; readonly arguments?: string | null }
  }> | null
}
interface Body {
  readonly error?: string | { readonly message: string }
  readonly usage?: unknown
  readonly choices: ReadonlyArray<{
    readonly index: number
    readonly delta: Said
    readonly message: Said
    readonly finish_reason?: string | null
  }>
}

const exchanges = JSON.parse(
  zlib.brotliDecompressSync(fs.readFileSync(new URL("./data/recordings.json.br", import.meta.url))).toString()
) as ReadonlyArray<Exchange>

// The independent reading: JSON.parse per event, and a fold.

interface Read {
  choices: Array<{ text: string; reasoning: string; calls: Array<[id: string, name: string, args: string]>; finish: string | null }>
  usage: unknown
  error?: string
}

const wordsOf = ({ error }: Body): string => (typeof error === "string" ? error : (error?.message ?? ""))

const foldStream = (body: string): Read => {
  const read: Read = { choices: [], usage: undefined }
  for (const event of body.split("\n\n")) {
    const data = event
      .split("\n")
      .filter((line) => line.startsWith("data: "))
      .map((line) => line.slice(6))
      .join("\n")
    if (data === "" || data === "[DONE]") continue
    const value = JSON.parse(data) as Body
    if (value.error !== undefined) return { ...read, error: wordsOf(value) }
    read.usage = value.usage ?? read.usage
    for (const { delta, finish_reason, index } of value.choices) {
      const choice = (read.choices[index] ??= { text: "", reasoning: "", calls: [], finish: null })
      choice.text += delta.content ?? ""
      choice.reasoning += delta.reasoning ?? delta.reasoning_content ?? ""
      choice.finish = finish_reason ?? choice.finish
      for (const call of delta.tool_calls ?? []) {
        const known = (choice.calls[call.index] ??= ["", "", ""])
        known[0] = call.id ?? known[0]
        known[1] = call.function.name ?? known[1]
        known[2] += call.function.arguments ?? ""
      }
    }
  }
  return read
}

const readChoice = ({ finish_reason, message }: Body["choices"][number]): Read["choices"][number] => ({
  text: message.content ?? "",
  reasoning: message.reasoning ?? message.reasoning_content ?? "",
  calls: (message.tool_calls ?? []).map((call) => [call.id ?? "", call.function.name ?? "", call.function.arguments ?? ""]),
  finish: finish_reason ?? null
})

const foldWhole = (body: string): Read => {
  const value = JSON.parse(body) as Body
  if (value.error !== undefined) return { choices: [], usage: undefined, error: wordsOf(value) }
  return { choices: value.choices.map(readChoice), usage: value.usage }
}

// Our reading.

interface Ours {
  readonly read: Read
  readonly failure: string | undefined
  readonly anomalies: ReadonlyArray<Anomaly>
}

const fromCompletion = (completion: ChatCompletion | undefined): Read => ({
  choices: ((completion?.choices ?? []) as unknown as Body["choices"]).map(readChoice),
  usage: completion?.usage ?? undefined
})

const readStream = (pieces: ReadonlyArray<Uint8Array>): Ours => {
  const accumulator = new ChatCompletionAccumulator()
  const again = new ChatCompletionAccumulator()
  const decoder = new ChunkDecoder({ accumulator })
  for (const piece of pieces) {
    decoder.push(piece)
    for (const chunk of decoder.take()) again.add(chunk)
  }
  const end = Effect.runSync(Effect.result(decoder.eof()))
  // Folding the emitted chunks again gives the same.
  assert.strictEqual(JSON.stringify(again.completion), JSON.stringify(accumulator.completion))
  const error = Result.isFailure(end) && isParadigmError(end.failure) ? end.failure : undefined
  const read = fromCompletion(accumulator.completion)
  if (error?.reason._tag === "StreamFault") read.error = error.reason.detail
  return { read, failure: error?.reason._tag, anomalies: accumulator.anomalies.list }
}

const readWhole = (body: string): Ours => {
  const anomalies = new Anomalies()
  const value = parseJson(body)
  const fault = ErrorBody.fromEvent(value, body)
  if (fault !== undefined) return { read: { choices: [], usage: undefined, error: fault.detail }, failure: fault._tag, anomalies: [] }
  const completion = Result.getOrThrow(decodeCompletion(value, anomalies))
  const aborted = abortedChoices(completion.choices.map(({ finish_reason, index }) => [index, finish_reason]))
  return { read: fromCompletion(completion), failure: aborted.length > 0 ? "Aborted" : undefined, anomalies: anomalies.list }
}

// Differences from a plain fold, by exchange. A failure: the fold accepts the response. Anomalies: the repairs.
const abort = { failure: "Aborted", anomalies: [] }
const truncated = { failure: "StreamTruncated", anomalies: [] }
const anomalies = (...repairs: ReadonlyArray<string>) => ({ failure: undefined, anomalies: repairs })
const decisions: Readonly<Record<string, { readonly failure: string | undefined; readonly anomalies: ReadonlyArray<string> }>> = {
  // vLLM was stopped, and ended the responses with finish_reason "abort".
  "vllm-0.32-lifecycle term-default/stream": abort,
  "vllm-0.32-lifecycle term-default/stream-usage": abort,
  "vllm-0.32-lifecycle term-default/whole": abort,
  // vLLM was killed: no finish reason and no [DONE].
  "vllm-0.32-lifecycle kill/stream": truncated,
  "vllm-0.32-lifecycle kill/stream-usage": truncated,
  // [DONE] without a finish reason: these versions lose the last step of a tool call with it.
  "vllm-0.8.5-plain stream-tool-required": truncated,
  "vllm-0.8.5-plain stream-tool-cut": truncated,
  "vllm-0.9.2-plain stream-tool-required": truncated,
  "vllm-0.9.2-plain stream-tool-cut": truncated,
  "vllm-0.9.2-plain stream-tool-text-first": truncated,
  // A call without an id.
  "vllm-0.8.5-plain stream-tool-named": anomalies("tool-call-id"),
  // The second choice has no finish reason.
  "litellm-1.106.12 stream-n2": anomalies("unfinished"),
  "litellm-1.106.12 stream-n2-usage": anomalies("unfinished"),
  "litellm-1.106.12-faults stream-openai-n2": anomalies("unfinished"),
  // The prompt exceeds the context: a completion whose finish_reason is null.
  "ollama-0.33.0-rc2 error-too-long": anomalies("unfinished"),
  // Log probabilities without token, with null or -Infinity, or as `prob`.
  "mlx-lm-0.32.2-logprobs whole-logprobs-zero": anomalies("logprobs"),
  "mlx-lm-0.32.2-logprobs whole-logprobs-bias-huge": anomalies("logprobs"),
  "sglang-0.5.23-logprobs whole-logprobs-bias-huge": anomalies("logprobs"),
  "sglang-0.5.23-logprobs stream-logprobs-bias-huge": anomalies("logprobs"),
  "llamacpp-b11434-logprobs whole-post-sampling": anomalies("logprobs"),
  "llamacpp-b11434-more stream-post-sampling": anomalies("logprobs")
}

// The fold cannot read these: an error whose text is not escaped, and a number that is not JSON.
const unreadable: Readonly<Record<string, (read: Read) => void>> = {
  "transformers-5.24.0-more stream-error-quotes": ({ error }) =>
    assert.strictEqual(error, '`sequence_bias` has to be a dict with floats as values, but is {(1,): "it\'s"}.'),
  "mlx-lm-0.32.2-logprobs whole-logprobs-bias-huge": ({ choices }) =>
    assert.deepStrictEqual([choices.length, choices[0]?.finish], [1, "length"])
}

const accepted = exchanges.filter(({ status }) => status === 200)
const isStream = ({ headers }: Exchange) => headers["content-type"]?.startsWith("text/event-stream") === true
const keyOf = ({ name, server }: Exchange) => `${server} ${name}`
const utf8 = (text: string) => new TextEncoder().encode(text)

const normal = (read: Read): Read => ({
  ...read,
  // A body that begins with an error has no choices.
  choices: read.choices.map((choice) => ({ ...choice, calls: choice.calls.map(([id, name, args]) => [id || "made", name, args]) })),
  ...(read.error === undefined ? {} : { error: read.error.trim().slice(0, 500) || "the server did not say what" }),
  usage: read.usage ?? undefined
})

const check = (exchange: Exchange, { anomalies, failure, read }: Ours) => {
  const key = keyOf(exchange)
  const expected = decisions[key]
  const special = unreadable[key]
  const body = exchange.pieces.join("")
  if (special !== undefined) special(read)
  else {
    const fold = normal(isStream(exchange) ? foldStream(body) : foldWhole(body))
    const ours = normal(read)
    for (const choice of ours.choices) for (const call of choice.calls) if (call[0].startsWith("call_0_0_")) call[0] = "made"
    assert.deepStrictEqual(ours, fold)
  }
  const isFault = special === undefined ? read.error !== undefined : failure === "StreamFault"
  assert.strictEqual(failure, expected?.failure ?? (isFault ? "StreamFault" : undefined))
  assert.deepStrictEqual([...new Set(anomalies.map(({ repair }) => repair))] as ReadonlyArray<string>, expected?.anomalies ?? [])
}

describe("recorded responses", () => {
  const streams = accepted.filter(isStream)
  const wholes = accepted.filter((exchange) => !isStream(exchange))
  const servers = [...new Set(accepted.map(({ server }) => server))]

  it("are complete", () => {
    assert.strictEqual(exchanges.length, 2161)
    const keys = new Set(accepted.map(keyOf))
    for (const key of [...Object.keys(decisions), ...Object.keys(unreadable)]) assert.isTrue(keys.has(key), key)
  })

  it.each(servers)("of %s are read like an independent fold reads them", (server) => {
    const failures: Array<string> = []
    const attempt = (exchange: Exchange, read: () => Ours) => {
      try {
        check(exchange, read())
      } catch (error) {
        failures.push(`${keyOf(exchange)}: ${(error as Error).message}`)
      }
    }
    for (const exchange of streams) {
      if (exchange.server === server) attempt(exchange, () => readStream(exchange.pieces.map(utf8)))
    }
    for (const exchange of wholes) {
      if (exchange.server === server) attempt(exchange, () => readWhole(exchange.pieces.join("")))
    }
    assert.deepStrictEqual(failures, [])
  })

  it("are read the same when split at every byte", () => {
    const failures: Array<string> = []
    for (const exchange of streams) {
      const bytes = utf8(exchange.pieces.join(""))
      const whole = JSON.stringify(readStream([bytes]))
      // Reads of one byte cover every split. Larger reads cover the other paths of the decoder.
      for (const size of [1, 61]) {
        const reads = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size))
        if (JSON.stringify(readStream(reads)) !== whole) failures.push(`${keyOf(exchange)}, ${size} bytes a read`)
      }
    }
    assert.deepStrictEqual(failures, [])
  })

  it.each(servers)("of %s with an error status have the description of the server", (server) => {
    for (const exchange of exchanges) {
      if (exchange.server !== server || exchange.status === 200) continue
      const body = exchange.pieces.join("")
      const { status } = exchange
      const response = {
        status,
        headers: exchange.headers,
        body,
        model: "alfred-4.2",
        url: new URL("http://127.0.0.1/v1/chat/completions"),
        now: 0
      }
      const reason = ErrorBody.toReason(response)
      let words: unknown
      try {
        const { detail, error, message } = JSON.parse(body) as Record<string, unknown>
        const nested = typeof error === "object" && error !== null && "message" in error ? error.message : undefined
        words = nested ?? (typeof detail === "string" ? detail : undefined) ?? message ?? error
      } catch {
        words = body
      }
      if (typeof words === "string" && words.trim() !== "") assert.include(reason.message, words.slice(0, 300), keyOf(exchange))
    }
  })
})
