/**
 * The replicas of a model: which one gets a request, and the queue of those that wait. The queue is bounded, and fair between keys.
 */
import { GatewayFailure } from "./GatewayFailure.ts"
import type { Replica, ReplicaTarget } from "./Replica.ts"

/** A replica, as a model uses it. */
export class Member {
  readonly replica: Replica
  readonly target: ReplicaTarget
  /** Number of requests of this model in flight. */
  inFlight = 0

  constructor(replica: Replica, target: ReplicaTarget) {
    this.replica = replica
    this.target = target
  }

  get isFree(): boolean {
    return this.target.maxConcurrent === undefined || this.inFlight < this.target.maxConcurrent
  }
}

/** Settings of the queue. */
export interface QueueOptions {
  /** Maximum number of requests that wait. */
  readonly size: number
  /** Maximum time of waiting, in milliseconds. */
  readonly timeout: number
}

/** A request that needs a replica. One of its methods runs once, unless it is cancelled. */
export interface Applicant {
  /** Whose turn it is in the queue. */
  readonly key: string
  /** Replicas that failed this request. */
  readonly excluded: ReadonlySet<Replica>
  /** Requests of the same value prefer the same replica. */
  readonly affinity?: string | undefined
  /** The replica counts the request until `release`. */
  readonly onReplica: (member: Member) => void
  readonly onFailure: (failure: GatewayFailure) => void
}

// Below this share of healthy replicas all are used: the probes may be wrong, and the healthy ones would be overrun.
const panic = 0.5

/** The replicas of one model. */
export class ReplicaPool {
  readonly members: ReadonlyArray<Member>
  readonly #queue: QueueOptions
  readonly #random: () => number
  /** By key, in the order in which keys get their turn. */
  readonly #waiting = new Map<string, Array<Applicant>>()
  readonly #timers = new Map<Applicant, NodeJS.Timeout>()
  // Seconds between two releases, as a moving average: the honest Retry-After.
  #lastRelease: number | undefined
  #interval = 1

  constructor(members: ReadonlyArray<Member>, queue: QueueOptions, random: () => number = Math.random) {
    this.members = members
    this.#queue = queue
    this.#random = random
  }

  /** Number of requests that wait. */
  get waiting(): number {
    return this.#timers.size
  }

  /**
   * Gives a replica to an applicant, at once or when it is its turn. Prefers the replica of its affinity. Fails with 503 if there is none, or if the
   * queue is full or too slow.
   */
  apply(applicant: Applicant): void {
    const candidates = this.#candidates(applicant.excluded)
    if (candidates.length === 0) {
      const detail = "No model server is available."
      return applicant.onFailure(new GatewayFailure({ status: 503, detail, headers: { "retry-after": "5" }, cause: "no replica is left" }))
    }
    const member = this.waiting === 0 ? this.#choose(candidates, applicant.affinity) : undefined
    if (member !== undefined) return applicant.onReplica(this.#taken(member))
    if (this.waiting >= this.#queue.size) return applicant.onFailure(this.#busy("the queue is full"))
    const queue = this.#waiting.get(applicant.key)
    if (queue === undefined) this.#waiting.set(applicant.key, [applicant])
    else queue.push(applicant)
    const giveUp = () => {
      this.cancel(applicant)
      applicant.onFailure(this.#busy("waited too long in the queue"))
    }
    this.#timers.set(applicant, setTimeout(giveUp, this.#queue.timeout))
  }

  /** Removes an applicant from the queue. */
  cancel(applicant: Applicant): void {
    if (!this.#timers.has(applicant)) return
    clearTimeout(this.#timers.get(applicant))
    this.#timers.delete(applicant)
    const queue = this.#waiting.get(applicant.key) ?? []
    queue.splice(queue.indexOf(applicant), 1)
    if (queue.length === 0) this.#waiting.delete(applicant.key)
  }

  /** Gives a replica back. */
  release(member: Member): void {
    member.inFlight--
    member.replica.inFlight--
    const now = performance.now()
    if (this.#lastRelease !== undefined) this.#interval = this.#interval * 0.8 + ((now - this.#lastRelease) / 1000) * 0.2
    this.#lastRelease = now
    this.#next()
  }

  #taken(member: Member): Member {
    member.inFlight++
    member.replica.begin()
    return member
  }

  #busy(cause: string): GatewayFailure {
    const seconds = Math.min(Math.max(Math.ceil(this.#interval * (this.waiting + 1)), 1), 60)
    return new GatewayFailure({
      status: 503,
      detail: "The model is busy: too many requests are waiting.",
      headers: { "retry-after": String(seconds) },
      cause
    })
  }

  #candidates(excluded: ReadonlySet<Replica>): ReadonlyArray<Member> {
    const left = this.members.filter(({ replica }) => !excluded.has(replica))
    const healthy = left.filter(({ replica }) => replica.isHealthy)
    const all = this.members.filter(({ replica }) => replica.isHealthy).length
    return healthy.length > 0 && all >= this.members.length * panic ? healthy : left
  }

  // The less loaded of two that are chosen at random.
  #choose(candidates: ReadonlyArray<Member>, affinity?: string): Member | undefined {
    const free = candidates.filter((member) => member.isFree)
    const [first, second] = free
    if (first === undefined || second === undefined) return first
    if (affinity !== undefined) return preferred(free, affinity)
    const a = Math.floor(this.#random() * free.length)
    const b = (a + 1 + Math.floor(this.#random() * (free.length - 1))) % free.length
    const load = (at: number) => {
      const member = free[at] ?? first
      return member.replica.load / member.target.weight
    }
    return free[load(b) < load(a) ? b : a] ?? first
  }

  // Gives free replicas to those that wait: one request a key, in turn.
  #next(): void {
    for (const [key, queue] of this.#waiting) {
      const [applicant] = queue
      if (applicant === undefined) continue
      const member = this.#choose(this.#candidates(applicant.excluded), applicant.affinity)
      if (member === undefined) continue
      this.cancel(applicant)
      // The key goes to the end of the line.
      if (this.#waiting.delete(key)) this.#waiting.set(key, queue)
      return applicant.onReplica(this.#taken(member))
    }
  }
}

const hash = (text: string): number => {
  let value = 2166136261
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 16777619)
  value = Math.imul(value ^ (value >>> 15), 2246822507)
  return (value ^ (value >>> 13)) >>> 0
}

// A replica may have this multiple of the average load before a request goes to its second choice.
const bound = 1.25

// Rendezvous hashing with bounded load: each value prefers the replicas in an order of its own.
const preferred = (members: ReadonlyArray<Member>, affinity: string): Member | undefined => {
  const total = members.reduce((sum, { replica }) => sum + replica.inFlight, 0) + 1
  const most = Math.ceil((total / members.length) * bound)
  const ranked = members
    .map((member) => ({ member, rank: hash(`${affinity} ${member.replica.origin}`) }))
    .sort((a, b) => b.rank - a.rank)
    .map(({ member }) => member)
  return ranked.find(({ replica }) => replica.inFlight < most) ?? ranked[0]
}
