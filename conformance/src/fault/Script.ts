/**
 * What the fault server does with a request, as data: steps, byte by byte, and the ways in which the same bytes can be sent.
 *
 * In every text that is written, `{{user}}` is the `user` of the JSON request that is answered.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const milliseconds = Schema.Natural.annotate({ description: "milliseconds" })

const Headers = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)]))

const Head = Schema.Struct({
  step: Schema.Literal("head"),
  status: Schema.Int,
  headers: Schema.optionalKey(Headers),
  framing: Schema.optionalKey(Schema.Literals(["chunked", "length", "close"])).annotateKey({
    description: "How the body's end is told: chunked (default), by Content-Length, or by closing the connection"
  }),
  length: Schema.optionalKey(Schema.Natural).annotateKey({ description: "The Content-Length to claim, when it is not the true one" }),
  keepAlive: Schema.optionalKey(Schema.Boolean).annotateKey({
    description:
      "Leave the connection open after the response. Default false: each request gets a fresh connection, since some runtimes silently repeat a request when a reused one is reset"
  }),
  cors: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Let pages of other origins read the response (default true)" }),
  early: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "Answer as soon as the head of the request is there, and take its body meanwhile (default false)"
  })
})

const Utf8 = Schema.Struct({ step: Schema.Literal("write"), utf8: Schema.String })
const Base64 = Schema.Struct({ step: Schema.Literal("write"), base64: Schema.String })
const Repeat = Schema.Struct({
  step: Schema.Literal("write"),
  repeat: Schema.Struct({ utf8: Schema.String, times: Schema.Natural })
})

const Control = [
  Schema.Struct({ step: Schema.Literal("rawBytes"), base64: Schema.String }).annotate({
    description: "Bytes outside the response's framing, as they are"
  }),
  Schema.Struct({ step: Schema.Literal("rawBytes"), utf8: Schema.String }),
  Schema.Struct({ step: Schema.Literal("delay"), ms: milliseconds }),
  Schema.Struct({ step: Schema.Literal("waitFor"), event: Schema.Literals(["release", "clientRead"]) }).annotate({
    description: "Until the client has received `consume.releaseAfter` chunks, or until the network has taken all bytes written so far"
  }),
  Schema.Struct({ step: Schema.Literal("stall") }).annotate({ description: "Say nothing more until the client leaves" }),
  Schema.Struct({ step: Schema.Literal("fin") }).annotate({ description: "Close the connection now, whatever the framing promised" }),
  Schema.Struct({ step: Schema.Literal("rst") }).annotate({ description: "Reset the connection now" })
] as const

/**
 * What the fault server can do in answer to a request, byte by byte.
 *
 * @category models
 * @since 0.1.0
 */
export const Step = Schema.Union([Head, Utf8, Base64, Repeat, ...Control]).annotate({ identifier: "Step" })
/** @since 0.1.0 */
export type Step = typeof Step.Type

const ChunkChoice = Schema.Struct({
  index: Schema.optionalKey(Schema.Int),
  delta: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)),
  finish_reason: Schema.optionalKey(Schema.NullOr(Schema.String))
})
/** @since 0.1.0 */
export type ChunkChoice = typeof ChunkChoice.Type

const CompletionChoice = Schema.Struct({
  message: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)),
  finish_reason: Schema.optionalKey(Schema.NullOr(Schema.String))
})

/**
 * Steps as cases write them: the fault server's own, and shorter spellings of what is written most.
 *
 * @category models
 * @since 0.1.0
 */
export const CaseStep = Schema.Union([
  Head,
  Utf8,
  Base64,
  Repeat,
  Schema.Struct({ step: Schema.Literal("write"), json: Schema.Json }),
  Schema.Struct({ step: Schema.Literal("events"), events: Schema.Array(Schema.Json) }).annotate({
    description: "Writes of one server-sent event each: a string is the data as it is, anything else is written as JSON"
  }),
  Schema.Struct({ step: Schema.Literal("chunks"), choices: Schema.Array(ChunkChoice) }).annotate({
    description:
      "Writes of one chat.completion.chunk each, with this one choice. The other fields are those of vLLM, with its nulls; index 0 and an empty delta are added if there are none"
  }),
  Schema.Struct({ step: Schema.Literal("completion"), choices: Schema.optionalKey(Schema.Array(CompletionChoice)) }).annotate({
    description:
      "One write of a chat.completion with these choices, by default one that says Hello and finished with stop. The other fields are those of vLLM, with its nulls"
  }),
  ...Control
]).annotate({ identifier: "CaseStep" })
/** @since 0.1.0 */
export type CaseStep = typeof CaseStep.Type

/**
 * A content coding.
 *
 * @category models
 * @since 0.1.0
 */
export const Coding = Schema.Literals(["br", "deflate", "gzip", "zstd"]).annotate({ description: "How the body is compressed" })
/** @since 0.1.0 */
export type Coding = typeof Coding.Type

/** What can be said of a variant, one by one. */
export const axes = {
  split: Schema.Literals(["whole", "each", "bytes", "pieces"]).annotate({
    description:
      "Consecutive writes as one, each for itself (default), every byte for itself, or pieces of 1, 2, 3, 5, 7 and 11 bytes in turn"
  }),
  eol: Schema.Literals(["lf", "cr", "crlf"]).annotate({ description: "What each \\n of a utf8 write is sent as" }),
  coding: Coding
}

/**
 * One way to send a case's bytes.
 *
 * @category models
 * @since 0.1.0
 */
export const Variant = Schema.Struct({
  split: Schema.optionalKey(axes.split),
  eol: Schema.optionalKey(axes.eol),
  coding: Schema.optionalKey(axes.coding)
})
/** @since 0.1.0 */
export type Variant = typeof Variant.Type

/**
 * What the fault server is given for one case: the steps of each attempt, and how to send their bytes.
 *
 * @category models
 * @since 0.1.0
 */
export const Script = Schema.Struct({
  attempts: Schema.Array(Schema.Array(Step)),
  variant: Schema.optionalKey(Variant),
  refusesPreflight: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Answer preflights with 403 (default false)" }),
  token: Schema.optionalKey(Schema.String).annotateKey({
    description: "Requests with this bearer token belong to the case even where their path does not say so"
  })
})
/** @since 0.1.0 */
export type Script = typeof Script.Type

const envelope = { id: "chatcmpl-1", created: 1_700_000_000, model: "model-a" }

// The fields of vLLM 0.32, in its order.
const chunkOf = ({ delta = {}, finish_reason = null, index = 0, ...rest }: ChunkChoice) => ({
  id: envelope.id,
  object: "chat.completion.chunk",
  created: envelope.created,
  model: envelope.model,
  choices: [
    { index, delta, logprobs: null, finish_reason, ...(finish_reason === null ? {} : { stop_reason: null }), token_ids: null, ...rest }
  ],
  ...("role" in delta ? { prompt_token_ids: null, prompt_text: null } : {})
})

const absent = { refusal: null, annotations: null, audio: null, function_call: null }

const completionOf = (choices: ReadonlyArray<typeof CompletionChoice.Type>) => ({
  id: envelope.id,
  object: "chat.completion",
  created: envelope.created,
  model: envelope.model,
  choices: choices.map(({ finish_reason = "stop", message }, index) => ({
    index,
    message: { role: "assistant", content: "Hello", ...absent, reasoning: null, ...message },
    logprobs: null,
    finish_reason,
    stop_reason: null,
    token_ids: null,
    routed_experts: null
  })),
  service_tier: null,
  system_fingerprint: null,
  usage: { prompt_tokens: 3, total_tokens: 5, completion_tokens: 2, prompt_tokens_details: null, completion_tokens_details: null },
  prompt_logprobs: null,
  prompt_token_ids: null,
  prompt_text: null,
  kv_transfer_params: null,
  ec_transfer_params: null,
  metrics: null
})

const event = (data: unknown): Step => ({ step: "write", utf8: `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n` })

/**
 * A step as cases write it, in the fault server's own steps.
 *
 * @category rendering
 * @since 0.1.0
 */
export const spellOut = (step: CaseStep): ReadonlyArray<Step> => {
  if (step.step === "events") return step.events.map(event)
  if (step.step === "chunks") return step.choices.map((choice) => event(chunkOf(choice)))
  if (step.step === "completion") return [{ step: "write", utf8: JSON.stringify(completionOf(step.choices ?? [{}])) }]
  if (step.step === "write" && "json" in step) return [{ step: "write", utf8: JSON.stringify(step.json) }]
  return [step]
}
