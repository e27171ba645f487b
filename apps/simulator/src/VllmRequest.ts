/**
 * A request as vLLM reads it: what is accepted, what is refused, and the error body of a refusal.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/**
 * The request is refused with `status`. The message names the field; `param` is its path, such as `messages[0].role`.
 *
 * @category errors
 * @since 0.1.0
 */
export class Rejection extends Data.TaggedError("Rejection")<{
  readonly status: number
  readonly type: string
  readonly message: string
  readonly param: string | null
}> {
  /** The body, in vLLM's shape. */
  get body() {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.status } }
  }
}

/**
 * A refusal with status 400.
 *
 * @category errors
 * @since 0.1.0
 */
export const badRequest = (message: string, param: string | null = null) =>
  new Rejection({ status: 400, type: "BadRequestError", message, param })

const nullish = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))
const within = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))
const integer = (minimum: number, maximum = Number.MAX_SAFE_INTEGER) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Message = Schema.Struct({
  role: Schema.String,
  content: nullish(
    Schema.Union([
      Schema.String,
      Schema.Array(Schema.Union([Schema.String, Schema.Struct({ type: Schema.optional(Schema.String), text: nullish(Schema.String) })]))
    ])
  )
})

/**
 * The fields that change what is answered or refused; all others are tolerated and ignored, as vLLM does.
 *
 * @category schemas
 * @since 0.1.0
 */
export const VllmRequest = Schema.Struct({
  model: Schema.String,
  messages: Schema.Array(Message).check(Schema.isMinLength(1)),
  stream: nullish(Schema.Boolean),
  stream_options: nullish(Schema.Struct({ include_usage: nullish(Schema.Boolean), continuous_usage_stats: nullish(Schema.Boolean) })),
  max_tokens: nullish(integer(1)),
  max_completion_tokens: nullish(integer(1)),
  min_tokens: nullish(integer(0)),
  n: nullish(integer(1, 128)),
  // An int64, which a JavaScript number holds only roughly.
  seed: nullish(Schema.Finite.check(Schema.makeFilter(Number.isInteger, { expected: "an integer" }))),
  stop: nullish(Schema.Union([Schema.NonEmptyString, Schema.Array(Schema.NonEmptyString)])),
  include_stop_str_in_output: nullish(Schema.Boolean),
  ignore_eos: nullish(Schema.Boolean),
  temperature: nullish(within(0, Number.MAX_VALUE)),
  top_p: nullish(Schema.Finite.check(Schema.isGreaterThan(0), Schema.isLessThanOrEqualTo(1))),
  presence_penalty: nullish(within(-2, 2)),
  frequency_penalty: nullish(within(-2, 2)),
  logit_bias: nullish(Schema.Record(Schema.String, Schema.Finite)),
  logprobs: nullish(Schema.Boolean),
  top_logprobs: nullish(integer(-1)),
  prompt_logprobs: nullish(integer(-1)),
  tools: nullish(Schema.Array(Schema.Struct({ function: Schema.Struct({ name: Schema.String }) }))),
  tool_choice: nullish(
    Schema.Union([Schema.Literals(["none", "auto", "required"]), Schema.Struct({ function: Schema.Struct({ name: Schema.String }) })])
  ),
  response_format: nullish(Schema.Struct({ type: Schema.Literals(["text", "json_object", "json_schema", "structural_tag"]) })),
  structured_outputs: nullish(Schema.Record(Schema.String, Schema.Unknown)),
  request_id: nullish(Schema.String),
  user: nullish(Schema.String)
})
/** @since 0.1.0 */
export type VllmRequest = typeof VllmRequest.Type

const decodeUnknown = Schema.decodeUnknownResult(VllmRequest)
const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "MissingKey" ? "Field required" : SchemaIssue.defaultLeafHook(issue))
})

// `messages[0].role`; "" for the body itself. The keys of a record are the client's own words, and a path is logged.
const pathOf = (path: ReadonlyArray<unknown> | undefined) =>
  (path ?? [])
    .map((key) =>
      typeof key === "number"
        ? `[${key}]`
        : `.${String(key)
            .slice(0, 64)
            .replaceAll(/[^\x21-\x7e]/g, "?")}`
    )
    .join("")
    .slice(1)

const fromIssue = (issue: SchemaIssue.Issue): Rejection => {
  const byPath = new Map<string, Array<string>>()
  for (const { message, path } of issuesOf(issue).issues) {
    const at = pathOf(path?.map((segment) => (typeof segment === "object" ? segment.key : segment)))
    byPath.set(at, [...(byPath.get(at) ?? []), message])
  }
  const lines = Array.from(byPath, ([at, messages]) => `${at === "" ? "body" : at}: ${messages.join(" or ")}`)
  return badRequest(lines.slice(0, 5).join("; "), [...byPath.keys()].find((at) => at !== "") ?? null)
}

const conflict = (request: VllmRequest): Rejection | undefined => {
  const { logprobs, min_tokens, prompt_logprobs, stream, stream_options, structured_outputs, tool_choice, tools, top_logprobs } = request
  if (stream_options != null && stream !== true) {
    return badRequest("`stream_options` can only be set when `stream` is true.", "stream_options")
  }
  if (tools?.length === 0) return badRequest("`tools` must not be empty: give at least one tool, or leave the field out.", "tools")
  if (tool_choice != null && tool_choice !== "none") {
    if (tools == null) return badRequest("`tool_choice` needs `tools`.", "tool_choice")
    if (typeof tool_choice === "object" && !tools.some((tool) => tool.function.name === tool_choice.function.name)) {
      return badRequest("`tool_choice` names none of the `tools`.", "tool_choice")
    }
  }
  if (top_logprobs != null && top_logprobs !== 0 && logprobs !== true) {
    return badRequest("`top_logprobs` needs `logprobs` to be true.", "top_logprobs")
  }
  if (prompt_logprobs != null && prompt_logprobs !== 0 && stream === true) {
    return badRequest("`prompt_logprobs` are not available when `stream` is true.", "prompt_logprobs")
  }
  if (["json", "regex", "choice"].filter((key) => structured_outputs?.[key] != null).length > 1) {
    return badRequest("`structured_outputs` takes one of json, regex and choice, not several.", "structured_outputs")
  }
  if (min_tokens != null && min_tokens > (maxTokens(request) ?? Infinity)) {
    return badRequest("`min_tokens` must not be greater than `max_tokens`.", "min_tokens")
  }
}

/**
 * The limit asked for: `max_completion_tokens` before `max_tokens`.
 *
 * @category getters
 * @since 0.1.0
 */
export const maxTokens = (request: VllmRequest): number | undefined => request.max_completion_tokens ?? request.max_tokens ?? undefined

/**
 * The text of each message, its parts joined by line feeds.
 *
 * @category getters
 * @since 0.1.0
 */
export const texts = (request: VllmRequest): ReadonlyArray<{ readonly role: string; readonly text: string }> =>
  request.messages.map(({ content, role }) => {
    if (content == null || typeof content === "string") return { role, text: content ?? "" }
    return { role, text: content.flatMap((part) => (typeof part === "string" ? part : (part.text ?? []))).join("\n") }
  })

const utf8 = new TextDecoder("utf-8", { fatal: true })

const parse = (bytes: ArrayBuffer) =>
  Result.try({
    try: (): unknown => JSON.parse(utf8.decode(bytes)),
    // The parser's own message quotes the body; what was sent stays with the sender.
    catch: (cause) => badRequest(cause instanceof SyntaxError ? "The body is not valid JSON." : "The body is not valid UTF-8.")
  })

/**
 * Reads and checks the body. Fails with status 413 for a body over the server's limit, else 400.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest): Effect.fn.Return<VllmRequest, Rejection> {
  if (request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase() !== "application/json") {
    return yield* badRequest("Unsupported content type: the body must be sent as application/json.")
  }
  const bytes = yield* Effect.mapError(request.arrayBuffer, ({ reason }) =>
    reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
      ? new Rejection({ status: 413, type: "Content Too Large", message: "The body is too large.", param: null })
      : badRequest("The body could not be read.")
  )
  const json = yield* Effect.fromResult(parse(bytes))
  const body = yield* Effect.fromResult(Result.mapError(decodeUnknown(json), (error) => fromIssue(error.issue)))
  const rejection = conflict(body)
  if (rejection !== undefined) return yield* rejection
  return body
})
