/**
 * Three simulators that are restarted one after the other, under load.
 */
import * as Simulator from "@paradigm-effect/simulator/Simulator"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { setTimeout as wait } from "node:timers/promises"
import { fold } from "./CarriedStreams.ts"
import * as Gateway from "./GatewayUnderTest.ts"

/** What became of the requests. */
export interface Rolled {
  readonly requests: number
  readonly restarts: number
  readonly failures: ReadonlyArray<string>
  /** Requests that a replica failed, and that another one answered or went on with. */
  readonly rescued: number
  readonly carriedOn: number
}

const text = "Once more the servers are replaced, one by one, while somebody reads this sentence to its very end."

/** Settings of a run. */
export interface Rolling {
  readonly requests: number
  readonly concurrency: number
  /** `draining`: a server ends what it has, and refuses what is new. `stopping`: its answers end with `abort`. */
  readonly phase: "draining" | "stopping"
}

const until = async (condition: () => boolean) => {
  while (!condition()) await wait(5)
}

/** Restarts the servers over and over until all requests are answered. Half of the requests are streams. */
export const roll = async ({ concurrency, phase, requests }: Rolling): Promise<Rolled> => {
  const make = () => Simulator.start({ models: ["org/alfred"], interTokenLatency: 3 })
  const simulators = await Promise.all([make(), make(), make()])
  const scope = Scope.makeUnsafe()
  const model = { carryOn: ["ids", "again"], migrationLimit: 5 }
  const gateway = await Gateway.startWith(
    simulators.map(({ url }) => url),
    { model }
  ).pipe(Effect.provideService(Scope.Scope, scope), Effect.runPromise)
  const failures: Array<string> = []
  let asked = 0
  let answered = 0
  const one = async (stream: boolean) => {
    const response = await fetch(`${gateway.origin}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${Gateway.key}` },
      body: JSON.stringify({ model: "alfred", stream, temperature: 0, messages: [{ role: "user", content: text }] })
    })
    const body = await response.text()
    if (response.status !== 200) return failures.push(`${response.status} ${body}`)
    if (!stream) {
      const { choices } = JSON.parse(body)
      if (choices[0].message.content !== text || choices[0].finish_reason !== "stop") failures.push(body)
      return
    }
    const { choices, done, errors } = fold(body)
    const [choice] = Object.values(choices) as ReadonlyArray<{ readonly content: string; readonly finish: string }>
    if (!done || errors > 0 || choice?.content !== text || choice.finish !== "stop") failures.push(body.slice(-1000))
  }
  const worker = async () => {
    while (asked < requests) {
      await one(asked++ % 2 === 0)
      answered++
    }
  }
  let restarts = 0
  const restart = async () => {
    for (let isLoaded = true; isLoaded; isLoaded = asked < requests) {
      const simulator = simulators[restarts % simulators.length]
      simulator?.config({ phase })
      await until(() => (simulator?.ledger().open ?? 0) === 0)
      await wait(50)
      simulator?.config({ phase: "killed" })
      simulator?.config({ phase: "running" })
      restarts++
      // The next one goes when the requests that met this one are over.
      const before = answered
      await until(() => answered >= before + 2 * concurrency || asked >= requests)
    }
  }
  await Promise.all([restart(), ...Array.from({ length: concurrency }, worker)])
  await until(() => gateway.log.length >= requests)
  const records = gateway.log.map((line) => JSON.parse(line) as { readonly replicas?: ReadonlyArray<string>; readonly carriedOn?: unknown })
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await Promise.all(simulators.map((simulator) => simulator.close()))
  return {
    requests: answered,
    restarts,
    failures,
    rescued: records.filter(({ replicas = [] }) => replicas.length > 1).length,
    carriedOn: records.filter(({ carriedOn }) => carriedOn !== undefined).length
  }
}
