/**
 * `POST /v1/chat/completions`, apart from the network and from time: a request's bytes to what is sent back.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Answer from "./Answer.ts"
import * as ChatChunks from "./ChatChunks.ts"
import * as ChatRequest from "./ChatRequest.ts"
import * as ErrorReply from "./ErrorReply.ts"
import * as StructuredAnswer from "./StructuredAnswer.ts"

/**
 * What the endpoint serves.
 *
 * @category models
 * @since 0.1.0
 */
export interface Server extends Answer.Speaker {
  /** The models served; the first is the default. */
  readonly models: ReadonlyArray<string>
  /** Whether the model reads images. */
  readonly images: boolean
  /** The ids of the prompt that a conversation makes. */
  readonly promptTokens: (request: ChatRequest.ChatRequest) => ReadonlyArray<number>
}

/**
 * What is sent back: a short reply, a whole answer, or a stream.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly kind: "reply"; readonly reply: ErrorReply.Reply }
  | { readonly kind: "whole"; readonly answer: Answer.Answer; readonly reply: ErrorReply.Reply }
  | { readonly kind: "stream"; readonly answer: Answer.Answer | undefined; readonly frames: Iterable<ChatChunks.Frame> }

const refused = (refusal: ErrorReply.Refusal, { profile }: Server): Outcome => ({
  kind: "reply",
  reply: ErrorReply.reply(refusal, profile)
})

/**
 * Judges a body and answers it. `id` is what the caller asked to be named by (`x-request-id`), `now` is in milliseconds.
 *
 * @category handlers
 * @since 0.1.0
 */
export const respond = (
  bytes: Uint8Array,
  { contentType, id, now }: { readonly contentType: string | undefined; readonly id: string | undefined; readonly now: number },
  server: Server
): Outcome => {
  const { codec, profile } = server
  const decoded = ChatRequest.decode(bytes, contentType, { ...server, vocabularySize: codec.size })
  if (Result.isFailure(decoded)) return refused(decoded.failure, server)
  const request = decoded.success
  const constraint = StructuredAnswer.refusal(request, profile)
  if (constraint !== undefined) {
    if (request.stream !== true || constraint.kind !== "own") return refused(constraint, server)
    const data = ErrorReply.inBand(constraint, profile)
    return { kind: "stream", answer: undefined, frames: [data, "[DONE]"].map((data) => ({ choice: -1, tokens: 0, data })) }
  }
  const { completion } = profile.ids
  const given = id ?? request.request_id ?? undefined
  const answer = Answer.answer(request, server, {
    id: given === undefined ? ChatChunks.makeId(completion) : completion.prefix + given,
    created: Math.floor(now / 1000),
    model: request.model || (server.models[0] ?? ""),
    promptTokens: server.promptTokens(request)
  })
  const writing = { request, profile, codec }
  if (request.stream === true) return { kind: "stream", answer, frames: ChatChunks.frames(answer, writing) }
  const body = ChatChunks.whole(answer, writing)
  return { kind: "whole", answer, reply: { status: 200, headers: { "content-type": "application/json" }, body } }
}
