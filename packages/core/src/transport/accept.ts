// Classifies a response: by its status, by its content type, and by its first bytes if the content type is missing or wrong.
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ErrorBody from "../ErrorBody.ts"
import { excerpt, ParadigmError, RedirectRefused, UnexpectedResponse } from "../ParadigmError.ts"
import { type OpenResponse, type Reads, timed } from "./attempt.ts"

/** Kind of the requested response. */
export interface Asked {
  readonly url: URL
  readonly model: string
  readonly stream: boolean
  /** The limit for the first bytes of a stream, in milliseconds. */
  readonly firstChunk: number
}

const errorBodyLimit = 64 * 1024

/**
 * The part of a body that arrives within 2 seconds, at most 64 KiB. A body may never end, break off, or be a whole page. An ellipsis marks
 * a body that was cut, unless its end may be the end of JSON or of a page.
 */
const readBeginning = ({ reads }: OpenResponse): Effect.Effect<string> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let text = ""
    let isCut = true
    const more: Effect.Effect<void, unknown> = Effect.flatMap(reads, (bytes) => {
      for (const read of bytes) text += decoder.decode(read, { stream: true })
      return text.length < errorBodyLimit ? more : Effect.void
    })
    const all = Effect.catch(more, (error) => Effect.sync(() => void (isCut = !Cause.isDone(error))))
    return Effect.map(Effect.raceFirst(all, Effect.sleep(2000)), () => (isCut && !/[\]}>"]\s*$/.test(text) ? `${text}…` : text))
  })

// Without the query, which may hold credentials.
const addressOf = ({ origin, pathname }: URL) => origin + pathname

/** The error of a response that has a success status but is not a completion. */
export const unexpected = ({ headers, requestId, status }: OpenResponse, detail: string, body: string): ParadigmError =>
  new ParadigmError({
    reason: new UnexpectedResponse({ status, contentType: headers["content-type"], detail, excerpt: excerpt(body) }),
    requestId
  })

const refuse = Effect.fnUntraced(function* (response: OpenResponse, { model, url }: Asked): Effect.fn.Return<never, ParadigmError> {
  const { headers, requestId, status } = response
  const body = yield* readBeginning(response)
  // A browser hides a redirect behind the status 0.
  if (status === 0 || (status >= 300 && status < 400)) {
    // A URL without a host is none.
    const target = URL.parse(headers["location"] ?? "http://", url)
    return yield* new ParadigmError({ reason: new RedirectRefused({ status, url: target ? addressOf(target) : undefined }), requestId })
  }
  if (status < 400) return yield* unexpected(response, "its status is not 200", body)
  const now = yield* Clock.currentTimeMillis
  return yield* new ParadigmError({ reason: ErrorBody.toReason({ status, headers, body, model, url, now }), requestId })
})

// The first line of an event stream: a field that servers send, or a comment.
const eventStream = /^\s*(?:data|event|id|retry|error)?:/
const longestField = "event: ".length

// Reads the first characters of a body, and returns them with a body that still has them.
const peek = (response: OpenResponse): Effect.Effect<{ readonly beginning: string; readonly response: OpenResponse }, ParadigmError> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    const held: Array<Uint8Array> = []
    let beginning = ""
    let ended: Reads | undefined
    const more: Effect.Effect<void> = Effect.matchEffect(response.reads, {
      onFailure: (error) => Effect.sync(() => void (ended = Cause.isDone(error) ? Cause.done() : Effect.fail(error))),
      onSuccess: (bytes) => {
        held.push(...bytes)
        for (const read of bytes) beginning += decoder.decode(read, { stream: true })
        return beginning.trimStart().length < longestField && beginning.length < errorBodyLimit ? more : Effect.void
      }
    })
    const reads: Reads = Effect.suspend(() => {
      const bytes = held.splice(0)
      return Arr.isReadonlyArrayNonEmpty(bytes) ? Effect.succeed(bytes) : (ended ?? response.reads)
    })
    return Effect.map(more, () => ({ beginning, response: { ...response, reads } }))
  })

const decide = Effect.fnUntraced(function* (response: OpenResponse, asked: Asked): Effect.fn.Return<OpenResponse, ParadigmError> {
  if (response.status !== 200) return yield* refuse(response, asked)
  const contentType = response.headers["content-type"] ?? ""
  const labelled = /^\s*text\/event-stream\s*(;|$)/i.test(contentType)
  // Decided before the body is read, because the body of a page or of a stream may be endless.
  // A page is usually an answer to a wrong path.
  const isPage = /^\s*text\/html/i.test(contentType)
  const other = isPage ? `${addressOf(asked.url)} is a page: check baseUrl (/api/v3)` : undefined
  if (!asked.stream) {
    if (!labelled && !isPage) return response
    return yield* unexpected(response, other ?? "it is not JSON", yield* readBeginning(response))
  }
  if (labelled) return response
  const peeked = yield* timed(peek(response), "firstChunk", asked.firstChunk)
  if (eventStream.test(peeked.beginning)) return peeked.response
  const body = yield* readBeginning(peeked.response)
  const fault = ErrorBody.fromText(body)
  if (fault === undefined) return yield* unexpected(response, other ?? "it is not an event stream", body)
  return yield* new ParadigmError({ reason: fault, requestId: response.requestId })
})

/**
 * Accepts the response to a request for a completion or a stream. Otherwise closes the connection and fails with the error of
 * its status, with the error that its body reports, or with `UnexpectedResponse`. Fails with `Timeout` when the first bytes of a
 * stream without a content type do not arrive within the limit.
 */
export const accept = (response: OpenResponse, asked: Asked): Effect.Effect<OpenResponse, ParadigmError> =>
  // `Effect.onError` would add bytes to a page.
  Effect.onExit(decide(response, asked), (exit) => (Exit.isFailure(exit) ? response.close : Effect.void))

// In characters. Bounds an endless body. A completion is far smaller.
const maxBodySize = 64 * 1024 * 1024

/** The whole body as text. Fails with `UnexpectedResponse` when it exceeds 64 Mi characters. */
export const readText = (response: OpenResponse): Effect.Effect<string, ParadigmError> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let text = ""
    const more: Effect.Effect<string, ParadigmError> = Effect.matchEffect(response.reads, {
      onFailure: (error) =>
        Cause.isDone(error)
          ? Effect.succeed(text + decoder.decode())
          : Effect.fail(new ParadigmError({ reason: error, requestId: response.requestId })),
      onSuccess: (bytes) => {
        for (const read of bytes) text += decoder.decode(read, { stream: true })
        return text.length > maxBodySize ? Effect.fail(unexpected(response, `it is larger than ${maxBodySize} characters`, text)) : more
      }
    })
    return more
  })
