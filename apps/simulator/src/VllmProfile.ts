/**
 * The versions of vLLM, each with and without a parser of reasoning.
 *
 * @since 0.1.0
 */
import { badRequest, python } from "./ErrorReply.ts"
import type { Errors, Profile, Words } from "./Profile.ts"

const charactersPerToken = 13

const words = {
  noMessages: "Cannot apply chat template to an empty conversation. Provide at least one message.",
  pydantic: "2.14",
  end: "",
  unknownModel: (model, models) => `The model \`${model}\` does not exist. Valid aliases: ${models.join(", ")}.`,
  notMultimodal: (model) => `${model} is not a multimodal model`,
  biasKey: (keys) =>
    badRequest(`logit_bias contains key(s) that cannot be converted to integer token IDs: ${python(keys)}`, "logit_bias", keys),
  biasIds: (ids, size) =>
    badRequest(`token_id(s) ${python(ids)} in logit_bias contain out-of-vocab token ids. Vocabulary size: ${size}`, "logit_bias", ids),
  manyLogprobs: (asked, most) =>
    badRequest(`Requested sample logprobs of ${asked}, which is greater than max allowed: ${most}`, "logprobs", asked),
  badSchemaType: (type) => badRequest(`Grammar error: Invalid type: ${type}`),
  length: ({ asked, characters, maxModelLen, tokens }) => {
    const limit = `This model's maximum context length is ${maxModelLen} tokens. However, `
    const most = maxModelLen * charactersPerToken
    if (asked !== undefined && asked > maxModelLen) {
      const message = `max_tokens=${asked} cannot be greater than max_model_len=${maxModelLen}. Please request fewer output tokens.`
      return badRequest(message, "max_tokens", asked)
    }
    if (tokens > maxModelLen && characters() > most) {
      const upper = `(more than ${most} characters, which is the upper bound for ${maxModelLen} input tokens)`
      const message = `${limit}your prompt contains ${characters()} characters ${upper}. Please reduce the length of the input prompt.`
      return badRequest(message, "input_text", characters())
    }
    if (tokens > maxModelLen) {
      const exceeds = `your prompt contains ${tokens} input tokens, which exceeds this limit even without any output tokens. `
      return badRequest(`${limit}${exceeds}Please reduce the length of the input prompt.`, "input_tokens", tokens)
    }
    if (asked !== undefined && tokens + asked > maxModelLen) {
      const sum = `you requested ${asked} output tokens and your prompt contains ${tokens} input tokens, for a total of ${tokens + asked} tokens. `
      const advice = "Please reduce the length of the input prompt or the number of requested output tokens."
      return badRequest(`${limit}${sum}${advice}`, "input_tokens", tokens)
    }
  }
} satisfies Words

const errors: Errors = {
  shape: "nested",
  bodyType: "Bad Request",
  problems: "lines",
  checks: "sentence",
  params: true,
  media: 400,
  crash: "message",
  missingBody: "form",
  missingSchema: "check",
  isStrict: true,
  knowsHarmony: true,
  words
}

const vllm032: Profile = {
  name: "vllm-0.32",
  version: "0.32.0",
  fingerprint: "vllm-0.32.0-1fb56e7d",
  ids: { completion: { prefix: "chatcmpl-", digits: 16 }, call: { prefix: "chatcmpl-tool-", digits: 16 } },
  keys: {
    completion:
      "id object created model choices service_tier system_fingerprint usage prompt_logprobs prompt_token_ids prompt_text " +
      "kv_transfer_params ec_transfer_params metrics",
    choice: "index message logprobs finish_reason stop_reason token_ids routed_experts",
    message: "role content refusal annotations audio function_call tool_calls? reasoning",
    callMessage: "role content refusal annotations audio function_call tool_calls? reasoning",
    usage: "prompt_tokens total_tokens completion_tokens prompt_tokens_details completion_tokens_details",
    roleChunk: "id object created model choices usage? prompt_token_ids prompt_text",
    chunk: "id object created model choices usage?",
    callChunk: "id object created model choices usage?",
    finishChunk: "id object created model choices usage? system_fingerprint?",
    usageChunk: "id object created model choices usage system_fingerprint?",
    roleChoice: "index delta logprobs finish_reason",
    chunkChoice: "index delta logprobs finish_reason token_ids",
    finishChoice: "index delta logprobs finish_reason stop_reason token_ids",
    runningUsage: "prompt_tokens total_tokens completion_tokens completion_tokens_details",
    streamUsage: "prompt_tokens total_tokens completion_tokens completion_tokens_details?",
    textDelta: "content? reasoning?",
    toolTextDelta: "content? reasoning?",
    callDelta: "content tool_calls",
    roleDelta: "role content",
    finishDelta: "",
    call: "id type index function",
    wholeCall: "id type function",
    function: "name arguments"
  },
  reasoningField: "reasoning",
  reasoning: "none",
  canExcludeReasoning: true,
  marksExcluded: true,
  callsEndReasoning: true,
  calls: {
    followReasoning: false,
    isLate: false,
    trims: true,
    forced: "native",
    isParsed: true,
    arguments: "raw",
    pieces: "apart",
    forcedPieces: "together",
    finish: { named: "stop", required: "tool_calls", streamedRequired: "tool_calls", streamedNamed: "stop" },
    cut: "length",
    namedCut: "length",
    cutList: "none"
  },
  stream: {
    role: "own",
    roleContent: "",
    blankContent: false,
    fingerprint: "last",
    finishAlone: false,
    usage: "asked",
    usageObject: "chat.completion.chunk",
    usageHasChoice: false,
    endsFirstOnly: false,
    done: true,
    doneAfterError: true,
    json: "compact",
    held: "nothing",
    emptyDeltas: true,
    finish: "empty",
    parsedFinish: "empty",
    cutFinish: "empty",
    undercounts: false
  },
  blankMessage: false,
  dropsBlankContent: true,
  tokenIds: true,
  tokenTexts: true,
  reportsCached: false,
  acceptsAnyModel: false,
  maxChoices: Infinity,
  reportsLoad: true,
  logprobs: { tokens: "decoded", end: "name", half: "nothing" },
  structuredOutputs: true,
  guided: false,
  errors,
  headers: { vary: "Origin" }
}

/**
 * The newest version, without a parser of reasoning.
 *
 * @category profiles
 * @since 0.1.0
 */
export const newest: Profile = vllm032

const vllm019: Profile = {
  ...vllm032,
  name: "vllm-0.19",
  version: "0.19.1",
  fingerprint: null,
  keys: {
    ...vllm032.keys,
    completion: "id object created model choices service_tier system_fingerprint usage prompt_logprobs prompt_token_ids kv_transfer_params",
    choice: "index message logprobs finish_reason stop_reason token_ids",
    message: "role content refusal annotations audio function_call tool_calls reasoning",
    callMessage: "role content refusal annotations audio function_call tool_calls reasoning",
    usage: "prompt_tokens total_tokens completion_tokens prompt_tokens_details",
    roleChunk: "id object created model choices usage? prompt_token_ids",
    finishChunk: "id object created model choices usage?",
    usageChunk: "id object created model choices usage",
    runningUsage: "prompt_tokens total_tokens completion_tokens",
    streamUsage: "prompt_tokens total_tokens completion_tokens",
    toolTextDelta: "content? reasoning? tool_calls"
  },
  canExcludeReasoning: false,
  callsEndReasoning: false,
  calls: {
    ...vllm032.calls,
    followReasoning: true,
    forced: "json",
    finish: { named: "stop", required: "tool_calls", streamedRequired: "tool_calls", streamedNamed: "stop" },
    cut: "tool_calls"
  },
  stream: { ...vllm032.stream, held: "text", emptyDeltas: false, finish: "text", parsedFinish: "empty" },
  errors: {
    ...errors,
    problems: "trace",
    checks: "problem",
    missingBody: "crash",
    isStrict: false,
    words: {
      ...words,
      noMessages: "list index out of range",
      pydantic: "2.13",
      unknownModel: (model) => `The model \`${model}\` does not exist.`,
      notMultimodal: (model) => `/models/${model} is not a multimodal model`,
      biasKey: ([key = ""]) => badRequest(`invalid literal for int() with base 10: ${python(key)}`),
      length: (sizes) => {
        const { asked, characters, maxModelLen, tokens } = sizes
        if (asked !== undefined && asked > maxModelLen) {
          const limits = `max_tokens=${asked}cannot be greater than max_model_len=max_total_tokens=${maxModelLen}`
          return badRequest(`${limits}. Please request fewer output tokens.`, "max_tokens", asked)
        }
        if (tokens <= maxModelLen || characters() <= maxModelLen * charactersPerToken) return words.length(sizes)
        const most = maxModelLen * charactersPerToken
        const requested = `However, you requested ${asked ?? 0} output tokens and your prompt contains ${characters()} characters`
        const upper = `(more than ${most} characters, which is the upper bound for ${maxModelLen} input tokens)`
        const advice = "Please reduce the length of the input prompt or the number of requested output tokens."
        const message = `This model's maximum context length is ${maxModelLen} tokens. ${requested} ${upper}. ${advice}`
        return badRequest(message, "input_text", characters())
      }
    }
  },
  headers: {}
}

// Some versions end what they say about messages with a cause that is not there.
const none = " None"

const vllm011: Profile = {
  ...vllm019,
  name: "vllm-0.11",
  version: "0.11.0.post2",
  ids: { completion: { prefix: "chatcmpl-", digits: 32 }, call: { prefix: "chatcmpl-tool-", digits: 32 } },
  keys: {
    ...vllm019.keys,
    message: "role content refusal annotations audio function_call tool_calls reasoning_content",
    callMessage: "role content refusal annotations audio function_call tool_calls reasoning_content",
    textDelta: "content? reasoning_content?",
    toolTextDelta: "content? reasoning_content?",
    callDelta: "tool_calls"
  },
  reasoningField: "reasoning_content",
  calls: {
    ...vllm019.calls,
    isLate: true,
    trims: false,
    finish: { named: "stop", required: "stop", streamedRequired: "tool_calls", streamedNamed: "tool_calls" },
    cut: "length",
    namedCut: "tool_calls",
    cutList: "refused"
  },
  stream: { ...vllm019.stream, parsedFinish: "text" },
  dropsBlankContent: false,
  logprobs: { tokens: "decoded", end: "name", half: "replacement" },
  guided: true,
  reportsLoad: false,
  errors: {
    ...vllm019.errors,
    problems: "list",
    params: false,
    crash: "empty",
    missingBody: "text",
    missingSchema: "crash",
    words: {
      ...vllm019.errors.words,
      noMessages: "list index out of range list index out of range",
      pydantic: "2.11",
      end: none,
      notMultimodal: (model) => `/models/${model} is not a multimodal model${none}`,
      length: ({ asked, maxModelLen, tokens }) => {
        const limit = `This model's maximum context length is ${maxModelLen} tokens`
        if (tokens > maxModelLen) {
          return badRequest(
            `${limit}. However, your request has ${tokens} input tokens. Please reduce the length of the input messages. None`
          )
        }
        if (asked === undefined || tokens + asked <= maxModelLen) return undefined
        const sum = `(${asked} > ${maxModelLen} - ${tokens})`
        const has = `${limit} and your request has ${tokens} input tokens ${sum}. None`
        return badRequest(`'max_tokens' or 'max_completion_tokens' is too large: ${asked}. ${has}`)
      }
    }
  }
}

const oldLength =
  (end: string): Words["length"] =>
  ({ asked, maxModelLen, tokens }) => {
    const limit = `This model's maximum context length is ${maxModelLen} tokens. However, you requested `
    if (tokens > maxModelLen) return badRequest(`${limit}${tokens} tokens in the messages, Please reduce the length of the messages.${end}`)
    if (asked === undefined || tokens + asked <= maxModelLen) return undefined
    const sum = `${tokens + asked} tokens (${tokens} in the messages, ${asked} in the completion)`
    return badRequest(`${limit}${sum}. Please reduce the length of the messages or completion.${end}`)
  }

const vllm009: Profile = {
  ...vllm011,
  name: "vllm-0.9",
  version: "0.9.2.post2",
  keys: {
    ...vllm011.keys,
    completion: "id object created model choices usage prompt_logprobs kv_transfer_params",
    choice: "index message logprobs finish_reason stop_reason",
    message: "role reasoning_content content tool_calls",
    callMessage: "role reasoning_content content tool_calls",
    roleChunk: "id object created model choices usage?",
    chunkChoice: "index delta logprobs finish_reason",
    finishChoice: "index delta logprobs finish_reason stop_reason"
  },
  calls: {
    ...vllm011.calls,
    finish: { named: "stop", required: "stop", streamedRequired: "stop", streamedNamed: "stop" },
    namedCut: "length"
  },
  stream: { ...vllm011.stream, cutFinish: "lost" },
  tokenIds: false,
  logprobs: { tokens: "vocabulary", end: "name", half: "replacement" },
  structuredOutputs: false,
  errors: {
    ...vllm011.errors,
    shape: "flat",
    crash: "text",
    knowsHarmony: false,
    words: { ...vllm011.errors.words, length: oldLength(none) }
  }
}

const vllm008: Profile = {
  ...vllm009,
  name: "vllm-0.8",
  version: "0.8.5.post2",
  keys: { ...vllm009.keys, completion: "id object created model choices usage prompt_logprobs" },
  calls: { ...vllm009.calls, forcedPieces: "anonymous" },
  stream: { ...vllm009.stream, undercounts: true },
  tokenTexts: false,
  logprobs: { tokens: "decoded", end: "nothing", half: "nothing" },
  errors: {
    ...vllm009.errors,
    bodyType: "BadRequestError",
    media: 415,
    words: {
      ...vllm009.errors.words,
      noMessages: "",
      end: "",
      notMultimodal: (model) => `/models/${model} is not a multimodal model`,
      biasIds: ([id]) => badRequest(`token_id ${id} in logit_bias contains out-of-vocab token id`),
      manyLogprobs: (_, most) => badRequest(`Cannot request more than ${most} logprobs.`),
      badSchemaType: (type) => badRequest(`[18:18:33] /project/cpp/json_schema_converter.cc:637: Unsupported type "${type}"\n`),
      length: oldLength("")
    }
  }
}

const withReasoning = (profile: Profile, reasoning: Profile["reasoning"]): Profile => ({
  ...profile,
  name: `${profile.name}-reasoning`,
  reasoning
})

/**
 * All versions, the newest first; `-reasoning` has a parser of reasoning.
 *
 * @category profiles
 * @since 0.1.0
 */
export const profiles: ReadonlyArray<Profile> = [
  vllm032,
  withReasoning(vllm032, "first"),
  vllm019,
  withReasoning(vllm019, "first"),
  vllm011,
  withReasoning(vllm011, "tagged"),
  vllm009,
  withReasoning(vllm009, "tagged"),
  vllm008,
  withReasoning(vllm008, "first")
]
