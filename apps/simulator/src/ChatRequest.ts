/**
 * A request as the imitated server reads it: what it accepts, what it refuses, and why.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { badRequest, Float, type Problem, python, type Refusal } from "./ErrorReply.ts"
import * as MessageForm from "./MessageForm.ts"
import type { Profile } from "./Profile.ts"
import * as RequestForm from "./RequestForm.ts"

/** @since 0.1.0 */
export interface Part {
  readonly type?: string | undefined
  readonly text?: string | null | undefined
}

/** @since 0.1.0 */
export interface Message {
  readonly role: string
  readonly content?: string | null | ReadonlyArray<string | Part> | undefined
  readonly tool_calls?: ReadonlyArray<{ readonly function?: { readonly name?: string; readonly arguments?: string } }> | null | undefined
  readonly tool_call_id?: string | undefined
}

/** @since 0.1.0 */
export interface Tool {
  readonly function: { readonly name: string; readonly description?: string | null; readonly parameters?: unknown }
}

/**
 * The fields that change what is answered or refused. All others are tolerated and ignored, as vLLM does.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatRequest {
  readonly model?: string | null
  readonly messages: ReadonlyArray<Message>
  readonly stream?: boolean | null
  readonly stream_options?: { readonly include_usage?: boolean | null; readonly continuous_usage_stats?: boolean | null } | null
  readonly max_tokens?: number | null
  readonly max_completion_tokens?: number | null
  readonly min_tokens?: number | null
  readonly n?: number | null
  readonly seed?: number | null
  readonly stop?: string | ReadonlyArray<string> | null
  readonly stop_token_ids?: ReadonlyArray<number> | null
  readonly include_stop_str_in_output?: boolean | null
  readonly ignore_eos?: boolean | null
  readonly temperature?: number | null
  readonly logprobs?: boolean | null
  readonly top_logprobs?: number | null
  readonly prompt_logprobs?: number | null
  readonly return_token_ids?: boolean | null
  readonly return_tokens_as_token_ids?: boolean | null
  readonly tools?: ReadonlyArray<Tool> | null
  readonly tool_choice?: "none" | "auto" | "required" | { readonly function: { readonly name: string } } | null
  readonly parallel_tool_calls?: boolean | null
  readonly response_format?: {
    readonly type: string
    readonly json_schema?: { readonly schema?: unknown } | null
  } | null
  readonly structured_outputs?: Readonly<Record<string, unknown>> | null
  readonly guided_json?: unknown
  readonly guided_choice?: unknown
  readonly guided_regex?: unknown
  readonly include_reasoning?: boolean | null
  readonly reasoning_effort?: string | null
  readonly chat_template_kwargs?: Readonly<Record<string, unknown>> | null
  readonly add_generation_prompt?: boolean | null
  readonly continue_final_message?: boolean | null
  readonly request_id?: string | null
}

/**
 * What the server knows when it judges a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Judge {
  readonly profile: Profile
  /** The models served; the first is the default. */
  readonly models: ReadonlyArray<string>
  /** Whether the model reads images. */
  readonly images: boolean
  readonly maxModelLen: number
  /** Number of token ids. */
  readonly vocabularySize: number
  readonly promptTokens: (request: ChatRequest) => ReadonlyArray<number>
}

type Body = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Body => typeof value === "object" && value !== null && !Array.isArray(value)
const constraintKinds = ["json", "regex", "choice"]

// Rules over the raw body, before its fields are looked at.
const check = (body: Body, { profile }: Judge): Refusal | undefined => {
  const { errors } = profile
  const refuse = (message: string, param?: string, isValueError = false): Refusal => ({
    kind: "check",
    message,
    body,
    isValueError,
    ...(param === undefined ? {} : { param })
  })
  const { prompt_logprobs, stream, stream_options, structured_outputs, tool_choice, tools, top_logprobs } = body
  const format = body["response_format"]
  if (isRecord(format) && format["type"] === "json_schema" && format["json_schema"] == null) {
    if (errors.missingSchema === "crash") return { kind: "crash", message: "" }
    return refuse("When response_format type is 'json_schema', the 'json_schema' field must be provided.", "response_format")
  }
  if (stream_options != null && stream !== true) {
    return refuse("Stream options can only be defined when `stream=True`.", "stream_options")
  }
  if (typeof prompt_logprobs === "number") {
    if (stream === true && prompt_logprobs !== 0) {
      return refuse("`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs")
    }
    if (prompt_logprobs < -1) return refuse("`prompt_logprobs` must be a positive value or -1.", "prompt_logprobs")
  }
  if (typeof top_logprobs === "number") {
    if (top_logprobs < -1) return refuse("`top_logprobs` must be a positive value or -1.", "top_logprobs")
    if (top_logprobs !== 0 && body["logprobs"] !== true) {
      return refuse("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    }
  }
  if (isRecord(structured_outputs) && profile.structuredOutputs) {
    const count = constraintKinds.filter((kind) => structured_outputs[kind] != null).length
    if (count > 1) return refuse("You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice').")
    if (count > 0 && isRecord(tool_choice)) {
      return refuse("You can only either use constraints for structured outputs or tools, not both.")
    }
  }
  if (errors.isStrict && Array.isArray(tools) && tools.length === 0) {
    return refuse("`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.", "tools")
  }
  const tool = checkTool(body, refuse)
  if (tool !== undefined) return tool
  if (body["continue_final_message"] === true && body["add_generation_prompt"] === true) {
    return refuse("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
  }
}

const checkTool = (
  { tool_choice, tools }: Body,
  refuse: (message: string, param?: string, isValueError?: boolean) => Refusal
): Refusal | undefined => {
  if (tool_choice == null || tool_choice === "none") return undefined
  if (tools == null) return refuse("When using `tool_choice`, `tools` must be set.", "tool_choice", true)
  if (!isRecord(tool_choice)) {
    if (tool_choice === "auto" || tool_choice === "required") return undefined
    const message = `Invalid value for \`tool_choice\`: ${typeof tool_choice === "string" ? tool_choice : python(tool_choice)}! Only named tools, "none", "auto" or "required" are supported.`
    return refuse(message, "tool_choice", true)
  }
  const chosen = tool_choice["function"]
  if (!isRecord(chosen) || typeof chosen["name"] !== "string") {
    const example = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    return refuse(`Expected field \`function\` in \`tool_choice\`. ${example}`, "tool_choice", true)
  }
  const named = (tool: unknown) => isRecord(tool) && isRecord(tool["function"]) && tool["function"]["name"] === chosen["name"]
  if (!Array.isArray(tools) || !tools.some(named)) {
    return refuse("The tool specified in `tool_choice` does not match any of the specified `tools`", "tool_choice", true)
  }
}

const within = (name: string, value: unknown, minimum: number, maximum: number, brackets = "[]"): Refusal | undefined => {
  if (typeof value !== "number") return undefined
  const fits = (brackets.startsWith("(") ? value > minimum : value >= minimum) && value <= maximum
  if (fits) return undefined
  const shown = python(new Float(value))
  const range = `${brackets.charAt(0)}${minimum}, ${maximum}${brackets.charAt(1)}`
  return badRequest(`${name} must be in ${range}, got ${shown}.`, name, new Float(value))
}

/**
 * The limit asked for: `max_completion_tokens` before `max_tokens`.
 *
 * @category getters
 * @since 0.1.0
 */
export const maxTokens = (request: ChatRequest): number | undefined => request.max_completion_tokens ?? request.max_tokens ?? undefined

// vLLM's own limit is 16,384, and can be set; here all choices are made at once.
const mostChoices = 128

const sampling = (body: Body, request: ChatRequest, { profile }: Judge): Refusal | undefined => {
  const { errors } = profile
  const limit = maxTokens(request)
  const { n, stop, temperature } = request
  if (n != null && n < 1) return badRequest(`n must be at least 1, got ${n}.`)
  if (n != null && n > mostChoices) return badRequest(`n must be at most ${mostChoices}, got ${n}.`)
  const penalty =
    within("presence_penalty", body["presence_penalty"], -2, 2) ?? within("frequency_penalty", body["frequency_penalty"], -2, 2)
  if (penalty !== undefined) return penalty
  if (temperature != null && temperature < 0) {
    return badRequest(`temperature must be non-negative, got ${python(new Float(temperature))}.`, "temperature", new Float(temperature))
  }
  const range = errors.isStrict ? within("temperature", temperature, 0, 2) : undefined
  if (range !== undefined) return range
  const nucleus = within("top_p", body["top_p"], 0, 1, "(]") ?? within("min_p", body["min_p"], 0, 1)
  if (nucleus !== undefined) return nucleus
  const { repetition_penalty, top_k } = body
  if (typeof repetition_penalty === "number" && repetition_penalty <= 0) {
    return badRequest(`repetition_penalty must be greater than zero, got ${python(new Float(repetition_penalty))}.`)
  }
  if (typeof top_k === "number" && top_k < -1) return badRequest(`top_k must be 0 (disable), or at least 1, got ${top_k}.`)
  if (limit !== undefined && limit < 1) return badRequest(`max_tokens must be at least 1, got ${limit}.`, "max_tokens", limit)
  const least = request.min_tokens
  if (least != null && least < 0) return badRequest(`min_tokens must be greater than or equal to 0, got ${least}.`)
  if (least != null && limit !== undefined && least > limit) {
    return badRequest(`min_tokens must be less than or equal to max_tokens=${limit}, got ${least}.`)
  }
  if (stop === "" || (Array.isArray(stop) && stop.includes(""))) return badRequest("stop cannot contain an empty string.")
  const bias = body["logit_bias"]
  const badKeys = isRecord(bias) ? Object.keys(bias).filter((key) => !/^\s*[-+]?\d+\s*$/.test(key)) : []
  if (badKeys.length > 0) return errors.words.biasKey(badKeys)
}

const mostLogprobs = 20

// What only the engine finds.
const engine = (body: Body, request: ChatRequest, { profile, vocabularySize }: Judge): Refusal | undefined => {
  const { words } = profile.errors
  const { top_logprobs } = request
  if (top_logprobs != null && top_logprobs > mostLogprobs) return words.manyLogprobs(top_logprobs, mostLogprobs)
  const bias = body["logit_bias"]
  const ids = isRecord(bias) ? Object.keys(bias).map(Number) : []
  const unknown = ids.filter((id) => id < 0 || id >= vocabularySize)
  if (unknown.length > 0) return words.biasIds(unknown, vocabularySize)
}

const conversation = (request: ChatRequest, judge: Judge): Refusal | undefined => {
  const { images, models, profile } = judge
  const { words } = profile.errors
  if (request.messages.length === 0) return badRequest(words.noMessages)
  for (const { content } of request.messages) {
    if (!Array.isArray(content)) continue
    for (const [index, part] of content.entries()) {
      if (typeof part === "string") continue
      const type = isRecord(part) ? (part["type"] ?? ("text" in part ? "text" : undefined)) : undefined
      if (typeof type !== "string" || !MessageForm.partTypes.has(type)) {
        return badRequest(MessageForm.unknownPart(part, index, python, words.pydantic) + words.end)
      }
      if (/image|audio|video|file/.test(type) && !(images && type.includes("image"))) {
        return badRequest(words.notMultimodal(request.model || (models[0] ?? "")))
      }
    }
  }
}

const length = (request: ChatRequest, judge: Judge): Refusal | undefined => {
  const { maxModelLen, profile } = judge
  const asked = maxTokens(request)
  const characters = () => texts(request).reduce((sum, { role, text }) => sum + role.length + [...text].length, 0)
  return profile.errors.words.length({ tokens: judge.promptTokens(request).length, characters, asked, maxModelLen })
}

/**
 * The text of each message, its parts joined by line feeds.
 *
 * @category getters
 * @since 0.1.0
 */
export const texts = (request: ChatRequest): ReadonlyArray<{ readonly role: string; readonly text: string }> =>
  request.messages.map(({ content, role }) => {
    if (content == null || typeof content === "string") return { role, text: content ?? "" }
    return { role, text: content.flatMap((part) => (typeof part === "string" ? part : (part.text ?? []))).join("\n") }
  })

const utf8 = new TextDecoder("utf-8", { fatal: true })

// Integers that a JavaScript number cannot hold stay whole, so that their range can be judged.
const parseJson = (text: string): unknown =>
  /\d{16}/.test(text)
    ? JSON.parse(text, (_, value: unknown, context?: { readonly source?: string }) =>
        typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
          ? BigInt(context?.source ?? "0")
          : value
      )
    : JSON.parse(text)

// Where and why Python's parser gives up, for the mistakes that people make; the place is the first character that cannot stand there.
const syntaxProblem = (text: string): Problem => {
  const start = /^\s*[[{]\s*/.exec(text)?.[0].length ?? 0
  const error =
    text.trimStart().startsWith("{") && !/^["}]/.test(text.slice(start))
      ? "Expecting property name enclosed in double quotes"
      : "Expecting value"
  return { type: "json_invalid", path: [start], message: "JSON decode error", input: {}, context: { error } }
}

const parse = (bytes: Uint8Array): Result.Result<unknown, Refusal> => {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return Result.fail({ kind: "detail", status: 400, detail: "There was an error parsing the body" })
  }
  if (text === "") return Result.fail({ kind: "form", problems: [{ type: "missing", path: [], message: "Field required", input: null }] })
  try {
    return Result.succeed(parseJson(text))
  } catch {
    return Result.fail({ kind: "form", problems: [syntaxProblem(text)] })
  }
}

const notAnObject = (body: unknown, { profile }: Judge): Refusal => {
  if (profile.errors.missingBody === "form") {
    const message = "Input should be a valid dictionary or object to extract fields from"
    return { kind: "form", problems: [{ type: "model_attributes_type", path: [], message, input: body }] }
  }
  return { kind: "crash", message: "'list' object has no attribute 'get'", isText: profile.errors.missingBody === "text" }
}

/**
 * Reads and judges a body, in the order in which the imitated server finds things.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (bytes: Uint8Array, contentType: string | undefined, judge: Judge): Result.Result<ChatRequest, Refusal> => {
  if (contentType?.split(";")[0]?.trim().toLowerCase() !== "application/json") return Result.fail({ kind: "media" })
  const parsed = parse(bytes)
  if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
  const body = parsed.success
  if (!isRecord(body)) return Result.fail(notAnObject(body, judge))
  const checked = check(body, judge)
  if (checked !== undefined) return Result.fail(checked)
  const formed = RequestForm.read(body, judge.profile)
  if (Result.isFailure(formed)) return Result.fail({ kind: "form", problems: formed.failure })
  const request = formed.success
  const { model } = request
  if (model != null && model !== "" && !judge.models.includes(model) && !judge.profile.acceptsAnyModel) {
    const message = judge.profile.errors.words.unknownModel(model.slice(0, 256), judge.models)
    return Result.fail({ kind: "own", status: 404, type: "NotFoundError", message, param: "model" })
  }
  const refusal = conversation(request, judge) ?? length(request, judge) ?? sampling(body, request, judge) ?? engine(body, request, judge)
  return refusal === undefined ? Result.succeed(request) : Result.fail(refusal)
}
