/**
 * A conformance case for a server: what it is sent, and what must come back. Cases are data, in `cases/server/*.json`; this is their schema.
 *
 * Strings anywhere in a case may hold `{{model}}`, `{{key}}` (the caller's), `{{wrongKey}}`, `{{forbiddenModel}}`, `{{faultModel}}` (the model
 * whose upstream is the fault server), `{{endpoint}}` and `{{base}}` (paths), `{{origin}}`, `{{host}}`, `{{nonce}}` and `{{long}}` (300 characters).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Expectation } from "../case/Case.ts"
import * as Basis from "../case/Basis.ts"
import { Pattern } from "../case/Pattern.ts"
import { CaseStep } from "../fault/Script.ts"
import { factNames } from "./ServerFact.ts"

const milliseconds = Schema.Natural.annotate({ description: "milliseconds" })

/**
 * What a server speaks as: this project's contract, vLLM's own, or OpenAI's.
 *
 * @category models
 * @since 0.1.0
 */
export const Profile = Schema.Literals(["paradigm", "vllm", "openai"])
/** @since 0.1.0 */
export type Profile = typeof Profile.Type

/**
 * What a server may lack. Its profile declares what it has, and what it was said to have besides; the last six follow from what the runner
 * was given. A case that needs what is not declared is n/a; there is no other way not to run.
 *
 * - `challenge`: 401 comes with `WWW-Authenticate`
 * - `fields`: a refused body names its fields
 * - `one-model`: a body with two `model` keys is refused
 * - `negotiation`: an `Accept` that cannot be met is refused
 * - `choices`: `n` above 1; `tools`, `seed`, `continuous-usage`: the request fields of these names
 * - `form`, `multipart`: bodies as forms; `models`, `health`: these paths; `cors`: pages of other origins may call
 * - `request-id`: every answer has an `x-request-id`; `no-transform`: streams say that they may not be held back on their way
 * - `model-required`: a request without a model is rejected, not answered by a default model
 * - `own-credential`: a gateway that asks its upstream with a credential of its own, and never with the caller's
 * - `vllm-rules`: requests that vLLM rejects are rejected, as an empty list of tools
 * - `key`: a key was given; `forbidden-model`: the name of a model that this key may not use; `body-limit`: the largest body taken
 * - `upstream`: a model whose upstream is the fault server; `running-count`: how many answers are being generated can be asked
 * - `sockets`: the runner can write bytes that no HTTP client writes
 *
 * @category models
 * @since 0.1.0
 */
export const ServerCapability = Schema.Literals([
  "challenge",
  "fields",
  "one-model",
  "negotiation",
  "choices",
  "tools",
  "seed",
  "continuous-usage",
  "form",
  "multipart",
  "models",
  "health",
  "cors",
  "request-id",
  "no-transform",
  "model-required",
  "own-credential",
  "vllm-rules",
  "key",
  "forbidden-model",
  "body-limit",
  "upstream",
  "running-count",
  "sockets"
])
/** @since 0.1.0 */
export type ServerCapability = typeof ServerCapability.Type

const Body = Schema.Union([
  Schema.Struct({
    json: Schema.Json,
    padTo: Schema.optionalKey(Schema.Literals(["limit", "over-limit"])).annotateKey({
      description: "Fill the member `padding` until the body is as large as the server takes, or one byte larger"
    })
  }),
  Schema.Struct({ utf8: Schema.String }),
  Schema.Struct({ base64: Schema.String }),
  Schema.Struct({ form: Schema.Array(Schema.Tuple([Schema.String, Schema.String])) }),
  Schema.Struct({
    multipart: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String, fileName: Schema.optionalKey(Schema.String) }))
  })
])

/**
 * A request over HTTP. What is left out: POST, to the endpoint, with the caller's key and the content type of the body.
 *
 * @category models
 * @since 0.1.0
 */
export const ServerRequest = Schema.Struct({
  method: Schema.optionalKey(Schema.String),
  path: Schema.optionalKey(Schema.String).annotateKey({ description: "From the origin on" }),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.NullOr(Schema.String))).annotateKey({
    description: "By lower-case name; null leaves one out"
  }),
  body: Schema.optionalKey(Body)
}).annotate({ identifier: "ServerRequest" })
/** @since 0.1.0 */
export type ServerRequest = typeof ServerRequest.Type

/**
 * What is written to one connection, one after the other: text as it is, or a request whose framing is worked out.
 *
 * @category models
 * @since 0.1.0
 */
export const RawWrite = Schema.Union([
  Schema.Struct({ utf8: Schema.String }),
  Schema.Struct({
    head: Schema.NonEmptyArray(Schema.String).annotateKey({ description: "Request line and header lines, without those of the framing" }),
    json: Schema.optionalKey(Schema.Json),
    framing: Schema.optionalKey(Schema.Literals(["length", "chunked"])),
    withhold: Schema.optionalKey(Schema.Natural).annotateKey({ description: "So many bytes of the body are never sent" })
  })
])
/** @since 0.1.0 */
export type RawWrite = typeof RawWrite.Type

/**
 * What must come back.
 *
 * @category models
 * @since 0.1.0
 */
export const ServerExpectation = Schema.Struct({
  status: Schema.optionalKey(Pattern),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Pattern)).annotateKey({ description: "By lower-case name" }),
  json: Schema.optionalKey(Pattern).annotateKey({ description: "The body" }),
  body: Schema.optionalKey(Pattern).annotateKey({ description: "The body as it came, for what JSON.parse changes" }),
  refusal: Schema.optionalKey(Schema.Literal(true)).annotateKey({
    description: "The body is an error as the profile has it, as application/json"
  }),
  says: Schema.optionalKey(Pattern).annotateKey({ description: "The message of the error, in whichever shape the profile has it" }),
  text: Schema.optionalKey(Schema.Array(Pattern)).annotateKey({ description: "Content by choice, streamed or not" }),
  finish: Schema.optionalKey(Schema.Array(Pattern)).annotateKey({ description: "Finish reasons by choice, streamed or not" }),
  events: Schema.optionalKey(Schema.Array(Pattern)).annotateKey({
    description: "The data of every event, in order; parsed, where it is JSON"
  }),
  facts: Schema.optionalKey(Schema.Array(Schema.Literals(factNames))).annotateKey({
    description: "What holds of the answer, whatever a model says"
  }),
  statuses: Schema.optionalKey(Schema.Array(Pattern)).annotateKey({ description: "Of all responses on a raw connection, in order" }),
  whole: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Whether the answer ends as its framing says (default true)" }),
  running: Schema.optionalKey(Schema.Struct({ atMost: Schema.Natural, withinMs: milliseconds })).annotateKey({
    description: "How many answers are being generated, so long after the end; before it, at least one must have been"
  }),
  upstream: Schema.optionalKey(
    Schema.Struct({
      attempts: Schema.optionalKey(Schema.Natural),
      wire: Schema.optionalKey(Expectation.fields.wire.schema),
      closedWithinMs: Schema.optionalKey(milliseconds).annotateKey({
        description: "The gateway closes its connection to the upstream, so long after the end at most"
      })
    })
  ).annotateKey({ description: "What the gateway's upstream saw" })
}).annotate({ identifier: "ServerExpectation" })
/** @since 0.1.0 */
export type ServerExpectation = typeof ServerExpectation.Type

const expectations = {
  expect: ServerExpectation,
  expectIn: Schema.optionalKey(
    Schema.Struct({
      paradigm: Schema.optionalKey(ServerExpectation),
      vllm: Schema.optionalKey(ServerExpectation),
      openai: Schema.optionalKey(ServerExpectation)
    })
  ).annotateKey({ description: "What a profile expects instead, member by member" })
}

/**
 * A request and what must come back, or bytes on a connection of their own.
 *
 * @category models
 * @since 0.1.0
 */
export const Exchange = Schema.Union([
  Schema.Struct({
    request: ServerRequest,
    times: Schema.optionalKey(Schema.Natural).annotateKey({
      description: "Send it so often, all at once; each must be answered as expected, and {{n}} is the number of each, from 1"
    }),
    leave: Schema.optionalKey(Schema.Union([Schema.Literals(["asked", "running"]), Schema.Struct({ events: Schema.Natural })])).annotateKey(
      {
        description: "Close the connection once the upstream has the request, once the answer is being generated, or after so many events"
      }
    ),
    ...expectations
  }),
  Schema.Struct({
    raw: Schema.NonEmptyArray(RawWrite),
    leave: Schema.optionalKey(Schema.Literal("written")).annotateKey({ description: "Close the connection once all is written" }),
    ...expectations
  })
]).annotate({ identifier: "Exchange" })
/** @since 0.1.0 */
export type Exchange = typeof Exchange.Type

/**
 * A case.
 *
 * @category models
 * @since 0.1.0
 */
export const ServerCase = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^server-[a-z0-9-]+\/[a-z0-9-]+$/)).annotateKey({ description: "group/name; never changes" }),
  rule: Schema.NonEmptyString.annotateKey({ description: "What is held, in one sentence" }),
  side: Schema.Literal("server"),
  since: Schema.String.annotateKey({ description: "The suite's version that brought it" }),
  ...Basis.fields,
  needs: Schema.Array(ServerCapability),
  upstream: Schema.optionalKey(Schema.Array(Schema.Array(CaseStep))).annotateKey({
    description: "What the fault server does as the model's upstream, per request it gets"
  }),
  exchanges: Schema.NonEmptyArray(Exchange).annotateKey({ description: "One after the other" }),
  compare: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        of: Schema.Tuple([Schema.Natural, Schema.Natural]).annotateKey({ description: "Two exchanges, from 0" }),
        what: Schema.Literals(["text", "finish", "usage", "refusal", "request-id"]).annotateKey({
          description: "refusal: status and body, but for ids and the name of the model that each asked for"
        }),
        differ: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "They must not be the same" })
      })
    )
  ).annotateKey({ description: "What must be the same in two answers" })
})
  .check(Basis.check)
  .annotate({ identifier: "ServerCase" })
/** @since 0.1.0 */
export type ServerCase = typeof ServerCase.Type

/**
 * What each profile is: the path that a bare origin is completed by, what it declares, and the shape of its errors, where `"{{status}}"` is the
 * response's status as a number.
 *
 * @category models
 * @since 0.1.0
 */
export const ProfileFile = Schema.Struct({
  $schema: Schema.optionalKey(Schema.String),
  profiles: Schema.Record(
    Profile,
    Schema.Struct({
      base: Schema.String,
      capabilities: Schema.Array(ServerCapability),
      refusal: Pattern
    })
  )
})
/** @since 0.1.0 */
export type ProfileFile = typeof ProfileFile.Type
