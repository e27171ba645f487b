/**
 * A conformance case: what a client is asked to do, what a server does to it, and what must come of it. Cases are data, in
 * `cases/*.json`; this is their schema, from which `cases.schema.json` is generated.
 *
 * Strings anywhere in a case may hold `{{key}}` (the run's secret), `{{path}}` (where the case stands on each origin of the fault server), `{{n}}` (the
 * number of the call), `{{in2s}}` (the HTTP date two seconds from the start of the case), `{{mib}}` (1 MiB of text), and what `Origins` lists by name:
 * `{{a}}` and `{{b}}`, `{{tls}}` (a certificate that nobody trusts), `{{closed}}` (nobody listens), `{{ca}}` and so on.
 *
 * @since 0.1.0
 */
import * as ParadigmError from "@paradigm-effect/core/ParadigmError"
import * as Schema from "effect/Schema"
import * as Basis from "./Basis.ts"
import { Pattern } from "./Pattern.ts"
import { axes, CaseStep, Coding } from "../fault/Script.ts"

const milliseconds = Schema.Natural.annotate({ description: "milliseconds" })

/**
 * Where a subject runs.
 *
 * @category models
 * @since 0.1.0
 */
export const Runtime = Schema.Literals(["node", "browser", "deno", "bun", "workers"])
/** @since 0.1.0 */
export type Runtime = typeof Runtime.Type

/**
 * What a subject may lack. A case that needs a capability its subject does not declare is n/a; there is no other way not to run.
 *
 * `house` stands for this project's errors: `expect.house` is asked of subjects that declare it, and no case needs it. `utf16` stands for a
 * language whose strings can hold half of a surrogate pair. `confined` stands for a program that may only reach the addresses of the fault server as they are
 * written.
 *
 * @category models
 * @since 0.1.0
 */
export const Capability = Schema.Literals([
  "abort",
  ...Coding.literals,
  "ca",
  "confined",
  "form",
  "house",
  "http2",
  "keys",
  "multipart",
  "proxy",
  "retry",
  "timeouts",
  "utf16"
])
/** @since 0.1.0 */
export type Capability = typeof Capability.Type

/**
 * Why a call failed: the names of `ParadigmError`'s reasons. Subjects of other clients map their errors to these.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Literals(ParadigmError.reasons)
/** @since 0.1.0 */
export type Reason = typeof Reason.Type

/**
 * How a client is made: what a case leaves out is the case's own key and address, and the client's own defaults.
 *
 * @category models
 * @since 0.1.0
 */
export const Client = Schema.Struct({
  apiKey: Schema.optionalKey(Schema.String),
  apiKeys: Schema.optionalKey(Schema.NonEmptyArray(Schema.String)).annotateKey({
    description: "The keys that a function returns, given in place of the key: one for each time it is called, and then the last one"
  }),
  baseUrl: Schema.optionalKey(Schema.String),
  ca: Schema.optionalKey(Schema.String).annotateKey({ description: "The certificate of an authority to trust, as PEM" }),
  proxy: Schema.optionalKey(Schema.String).annotateKey({ description: "The URL of a proxy for all requests" }),
  http2: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Offer HTTP/2, where the client does so only when it is told" }),
  retry: Schema.optionalKey(Schema.Struct({ attempts: Schema.Natural, baseDelay: Schema.optionalKey(milliseconds) })).annotateKey({
    description: "How often a request is sent at most, 1 is never again, and the wait before the second time"
  }),
  timeouts: Schema.optionalKey(
    Schema.Struct({
      connect: Schema.optionalKey(milliseconds),
      headers: Schema.optionalKey(milliseconds),
      firstChunk: Schema.optionalKey(milliseconds),
      idle: Schema.optionalKey(milliseconds),
      total: Schema.optionalKey(milliseconds)
    })
  )
}).annotate({ identifier: "Client" })
/** @since 0.1.0 */
export type Client = typeof Client.Type

/**
 * What the client is asked to do.
 *
 * @category models
 * @since 0.1.0
 */
export const Operation = Schema.Struct({
  kind: Schema.Literals(["json", "stream", "form", "multipart"]),
  request: Schema.Record(Schema.String, Schema.Json),
  client: Schema.optionalKey(Client),
  calls: Schema.optionalKey(Schema.Struct({ count: Schema.Natural, together: Schema.Boolean })).annotateKey({
    description:
      "Make the call so often with one client, at once or one after the other; {{n}} is the number of each, from 1, and what is expected of the outcome is expected of each"
  })
})
/** @since 0.1.0 */
export type Operation = typeof Operation.Type

/**
 * How the client's user behaves.
 *
 * @category models
 * @since 0.1.0
 */
export const Consume = Schema.Struct({
  take: Schema.optionalKey(Schema.Natural).annotateKey({ description: "Leave the stream after so many chunks" }),
  abortAt: Schema.optionalKey(
    Schema.Union([Schema.Literals(["start", "request", "head"]), Schema.Struct({ chunks: Schema.Natural })])
  ).annotateKey({
    description: "Abort before starting, when the server has the request, when it has sent a head, or after so many chunks"
  }),
  releaseAfter: Schema.optionalKey(Schema.Natural).annotateKey({
    description:
      "Chunks to receive before the server's waitFor release goes on: the server can thus only go on if they came through at once"
  }),
  readDelayMs: Schema.optionalKey(milliseconds).annotateKey({ description: "Rest after each chunk" }),
  stallMs: Schema.optionalKey(milliseconds).annotateKey({ description: "Rest once, after the first chunk" })
}).annotate({ identifier: "Consume" })
/** @since 0.1.0 */
export type Consume = typeof Consume.Type

const WireRequest = Schema.Struct({
  method: Schema.optionalKey(Pattern),
  path: Schema.optionalKey(Pattern).annotateKey({ description: "Path and query, below the case's own path" }),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Pattern)).annotateKey({
    description: "By lower-case name; a header sent twice is joined by a comma and a space"
  }),
  body: Schema.optionalKey(Pattern).annotateKey({ description: "The body, parsed as JSON" }),
  bodyText: Schema.optionalKey(Pattern).annotateKey({ description: "The body as it was sent, for what JSON.parse changes" }),
  form: Schema.optionalKey(Pattern).annotateKey({
    description: "The body, urlencoded or multipart by its content type, as a list of [name, value]"
  }),
  sameBodyAs: Schema.optionalKey(Schema.Natural).annotateKey({
    description: "The number of a request with the same body, byte by byte, from 0"
  }),
  afterMs: Schema.optionalKey(Schema.Struct({ atLeast: milliseconds, atMost: milliseconds })).annotateKey({
    description: "How long after the request before it"
  })
})

/**
 * What must come of it.
 *
 * @category models
 * @since 0.1.0
 */
export const Expectation = Schema.Struct({
  outcome: Schema.Literals(["chunks", "completion", "error", "aborted"]),
  text: Schema.optionalKey(Schema.Array(Schema.String)).annotateKey({
    description: "Content by choice: of the completion, or of all chunks that were delivered, also before an error"
  }),
  chunks: Schema.optionalKey(Schema.Array(Pattern)).annotateKey({ description: "Every chunk delivered, in order" }),
  completion: Schema.optionalKey(Pattern),
  answer: Schema.optionalKey(Pattern).annotateKey({
    description:
      "The completion, or all chunks that were delivered, folded: {choices: [{text, reasoning, calls: [{name, arguments}], finish}], usage}"
  }),
  house: Schema.optionalKey(
    Schema.Struct({
      reason: Schema.optionalKey(Schema.Union([Reason, Schema.Struct({ $oneOf: Schema.Array(Reason) })])),
      status: Schema.optionalKey(Pattern),
      code: Schema.optionalKey(Pattern).annotateKey({ description: "The server's word or code for the error, as a text" }),
      retryable: Schema.optionalKey(Schema.Boolean),
      stage: Schema.optionalKey(Pattern),
      phase: Schema.optionalKey(Pattern),
      requestId: Schema.optionalKey(Pattern),
      message: Schema.optionalKey(Pattern),
      partial: Schema.optionalKey(Pattern).annotateKey({ description: "The completion as far as it had come" }),
      usage: Schema.optionalKey(Pattern)
    })
  ).annotateKey({ description: "The error in this project's terms: asked of subjects with the capability `house` alone" }),
  attempts: Schema.optionalKey(Schema.Natural).annotateKey({
    description: "How many requests the server saw (default 1), preflights apart"
  }),
  wire: Schema.optionalKey(Schema.Array(WireRequest)).annotateKey({ description: "What each of them was" }),
  connectionsAtMost: Schema.optionalKey(Schema.Natural).annotateKey({ description: "Over how many connections they came" }),
  preflightHeaders: Schema.optionalKey(Schema.Array(Schema.String)).annotateKey({
    description: "The headers a browser asks leave for, sorted; not looked at where nothing is asked"
  }),
  timing: Schema.optionalKey(Schema.Struct({ atLeastMs: Schema.optionalKey(milliseconds), withinMs: milliseconds })).annotateKey({
    description: "When the outcome must be there, from the start of the call"
  }),
  resources: Schema.optionalKey(Schema.Struct({ closedBy: Schema.Literals(["client", "server"]), withinMs: milliseconds })).annotateKey({
    description: "Who closes the connection, and how long after the outcome at most"
  }),
  bytesWrittenAtMost: Schema.optionalKey(Schema.Record(Runtime, Schema.Natural)).annotateKey({
    description: "How many bytes the server could write until the outcome, by runtime: what lies in the buffers between differs"
  }),
  secretsAbsent: Schema.optionalKey(Schema.Array(Schema.String)).annotateKey({
    description: "What, beside the key, may not be found in any printed form of an error. An empty list asks for the key alone"
  })
}).annotate({ identifier: "Expectation" })
/** @since 0.1.0 */
export type Expectation = typeof Expectation.Type

/**
 * A case.
 *
 * @category models
 * @since 0.1.0
 */
export const Case = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^[a-z0-9-]+\/[a-z0-9-]+$/)).annotateKey({ description: "group/name; never changes" }),
  rule: Schema.NonEmptyString.annotateKey({ description: "What is held, in one sentence" }),
  side: Schema.Literals(["client", "server"]),
  since: Schema.String.annotateKey({ description: "The suite's version that brought it" }),
  ...Basis.fields,
  needs: Schema.Array(Capability),
  runtimes: Schema.optionalKey(Schema.NonEmptyArray(Runtime)).annotateKey({ description: "Where it applies, if not everywhere" }),
  operation: Operation,
  server: Schema.Array(Schema.Array(CaseStep)).annotateKey({
    description: "Per attempt, what the server does once it has the whole request"
  }),
  refusesPreflight: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "The server refuses the preflights of browsers (default false)"
  }),
  consume: Schema.optionalKey(Consume),
  expect: Expectation,
  axes: Schema.optionalKey(
    Schema.Struct({
      split: Schema.optionalKey(Schema.NonEmptyArray(axes.split)),
      eol: Schema.optionalKey(Schema.NonEmptyArray(axes.eol)),
      coding: Schema.optionalKey(Schema.NonEmptyArray(axes.coding))
    })
  ).annotateKey({ description: "Run once for each combination" })
})
  .check(Basis.check)
  .annotate({ identifier: "Case" })
/** @since 0.1.0 */
export type Case = typeof Case.Type
