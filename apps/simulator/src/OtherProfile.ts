/**
 * Servers besides vLLM, as far as their completions and chunks go: the words of their errors are those of vLLM in other shapes.
 *
 * @since 0.1.0
 */
import type { Errors, Profile } from "./Profile.ts"
import { newest as base } from "./VllmProfile.ts"

const errors = (shape: Errors["shape"]): Errors => ({ ...base.errors, shape, params: false, isStrict: false })

const other: Profile = {
  ...base,
  canExcludeReasoning: false,
  tokenIds: false,
  tokenTexts: false,
  reportsLoad: false,
  acceptsAnyModel: true,
  blankMessage: true,
  dropsBlankContent: false,
  calls: { ...base.calls, finish: { named: "stop", required: "tool_calls", streamedRequired: "tool_calls", streamedNamed: "tool_calls" } },
  stream: { ...base.stream, finishAlone: true, fingerprint: "every", emptyDeltas: false, doneAfterError: false },
  headers: {}
}

const sglang: Profile = {
  ...other,
  name: "sglang",
  version: "0.5.23",
  fingerprint: null,
  ids: { completion: { prefix: "", digits: 32 }, call: { prefix: "call_", digits: 24 } },
  keys: {
    ...base.keys,
    completion: "id object created model choices usage metadata",
    choice: "index message logprobs finish_reason matched_stop",
    message: "role content reasoning_content",
    callMessage: "role content reasoning_content tool_calls",
    usage: "prompt_tokens total_tokens completion_tokens prompt_tokens_details reasoning_tokens completion_tokens_details",
    roleChunk: "id object created model choices",
    chunk: "id object created model choices",
    callChunk: "id object created model choices usage",
    finishChunk: "id object created model choices",
    usageChunk: "id object created model choices usage",
    roleChoice: "index delta logprobs finish_reason matched_stop",
    chunkChoice: "index delta logprobs finish_reason matched_stop",
    finishChoice: "index delta logprobs finish_reason matched_stop",
    streamUsage: "prompt_tokens total_tokens completion_tokens prompt_tokens_details reasoning_tokens completion_tokens_details",
    textDelta: "reasoning_content content?",
    toolTextDelta: "reasoning_content content?",
    callDelta: "role content reasoning_content tool_calls",
    roleDelta: "reasoning_content role content",
    finishDelta: "reasoning_content",
    wholeCall: "id index type function"
  },
  reasoningField: "reasoning_content",
  reasoning: "first",
  calls: { ...other.calls, pieces: "repeated" },
  stream: { ...other.stream, doneAfterError: true },
  errors: { ...errors("flat"), problems: "trace", checks: "problem" },
  headers: { vary: "Origin" }
}

const ollama: Profile = {
  ...other,
  name: "ollama",
  version: "0.33.0-rc2",
  fingerprint: "fp_ollama",
  ids: { completion: { prefix: "chatcmpl-", digits: 3, alphabet: "decimal" }, call: { prefix: "call_", digits: 8 } },
  keys: {
    ...base.keys,
    completion: "id object created model system_fingerprint choices usage",
    choice: "index message logprobs? finish_reason",
    message: "role content reasoning?",
    callMessage: "role content reasoning? tool_calls",
    usage: "prompt_tokens completion_tokens total_tokens",
    chunk: "id object created model system_fingerprint choices",
    callChunk: "id object created model system_fingerprint choices",
    finishChunk: "id object created model system_fingerprint choices",
    usageChunk: "id object created model system_fingerprint choices usage",
    chunkChoice: "index delta finish_reason logprobs?",
    finishChoice: "index delta finish_reason logprobs?",
    streamUsage: "prompt_tokens completion_tokens total_tokens",
    textDelta: "role? content reasoning?",
    toolTextDelta: "role? content reasoning?",
    callDelta: "role? content tool_calls",
    call: "id index type function",
    wholeCall: "id index type function"
  },
  reasoning: "tagged",
  acceptsAnyModel: false,
  maxChoices: 1,
  calls: { ...other.calls, pieces: "whole", arguments: "compact" },
  stream: { ...other.stream, role: "first", blankContent: true },
  errors: {
    ...errors("ollama"),
    words: { ...base.errors.words, unknownModel: (model) => `model '${model}' not found`, noMessages: "[] is too short - 'messages'" }
  }
}

const llamacpp: Profile = {
  ...other,
  name: "llamacpp",
  version: "b11434",
  fingerprint: "b11434-unknown",
  ids: { completion: { prefix: "chatcmpl-", digits: 32, alphabet: "letters" }, call: { prefix: "", digits: 32, alphabet: "letters" } },
  keys: {
    ...base.keys,
    completion: "choices created model system_fingerprint object usage id timings",
    choice: "finish_reason index message logprobs?",
    message: "role content reasoning_content?",
    callMessage: "role content reasoning_content? tool_calls",
    usage: "completion_tokens prompt_tokens total_tokens prompt_tokens_details",
    roleChunk: "choices created id model system_fingerprint object",
    chunk: "choices created id model system_fingerprint object",
    callChunk: "choices created id model system_fingerprint object",
    finishChunk: "choices created id model system_fingerprint object timings?",
    usageChunk: "choices created id model system_fingerprint object usage timings",
    roleChoice: "finish_reason index delta",
    chunkChoice: "finish_reason index delta logprobs?",
    finishChoice: "finish_reason index delta",
    streamUsage: "completion_tokens prompt_tokens total_tokens prompt_tokens_details",
    textDelta: "content? reasoning_content?",
    toolTextDelta: "content? reasoning_content?",
    callDelta: "tool_calls",
    wholeCall: "type function id"
  },
  reasoningField: "reasoning_content",
  reportsCached: true,
  calls: { ...other.calls, pieces: "together" },
  stream: { ...other.stream, roleContent: null },
  errors: errors("llamacpp")
}

const mlx: Profile = {
  ...other,
  name: "mlx-lm",
  version: "0.32.2",
  fingerprint: "0.32.2-0.32.4-Linux",
  ids: { completion: { prefix: "chatcmpl-", digits: 0, alphabet: "uuid" }, call: { prefix: "", digits: 0, alphabet: "uuid" } },
  keys: {
    ...base.keys,
    completion: "id system_fingerprint object model created choices usage",
    choice: "index finish_reason logprobs? message",
    message: "role content reasoning?",
    callMessage: "role content reasoning? tool_calls",
    usage: "prompt_tokens completion_tokens total_tokens prompt_tokens_details",
    chunk: "id system_fingerprint object model created choices",
    callChunk: "id system_fingerprint object model created choices",
    finishChunk: "id system_fingerprint object model created choices",
    usageChunk: "id system_fingerprint object model created choices usage",
    chunkChoice: "index finish_reason delta",
    finishChoice: "index finish_reason delta",
    streamUsage: "prompt_tokens completion_tokens total_tokens prompt_tokens_details",
    textDelta: "role content? reasoning?",
    toolTextDelta: "role content? reasoning?",
    callDelta: "role tool_calls",
    finishDelta: "role",
    call: "function type id index",
    wholeCall: "function type id"
  },
  reasoning: "tagged",
  acceptsAnyModel: false,
  reportsCached: true,
  maxChoices: 1,
  calls: { ...other.calls, pieces: "whole", isParsed: false },
  stream: { ...other.stream, role: "every", usageObject: "chat.completion", json: "spaced" },
  errors: errors("text")
}

const transformers: Profile = {
  ...other,
  name: "transformers",
  version: "5.24.0",
  fingerprint: "",
  ids: { completion: { prefix: "", digits: 0, alphabet: "uuid" }, call: { prefix: "", digits: 0, alphabet: "uuid" } },
  keys: {
    ...base.keys,
    completion: "id choices created model object usage",
    choice: "finish_reason index message",
    message: "content role reasoning_content?",
    callMessage: "content role tool_calls reasoning_content?",
    usage: "completion_tokens prompt_tokens total_tokens",
    roleChunk: "id choices created model object system_fingerprint",
    chunk: "id choices created model object system_fingerprint",
    callChunk: "id choices created model object system_fingerprint",
    finishChunk: "id choices created model object system_fingerprint usage",
    roleChoice: "delta index",
    chunkChoice: "delta index",
    finishChoice: "delta index finish_reason",
    streamUsage: "completion_tokens prompt_tokens total_tokens",
    textDelta: "content? reasoning_content?",
    toolTextDelta: "content? reasoning_content?",
    callDelta: "tool_calls",
    roleDelta: "role",
    call: "index id function type",
    wholeCall: "id function type",
    function: "arguments name"
  },
  reasoningField: "reasoning_content",
  reasoning: "tagged",
  acceptsAnyModel: false,
  maxChoices: 1,
  calls: { ...other.calls, pieces: "whole", arguments: "ascii" },
  stream: { ...other.stream, usage: "finish", done: false },
  errors: errors("detail")
}

// In front of vLLM 0.32 with a parser of reasoning: another server behind it would show through.
const litellm: Profile = {
  ...other,
  name: "litellm",
  version: "1.106.12",
  fingerprint: base.fingerprint,
  ids: base.ids,
  keys: {
    ...base.keys,
    completion: "id created model object system_fingerprint choices usage prompt_token_ids?",
    choice: "finish_reason index message logprobs? provider_specific_fields",
    message: "content? role reasoning_content? provider_specific_fields content",
    callMessage: "content? role tool_calls reasoning_content? provider_specific_fields content",
    usage: "completion_tokens prompt_tokens total_tokens completion_tokens_details?",
    roleChunk: "id object created model choices",
    chunk: "id object created model choices",
    reasoningChunk: "id created model object choices",
    callChunk: "id created model object choices",
    finishChunk: "id object created model choices",
    usageChunk: "id created model object choices usage",
    roleChoice: "index delta",
    chunkChoice: "token_ids? index delta logprobs?",
    finishChoice: "index delta finish_reason",
    streamUsage: "completion_tokens prompt_tokens total_tokens completion_tokens_details?",
    textDelta: "content? reasoning_content?",
    toolTextDelta: "content? reasoning_content?",
    callDelta: "tool_calls",
    wholeCall: "function id type",
    function: "arguments name"
  },
  reasoningField: "reasoning_content",
  reasoning: "first",
  canExcludeReasoning: true,
  marksExcluded: false,
  tokenIds: true,
  blankMessage: false,
  dropsBlankContent: base.dropsBlankContent,
  acceptsAnyModel: false,
  calls: {
    ...other.calls,
    pieces: "typed",
    finish: { named: "tool_calls", required: "tool_calls", streamedRequired: "tool_calls", streamedNamed: "stop" }
  },
  stream: { ...other.stream, usageHasChoice: true, endsFirstOnly: true },
  errors: {
    ...errors("litellm"),
    params: true,
    isStrict: true,
    words: {
      ...base.errors.words,
      unknownModel: (model) =>
        `/chat/completions: Invalid model name passed in model=${model}. Call \`/v1/models\` to view available models for your key.`
    }
  },
  headers: {
    vary: "Origin",
    "x-frame-options": "DENY",
    "content-security-policy": "frame-ancestors 'none'",
    "x-content-type-options": "nosniff"
  }
}

/**
 * SGLang, Ollama, llama.cpp, mlx-lm, the server of transformers, and the proxy LiteLLM.
 *
 * @category profiles
 * @since 0.1.0
 */
export const profiles: ReadonlyArray<Profile> = [sglang, ollama, llamacpp, mlx, transformers, litellm]
