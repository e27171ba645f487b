/**
 * The way of a request to the replicas of its model: one after the other until the first event of an answer, which commits the response. After it,
 * a failure is told to the client in the stream.
 */
import * as ErrorBody from "@paradigm-effect/core/ErrorBody"
import type { StreamFault } from "@paradigm-effect/core/ParadigmError"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { Downlink } from "./Downlink.ts"
import { EventTail, renaming, tokenCounts } from "./EventTail.ts"
import type { GatewayFailure } from "./GatewayFailure.ts"
import type { Model } from "./Registry.ts"
import type { Replica } from "./Replica.ts"
import type { Applicant, Member } from "./ReplicaPool.ts"
import type { Outcome, RequestRecord } from "./RequestRecord.ts"
import { type Stage, type UpstreamBody, UpstreamCall, type UpstreamSink } from "./UpstreamCall.ts"
import { badGateway, type Failed, faultOf, lossOf, refusalOf } from "./UpstreamFailure.ts"

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
  readonly withholdUsage: boolean
  /** The body for a name of the model at a replica. */
  readonly bodyFor: (model: string) => Uint8Array
  readonly headers: Readonly<Record<string, string>>
  /** Time without an event after which the head of a stream is sent, in milliseconds. */
  readonly commitAfter: number
}

// What is read of a refusal's body, and for how long: it may never end.
const maxRefusal = 64 * 1024
const refusalMillis = 2000
const maxAnswer = 64 * 1024 * 1024
// A larger answer is not parsed for its usage.
const maxParsed = 4 * 1024 * 1024
const maxAttempts = 8

/** Relays one request. */
export class Attempts {
  readonly #relayed: Relayed
  readonly #downlink: Downlink
  readonly #record: RequestRecord
  readonly #onEnd: (outcome: Outcome) => void
  readonly #excluded = new Set<Replica>()
  readonly #deadline: number
  #commit: NodeJS.Timeout | undefined
  // Ends the wait for the rest of a refusal.
  #patience: NodeJS.Timeout | undefined
  #applicant: Applicant | undefined
  #member: Member | undefined
  #call: UpstreamCall | undefined
  #attempts = 0
  #isFresh = false
  #last: Failed | undefined
  #isOver = false

  constructor(relayed: Relayed, downlink: Downlink, record: RequestRecord, onEnd: (outcome: Outcome) => void) {
    this.#relayed = relayed
    this.#downlink = downlink
    this.#record = record
    this.#onEnd = onEnd
    this.#deadline = performance.now() + relayed.model.config.timeouts.failover
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
    clearTimeout(this.#commit)
    clearTimeout(this.#patience)
    if (this.#applicant !== undefined) this.#relayed.model.pool.cancel(this.#applicant)
    this.#onEnd(outcome)
  }

  #release(): void {
    const member = this.#member
    this.#member = undefined
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
        this.#fail(this.#last ?? { failure, isRetryable: false, isFault: false })
      }
    }
    model.pool.apply(this.#applicant)
  }

  #send(member: Member): void {
    const { bodyFor, headers, model } = this.#relayed
    const { apiKey, url } = member.target
    this.#member = member
    this.#attempts++
    const trace = this.#record.sent(member.replica.origin)
    const authorization = apiKey === undefined ? {} : { authorization: `Bearer ${Redacted.value(apiKey)}` }
    const request = { url, headers: { ...headers, ...trace, ...authorization }, body: bodyFor(member.target.model) }
    const sink = this.#relayed.stream ? this.#streamSink(member) : this.#wholeSink(member)
    this.#call = new UpstreamCall(member.replica.dispatcher, request, model.config.timeouts, sink)
  }

  // An attempt failed: the next replica gets its turn, as long as nothing of an answer was sent.
  #failed(member: Member, failed: Failed): void {
    if (this.#isOver || this.#member !== member) return
    clearTimeout(this.#patience)
    this.#call?.abort()
    this.#record.lost(failed.failure.cause)
    if (failed.isFault) member.replica.failed()
    else member.replica.succeeded()
    this.#release()
    const isInTime = performance.now() < this.#deadline && this.#attempts < maxAttempts
    if (!failed.isRetryable || !isInTime || this.#downlink.hasEvents) return this.#fail(failed)
    this.#last = failed
    // A connection that the server closed while it was idle: a fresh one is tried first.
    if (this.#isFresh || !/reset|closed|UND_ERR_SOCKET|EPIPE/i.test(failed.failure.cause ?? "")) this.#excluded.add(member.replica)
    else this.#isFresh = true
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

  // The head of a response decides who reads its body: `answer`, or the reader of refusals.
  #sink(member: Member, type: string, stage: Stage, answer: UpstreamBody): UpstreamSink {
    let body = answer
    return {
      onHead: (status, headers) => {
        this.#record.upstreamStatus = status
        member.replica.reported(headers["endpoint-load-metrics"])
        if (status !== 200) {
          body = this.#refusal(member, status, headers)
          return
        }
        const given = headers["content-type"] ?? "no content type"
        const encoding = headers["content-encoding"] ?? "identity"
        if (given.split(";", 1)[0]?.trim().toLowerCase() === type && encoding === "identity") this.#call?.expect(stage)
        else this.#unexpected(member, `200 with ${given}${encoding === "identity" ? "" : `, ${encoding}`}`)
      },
      onData: (bytes) => body.onData(bytes),
      onEnd: () => body.onEnd(),
      onError: (error) => body.onError(error)
    }
  }

  // Collects a refusal, whose body may never end.
  #refusal(member: Member, status: number, headers: Readonly<Record<string, string | undefined>>): UpstreamBody {
    const parts: Array<Buffer> = []
    let size = 0
    const end = () => {
      clearTimeout(this.#patience)
      const body = Buffer.concat(parts).toString("utf8")
      this.#failed(member, refusalOf(member.target, this.#relayed.name, { status, headers, body }))
    }
    this.#patience = setTimeout(end, refusalMillis)
    const onData = (bytes: Buffer) => {
      parts.push(bytes)
      size += bytes.length
      if (size > maxRefusal) end()
    }
    return { onData, onEnd: end, onError: end }
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
    const ends = `${body.toString("latin1", 0, 64)} ${body.toString("latin1", Math.max(0, body.length - 64))}`
    // Empty, cut off, or a page that calls itself JSON.
    if (!/^\s*\{[^]*\}\s*$/.test(ends)) return this.#unexpected(member, "its JSON is not an object")
    if (body.length <= maxParsed) {
      const text = body.toString("utf8")
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        return this.#unexpected(member, "its body is not JSON")
      }
      const fault = ErrorBody.fromEvent(value, text)
      if (fault !== undefined) return this.#fault(member, fault)
      const { choices, usage } = Predicate.isObject(value) ? value : {}
      if (Array.isArray(choices) && choices.some((choice) => Predicate.isObject(choice) && choice["finish_reason"] === "abort"))
        return this.#aborted(member)
      this.#record.usage = tokenCounts(usage)
    }
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

  #streamSink(member: Member): UpstreamSink {
    const { choices, name, withholdUsage } = this.#relayed
    const tail = new EventTail({ choices, withholdUsage, rename: renaming(member.target.model, name), maxEvent: maxAnswer })
    return this.#sink(member, "text/event-stream", "firstEvent", {
      onData: (bytes) => {
        this.#forward(tail.push(bytes.toString("latin1")))
        if (tail.isOver) this.#streamEnded(member, tail)
      },
      onEnd: () => {
        this.#forward(tail.end())
        this.#streamEnded(member, tail)
      },
      onError: (error) => {
        this.#note(tail)
        if (tail.isWhole) this.#streamEnded(member, tail)
        else this.#failed(member, lossOf(error))
      }
    })
  }

  #forward(events: string): void {
    if (events === "") return
    this.#record.first()
    clearTimeout(this.#commit)
    const call = this.#call
    if (this.#downlink.write(events)) return call?.expect("idle")
    this.#downlink.onDrain = () => call?.resume()
    call?.pause()
  }

  #note({ malformed, usage }: EventTail): void {
    this.#record.usage = usage
    this.#record.malformed = malformed
  }

  #streamEnded(member: Member, tail: EventTail): void {
    this.#note(tail)
    if (tail.fault !== undefined) return this.#fault(member, tail.fault)
    if (tail.isAborted) return this.#aborted(member)
    if (tail.isTooLarge) return this.#unexpected(member, "an event is too large")
    if (tail.hasEvents && tail.isWhole) {
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
