// A request: fields of the endpoint's specification and fields that its vLLM-based model servers take in addition.
import * as Schema from "effect/Schema"
import { ChatMessage } from "./message.ts"
import {
  alias,
  boolean,
  deprecated,
  int,
  Int64,
  ints,
  JsonObject,
  model,
  number,
  object,
  openString,
  optional,
  Positive,
  required,
  SchemaOrText,
  string,
  strings,
  tag,
  variants
} from "./schema.ts"

const toolName = required(Schema.String, "Name: letters, digits, `_` and `-`.")
const description = string("Purpose of the tool, for the model.")
const deferLoading = boolean("Whether the tool is loaded on demand.")

const FunctionDefinition = model("FunctionDefinition", "A function that the model may call.", {
  name: toolName,
  description,
  parameters: object("Parameters as a JSON Schema of an object."),
  strict: boolean("Whether the arguments must match the schema exactly."),
  defer_loading: deferLoading
})

const ToolGrammar = model("ToolGrammar", "A grammar.", {
  definition: string("The grammar."),
  syntax: optional(openString(["lark", "regex"]), "Syntax of the grammar.")
})

const CustomToolFormat = model("CustomToolFormat", "The input format of a custom tool.", {
  type: required(openString(["text", "grammar"]), "Kind of the format."),
  grammar: optional(ToolGrammar, "Grammar of the input, with `grammar`.")
})

const CustomDefinition = model("CustomDefinition", "A custom tool, which takes free text.", {
  name: toolName,
  description,
  format: optional(CustomToolFormat, "Format of the input. Defaults to free text.")
})

const toolKind = (kind: string) => tag(kind, "Kind.")

export const Tool = variants("Tool", "A tool that the model may call.", {
  FunctionTool: {
    description: "A function.",
    fields: { type: toolKind("function"), function: required(FunctionDefinition, "The function."), defer_loading: deferLoading }
  },
  CustomTool: {
    description: "A custom tool.",
    fields: { type: toolKind("custom"), custom: required(CustomDefinition, "The custom tool.") }
  }
})

const ToolName = model("ToolName", "The name of a tool.", { name: required(Schema.String, "Name of the tool.") })

const NamedToolChoice = variants(
  "NamedToolChoice",
  "The tool that the model must call.",
  {
    FunctionToolChoice: {
      description: "A function.",
      fields: { type: toolKind("function"), function: required(ToolName, "The function.") }
    },
    CustomToolChoice: {
      description: "A custom tool.",
      fields: { type: toolKind("custom"), custom: required(ToolName, "The custom tool.") }
    }
  },
  ["function", "custom"]
)

export const ToolChoice = alias(
  "ToolChoice",
  "Whether the model calls tools, or the tool that it must call.",
  Schema.Union([NamedToolChoice, openString(["none", "auto", "required"])])
)

const JsonSchemaFormat = model("JsonSchemaFormat", "A named JSON Schema.", {
  name: required(Schema.String, "Name of the schema."),
  description: string("Purpose of the schema, for the model."),
  schema: object("The JSON Schema."),
  strict: boolean("Whether the response must match the schema exactly.")
})

const format = (kind: string) => tag(kind, "Kind.")

export const ResponseFormat = variants("ResponseFormat", "The format of the response.", {
  TextFormat: { description: "Free text.", fields: { type: format("text") } },
  JsonObjectFormat: { description: "Any JSON object.", fields: { type: format("json_object") } },
  JsonSchemaResponseFormat: {
    description: "JSON that matches a schema.",
    fields: { type: format("json_schema"), json_schema: required(JsonSchemaFormat, "The schema.") }
  },
  StructuralTagFormat: {
    description: "Free text with structured spans.",
    fields: {
      type: format("structural_tag"),
      structures: optional(Schema.Array(JsonObject), "Spans. Superseded by `format`."),
      triggers: strings("Texts that begin a span. Superseded by `format`."),
      format: object("The structure.")
    }
  }
})

export const StructuredOutputs = model("StructuredOutputs", "A constraint of the text. Takes one of the first six fields.", {
  json: optional(SchemaOrText, "JSON Schema of the text."),
  regex: string("Regular expression that the text matches."),
  choice: strings("Allowed texts."),
  grammar: string("Context-free grammar of the text."),
  json_object: boolean("Whether the text is a JSON object."),
  structural_tag: string("Structured spans, as JSON text."),
  disable_fallback: boolean("Whether to fail if the grammar engine does."),
  disable_any_whitespace: boolean("Whether JSON has no white space."),
  disable_additional_properties: boolean("Whether JSON objects have no additional properties."),
  whitespace_pattern: string("Regular expression of the white space in JSON.")
})

const StreamOptions = model("StreamOptions", "Options of a stream.", {
  include_usage: boolean("Whether a last chunk has the usage."),
  continuous_usage_stats: boolean("Whether every chunk has the usage so far.")
})

const RepetitionDetection = model("RepetitionDetection", "Detection of repeated token patterns.", {
  max_pattern_size: int("Maximum size of a pattern, in tokens."),
  min_pattern_size: int("Minimum size of a pattern, in tokens."),
  min_count: int("Repetitions that end generation.")
})

const XArg = Schema.Union([Schema.String, Schema.Finite])

export const ChatCompletionRequest = model(
  "ChatCompletionRequest",
  "A request for a chat completion. An optional field that is null counts as absent. A field that is not listed is kept and sent.",
  {
    model: required(Schema.String, "Name of a model that the endpoint serves."),
    messages: required(Schema.Array(ChatMessage).check(Schema.isMinLength(1)), "Messages of the conversation, oldest first."),
    max_tokens: optional(Positive, "Maximum number of tokens to generate. `max_completion_tokens` takes precedence."),
    temperature: number("Sampling temperature, 0 to 2."),
    top_p: number("Probability mass of the tokens to sample from, 0 to 1."),
    n: optional(Positive, "Number of choices to generate. Defaults to 1."),
    stream: boolean("Whether to stream the response. Defaults to false."),
    stop: optional(Schema.Union([Schema.String, Schema.Array(Schema.String)]), "Up to 4 strings that end generation."),
    presence_penalty: number("Penalty of tokens that occurred, -2 to 2."),
    frequency_penalty: number("Penalty of tokens by their frequency, -2 to 2."),
    logit_bias: optional(Schema.Record(Schema.String, Schema.Finite), "Bias by token id, -100 to 100."),
    user: string("Identifier of the end user."),
    functions: deprecated(Schema.Array(JsonObject), "Functions that the model may call.", "Use `tools`."),
    function_call: deprecated(Schema.String, "Function that the model must call.", "Use `tool_choice`."),

    max_completion_tokens: optional(Positive, "Maximum number of tokens to generate."),
    response_format: optional(ResponseFormat, "Format of the response."),
    seed: optional(Int64, "Seed of repeatable sampling: a 64-bit integer, as a bigint when a number is not exact."),
    stream_options: optional(StreamOptions, "Options of the stream. Requires `stream`."),
    tools: optional(Schema.Array(Tool), "Tools that the model may call, at least one."),
    tool_choice: optional(ToolChoice, "Tool that the model calls. Requires `tools`."),
    parallel_tool_calls: boolean("Whether the model may call several tools at once."),
    reasoning_effort: optional(openString(["none", "minimal", "low", "medium", "high", "xhigh", "max"]), "Reasoning effort of the model."),
    include_reasoning: boolean("Whether the response contains the reasoning. Defaults to true."),
    thinking_token_budget: int("Maximum number of reasoning tokens."),
    logprobs: boolean("Whether to return log probabilities."),
    top_logprobs: int("Number of likely tokens to return at each position. -1 means all. Requires `logprobs`."),
    prompt_logprobs: int("Number of likely tokens to return at each position of the prompt. -1 means all."),
    logprob_token_ids: ints("Ids of the tokens to return log probabilities of. Requires `logprobs`."),
    top_k: int("Number of most likely tokens to sample from."),
    min_p: number("Minimum probability, relative to the most likely token."),
    repetition_penalty: number("Penalty of repetition, above 0. 1 is no penalty."),
    length_penalty: number("Length penalty of beam search."),
    use_beam_search: boolean("Whether to use beam search with n beams."),
    watermarking: boolean("Whether to watermark the generated text."),
    stop_token_ids: ints("Ids of tokens that end generation."),
    include_stop_str_in_output: boolean("Whether the text contains the stop string."),
    ignore_eos: boolean("Whether to continue after the end-of-sequence token."),
    min_tokens: int("Minimum number of tokens to generate."),
    allowed_token_ids: ints("Ids of the only tokens that may be generated."),
    bad_words: strings("Words that must not be generated."),
    skip_special_tokens: boolean("Whether the text omits special tokens. Defaults to true."),
    spaces_between_special_tokens: boolean("Whether spaces separate special tokens. Defaults to true."),
    truncate_prompt_tokens: int("Maximum number of prompt tokens. -1 means the model's limit."),
    truncation_side: optional(openString(["left", "right"]), "Side of the prompt that is truncated."),
    repetition_detection: optional(RepetitionDetection, "Detection of repetition, which ends generation."),
    stream_interval: optional(Positive, "Number of tokens of a chunk."),
    echo: boolean("Whether the response repeats the last message of the same role."),
    add_generation_prompt: boolean("Whether the prompt ends with the start of an answer. Defaults to true."),
    continue_final_message: boolean("Whether to continue the last message instead of answering it."),
    add_special_tokens: boolean("Whether to add special tokens to the prompt."),
    documents: optional(Schema.Array(Schema.Record(Schema.String, Schema.String)), "Documents for the template: `title` and `text`."),
    chat_template: string("Jinja template of the prompt."),
    chat_template_kwargs: object("Additional arguments of the template."),
    mm_processor_kwargs: object("Additional arguments of the media processor."),
    media_io_kwargs: object("Additional arguments of the media loader, by modality."),
    structured_outputs: optional(StructuredOutputs, "Constraint of the generated text."),
    guided_json: deprecated(SchemaOrText, "JSON Schema of the text.", "Use `structured_outputs.json`."),
    guided_regex: deprecated(Schema.String, "Regular expression of the text.", "Use `structured_outputs.regex`."),
    guided_choice: deprecated(Schema.Array(Schema.String), "Allowed texts.", "Use `structured_outputs.choice`."),
    guided_grammar: deprecated(Schema.String, "Context-free grammar of the text.", "Use `structured_outputs.grammar`."),
    guided_decoding_backend: deprecated(Schema.String, "Grammar engine.", "Model servers choose one."),
    guided_whitespace_pattern: deprecated(
      Schema.String,
      "Regular expression of the white space in JSON.",
      "Use `structured_outputs.whitespace_pattern`."
    ),
    priority: int("Priority in the queue. Lower is first. Defaults to 0."),
    request_id: string("Identifier of the request."),
    session_id: string("Identifier of a session of related requests."),
    return_tokens_as_token_ids: boolean("Whether log probabilities name tokens as `token_id:<id>`."),
    return_token_ids: boolean("Whether to return token ids."),
    return_prompt_text: boolean("Whether to return the prompt's text."),
    routed_experts_prompt_start: int("Number of prompt tokens to omit from `routed_experts`."),
    cache_salt: string("Salt of the prefix cache."),
    kv_transfer_params: object("Parameters of disaggregated prefill."),
    ec_transfer_params: object("Parameters of disaggregated encoding."),
    vllm_xargs: optional(
      Schema.Record(Schema.String, Schema.Union([XArg, Schema.Array(XArg)])),
      "Arguments of the model server's extensions."
    )
  }
)
