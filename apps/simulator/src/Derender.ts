/**
 * `/v1/chat/completions/derender`: the token ids of an engine to an answer, whole or chunk by chunk.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { type Choice, generate, grammarOf, type Limits, type Speaker, Steps } from "./Answer.ts"
import * as ChatChunks from "./ChatChunks.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import { outOfVocabulary } from "./Completions.ts"
import { badRequest, type Refusal } from "./ErrorReply.ts"
import * as Ids from "./Ids.ts"
import { type Body, fullUsageOf, isNatural, isRecord, list, naturals, record } from "./ScaleOut.ts"

const unlimited: Limits = { maxTokens: Infinity, minTokens: 0, stop: [], stopTokens: [], includeStop: false, ignoreEnd: false }

const chatRequestOf = (value: unknown): ChatRequest => ({ messages: [], ...record(value) })

// Ids that another engine made, as this server would have read them.
const stepsOf = (ids: ReadonlyArray<number>, request: ChatRequest, speaker: Speaker): Steps =>
  new Steps(generate(ids, speaker.codec, unlimited), grammarOf(request, speaker.profile), speaker.codec)

/**
 * What `/v1/chat/completions/derender` answers to a complete answer of `/inference/v1/generate`.
 *
 * @category rendering
 * @since 0.1.0
 */
export const derender = (value: unknown, speaker: Speaker, model: string, now: number): Result.Result<string, Refusal> => {
  const body = record(value)
  const refusal = refuseDerender(body, speaker)
  if (refusal !== undefined) return Result.fail(refusal)
  const response = record(body["generate_response"])
  const request = chatRequestOf(body["chat_request"])
  const choices: Array<Choice> = []
  for (const [index, item] of list(response["choices"]).entries()) {
    const choice = record(item)
    const ids = naturals(choice["token_ids"])
    if (ids === undefined || ids.length === 0) return Result.fail(badRequest(`choice ${index} has empty or null token_ids`))
    const wrong = outOfVocabulary(ids)
    if (wrong !== undefined) return Result.fail(wrong)
    choices.push({
      steps: stepsOf(ids, request, speaker),
      finish: (choice["finish_reason"] ?? "stop") as Choice["finish"],
      stopReason: (choice["stop_reason"] ?? null) as Choice["stopReason"]
    })
  }
  const promptTokens = Array.from({ length: isNatural(body["prompt_tokens"]) ? body["prompt_tokens"] : 0 }, () => 0)
  const id = typeof response["request_id"] === "string" ? response["request_id"] : ""
  const answer = { id, created: Math.floor(now / 1000), model, promptTokens, choices }
  const profile = { ...speaker.profile, fingerprint: null }
  const writing = { request: { ...request, prompt_logprobs: null }, profile, codec: speaker.codec }
  return Result.succeed(ChatChunks.whole(answer, writing))
}

const refuseDerender = (body: Body, { profile }: Speaker): Refusal | undefined => {
  const missing = (name: string): Refusal => ({
    kind: "form",
    problems: [{ type: "missing", path: [name], message: "Field required", input: body }]
  })
  const isStream = body["stream"] === true
  const name = isStream ? "generate_chunk" : "generate_response"
  if (!isRecord(body[name])) return missing(name)
  const state = body["stream_state"]
  if (isRecord(state)) {
    const sum = list(state["output_chunk_lens"]).reduce<number>((sum, length) => sum + Number(length), 0)
    const ids = list(state["output_token_ids"]).length
    if (sum !== ids) {
      const message = `Value error, output_chunk_lens must sum to len(output_token_ids) (got sum=${sum}, len(output_token_ids)=${ids})`
      return { kind: "form", problems: [{ type: "value_error", path: ["stream_state"], message, input: state }] }
    }
  }
  const hasParser = profile.reasoning !== "none"
  if (hasParser && !isRecord(body["chat_request"])) {
    return badRequest(
      "chat_request is required when a tool or reasoning parser is configured because plain detokenization would leak raw parser markup into content."
    )
  }
  if (isStream && hasParser && naturals(body["prompt_token_ids"]) === undefined) {
    return badRequest(
      "prompt_token_ids is required when a tool or reasoning parser is configured. Without it parse_delta cannot tell whether the prompt left reasoning open (e.g. a chat template that pre-opens <think>) and would misclassify reasoning content as plain content."
    )
  }
  if (isStream && list(record(body["generate_chunk"])["choices"]).length > 1) {
    return badRequest("derender_chat_stream expects at most one choice per chunk (got more).")
  }
}

/**
 * What `/v1/chat/completions/derender` answers to one chunk of a stream: the chunk, and the state for the next call.
 *
 * All ids so far are read again, as vLLM does.
 *
 * @category rendering
 * @since 0.1.0
 */
export const derenderChunk = (value: unknown, speaker: Speaker, model: string, now: number): Result.Result<string, Refusal> => {
  const body = record(value)
  const refusal = refuseDerender(body, speaker)
  if (refusal !== undefined) return Result.fail(refusal)
  const chunk = record(body["generate_chunk"])
  const request = chatRequestOf(body["chat_request"])
  const state = record(body["stream_state"])
  const before = naturals(state["output_token_ids"]) ?? []
  const [item] = list(chunk["choices"])
  const choice = isRecord(item) ? item : undefined
  const ids = naturals(choice?.["token_ids"]) ?? []
  const wrong = outOfVocabulary([...before, ...ids])
  if (wrong !== undefined) return Result.fail(wrong)
  const callIds = list(state["last_tool_call_ids"]).map(String)
  const { delta, hasCalls } = deltaOf(before, ids, request, speaker, callIds)
  const isTooled = hasCalls || state["tools_streamed"] === true
  const finish = choice?.["finish_reason"] ?? null
  const made = {
    index: choice?.["index"] ?? 0,
    delta: { role: state["role_sent"] === true ? null : "assistant", ...delta },
    logprobs: null,
    finish_reason: isTooled && finish === "stop" ? "tool_calls" : finish,
    stop_reason: choice?.["stop_reason"] ?? null,
    token_ids: request.return_token_ids === true && request.include_reasoning !== false ? ids : null
  }
  const usage = chunk["usage"]
  const counted = isRecord(usage)
    ? fullUsageOf(
        isNatural(body["prompt_tokens"]) ? body["prompt_tokens"] : Number(usage["prompt_tokens"] ?? 0),
        Number(usage["completion_tokens"] ?? 0)
      )
    : null
  return Result.succeed(
    JSON.stringify({
      chunk: {
        id: chunk["request_id"] ?? "",
        object: "chat.completion.chunk",
        created: Math.floor(now / 1000),
        model,
        choices: choice === undefined ? [] : [made],
        usage: counted,
        system_fingerprint: null,
        prompt_token_ids: null,
        prompt_text: null,
        metrics: null
      },
      stream_state: {
        prev_tokens: [],
        prefix_offset: 0,
        read_offset: 0,
        role_sent: state["role_sent"] === true || choice !== undefined,
        logprob_context_token_ids: [],
        logprob_text_offset: 0,
        output_token_ids: [...before, ...ids],
        output_chunk_lens: [...list(state["output_chunk_lens"]), ...(ids.length > 0 ? [ids.length] : [])],
        tools_streamed: isTooled,
        last_tool_call_ids: callIds
      }
    })
  )
}

// What the new ids add to the message, with the ids of new calls put on the list.
const deltaOf = (
  before: ReadonlyArray<number>,
  ids: ReadonlyArray<number>,
  request: ChatRequest,
  speaker: Speaker,
  callIds: Array<string>
): { readonly delta: Body; readonly hasCalls: boolean } => {
  const all = [...before, ...ids]
  // The last token says what waited, so an end that is none must not be read as one.
  const steps = stepsOf(all.at(-1) === speaker.codec.end ? all : [...all, speaker.codec.end], request, speaker)
  let content = ""
  let reasoning = ""
  const calls: Array<object> = []
  for (const said of Array.from(steps, ({ says }) => says)
    .slice(before.length, all.length)
    .flat()) {
    if (said.kind === "content") content += said.text
    else if (said.kind === "reasoning") reasoning += said.text
    else if (said.kind === "call") {
      const id = (callIds[said.index] ??= Ids.make(speaker.profile.ids.call))
      calls.push({ id, type: "function", index: said.index, function: { name: said.name, arguments: null } })
    } else if (said.kind === "arguments")
      calls.push({ id: null, type: null, index: said.index, function: { name: null, arguments: said.text } })
  }
  const shown = request.include_reasoning === false ? "" : reasoning
  const delta = { content: content || null, reasoning: shown || null, ...(calls.length > 0 ? { tool_calls: calls } : {}) }
  return { delta, hasCalls: calls.length > 0 }
}
