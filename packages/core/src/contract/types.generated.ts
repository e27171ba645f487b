// Generated from the contract by openapi.ts: `pnpm openapi`.
/** A string with known values, which editors complete. Other values are allowed. */
export type OpenString<Known extends string> = Known | (string & {})

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>

/** A field that is null or undefined counts as absent. */
export type Absent = null | undefined

/** Text. */
export interface TextPart {
  /** Kind. */ readonly type: "text"
  /** The text. */ readonly text: string
}

/** Fields of a media part. */
export interface MediaFields {
  /** Cache identifier of the media. */ readonly uuid?: string | Absent
}

/** The address of an image, an audio or a video. */
export interface MediaUrl {
  /** An http, https or data URL. */ readonly url: string
  /** Resolution at which an image is processed. */ readonly detail?: OpenString<"auto" | "low" | "high"> | Absent
}

/** An image. */
export interface ImagePart extends MediaFields {
  /** Kind. */ readonly type: "image_url"
  /** Address of the image. */ readonly image_url: MediaUrl | string
}

/** Inline audio. */
export interface InputAudio {
  /** Audio as base64. */ readonly data: string
  /** Format of the audio. */ readonly format: OpenString<"wav" | "mp3">
}

/** Inline audio. */
export interface InputAudioPart extends MediaFields {
  /** Kind. */ readonly type: "input_audio"
  /** The audio. */ readonly input_audio: InputAudio
}

/** Audio by URL. */
export interface AudioPart extends MediaFields {
  /** Kind. */ readonly type: "audio_url"
  /** Address of the audio. */ readonly audio_url: MediaUrl | string
}

/** A video by URL. */
export interface VideoPart extends MediaFields {
  /** Kind. */ readonly type: "video_url"
  /** Address of the video. */ readonly video_url: MediaUrl | string
}

/** An uploaded or inline file. */
export interface InputFile {
  /** Identifier of an uploaded file. */ readonly file_id?: string | Absent
  /** File as base64 or as a data URL. */ readonly file_data?: string | Absent
  /** Name of the file. */ readonly filename?: string | Absent
}

/** A file. */
export interface FilePart {
  /** Kind. */ readonly type: "file"
  /** The file. */ readonly file: InputFile
}

/** A refusal of the assistant. */
export interface RefusalPart {
  /** Kind. */ readonly type: "refusal"
  /** Text of the refusal. */ readonly refusal: string
}

/** Reasoning of the assistant. */
export interface ThinkingPart {
  /** Kind. */ readonly type: "thinking"
  /** Text of the reasoning. */ readonly thinking: string
  /** Whether the reasoning is complete. */ readonly closed?: boolean | Absent
}

/** A reference to a deferred tool. */
export interface ToolReferencePart {
  /** Kind. */ readonly type: "tool_reference"
  /** Name of the tool. */ readonly name: string
}

/** Image embeddings. */
export interface ImageEmbedsPart extends MediaFields {
  /** Kind. */ readonly type: "image_embeds"
  /** Embeddings as base64. */ readonly image_embeds: JsonObject | string
}

/** Audio embeddings. */
export interface AudioEmbedsPart extends MediaFields {
  /** Kind. */ readonly type: "audio_embeds"
  /** Embeddings as base64. */ readonly audio_embeds: JsonObject | string
}

/** A part of a message's content. */
export type ContentPart = TextPart | ImagePart | InputAudioPart | AudioPart | VideoPart | FilePart | RefusalPart | ThinkingPart | ToolReferencePart | ImageEmbedsPart | AudioEmbedsPart

/** Fields of other messages. */
export interface WrittenFields {
  /** Text or content parts. */ readonly content: string | readonly ContentPart[]
  /** Name of the author. */ readonly name?: string | Absent
}

/** Instructions to the model. */
export interface SystemMessage extends WrittenFields {
  /** Role of the author. */ readonly role: "system"
}

/** Instructions that precede a system message's. */
export interface DeveloperMessage extends WrittenFields {
  /** Role of the author. */ readonly role: "developer"
}

/** A message of the user. */
export interface UserMessage extends WrittenFields {
  /** Role of the author. */ readonly role: "user"
}

/** A reference in the text. */
export interface Annotation {
  /** Kind of the annotation. */ readonly type?: OpenString<"url_citation"> | Absent
  /** The cited page and its range in the text. */ readonly url_citation?: JsonObject | Absent
}

/** An audio response. */
export interface Audio {
  /** Identifier of the audio, for a later request. */ readonly id?: string | Absent
  /** Audio as base64. */ readonly data?: string | Absent
  /** Transcript of the audio. */ readonly transcript?: string | Absent
  /** Time after which the identifier is invalid, in Unix seconds. */ readonly expires_at?: number | Absent
}

/** Fields of a generated message. */
export interface GeneratedFields {
  /** Text of a refusal. */ readonly refusal?: string | Absent
  /** Reasoning that precedes the content. */ readonly reasoning?: string | Absent
  /** @deprecated Name of `reasoning` before vLLM 0.12. */ readonly reasoning_content?: string | Absent
  /** References in the text. */ readonly annotations?: readonly Annotation[] | Annotation | Absent
  /** The audio response. */ readonly audio?: Audio | Absent
}

/** The function of a tool call. */
export interface FunctionCall {
  /** Name of the function. */ readonly name: string
  /** Arguments as JSON text. The model may write invalid JSON. */ readonly arguments: string
}

/** A call of a function. */
export interface FunctionToolCall {
  /** Identifier of the call, for `tool_call_id` of the tool message. */ readonly id?: string | Absent
  /** Kind. */ readonly type: "function"
  /** Function and arguments. */ readonly function: FunctionCall
}

/** The custom tool of a tool call. */
export interface CustomCall {
  /** Name of the custom tool. */ readonly name: string
  /** Input as free text. */ readonly input: string
}

/** A call of a custom tool. */
export interface CustomToolCall {
  /** Identifier of the call, for `tool_call_id` of the tool message. */ readonly id?: string | Absent
  /** Kind. */ readonly type: "custom"
  /** Custom tool and input. */ readonly custom: CustomCall
}

/** A call that the model makes to a tool. */
export type ToolCall = FunctionToolCall | CustomToolCall

/** A function call, or a fragment of one. */
export interface FunctionCallDelta {
  /** Name of the function. */ readonly name?: string | Absent
  /** Arguments as JSON text, or the next fragment of it. */ readonly arguments?: string | Absent
}

/** A message of the model. A response's message is one. */
export interface AssistantMessage extends GeneratedFields {
  /** Role of the author. */ readonly role: "assistant"
  /** Text or content parts. Null when the message only calls tools. */ readonly content?: string | readonly ContentPart[] | Absent
  /** Name of the author. */ readonly name?: string | Absent
  /** Tool calls of the message. */ readonly tool_calls?: readonly ToolCall[] | Absent
  /** @deprecated Use `tool_calls`. */ readonly function_call?: FunctionCallDelta | Absent
}

/** The result of a tool call. */
export interface ToolMessage extends WrittenFields {
  /** Role of the author. */ readonly role: "tool"
  /** Identifier of the answered call. */ readonly tool_call_id?: string | Absent
}

/** The result of a function call. */
export interface FunctionMessage {
  /** Role of the author. */ readonly role: "function"
  /** The result. */ readonly content?: string | readonly ContentPart[] | Absent
  /** Name of the function. */ readonly name: string
}

/** A message of a request. */
export type ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage

/** The role of a message's author. */
export type Role = OpenString<"system" | "developer" | "user" | "assistant" | "function" | "tool">

/** Free text. */
export interface TextFormat {
  /** Kind. */ readonly type: "text"
}

/** Any JSON object. */
export interface JsonObjectFormat {
  /** Kind. */ readonly type: "json_object"
}

/** A named JSON Schema. */
export interface JsonSchemaFormat {
  /** Name of the schema. */ readonly name: string
  /** Purpose of the schema, for the model. */ readonly description?: string | Absent
  /** The JSON Schema. */ readonly schema?: JsonObject | Absent
  /** Whether the response must match the schema exactly. */ readonly strict?: boolean | Absent
}

/** JSON that matches a schema. */
export interface JsonSchemaResponseFormat {
  /** Kind. */ readonly type: "json_schema"
  /** The schema. */ readonly json_schema: JsonSchemaFormat
}

/** Free text with structured spans. */
export interface StructuralTagFormat {
  /** Kind. */ readonly type: "structural_tag"
  /** Spans. Superseded by `format`. */ readonly structures?: readonly JsonObject[] | Absent
  /** Texts that begin a span. Superseded by `format`. */ readonly triggers?: readonly string[] | Absent
  /** The structure. */ readonly format?: JsonObject | Absent
}

/** The format of the response. */
export type ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaResponseFormat | StructuralTagFormat

/** Options of a stream. */
export interface StreamOptions {
  /** Whether a last chunk has the usage. */ readonly include_usage?: boolean | Absent
  /** Whether every chunk has the usage so far. */ readonly continuous_usage_stats?: boolean | Absent
}

/** A function that the model may call. */
export interface FunctionDefinition {
  /** Name: letters, digits, `_` and `-`. */ readonly name: string
  /** Purpose of the tool, for the model. */ readonly description?: string | Absent
  /** Parameters as a JSON Schema of an object. */ readonly parameters?: JsonObject | Absent
  /** Whether the arguments must match the schema exactly. */ readonly strict?: boolean | Absent
  /** Whether the tool is loaded on demand. */ readonly defer_loading?: boolean | Absent
}

/** A function. */
export interface FunctionTool {
  /** Kind. */ readonly type: "function"
  /** The function. */ readonly function: FunctionDefinition
  /** Whether the tool is loaded on demand. */ readonly defer_loading?: boolean | Absent
}

/** A grammar. */
export interface ToolGrammar {
  /** The grammar. */ readonly definition?: string | Absent
  /** Syntax of the grammar. */ readonly syntax?: OpenString<"lark" | "regex"> | Absent
}

/** The input format of a custom tool. */
export interface CustomToolFormat {
  /** Kind of the format. */ readonly type: OpenString<"text" | "grammar">
  /** Grammar of the input, with `grammar`. */ readonly grammar?: ToolGrammar | Absent
}

/** A custom tool, which takes free text. */
export interface CustomDefinition {
  /** Name: letters, digits, `_` and `-`. */ readonly name: string
  /** Purpose of the tool, for the model. */ readonly description?: string | Absent
  /** Format of the input. Defaults to free text. */ readonly format?: CustomToolFormat | Absent
}

/** A custom tool. */
export interface CustomTool {
  /** Kind. */ readonly type: "custom"
  /** The custom tool. */ readonly custom: CustomDefinition
}

/** A tool that the model may call. */
export type Tool = FunctionTool | CustomTool

/** The name of a tool. */
export interface ToolName {
  /** Name of the tool. */ readonly name: string
}

/** A function. */
export interface FunctionToolChoice {
  /** Kind. */ readonly type: "function"
  /** The function. */ readonly function: ToolName
}

/** A custom tool. */
export interface CustomToolChoice {
  /** Kind. */ readonly type: "custom"
  /** The custom tool. */ readonly custom: ToolName
}

/** The tool that the model must call. */
export type NamedToolChoice = FunctionToolChoice | CustomToolChoice

/** Whether the model calls tools, or the tool that it must call. */
export type ToolChoice = NamedToolChoice | OpenString<"none" | "auto" | "required">

/** Detection of repeated token patterns. */
export interface RepetitionDetection {
  /** Maximum size of a pattern, in tokens. */ readonly max_pattern_size?: number | Absent
  /** Minimum size of a pattern, in tokens. */ readonly min_pattern_size?: number | Absent
  /** Repetitions that end generation. */ readonly min_count?: number | Absent
}

/** A constraint of the text. Takes one of the first six fields. */
export interface StructuredOutputs {
  /** JSON Schema of the text. */ readonly json?: JsonObject | string | Absent
  /** Regular expression that the text matches. */ readonly regex?: string | Absent
  /** Allowed texts. */ readonly choice?: readonly string[] | Absent
  /** Context-free grammar of the text. */ readonly grammar?: string | Absent
  /** Whether the text is a JSON object. */ readonly json_object?: boolean | Absent
  /** Structured spans, as JSON text. */ readonly structural_tag?: string | Absent
  /** Whether to fail if the grammar engine does. */ readonly disable_fallback?: boolean | Absent
  /** Whether JSON has no white space. */ readonly disable_any_whitespace?: boolean | Absent
  /** Whether JSON objects have no additional properties. */ readonly disable_additional_properties?: boolean | Absent
  /** Regular expression of the white space in JSON. */ readonly whitespace_pattern?: string | Absent
}

/** A request for a chat completion. An optional field that is null counts as absent. A field that is not listed is kept and sent. */
export interface ChatCompletionRequest {
  /** Name of a model that the endpoint serves. */ readonly model: string
  /** Messages of the conversation, oldest first. */ readonly messages: readonly ChatMessage[]
  /** Maximum number of tokens to generate. `max_completion_tokens` takes precedence. */ readonly max_tokens?: number | Absent
  /** Sampling temperature, 0 to 2. */ readonly temperature?: number | Absent
  /** Probability mass of the tokens to sample from, 0 to 1. */ readonly top_p?: number | Absent
  /** Number of choices to generate. Defaults to 1. */ readonly n?: number | Absent
  /** Whether to stream the response. Defaults to false. */ readonly stream?: boolean | Absent
  /** Up to 4 strings that end generation. */ readonly stop?: string | readonly string[] | Absent
  /** Penalty of tokens that occurred, -2 to 2. */ readonly presence_penalty?: number | Absent
  /** Penalty of tokens by their frequency, -2 to 2. */ readonly frequency_penalty?: number | Absent
  /** Bias by token id, -100 to 100. */ readonly logit_bias?: Readonly<Record<string, number>> | Absent
  /** Identifier of the end user. */ readonly user?: string | Absent
  /** @deprecated Use `tools`. */ readonly functions?: readonly JsonObject[] | Absent
  /** @deprecated Use `tool_choice`. */ readonly function_call?: string | Absent
  /** Maximum number of tokens to generate. */ readonly max_completion_tokens?: number | Absent
  /** Format of the response. */ readonly response_format?: ResponseFormat | Absent
  /** Seed of repeatable sampling: a 64-bit integer, as a bigint when a number is not exact. */ readonly seed?: number | bigint | Absent
  /** Options of the stream. Requires `stream`. */ readonly stream_options?: StreamOptions | Absent
  /** Tools that the model may call, at least one. */ readonly tools?: readonly Tool[] | Absent
  /** Tool that the model calls. Requires `tools`. */ readonly tool_choice?: ToolChoice | Absent
  /** Whether the model may call several tools at once. */ readonly parallel_tool_calls?: boolean | Absent
  /** Reasoning effort of the model. */ readonly reasoning_effort?: OpenString<"none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max"> | Absent
  /** Whether the response contains the reasoning. Defaults to true. */ readonly include_reasoning?: boolean | Absent
  /** Maximum number of reasoning tokens. */ readonly thinking_token_budget?: number | Absent
  /** Whether to return log probabilities. */ readonly logprobs?: boolean | Absent
  /** Number of likely tokens to return at each position. -1 means all. Requires `logprobs`. */ readonly top_logprobs?: number | Absent
  /** Number of likely tokens to return at each position of the prompt. -1 means all. */ readonly prompt_logprobs?: number | Absent
  /** Ids of the tokens to return log probabilities of. Requires `logprobs`. */ readonly logprob_token_ids?: readonly number[] | Absent
  /** Number of most likely tokens to sample from. */ readonly top_k?: number | Absent
  /** Minimum probability, relative to the most likely token. */ readonly min_p?: number | Absent
  /** Penalty of repetition, above 0. 1 is no penalty. */ readonly repetition_penalty?: number | Absent
  /** Length penalty of beam search. */ readonly length_penalty?: number | Absent
  /** Whether to use beam search with n beams. */ readonly use_beam_search?: boolean | Absent
  /** Whether to watermark the generated text. */ readonly watermarking?: boolean | Absent
  /** Ids of tokens that end generation. */ readonly stop_token_ids?: readonly number[] | Absent
  /** Whether the text contains the stop string. */ readonly include_stop_str_in_output?: boolean | Absent
  /** Whether to continue after the end-of-sequence token. */ readonly ignore_eos?: boolean | Absent
  /** Minimum number of tokens to generate. */ readonly min_tokens?: number | Absent
  /** Ids of the only tokens that may be generated. */ readonly allowed_token_ids?: readonly number[] | Absent
  /** Words that must not be generated. */ readonly bad_words?: readonly string[] | Absent
  /** Whether the text omits special tokens. Defaults to true. */ readonly skip_special_tokens?: boolean | Absent
  /** Whether spaces separate special tokens. Defaults to true. */ readonly spaces_between_special_tokens?: boolean | Absent
  /** Maximum number of prompt tokens. -1 means the model's limit. */ readonly truncate_prompt_tokens?: number | Absent
  /** Side of the prompt that is truncated. */ readonly truncation_side?: OpenString<"left" | "right"> | Absent
  /** Detection of repetition, which ends generation. */ readonly repetition_detection?: RepetitionDetection | Absent
  /** Number of tokens of a chunk. */ readonly stream_interval?: number | Absent
  /** Whether the response repeats the last message of the same role. */ readonly echo?: boolean | Absent
  /** Whether the prompt ends with the start of an answer. Defaults to true. */ readonly add_generation_prompt?: boolean | Absent
  /** Whether to continue the last message instead of answering it. */ readonly continue_final_message?: boolean | Absent
  /** Whether to add special tokens to the prompt. */ readonly add_special_tokens?: boolean | Absent
  /** Documents for the template: `title` and `text`. */ readonly documents?: readonly Readonly<Record<string, string>>[] | Absent
  /** Jinja template of the prompt. */ readonly chat_template?: string | Absent
  /** Additional arguments of the template. */ readonly chat_template_kwargs?: JsonObject | Absent
  /** Additional arguments of the media processor. */ readonly mm_processor_kwargs?: JsonObject | Absent
  /** Additional arguments of the media loader, by modality. */ readonly media_io_kwargs?: JsonObject | Absent
  /** Constraint of the generated text. */ readonly structured_outputs?: StructuredOutputs | Absent
  /** @deprecated Use `structured_outputs.json`. */ readonly guided_json?: JsonObject | string | Absent
  /** @deprecated Use `structured_outputs.regex`. */ readonly guided_regex?: string | Absent
  /** @deprecated Use `structured_outputs.choice`. */ readonly guided_choice?: readonly string[] | Absent
  /** @deprecated Use `structured_outputs.grammar`. */ readonly guided_grammar?: string | Absent
  /** @deprecated Model servers choose one. */ readonly guided_decoding_backend?: string | Absent
  /** @deprecated Use `structured_outputs.whitespace_pattern`. */ readonly guided_whitespace_pattern?: string | Absent
  /** Priority in the queue. Lower is first. Defaults to 0. */ readonly priority?: number | Absent
  /** Identifier of the request. */ readonly request_id?: string | Absent
  /** Identifier of a session of related requests. */ readonly session_id?: string | Absent
  /** Whether log probabilities name tokens as `token_id:<id>`. */ readonly return_tokens_as_token_ids?: boolean | Absent
  /** Whether to return token ids. */ readonly return_token_ids?: boolean | Absent
  /** Whether to return the prompt's text. */ readonly return_prompt_text?: boolean | Absent
  /** Number of prompt tokens to omit from `routed_experts`. */ readonly routed_experts_prompt_start?: number | Absent
  /** Salt of the prefix cache. */ readonly cache_salt?: string | Absent
  /** Parameters of disaggregated prefill. */ readonly kv_transfer_params?: JsonObject | Absent
  /** Parameters of disaggregated encoding. */ readonly ec_transfer_params?: JsonObject | Absent
  /** Arguments of the model server's extensions. */ readonly vllm_xargs?: Readonly<Record<string, string | number | readonly (string | number)[]>> | Absent
}

/** Tokens of the prompt by kind. */
export interface PromptTokensDetails {
  /** Tokens found in the prefix cache. */ readonly cached_tokens?: number | Absent
  /** Tokens written to the prefix cache. */ readonly created_cache_tokens?: number | Absent
  /** Audio tokens. */ readonly audio_tokens?: number | Absent
  /** Tokens by modality, for example `image`. */ readonly multimodal_tokens?: Readonly<Record<string, number>> | Absent
}

/** Generated tokens by kind. */
export interface CompletionTokensDetails {
  /** Reasoning tokens. */ readonly reasoning_tokens?: number | Absent
  /** Audio tokens. */ readonly audio_tokens?: number | Absent
  /** Predicted tokens that were accepted. */ readonly accepted_prediction_tokens?: number | Absent
  /** Predicted tokens that were rejected. */ readonly rejected_prediction_tokens?: number | Absent
}

/** Tokens counted by the model server. */
export interface CompletionUsage {
  /** Tokens of the prompt. */ readonly prompt_tokens: number
  /** Generated tokens. */ readonly completion_tokens: number
  /** Sum of both. */ readonly total_tokens: number
  /** Tokens of the prompt by kind. */ readonly prompt_tokens_details?: PromptTokensDetails | Absent
  /** Generated tokens by kind. */ readonly completion_tokens_details?: CompletionTokensDetails | Absent
}

/** Timings measured by the model server. */
export interface RequestMetrics {
  /** Time to the first token, in milliseconds. */ readonly time_to_first_token_ms?: number | Absent
  /** Time of generation, in milliseconds. */ readonly generation_time_ms?: number | Absent
  /** Time in the queue, in milliseconds. */ readonly queue_time_ms?: number | Absent
  /** Mean time between tokens, in milliseconds. */ readonly mean_itl_ms?: number | Absent
  /** Generated tokens per second. */ readonly tokens_per_second?: number | Absent
  /** Acceptance of draft tokens. Experimental in vLLM. */ readonly speculative_decoding?: JsonObject | Absent
}

/** Fields of a completion. */
export interface CompletionFields {
  /** Identifier of the completion. */ readonly id: string
  /** Creation time, in Unix seconds. */ readonly created: number
  /** Name of the model. */ readonly model: string
  /** Token usage. */ readonly usage?: CompletionUsage | Absent
  /** Fingerprint of the model server's configuration. */ readonly system_fingerprint?: string | Absent
  /** Tier that served the request. */ readonly service_tier?: OpenString<"auto" | "default" | "flex" | "scale" | "priority"> | Absent
  /** Ids of the prompt's tokens, with `return_token_ids`. */ readonly prompt_token_ids?: readonly number[] | Absent
  /** Prompt made by the chat template, with `return_prompt_text`. */ readonly prompt_text?: string | Absent
  /** Timings measured by the model server. */ readonly metrics?: RequestMetrics | Absent
}

/** The reason why generation of a choice ended. */
export type FinishReason = OpenString<"stop" | "length" | "tool_calls" | "function_call" | "content_filter" | "abort" | "error" | "repetition">

/** A token and its log probability. */
export interface TokenFields {
  /** Text of the token, or `token_id:<id>`. */ readonly token: string
  /** Log probability. -9999 if there is none. */ readonly logprob: number
  /** UTF-8 bytes. A character may span several tokens. */ readonly bytes?: readonly number[] | Absent
}

/** A likely token. */
export interface TopLogprob extends TokenFields {
}

/** A generated token and its log probability. */
export interface TokenLogprob extends TokenFields {
  /** The most likely tokens at this position. */ readonly top_logprobs?: readonly TopLogprob[] | Absent
}

/** Log probabilities of a choice. */
export interface Logprobs {
  /** Tokens of the content. */ readonly content?: readonly TokenLogprob[] | Absent
  /** Tokens of the refusal. */ readonly refusal?: readonly TokenLogprob[] | Absent
}

/** Fields of a choice. */
export interface ChoiceFields {
  /** Index of the choice. */ readonly index: number
  /** Reason of the end. Null before it. */ readonly finish_reason?: FinishReason | Absent
  /** Stop string or token id at the end. */ readonly stop_reason?: string | number | Absent
  /** Log probabilities, with `logprobs`. */ readonly logprobs?: Logprobs | Absent
  /** Ids of the tokens, with `return_token_ids`. */ readonly token_ids?: readonly number[] | Absent
}

/** The message of a choice. A request accepts it unchanged. */
export interface ChatMessageResponse extends GeneratedFields {
  /** Role of the author. */ readonly role: "assistant"
  /** Text. Null when the message only calls tools. */ readonly content?: string | Absent
  /** Tool calls of the message. */ readonly tool_calls?: readonly ToolCall[] | Absent
  /** @deprecated Use `tool_calls`. */ readonly function_call?: FunctionCallDelta | Absent
}

/** One choice of a completion. */
export interface ChatCompletionChoice extends ChoiceFields {
  /** The generated message. */ readonly message: ChatMessageResponse
  /** Expert routing of each token, as a base64 .npy file. */ readonly routed_experts?: string | Absent
}

/** A token of the prompt. */
export interface PromptLogprob {
  /** Log probability. */ readonly logprob: number
  /** Rank among all tokens, from 1. */ readonly rank?: number | Absent
  /** Text of the token. */ readonly decoded_token?: string | Absent
}

/** A chat completion. */
export interface ChatCompletion extends CompletionFields {
  /** Kind of the object. */ readonly object: OpenString<"chat.completion">
  /** The choices, ordered by index. */ readonly choices: readonly ChatCompletionChoice[]
  /** Log probabilities by token id, for each position of the prompt. */ readonly prompt_logprobs?: readonly (Readonly<Record<string, PromptLogprob>> | null)[] | Absent
  /** Parameters of disaggregated prefill. */ readonly kv_transfer_params?: JsonObject | Absent
  /** Parameters of disaggregated encoding. */ readonly ec_transfer_params?: JsonObject | Absent
}

/** Fragment of a custom tool call. */
export interface CustomCallDelta {
  /** Name of the custom tool. */ readonly name?: string | Absent
  /** Next fragment of the input. */ readonly input?: string | Absent
}

/** Fragment of a tool call. */
export interface ToolCallDelta {
  /** Index of the call. Fragments with the same index form one call. */ readonly index: number
  /** Identifier of the call, in its first fragment. */ readonly id?: string | Absent
  /** Kind of the tool. */ readonly type?: OpenString<"function" | "custom"> | Absent
  /** Fragment of the function call. */ readonly function?: FunctionCallDelta | Absent
  /** Fragment of the custom tool call. */ readonly custom?: CustomCallDelta | Absent
}

/** Part of a message in a chunk. */
export interface ChatCompletionDelta extends GeneratedFields {
  /** Role of the author, in a choice's first chunk. */ readonly role?: OpenString<"assistant" | "tool"> | Absent
  /** Next fragment of the text. */ readonly content?: string | Absent
  /** Fragments of tool calls. */ readonly tool_calls?: readonly ToolCallDelta[] | Absent
  /** @deprecated Use `tool_calls`. */ readonly function_call?: FunctionCallDelta | Absent
}

/** Addition of a chunk to a choice. */
export interface ChatCompletionChunkChoice extends ChoiceFields {
  /** Addition to the message. */ readonly delta: ChatCompletionDelta
}

/** One event of a stream. The chunk with the usage has no choices. */
export interface ChatCompletionChunk extends CompletionFields {
  /** Kind of the object. */ readonly object: OpenString<"chat.completion.chunk">
  /** Additions by choice. */ readonly choices: readonly ChatCompletionChunkChoice[]
}
