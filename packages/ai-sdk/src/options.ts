import type { JSONObject } from "@ai-sdk/provider"

// A type, because an interface is not assignable to the AI SDK's JSON.
/**
 * Fields of the request that the AI SDK has no setting for, in `providerOptions.paradigm`. They have the names of the wire. A field that is not
 * listed is sent, too. A field that the AI SDK has a setting for overrides the setting. `model`, `messages`, `tools`, `tool_choice`, `stream`
 * and `n` belong to the call: they are not sent, and reported as a warning.
 *
 * @example
 * ```ts
 * import { createParadigm, type ParadigmChatOptions } from "@paradigm-effect/ai-sdk"
 * import { generateText } from "ai"
 *
 * const paradigm = createParadigm({ apiKey: process.env.PARADIGM_API_KEY, baseUrl: process.env.PARADIGM_BASE_URL })
 * const options: ParadigmChatOptions = { min_p: 0.1, chat_template_kwargs: { enable_thinking: false } }
 * const { text } = await generateText({ model: paradigm("alfred-4.2"), prompt: "Say hello", providerOptions: { paradigm: options } })
 * console.log(text) // => Hello!
 * ```
 *
 * @category options
 * @since 0.1.0
 */
export type ParadigmChatOptions = {
  /** Bias by token id, -100 to 100. */
  readonly logit_bias?: Record<string, number> | undefined
  /** Identifier of the end user. */
  readonly user?: string | undefined
  /** Maximum number of tokens to generate. */
  readonly max_completion_tokens?: number | undefined
  /** Whether the model may call several tools at once. */
  readonly parallel_tool_calls?: boolean | undefined
  /** Reasoning effort of the model. */
  readonly reasoning_effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | (string & {}) | undefined
  /** Whether the response contains the reasoning. Defaults to true. */
  readonly include_reasoning?: boolean | undefined
  /** Maximum number of reasoning tokens. */
  readonly thinking_token_budget?: number | undefined
  /** Whether to return log probabilities. */
  readonly logprobs?: boolean | undefined
  /** Number of likely tokens to return at each position. -1 means all. Requires `logprobs`. */
  readonly top_logprobs?: number | undefined
  /** Number of likely tokens to return at each position of the prompt. -1 means all. */
  readonly prompt_logprobs?: number | undefined
  /** Ids of the tokens to return log probabilities of. Requires `logprobs`. */
  readonly logprob_token_ids?: Array<number> | undefined
  /** Minimum probability, relative to the most likely token. */
  readonly min_p?: number | undefined
  /** Penalty of repetition, above 0. 1 is no penalty. */
  readonly repetition_penalty?: number | undefined
  /** Length penalty of beam search. */
  readonly length_penalty?: number | undefined
  /** Whether to use beam search with n beams. */
  readonly use_beam_search?: boolean | undefined
  /** Whether to watermark the generated text. */
  readonly watermarking?: boolean | undefined
  /** Ids of tokens that end generation. */
  readonly stop_token_ids?: Array<number> | undefined
  /** Whether the text contains the stop string. */
  readonly include_stop_str_in_output?: boolean | undefined
  /** Whether to continue after the end-of-sequence token. */
  readonly ignore_eos?: boolean | undefined
  /** Minimum number of tokens to generate. */
  readonly min_tokens?: number | undefined
  /** Ids of the only tokens that may be generated. */
  readonly allowed_token_ids?: Array<number> | undefined
  /** Words that must not be generated. */
  readonly bad_words?: Array<string> | undefined
  /** Whether the text omits special tokens. Defaults to true. */
  readonly skip_special_tokens?: boolean | undefined
  /** Whether spaces separate special tokens. Defaults to true. */
  readonly spaces_between_special_tokens?: boolean | undefined
  /** Maximum number of prompt tokens. -1 means the model's limit. */
  readonly truncate_prompt_tokens?: number | undefined
  /** Side of the prompt that is truncated. */
  readonly truncation_side?: "left" | "right" | (string & {}) | undefined
  /** Detection of repetition, which ends generation. */
  readonly repetition_detection?:
    | {
        /** Maximum size of a pattern, in tokens. */
        readonly max_pattern_size?: number | undefined
        /** Minimum size of a pattern, in tokens. */
        readonly min_pattern_size?: number | undefined
        /** Repetitions that end generation. */
        readonly min_count?: number | undefined
      }
    | undefined
  /** Number of tokens of a chunk. */
  readonly stream_interval?: number | undefined
  /** Whether the response repeats the last message of the same role. */
  readonly echo?: boolean | undefined
  /** Whether the prompt ends with the start of an answer. Defaults to true. */
  readonly add_generation_prompt?: boolean | undefined
  /** Whether to continue the last message instead of answering it. */
  readonly continue_final_message?: boolean | undefined
  /** Whether to add special tokens to the prompt. */
  readonly add_special_tokens?: boolean | undefined
  /** Documents for the template: `title` and `text`. */
  readonly documents?: Array<Record<string, string>> | undefined
  /** Jinja template of the prompt. */
  readonly chat_template?: string | undefined
  /** Additional arguments of the template. */
  readonly chat_template_kwargs?: JSONObject | undefined
  /** Additional arguments of the media processor. */
  readonly mm_processor_kwargs?: JSONObject | undefined
  /** Additional arguments of the media loader, by modality. */
  readonly media_io_kwargs?: JSONObject | undefined
  /** Constraint of the generated text. */
  readonly structured_outputs?:
    | {
        /** JSON Schema of the text. */
        readonly json?: JSONObject | string | undefined
        /** Regular expression that the text matches. */
        readonly regex?: string | undefined
        /** Allowed texts. */
        readonly choice?: Array<string> | undefined
        /** Context-free grammar of the text. */
        readonly grammar?: string | undefined
        /** Whether the text is a JSON object. */
        readonly json_object?: boolean | undefined
        /** Structured spans, as JSON text. */
        readonly structural_tag?: string | undefined
        /** Whether to fail if the grammar engine does. */
        readonly disable_fallback?: boolean | undefined
        /** Whether JSON has no white space. */
        readonly disable_any_whitespace?: boolean | undefined
        /** Whether JSON objects have no additional properties. */
        readonly disable_additional_properties?: boolean | undefined
        /** Regular expression of the white space in JSON. */
        readonly whitespace_pattern?: string | undefined
      }
    | undefined
  /** Priority in the queue. Lower is first. Defaults to 0. */
  readonly priority?: number | undefined
  /** Identifier of the request. */
  readonly request_id?: string | undefined
  /** Identifier of a session of related requests. */
  readonly session_id?: string | undefined
  /** Whether log probabilities name tokens as `token_id:<id>`. */
  readonly return_tokens_as_token_ids?: boolean | undefined
  /** Whether to return token ids. */
  readonly return_token_ids?: boolean | undefined
  /** Whether to return the prompt's text. */
  readonly return_prompt_text?: boolean | undefined
  /** Number of prompt tokens to omit from `routed_experts`. */
  readonly routed_experts_prompt_start?: number | undefined
  /** Salt of the prefix cache. */
  readonly cache_salt?: string | undefined
  /** Parameters of disaggregated prefill. */
  readonly kv_transfer_params?: JSONObject | undefined
  /** Parameters of disaggregated encoding. */
  readonly ec_transfer_params?: JSONObject | undefined
  /** Arguments of the model server's extensions. */
  readonly vllm_xargs?: Record<string, string | number | Array<string | number>> | undefined
  /** Format of the response, in place of the AI SDK's `output`. For example a structural tag. */
  readonly response_format?: JSONObject | undefined
  /** Options of a stream. The usage is included unless `include_usage` is false. */
  readonly stream_options?:
    | {
        /** Whether a last chunk has the usage. */
        readonly include_usage?: boolean | undefined
        /** Whether every chunk has the usage so far. */
        readonly continuous_usage_stats?: boolean | undefined
      }
    | undefined
}
