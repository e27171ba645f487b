/**
 * Counters in Redis, for several gateways. No call takes longer than its deadline: beyond it the call fails, and the script refuses to run later. After
 * a failure no call is tried until Redis answers a probe.
 */
import { createHash } from "node:crypto"
import { createClient } from "redis"
import { type Charge, type Decision, heldOf, resetOf, type Settlement } from "./Counters.ts"
import { script } from "./LimitScript.ts"

/** Settings of Redis. */
export interface RedisOptions {
  readonly url: string
  /** Maximum time of a call, in milliseconds. */
  readonly timeout: number
  /** Time after which a hold ends that is not renewed, in milliseconds. */
  readonly lease: number
  /** The keys of gateways with the same prefix are the same counters. */
  readonly prefix: string
}

const digest = createHash("sha1").update(script).digest("hex")
// Between two probes of a Redis that failed.
const probing = 250
// Settlements that wait for Redis. The oldest are dropped; their holds expire.
const maxWaiting = 10_000
const maxBackoff = 1000

const micros = () => performance.now() * 1000

interface Waiting {
  readonly id: string
  readonly settlements: ReadonlyArray<Settlement>
}

/** Counters in Redis. */
export class RedisCounters {
  readonly #client
  readonly #options: RedisOptions
  #probes: NodeJS.Timeout | undefined
  #isUp = false
  #isClosed = false
  // Microseconds from the monotonic clock of the process to Redis' clock; `undefined` before the first reply.
  #offset: number | undefined
  readonly #waiting: Array<Waiting> = []

  constructor(options: RedisOptions) {
    this.#options = options
    this.#client = createClient({
      url: options.url,
      disableOfflineQueue: true,
      commandsQueueMaxLength: 10_000,
      socket: { connectTimeout: 1000, reconnectStrategy: (retries) => Math.min(50 * 2 ** Math.min(retries, 10), maxBackoff) }
    })
    this.#client.on("error", () => this.#failed())
    this.#client.on("ready", () => void this.#probe())
    this.#client.connect().catch(() => undefined)
    this.#probes = setInterval(() => {
      if (!this.#isUp) void this.#probe()
    }, probing).unref()
  }

  /** Whether calls are sent. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** Checks and takes all charges in one step. `undefined` if Redis did not answer in time: nothing is charged then, and nothing later. */
  async admit(id: string, charges: ReadonlyArray<Charge>): Promise<Decision | undefined> {
    const args = charges.flatMap((charge) => [charge.limit, charge.isEnforced ? 1 : 0, charge.window, charge.end, charge.hold, charge.seed])
    // A reply that comes when nobody waits for it any more: the holds are given back.
    const late = (reply: ReadonlyArray<string>) => {
      if (reply[1] !== "0" || id === "") return
      this.#retry({ id, settlements: charges.map((charge) => ({ charge, held: heldOf(charge), actual: 0 })) })
    }
    const reply = await this.#run("admit", id, charges, args, late)
    if (reply === undefined) return undefined
    const now = Math.floor(Number(reply[0]) / 1000)
    const standings = charges.map((charge, i) => {
      const [used, held, begin] = [Number(reply[2 + 3 * i]), Number(reply[3 + 3 * i]), Number(reply[4 + 3 * i])]
      return { used, held, reset: resetOf(charge, begin, now) }
    })
    return { refusedBy: Number(reply[1]) - 1, standings }
  }

  /** Replaces holds by what was used. Done when Redis is back if it is away. */
  async settle(id: string, settlements: ReadonlyArray<Settlement>): Promise<void> {
    if (!(await this.#settle({ id, settlements }, false))) this.#retry({ id, settlements })
  }

  /** Extends the holds of a request that still runs. */
  async renew(id: string, charges: ReadonlyArray<Charge>): Promise<void> {
    await this.#run("renew", id, charges, charges.map(heldOf))
  }

  close(): void {
    this.#isClosed = true
    this.#isUp = false
    clearInterval(this.#probes)
    this.#client.destroy()
  }

  async #settle({ id, settlements }: Waiting, isHeldOnly: boolean): Promise<boolean> {
    const args = settlements.flatMap(({ actual, charge, held }) => [charge.window, charge.end, held, actual, isHeldOnly ? 1 : 0])
    const charges = settlements.map(({ charge }) => charge)
    return (await this.#run("settle", id, charges, args)) !== undefined
  }

  #retry(waiting: Waiting): void {
    if (this.#waiting.length >= maxWaiting) this.#waiting.shift()
    this.#waiting.push(waiting)
    if (this.#isUp) void this.#settleWaiting()
  }

  // The first call may have run although its reply was lost: only holds that are still there are settled.
  async #settleWaiting(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (await this.#settle(next, true)) continue
      this.#waiting.unshift(next)
      return
    }
  }

  async #run(
    operation: "admit" | "settle" | "renew" | "time",
    id: string,
    charges: ReadonlyArray<Charge>,
    args: ReadonlyArray<number>,
    onLate?: (reply: ReadonlyArray<string>) => void
  ): Promise<ReadonlyArray<string> | undefined> {
    if (!this.#isUp && operation !== "time") return undefined
    const { lease, prefix, timeout } = this.#options
    const sent = micros()
    // Half of the time for the way back.
    const deadline = operation === "time" || this.#offset === undefined ? 0 : Math.floor(sent + this.#offset + timeout * 500)
    const keys = charges.flatMap(({ counter }) => [`{${prefix}}${counter}`, `{${prefix}}${counter}:holds`])
    const values = [operation, String(deadline), id, String(lease), ...args.map(String)]
    let isLate = false
    const call = this.#evaluate(keys, values)
    let timer: NodeJS.Timeout | undefined
    const expiry = new Promise<undefined>((resolve) => {
      // A reply that came while this process was busy is read before the immediate.
      const expire = () => {
        isLate = true
        resolve(undefined)
      }
      timer = setTimeout(() => setImmediate(expire), timeout)
    })
    const reply = await Promise.race([
      call.then(
        (reply) => {
          if (isLate) onLate?.(reply)
          return reply
        },
        () => undefined
      ),
      expiry
    ])
    clearTimeout(timer)
    if (reply === undefined) {
      this.#failed()
      return undefined
    }
    this.#offset = Number(reply[0]) - (sent + micros()) / 2
    if (reply[1] !== "late") return reply
    this.#failed()
    return undefined
  }

  async #evaluate(keys: Array<string>, values: Array<string>): Promise<ReadonlyArray<string>> {
    try {
      return (await this.#client.evalSha(digest, { keys, arguments: values })) as ReadonlyArray<string>
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error
      return (await this.#client.eval(script, { keys, arguments: values })) as ReadonlyArray<string>
    }
  }

  #failed(): void {
    this.#isUp = false
  }

  async #probe(): Promise<void> {
    if (this.#isClosed || !this.#client.isReady) return
    if ((await this.#run("time", "", [], [])) === undefined || this.#isClosed) return
    this.#isUp = true
    await this.#settleWaiting()
  }
}
