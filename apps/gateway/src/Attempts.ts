/**
 * The way of a request to the replicas of its model: one after the other until the first event of an answer, which commits the response. After it,
 * another replica goes on with the stream where the model's settings allow it, or a failure is told to the client in the stream.
 */
import type { StreamFault } from "@paradigm-effect/core/ParadigmError"
import * as Redacted from "effect/Redacted"
import { CarriedRequest } from "./CarriedRequest.ts"
import { Continuation, type Post, type Step } from "./Continuation.ts"
import type { ChunkReader } from "./ContinuedStream.ts"
import type { Downlink } from "./Downlink.ts"
import { EventTail, renaming } from "./EventTail.ts"
import type { GatewayFailure } from "./GatewayFailure.ts"
import { askJson } from "./JsonCall.ts"
import type { Model } from "./Registry.ts"
import type { Replica } from "./Replica.ts"
import type { Applicant, Member } from "./ReplicaPool.ts"
import type { Outcome, RequestRecord } from "./RequestRecord.ts"
import { ResponseSink } from "./ResponseSink.ts"
import { tokenCounts } from "./TokenCounts.ts"
import type { Chunk } from "./Transcript.ts"
import { type Stage, type UpstreamBody, UpstreamCall, type UpstreamRequest, type UpstreamSink } from "./UpstreamCall.ts"
import { badGateway, type Failed, faultOf, lossOf, type Refusal, refusalOf, withReason } from "./UpstreamFailure.ts"
import { judge } from "./WholeAnswer.ts"
import type { Withheld } from "./Withheld.ts"

/** A request to relay. */
export interface Relayed {
  readonly model: Model
  /** The name of the model that was asked for. */
  readonly name: string
  /** Whose turn it is in the queue of the model. */
  readonly key: string
  readonly affinity: string | undefined
  readonly stream: boolean
  /** Number of choices that were asked for. */
  readonly choices: number
  readonly withheld: Withheld
  /** Whether the client asked for no reasoning, and the gateway did. */
  readonly hidesReasoning: boolean
  /** The JSON of a member of the body, as replicas get it. */
  readonly member: (name: string) => string | undefined
  /** The body for a name of the model at a replica, with further members set. */
  readonly bodyFor: (model: string, set?: ReadonlyMap<string, string>) => Uint8Array
  readonly headers: Readonly<Record<string, string>>
  /** Time without an event after which the head of a stream is sent, in milliseconds. */
  readonly commitAfter: number
}

const maxAnswer = 64 * 1024 * 1024
const maxAttempts = 8
// A replica that answers so does not have the path, or does not serve it.
const impossible = new Set([403, 404, 405, 501])
const continued = ": continued on another replica\n\n"

/** Relays one request. */
export class Attempts {
  readonly #relayed: Relayed
  readonly #downlink: Downlink
  readonly #record: RequestRecord
  readonly #onEnd: (outcome: Outcome) => void
  readonly #excluded = new Set<Replica>()
  readonly #continuation: Continuation | undefined
  #deadline: number
  #commit: NodeJS.Timeout | undefined
  #applicant: Applicant | undefined
  #member: Member | undefined
  #call: UpstreamCall | undefined
  #tail: EventTail | undefined
  #reader: ChunkReader | undefined
  // How the replica goes on with the stream; its first event makes it true.
  /** The header of the span of the attempt. */
  #trace: Readonly<Record<string, string>> = {}
  #step: Step | undefined
  #isContinuing = false
  #hasGoneOn = true
  #attempts = 0
  #isFresh = false
  #last: Failed | undefined
  // Levels that replicas could not do, for the operator.
  readonly #lowered: Array<string> = []
  #isOver = false

  constructor(relayed: Relayed, downlink: Downlink, record: RequestRecord, onEnd: (outcome: Outcome) => void) {
    this.#relayed = relayed
    this.#downlink = downlink
    this.#record = record
    this.#onEnd = onEnd
    this.#deadline = performance.now() + relayed.model.config.timeouts.failover
    const { bodyFor, hidesReasoning, member, model, name, withheld } = relayed
    const { carryOn } = model.config
    if (relayed.stream && carryOn !== undefined) {
      this.#continuation = new Continuation({
        carryOn,
        request: new CarriedRequest(member),
        shown: { name, withheld, hidesReasoning },
        bodyFor
      })
    }
    if (relayed.stream) this.#commit = setTimeout(() => downlink.commit(), relayed.commitAfter)
    this.#next()
  }

  /** Ends the request without an answer, or with a failure. */
  cancel(outcome: Outcome, failure?: GatewayFailure): void {
    if (this.#isOver) return
    this.#call?.abort()
    this.#release()
    if (failure !== undefined) {
      this.#record.detail = failure.detail
      this.#downlink.fail(failure)
    }
    this.#end(outcome)
  }

  #end(outcome: Outcome): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#record.usage ??= this.#step === undefined ? this.#tail?.usage : tokenCounts(this.#continuation?.transcript.usage)
    this.#record.malformed = this.#tail?.malformed ?? 0
    clearTimeout(this.#commit)
    if (this.#applicant !== undefined) this.#relayed.model.pool.cancel(this.#applicant)
    this.#onEnd(outcome)
  }

  #release(): void {
    const member = this.#member
    this.#member = undefined
    this.#reader?.stop()
    this.#reader = undefined
    if (member !== undefined) this.#relayed.model.pool.release(member)
  }

  #next(): void {
    const { affinity, key, model } = this.#relayed
    this.#record.queued()
    this.#applicant = {
      key,
      excluded: this.#excluded,
      affinity,
      onReplica: (member) => {
        this.#applicant = undefined
        this.#send(member)
      },
      onFailure: (failure) => {
        this.#applicant = undefined
        const last = this.#last ?? { failure, isRetryable: false, isFault: false }
        this.#fail(this.#isContinuing ? withReason(last, ["no replica is left", ...this.#lowered]) : last)
      }
    }
    model.pool.apply(this.#applicant)
  }

  #send(member: Member): void {
    this.#member = member
    this.#attempts++
    this.#trace = this.#record.sent(member.replica.origin)
    if (this.#isContinuing) return this.#goOn(member)
    const { bodyFor, stream } = this.#relayed
    const sink = stream ? this.#streamSink(member, this.#continuation?.first()) : this.#wholeSink(member)
    this.#open(member, { url: member.target.url, body: bodyFor(member.target.model) }, sink)
  }

  #open(member: Member, post: Post, sink: UpstreamSink): void {
    const { timeouts } = this.#relayed.model.config
    this.#call = new UpstreamCall(member.replica.dispatcher, this.#request(member, post), timeouts, sink)
  }

  #request({ target: { apiKey } }: Member, { body, url }: Post): UpstreamRequest {
    const authorization = apiKey === undefined ? {} : { authorization: `Bearer ${Redacted.value(apiKey)}` }
    return { url, headers: { ...this.#relayed.headers, ...this.#trace, ...authorization }, body }
  }

  #ask(member: Member, post: Post, then: (status: number, answer: unknown) => void): UpstreamCall {
    const { failover: time } = this.#relayed.model.config.timeouts
    const timeouts = { response: time, firstEvent: time, idle: time }
    return askJson(member.replica.dispatcher, this.#request(member, post), timeouts, then)
  }

  // Another replica goes on with the stream, at the best level that it has.
  #goOn(member: Member): void {
    const step = this.#continuation?.next(member, (post, then) =>
      this.#ask(member, post, (status, answer) => then(status === 200 ? answer : undefined))
    )
    if (step === undefined) {
      this.#release()
      this.#excluded.add(member.replica)
      return this.#next()
    }
    this.#step = step
    const open = (answer: unknown) => {
      const opened = step.open(answer)
      if (typeof opened === "string") return this.#lower(member, opened, false)
      this.#open(member, opened, this.#streamSink(member, opened.reader))
    }
    if (step.before === undefined) return open(undefined)
    this.#call = this.#ask(member, step.before, (status, answer) => {
      if (this.#isOver || this.#member !== member) return
      if (status === 200) return open(answer)
      if (impossible.has(status) || (status >= 400 && status < 500)) return this.#lower(member, `status ${status}`, impossible.has(status))
      const failure = badGateway(`no answer of ${step.before?.url.pathname}`)
      this.#failed(member, { failure, isRetryable: true, isFault: true })
    })
  }

  // The replica cannot do the level: it does the next one.
  #lower(member: Member, cause: string, isKnown: boolean): void {
    const level = this.#step?.level
    if (level !== undefined) this.#continuation?.lower(member.replica, level, isKnown)
    this.#lowered.push(`${level ?? ""}: ${cause}`)
    this.#reader?.stop()
    this.#goOn(member)
  }

  // An attempt failed: the next replica gets its turn, as long as nothing of an answer was sent.
  #failed(member: Member, failed: Failed): void {
    if (this.#isOver || this.#member !== member) return
    this.#call?.abort()
    this.#record.lost(failed.failure.cause)
    if (failed.isFault) member.replica.failed()
    else member.replica.succeeded()
    this.#release()
    if (this.#downlink.hasEvents) return this.#carryOn(member, failed)
    const isInTime = performance.now() < this.#deadline && this.#attempts < maxAttempts
    if (!failed.isRetryable || !isInTime) return this.#fail(failed)
    this.#last = failed
    // A connection that the server closed while it was idle: a fresh one is tried first.
    if (this.#isFresh || !/reset|closed|UND_ERR_SOCKET|EPIPE/i.test(failed.failure.cause ?? "")) this.#excluded.add(member.replica)
    else this.#isFresh = true
    this.#next()
  }

  // The replica of a stream failed in the middle.
  #carryOn(member: Member, failed: Failed): void {
    const continuation = this.#continuation
    // A stream that stands still is gone on with, too: a server that is told to stop may leave its connections open.
    if (continuation === undefined || (!failed.isRetryable && failed.failure.status !== 504)) return this.#fail(failed)
    const ending = continuation.ending()
    if (ending !== undefined) {
      this.#forward(ending)
      this.#downlink.endStream()
      return this.#end("ok")
    }
    if (this.#hasGoneOn) {
      this.#deadline = performance.now() + this.#relayed.model.config.timeouts.failover
      this.#last = failed
    }
    this.#hasGoneOn = false
    const refusal = performance.now() < this.#deadline ? continuation.refusal : "it took too long"
    if (refusal !== undefined) return this.#fail(withReason(this.#last ?? failed, [refusal, ...this.#lowered]))
    this.#isContinuing = true
    this.#excluded.add(member.replica)
    this.#next()
  }

  #fail({ failure, outcome }: Failed): void {
    if (this.#isOver) return
    this.#record.cause = failure.cause
    this.#record.detail = failure.detail
    this.#record.fields = Object.keys(failure.fields ?? {})
    const { hasEvents } = this.#downlink
    this.#downlink.fail(failure)
    this.#end(outcome ?? (hasEvents ? "truncated" : failure.status < 500 ? "refused" : "failed"))
  }

  #unexpected(member: Member, cause: string): void {
    const failure = badGateway(cause, "The model server did not answer with a completion.")
    this.#failed(member, { failure, isRetryable: true, isFault: true })
  }

  #sink(member: Member, type: string, stage: Stage, answer: UpstreamBody): UpstreamSink {
    return new ResponseSink(type, answer, {
      onHead: (status, headers) => {
        this.#record.upstreamStatus = status
        member.replica.reported(headers["endpoint-load-metrics"])
      },
      onAnswer: () => this.#call?.expect(stage),
      onRefusal: (refusal) => this.#refused(member, refusal),
      onUnexpected: (cause) => this.#unexpected(member, cause)
    })
  }

  #refused(member: Member, refusal: Refusal): void {
    if (!this.#isContinuing || !impossible.has(refusal.status))
      return this.#failed(member, refusalOf(member.target, this.#relayed.name, refusal))
    if (this.#isOver || this.#member !== member) return
    this.#call?.abort()
    this.#lower(member, `status ${refusal.status}`, true)
  }

  #wholeSink(member: Member): UpstreamSink {
    const parts: Array<Buffer> = []
    let size = 0
    return this.#sink(member, "application/json", "idle", {
      onData: (bytes) => {
        this.#record.first()
        parts.push(bytes)
        size += bytes.length
        if (size > maxAnswer) this.#unexpected(member, `more than ${maxAnswer} bytes`)
      },
      onEnd: () => this.#answer(member, Buffer.concat(parts)),
      onError: (error) => this.#failed(member, lossOf(error))
    })
  }

  #answer(member: Member, body: Buffer): void {
    const judged = judge(body)
    if (judged.kind === "unexpected") return this.#unexpected(member, judged.cause)
    if (judged.kind === "fault") return this.#fault(member, judged.fault)
    if (judged.kind === "aborted") return this.#aborted(member)
    this.#record.usage = judged.usage
    const { name } = this.#relayed
    const { model } = member.target
    this.#downlink.answer(name === model ? body : Buffer.from(renaming(model, name)(body.toString("latin1")), "latin1"))
    this.#complete(member)
  }

  #complete(member: Member): void {
    member.replica.succeeded()
    this.#release()
    this.#end("ok")
  }

  #streamSink(member: Member, reader: ChunkReader | undefined): UpstreamSink {
    const { choices, name, withheld } = this.#relayed
    const rename = renaming(member.target.model, name)
    const read = reader === undefined ? undefined : (chunk: Chunk) => reader.read(chunk)
    const tail = new EventTail({ choices, withheld, rename, maxEvent: maxAnswer, read })
    this.#tail = tail
    this.#reader = reader
    const forward = (events: string) => {
      if (this.#isOver || this.#member !== member) return
      this.#forward(events)
      if (reader?.divergence !== undefined) this.#diverged(member, reader.divergence)
    }
    if (reader !== undefined) reader.onEvents = forward
    const ended = () => {
      if (this.#isOver || this.#member !== member) return
      if (reader === undefined || !tail.isWhole) return this.#streamEnded(member, tail)
      reader.finish(() => this.#streamEnded(member, tail))
    }
    return this.#sink(member, "text/event-stream", "firstEvent", {
      onData: (bytes) => {
        forward(tail.push(bytes.toString("latin1")))
        if (tail.isOver) ended()
      },
      onEnd: () => {
        forward(tail.end())
        ended()
      },
      onError: (error) => {
        if (tail.isWhole) ended()
        else this.#failed(member, lossOf(error))
      }
    })
  }

  #forward(events: string): void {
    if (events === "") return
    this.#record.first()
    clearTimeout(this.#commit)
    const call = this.#call
    const isFirst = this.#isContinuing && !this.#hasGoneOn
    this.#hasGoneOn = true
    if (isFirst && this.#step !== undefined) {
      this.#continuation?.wentOn()
      this.#record.carriedOn.push(this.#step.level)
    }
    if (this.#downlink.write(isFirst ? continued + events : events)) return call?.expect("idle")
    this.#downlink.onDrain = () => call?.resume()
    call?.pause()
  }

  #streamEnded(member: Member, tail: EventTail): void {
    if (tail.fault !== undefined) return this.#fault(member, tail.fault)
    if (tail.isAborted) return this.#aborted(member)
    if (tail.isTooLarge) return this.#unexpected(member, "an event is too large")
    if (tail.hasEvents && tail.isWhole) {
      if (!tail.isDone) this.#forward(this.#continuation?.ending() ?? "")
      this.#downlink.endStream(tail.marker)
      this.#call?.drain()
      return this.#complete(member)
    }
    const failure = badGateway(
      tail.isDone ? "the stream has no event" : "the stream ended without [DONE]",
      "The model server broke off the stream."
    )
    this.#failed(member, { failure, isRetryable: true, isFault: true })
  }

  // What another replica goes on with is not what the client has the beginning of.
  #diverged(member: Member, cause: string): void {
    const failure = badGateway(cause, "The model server broke off the stream, and another one did not go on with the same answer.")
    this.#failed(member, { failure, isRetryable: false, isFault: false })
  }

  #aborted(member: Member): void {
    const failure = badGateway("finish_reason abort", "The model server was stopped before the answer was complete.")
    this.#failed(member, { failure, isRetryable: true, isFault: true })
  }

  // An error in the answer of status 200.
  #fault(member: Member, fault: StreamFault): void {
    const failed = faultOf(member.target, fault)
    this.#failed(member, this.#downlink.hasEvents ? { ...failed, outcome: "in_band_error" } : failed)
  }
}
